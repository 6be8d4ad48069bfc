"""The first bytes of an answer, and its way through when nothing is converted."""

import re
from typing import Any

import msgspec

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects import sse
from asgi_gateway.dialects.cohere_chat.errors import error_inside, failure
from asgi_gateway.dialects.cohere_chat.reasons import FAILURES
from asgi_gateway.dialects.cohere_chat.usage import usage_of
from asgi_gateway.dialects.contract import Head
from asgi_gateway.dialects.plain_tap import TokenCount
from asgi_gateway.errors import EmptyUpstream, MalformedUpstream, UpstreamError

__all__ = ["TEXT", "StreamTap", "judge_plain", "judge_stream"]

EVENT_LIMIT = 1 << 18
"""Bytes of an event that is held. Longer ones pass as they come."""

COUNT_AT = 1 << 14
"""Bytes of events kept before their text is counted."""

TEXT = re.compile(rb'"(?:text|thinking|tool_plan|arguments)"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)')
"""What a model wrote."""

_SPEAKS = frozenset({"content-delta", "tool-plan-delta", "tool-call-start", "message-end"})


def judge_plain(data: bytes, *, complete: bool) -> Head:
    """What the first bytes of a plain answer say. Raises for an error inside, or for what is no answer."""
    first = data.lstrip()[:1]
    if first != b"{" and (complete or first):
        if not first:
            raise EmptyUpstream("the upstream's answer is empty")
        raise MalformedUpstream("the upstream's answer is no JSON object")
    if not complete:
        return Head.WAIT
    payload = _decoded(data)
    if isinstance(payload.get("message"), dict):
        if payload.get("finish_reason") in FAILURES:
            raise failure(payload["finish_reason"], payload.get("error"))
        return Head.RELEASE
    if payload.get("message") or payload.get("error"):
        raise error_inside(payload)
    raise MalformedUpstream("the upstream's answer has no message")


def judge_stream(data: bytes, *, complete: bool) -> Head:
    """What the first events of a stream say: waits for output or an end, raises for an error or an empty stream."""
    first = data.lstrip()[:1]
    if first == b"<" or (first == b"{" and complete):
        payload = _decoded(data)
        raise error_inside(payload) if payload else MalformedUpstream("the upstream's answer is no event stream")
    for event in sse.events(data if complete else data[: sse.boundary(data)]):
        text = sse.data_of(event)
        if not text.strip() or text.strip() == b"[DONE]":
            continue
        payload = _decoded(text)
        if not payload:
            raise MalformedUpstream("the upstream's stream holds an event that is no JSON object")
        error = _failure_in(payload)
        if error is not None:
            raise error
        if payload.get("type") in _SPEAKS:
            return Head.RELEASE
    if complete:
        raise EmptyUpstream("the upstream's stream ended before it said anything")
    return Head.WAIT


class StreamTap:
    """Reads one stream, event by event. An error is kept back, with all behind it, and raised at the end."""

    __slots__ = ("_blocks", "_count", "_ended", "_failure", "_held", "_size", "_torn", "usage")

    usage: Usage | None

    def __init__(self) -> None:
        self.usage = None
        self._held = bytearray()
        self._torn = False
        self._failure: UpstreamError | None = None
        self._ended = False
        self._count = TokenCount(TEXT)
        self._blocks: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk, give back the events that are whole."""
        held = self._held
        if not held and not self._torn and chunk.endswith(b"\n\n"):
            return self._read(chunk)
        start = max(0, len(held) - 2)
        held += chunk
        end = sse.boundary(held, start)
        given = b""
        if end:
            self._torn = False
            block = bytes(held[:end])
            del held[:end]
            given = self._read(block)
        if len(held) > EVENT_LIMIT:  # too long to be held: the caller gets it in pieces
            self._torn = True
            given += self._read(bytes(held[:-2]))
            del held[:-2]
        return given

    def finish(self) -> bytes:
        """The end. Raises the error that the stream ended with, or `MalformedUpstream` when its end is missing."""
        rest = self._read(bytes(self._held)) if self._held else b""
        self._held.clear()
        if self._failure is not None:
            raise self._failure
        if not self._ended:
            raise MalformedUpstream("the upstream's stream ended too soon")
        return rest

    @property
    def output_estimate(self) -> int:
        """Output tokens counted from the events that passed."""
        self._look()
        return self._count.tokens

    def _read(self, block: bytes) -> bytes:
        self._blocks.append(block)
        self._size += len(block)
        if self._size > COUNT_AT:
            self._look()
        if self._failure is not None:
            return b""
        if b'"message-end"' not in block and b'"message":"' not in block:
            return block
        return b"".join([event for event in sse.events(block) if not self._withholds(event)])

    def _withholds(self, event: bytes) -> bool:
        if self._failure is not None:
            return True
        payload = _decoded(sse.data_of(event))
        self._failure = _failure_in(payload)
        if payload.get("type") == "message-end" and self._failure is None:
            self._ended = True
            delta = payload.get("delta")
            self.usage = usage_of(delta.get("usage")) if isinstance(delta, dict) else None
        return self._failure is not None

    def _look(self) -> None:
        self._count.feed(b"".join(self._blocks))
        self._blocks.clear()
        self._size = 0


def _failure_in(payload: dict[str, Any]) -> UpstreamError | None:
    """The error that an event tells of."""
    delta = payload.get("delta")
    if payload.get("type") == "message-end" and isinstance(delta, dict):
        reason = delta.get("finish_reason")
        if reason in FAILURES or delta.get("error"):
            return failure(reason if isinstance(reason, str) else "", delta.get("error"))
    if not payload.get("type") and (payload.get("message") or payload.get("error")):
        return error_inside(payload)
    return None


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        payload = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}
