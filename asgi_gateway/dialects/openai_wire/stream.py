"""Answers of OpenAI's interface that are event streams: chunks of JSON, `data: [DONE]` at the end.

Events pass whole: what is held is the beginning of an event, which no client can use before its end. So an error
that ends a stream always stands in an event of its own, and an event can be withheld.
"""

import re
from typing import Any

import msgspec

from asgi_gateway.dialects import sse
from asgi_gateway.dialects.contract import Head
from asgi_gateway.dialects.openai_wire.errors import error_inside
from asgi_gateway.dialects.openai_wire.text import TextCount
from asgi_gateway.dialects.openai_wire.usage import usage_of
from asgi_gateway.errors import EmptyUpstream, MalformedUpstream, UpstreamError
from asgi_gateway.storage.records import Usage

__all__ = ["StreamTap", "error_in", "judge_stream"]

BOM = b"\xef\xbb\xbf"

EVENT_LIMIT = 1 << 18
"""Bytes of an event that is held and read. Longer ones (images) pass as they come."""

COUNT_AT = 1 << 14
"""Bytes of events kept before their text is counted: most streams report their usage before that."""

_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_ERROR = re.compile(rb'"error"\s*:\s*[^\sn]|^event:\s*error|^error:', re.MULTILINE)
_DONE = re.compile(rb"^data:[ \t]*\[DONE\]", re.MULTILINE)
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')


def judge_stream(data: bytes, *, complete: bool) -> Head:
    """What the first events of a stream say.

    Waits for the first that carries output or a reason to finish: an error or an empty end behind a chunk that only
    names the role is still unseen. Raises `UpstreamError` for an error event, `MalformedUpstream` for a stream that
    ends empty or is none.
    """
    text = data[len(BOM) :] if data.startswith(BOM) else data
    first = text.lstrip()[:1]
    if first == b"<" or (first == b"{" and complete):
        raise error_in(b"", _decoded(text)) or MalformedUpstream("the upstream's answer is no event stream")
    for event in sse.events(text if complete else text[: sse.boundary(text)]):
        if _speaks(event):
            return Head.RELEASE
    if complete:
        raise EmptyUpstream("the upstream's stream ended before it said anything")
    return Head.WAIT


