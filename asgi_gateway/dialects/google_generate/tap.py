"""Answers on their way through, unchanged but for their framing: usage is read, the end is looked for.

Google's streams are asked for as events. A caller who did not ask for `alt=sse` gets their payloads, byte for byte,
as the members of one array, which is how Google frames such a stream.
"""

import re
from typing import Any

import msgspec

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects import sse
from asgi_gateway.dialects.contract import Head
from asgi_gateway.dialects.google_generate.errors import error_inside
from asgi_gateway.dialects.google_generate.ran_tools import RanTools, ran_in, ran_near, tells_of_tools
from asgi_gateway.dialects.google_generate.usage import Reported, usage_of
from asgi_gateway.dialects.json_scan import measure
from asgi_gateway.dialects.plain_tap import TokenCount
from asgi_gateway.errors import EmptyUpstream, MalformedUpstream, UpstreamError

__all__ = ["PlainTap", "StreamTap", "judge_plain", "judge_stream"]

BOM = b"\xef\xbb\xbf"

EVENT_LIMIT = 64 << 20
"""Bytes of one event: an image is one."""

WHOLE_LIMIT = 1 << 18
"""Bytes of a plain answer that is kept whole."""

EDGE = 1 << 14
"""Bytes kept of the end of a longer one: its usage stands behind its candidates."""

LOOK_AT = 1 << 14
"""Bytes of events kept before they are looked at."""

_USAGE = re.compile(rb'"usageMetadata"\s*:\s*\{')
_MODEL = re.compile(rb'"modelVersion"\s*:\s*"([!#-\[\]-~]+)"')
_TEXT = re.compile(rb'"(?:text|stringValue)"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)')
_ENDS = re.compile(rb'"(?:finishReason|blockReason)"\s*:')


class _Part(msgspec.Struct):
    executableCode: msgspec.Raw | None = None  # noqa: N815 (a field of Google's)
    toolCall: msgspec.Raw | None = None  # noqa: N815


class _Content(msgspec.Struct):
    parts: list[_Part] = []


class _Candidate(msgspec.Struct):
    content: _Content | None = None
    groundingMetadata: msgspec.Raw | None = None  # noqa: N815
    urlContextMetadata: msgspec.Raw | None = None  # noqa: N815

    @property
    def is_plain(self) -> bool:
        parts = self.content.parts if self.content is not None else ()
        return (
            self.groundingMetadata is None
            and self.urlContextMetadata is None
            and all(part.executableCode is None and part.toolCall is None for part in parts)
        )


class _Answer(msgspec.Struct):
    """A whole answer: what tells its usage, and whether a tool of Google's was used."""

    usageMetadata: Reported | None = None  # noqa: N815
    candidates: list[_Candidate] = []

    @property
    def is_plain(self) -> bool:
        return self.usageMetadata is not None and all(candidate.is_plain for candidate in self.candidates)


_reported = msgspec.json.Decoder(Reported)
_usual = msgspec.json.Decoder(_Answer)


def judge_plain(data: bytes, *, complete: bool) -> Head:
    """What a plain answer says. Raises `UpstreamError` for an error inside it, `MalformedUpstream` for no answer."""
    text = data.removeprefix(BOM).lstrip()
    if text[:1] not in (b"{", b"[") and (complete or text):
        if not text:
            raise EmptyUpstream("the upstream's answer is empty")
        raise MalformedUpstream("the upstream's answer is no JSON object")
    if not complete:
        return Head.WAIT
    try:
        payload: Any = msgspec.json.decode(text)
    except (ValueError, RecursionError) as wrong:
        raise MalformedUpstream("the upstream's answer is no complete JSON object") from wrong
    for chunk in payload if isinstance(payload, list) else (payload,):
        if isinstance(chunk, dict) and chunk.get("error"):
            raise error_inside(chunk)
        if isinstance(chunk, dict) and (chunk.get("candidates") or _is_blocked(chunk)):
            return Head.RELEASE
    raise MalformedUpstream("the upstream's answer has no candidates")


