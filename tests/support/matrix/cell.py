"""One cell of the matrix: a caller of one dialect, an upstream of another, and what becomes of a feature between them.

Every body that is written on the way is held to the vendor's own types (`support.strict`). A feature that does not come
through as it was asked must be noted or refused by name: that nothing is lost in silence is asserted here.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from asgi_gateway.canonical import ChatRequest, ChatResponse, Event, Losses, Media, Stored, collect, unfold
from asgi_gateway.dialects import CHAT_DIALECTS
from asgi_gateway.dialects.contract import AnswerContext, RequestOutline
from asgi_gateway.errors import InvalidRequest
from support.conversion import read_plain, read_request, read_stream
from support.matrix.feature import Feature
from support.strict import check_request, check_response, check_stream

__all__ = ["ORDER", "Outcome", "Side", "answer_side", "model_of", "request_side", "same_dialect", "worst"]

Outcome = Literal["carried", "approximated", "dropped", "refused", "absent"]

ORDER: tuple[Outcome, ...] = ("absent", "carried", "approximated", "dropped", "refused")
"""From the best to the worst; "absent": the caller's dialect cannot ask it, or the upstream's cannot say it."""


class Side(NamedTuple):
    """What became of a feature on one side, and by which words that was told."""

    outcome: Outcome
    told: tuple[str, ...] = ()


MODELS = {
    "openai_chat": ("gpt-4o", "gpt-5", "gpt-5"),
    "openai_responses": ("gpt-4.1", "gpt-5", "gpt-5"),
    "anthropic_messages": ("claude-sonnet-4-5", "claude-sonnet-4-5", "claude-opus-4-5"),
    "google_generate": ("gemini-2.5-flash", "gemini-2.5-flash", "gemini-3-flash"),
    "cohere_chat": ("command-a-03-2025", "command-a-reasoning-08-2025", "command-a-vision-07-2025"),
    "bedrock_converse": (
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "anthropic.claude-sonnet-4-5-20250929-v1:0",
        "anthropic.claude-opus-4-5-20251101-v1:0",
    ),
}
"""By dialect: what its vendor calls an ordinary model, one that thinks, and one of the newest."""

STORED = {
    "openai_chat": ("openai", "file-abc123"),
    "openai_responses": ("openai", "file-abc123"),
    "anthropic_messages": ("anthropic", "file_abc123"),
    "google_generate": ("google", "https://generativelanguage.googleapis.com/v1beta/files/abc123"),
    "cohere_chat": ("cohere_chat", "file-abc123"),
    "bedrock_converse": ("amazon", "s3://bucket/a.pdf"),
}
"""By dialect: whose files its callers have, and what they call one."""


def model_of(dialect: str, feature: Feature) -> str:
    """A model that a feature can be asked of."""
    return MODELS[dialect][2 if feature.newest else int(feature.thinks)]


def worst(*sides: Side) -> Side:
    """Both sides as one."""
    outcome = max((side.outcome for side in sides), key=ORDER.index)
    return Side(outcome, tuple(word for side in sides for word in side.told))


def _noted(losses: Losses) -> tuple[str, ...]:
    return tuple(f"{loss.kind}:{loss.field}" for loss in losses.noted() if loss.kind != "invented")


def _judged(expected: Any, got: Any, told: tuple[str, ...], where: str) -> Side:
    """A feature came through whole, or something was noted."""
    kinds = {word.partition(":")[0] for word in told}
    if got == expected:
        return Side("approximated" if kinds else "carried", told)
    assert kinds, f"{where}: lost in silence: {expected!r} became {got!r}"
    return Side("dropped" if "dropped" in kinds and ("approximated" not in kinds or not got) else "approximated", told)


def _own(request: ChatRequest, caller: str, model: str) -> ChatRequest:
    """The example in a caller's own words: its model's name, and its own vendor's files."""
    maker, id = STORED[caller]
    turns = tuple(
        msgspec.structs.replace(
            turn,
            parts=tuple(
                msgspec.structs.replace(part, source=msgspec.structs.replace(part.source, id=id, maker=maker))
                if isinstance(part, Media) and isinstance(part.source, Stored)
                else part
                for part in turn.parts
            ),
        )
        for turn in request.turns
    )
    return msgspec.structs.replace(request, turns=turns, model=model)


def request_side(caller: str, upstream: str, feature: Feature) -> Side:
    """A request from the caller's dialect into the upstream's."""
    if feature.request is None or feature.asked is None:
        return Side("absent")
    model = model_of(upstream, feature)
    try:
        body = CHAT_DIALECTS[caller].write_request(_own(feature.request, caller, model), Losses("request"))
    except InvalidRequest:
        return Side("absent")
    losses = Losses("request")
    asked = msgspec.structs.replace(read_request(caller, body, losses), model=model)
    expected = feature.asked(asked)
    if not expected:
        return Side("absent")
    sent = b""
    refusal: InvalidRequest | None = None
    try:
        sent = CHAT_DIALECTS[upstream].write_request(asked, losses)
    except InvalidRequest as error:
        refusal = error
    if refusal is not None:
        assert refusal.param, f"a refusal must name its field: {refusal.message}"
        return Side("refused", (f"refused:{refusal.param}",))
    check_request(upstream, sent)
    again = CHAT_DIALECTS[upstream].write_request(asked, Losses("request"))
    assert sent == again, "the same request must be the same bytes: prompt caches depend on it"
    got = feature.asked(read_request(upstream, sent, Losses("request")))
    if not got and upstream in feature.unasked:
        got = expected
    return _judged(expected, got, _noted(losses), f"request of {caller} to {upstream}")


