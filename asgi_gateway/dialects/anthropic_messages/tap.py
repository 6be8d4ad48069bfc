"""Judges the first bytes of an answer, and reads the usage of a stream that passes through."""

import re
from typing import Any

import msgspec

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects import sse
from asgi_gateway.dialects.anthropic_messages.errors import error_inside
from asgi_gateway.dialects.anthropic_messages.usage import merged, usage_of
from asgi_gateway.dialects.contract import Head
from asgi_gateway.dialects.plain_tap import TokenCount
from asgi_gateway.errors import EmptyUpstream, MalformedUpstream, UpstreamError

__all__ = ["TEXT", "StreamTap", "judge_plain", "judge_stream"]

TEXT = re.compile(rb'"(?:text|thinking|partial_json)"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)')
"""What a model wrote, in messages and their deltas."""

EVENT_LIMIT = 1 << 20
"""Bytes of an event that is held; longer ones (results of searches) are handed on as they come."""

_SAYS = re.compile(rb'"type"\s*:\s*"(?:message_start|message_delta|message_stop|error)"')


def judge_plain(data: bytes, *, complete: bool) -> Head:
    """What a plain answer says. Raises `UpstreamError` for an error, `MalformedUpstream` for what is no message."""
    first = data.lstrip()[:1]
    if first != b"{" and (first or complete):
        if not first:
            raise EmptyUpstream("the upstream's answer is empty")
        raise MalformedUpstream("the upstream's answer is no JSON object")
    if not complete:
        return Head.WAIT
    payload = _decoded(data)
    if payload.get("type") == "error" or payload.get("error"):
        raise error_inside(payload)
    if not isinstance(payload.get("content"), list):
        raise MalformedUpstream("the upstream's answer is no message")
    return Head.RELEASE


def judge_stream(data: bytes, *, complete: bool) -> Head:
    """What the first events say. Waits for the first block, or a reason to stop."""
    first = data.lstrip()[:1]
    if first == b"<" or (first == b"{" and complete):
        payload = _decoded(data)
        raise error_inside(payload) if payload.get("error") else MalformedUpstream("the answer is no event stream")
    for event in sse.events(data if complete else data[: sse.boundary(data)]):
        text = sse.data_of(event)
        if not text:
            continue
        payload = _decoded(text)
        if not payload:
            raise MalformedUpstream("the upstream's stream holds an event that is no JSON object")
        kind = payload.get("type")
        if kind == "error" or payload.get("error"):
            raise error_inside(payload)
        if kind == "message_stop":
            raise EmptyUpstream("the upstream's stream ended before it said anything")
        if kind not in ("message_start", "ping"):
            return Head.RELEASE
    if complete:
        raise EmptyUpstream("the upstream's stream ended before it said anything")
    return Head.WAIT


class StreamTap:
    """Reads one stream, event by event. An error event is kept back, with all behind it, and raised at the end."""

    __slots__ = ("_count", "_failure", "_held", "_long", "_reported", "_stopped", "usage")

    usage: Usage | None

    def __init__(self) -> None:
        self.usage = None
        self._held = bytearray()
        self._count = TokenCount(TEXT)
        self._failure: UpstreamError | None = None
        self._reported: Any = {}
        self._stopped = False
        self._long = False

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk, give back the events that are whole."""
        held = self._held
        if not held and chunk.endswith(b"\n\n"):
            return self._read(chunk)
        start = max(0, len(held) - 3)
        held += chunk
        end = sse.boundary(held, start)
        block = bytes(held[:end])
        del held[:end]
        given = self._read(block) if block else b""
        if self._long and end:
            self._long = False
        if len(held) > EVENT_LIMIT:
            given += bytes(held[:-3])
            del held[:-3]
            self._long = True
        return given

    def finish(self) -> bytes:
        """The end. Raises the error that the stream ended with, or `MalformedUpstream` when its end is missing."""
        rest = self._read(bytes(self._held)) if self._held else b""
        self._held.clear()
        if self._failure is not None:
            raise self._failure
        if not self._stopped:
            raise MalformedUpstream("the upstream's stream ended too soon")
        return rest

    @property
    def output_estimate(self) -> int:
        """Output tokens counted from the events that passed."""
        return self._count.tokens

    def _read(self, block: bytes) -> bytes:
        if self._failure is not None:
            return b""
        self._count.feed(block)
        if _SAYS.search(block) is None:
            return block
        passed = []
        for event in sse.events(block):
            if _SAYS.search(event) is not None and self._fails(_decoded(sse.data_of(event))):
                break
            passed.append(event)
        return b"".join(passed)

    def _fails(self, payload: dict[str, Any]) -> bool:
        """Learn from an event; True for an error, which ends the stream."""
        kind = payload.get("type")
        if kind == "error":
            self._failure = error_inside(payload)
            return True
        if kind in ("message_start", "message_delta"):
            holder = payload.get("message") if kind == "message_start" else payload
            usage = holder.get("usage") if isinstance(holder, dict) else None
            self._reported = merged(self._reported, usage)
            self.usage = usage_of(self._reported)
            delta = payload.get("delta")
            if isinstance(delta, dict) and delta.get("stop_reason"):
                self._stopped = True
        elif kind == "message_stop":
            self._stopped = True
        return False


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        payload = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}
