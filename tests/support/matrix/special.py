"""Features that take more than one request and one answer: errors, broken streams, seals over two turns, counting."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count

import msgspec

from asgi_gateway.canonical import (
    ChatRequest,
    Event,
    Failed,
    Keeper,
    Losses,
    Seal,
    Text,
    Thinking,
    ToolCall,
    Turn,
    collect,
    restore,
    unfold,
    wanted,
)
from asgi_gateway.canonical.parts import Part
from asgi_gateway.dialects import CHAT_DIALECTS, TOKEN_COUNTS
from asgi_gateway.dialects.contract import NOWHERE, AnswerContext, Target
from asgi_gateway.errors import UpstreamError
from support.conversion import read_plain, read_request, read_stream
from support.matrix.asked import TOOL
from support.matrix.cell import MODELS, Side
from support.matrix.client import next_turn
from support.matrix.feature import answer, ask, parts_of
from support.strict import check_error, check_error_event, check_request, check_response, check_stream

__all__ = ["SPECIAL", "Special"]

Cell = Callable[[str, str], Side]


@dataclass(frozen=True)
class Special:
    """A row whose cell is a small story of its own."""

    name: str
    title: str
    cell: Cell


STATUSES = (400, 401, 403, 404, 413, 422, 429, 500, 503, 504, 529)


def _errors(caller: str, upstream: str) -> Side:
    """Each status of an upstream reaches the caller in its own shape, with its text."""
    source, target = CHAT_DIALECTS[upstream], CHAT_DIALECTS[caller]
    for status in STATUSES:
        body = source.write_error(UpstreamError(f"It broke with {status}.", status=status))
        check_error(upstream, body)
        error = source.read_error(status, {}, body)
        assert (error.status, error.original_status) == (status, status)
        assert f"It broke with {status}." in error.message
        told = target.write_error(error)
        check_error(caller, told)
        assert f"It broke with {status}.".encode() in told
        again = target.read_error(status, {}, told)
        assert again.status == status
    return Side("carried")


def _stream_errors(caller: str, upstream: str) -> Side:
    """An error in the middle of a stream ends the caller's with an error of its own dialect."""
    source, target = CHAT_DIALECTS[upstream], CHAT_DIALECTS[caller]
    context = AnswerContext(request=ChatRequest(model="m", turns=()), losses=Losses("response"), id="0a1b", created=1)
    writer = source.writer(context)
    begun = writer.write(list(unfold(answer(Text("Hello"))))[:3])
    end = source.write_error_event(UpstreamError("It broke in the middle.", status=500, type="api_error"))
    check_error_event(upstream, end)
    events = read_stream(upstream, begun + end, Losses("response"))
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert "It broke in the middle." in failed.error.message
    assert "".join(part.text for part in collect(events).choices[0].parts if isinstance(part, Text)) == "Hello"
    told = target.write_error_event(failed.error)
    check_error_event(caller, told)
    assert b"It broke in the middle." in told
    return Side("carried")


def _cut_streams(caller: str, upstream: str) -> Side:
    """A stream that breaks off is a failure, wherever it is cut; never a made-up end."""
    source = CHAT_DIALECTS[upstream]
    context = AnswerContext(request=ChatRequest(model="m", turns=()), losses=Losses("response"), id="0a1b", created=1)
    events = list(unfold(answer(Text("Hello"), ToolCall(id="call_1", name="f", arguments="{}"), stop="tool_calls")))
    stops = next(number for number, event in enumerate(events) if type(event).__name__ == "Stopped")
    for cut in range(1, stops):
        data = source.writer(context).write(events[:cut])
        last = read_stream(upstream, data, Losses("response"))[-1]
        assert isinstance(last, Failed), f"cut behind event {cut}: {last}"
        check_error_event(caller, CHAT_DIALECTS[caller].write_error_event(last.error))
    return Side("carried")