def answer_side(caller: str, upstream: str, feature: Feature) -> Side:
    """An answer from the upstream's dialect into the caller's: plain and streamed, which must say the same."""
    if feature.response is None or feature.said is None:
        return Side("absent")
    request = feature.request if feature.request is not None else ChatRequest(model="m", turns=())
    request = msgspec.structs.replace(request, model=model_of(upstream, feature), wants_usage=True)
    response = msgspec.structs.replace(
        feature.response, started=msgspec.structs.replace(feature.response.started, model=request.model)
    )
    plain = _answered(upstream, caller, request, response, feature, _Plain)
    streamed = _answered(upstream, caller, request, response, feature, _Stream)
    if plain is None or streamed is None:
        return streamed or plain or Side("absent")
    if plain.outcome != streamed.outcome:
        return worst(plain, Side(streamed.outcome, tuple(f"stream {word}" for word in streamed.told)))
    return plain


class _Plain:
    name = "plain"
    check = staticmethod(check_response)
    read: Callable[[str, bytes, Losses], list[Event]] = staticmethod(read_plain)

    @staticmethod
    def write(dialect: str, response: ChatResponse, events: list[Event], context: AnswerContext) -> bytes:
        return CHAT_DIALECTS[dialect].write_response(response, context)


class _Stream:
    name = "stream"
    check = staticmethod(check_stream)
    read: Callable[[str, bytes, Losses], list[Event]] = staticmethod(read_stream)

    @staticmethod
    def write(dialect: str, response: ChatResponse, events: list[Event], context: AnswerContext) -> bytes:
        writer = CHAT_DIALECTS[dialect].writer(context)
        return b"".join(writer.write([event]) for event in events) + writer.finish()


Way = type[_Plain] | type[_Stream]


def _answered(
    upstream: str, caller: str, request: ChatRequest, response: ChatResponse, feature: Feature, way: Way
) -> Side | None:
    """One of the two ways of an answer; None when the upstream's dialect cannot say it."""
    assert feature.said is not None
    before = AnswerContext(request=request, losses=Losses("response"), id="0a1b2c3d4e5f", created=1_700_000_000)
    wire = way.write(upstream, response, list(unfold(response)), before)
    way.check(upstream, wire)
    losses = Losses("response")
    events = way.read(upstream, wire, losses)
    expected = feature.said(collect(events))
    if not expected:
        return None
    after = AnswerContext(request=request, losses=losses, id="f5e4d3c2b1a0", created=1_700_000_001)
    body = way.write(caller, collect(events), events, after)
    way.check(caller, body)
    arrived = collect(way.read(caller, body, Losses("response")))
    got = feature.said(arrived)
    if got != expected and feature.rule is not None and feature.rule.same(collect(events), arrived):
        return Side("approximated", (f"rule:{feature.rule.name}",))
    return _judged(expected, got, _noted(losses), f"{way.name} answer of {upstream} to {caller}")


def same_dialect(dialect: str, feature: Feature) -> Side:
    """Equal dialects: bytes pass through, and the tap changes nothing."""
    own = CHAT_DIALECTS[dialect]
    found = False
    if feature.request is not None and feature.asked is not None:
        try:
            body = own.write_request(_own(feature.request, dialect, model_of(dialect, feature)), Losses("request"))
            found = bool(feature.asked(read_request(dialect, body, Losses("request"))))
        except InvalidRequest:
            body = b""
        if body:
            check_request(dialect, body)
            assert own.rewrite(body) == body
    if feature.response is not None and feature.said is not None:
        found |= _tapped(dialect, feature)
    return Side("carried" if found else "absent")


def _tapped(dialect: str, feature: Feature) -> bool:
    own = CHAT_DIALECTS[dialect]
    assert feature.response is not None
    assert feature.said is not None
    request = msgspec.structs.replace(
        feature.request or ChatRequest(model="m", turns=()), model=model_of(dialect, feature), wants_usage=True
    )
    found = False
    for way in (_Plain, _Stream):
        outline = RequestOutline(model=request.model, stream=way is _Stream, wants_usage=True)
        context = AnswerContext(request=request, losses=Losses("response"), id="0a1b2c3d4e5f", created=1)
        wire = way.write(dialect, feature.response, list(unfold(feature.response)), context)
        way.check(dialect, wire)
        tap = own.tap(outline, stream=way is _Stream)
        assert tap.feed(wire) + tap.finish() == wire
        events = way.read(dialect, wire, Losses("response"))
        found |= bool(feature.said(collect(events)))
    return found
