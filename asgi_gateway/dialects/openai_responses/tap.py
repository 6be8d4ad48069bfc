"""The first bytes of an answer, and its way through when nothing is converted."""

import re
from typing import Any

import msgspec

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects import sse
from asgi_gateway.dialects.contract import Head
from asgi_gateway.dialects.openai_responses.billed_calls import (
    CALL,
    WORDS,
    BilledCalls,
    OutputItem,
    calls_in,
    calls_seen,
)
from asgi_gateway.dialects.openai_responses.errors import error_of_event, error_of_response
from asgi_gateway.dialects.openai_responses.usage import usage_of
from asgi_gateway.dialects.openai_wire.errors import error_inside
from asgi_gateway.dialects.plain_tap import EDGE, PlainTap, TokenCount, last_usage
from asgi_gateway.errors import EmptyUpstream, MalformedUpstream, UpstreamError

__all__ = ["TEXT", "AnswerTap", "StreamTap", "judge_plain", "judge_stream"]

BOM = b"\xef\xbb\xbf"

ARRAY = ord("[")

EVENT_LIMIT = 1 << 18
"""Bytes of an event that is held. Longer ones (images) pass as they come."""

COUNT_AT = 1 << 14
"""Bytes of events kept before their text is counted."""

TEXT = re.compile(rb'"(?:delta|text|arguments|refusal)"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)')
"""What a model wrote, in plain answers."""

DELTA = re.compile(rb'"delta"\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)')
"""What a model wrote, in events."""

_WAITS = frozenset({"response.created", "response.in_progress", "response.queued", "keepalive", "ping"})
"""Events behind which an error may still come first."""

_ENDS = frozenset({"response.completed", "response.incomplete", "response.cancelled"})

_LAST = re.compile(
    rb'"(?:response\.(?:completed|incomplete|failed|cancelled|error)|error)"|^event:\s*error', re.MULTILINE
)
"""Stands in every event that ends a stream."""

_ITEM = b'"response.output_item.done"'

_END = re.compile(rb'"type"\s*:\s*"response\.(?:completed|incomplete)"')
_TIER = re.compile(rb'"service_tier"\s*:\s*"([^"]*)"')


class _Response(msgspec.Struct):
    """What of a response tells its usage."""

    output: list[OutputItem] | None = None
    usage: Any = None
    tool_usage: Any = None
    service_tier: Any = None


class _OddResponse(msgspec.Struct):
    """A response whose output is none."""

    usage: Any = None
    tool_usage: Any = None
    service_tier: Any = None


class _OddEvent(msgspec.Struct):
    type: str = ""
    response: _OddResponse | None = None
    error: Any = None


class _Event(msgspec.Struct):
    type: str = ""
    response: _Response | None = None
    error: Any = None


class _Done(msgspec.Struct):
    """The end of an item."""

    type: str = ""
    item: Any = None


class _Plain(msgspec.Struct):
    output: msgspec.Raw = msgspec.Raw(b"null")
    error: Any = None
    status: Any = None


_decoder = msgspec.json.Decoder(_Event)
_odd_event = msgspec.json.Decoder(_OddEvent)
_odd_response = msgspec.json.Decoder(_OddResponse)
_response = msgspec.json.Decoder(_Response)
_done = msgspec.json.Decoder(_Done)
_plain = msgspec.json.Decoder(_Plain)


def judge_plain(data: bytes, *, complete: bool) -> Head:
    """What the first bytes of a plain answer say. Raises for an error inside, or for what is no answer."""
    text = data.removeprefix(BOM)
    first = text.lstrip()[:1]
    if first != b"{" and (complete or first):
        if not first:
            raise EmptyUpstream("the upstream's answer is empty")
        raise MalformedUpstream("the upstream's answer is no JSON object")
    if not complete:
        return Head.WAIT
    try:
        plain = _plain.decode(text)
    except (ValueError, RecursionError) as wrong:
        raise MalformedUpstream("the upstream's answer is no complete JSON object") from wrong
    if plain.error or plain.status == "failed":
        payload = _decoded(text)
        raise error_of_response(payload) or error_inside(payload)
    if memoryview(plain.output)[0] != ARRAY:
        raise MalformedUpstream("the upstream's answer has no output")
    return Head.RELEASE


def judge_stream(data: bytes, *, complete: bool) -> Head:
    """What the first events of a stream say: waits for output or an end, raises for an error or an empty stream."""
    text = data.removeprefix(BOM)
    first = text.lstrip()[:1]
    if first == b"<" or (first == b"{" and complete):
        payload = _decoded(text)
        raise error_inside(payload) if payload else MalformedUpstream("the upstream's answer is no event stream")
    for event in sse.events(text if complete else text[: sse.boundary(text)]):
        found = sse.data_of(event).strip()
        if not found or found == b"[DONE]":
            continue
        payload = _decoded(found)
        if not payload:
            raise MalformedUpstream("the upstream's stream holds an event that is no JSON object")
        error = error_of_event(payload)
        if error is not None:
            raise error
        if payload.get("type") not in _WAITS:
            return Head.RELEASE
    if complete:
        raise EmptyUpstream("the upstream's stream ended before it said anything")
    return Head.WAIT


