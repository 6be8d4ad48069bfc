"""Which kept-alive connections `Http1Transport` uses again, and when it sends a request a second time."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from asgi_gateway.errors import UpstreamTimeout, UpstreamUnreachable
from asgi_gateway.providers.contract import Origin
from asgi_gateway.relay.connection import Connection
from asgi_gateway.relay.http1 import Http1Transport
from asgi_gateway.relay.transport import UpstreamRequest
from asgi_gateway.storage.records import Timeouts
from support.upstream_socket import ScriptedUpstream, UpstreamSocket, answer, whole

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def transport() -> AsyncIterator[Http1Transport]:
    """A transport with its defaults."""
    transport = Http1Transport()
    yield transport
    await transport.close()


class Bare:
    """A listening socket without any machinery: what is done to its connections happens at once."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.ends: list[socket.socket] = []

    def ask(self, **changes: object) -> UpstreamRequest:
        """A small request to this socket."""
        fields: dict[str, object] = {
            "method": "POST",
            "origin": Origin("http", "127.0.0.1", self._listener.getsockname()[1]),
            "target": b"/",
            "headers": (),
            "body": b"{}",
            "stream": False,
            "timeouts": Timeouts(),
        }
        return UpstreamRequest(**fields | changes)  # type: ignore[arg-type]  # fields by name, as the test says

    async def accept(self) -> socket.socket:
        """The next connection."""
        end, _ = await self._loop.sock_accept(self._listener)
        self.ends.append(end)
        return end

    async def exchange(self, end: socket.socket, body: bytes) -> bytes:
        """Read a request and answer it."""
        received = await self._loop.sock_recv(end, 65536)
        await self._loop.sock_sendall(end, answer(body))
        return received

    async def kept(self, transport: Http1Transport) -> socket.socket:
        """A connection that has served a request and is kept by the client."""
        sending = asyncio.ensure_future(transport.send(self.ask()))
        end = await self.accept()
        await self.exchange(end, b"first")
        assert await whole(await sending) == b"first"
        return end

    def close(self) -> None:
        """Close everything."""
        for end in [*self.ends, self._listener]:
            end.close()


@pytest.fixture
async def bare() -> AsyncIterator[Bare]:
    """A listening socket under the test's own hand."""
    bare = Bare()
    yield bare
    bare.close()


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_request_that_met_a_closed_connection_is_sent_again(
    transport: Http1Transport, bare: Bare, method: str
) -> None:
    """The upstream had closed before the request left: it cannot have acted on it."""
    end = await bare.kept(transport)
    end.close()  # the loop has no chance to notice before the next line writes
    sending = asyncio.ensure_future(transport.send(bare.ask(method=method)))
    received = await bare.exchange(await bare.accept(), b"second")
    assert received.startswith(method.encode())
    assert await whole(await sending) == b"second"


async def test_a_large_request_that_met_a_closed_connection_is_sent_again_whole(
    transport: Http1Transport, bare: Bare
) -> None:
    """What had been written of it is written again from its beginning."""
    loop, body = asyncio.get_running_loop(), bytes(range(256)) * 8192
    end = await bare.kept(transport)
    end.close()
    sending = asyncio.ensure_future(transport.send(bare.ask(body=body)))
    end = await bare.accept()
    received = bytearray()
    while not received.endswith(body):
        received += await loop.sock_recv(end, 65536)
    await loop.sock_sendall(end, answer(b"second"))
    assert await whole(await sending) == b"second"


async def test_a_request_that_was_closed_unread_is_sent_again(transport: Http1Transport, bare: Bare) -> None:
    """A socket closed with the request still in it answers by a reset: nobody has read it."""
    end = await bare.kept(transport)
    sending = asyncio.ensure_future(transport.send(bare.ask()))
    while not await readable(end):
        pass
    end.close()
    await bare.exchange(await bare.accept(), b"second")
    assert await whole(await sending) == b"second"


