"""Requests and answers of Anthropic's Messages, and what is read from them."""

import json
from collections.abc import Sequence
from typing import Any

from asgi_gateway.canonical import ChatRequest, ChatResponse, Event, Losses, Part, collect
from asgi_gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from asgi_gateway.dialects.contract import AnswerContext

__all__ = [
    "HI",
    "MODEL",
    "answered",
    "context",
    "events_of",
    "frame",
    "message",
    "noted",
    "parts_of",
    "read",
    "read_answer",
    "read_stream",
    "stream",
    "streamed",
    "written",
]

MODEL = "claude-sonnet-4-5"
HI = [{"role": "user", "content": "Hi"}]


def _encoded(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def read(losses: Losses | None = None, **fields: Any) -> ChatRequest:
    """The request of these fields, read."""
    body = _encoded({"model": MODEL, "max_tokens": 64, "messages": HI, **fields})
    outline = ANTHROPIC_MESSAGES.outline(body)
    return ANTHROPIC_MESSAGES.read_request(body, outline, Losses("request") if losses is None else losses)


def parts_of(*blocks: Any, role: str = "assistant", losses: Losses | None = None) -> tuple[Part, ...]:
    """The parts of a message of these blocks."""
    turns = read(losses, messages=[{"role": role, "content": list(blocks)}]).turns
    return tuple(part for turn in turns for part in turn.parts)


def written(request: ChatRequest, losses: Losses | None = None) -> dict[str, Any]:
    """A request, written and decoded."""
    body = ANTHROPIC_MESSAGES.write_request(request, Losses("request") if losses is None else losses)
    decoded: dict[str, Any] = json.loads(body)
    return decoded


def noted(losses: Losses) -> set[str]:
    """The losses as `kind:field`."""
    return {f"{loss.kind}:{loss.field}" for loss in losses.noted()}


def context(losses: Losses | None = None) -> AnswerContext:
    """What a writer of answers is given."""
    told = Losses("response") if losses is None else losses
    return AnswerContext(request=read(), losses=told, id="ours")


def message(*content: Any, **fields: Any) -> dict[str, Any]:
    """A plain answer of these blocks."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": list(content),
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 3, "output_tokens": 2},
        **fields,
    }


def read_answer(answer: Any, losses: Losses | None = None) -> ChatResponse:
    """A plain answer, read and folded."""
    told = Losses("response") if losses is None else losses
    return collect(ANTHROPIC_MESSAGES.read_response(_encoded(answer), told))


def answered(response: ChatResponse, losses: Losses | None = None) -> dict[str, Any]:
    """A response, written as a plain answer and decoded."""
    decoded: dict[str, Any] = json.loads(ANTHROPIC_MESSAGES.write_response(response, context(losses)))
    return decoded


def stream(*blocks: tuple[Any, Sequence[Any]], reason: str | None = "end_turn", usage: Any = None) -> bytes:
    """A stream of blocks, each its beginning and its deltas. Without a reason it ends in the middle."""
    start = message(stop_reason=None, usage={"input_tokens": 3, "output_tokens": 1})
    events: list[Any] = [{"type": "message_start", "message": start}, {"type": "ping"}]
    for index, (block, deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    if reason is not None:
        delta = {"stop_reason": reason, "stop_sequence": None}
        events.append({"type": "message_delta", "delta": delta, "usage": usage or {"output_tokens": 2}})
        events.append({"type": "message_stop"})
    return b"".join(frame(event) for event in events)


def frame(event: Any) -> bytes:
    """One event as it stands in a stream."""
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), _encoded(event))


def read_stream(data: bytes, losses: Losses | None = None) -> list[Event]:
    """The events of a whole stream."""
    reader = ANTHROPIC_MESSAGES.reader(Losses("response") if losses is None else losses)
    return reader.feed(data) + reader.finish()


def streamed(events: Sequence[Event], losses: Losses | None = None) -> bytes:
    """Events, written as a stream."""
    writer = ANTHROPIC_MESSAGES.writer(context(losses))
    return writer.write(events) + writer.finish()


def events_of(data: bytes) -> list[dict[str, Any]]:
    """The decoded events of a stream, each under its own name."""
    told = []
    for event in data.decode().strip().split("\n\n"):
        name, text = event.split("\n")
        payload = json.loads(text.removeprefix("data: "))
        assert name == f"event: {payload['type']}"
        told.append(payload)
    return told
