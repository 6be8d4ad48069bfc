"""The first bytes of an answer, and its way through when nothing is converted."""

import re
from typing import Any

import msgspec

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects.bedrock_converse.errors import error_inside
from asgi_gateway.dialects.bedrock_converse.frames import Frame, FrameReader, frame_length
from asgi_gateway.dialects.bedrock_converse.usage import usage_of
from asgi_gateway.dialects.contract import Head
from asgi_gateway.dialects.plain_tap import TokenCount
from asgi_gateway.errors import EmptyUpstream, MalformedUpstream, UpstreamError

__all__ = ["TEXT", "StreamTap", "failure_in", "judge_plain", "judge_stream"]

TEXT = re.compile(rb'"(?:text|input)"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)')
"""What a model wrote."""

_SPEAKS = frozenset({"contentBlockDelta", "contentBlockStart", "messageStop"})


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
    output = payload.get("output")
    if isinstance(output, dict) and isinstance(output.get("message"), dict):
        return Head.RELEASE
    if payload.get("message") or payload.get("__type"):
        raise error_inside(str(payload.get("__type", "")), payload)
    raise MalformedUpstream("the upstream's answer has no message")


def judge_stream(data: bytes, *, complete: bool) -> Head:
    """What the first frames say: waits for output or an end, raises for an error, or for what are no frames."""
    try:
        for frame in FrameReader().feed(data):
            if frame.kind != "event":
                raise failure_in(frame)
            if frame.name in _SPEAKS:
                return Head.RELEASE
    except ValueError as wrong:
        raise MalformedUpstream(f"the upstream's answer is no event stream: {wrong}") from wrong
    if complete:
        raise EmptyUpstream("the upstream's stream ended before it said anything")
    return Head.WAIT


def failure_in(frame: Frame) -> UpstreamError:
    """The error that a frame tells of."""
    if frame.kind == "error":
        code, _, text = frame.name.partition(": ")
        return error_inside(code, {"message": text})
    return error_inside(frame.name, _decoded(frame.payload))


class StreamTap:
    """Reads one stream, frame by frame. An exception is kept back, with all behind it, and raised at the end."""

    __slots__ = ("_count", "_ended", "_failure", "_held", "_reader", "usage")

    usage: Usage | None

    def __init__(self) -> None:
        self.usage = None
        self._held = bytearray()
        self._reader = FrameReader()
        self._failure: UpstreamError | None = None
        self._ended = False
        self._count = TokenCount(TEXT)

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk, give back the frames that are whole. Raises `MalformedUpstream` for a damaged one."""
        data = bytes(self._held) + chunk if self._held else chunk
        start = passed = 0
        try:
            while total := frame_length(data, start):
                if self._failure is None and self._passes(data[start : start + total]):
                    passed = start + total
                start += total
        except ValueError as wrong:
            raise MalformedUpstream(f"the upstream's stream is damaged: {wrong}") from wrong
        self._held[:] = data[start:]
        self._count.feed(data[:passed])
        return data[:passed]

    def finish(self) -> bytes:
        """The end. Raises the error that the stream ended with, or `MalformedUpstream` when its end is missing."""
        if self._failure is not None:
            raise self._failure
        if not self._ended or self._held:
            raise MalformedUpstream("the upstream's stream ended too soon")
        return b""

    @property
    def output_estimate(self) -> int:
        """Output tokens counted from the frames that passed."""
        return self._count.tokens

    def _passes(self, data: bytes) -> bool:
        frame = self._reader.read(data)
        if frame.kind != "event":
            self._failure = failure_in(frame)
            return False
        if frame.name == "metadata":
            self.usage = usage_of(_decoded(frame.payload).get("usage"))
        elif frame.name == "messageStop":
            self._ended = True
        return True


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        payload = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}