def judge_stream(data: bytes, *, complete: bool) -> Head:
    """What the first events of a stream say: waits for the first with output, a reason to finish, or a block.

    Raises `UpstreamError` for an error event, `MalformedUpstream` for a stream that ends empty or is none.
    """
    text = data.removeprefix(BOM)
    first = text.lstrip()[:1]
    if first == b"<" or (first in (b"{", b"[") and complete):
        payload = _decoded(text)
        if payload.get("error"):
            raise error_inside(payload)
        raise MalformedUpstream("the upstream's answer is no event stream")
    for event in sse.events(text if complete else text[: sse.boundary(text)]):
        payload_text = sse.data_of(event).strip()
        if payload_text and _speaks(payload_text):
            return Head.RELEASE
    if complete:
        raise EmptyUpstream("the upstream's stream ended before it said anything")
    return Head.WAIT


def _speaks(data: bytes) -> bool:
    payload = _decoded(data)
    if not payload:
        raise MalformedUpstream("the upstream's stream holds an event that is no JSON object")
    if payload.get("error"):
        raise error_inside(payload)
    if _is_blocked(payload):
        return True
    candidates = payload.get("candidates")
    for candidate in candidates if isinstance(candidates, list) else ():
        if isinstance(candidate, dict):
            content = candidate.get("content")
            if candidate.get("finishReason") or (isinstance(content, dict) and content.get("parts")):
                return True
    return False


def _is_blocked(payload: dict[str, Any]) -> bool:
    feedback = payload.get("promptFeedback")
    return isinstance(feedback, dict) and bool(feedback.get("blockReason"))


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        payload = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return {}
    if isinstance(payload, list) and payload:
        payload = payload[0]
    return payload if isinstance(payload, dict) else {}


class _Learned:
    """What an answer said so far: its last report of usage, how long its texts are, which tools it used, its end.

    Blocks are looked at many at once.
    """

    __slots__ = ("_block", "_count", "_ended", "_ran", "_reports", "_size", "_texts")

    def __init__(self) -> None:
        self._block = b""
        self._count = TokenCount(_TEXT)
        self._ended = False
        self._ran: RanTools | None = None
        self._reports: list[bytes] = []
        self._size = 0
        self._texts: list[bytes] = []

    def add(self, block: bytes) -> None:
        if b'"usageMetadata"' in block:
            self._reports.append(block)
        else:
            self._texts.append(block)
        self._size += len(block)
        if self._size > LOOK_AT:
            self._look()

    def _look(self) -> None:
        texts, reports = b"".join(self._texts), b"".join(self._reports)
        if self._reports:
            self._block = self._reports[-1]
        self._texts.clear()
        self._reports.clear()
        self._size = 0
        self._count.feed(texts)
        for blocks in (texts, reports):
            if not self._ended and b'eason"' in blocks and _ENDS.search(blocks) is not None:
                self._ended = True
            if tells_of_tools(blocks):
                self._ran = self._ran or RanTools()
                _ran_in_events(blocks, self._ran)

    @property
    def ended(self) -> bool:
        """Whether a candidate named a reason to finish."""
        self._look()
        return self._ended

    @property
    def usage(self) -> Usage | None:
        """The last report that holds a figure, read when somebody asks."""
        self._look()
        return _with_tools(_last_usage(self._block), self._ran, self._block)

    @property
    def tokens(self) -> int:
        """Tokens counted; those of chunks that reported usage are not."""
        self._look()
        return self._count.tokens


def _ran_in_events(blocks: bytes, ran: RanTools) -> None:
    for event in sse.events(blocks):
        if tells_of_tools(event):
            ran_in(_decoded(sse.data_of(event)), ran)


