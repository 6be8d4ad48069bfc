r"""The framing of event streams: whole events, and the data inside one.

Follows the HTML standard (https://html.spec.whatwg.org/multipage/server-sent-events.html), except that lines end
with LF or CRLF: the lone CR that it also allows is sent by nobody.

```python
from asgi_gateway.dialects import sse

block = b": ping\n\ndata: 1\r\n\r\ndata: 2\n"
assert sse.boundary(block) == 19
assert [sse.data_of(event) for event in sse.events(block)] == [b"", b"1", b"2"]
```
"""

import re
from collections.abc import Iterator

from asgi_gateway.types import Headers

__all__ = ["PING", "boundary", "data_of", "ending", "events", "field_of", "is_event_stream", "takes_comments"]

PING = b": ping\n\n"
"""A comment that keeps a silent stream open: clients skip it. It stands between events, never inside one."""

AMAZONS = b"application/vnd.amazon.eventstream"

_BLANK = re.compile(rb"\n\r?\n")
_EMPTY = re.compile(rb"[\r\n]+")


def is_event_stream(headers: Headers) -> bool:
    """Whether an answer with these headers is an event stream, Amazon's binary ones among them.

    Media types have no case (RFC 9110, 8.3.1).
    """
    for name, value in headers:
        if name == b"content-type":
            return value[:17].lower() == b"text/event-stream" or value[:34].lower() == AMAZONS
    return False


def takes_comments(headers: Headers) -> bool:
    """Whether an answer with these headers is an event stream in which a comment may stand: no binary one."""
    return is_event_stream(headers) and not any(
        name == b"content-type" and value[:34].lower() == AMAZONS for name, value in headers
    )


def boundary(data: bytes | bytearray, start: int = 0) -> int:
    """Where the last whole event ends, looking from `start` on; 0 when no event ends there."""
    end = data.rfind(b"\n\n", start)
    mixed = data.rfind(b"\n\r\n", start)
    if mixed > end:
        return mixed + 3
    return end + 2 if end >= 0 else 0


def ending(block: bytes) -> int:
    """Where the first event ends, its blank line included; the length of the block when it has none."""
    match = _BLANK.search(block)
    return len(block) if match is None else match.end()


def events(block: bytes) -> Iterator[bytes]:
    """The events of a block, each with its blank line; what follows the last blank line comes last.

    Empty lines between events come as pieces of their own: they belong to none.
    """
    position = 0
    while position < len(block):
        match = _EMPTY.match(block, position) or _BLANK.search(block, position)
        end = len(block) if match is None else match.end()
        yield block[position:end]
        position = end


def data_of(event: bytes) -> bytes:
    """The data of an event: its `data` lines joined; empty when it has none."""
    if event.startswith(b"data:"):
        only = event.rstrip(b"\r\n")
        if b"\n" not in only:
            return only[6:] if only[5:6] == b" " else only[5:]
    return field_of(event, b"data")


def field_of(event: bytes, name: bytes) -> bytes:
    """The values of one field of an event, joined by line ends; empty when it has none."""
    prefix = name + b":"
    lines = [line[len(prefix) :] for line in event.splitlines() if line.startswith(prefix)]
    return b"\n".join(line.removeprefix(b" ") for line in lines)
