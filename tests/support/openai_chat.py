"""Short ways into and out of OpenAI's chat dialect, for its tests."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from asgi_gateway.canonical import ChatRequest, ChatResponse, Event, Losses, Turn, collect, unfold
from asgi_gateway.dialects.contract import AnswerContext
from asgi_gateway.dialects.openai_chat import OPENAI_CHAT

__all__ = [
    "answer",
    "chunk",
    "chunks_of",
    "context_of",
    "events_of",
    "read",
    "read_plain",
    "rewritten",
    "streamed",
    "written",
    "written_plain",
]

HI = [{"role": "user", "content": "Hi"}]


def read(losses: Losses | None = None, **fields: Any) -> ChatRequest:
    """A request read from these fields; a model and a message are given where they are not said."""
    body = json.dumps({"model": "gpt-4o", "messages": HI, **fields}).encode()
    noted = Losses("request") if losses is None else losses
    return OPENAI_CHAT.read_request(body, OPENAI_CHAT.outline(body), noted)


def written(request: ChatRequest, losses: Losses | None = None) -> dict[str, Any]:
    """A request as its body."""
    body = OPENAI_CHAT.write_request(request, Losses("request") if losses is None else losses)
    decoded: dict[str, Any] = json.loads(body)
    return decoded


def rewritten(request: ChatRequest, losses: Losses | None = None) -> ChatRequest:
    """A request written and read again."""
    body = OPENAI_CHAT.write_request(request, Losses("request") if losses is None else losses)
    return OPENAI_CHAT.read_request(body, OPENAI_CHAT.outline(body), Losses("request"))


def context_of(**fields: Any) -> AnswerContext:
    """A context for answers, the caller's request made of these fields."""
    request = ChatRequest(**{"model": "asked", "turns": (Turn("user", ()),), **fields})
    return AnswerContext(request=request, losses=Losses("response"), id="0123456789abcdef", created=1700000000)


def answer(message: dict[str, Any], finish: Any = "stop", **fields: Any) -> dict[str, Any]:
    """A plain answer's body."""
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], **fields}


def read_plain(body: dict[str, Any], losses: Losses | None = None) -> ChatResponse:
    """A plain answer read."""
    noted = Losses("response") if losses is None else losses
    return collect(OPENAI_CHAT.read_response(json.dumps(body).encode(), noted))


def chunk(delta: dict[str, Any], finish: Any = None, **fields: Any) -> bytes:
    """An event of a stream; `choice` adds to its choice."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **fields.pop("choice", {})}
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: " + json.dumps({**body, **fields}).encode() + b"\n\n"


def events_of(wire: bytes, losses: Losses | None = None) -> list[Event]:
    """The events of a whole stream."""
    reader = OPENAI_CHAT.reader(Losses("response") if losses is None else losses)
    return [*reader.feed(wire), *reader.finish()]


def streamed(events: Sequence[Event], context: AnswerContext | None = None) -> bytes:
    """Events as a stream."""
    writer = OPENAI_CHAT.writer(context or context_of())
    return b"".join([writer.write([event]) for event in events]) + writer.finish()


def chunks_of(wire: bytes) -> list[dict[str, Any]]:
    """The chunks of a stream that was written; its end is checked and left out."""
    *chunks, done, rest = wire.split(b"\n\n")
    assert done == b"data: [DONE]"
    assert rest == b""
    return [json.loads(chunk.removeprefix(b"data: ")) for chunk in chunks]


def written_plain(response: ChatResponse, context: AnswerContext | None = None) -> dict[str, Any]:
    """An answer as its body."""
    body: dict[str, Any] = msgspec.json.decode(OPENAI_CHAT.write_response(response, context or context_of()))
    return body


def unfolded(response: ChatResponse) -> list[Event]:
    """The events of an answer."""
    return list(unfold(response))
