"""Amazon's event-stream framing, against botocore's."""

import struct
from itertools import pairwise
from zlib import crc32

import pytest

pytest.importorskip("botocore", reason="the vendor's SDK is asked what is valid")

from botocore.eventstream import EventStreamBuffer
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.dialects.bedrock_converse.frames import (
    Frame,
    FrameReader,
    event_frame,
    exception_frame,
    frame,
    frame_length,
)

WIRE = event_frame("messageStart", b'{"role":"assistant"}') + exception_frame("throttlingException", b"{}")


def _header(name: str, kind: int, value: bytes) -> bytes:
    return bytes((len(name),)) + name.encode() + bytes((kind,)) + value


def _text(text: str) -> bytes:
    return struct.pack(">H", len(text)) + text.encode()


@given(
    st.lists(st.tuples(st.booleans(), st.text("abcXYZ", min_size=1, max_size=40), st.binary(max_size=200)), max_size=5)
)
def test_frames_are_those_that_botocore_reads(messages: list[tuple[bool, str, bytes]]) -> None:
    """Events and exceptions, with their headers and any payload."""
    wire = b"".join((event_frame if good else exception_frame)(name, payload) for good, name, payload in messages)
    buffer = EventStreamBuffer()
    buffer.add_data(wire)
    seen = []
    for event in buffer:
        kind = event.headers[":message-type"]
        assert event.headers[":content-type"] == "application/json"
        seen.append(
            (kind == "event", event.headers[":event-type" if kind == "event" else ":exception-type"], event.payload)
        )
    assert seen == messages
    assert [(f.kind == "event", f.name, f.payload) for f in FrameReader().feed(wire)] == messages


@given(st.lists(st.integers(0, len(WIRE)), max_size=8))
def test_chunk_boundaries_do_not_matter(cuts: list[int]) -> None:
    """However the bytes are cut, the same frames come out."""
    reader = FrameReader()
    pieces = [WIRE[a:b] for a, b in pairwise([0, *sorted(cuts), len(WIRE)])]
    frames = [one for piece in pieces for one in reader.feed(piece)]
    assert frames == [
        Frame("event", "messageStart", b'{"role":"assistant"}'),
        Frame("exception", "throttlingException", b"{}"),
    ]
    assert reader.is_empty


def test_every_type_of_header_is_passed_over() -> None:
    """Only texts are read; an event without a type of message is one."""
    block = b"".join(
        [
            _header("a", 0, b""),
            _header("b", 1, b""),
            _header("c", 2, b"1"),
            _header("d", 3, b"12"),
            _header("e", 4, b"1234"),
            _header("f", 5, b"12345678"),
            _header("g", 6, struct.pack(">H", 3) + b"abc"),
            _header("h", 8, b"12345678"),
            _header("i", 9, b"1234567890123456"),
            _header(":event-type", 7, _text("metadata")),
        ]
    )
    assert list(FrameReader().feed(frame(block, b"{}"))) == [Frame("event", "metadata", b"{}")]


def test_an_error_message_tells_its_code_and_text() -> None:
    """The third kind of message, which the service's model does not know."""
    names = {":message-type": "error", ":error-code": "Boom", ":error-message": "it broke"}
    block = b"".join(_header(name, 7, _text(text)) for name, text in names.items())
    assert list(FrameReader().feed(frame(block, b""))) == [Frame("error", "Boom: it broke", b"")]


def _broken(data: bytes, place: int) -> bytes:
    return data[:place] + bytes((data[place] ^ 1,)) + data[place + 1 :]


@pytest.mark.parametrize("place", [0, 5, 9, 20, len(WIRE) - 1])
def test_a_damaged_frame_is_an_error(place: int) -> None:
    """By either checksum."""
    with pytest.raises(ValueError, match=r"damaged|cannot be"):
        list(FrameReader().feed(_broken(WIRE, place)))


@pytest.mark.parametrize("lengths", [(1 << 30, 0), (40, 1 << 20), (20, 10)])
def test_lengths_that_cannot_be_are_refused(lengths: tuple[int, int]) -> None:
    """Before anything is kept for them."""
    prelude = struct.pack(">II", *lengths)
    with pytest.raises(ValueError, match="cannot be"):
        frame_length(prelude + struct.pack(">I", crc32(prelude)))


@pytest.mark.parametrize("block", [b"\x05abc", b"\x01a\x07", b"\x01a\x07\x00", b"\x01a"])
def test_damaged_headers_are_an_error(block: bytes) -> None:
    """Whatever the checksums say."""
    with pytest.raises(ValueError, match="headers"):
        list(FrameReader().feed(frame(block, b"")))


def test_frames_before_a_damaged_one_are_given() -> None:
    """So that where the bytes are cut does not matter."""
    frames = FrameReader().feed(WIRE + b"\xff" * 12)
    assert [next(frames).name, next(frames).name] == ["messageStart", "throttlingException"]
    with pytest.raises(ValueError, match="cannot be"):
        next(frames)


def test_many_kinds_of_headers_are_not_all_remembered() -> None:
    """What a reader keeps is bounded."""
    reader = FrameReader()
    for number in range(200):
        assert [one.name for one in reader.feed(event_frame(f"e{number}", b""))] == [f"e{number}"]
