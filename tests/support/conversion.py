"""A request and its answer across two dialects, without a gateway around them."""

from collections.abc import Iterable

import msgspec

from asgi_gateway.canonical import ChatRequest, Event, Failed, Losses, collect
from asgi_gateway.dialects import CHAT_DIALECTS
from asgi_gateway.dialects.contract import NOWHERE, AnswerContext, Target

__all__ = [
    "Told",
    "carried_request",
    "plain_answer",
    "read_plain",
    "read_request",
    "read_stream",
    "streamed_answer",
    "target_of",
]

MODELS = {
    "openai_chat": "gpt-4o",
    "openai_responses": "gpt-5",
    "anthropic_messages": "claude-sonnet-4-5",
    "google_generate": "gemini-2.5-flash",
    "cohere_chat": "command-a-03-2025",
    "bedrock_converse": "anthropic.claude-sonnet-4-5-v1:0",
}
"""What the upstream of a dialect calls its model."""

PATHS = {
    "google_generate": ("/v1beta/models/m:generateContent", "/v1beta/models/m:streamGenerateContent"),
    "bedrock_converse": ("/model/m/converse", "/model/m/converse-stream"),
}
"""Where the path says what a body does not: plain and streamed."""


class Told:
    """What came out of one way, and what was lost on it."""

    def __init__(self, body: bytes, losses: Losses) -> None:
        self.body = body
        self.losses = losses

    def noted(self) -> set[str]:
        """The losses as `kind:field`."""
        return {f"{loss.kind}:{loss.field}" for loss in self.losses.noted()}


def target_of(dialect: str, *, stream: bool = False) -> Target:
    """The request line of a dialect."""
    if dialect not in PATHS:
        return NOWHERE
    return Target(PATHS[dialect][stream], b"alt=sse" if stream and dialect == "google_generate" else b"")


def read_request(dialect: str, body: bytes, losses: Losses, *, stream: bool = False) -> ChatRequest:
    """A caller's body, read."""
    reader = CHAT_DIALECTS[dialect]
    return reader.read_request(body, reader.outline(body, target_of(dialect, stream=stream)), losses)


def carried_request(source: str, target: str, body: bytes, *, stream: bool = False) -> Told:
    """A caller's body as an upstream of another dialect gets it."""
    losses = Losses("request")
    asked = read_request(source, body, losses, stream=stream)
    upstream = CHAT_DIALECTS[target]
    asked = msgspec.structs.replace(asked, model=MODELS[target], wants_usage=upstream.stream_usage)
    return Told(upstream.write_request(asked, losses), losses)


def read_plain(dialect: str, body: bytes, losses: Losses) -> list[Event]:
    """An upstream's plain answer."""
    return CHAT_DIALECTS[dialect].read_response(body, losses)


def read_stream(dialect: str, data: bytes, losses: Losses, size: int = 4096) -> list[Event]:
    """An upstream's stream, fed in chunks."""
    reader = CHAT_DIALECTS[dialect].reader(losses)
    events = [event for start in range(0, len(data), size) for event in reader.feed(data[start : start + size])]
    return events + reader.finish()


def _context(request: ChatRequest, losses: Losses) -> AnswerContext:
    return AnswerContext(request=request, losses=losses, id="0123456789abcdef", created=1_700_000_000)


def plain_answer(target: str, events: Iterable[Event], request: ChatRequest, losses: Losses) -> Told:
    """The events as a plain answer to a caller."""
    body = CHAT_DIALECTS[target].write_response(collect(events), _context(request, losses))
    return Told(body, losses)


def streamed_answer(target: str, events: Iterable[Event], request: ChatRequest, losses: Losses) -> Told:
    """The events as a stream to a caller, written one by one."""
    writer = CHAT_DIALECTS[target].writer(_context(request, losses))
    data = b"".join(writer.write([event]) for event in events if not isinstance(event, Failed))
    return Told(data + writer.finish(), losses)
