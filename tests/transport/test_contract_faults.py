"""What every transport makes of upstreams that break: told from a proper end, bounded, and always of the error tree."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from asgi_gateway.errors import MalformedUpstream, UpstreamError, UpstreamUnreachable
from asgi_gateway.relay.transport import Transport
from support.upstream_socket import ScriptedUpstream, UpstreamSocket, answer, chunk, whole

pytestmark = pytest.mark.timeout(60)

MIB = 1024 * 1024
CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
SIZED = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n"


def saying(said: bytes, last: Callable[[UpstreamSocket], object]) -> Callable[[UpstreamSocket], Awaitable[None]]:
    """A script that says something to each request, and then does the last thing."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        if said:
            await end.send(said)
        done = last(end)
        if done is not None:
            assert asyncio.iscoroutine(done)
            await done

    return script


async def failing(transport: Transport, upstream: ScriptedUpstream) -> tuple[UpstreamError, bytes]:
    """How an exchange fails, and which bytes of the body came before."""
    pieces = bytearray()

    async def exchange() -> None:
        response = await transport.send(upstream.ask())
        try:
            while piece := await response.read():
                pieces.extend(piece)
        finally:
            response.close()

    async with asyncio.timeout(3):
        with pytest.raises(UpstreamError) as caught:
            await exchange()
    assert "127.0.0.1" not in caught.value.message
    return caught.value, bytes(pieces)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1", b"HTTP/1.1 200 OK\r\nx-a: b\r\n"], ids=["nothing", "status", "head"]
)
@pytest.mark.parametrize("last", [UpstreamSocket.close, UpstreamSocket.reset])
async def test_a_connection_that_ends_before_the_head_is_complete(
    transport: Transport, said: bytes, last: Callable[[UpstreamSocket], object]
) -> None:
    """Closed or reset: the upstream is unreachable, and on a fresh connection nothing is sent again."""
    async with ScriptedUpstream(saying(said, last)) as upstream:
        error, _ = await failing(transport, upstream)
        assert isinstance(error, UpstreamUnreachable)
        assert [len(end.requests) for end in upstream.connections] == [1]


@pytest.mark.parametrize(
    "said",
    [
        SIZED + b'{"half',
        CHUNKED + chunk(b'{"half'),
        CHUNKED + b"a\r\n" + b'{"half',
        CHUNKED + chunk(b'{"half') + b"0\r\n",
    ],
    ids=["short of its length", "between chunks", "inside a chunk", "before the trailer's end"],
)
async def test_a_cut_body_is_told_from_an_end(transport: Transport, said: bytes) -> None:
    """What came is handed out, and then the connection is said to have broken."""
    async with ScriptedUpstream(saying(said, UpstreamSocket.close)) as upstream:
        error, got = await failing(transport, upstream)
        assert isinstance(error, UpstreamUnreachable)
        assert got == b'{"half'


@pytest.mark.parametrize("head", [SIZED, CHUNKED, b"HTTP/1.1 200 OK\r\n\r\n"], ids=["sized", "chunked", "until close"])
async def test_a_reset_body_is_told_from_an_end(transport: Transport, head: bytes) -> None:
    """A reset is never the proper end, not even of a body that the end of its connection ends."""
    go = asyncio.Event()

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(head + (chunk(b"half") if head == CHUNKED else b"half"))
        await go.wait()
        end.reset()

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask())
        assert await response.read() == b"half"
        go.set()
        with pytest.raises(UpstreamUnreachable):
            await response.read()
        response.close()


async def test_a_failure_stays(transport: Transport) -> None:
    """Reading on after a failure fails again, and never ends properly."""
    async with ScriptedUpstream(saying(SIZED + b"half", UpstreamSocket.close)) as upstream:
        response = await transport.send(upstream.ask())
        assert await response.read() == b"half"
        for _ in range(3):
            with pytest.raises(UpstreamUnreachable):
                await response.read()
        response.close()


@pytest.mark.parametrize(
    "said",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\x00b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: five\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
    ],
)
async def test_a_head_that_breaks_http_is_malformed(transport: Transport, said: bytes) -> None:
    """Nothing is guessed from a head that is wrong."""
    async with ScriptedUpstream(saying(said, UpstreamSocket.left)) as upstream:
        error, got = await failing(transport, upstream)
        assert isinstance(error, MalformedUpstream)
        assert got == b""


async def test_a_length_beside_chunks_is_malformed(transport: Transport) -> None:
    """Two framings at once are how answers are smuggled (RFC 9112, 6.3)."""
    said = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"body") + chunk(b"")
    async with ScriptedUpstream(saying(said, UpstreamSocket.left)) as upstream:
        error, got = await failing(transport, upstream)
        assert isinstance(error, MalformedUpstream)
        assert got == b""


@pytest.mark.parametrize(
    "said",
    [b"zz\r\n", b"-1\r\n", b"fffffffffffffffffffff\r\n", b"4\r\nbodyXX"],
    ids=["no number", "negative", "too large a number", "longer than it said"],
)
async def test_a_broken_chunk_is_malformed(transport: Transport, said: bytes) -> None:
    """What came before it is handed out."""
    go = asyncio.Event()

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(CHUNKED + chunk(b"good"))
        await go.wait()
        await end.send(said)
        await end.left()

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask())
        assert await response.read() == b"good"
        go.set()
        with pytest.raises(MalformedUpstream):
            await whole(response)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"HTTP/1.1 200 ", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\nx: ", b"x" * 1000),
        (b"HTTP/1.1 200 OK\r\n", b"x-a: b\r\n" * 100),
        (CHUNKED + b"5;", b"x" * 1000),
        (CHUNKED, b"0" * 1000),
        (CHUNKED + b"0\r\n", b"x-a: b\r\n" * 100),
    ],
    ids=["status line", "header line", "header lines", "chunk extension", "chunk size", "trailer"],
)
async def test_what_never_ends_is_cut_off(transport: Transport, start: bytes, more: bytes) -> None:
    """A line or a row of lines without end is stopped, long before it takes memory."""
    await cut_off(transport, start, more)


async def test_interim_answers_without_end_are_cut_off(transport: Transport) -> None:
    """An upstream that only ever promises is stopped."""
    await cut_off(transport, b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10)


async def cut_off(transport: Transport, start: bytes, more: bytes) -> None:
    """What is said without end is malformed, and not much of it is taken."""
    sent = 0

    async def script(end: UpstreamSocket) -> None:
        nonlocal sent
        await end.request()
        await end.send(start)
        while True:
            await end.send(more)
            sent = end.sent

    async with ScriptedUpstream(script) as upstream:
        error, got = await failing(transport, upstream)
    assert isinstance(error, MalformedUpstream)
    assert got == b""
    assert sent < 8 * MIB


async def test_a_fault_spoils_no_other_exchange(transport: Transport) -> None:
    """After each kind of end the next request has a fresh connection and its own answer."""
    faults = [b"", b"garbage\r\n\r\n", SIZED + b"half", CHUNKED + b"zz\r\n"]

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        if end.index % 2 == 0:
            await end.send(faults[end.index // 2])
        else:
            await end.send(answer(b"mine", headers=b"connection: close\r\n"))

    async with ScriptedUpstream(script) as upstream:
        for _ in faults:
            await failing(transport, upstream)
            assert await whole(await transport.send(upstream.ask())) == b"mine"