class StreamTap:
    """Reads one event stream. An error event is kept back, with all behind it, and raised at the end."""

    __slots__ = ("_array", "_begun", "_failure", "_held", "_learned")

    def __init__(self, *, array: bool) -> None:
        self._array = array
        self._begun = False
        self._failure: UpstreamError | None = None
        self._held = bytearray()
        self._learned = _Learned()

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk, give back the events that are whole. Raises `MalformedUpstream` for one without an end."""
        held = self._held
        if not held and chunk.endswith((b"\n\n", b"\n\r\n")):
            return self._read(chunk)
        start = max(0, len(held) - 3)
        held += chunk
        end = sse.boundary(held, start) if b"\n" in chunk else 0
        if not end:
            if len(held) > EVENT_LIMIT:
                raise MalformedUpstream("the upstream's stream holds an event that is too long")
            return b""
        block = bytes(held[:end])
        del held[:end]
        return self._read(block)

    def finish(self) -> bytes:
        """The end. Raises the error that the stream ended with, or `MalformedUpstream` for one without an end."""
        rest = b""
        if self._held:
            last = bytes(self._held)
            self._held.clear()
            data = sse.data_of(last).strip()
            if data and not _decoded(data):
                raise MalformedUpstream("the upstream's stream ended too soon")
            rest = self._read(last)
        if self._failure is not None:
            raise self._failure
        if not self._learned.ended:
            raise MalformedUpstream("the upstream's stream ended too soon")
        return rest + b"\n]" if self._array else rest

    @property
    def usage(self) -> Usage | None:
        """The usage that was reported last."""
        return self._learned.usage

    @property
    def output_estimate(self) -> int:
        """Output tokens counted from the texts that passed."""
        return self._learned.tokens

    def _read(self, block: bytes) -> bytes:
        if self._failure is not None:
            return b""
        if not self._array and b'"error"' not in block:
            self._learned.add(block)
            return block
        given: list[bytes] = []
        for event in sse.events(block.removeprefix(BOM)):
            data = sse.data_of(event).strip()
            if b'"error"' in data and (payload := _decoded(data)).get("error"):
                self._failure = error_inside(payload)
                break
            self._learned.add(event)
            if not self._array:
                given.append(event)
            elif data:
                given.append((b"\n,\n" if self._begun else b"[") + data)
                self._begun = True
        return b"".join(given)


class PlainTap:
    """Reads one plain answer: bytes pass as they come, but the last one only once the answer is known to be whole."""

    __slots__ = ("_last", "_pieces", "_size", "usage")

    usage: Usage | None

    def __init__(self) -> None:
        self.usage = None
        self._pieces: list[bytes] = []
        self._size = 0
        self._last = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk, give back all but its last byte."""
        if not chunk:
            return b""
        self._size += len(chunk)
        self._pieces.append(chunk)
        if self._size > WHOLE_LIMIT:
            self._pieces = [b"".join(self._pieces)[-EDGE:]]
        last, self._last = self._last, chunk[-1:]
        return last + chunk[:-1]

    def finish(self) -> bytes:
        """The end: read the usage, give back the last byte. Raises `MalformedUpstream` for half an answer."""
        kept = b"".join(self._pieces)
        if self._size <= WHOLE_LIMIT:
            self.usage = _usage_in(kept.removeprefix(BOM))
            return self._last
        if not kept.rstrip().endswith((b"}", b"]")):
            raise MalformedUpstream("the upstream's answer ended too soon")
        ran = RanTools()
        ran_near(kept, ran)
        self.usage = _with_tools(_last_usage(kept), ran, kept)
        return self._last

    @property
    def output_estimate(self) -> int:
        """Output tokens counted so far; of an answer that is not kept whole every byte is taken for text."""
        count = TokenCount(_TEXT)
        if self._size > WHOLE_LIMIT:
            count.add(self._size)
        else:
            count.feed(b"".join(self._pieces))
        return count.tokens


def _usage_in(whole: bytes) -> Usage | None:
    """The usage of a whole answer. Raises `MalformedUpstream` for half a one."""
    try:
        answer = _usual.decode(whole)
        if answer.is_plain:
            return usage_of(answer.usageMetadata)
    except (ValueError, RecursionError):
        pass  # an array of chunks, or what no answer of Google's has: each is read for itself
    try:
        payload: Any = msgspec.json.decode(whole)
    except (ValueError, RecursionError) as wrong:
        raise MalformedUpstream("the upstream's answer ended too soon") from wrong
    ran = RanTools()
    ran_in(payload, ran)
    return _with_tools(_last_usage(whole), ran, whole)


def _with_tools(usage: Usage | None, ran: RanTools | None, block: bytes) -> Usage | None:
    """The usage with the tools that were used; the block names the model."""
    if usage is None or ran is None:
        return usage
    named = _MODEL.search(block)
    return msgspec.structs.replace(usage, tools=ran.counts(named[1].decode() if named else ""))


def _last_usage(block: bytes) -> Usage | None:
    """The last report that holds a figure. A text cannot hold one: its quotes are escaped there."""
    for match in reversed(list(_USAGE.finditer(block))):
        start = match.end() - 1
        try:
            usage = usage_of(_reported.decode(block[start : measure(block, start)]))
        except ValueError:
            continue
        if usage is not None:
            return usage
    return None