async def readable(end: socket.socket) -> bool:
    """Whether bytes have come; they are left where they are."""
    await asyncio.sleep(0)
    try:
        return bool(end.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False


async def test_a_post_that_was_read_is_not_sent_again(transport: Http1Transport, bare: Bare) -> None:
    """The upstream took the request and closed without a word: it may have acted on it."""
    end = await bare.kept(transport)
    sending = asyncio.ensure_future(transport.send(bare.ask()))
    assert await asyncio.get_running_loop().sock_recv(end, 65536)
    end.close()
    with pytest.raises(UpstreamUnreachable):
        await sending


async def test_a_get_that_was_read_is_sent_again(transport: Http1Transport, bare: Bare) -> None:
    """What may be repeated is repeated (RFC 9110, 9.2.2)."""
    end = await bare.kept(transport)
    sending = asyncio.ensure_future(transport.send(bare.ask(method="GET", body=b"")))
    assert await asyncio.get_running_loop().sock_recv(end, 65536)
    end.close()
    await bare.exchange(await bare.accept(), b"second")
    assert await whole(await sending) == b"second"


async def test_a_request_whose_answer_had_begun_is_not_sent_again(transport: Http1Transport, bare: Bare) -> None:
    """One byte of an answer is enough."""
    loop = asyncio.get_running_loop()
    end = await bare.kept(transport)
    sending = asyncio.ensure_future(transport.send(bare.ask(method="GET", body=b"")))
    assert await loop.sock_recv(end, 65536)
    await loop.sock_sendall(end, b"H")
    end.close()
    with pytest.raises(UpstreamUnreachable):
        await sending


async def test_a_request_is_sent_twice_at_most(transport: Http1Transport, bare: Bare) -> None:
    """The second connection is a fresh one: what happens to it is no matter of age."""
    end = await bare.kept(transport)
    end.close()
    sending = asyncio.ensure_future(transport.send(bare.ask(method="GET", body=b"")))
    (await bare.accept()).close()
    with pytest.raises(UpstreamUnreachable):
        await sending


async def test_a_repeated_request_keeps_its_total_deadline(transport: Http1Transport, bare: Bare) -> None:
    """The second attempt has what the first one left."""
    end = await bare.kept(transport)
    end.close()
    with pytest.raises(UpstreamTimeout) as caught:
        await transport.send(bare.ask(timeouts=Timeouts(total=0.3)))
    assert caught.value.phase == "total"


async def test_the_connection_used_last_is_used_first(transport: Http1Transport) -> None:
    """So the others grow old and are closed."""
    together = asyncio.Barrier(3)

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await together.wait()
        await end.send(answer(b"%d" % end.index))
        while True:
            await end.request()
            await end.send(answer(b"%d" % end.index))

    async with ScriptedUpstream(script) as upstream:
        responses = await asyncio.gather(*(transport.send(upstream.ask()) for _ in range(3)))
        names = [await whole(response) for response in responses]
        for _ in range(3):
            assert await whole(await transport.send(upstream.ask())) == names[-1]


async def test_idle_connections_are_bounded(bare: Bare) -> None:
    """Beyond `idle_limit` a connection is closed when its exchange ends."""
    transport = Http1Transport(idle_limit=1)
    sending = [asyncio.ensure_future(transport.send(bare.ask())) for _ in range(3)]
    ends = [await bare.accept() for _ in range(3)]
    for end in ends:
        await bare.exchange(end, b"x")
    for task in sending:
        assert await whole(await task) == b"x"
    loop = asyncio.get_running_loop()
    reads = [asyncio.ensure_future(loop.sock_recv(end, 1)) for end in ends]
    done, pending = await asyncio.wait(reads, timeout=1)
    assert [task.result() for task in done] == [b"", b""]
    assert len(pending) == 1
    await transport.close()
    assert [await task for task in pending] == [b""]


async def test_idle_connections_grow_old(bare: Bare) -> None:
    """After `idle_seconds` a connection is closed, though nobody sends."""
    transport = Http1Transport(idle_seconds=0.1)
    end = await bare.kept(transport)
    async with asyncio.timeout(5):
        assert await asyncio.get_running_loop().sock_recv(end, 1) == b""
    sending = asyncio.ensure_future(transport.send(bare.ask()))
    await bare.exchange(await bare.accept(), b"second")
    assert await whole(await sending) == b"second"
    await transport.close()


async def test_an_old_connection_is_not_used_though_it_is_still_open(bare: Bare) -> None:
    """A loop that was held up may not have closed it yet."""
    transport = Http1Transport(idle_seconds=1000)
    await bare.kept(transport)
    pool = transport._pool
    assert pool is not None
    pool.idle_seconds = -1
    sending = asyncio.ensure_future(transport.send(bare.ask()))
    await bare.exchange(await bare.accept(), b"second")
    assert await whole(await sending) == b"second"
    await transport.close()


async def test_an_upstream_that_speaks_unasked_loses_its_connection(transport: Http1Transport, bare: Bare) -> None:
    """Bytes over an idle connection, a whole answer even, never become the answer to the next request."""
    loop = asyncio.get_running_loop()
    end = await bare.kept(transport)
    await loop.sock_sendall(end, answer(b"not asked for"))
    async with asyncio.timeout(1):
        assert await loop.sock_recv(end, 1) == b""
    sending = asyncio.ensure_future(transport.send(bare.ask()))
    await bare.exchange(await bare.accept(), b"mine")
    assert await whole(await sending) == b"mine"


async def test_bytes_behind_an_answer_that_nobody_has_read_yet(transport: Http1Transport, bare: Bare) -> None:
    """The answer is whole; its connection is closed at once, and the reader gets all of it."""
    loop = asyncio.get_running_loop()
    sending = asyncio.ensure_future(transport.send(bare.ask()))
    end = await bare.accept()
    await bare.exchange(end, b"mine")
    response = await sending
    await loop.sock_sendall(end, b"more")
    async with asyncio.timeout(1):
        assert await loop.sock_recv(end, 1) == b""
    assert await whole(response) == b"mine"


async def test_an_upstream_that_closes_behind_its_answer(transport: Http1Transport, bare: Bare) -> None:
    """The answer is whole, and the next request goes over a new connection."""
    end = await bare.kept(transport)
    sending = asyncio.ensure_future(transport.send(bare.ask()))
    await bare.exchange(end, b"second")
    end.close()
    assert await whole(await sending) == b"second"
    sending = asyncio.ensure_future(transport.send(bare.ask()))
    await bare.exchange(await bare.accept(), b"third")
    assert await whole(await sending) == b"third"


async def test_connections_to_forgotten_peers_are_not_kept(bare: Bare) -> None:
    """The pool forgets ways that have no connection; an exchange that began before gives none back to them."""
    transport = Http1Transport(idle_seconds=1000)
    await bare.kept(transport)
    pool = transport._pool
    assert pool is not None
    sending = asyncio.ensure_future(transport.send(bare.ask()))
    await bare.exchange(bare.ends[0], b"second")
    response = await sending
    for peer in pool._peers.values():
        peer.retired = True
    assert await whole(response) == b"second"
    assert await asyncio.get_running_loop().sock_recv(bare.ends[0], 1) == b""
    await transport.close()


async def test_ways_without_connections_are_forgotten() -> None:
    """Addresses that change leave nothing behind."""
    transport = Http1Transport()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    bare = Bare()
    request = bare.ask(origin=Origin("http", "127.0.0.1", port))
    with pytest.raises(UpstreamUnreachable):
        await transport.send(request)
    pool = transport._pool
    assert pool is not None
    assert len(pool._peers) == 1
    pool._sweep()
    assert pool._peers == {}
    bare.close()
    await transport.close()


async def test_exchanges_in_a_row_set_one_timer(transport: Http1Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deadlines cost a steady row of requests nothing."""
    set_at: list[float] = []

    async def script(end: UpstreamSocket) -> None:
        while True:
            received = await end.request()
            await end.send(answer(received.body))

    def arm(self: Connection, deadline: float) -> None:
        before = self.timer
        plain(self, deadline)
        if self.timer is not before:
            set_at.append(deadline)

    plain = Connection.arm
    monkeypatch.setattr(Connection, "arm", arm)
    async with ScriptedUpstream(script) as upstream:
        for _ in range(50):
            await whole(await transport.send(upstream.ask()))
    assert len(set_at) == 1
