"""Large bodies and slow readers: nothing is buffered without bound, and nobody waits for the other for ever."""

import asyncio

import pytest

from asgi_gateway.relay.transport import Transport
from support.flood import Flood
from support.upstream_socket import ScriptedUpstream, UpstreamSocket, answer, whole

pytestmark = pytest.mark.timeout(60)

MIB = 1024 * 1024


async def serve(end: UpstreamSocket) -> None:
    """Answer every request with its own body."""
    while True:
        received = await end.request()
        await end.send(answer(received.body))


async def test_a_large_request_body_arrives(transport: Transport) -> None:
    """Eight MiB go out to an upstream that takes its time."""
    body = bytes(range(256)) * (8 * MIB // 256)
    async with ScriptedUpstream(serve) as upstream:
        assert await whole(await transport.send(upstream.ask(body=body))) == body
        assert upstream.connections[0].requests[0].body == body
        assert await whole(await transport.send(upstream.ask(body=b"next"))) == b"next"
        assert len(upstream.connections) == 1


async def test_an_early_answer_is_heard_while_the_body_is_still_being_sent(transport: Transport) -> None:
    """An upstream that refuses a large request without reading it is heard; the connection is not used again."""

    async def script(end: UpstreamSocket) -> None:
        await end.head()
        end.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's transports for sockets have it
        await end.send(answer(b"too large", status=b"413 Content Too Large"))
        await asyncio.Event().wait()

    async with ScriptedUpstream(script) as upstream:
        for _ in range(2):
            async with asyncio.timeout(3):
                response = await transport.send(upstream.ask(body=bytes(32 * MIB)))
            assert response.status == 413
            assert await whole(response) == b"too large"
        assert len(upstream.connections) == 2


async def test_an_answer_may_begin_while_the_request_goes_on(transport: Transport) -> None:
    """An upstream that answers 200 before it has read the request still gets all of it."""
    body = bytes(8 * MIB)

    async def script(end: UpstreamSocket) -> None:
        await end.head()
        await end.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n")
        got = await end.reader.readexactly(len(body))
        await end.send(b"%08d" % len(got))

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask(body=body))
        assert await whole(response) == b"%08d" % len(body)


async def test_a_slow_reader_slows_the_upstream(transport: Transport) -> None:
    """Of 64 MiB the upstream is never more than 4 MiB ahead of who reads."""
    flood = Flood(64 * MIB)
    async with ScriptedUpstream(flood) as upstream:
        response = await transport.send(upstream.ask(stream=True))
        assert await flood.read(response) < 4 * MIB
