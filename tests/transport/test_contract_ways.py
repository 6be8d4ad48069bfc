"""The ways to an upstream: TLS, proxies, pinned addresses."""

import asyncio
import base64
import ssl

import pytest

from asgi_gateway.errors import Fault, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from asgi_gateway.providers.contract import Origin
from asgi_gateway.storage.records import Timeouts
from support.connect_proxy import ConnectProxy
from support.flood import Flood
from support.transports import Make
from support.upstream_socket import ScriptedUpstream, UpstreamSocket, answer, chunk, whole

pytestmark = pytest.mark.timeout(60)


async def serve(end: UpstreamSocket) -> None:
    """Answer every request with its own body."""
    while True:
        received = await end.request()
        await end.send(answer(received.body))


async def test_tls(make: Make, served: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """Requests go over TLS, one connection for all of them; a large body too."""
    transport = make(ssl_context=trusting)
    async with ScriptedUpstream(serve, tls=served) as upstream:
        for body in (b"a", b"b", bytes(2 * 1024 * 1024)):
            assert await whole(await transport.send(upstream.ask(body=body))) == body
        assert len(upstream.connections) == 1


async def test_an_unknown_issuer_is_refused(make: Make, served: ssl.SSLContext) -> None:
    """By default only the system's roots are trusted."""
    async with ScriptedUpstream(serve, tls=served) as upstream:
        with pytest.raises(UpstreamUnreachable):
            await make().send(upstream.ask())
        assert not any(end.requests for end in upstream.connections)


async def test_another_name_is_refused(make: Make, served: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """The certificate must be for the origin's host."""
    async with ScriptedUpstream(serve, tls=served) as upstream:
        origin = Origin("https", "other.test", upstream.port)
        with pytest.raises(UpstreamUnreachable):
            await make(ssl_context=trusting).send(upstream.ask(origin=origin, address="127.0.0.1"))
        assert not any(end.requests for end in upstream.connections)


async def test_a_stream_over_tls_is_left_within_a_second(
    make: Make, served: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """Closing does not wait for the upstream's side of TLS."""
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"data"))
        gone.set_result(await end.left())

    async with ScriptedUpstream(script, tls=served) as upstream:
        response = await make(ssl_context=trusting).send(upstream.ask(stream=True))
        assert await response.read() == b"data"
        asked_at = asyncio.get_running_loop().time()
        response.close()
        assert await gone - asked_at < 1


async def test_a_slow_reader_over_tls_slows_the_upstream(
    make: Make, served: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """Back-pressure passes through TLS."""
    flood = Flood(32 * 1024 * 1024)
    async with ScriptedUpstream(flood, tls=served) as upstream:
        response = await make(ssl_context=trusting).send(upstream.ask(stream=True))
        assert await flood.read(response) < 4 * 1024 * 1024


async def test_a_pinned_address_is_where_the_connection_goes(make: Make) -> None:
    """The name is not looked up, and is still what `host` says."""
    async with ScriptedUpstream(serve) as upstream:
        origin = Origin("http", "no-such-host.invalid", upstream.port)
        request = upstream.ask(origin=origin, address="127.0.0.1", body=b"x")
        assert await whole(await make().send(request)) == b"x"
        host = upstream.connections[0].requests[0].header(b"host")
        assert host == [b"no-such-host.invalid:%d" % upstream.port]


async def test_a_pinned_address_with_tls(make: Make, served: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """TLS names and checks the origin's host, and two hosts at one address share no connection."""
    transport = make(ssl_context=trusting)
    async with ScriptedUpstream(serve, tls=served) as upstream:
        for host in ("upstream.test", "upstream.test", "127.0.0.1"):
            origin = Origin("https", host, upstream.port)
            assert (
                await whole(await transport.send(upstream.ask(origin=origin, address="127.0.0.1", body=b"x"))) == b"x"
            )
        assert [len(end.requests) for end in upstream.connections] == [2, 1]


async def test_a_name_that_nobody_knows(make: Make) -> None:
    """A failed look-up is an unreachable upstream."""
    async with ScriptedUpstream(serve) as upstream:
        origin = Origin("http", "no-such-host.invalid", 80)
        with pytest.raises(UpstreamUnreachable):
            await make().send(upstream.ask(origin=origin))


async def test_tls_through_a_proxy(make: Make, served: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """CONNECT with the channel's credentials, then TLS with the upstream itself, over one tunnel."""
    transport = make(ssl_context=trusting)
    async with (
        ScriptedUpstream(serve, tls=served, host="upstream.test") as upstream,
        ConnectProxy(upstream.port) as proxy,
    ):
        for body in (b"a", b"b"):
            request = upstream.ask(proxy=proxy.url("user:p%40ss@"), body=body)
            assert await whole(await transport.send(request)) == body
        head, *_ = proxy.heads
        assert head.startswith(b"CONNECT upstream.test:%d HTTP/1.1\r\n" % upstream.port)
        assert b"\r\nproxy-authorization: basic " + base64.b64encode(b"user:p@ss").lower() + b"\r\n" in head.lower()
        assert len(proxy.heads) == 1
        received = upstream.connections[0].requests[0]
        assert received.header(b"proxy-authorization") == []


async def test_plain_http_through_a_proxy(make: Make) -> None:
    """The whole URL is the target."""
    async with ScriptedUpstream(serve) as upstream, ConnectProxy(upstream.port) as proxy:
        request = upstream.ask(proxy=proxy.url("user:pass@"), body=b"x")
        assert await whole(await make().send(request)) == b"x"
        line = proxy.heads[0].split(b"\r\n")[0]
        assert line == b"POST http://127.0.0.1:%d/v1/chat/completions HTTP/1.1" % upstream.port
        assert b"proxy-authorization: basic " in proxy.heads[0].lower()


async def test_channels_with_different_proxies_share_no_connection(make: Make) -> None:
    """A connection belongs to its way."""
    transport = make()
    async with (
        ScriptedUpstream(serve) as upstream,
        ConnectProxy(upstream.port) as one,
        ConnectProxy(upstream.port) as two,
    ):
        for proxy in ("", one.url(), two.url(), "", one.url(), two.url()):
            assert await whole(await transport.send(upstream.ask(proxy=proxy, body=b"x"))) == b"x"
        assert [len(end.requests) for end in upstream.connections] == [2, 2, 2]


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
    ],
)
async def test_a_proxy_that_refuses_is_the_channels_fault(
    make: Make, served: ssl.SSLContext, trusting: ssl.SSLContext, said: bytes
) -> None:
    """The upstream is unreachable by this channel; the proxy's words are not the upstream's."""
    async with ScriptedUpstream(serve, tls=served) as upstream, ConnectProxy(upstream.port, answer=said) as proxy:
        with pytest.raises(UpstreamUnreachable) as caught:
            await make(ssl_context=trusting).send(upstream.ask(proxy=proxy.url("user:secret@")))
        assert caught.value.fault is Fault.CHANNEL
        assert "secret" not in str(caught.value)


async def test_a_proxy_that_says_nothing_is_caught_by_the_deadline_for_connecting(
    make: Make, served: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    """Until there is a tunnel, there is no connection."""
    async with ScriptedUpstream(serve, tls=served) as upstream, ConnectProxy(upstream.port, answer=None) as proxy:
        with pytest.raises(UpstreamTimeout) as caught:
            await make(ssl_context=trusting).send(upstream.ask(proxy=proxy.url(), timeouts=Timeouts(connect=0.2)))
        assert caught.value.phase == "connect"
        async with asyncio.timeout(1):
            await proxy.left.wait()


async def test_a_proxy_that_does_not_listen(make: Make) -> None:
    """Whatever it is, the upstream is unreachable."""
    async with ScriptedUpstream(serve) as upstream:
        async with ConnectProxy(upstream.port) as proxy:
            url = proxy.url()
        with pytest.raises(UpstreamUnreachable):
            await make().send(upstream.ask(proxy=url))


@pytest.mark.parametrize("proxy", ["nonsense", "ftp://127.0.0.1:1", "http://", "http://127.0.0.1:port"])
async def test_a_proxy_address_that_cannot_be_used(make: Make, proxy: str) -> None:
    """The channel's settings are wrong, and nothing is sent without the proxy."""
    async with ScriptedUpstream(serve) as upstream:
        with pytest.raises(UpstreamError) as caught:
            await make().send(upstream.ask(proxy=proxy))
        assert caught.value.fault is Fault.CHANNEL
        assert upstream.connections == []


@pytest.mark.parametrize(
    "headers",
    [((b"x-a", b"b\r\nx-b: c"),), ((b"x-a", b"b\nc"),), ((b"x a", b"b"),), ((b"", b"b"),)],
)
async def test_a_header_that_would_break_the_head_is_not_sent(
    make: Make, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    """The channel's settings are wrong; nothing of them reaches the upstream."""
    async with ScriptedUpstream(serve) as upstream:
        with pytest.raises(UpstreamError) as caught:
            await make().send(upstream.ask(headers=headers))
        assert caught.value.fault is Fault.CHANNEL
        assert not any(end.requests for end in upstream.connections)
