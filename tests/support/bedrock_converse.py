"""Requests and answers of Bedrock's Converse, and what is read from them."""

import json
from collections.abc import Sequence
from typing import Any

from asgi_gateway.canonical import ChatRequest, ChatResponse, Event, Losses, collect
from asgi_gateway.dialects.bedrock_converse import BEDROCK_CONVERSE
from asgi_gateway.dialects.bedrock_converse.frames import FrameReader, event_frame
from asgi_gateway.dialects.contract import AnswerContext, Target

__all__ = [
    "CLAUDE",
    "MESSAGES",
    "NOVA",
    "answered",
    "context",
    "events_of",
    "noted",
    "path_of",
    "read",
    "read_answer",
    "read_stream",
    "stream",
    "streamed",
    "written",
]

CLAUDE = "us.anthropic.claude-sonnet-4-20250514-v1:0"
NOVA = "amazon.nova-2-lite-v1:0"
MESSAGES = [{"role": "user", "content": [{"text": "Hi"}]}]


def path_of(model: str = CLAUDE, *, stream: bool = False) -> Target:
    """Where a request for a model goes."""
    return Target(f"/model/{model}/converse" + ("-stream" if stream else ""))


def read(losses: Losses | None = None, *, model: str = CLAUDE, **fields: Any) -> ChatRequest:
    """The request of these fields, read."""
    body = json.dumps({"messages": MESSAGES, **fields}).encode()
    outline = BEDROCK_CONVERSE.outline(body, path_of(model))
    return BEDROCK_CONVERSE.read_request(body, outline, Losses("request") if losses is None else losses)


def written(request: ChatRequest, losses: Losses | None = None) -> dict[str, Any]:
    """A request, written and decoded."""
    body = BEDROCK_CONVERSE.write_request(request, Losses("request") if losses is None else losses)
    decoded: dict[str, Any] = json.loads(body)
    return decoded


def noted(losses: Losses) -> set[str]:
    """Losses as a header shows them."""
    return set(losses.header().split(","))


def context(losses: Losses | None = None) -> AnswerContext:
    """What a writer of answers is given."""
    told = Losses("response") if losses is None else losses
    return AnswerContext(request=read(), losses=told, framing="eventstream", id="ours")


def read_answer(answer: Any, losses: Losses | None = None) -> ChatResponse:
    """A plain answer, read and folded."""
    told = Losses("response") if losses is None else losses
    return collect(BEDROCK_CONVERSE.read_response(json.dumps(answer).encode(), told))


def answered(response: ChatResponse, losses: Losses | None = None) -> dict[str, Any]:
    """A response, written as a plain answer and decoded."""
    decoded: dict[str, Any] = json.loads(BEDROCK_CONVERSE.write_response(response, context(losses)))
    return decoded


def stream(*events: dict[str, Any]) -> bytes:
    """A stream of these events, each a name and what it says."""
    return b"".join(event_frame(name, json.dumps(said).encode()) for event in events for name, said in event.items())


def read_stream(data: bytes, losses: Losses | None = None) -> list[Event]:
    """The events of a whole stream."""
    reader = BEDROCK_CONVERSE.reader(Losses("response") if losses is None else losses)
    return reader.feed(data) + reader.finish()


def streamed(events: Sequence[Event], losses: Losses | None = None) -> bytes:
    """Events, written as a stream."""
    writer = BEDROCK_CONVERSE.writer(context(losses))
    return writer.write(events) + writer.finish()


def events_of(data: bytes) -> list[tuple[str, Any]]:
    """Names and decoded payloads of the frames of a stream."""
    return [(frame.name, json.loads(frame.payload)) for frame in FrameReader().feed(data)]
