"""A tap for answers that are one JSON object: reads the usage at the end, counts the output where there is none.

```python
import re

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects.plain_tap import PlainTap

tap = PlainTap(lambda reported: Usage(output=reported["out"]), re.compile(rb'"text":"([^"]*)'))
assert tap.feed(b'{"text":"hi","usage":{"out":1}}') == b'{"text":"hi","usage":{"out":1}'
assert tap.finish() == b"}"
assert tap.usage == Usage(output=1)
```
"""

import re
from collections.abc import Callable
from typing import Any

import msgspec

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects.json_scan import measure
from asgi_gateway.errors import MalformedUpstream

__all__ = ["EDGE", "PlainTap", "TokenCount", "last_usage"]

WHOLE_LIMIT = 1 << 18
"""Bytes of an answer that is kept whole to read its usage."""

EDGE = 1 << 14
"""Bytes kept of the end of a longer one."""

_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_ASCII = bytes(range(128))

ReadUsage = Callable[[Any], Usage | None]
"""From the decoded `usage` member."""

ReadAnswer = Callable[[bytes], Usage | None]
"""From a whole answer, where its usage is not in one member. Raises `ValueError` for what is no JSON object."""


class _Reported(msgspec.Struct):
    usage: Any = None


_reported = msgspec.json.Decoder(_Reported)


class TokenCount:
    """Output tokens of what it was fed: four bytes of ASCII or three others are a token, rounded up over all.

    `pattern` finds the strings, up to their end or to where the bytes are cut.
    """

    __slots__ = ("_ascii", "_other", "_pattern")

    def __init__(self, pattern: re.Pattern[bytes]) -> None:
        self._pattern = pattern
        self._ascii = 0
        self._other = 0

    def feed(self, data: bytes) -> None:
        """Count the strings in these bytes."""
        text = b"".join(self._pattern.findall(data))
        other = 0 if text.isascii() else len(text.translate(None, _ASCII))
        self._other += other
        self._ascii += len(text) - other

    def add(self, size: int) -> None:
        """Count so many bytes of ASCII."""
        self._ascii += size

    @property
    def tokens(self) -> int:
        """Tokens so far."""
        return -(-(3 * self._ascii + 4 * self._other) // 12)


class PlainTap:
    """Reads one plain answer. Bytes pass as they come, but the last one only once the answer is known to be whole."""

    __slots__ = ("_last", "_pieces", "_read", "_size", "_text", "_whole", "usage")

    usage: Usage | None

    def __init__(self, read: ReadUsage, text: re.Pattern[bytes], whole: ReadAnswer | None = None) -> None:
        self.usage = None
        self._read = read
        self._whole = whole
        self._text = text
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
            self._pieces = [self._cut(b"".join(self._pieces))]
        last, self._last = self._last, chunk[-1:]
        return last + chunk[:-1]

    def finish(self) -> bytes:
        """The end: read the usage, give back the last byte. Raises `MalformedUpstream` for half an answer."""
        kept = b"".join(self._pieces)
        if self._size > WHOLE_LIMIT:
            if not kept.rstrip().endswith(b"}"):
                raise MalformedUpstream("the upstream's answer ended too soon")
            self.usage = self._seen(kept)
            return self._last
        try:
            self.usage = self._read(_reported.decode(kept).usage) if self._whole is None else self._whole(kept)
        except (ValueError, RecursionError) as wrong:
            raise MalformedUpstream("the upstream's answer is no complete JSON object") from wrong
        return self._last

    def _cut(self, kept: bytes) -> bytes:
        """What is kept of the end of a long answer."""
        return kept[-EDGE:]

    def _seen(self, end: bytes) -> Usage | None:
        """The usage of a long answer, of which this is the end."""
        return self._read(last_usage(end))

    @property
    def output_estimate(self) -> int:
        """Output tokens counted so far; of an answer that is not kept whole every byte is taken for text."""
        count = TokenCount(self._text)
        if self._size > WHOLE_LIMIT:
            count.add(self._size)
        else:
            count.feed(b"".join(self._pieces))
        return count.tokens


def last_usage(edge: bytes) -> Any:
    """The last whole usage object in the end of an answer. A text cannot hold one: its quotes are escaped there."""
    for match in reversed(list(_USAGE.finditer(edge))):
        start = match.end() - 1
        try:
            return msgspec.json.decode(edge[start : measure(edge, start)])
        except ValueError:
            continue
    return None
