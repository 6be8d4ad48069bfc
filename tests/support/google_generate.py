"""Short words for tests of Google's format."""

import json
from typing import Any

from asgi_gateway.canonical import ChatRequest, Event, Losses
from asgi_gateway.dialects.contract import AnswerContext, RequestOutline, Target
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE

__all__ = ["STREAMED", "answer", "chunk", "context", "noted", "read", "read_stream", "sse_of", "written"]

STREAMED = Target("/v1beta/models/gemini-2.5-flash:streamGenerateContent", b"alt=sse")


def read(body: dict[str, Any], losses: Losses | None = None, model: str = "gemini-2.5-flash") -> ChatRequest:
    """A caller's request, read."""
    outline = RequestOutline(model=model)
    return GOOGLE_GENERATE.read_request(
        json.dumps(body).encode(), outline, Losses("request") if losses is None else losses
    )


def written(request: ChatRequest, losses: Losses | None = None) -> dict[str, Any]:
    """A request for an upstream, as decoded JSON."""
    body: dict[str, Any] = json.loads(
        GOOGLE_GENERATE.write_request(request, Losses("request") if losses is None else losses)
    )
    return body


def noted(losses: Losses) -> list[str]:
    """Losses as `kind:field`."""
    return [f"{loss.kind}:{loss.field}" for loss in losses.noted()]


def chunk(*parts: dict[str, Any], finish: Any = None, **more: Any) -> dict[str, Any]:
    """One `GenerateContentResponse` with one candidate."""
    candidate: dict[str, Any] = {"content": {"parts": list(parts), "role": "model"}, "index": 0}
    if finish is not None:
        candidate["finishReason"] = finish
    top: dict[str, Any] = {
        name: more.pop(name) for name in ("usageMetadata", "responseId", "modelVersion") if name in more
    }
    return {"candidates": [{**candidate, **more}], "responseId": "R1", "modelVersion": "gemini-2.5-flash", **top}


def sse_of(*chunks: dict[str, Any]) -> bytes:
    """Chunks as an event stream with Google's own line ends."""
    return b"".join(b"data: " + json.dumps(chunk).encode() + b"\r\n\r\n" for chunk in chunks)


def read_stream(wire: bytes, losses: Losses | None = None) -> list[Event]:
    """The events of a whole stream."""
    reader = GOOGLE_GENERATE.reader(Losses("response") if losses is None else losses)
    return reader.feed(wire) + reader.finish()


def answer(body: Any, losses: Losses | None = None) -> list[Event]:
    """The events of a plain answer."""
    return GOOGLE_GENERATE.read_response(json.dumps(body).encode(), Losses("response") if losses is None else losses)


def context(*, framing: str = "sse", losses: Losses | None = None) -> AnswerContext:
    """What a writer of answers knows."""
    request = ChatRequest(model="asked-for", turns=())
    return AnswerContext(
        request=request, losses=Losses("response") if losses is None else losses, framing=framing, id="made1", created=1
    )
