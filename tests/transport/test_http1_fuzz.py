"""Whatever an upstream sends, in whatever pieces: the client never hangs, never fails outside the tree, never lies."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asgi_gateway.errors import MalformedUpstream, UpstreamError, UpstreamUnreachable
from support.wire import Wire

pytestmark = pytest.mark.timeout(300)

FUZZ = settings(max_examples=300, deadline=None)

TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-", min_size=1, max_size=12).map(str.encode)
VALUE = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=20).map(str.encode)
FRAMING = (b"connection", b"content-length", b"transfer-encoding", b"upgrade", b"proxy-connection", b"keep-alive")
HEADER = st.tuples(TOKEN.filter(lambda name: name.lower() not in FRAMING), VALUE)


@pytest.fixture(scope="module")
def loop() -> object:
    """An event loop that is never run: everything here happens at once."""
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@dataclass(frozen=True)
class Said:
    """A valid answer as bytes, and what it means."""

    wire: bytes
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    framed: bool
    """Its end is known without the connection's."""


@st.composite
def answers(draw: st.DrawFn) -> Said:
    """Valid answers in every framing, with interim answers before, and extensions and trailers where they may stand."""
    status = draw(st.sampled_from([200, 201, 206, 299, 400, 404, 429, 500, 503, 599]))
    headers = draw(st.lists(HEADER, max_size=6))
    pieces = draw(st.lists(st.binary(min_size=1, max_size=60), max_size=8))
    body = b"".join(pieces)
    framing = draw(st.sampled_from(["length", "chunked", "close"]))
    lines = [(name, value) for name, value in headers]
    if framing == "length":
        lines.insert(draw(st.integers(0, len(lines))), (b"Content-Length", b"%d" % len(body)))
    elif framing == "chunked":
        lines.insert(draw(st.integers(0, len(lines))), (b"Transfer-Encoding", b"chunked"))
    interim = draw(st.lists(st.sampled_from([b"100 Continue", b"103 Early Hints"]), max_size=2))
    wire = b"".join(b"HTTP/1.1 %s\r\nx-interim: 1\r\n\r\n" % status_line for status_line in interim)
    wire += b"HTTP/1.1 %d %s\r\n" % (status, draw(st.sampled_from([b"OK", b"Some Reason", b""])))
    wire += b"".join(b"%s: %s\r\n" % pair for pair in lines) + b"\r\n"
    if framing == "chunked":
        wire += b"".join(draw(chunks(piece)) for piece in pieces)
        wire += b"0\r\n" + draw(st.sampled_from([b"", b"x-trailer: 1\r\n"])) + b"\r\n"
    else:
        wire += body
    return Said(wire, status, [(name.lower(), value) for name, value in lines], body, framing != "close")


@st.composite
def chunks(draw: st.DrawFn, data: bytes) -> bytes:
    """One chunk, in one of the ways that it may be written."""
    size = draw(st.sampled_from([b"%x", b"%X", b"00%x"])) % len(data)
    return size + draw(st.sampled_from([b"", b";ext", b";ext=value"])) + b"\r\n" + data + b"\r\n"


@st.composite
def cut(draw: st.DrawFn, wire: bytes) -> list[bytes]:
    """The same bytes in pieces."""
    cuts = sorted(draw(st.lists(st.integers(0, len(wire)), max_size=12)))
    return [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]


@FUZZ
@given(answers(), st.data(), st.booleans())
def test_a_valid_answer_is_read_as_it_is(
    loop: asyncio.AbstractEventLoop, said: Said, data: st.DataObject, eager: bool
) -> None:
    """However it is cut, and whether or not somebody reads meanwhile: status, headers, body and end are the same."""
    wire = Wire(loop)
    for piece in data.draw(cut(said.wire)):
        wire.feed(piece)
        if eager and wire.answer.status:
            wire.drain()
    if said.framed:
        assert wire.answer.complete
        assert not wire.transport.aborted
    else:
        wire.end()
    assert wire.outcome() == said.body
    assert (wire.answer.status, wire.answer.headers) == (said.status, said.headers)


@FUZZ
@given(st.lists(answers().filter(lambda said: said.framed), min_size=2, max_size=4), st.data())
def test_answers_in_a_row_are_not_mixed_up(
    loop: asyncio.AbstractEventLoop, row: list[Said], data: st.DataObject
) -> None:
    """Over one connection each request gets its own answer; the parser carries nothing over."""
    wire = Wire(loop)
    for said in row:
        for piece in data.draw(cut(said.wire)):
            wire.feed(piece)
        assert wire.outcome() == said.body
        assert (wire.answer.status, wire.answer.headers) == (said.status, said.headers)
        wire.transport.aborted = wire.connection.dead = False  # the pool of this test keeps nothing
        wire.got.clear()
        wire.begin()


