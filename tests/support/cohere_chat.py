"""Requests and answers of Cohere's chat, and what is read from them."""

import json
from collections.abc import Sequence
from typing import Any

from asgi_gateway.canonical import ChatRequest, ChatResponse, Event, Losses, collect
from asgi_gateway.dialects.cohere_chat import COHERE_CHAT
from asgi_gateway.dialects.contract import AnswerContext

__all__ = ["answered", "context", "events_of", "read", "read_answer", "read_stream", "stream", "streamed", "written"]

MESSAGES = [{"role": "user", "content": "Hi"}]


def read(losses: Losses | None = None, **fields: Any) -> ChatRequest:
    """The request of these fields, read."""
    body = json.dumps({"model": "command-a-03-2025", "messages": MESSAGES, **fields}).encode()
    return COHERE_CHAT.read_request(body, COHERE_CHAT.outline(body), Losses("request") if losses is None else losses)


def written(request: ChatRequest, losses: Losses | None = None) -> dict[str, Any]:
    """A request, written and decoded."""
    decoded: dict[str, Any] = json.loads(
        COHERE_CHAT.write_request(request, Losses("request") if losses is None else losses)
    )
    return decoded


def context(losses: Losses | None = None) -> AnswerContext:
    """What a writer of answers is given."""
    return AnswerContext(request=read(), losses=Losses("response") if losses is None else losses, id="ours")


def read_answer(answer: Any, losses: Losses | None = None) -> ChatResponse:
    """A plain answer, read and folded."""
    return collect(
        COHERE_CHAT.read_response(json.dumps(answer).encode(), Losses("response") if losses is None else losses)
    )


def answered(response: ChatResponse, losses: Losses | None = None) -> dict[str, Any]:
    """A response, written as a plain answer and decoded."""
    decoded: dict[str, Any] = json.loads(COHERE_CHAT.write_response(response, context(losses)))
    return decoded


def stream(*events: dict[str, Any]) -> bytes:
    """A stream of these events."""
    return b"".join(b"event: %s\ndata: %s\n\n" % (e["type"].encode(), json.dumps(e).encode()) for e in events)


def read_stream(data: bytes, losses: Losses | None = None) -> list[Event]:
    """The events of a whole stream."""
    reader = COHERE_CHAT.reader(Losses("response") if losses is None else losses)
    return reader.feed(data) + reader.finish()


def streamed(events: Sequence[Event], losses: Losses | None = None) -> bytes:
    """Events, written as a stream."""
    writer = COHERE_CHAT.writer(context(losses))
    return writer.write(events) + writer.finish()


def events_of(data: bytes) -> list[Any]:
    """The decoded events of a stream."""
    lines = [line for line in data.decode().splitlines() if line.startswith("data: ")]
    return [line if line == "data: [DONE]" else json.loads(line[6:]) for line in lines]
