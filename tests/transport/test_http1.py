"""What `Http1Transport` does beyond the contract: options, loops, strictness, heads, proxies."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from asgi_gateway.errors import Fault, MalformedUpstream, UpstreamError, UpstreamUnreachable
from asgi_gateway.providers.contract import Origin
from asgi_gateway.relay.http1 import Http1Transport
from asgi_gateway.relay.pool import HEADS_LIMIT
from asgi_gateway.relay.proxy import ProxyAddress, Tunnel, authority
from asgi_gateway.relay.transport import UpstreamRequest
from asgi_gateway.storage.records import Timeouts
from support.connect_proxy import ConnectProxy
from support.upstream_socket import ScriptedUpstream, UpstreamSocket, answer, whole
from support.wire import FakeSocketTransport

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
async def transport() -> AsyncIterator[Http1Transport]:
    """A transport with its defaults."""
    transport = Http1Transport()
    yield transport
    await transport.close()


async def serve(end: UpstreamSocket) -> None:
    """Answer every request with its own body."""
    while True:
        received = await end.request()
        await end.send(answer(received.body))


@pytest.mark.parametrize("options", [{"idle_limit": -1}, {"idle_seconds": 0}])
def test_wrong_options_are_refused_at_once(options: dict[str, int]) -> None:
    """A mistake is seen where it is made."""
    with pytest.raises(ValueError, match="idle_"):
        Http1Transport(**options)


async def test_without_room_for_idle_connections_each_request_has_its_own() -> None:
    """`idle_limit=0` keeps nothing."""
    transport = Http1Transport(idle_limit=0)
    async with ScriptedUpstream(serve) as upstream:
        for _ in range(2):
            await whole(await transport.send(upstream.ask()))
        assert len(upstream.connections) == 2


async def test_after_close_requests_are_served_but_nothing_is_kept(transport: Http1Transport) -> None:
    """An exchange that is still draining may need one more connection."""
    await transport.close()
    async with ScriptedUpstream(serve) as upstream:
        for _ in range(2):
            assert await whole(await transport.send(upstream.ask(body=b"x"))) == b"x"
        assert len(upstream.connections) == 2


def test_a_transport_belongs_to_one_loop() -> None:
    """A second loop beside the first is a mistake that is named; a second one after it is not."""
    transport = Http1Transport()

    async def exchange() -> bytes:
        async with ScriptedUpstream(serve) as upstream:
            return await whole(await transport.send(upstream.ask(body=b"x")))

    async def drop() -> None:
        await transport.close()

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    assert first.run_until_complete(exchange()) == b"x"
    work = exchange()
    with pytest.raises(RuntimeError, match="another event loop"):
        second.run_until_complete(work)
    second.run_until_complete(drop())  # not its connections: nothing to do
    first.run_until_complete(drop())
    first.close()
    assert second.run_until_complete(exchange()) == b"x"
    second.close()


def test_importing_makes_nothing() -> None:
    """The transports may be imported before a fork and without httpx: no loop, no socket, no TLS roots are made."""
    program = (
        "import sys, gc, asyncio, ssl, socket\n"
        "import asgi_gateway.relay.http1, asgi_gateway.relay.httpx_transport\n"
        "made = [thing for thing in gc.get_objects() if isinstance(thing, (asyncio.AbstractEventLoop, ssl.SSLContext, "
        "socket.socket))]\n"
        "assert not made, made\n"
        "assert 'httpx' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/9.9 200 OK\r\n\r\n",
        b"HTTP/1.1 042 Low\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 600 High\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 101 Unasked\r\n\r\n",
        b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nx: a\r\n folded\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 5, 5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 300 + b"content-length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_heads_are_read_strictly(transport: Http1Transport, said: bytes) -> None:
    """What RFC 9112 does not allow, or our limits, is not guessed at."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(said)
        await end.left()

    async with ScriptedUpstream(script) as upstream:
        with pytest.raises(MalformedUpstream):
            await transport.send(upstream.ask())


async def test_a_large_answer_in_one_piece(transport: Http1Transport) -> None:
    """A head that comes together with much of its body is within its limit."""
    body = bytes(range(256)) * 4096

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(answer(body))

    async with ScriptedUpstream(script) as upstream:
        assert await whole(await transport.send(upstream.ask())) == body


