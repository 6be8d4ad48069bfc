"""The first bytes of an answer, and its way through when nothing is converted."""

import re
from typing import Any

import msgspec

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects.bedrock_converse.errors import error_inside
from asgi_gateway.dialects.bedrock_converse.frames import Frame, FrameReader, frame_length
from asgi_gateway.dialects.bedrock_converse.usage import tools_in, usage_of
from asgi_gateway.dialects.contract import Head
from asgi_gateway.dialects.plain_tap import TokenCount
from asgi_gateway.errors import EmptyUpstream, MalformedUpstream, UpstreamError

__all__ = ["TEXT", "StreamTap", "failure_in", "judge_plain", "judge_stream", "usage_in"]

TEXT = re.compile(rb'"(?:text|input)"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)')
"""What a model wrote."""


class _Block(msgspec.Struct, frozen=True, rename="camel"):
    tool_use: Any = None


class _Message(msgspec.Struct, frozen=True):
    content: tuple[_Block, ...] = ()


class _Output(msgspec.Struct, frozen=True):
    message: _Message = _Message()


class _Answer(msgspec.Struct, rename="camel"):
    output: _Output = _Output()
    usage: Any = None
    service_tier: Any = None


_answer = msgspec.json.Decoder(_Answer)

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


def usage_in(answer: bytes) -> Usage | None:
    """The usage of a whole plain answer. Raises `ValueError` for what is no JSON object."""
    try:
        read = _answer.decode(answer)
        blocks = read.output.message.content
    except msgspec.ValidationError:  # an odd message: its usage is read all the same
        loose = _decoded(answer)
        return usage_of(loose.get("usage"), loose.get("serviceTier"))
    calls = [block.tool_use for block in blocks if block.tool_use is not None]
    return usage_of(read.usage, read.service_tier, tools_in(calls) if calls else ())


class StreamTap:
    """Reads one stream, frame by frame. An exception is kept back, with all behind it, and raised at the end."""

    __slots__ = ("_count", "_ended", "_failure", "_held", "_ran", "_reader", "usage")

    usage: Usage | None

    def __init__(self) -> None:
        self.usage = None
        self._held = bytearray()
        self._reader = FrameReader()
        self._failure: UpstreamError | None = None
        self._ended = False
        self._ran: list[Any] = []
        """Calls of Amazon's own tools."""
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
            payload = _decoded(frame.payload)
            self.usage = usage_of(payload.get("usage"), payload.get("serviceTier"), tools_in(self._ran))
        elif frame.name == "contentBlockStart":
            start = _decoded(frame.payload).get("start")
            if isinstance(start, dict):
                self._ran.append(start.get("toolUse"))
        elif frame.name == "messageStop":
            self._ended = True
        return True


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        payload = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}