class StreamTap:
    """Reads one stream, event by event.

    `text` finds what counts as output. With `withhold_usage` an event that holds nothing but the usage is kept back.
    An error event is kept back, too, with all behind it, and raised at the end: its text is the upstream's own.
    """

    __slots__ = ("_events", "_failure", "_held", "_limit", "_passed", "_withhold", "usage")

    usage: Usage | None
    """What the upstream reported last."""

    def __init__(
        self, text: re.Pattern[bytes], *, withhold_usage: bool = False, event_limit: int = EVENT_LIMIT
    ) -> None:
        self.usage = None
        self._events = _Events(text)
        self._failure: UpstreamError | None = None
        self._held = bytearray()
        self._limit = event_limit
        self._passed = 0  # bytes at the beginning of what is held that have been given out: the event is too long
        self._withhold = withhold_usage

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk, give back the events that are whole."""
        held = self._held
        if not held and chunk.endswith(b"\n\n"):
            return self._read(chunk)
        start = max(0, len(held) - 2)
        held += chunk
        end = sse.boundary(held, start) if b"\n" in chunk else 0
        block = bytes(held[:end])
        del held[:end]
        given = b""
        if end:
            given = self._end_long(block) if self._passed else self._read(block)
        if self._passed or len(held) > self._limit:
            given += self._pass_long()
        elif held.startswith((b"\n", b"\r")):  # empty lines in front of an event are none of it
            empty = len(held) - len(held.lstrip(b"\r\n"))
            given += self._released(bytes(held[:empty]))
            del held[:empty]
        return given

    def finish(self) -> bytes:
        """The end. Raises the error that the stream ended with, or `MalformedUpstream` when its end is missing.

        The end is `[DONE]`; of upstreams that never send it, a reason to finish is enough.
        """
        rest, cut = b"", self._passed > 0
        if self._held and not cut:
            last = bytes(self._held)
            rest, cut = self._read(last), not _is_whole(last)
        self._held.clear()
        if self._failure is not None:
            raise self._failure
        if cut or not self._events.ended:
            raise MalformedUpstream("the upstream's stream ended too soon")
        return rest

    @property
    def output_estimate(self) -> int:
        """Output tokens counted from the events that passed."""
        return self._events.tokens

    def _read(self, block: bytes) -> bytes:
        """Learn from whole events and give back those that may pass."""
        if len(block) > self._limit + 1:
            return self._read_large(block)
        self._events.add(block)
        if (
            (b'"usage"' in block and _USAGE.search(block))
            or (b"error" in block and _ERROR.search(block))
            or self._failure is not None
        ):
            return b"".join([event for event in sse.events(block) if not self._withholds(event)])
        return block

    def _read_large(self, block: bytes) -> bytes:
        """As `_read`, for a block that may hold an event too long to be read."""
        pieces = []
        for event in sse.events(block):
            pieces.append(self._released(event) if len(event) > self._limit + 1 else self._read(event))
        return b"".join(pieces)

    def _withholds(self, event: bytes) -> bool:
        failed = self._failure is not None
        if b"usage" not in event and b"error" not in event:
            return failed
        payload = _decoded(sse.data_of(event))
        if not failed:
            self._failure = error_in(event, payload)
        usage = usage_of(_reported(payload), payload.get("service_tier"), payload.get("model"))
        if usage is not None:
            self.usage = usage
        if self._failure is not None:
            return True
        return self._withhold and isinstance(payload.get("usage"), dict) and not payload.get("choices")

    def _pass_long(self) -> bytes:
        """Give out what has come of an event that is too long to be held."""
        given = bytes(self._held[self._passed :])
        del self._held[:-2]  # what a blank line may begin in
        self._passed = len(self._held)
        return self._released(given)

    def _end_long(self, block: bytes) -> bytes:
        end = sse.ending(block)
        given = self._released(block[self._passed : end])
        self._passed = 0
        return given + self._read(block[end:]) if end < len(block) else given

    def _released(self, data: bytes) -> bytes:
        return data if self._failure is None else b""


class _Events:
    """The events of a stream so far: whether they say that it ended, and how many tokens they hold.

    They are looked at late and many at once: a stream that reports its usage soon is never counted.
    """

    __slots__ = ("_blocks", "_count", "_ended", "_size")

    def __init__(self, text: re.Pattern[bytes]) -> None:
        self._blocks: list[bytes] = []
        self._count = TextCount(text)
        self._ended = False
        self._size = 0

    def add(self, block: bytes) -> None:
        self._blocks.append(block)
        self._size += len(block)
        if self._size > COUNT_AT:
            self._look()

    @property
    def ended(self) -> bool:
        return self._ended or any(map(_ends, reversed(self._blocks)))

    @property
    def tokens(self) -> int:
        self._look()
        return self._count.tokens

    def _look(self) -> None:
        self._ended = self.ended
        self._count.feed(b"".join(self._blocks))
        self._blocks.clear()
        self._size = 0


def _ends(block: bytes) -> bool:
    done = b"[DONE]" in block and _DONE.search(block) is not None
    return done or _FINISHED.search(block) is not None


def _is_whole(event: bytes) -> bool:
    """Whether an event without its blank line is all there: a comment, `[DONE]`, or JSON."""
    data = sse.data_of(event).strip()
    return not data or data == b"[DONE]" or bool(_decoded(data))


def _decoded(data: bytes) -> dict[str, Any]:
    """The object that an event carries; empty when it carries none."""
    try:
        payload = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}


def error_in(event: bytes, payload: dict[str, Any]) -> UpstreamError | None:
    """The error that an event tells of: `error` in its object, an event of that name, or llama.cpp's `error:` line."""
    if payload.get("error"):
        return error_inside(payload)
    if b"event:" in event and sse.field_of(event, b"event") == b"error":
        return error_inside(payload)
    line = sse.field_of(event, b"error") if b"error:" in event else b""
    return error_inside(_decoded(line)) if line else None


def _reported(payload: dict[str, Any]) -> Any:
    """The usage object of a chunk, wherever the vendor puts it: at the top, under `x_groq`, or in a choice."""
    choices = payload.get("choices")
    places = [payload, payload.get("x_groq"), *(choices if isinstance(choices, list) else ())]
    for place in places:
        if isinstance(place, dict) and isinstance(usage := place.get("usage"), dict):
            return usage
    return None


def _speaks(event: bytes) -> bool:
    """Whether an event carries output or a reason to finish. Raises for an error, an end, or what is no chunk."""
    data = sse.data_of(event)
    if data.strip() == b"[DONE]":
        raise EmptyUpstream("the upstream's stream ended before it said anything")
    payload = _decoded(data)
    error = error_in(event, payload)
    if error is not None:
        raise error
    if not data:
        return False
    if not payload:
        raise MalformedUpstream("the upstream's stream holds an event that is no JSON object")
    if "choices" not in payload:
        return True
    choices = payload["choices"]
    return isinstance(choices, list) and any(map(_has_output, choices))


def _has_output(choice: Any) -> bool:
    if not isinstance(choice, dict) or choice.get("finish_reason") or choice.get("text"):
        return True
    for name in ("delta", "message"):
        part = choice.get(name)
        if isinstance(part, dict) and any(value for key, value in part.items() if key != "role"):
            return True
    return False
