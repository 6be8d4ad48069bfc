"""The framing of event streams."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.dialects import sse

BLOCKS = st.lists(st.sampled_from([b"data: 1", b"\n", b"\r\n", b": c", b"x"]), max_size=12).map(b"".join)


@given(BLOCKS)
def test_events_put_together_are_the_block(block: bytes) -> None:
    """Nothing is lost between events, and each but the last ends with a blank line or is nothing but empty lines."""
    events = list(sse.events(block))
    assert b"".join(events) == block
    for event in events[:-1]:
        assert event.endswith((b"\n\n", b"\n\r\n")) or not event.strip(b"\r\n")
        assert sse.ending(event) == len(event) or not event.strip(b"\r\n")


@given(BLOCKS)
def test_the_boundary_is_the_end_of_the_last_whole_event(block: bytes) -> None:
    """Behind it no blank line is found any more."""
    end = sse.boundary(block)
    assert end == 0 or block[:end].endswith((b"\n\n", b"\n\r\n"))
    assert sse.boundary(block[end:]) == 0


@pytest.mark.parametrize(
    ("event", "data"),
    [
        (b"data: {}\n\n", b"{}"),
        (b"data:{}\r\n\r\n", b"{}"),
        (b"data:  {}", b" {}"),
        (b"event: x\ndata: 1\nid: 7\n\n", b"1"),
        (b"data: [1,\ndata: 2]\n\n", b"[1,\n2]"),
        (b": ping\n\n", b""),
        (b"data:\n\n", b""),
        (b"\n\n", b""),
        (b"dat: 1\n\n", b""),
    ],
)
def test_the_data_of_an_event(event: bytes, data: bytes) -> None:
    """Its `data` lines, without one space, joined by line ends."""
    assert sse.data_of(event) == data


def test_the_value_of_another_field() -> None:
    """Found by its name."""
    assert sse.field_of(b"event: error\r\ndata: 1\r\n\r\n", b"event") == b"error"
    assert sse.field_of(b"data: event: x\n\n", b"event") == b""


@pytest.mark.parametrize(
    ("kind", "stream", "comments"),
    [
        (b"text/event-stream", True, True),
        (b"Text/Event-Stream; charset=utf-8", True, True),
        (b"application/vnd.amazon.eventstream", True, False),
        (b"Application/VND.Amazon.EventStream", True, False),
        (b"application/json", False, False),
        (b"", False, False),
    ],
)
def test_event_streams_are_known_by_their_type(kind: bytes, stream: bool, comments: bool) -> None:
    """Amazon's binary ones among them, in which no comment may stand."""
    headers = [(b"server", b"x"), (b"content-type", kind)]
    assert sse.is_event_stream(headers) is stream
    assert sse.takes_comments(headers) is comments
    assert not sse.is_event_stream([])
