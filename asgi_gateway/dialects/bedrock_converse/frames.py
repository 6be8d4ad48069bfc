"""Amazon's event-stream framing, written and read: https://smithy.io/2.0/aws/amazon-eventstream.html.

A frame is: total length and length of the headers (4 bytes each, big-endian), CRC-32 of these 8 bytes, headers,
payload, CRC-32 of all before. A header is: length of its name (1 byte), name, type (1 byte), value; texts are type 7,
with a length of 2 bytes.

```python
from asgi_gateway.dialects.bedrock_converse.frames import FrameReader, event_frame

wire = event_frame("messageStart", b'{"role":"assistant"}')
reader = FrameReader()
assert list(reader.feed(wire[:9])) == []
frame, = reader.feed(wire[9:])
assert (frame.kind, frame.name, frame.payload) == ("event", "messageStart", b'{"role":"assistant"}')
```
"""

import struct
from collections.abc import Iterator
from zlib import crc32

from msgspec import Struct

__all__ = [
    "Frame",
    "FrameReader",
    "event_frame",
    "exception_frame",
    "frame",
    "frame_length",
    "headers_of",
]

FRAME_LIMIT = 24 << 20
"""Bytes of a frame: more than any vendor sends."""

HEADERS_LIMIT = 128 << 10

_PRELUDE = struct.Struct(">III")
_LENGTHS = struct.Struct(">II")
_CRC = struct.Struct(">I")
_SHORT = struct.Struct(">H")
_TEXT = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
"""Bytes of the values of a fixed length, by type: booleans, integers, timestamps, UUIDs."""

OVERHEAD = 16
"""Bytes of a frame that has neither headers nor payload."""

KNOWN_HEADERS = 64
"""Blocks of headers that one reader remembers: a stream has a dozen kinds of events."""


class Frame(Struct, frozen=True):
    """One message: `kind` is "event", "exception" or "error", `name` the event's or the exception's."""

    kind: str
    name: str
    payload: bytes


def _header(name: str, value: str) -> bytes:
    data = value.encode()
    return bytes((len(name),)) + name.encode() + bytes((_TEXT,)) + _SHORT.pack(len(data)) + data


def _headers(kind: str, name_header: str, name: str) -> bytes:
    return _header(name_header, name) + _header(":content-type", "application/json") + _header(":message-type", kind)


def headers_of(event: str) -> bytes:
    """The headers of an event of this name."""
    return _headers("event", ":event-type", event)


def frame(headers: bytes, payload: bytes) -> bytes:
    """A frame of encoded headers and a payload."""
    lengths = _LENGTHS.pack(OVERHEAD + len(headers) + len(payload), len(headers))
    check = crc32(lengths)
    begun = b"%b%b%b%b" % (lengths, _CRC.pack(check), headers, payload)
    return begun + _CRC.pack(crc32(begun))


def event_frame(event: str, payload: bytes) -> bytes:
    """An event with a JSON payload."""
    return frame(headers_of(event), payload)


def exception_frame(exception: str, payload: bytes) -> bytes:
    """An exception that the service's model declares for the stream; a stream ends with it."""
    return frame(_headers("exception", ":exception-type", exception), payload)


def frame_length(data: bytes | bytearray, start: int = 0) -> int:
    """The length of the frame that begins at `start`; 0 when it is not whole yet. Raises `ValueError` for none."""
    if len(data) - start < _PRELUDE.size:
        return 0
    total: int
    total, headers, check = _PRELUDE.unpack_from(data, start)
    if total > FRAME_LIMIT or headers > HEADERS_LIMIT or total < OVERHEAD + headers:
        raise ValueError("a frame has lengths that cannot be")
    if crc32(data[start : start + 8]) != check:
        raise ValueError("the beginning of a frame is damaged")
    return total if len(data) - start >= total else 0


class FrameReader:
    """Reads frames out of chunks. Chunk boundaries do not matter. What `feed` gives must be read to its end."""

    __slots__ = ("_held", "_known")

    def __init__(self) -> None:
        self._held = bytearray()
        self._known: dict[bytes, tuple[str, str]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing of a frame waits for its end."""
        return not self._held

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that are whole with this chunk. Raises `ValueError` at a damaged one."""
        data = bytes(self._held) + chunk if self._held else chunk
        self._held.clear()
        start = 0
        while total := frame_length(data, start):
            yield self.read(data[start : start + total])
            start += total
        self._held += data[start:]

    def read(self, data: bytes) -> Frame:
        """One whole frame. Raises `ValueError` for a damaged one."""
        if crc32(memoryview(data)[:-4]) != _CRC.unpack_from(data, len(data) - 4)[0]:
            raise ValueError("a frame is damaged")
        end = _PRELUDE.size + _LENGTHS.unpack_from(data)[1]
        headers = data[_PRELUDE.size : end]
        named = self._known.get(headers)
        if named is None:
            named = _named(headers)
            if len(self._known) < KNOWN_HEADERS:
                self._known[headers] = named
        return Frame(named[0], named[1], data[end:-4])


def _named(block: bytes) -> tuple[str, str]:
    """Kind and name out of a block of headers."""
    found = dict(_read_headers(block))
    kind = found.get(":message-type", "event")
    if kind == "exception":
        return kind, found.get(":exception-type", "")
    if kind == "error":
        return kind, f"{found.get(':error-code', '')}: {found.get(':error-message', '')}"
    return kind, found.get(":event-type", "")


def _read_headers(block: bytes) -> Iterator[tuple[str, str]]:
    """The headers that are texts. Raises `ValueError` for a damaged block."""
    position = 0
    try:
        while position < len(block):
            end = position + 1 + block[position]
            name, kind = block[position + 1 : end].decode(), block[end]
            position = end + 1
            if kind in _SIZES:
                position += _SIZES[kind]
                continue
            size: int = _SHORT.unpack_from(block, position)[0]
            value = block[position + 2 : position + 2 + size]
            position += 2 + size
            if kind == _TEXT:
                yield name, value.decode()
    except (IndexError, struct.error) as wrong:
        raise ValueError("the headers of a frame are damaged") from wrong
