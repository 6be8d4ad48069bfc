"""Counts output tokens roughly, from the strings that passed: for answers whose upstream reports no usage.

Four bytes of ASCII or three other bytes are taken for a token, summed over the whole answer and rounded up.
JSON escapes are counted as they stand on the wire. Nothing is decoded: a pattern finds the strings.
"""

import re

__all__ = ["CHAT_TEXT", "COMPLETION_TEXT", "TextCount"]

_VALUE = rb'\s*:\s*"([^"\\]*+(?:\\.[^"\\]*+)*+)'  # up to its end, or to where the answer was cut

CHAT_TEXT = re.compile(
    rb'"(?:content|reasoning(?:_content)?|refusal|arguments|type"\s*:\s*"text"\s*,\s*"text)"' + _VALUE
)
"""What a model wrote, in chat answers and their deltas."""

COMPLETION_TEXT = re.compile(rb'"text"' + _VALUE)
"""What a model wrote, in answers of the older completions."""

_ASCII = bytes(range(128))


class TextCount:
    """Output tokens of what it was fed. Feeding the same bytes in other pieces counts the same, events kept whole."""

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
        """Count so many bytes of ASCII text."""
        self._ascii += size

    @property
    def tokens(self) -> int:
        """Tokens so far."""
        return -(-(3 * self._ascii + 4 * self._other) // 12)