async def test_space_around_values_is_not_part_of_them(transport: Http1Transport) -> None:
    """Optional white space is dropped on both sides (RFC 9110, 5.5)."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(answer(b"", headers=b"X-A:  b \t \r\nX-B:\r\n"))

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask())
        assert response.headers[:2] == [(b"x-a", b"b"), (b"x-b", b"")]
        response.close()


async def test_a_trailer_changes_no_header(transport: Http1Transport) -> None:
    """Fields behind the body are dropped: the head has been handed on."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-late: y\r\n\r\n")
        await end.left()

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask())
        assert await whole(response) == b"x"
        assert response.headers == [(b"transfer-encoding", b"chunked")]


async def test_a_refusal_stops_a_large_request(transport: Http1Transport) -> None:
    """Once the answer is a 4xx, the rest of the request stays here."""
    body = bytes(64 * 1024 * 1024)

    async def script(end: UpstreamSocket) -> None:
        await end.head()
        await end.send(answer(b"no", status=b"413 Content Too Large"))
        end.sent = 0
        while data := await end.reader.read(65536):
            end.sent += len(data)

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask(body=body))
        assert response.status == 413
        assert await whole(response) == b"no"
        await upstream.connections[0].writer.wait_closed()
        assert upstream.connections[0].sent < len(body)


async def test_many_different_heads_are_not_all_remembered(transport: Http1Transport) -> None:
    """Targets that never repeat do not fill the memory."""
    async with ScriptedUpstream(serve) as upstream:
        for number in range(HEADS_LIMIT + 10):
            await whole(await transport.send(upstream.ask(target=b"/%d" % number)))
        pool = transport._pool
        assert pool is not None
        assert [len(peer._heads) <= HEADS_LIMIT for peer in pool._peers.values()] == [True]
        assert len(upstream.connections[0].requests) == HEADS_LIMIT + 10


@pytest.mark.parametrize(
    "changes",
    [
        {"target": b"/a b"},
        {"target": b"no-slash"},
        {"target": b"/a\r\nx: y"},
        {"method": "GET /x"},
        {"method": "get"},
        {"origin": Origin("ftp", "127.0.0.1", 1)},
        {"origin": Origin("http", "a" * 70 + ".test", 1)},
        {"origin": Origin("http", "a..b", 1)},
    ],
)
async def test_what_cannot_be_sent_is_the_channels_fault(transport: Http1Transport, changes: dict[str, object]) -> None:
    """Nothing goes out from settings that would break the request."""
    async with ScriptedUpstream(serve) as upstream:
        with pytest.raises(UpstreamError) as caught:
            await transport.send(upstream.ask(**changes))
        assert caught.value.fault is Fault.CHANNEL
        assert upstream.connections == []


@pytest.mark.parametrize(
    ("host", "port", "default", "text"),
    [
        ("upstream.test", 443, 443, b"upstream.test"),
        ("upstream.test", 8443, 443, b"upstream.test:8443"),
        ("upstream.test", 443, None, b"upstream.test:443"),
        ("::1", 80, 80, b"[::1]"),
        ("::1", 8080, 80, b"[::1]:8080"),
        ("bücher.test", 80, 80, b"xn--bcher-kva.test"),
        ("under_score", 80, 80, b"under_score"),
    ],
)
def test_hosts_are_named_as_urls_name_them(host: str, port: int, default: int | None, text: bytes) -> None:
    """Brackets for IPv6, the wire form of international names, no default port."""
    assert authority(host, port, default) == text


def test_a_proxy_address_hides_its_credentials() -> None:
    """They are in no repr, and a user without a password has an empty one."""
    proxy = ProxyAddress.parse("https://user@proxy.test")
    assert (proxy.host, proxy.port, proxy.credentials) == ("proxy.test", 443, b"Basic dXNlcjo=")
    assert repr(proxy) == "ProxyAddress(https://proxy.test:443)"