@FUZZ
@given(answers().filter(lambda said: said.framed), st.data(), st.sampled_from([None, ConnectionResetError()]))
def test_a_cut_answer_is_never_whole(
    loop: asyncio.AbstractEventLoop, said: Said, data: st.DataObject, cause: Exception | None
) -> None:
    """Ended anywhere before its end it is an error, and what came of the body is its beginning."""
    length = data.draw(st.integers(0, len(said.wire) - 1))
    wire = Wire(loop)
    for piece in data.draw(cut(said.wire[:length])):
        wire.feed(piece)
    wire.end(cause)
    assert isinstance(wire.outcome(), UpstreamUnreachable)
    assert said.body.startswith(wire.got)


@FUZZ
@given(answers().filter(lambda said: not said.framed), st.data())
def test_a_reset_is_no_end(loop: asyncio.AbstractEventLoop, said: Said, data: st.DataObject) -> None:
    """Not even of a body that the end of its connection ends."""
    wire = Wire(loop)
    for piece in data.draw(cut(said.wire)):
        wire.feed(piece)
    wire.end(ConnectionResetError())
    assert isinstance(wire.outcome(), UpstreamUnreachable)
    assert wire.got == said.body


@FUZZ
@given(answers(), st.binary(min_size=1, max_size=80), st.data())
def test_bytes_behind_an_answer_are_not_part_of_it(
    loop: asyncio.AbstractEventLoop, said: Said, surplus: bytes, data: st.DataObject
) -> None:
    """The answer is what it is; the connection is not used again unless nothing but line ends followed."""
    if not said.framed:
        return
    wire = Wire(loop)
    for piece in data.draw(cut(said.wire + surplus)):
        wire.feed(piece)
    spoilt = wire.transport.aborted
    assert wire.outcome() == said.body
    assert spoilt or not surplus.strip(b"\r\n")


@FUZZ
@given(answers(), st.data())
def test_an_answer_to_head_is_its_head(loop: asyncio.AbstractEventLoop, said: Said, data: st.DataObject) -> None:
    """Whatever follows it."""
    wire = Wire(loop, "HEAD")
    for piece in data.draw(cut(said.wire)):
        wire.feed(piece)
    assert wire.outcome() == b""
    assert (wire.answer.status, wire.answer.headers) == (said.status, said.headers)


@FUZZ
@given(st.lists(st.binary(max_size=200), max_size=8), st.sampled_from([None, ConnectionResetError()]))
@example([b"HTTP/1.1 200 OK\r\n\r\n"], None)
def test_arbitrary_bytes(loop: asyncio.AbstractEventLoop, pieces: list[bytes], cause: Exception | None) -> None:
    """Anything at all ends as a body or as an error of the tree."""
    wire = Wire(loop)
    for piece in pieces:
        wire.feed(piece)
    wire.end(cause)
    assert isinstance(wire.outcome(), (bytes, UpstreamUnreachable, MalformedUpstream))


SPLICES = st.sampled_from(
    [
        *(b"\r\n", b"\n", b"\r", b"\x00", b" ", b":", b"-1", b"HTTP/1.0", b"\xff" * 9),
        *(b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 101 X\r\n\r\n"),
        *(b"content-length: 3\r\n", b"transfer-encoding: chunked\r\n"),
        *(b"connection: close\r\n", b"connection: upgrade\r\n", b"upgrade: x\r\n"),
    ]
)


@FUZZ
@given(answers(), st.data())
def test_mutated_answers(loop: asyncio.AbstractEventLoop, said: Said, data: st.DataObject) -> None:
    """A valid answer with bytes lost, changed or put in ends as a body or as an error of the tree."""
    wire_bytes = bytearray(said.wire)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(wire_bytes)))
        drop = data.draw(st.integers(0, 3))
        wire_bytes[at : at + drop] = data.draw(SPLICES | st.binary(max_size=3))
    wire = Wire(loop)
    for piece in data.draw(cut(bytes(wire_bytes))):
        wire.feed(piece)
        if wire.answer.status and data.draw(st.booleans()):
            try:
                wire.drain()
            except UpstreamError:
                break
    wire.end()
    assert isinstance(wire.outcome(), (bytes, UpstreamUnreachable, MalformedUpstream))


@FUZZ
@given(st.integers(1, 300_000), st.integers(2_000, 70_000), st.integers(0, 3))
def test_what_is_kept_is_bounded(loop: asyncio.AbstractEventLoop, size: int, piece: int, reads: int) -> None:
    """Reading stops once 64 KiB wait for the reader, and goes on when they are taken."""
    wire = Wire(loop)
    wire.feed(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
    left = size
    while left:
        if not wire.transport.reading:
            assert sum(map(len, wire.connection.pieces)) + 200 >= 64 * 1024 - 200
            wire.drain()
            assert wire.transport.reading
        chunk = min(left, piece)
        wire.feed(bytes(chunk))
        left -= chunk
        assert sum(map(len, wire.connection.pieces)) <= 64 * 1024 + piece
        if reads and left % reads == 0:
            wire.drain()
    assert wire.outcome() == bytes(size)
    assert wire.transport.reading