SEALED: Mapping[str, tuple[str, str]] = {
    "openai_chat": ("anthropic", "claude-sonnet-4.5"),
    "openai_responses": ("openai", "gpt-5"),
    "anthropic_messages": ("anthropic", "claude-sonnet-4-5"),
    "google_generate": ("google", "gemini-3-flash"),
    "cohere_chat": ("cohere_chat", "command-a-reasoning-08-2025"),
    "bedrock_converse": ("anthropic", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
}
"""By dialect: whose seals its upstreams give, and a model that does. Of OpenAI's chat it is a router's."""


def _round_trip(caller: str, upstream: str, model: str, *parts: Part) -> Side:
    """The upstream's answer goes to the caller, comes back with its next turn, and is what the upstream said.

    A caller whose clients drop what they do not know gets tool-call ids of ours, and sends nothing but texts and calls.
    """
    source, target = CHAT_DIALECTS[upstream], CHAT_DIALECTS[caller]
    first = ask(Turn("user", (Text("Weather?"),)), tools=(TOOL,))
    first = msgspec.structs.replace(first, model=model)
    context = AnswerContext(request=first, losses=Losses("response"), id="0a1b2c3d", created=1)
    wire = source.write_response(answer(*parts, stop="tool_calls"), context)
    check_response(upstream, wire)
    events = read_plain(upstream, wire, Losses("response"))
    seals = _seals(collect(events).choices[0].parts)
    if not seals:
        return Side("absent")
    keeper = Keeper((f"{number:016d}" for number in count(1)).__next__)
    if not target.keeps_seals:
        events = keeper.feed(events)
    losses = Losses("response")
    after = AnswerContext(request=first, losses=losses, id="1a2b3c4d", created=1)
    shown = target.write_response(collect(events), after)
    check_response(caller, shown)
    check_stream(caller, _streamed(caller, events, after))
    asked = next_turn(caller, target.write_request(first, Losses("request")), shown)
    noted = Losses("request")
    request = read_request(caller, asked, noted)
    assert set(wanted(request)) == set(keeper.records), "the ids of ours come back"
    whole = msgspec.structs.replace(restore(request, keeper.records, noted), model=model)
    sent = source.write_request(whole, noted)
    check_request(upstream, sent)
    again = read_request(upstream, sent, Losses("request"))
    got = _seals(tuple(part for turn in again.turns for part in turn.parts))
    if got == seals:
        return Side("carried")
    told = tuple(f"{loss.kind}:{loss.field}" for loss in noted.noted() if loss.kind != "invented")
    assert told, f"seals were lost in silence: {seals} became {got}"
    return Side("dropped", told)


def _streamed(caller: str, events: list[Event], context: AnswerContext) -> bytes:
    writer = CHAT_DIALECTS[caller].writer(context)
    return writer.write(events) + writer.finish()


def _seals(parts: tuple[Part, ...]) -> list[tuple[str, str, str]]:
    """Each seal with what it belongs to, in order: a thinking's text, or a call's name."""
    told = []
    for part in parts:
        if isinstance(part, Thinking) and part.seal is not None:
            told.append(("thinking", part.text, part.seal.data))
        elif isinstance(part, ToolCall) and part.seal is not None:
            told.append(("call", part.name, part.seal.data))
    return told


CALL = ToolCall(id="call_1", name="weather", arguments='{"city":"Berlin"}')


def _signed_thinking(caller: str, upstream: str) -> Side:
    maker, model = SEALED[upstream]
    seal = Seal(maker=maker, kind="encrypted" if maker == "openai" else "signature", data="c2lnbmF0dXJlMQ==")
    return _round_trip(caller, upstream, model, Thinking("Hm, weather.", seal, "rs_1"), Text("Let me see."), CALL)


def _hidden_thinking(caller: str, upstream: str) -> Side:
    maker, model = SEALED[upstream]
    seal = Seal(maker=maker, kind="redacted" if maker == "anthropic" else "encrypted", data="cmVkYWN0ZWQx")
    return _round_trip(caller, upstream, model, Thinking("", seal, "rs_1"), CALL)


def _signed_calls(caller: str, upstream: str) -> Side:
    """Google's models sign calls: in Google's own format, and in OpenAI's chat."""
    if upstream not in ("google_generate", "openai_chat"):
        return Side("absent")
    seal = Seal(maker="google", kind="signature", data="c2lnbmF0dXJlMQ==")
    other = ToolCall(id="call_2", name="weather", arguments='{"city":"Paris"}')
    return _round_trip(caller, upstream, "gemini-3-flash", msgspec.structs.replace(CALL, seal=seal), other)


def _count_tokens(caller: str, upstream: str) -> Side:
    """Counting is asked of an upstream that counts, else estimated; never by a generation."""
    counts = {counting.chat.name: counting for counting in TOKEN_COUNTS.values()}
    source, target = counts.get(caller), counts.get(upstream)
    if source is None:
        return Side("absent")
    asked = ChatRequest(model=MODELS[upstream][0], turns=(Turn("user", (Text("How many tokens?"),)),))
    losses = Losses("request")
    body = source.write_request(asked, losses)
    place = Target("/v1beta/models/m:countTokens") if caller == "google_generate" else NOWHERE
    outline = source.outline(body, place)
    request = msgspec.structs.replace(source.read_request(body, outline, losses), model=MODELS[upstream][0])
    assert [part.text for part in parts_of(request, Text)] == ["How many tokens?"]
    number = source.write_count(42)
    assert source.read_count(number) == 42
    if target is None:
        return Side("approximated", ("approximated:token_count",))
    assert b"How many tokens?" in target.write_request(request, losses)
    return Side("carried")


SPECIAL: tuple[Special, ...] = (
    Special("errors", "errors", _errors),
    Special("stream-errors", "errors inside a stream", _stream_errors),
    Special("cut-streams", "streams that break off", _cut_streams),
    Special("signed-thinking", "signed thinking over two turns", _signed_thinking),
    Special("hidden-thinking", "hidden thinking over two turns", _hidden_thinking),
    Special("signed-calls", "signed calls over two turns", _signed_calls),
    Special("count-tokens", "counting of tokens", _count_tokens),
)
