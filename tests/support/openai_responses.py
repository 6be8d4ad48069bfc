"""Short ways into and out of OpenAI's Responses dialect, for its tests."""

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from asgi_gateway.canonical import ChatRequest, ChatResponse, Event, Losses, Turn, collect
from asgi_gateway.dialects.contract import AnswerContext
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES

__all__ = [
    "answer",
    "context_of",
    "event",
    "events_of",
    "message",
    "read",
    "read_plain",
    "rewritten",
    "sent",
    "streamed",
    "written",
    "written_plain",
]


def read(losses: Losses | None = None, **fields: Any) -> ChatRequest:
    """A request read from these fields; a model and an input are given where they are not said."""
    body = json.dumps({"model": "gpt-5-mini", "input": "Hi", **fields}).encode()
    noted = Losses("request") if losses is None else losses
    return OPENAI_RESPONSES.read_request(body, OPENAI_RESPONSES.outline(body), noted)


def written(request: ChatRequest, losses: Losses | None = None) -> dict[str, Any]:
    """A request as its body."""
    body = OPENAI_RESPONSES.write_request(request, Losses("request") if losses is None else losses)
    decoded: dict[str, Any] = json.loads(body)
    return decoded


def rewritten(request: ChatRequest, losses: Losses | None = None) -> ChatRequest:
    """A request written and read again."""
    noted = Losses("request") if losses is None else losses
    body = OPENAI_RESPONSES.write_request(request, noted)
    return OPENAI_RESPONSES.read_request(body, OPENAI_RESPONSES.outline(body), noted)


def context_of(**fields: Any) -> AnswerContext:
    """A context for answers, the caller's request made of these fields."""
    request = ChatRequest(**{"model": "asked", "turns": (Turn("user", ()),), **fields})
    return AnswerContext(request=request, losses=Losses("response"), id="0123456789abcdef", created=1700000000)


def message(*content: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """An output message."""
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": content, **fields}


def answer(*output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A plain answer's body."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 7,
        "model": "m",
        "status": "completed",
        "output": list(output),
        **fields,
    }


def read_plain(body: dict[str, Any], losses: Losses | None = None) -> ChatResponse:
    """A plain answer read."""
    noted = Losses("response") if losses is None else losses
    return collect(OPENAI_RESPONSES.read_response(json.dumps(body).encode(), noted))


def event(kind: str, **fields: Any) -> bytes:
    """An event of a stream."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def events_of(wire: bytes, losses: Losses | None = None) -> list[Event]:
    """The events of a whole stream."""
    reader = OPENAI_RESPONSES.reader(Losses("response") if losses is None else losses)
    return [*reader.feed(wire), *reader.finish()]


def streamed(events: Sequence[Event], context: AnswerContext | None = None) -> bytes:
    """Events as a stream."""
    writer = OPENAI_RESPONSES.writer(context or context_of())
    return b"".join([writer.write([event]) for event in events]) + writer.finish()


def sent(wire: bytes) -> list[dict[str, Any]]:
    """What the events of a stream carry; their names and numbers are checked."""
    *blocks, rest = wire.split(b"\n\n")
    assert rest == b""
    given = []
    for number, block in enumerate(blocks):
        name, data = block.split(b"\n")
        given.append(json.loads(data.removeprefix(b"data: ")))
        assert name == b"event: " + given[-1]["type"].encode()
        assert given[-1]["sequence_number"] == number
    return given


def written_plain(response: ChatResponse, context: AnswerContext | None = None) -> dict[str, Any]:
    """An answer as its body."""
    body: dict[str, Any] = msgspec.json.decode(OPENAI_RESPONSES.write_response(response, context or context_of()))
    return body