async def test_a_pinned_address_behind_a_proxy_is_what_the_proxy_is_told(transport: Http1Transport) -> None:
    """Plain HTTP goes through a tunnel then: the proxy shall look no name up."""
    async with ScriptedUpstream(serve) as upstream, ConnectProxy(upstream.port) as proxy:
        origin = Origin("http", "no-such-host.invalid", upstream.port)
        request = upstream.ask(origin=origin, address="127.0.0.1", proxy=proxy.url(), body=b"x")
        assert await whole(await transport.send(request)) == b"x"
        assert proxy.heads[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % upstream.port)
        assert upstream.connections[0].requests[0].line == b"POST /v1/chat/completions HTTP/1.1"


async def test_the_systems_roots_are_trusted_by_default(transport: Http1Transport, served: ssl.SSLContext) -> None:
    """And nobody else: the test's own issuer is refused."""
    async with ScriptedUpstream(serve, tls=served) as upstream:
        with pytest.raises(UpstreamUnreachable) as caught:
            await transport.send(upstream.ask())
        assert isinstance(caught.value.__cause__, ssl.SSLCertVerificationError)


async def test_a_proxy_may_be_spoken_to_over_tls(served: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """TLS to the proxy, and TLS to the upstream inside it."""
    transport = Http1Transport(ssl_context=trusting)
    async with (
        ScriptedUpstream(serve, tls=served, host="upstream.test") as upstream,
        ConnectProxy(upstream.port, tls=served) as proxy,
    ):
        request = upstream.ask(proxy=proxy.url(), body=b"x")
        assert await whole(await transport.send(request)) == b"x"
        await transport.close()


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 OK\r\n\r\nsurplus",
        b"SSH-2.0 hello\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 20_000,
    ],
)
async def test_a_proxy_that_answers_nonsense_opens_no_tunnel(
    served: ssl.SSLContext, trusting: ssl.SSLContext, said: bytes
) -> None:
    """Only a clean grant begins a tunnel."""
    transport = Http1Transport(ssl_context=trusting)
    async with ScriptedUpstream(serve, tls=served) as upstream, ConnectProxy(upstream.port, answer=said) as proxy:
        with pytest.raises(UpstreamUnreachable) as caught:
            await transport.send(upstream.ask(proxy=proxy.url()))
        assert caught.value.fault is Fault.CHANNEL
        async with asyncio.timeout(1):
            await proxy.left.wait()


@pytest.mark.parametrize("said", [b"", b"more"], ids=["leaves", "says more"])
async def test_a_proxy_that_grants_and_then_spoils_it_opens_no_tunnel(said: bytes) -> None:
    """Between the grant and its use the proxy may leave, or say what nobody asked for."""
    tunnel, socket = Tunnel(asyncio.get_running_loop()), FakeSocketTransport()
    tunnel.connection_made(socket)
    opening = asyncio.ensure_future(tunnel.open(b"upstream.test:443", b""))
    tunnel.data_received(b"HTTP/1.1 200 OK\r\n")
    tunnel.data_received(b"\r\n")
    if said:
        tunnel.data_received(said)
    else:
        socket.abort()
        tunnel.connection_lost(None)
    with pytest.raises(UpstreamUnreachable):
        await opening
    assert socket.written.startswith(b"CONNECT upstream.test:443 HTTP/1.1\r\n")


async def test_a_proxy_that_closes_opens_no_tunnel(transport: Http1Transport) -> None:
    """A connection that ends before the grant is none."""
    async with ScriptedUpstream(UpstreamSocket.head) as broken:
        request = UpstreamRequest(
            method="POST",
            origin=Origin("https", "upstream.test", 443),
            target=b"/",
            headers=(),
            body=b"",
            stream=False,
            timeouts=Timeouts(),
            proxy=f"http://127.0.0.1:{broken.port}",
        )
        with pytest.raises(UpstreamUnreachable):
            await transport.send(request)


async def test_a_tunnel_to_an_upstream_that_is_not_who_it_should_be(
    served: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """The certificate is checked inside the tunnel too."""
    transport = Http1Transport(ssl_context=trusting)
    async with (
        ScriptedUpstream(serve, tls=served, host="other.test") as upstream,
        ConnectProxy(upstream.port) as proxy,
    ):
        with pytest.raises(UpstreamUnreachable):
            await transport.send(upstream.ask(proxy=proxy.url()))
        assert not any(end.requests for end in upstream.connections)
