"""Answers of OpenAI's interface that are not streamed: one JSON object each."""

import re
from typing import Any

import msgspec

from asgi_gateway.dialects.contract import Head
from asgi_gateway.dialects.json_scan import measure
from asgi_gateway.dialects.openai_wire.errors import error_inside
from asgi_gateway.dialects.openai_wire.ordinary import OrdinaryUsage, ordinary_usage
from asgi_gateway.dialects.openai_wire.text import TextCount
from asgi_gateway.dialects.openai_wire.usage import usage_of
from asgi_gateway.errors import EmptyUpstream, MalformedUpstream
from asgi_gateway.storage.records import Usage

__all__ = ["PlainTap", "judge_plain"]

BOM = b"\xef\xbb\xbf"

WHOLE_LIMIT = 1 << 18
"""Bytes of an answer that is kept whole to read its usage."""

EDGE = 1 << 14
"""Bytes kept of the beginning and of the end of a longer one."""

_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_TIER = re.compile(rb'"service_tier"\s*:\s*"([a-zA-Z_]+)"')
_MODEL = re.compile(rb'"model"\s*:\s*"([!#-\[\]-~]+)"')
_EMPTY = re.compile(rb"\s*(?:null|\[\s*\])\s*\Z")

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Reported(msgspec.Struct):
    usage: Any = None
    service_tier: Any = None
    model: Any = None


class _Ordinary(msgspec.Struct):
    usage: OrdinaryUsage
    service_tier: str | None = None
    model: str | None = None


_reported = msgspec.json.Decoder(_Reported)
_ordinary = msgspec.json.Decoder(_Ordinary)


def judge_plain(data: bytes, *, complete: bool, answer: str) -> Head:
    """What the first bytes of an answer say; `answer` names the member that a good one has, and not empty.

    Raises `UpstreamError` for an error inside it, `MalformedUpstream` for anything that is no such object.
    """
    text = data[len(BOM) :] if data.startswith(BOM) else data
    first = text.lstrip()[:1]
    if first != b"{" and (complete or first):
        if not first:
            raise EmptyUpstream("the upstream's answer is empty")
        raise MalformedUpstream("the upstream's answer is no JSON object")
    if not complete:
        return Head.WAIT
    try:
        members = _members.decode(text)
    except (ValueError, RecursionError) as wrong:
        raise MalformedUpstream("the upstream's answer is no complete JSON object") from wrong
    if (error := members.get("error")) is not None and bytes(error) != b"null":
        raise error_inside(msgspec.json.decode(text))
    value = members.get(answer)
    if value is None or (memoryview(value).nbytes < 64 and _EMPTY.match(value)):
        raise MalformedUpstream(f"the upstream's answer has no {answer}")
    return Head.RELEASE


class PlainTap:
    """Reads one plain answer: bytes pass as they come, but the last one only once the answer is known to be whole.

    Half an answer can come with the length of the half: without its last byte nobody takes it for a whole one.
    The usage is known once the answer ended.
    """

    __slots__ = ("_begin", "_end", "_last", "_pieces", "_size", "_text", "usage")

    usage: Usage | None

    def __init__(self, text: re.Pattern[bytes] | None) -> None:
        self.usage = None
        self._text = text
        self._pieces: list[bytes] = []
        self._size = 0
        self._begin = b""
        self._end = b""
        self._last = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk, give back all but its last byte."""
        self._size += len(chunk)
        self._pieces.append(chunk)
        if self._size > WHOLE_LIMIT:
            self._keep_edges()
        last, self._last = self._last, chunk[-1:]
        return last + chunk[:-1]

    def finish(self) -> bytes:
        """The end: read the usage, give back the last byte. Raises `MalformedUpstream` for half an answer."""
        if self._size > WHOLE_LIMIT:
            if not self._end.rstrip().endswith(b"}"):
                raise MalformedUpstream("the upstream's answer ended too soon")
            self.usage = self._seen()
            return self._last
        self.usage = _usage_in(b"".join(self._pieces))
        return self._last

    @property
    def output_estimate(self) -> int:
        """Output tokens counted from the answer so far; of one that is not kept whole every byte is taken for text."""
        if self._text is None:
            return 0
        count = TextCount(self._text)
        if self._size > WHOLE_LIMIT:
            count.add(self._size)
        else:
            count.feed(b"".join(self._pieces))
        return count.tokens

    def _seen(self) -> Usage | None:
        """The usage of a long answer, by its beginning and its end."""
        edges = self._end, self._begin
        tier = next((found[-1].decode() for edge in edges if (found := _TIER.findall(edge))), None)
        model = next((found[0].decode() for edge in reversed(edges) if (found := _MODEL.findall(edge))), None)
        for edge in edges:
            if (usage := _last_usage(edge, tier, model)) is not None:
                return usage
        return None

    def _keep_edges(self) -> None:
        come = b"".join(self._pieces)
        self._pieces.clear()
        if len(self._begin) < EDGE:
            self._begin = (self._begin + come)[:EDGE]
        self._end = (self._end + come)[-EDGE:]


def _usage_in(whole: bytes) -> Usage | None:
    """The usage in a whole answer. Raises `MalformedUpstream` for half a one."""
    try:
        answer = _ordinary.decode(whole)
        usage = ordinary_usage(answer.usage, answer.service_tier, answer.model)
    except (ValueError, RecursionError):
        usage = None
    if usage is not None:
        return usage
    try:
        reported = _reported.decode(whole[len(BOM) :] if whole.startswith(BOM) else whole)
    except (ValueError, RecursionError) as wrong:
        raise MalformedUpstream("the upstream's answer is no complete JSON object") from wrong
    return usage_of(reported.usage, reported.service_tier, reported.model)


def _last_usage(edge: bytes, tier: str | None, model: str | None) -> Usage | None:
    """The last whole usage object in a part of an answer. A text cannot hold one: its quotes are escaped there."""
    for match in reversed(list(_USAGE.finditer(edge))):
        start = match.end() - 1
        try:
            usage = usage_of(msgspec.json.decode(edge[start : measure(edge, start)]), tier, model)
        except ValueError:
            continue
        if usage is not None:
            return usage
    return None