class AnswerTap(PlainTap):
    """Reads one plain answer. Of one that is too long to be kept, like an image, calls are counted as they pass."""

    __slots__ = ("_words",)

    def __init__(self) -> None:
        super().__init__(usage_of, TEXT, _usage_in)
        self._words: list[tuple[bytes, bytes]] = []

    def _cut(self, kept: bytes) -> bytes:
        end = max(0, len(kept) - EDGE)
        self._pass(kept, end)
        return kept[end:]

    def _pass(self, data: bytes, end: int) -> None:
        """Learn from what begins in front of `end`."""
        for match in WORDS.finditer(data):
            if match.start() >= end:
                break
            self._words.append((match[1], match[2]))

    def _seen(self, end: bytes) -> Usage | None:
        self._pass(end, len(end))
        return usage_of(last_usage(end), calls_seen(self._words), None, _tier_in(end))


def _usage_in(whole: bytes) -> Usage | None:
    text = whole.removeprefix(BOM)
    try:
        response: _Response | _OddResponse = _response.decode(text)
    except msgspec.ValidationError:
        response = _odd_response.decode(text)
    calls = calls_in(response.output or ()) if isinstance(response, _Response) else None
    return usage_of(response.usage, calls, response.tool_usage, response.service_tier)


def _event_of(data: bytes) -> _Event | _OddEvent:
    try:
        return _decoder.decode(data)
    except msgspec.ValidationError:
        return _odd_event.decode(data)


def _tier_in(edge: bytes) -> str | None:
    found = _TIER.findall(edge)
    return found[-1].decode(errors="replace") if found else None


class StreamTap:
    """Reads one stream, event by event. An error is kept back, with all behind it, and raised at the end."""

    __slots__ = ("_blocks", "_calls", "_count", "_ended", "_failure", "_held", "_item", "_size", "_torn", "usage")

    usage: Usage | None

    def __init__(self) -> None:
        self.usage = None
        self._held = bytearray()
        self._torn: bytes | None = None
        """The end of what was given out of an event that is too long to be held."""
        self._item = b""
        """Its beginning, if it is the end of an item."""
        self._calls = BilledCalls()
        """Calls that were told outside of the response at the end."""
        self._failure: UpstreamError | None = None
        self._ended = False
        self._count = TokenCount(DELTA)
        self._blocks: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk, give back the events that are whole."""
        held = self._held
        if not held and self._torn is None and chunk.endswith(b"\n\n"):
            return self._read(chunk)
        start = max(0, len(held) - 2)
        held += chunk
        end = sse.boundary(held, start)
        given = b""
        if end:
            block = bytes(held[:end])
            del held[:end]
            given = self._read(block) if self._torn is None else self._mend(block)
        if len(held) > EVENT_LIMIT or (self._torn is not None and len(held) > 2):
            given += self._tear()
        return given

    def finish(self) -> bytes:
        """The end. Raises the error that the stream ended with, or `MalformedUpstream` when its end is missing."""
        rest = b""
        if self._held:
            rest = self._read(bytes(self._held))
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
        if (b'"response"' not in block and b"error" not in block) or _LAST.search(block) is None:
            return block
        return b"".join([event for event in sse.events(block) if not self._withholds(event)])

    def _withholds(self, event: bytes) -> bool:
        if self._failure is not None:
            return True
        data = sse.data_of(event)
        try:
            read = _event_of(data)
        except (ValueError, RecursionError):
            return False
        if read.type in _ENDS and not self._ended:
            self._ended = True
            self.usage = None if read.response is None else self._usage(read.response)
        elif read.type in ("error", "response.failed", "response.error") or read.error:
            if read.response is not None:
                self.usage = self._usage(read.response)
            self._failure = error_of_event(_decoded(data))
        return self._failure is not None

    def _usage(self, response: _Response | _OddResponse) -> Usage | None:
        if isinstance(response, _Response) and response.output:
            calls = calls_in(response.output)
        else:
            self._count_calls()
            calls = self._calls
        return usage_of(response.usage, calls, response.tool_usage, response.service_tier)

    def _count_calls(self) -> None:
        """Count the calls among the events that were not looked at yet."""
        blocks = b"".join(self._blocks)
        if CALL not in blocks:
            return
        for event in sse.events(blocks):
            if CALL in event and _ITEM in event:
                try:
                    done = _done.decode(sse.data_of(event))
                except (ValueError, RecursionError):
                    continue
                if done.type == "response.output_item.done" and isinstance(done.item, dict):
                    self._calls.add(done.item)

    def _tear(self) -> bytes:
        """Give out what has come of an event that is too long to be held."""
        held = self._held
        given = bytes(held[:-2])
        del held[:-2]
        if self._torn is None:
            begin = given[:512]
            self._ended = self._ended or _END.search(begin) is not None
            self._item = begin if _ITEM in begin else b""
        self._torn = ((self._torn or b"") + given)[-EDGE:]
        return given if self._failure is None else b""

    def _mend(self, block: bytes) -> bytes:
        """The rest of a long event, and what follows it."""
        end = sse.ending(block)
        edge = (self._torn or b"") + block[:end]
        if self._item:
            self._calls.extend(calls_seen(WORDS.findall(self._item + edge)))
        elif self._ended:
            self._count_calls()
            self.usage = usage_of(last_usage(edge), self._calls, None, _tier_in(edge))
        self._torn = None
        given = block[:end] if self._failure is None else b""
        return given + self._read(block[end:]) if end < len(block) else given

    def _look(self) -> None:
        if not self._ended:
            self._count_calls()
        self._count.feed(b"".join(self._blocks))
        self._blocks.clear()
        self._size = 0


def _decoded(data: bytes) -> dict[str, Any]:
    try:
        payload = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return {}
    return payload if isinstance(payload, dict) else {}
