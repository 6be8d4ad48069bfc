"""Numbers events and writes them as lines of a stream."""

from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["EventLines", "json_of"]

json_of = msgspec.json.Encoder().encode


class EventLines:
    """The events since the last `taken`."""

    __slots__ = ("_lines", "number")

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self.number = 0
        """Of the next event."""

    def send(self, kind: str, fields: Mapping[str, Any]) -> None:
        """Write an event."""
        event = {"type": kind, "sequence_number": self.number, **fields}
        self.number += 1
        self._lines.append(b"event: %b\ndata: %b\n\n" % (kind.encode(), json_of(event)))

    def delta(self, before: bytes, after: bytes, text: str) -> None:
        """Write an event whose bytes are known but for its number and its text."""
        self._lines.append(b"%b%d%b%b}\n\n" % (before, self.number, after, json_of(text)))
        self.number += 1

    def taken(self) -> bytes:
        """The bytes so far, once."""
        lines = self._lines
        if len(lines) == 1:
            return lines.pop()
        data = b"".join(lines)
        lines.clear()
        return data
