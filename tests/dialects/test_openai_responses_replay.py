"""Recorded traffic of servers that speak Responses: read whole, and written back with the same meaning."""

import msgspec
import pytest

from asgi_gateway.canonical import (
    ChatRequest,
    ChatResponse,
    Choice,
    Failed,
    Losses,
    Part,
    Stopped,
    Text,
    TokenLogprob,
    Turn,
    collect,
)
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES
from asgi_gateway.errors import InvalidRequest, UpstreamError
from support.openai_responses import context_of, events_of, streamed
from support.recordings import HOME, Recording, recordings, wire_of

pytestmark = pytest.mark.skipif(not HOME.exists(), reason="no recordings beside the repository")

FOLDER = "openai.responses"

KNOWN_LOSSES = frozenset(
    {
        "dropped:output[].phase",
        "dropped:output[].namespace",
        "dropped:output[].caller",
        "dropped:output[].revised_prompt",
        "dropped:output[].background",
        "dropped:output[].quality",
        "dropped:output[].size",
    }
)
"""What answers say and the neutral model has no place for."""

SOUNDS = 2
"""Recorded requests that hold sounds, which OpenAI refused."""


def is_chat(recording: Recording) -> bool:
    """Whether an answer is in the format of chat: some servers give them under this path."""
    wire = wire_of(recording["response"])
    return b'"choices"' in wire and b'"output"' not in wire


def good(*, stream: bool) -> list[Recording]:
    """Answers of the format with a good status."""
    found = [recording for recording in recordings(FOLDER, stream=stream) if recording["response"]["status"] < 400]
    return [recording for recording in found if not is_chat(recording)]


def same(response: ChatResponse) -> ChatResponse:
    """A response without what is written otherwise: bytes of streamed tokens, places of sources that had none."""
    # What tools an item tells of is written as far as other words for it are; an image without its quality and size.
    usage = response.usage and msgspec.structs.replace(response.usage, tools=(), images=())
    return msgspec.structs.replace(response, choices=tuple(map(_same_choice, response.choices)), usage=usage)


def _same_choice(choice: Choice) -> Choice:
    stopped = choice.stopped
    if stopped is not None and stopped.native in ("queued", "in_progress"):
        stopped = Stopped("stop", native="completed")
    tokens = choice.logprobs and tuple(map(_bare, choice.logprobs))
    return Choice(parts=tuple(map(_same_part, choice.parts)), stopped=stopped, logprobs=tokens)


def _same_part(part: Part) -> Part:
    if not isinstance(part, Text):
        return part
    citations = tuple(msgspec.structs.replace(citation, start=None, end=None) for citation in part.citations)
    return msgspec.structs.replace(part, citations=citations)


def _bare(token: TokenLogprob) -> TokenLogprob:
    return TokenLogprob(token.token, token.logprob, None, tuple(map(_bare, token.top)))


def noted(losses: Losses) -> set[str]:
    """The losses, as the header has them."""
    return {f"{loss.kind}:{loss.field}" for loss in losses.noted()}


def test_every_request_is_read_and_written_with_the_same_meaning() -> None:
    """But for reasoning that is only named where nothing is stored."""
    read = refused = dropped = 0
    for recording in recordings(FOLDER):
        if recording["request"].get("json") is None or "model" not in recording["request"]["json"]:
            continue
        body = wire_of(recording["request"])
        request = OPENAI_RESPONSES.read_request(body, OPENAI_RESPONSES.outline(body), Losses("request"))
        losses = Losses("request")
        try:
            written = OPENAI_RESPONSES.write_request(request, losses)
        except InvalidRequest as reason:
            refused += reason.param == "input_audio"
            continue
        again = OPENAI_RESPONSES.read_request(written, OPENAI_RESPONSES.outline(written), Losses("request"))
        read += 1
        if losses:
            assert losses.header() == "dropped:thinking"
            dropped += 1
            continue
        assert msgspec.structs.replace(again, store=request.store) == request, recording["id"]
    assert read > 270
    assert refused == SOUNDS
    assert dropped <= 1


@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_is_read_and_written_with_the_same_meaning(stream: bool) -> None:
    """No event is unknown; plain and streamed, the answer is read as it was."""
    read = 0
    for recording in good(stream=stream):
        losses = Losses("response")
        wire = wire_of(recording["response"])
        events = events_of(wire, losses) if stream else OPENAI_RESPONSES.read_response(wire, losses)
        response = collect(events)
        assert noted(losses) <= KNOWN_LOSSES, recording["id"]
        if response.failed is not None:
            assert "stream_error" in recording["features"]
            continue
        context = context_of()
        body = OPENAI_RESPONSES.write_response(response, context)
        assert noted(context.losses) <= {"approximated:stop_reason"}
        assert same(collect(OPENAI_RESPONSES.read_response(body, Losses("response")))) == same(response)
        assert same(collect(events_of(streamed(events)))) == same(response)
        read += 1
    assert read > (75 if stream else 225)


@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_passes_its_head_and_tap(stream: bool) -> None:
    """Byte for byte, with the usage that reading finds."""
    outline = OPENAI_RESPONSES.outline(b'{"model":"m","input":"Hi"}')
    for recording in good(stream=stream):
        wire = wire_of(recording["response"])
        if "stream_error" in recording["features"]:
            with pytest.raises(UpstreamError):
                OPENAI_RESPONSES.head(wire, stream=stream, complete=True)
            continue
        OPENAI_RESPONSES.head(wire, stream=stream, complete=True)
        tap = OPENAI_RESPONSES.tap(outline, stream=stream)
        assert tap.feed(wire) + tap.finish() == wire
        events = events_of(wire) if stream else OPENAI_RESPONSES.read_response(wire, Losses("response"))
        assert tap.usage == collect(events).usage


def test_answers_in_the_format_of_chat_are_no_answers() -> None:
    """Some servers give them under this path."""
    found = [recording for recording in recordings(FOLDER) if is_chat(recording)]
    for recording in found:
        wire = wire_of(recording["response"])
        if recording["stream"]:
            assert isinstance(events_of(wire)[-1], Failed)
        else:
            with pytest.raises(UpstreamError):
                OPENAI_RESPONSES.read_response(wire, Losses("response"))
    assert len(found) == 2


def test_every_error_is_read() -> None:
    """With its status and a text."""
    for recording in recordings(FOLDER):
        status = recording["response"]["status"]
        if status >= 400:
            error = OPENAI_RESPONSES.read_error(status, {}, wire_of(recording["response"]))
            assert error.original_status == status
            assert error.message


def test_an_empty_conversation_can_be_written() -> None:
    """Whatever it is worth."""
    body = OPENAI_RESPONSES.write_request(ChatRequest(model="m", turns=(Turn("user", ()),)), Losses("request"))
    assert msgspec.json.decode(body)["input"] == []
