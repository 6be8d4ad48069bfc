"""What `HttpxTransport` does beyond the contract: HTTP/2, SOCKS, given clients and transports."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from asgi_gateway.errors import Fault, MalformedUpstream, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from asgi_gateway.providers.contract import Origin
from asgi_gateway.relay import httpx_transport
from asgi_gateway.relay.httpx_transport import HttpxTransport
from asgi_gateway.relay.transport import UpstreamRequest
from asgi_gateway.storage.records import Timeouts
from support.upstream_socket import ScriptedUpstream, UpstreamSocket, answer, chunk, whole

pytestmark = pytest.mark.timeout(60)


async def serve(end: UpstreamSocket) -> None:
    """Answer every request with its own body."""
    while True:
        received = await end.request()
        await end.send(answer(received.body))


def ask(**changes: object) -> UpstreamRequest:
    """A request to an upstream that no socket serves."""
    fields: dict[str, Any] = {
        "method": "POST",
        "origin": Origin("https", "upstream.test", 443),
        "target": b"/v1/x?y=%2F",
        "headers": ((b"x-a", b"b"),),
        "body": b"hello",
        "stream": False,
        "timeouts": Timeouts(),
    }
    return UpstreamRequest(**fields | changes)


async def echo(request: httpx.Request) -> httpx.Response:
    """What a test double answers."""
    return httpx.Response(207, headers=[("X-Target", request.url.raw_path.decode())], content=await request.aread())


async def test_a_given_transport_answers() -> None:
    """A test double of httpx's stands for the network."""
    transport = HttpxTransport(transport=httpx.MockTransport(echo))
    response = await transport.send(ask())
    assert response.status == 207
    assert (b"x-target", b"/v1/x?y=%2F") in response.headers
    assert await whole(response) == b"hello"
    await transport.close()


async def test_a_given_client_answers_and_stays_open() -> None:
    """The client belongs to who gave it."""
    async with httpx.AsyncClient(transport=httpx.MockTransport(echo), headers={"user-agent": "mine"}) as client:
        transport = HttpxTransport(client=client)
        assert await whole(await transport.send(ask())) == b"hello"
        await transport.close()
        assert not client.is_closed


def test_a_client_and_a_transport_are_too_much() -> None:
    """One of them only."""
    with pytest.raises(ValueError, match="not both"):
        HttpxTransport(client=httpx.AsyncClient(), transport=httpx.MockTransport(echo))


async def test_a_given_transport_takes_no_channels_proxy() -> None:
    """It would go round the proxy unseen."""
    transport = HttpxTransport(transport=httpx.MockTransport(echo))
    with pytest.raises(UpstreamError) as caught:
        await transport.send(ask(proxy="http://proxy.test"))
    assert caught.value.fault is Fault.CHANNEL


@pytest.mark.parametrize(
    ("raised", "error", "phase"),
    [
        (httpx.ConnectTimeout("x"), UpstreamTimeout, "connect"),
        (httpx.PoolTimeout("x"), UpstreamTimeout, "connect"),
        (httpx.ReadTimeout("x"), UpstreamTimeout, "plain"),
        (httpx.ProxyError("x"), UpstreamUnreachable, ""),
        (httpx.ReadError("x"), UpstreamUnreachable, ""),
        (httpx.RemoteProtocolError("Server disconnected without sending a response."), UpstreamUnreachable, ""),
        (httpx.RemoteProtocolError("<StreamReset stream_id:1>"), UpstreamUnreachable, ""),
        (httpx.RemoteProtocolError("illegal status line"), MalformedUpstream, ""),
        (httpx.LocalProtocolError("x"), UpstreamError, ""),
        (httpx.UnsupportedProtocol("x"), UpstreamError, ""),
    ],
)
async def test_errors_become_ours(raised: Exception, error: type[UpstreamError], phase: str) -> None:
    """Every error of httpx has its place in the tree, its cause kept and its text not shown."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise raised

    transport = HttpxTransport(transport=httpx.MockTransport(fail))
    with pytest.raises(error) as caught:
        await transport.send(ask())
    assert type(caught.value) is error
    assert caught.value.__cause__ is raised
    assert getattr(caught.value, "phase", "") == phase


class Stream(httpx.AsyncByteStream):
    """A body that fails after its first piece, and cannot be closed either."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b""
        yield b"piece"
        raise httpx.ReadError("gone")

    async def aclose(self) -> None:
        raise httpx.CloseError("gone")


async def test_a_body_that_fails_keeps_failing() -> None:
    """Empty pieces are no end, and a failing close is no second failure."""
    transport = HttpxTransport(transport=httpx.MockTransport(lambda request: httpx.Response(200, stream=Stream())))
    response = await transport.send(ask())
    assert await response.read() == b"piece"
    for _ in range(2):
        with pytest.raises(UpstreamUnreachable):
            await response.read()
    await transport.close()


async def test_a_given_transport_is_timed_without_knowing_when_it_connected() -> None:
    """Connecting and the head share a deadline where nobody tells them apart."""

    async def never(request: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    transport = HttpxTransport(transport=httpx.MockTransport(never))
    with pytest.raises(UpstreamTimeout) as caught:
        await transport.send(ask(stream=True, timeouts=Timeouts(connect=0.05, headers=0.05)))
    assert caught.value.phase == "headers"


async def test_unused_ways_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pinned addresses that change leave no connections behind; those in use stay."""
    monkeypatch.setattr(httpx_transport, "WAYS_LIMIT", 2)
    transport = HttpxTransport(ssl_context=ssl.create_default_context())
    async with ScriptedUpstream(serve) as upstream:
        held = await transport.send(upstream.ask(body=b"held"))
        for host in ("one.test", "two.test", "three.test"):
            request = upstream.ask(origin=Origin("http", host, upstream.port), address="127.0.0.1", body=b"x")
            assert await whole(await transport.send(request)) == b"x"
        assert len(transport._ways) == 2
        assert await whole(held) == b"held"
    await transport.close()


async def test_close_waits_for_what_is_being_dropped() -> None:
    """Answers dropped a moment before are gone when `close` returns."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"data"))
        await end.left()

    transport = HttpxTransport()
    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask(stream=True))
        response.close()
        assert len(transport._closing) == 1
        await transport.close()
        assert not transport._closing


@asynccontextmanager
async def http2_server(app: Any, issuer: trustme.CA, folder: Path) -> AsyncIterator[Origin]:
    """A server that speaks HTTP/2 over TLS."""
    pytest.importorskip("h2")
    hypercorn = pytest.importorskip("hypercorn")
    from hypercorn.asyncio import serve as serve_app

    config = hypercorn.Config()
    issuer.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    config.certfile = config.keyfile = str(folder / "both.pem")
    config.bind = ["127.0.0.1:0"]
    config.errorlog = None
    socks = config.create_sockets()
    config.create_sockets = lambda: socks
    socks.secure_sockets[0].listen()  # so that it can be connected to before the server runs
    done = asyncio.Event()
    serving = asyncio.ensure_future(serve_app(app, config, shutdown_trigger=done.wait))
    try:
        yield Origin("https", "127.0.0.1", socks.secure_sockets[0].getsockname()[1])
    finally:
        done.set()
        await serving


async def test_http2(issuer: trustme.CA, trusting: ssl.SSLContext, tmp_path: Path) -> None:
    """`http2=True` offers it, and an upstream that takes it is spoken to by it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["http_version"].encode()})

    transport = HttpxTransport(http2=True, ssl_context=trusting)
    async with http2_server(app, issuer, tmp_path) as origin:
        for _ in range(2):
            assert await whole(await transport.send(ask(origin=origin))) == b"2"
        await transport.close()


@pytest.mark.xfail(reason="httpcore resets no HTTP/2 stream that is dropped", strict=True)
async def test_an_answer_dropped_over_http2_stops_the_upstream(
    issuer: trustme.CA, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    """The upstream hears of it within a second."""
    left = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"data", "more_body": True})
        await receive()
        left.set()

    transport = HttpxTransport(http2=True, ssl_context=trusting)
    async with http2_server(app, issuer, tmp_path) as origin:
        response = await transport.send(ask(origin=origin, stream=True))
        assert await response.read() == b"data"
        response.close()
        try:
            async with asyncio.timeout(1):
                await left.wait()
        finally:
            await transport.close()


class SocksProxy:
    """A SOCKS5 proxy (RFC 1928) without authentication, which tunnels everything to one port."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.asked: list[bytes] = []

    async def __call__(self, end: UpstreamSocket) -> None:
        """Serve one connection."""
        assert (await end.reader.readexactly(2))[:1] == b"\x05"
        await end.reader.readexactly(1)
        await end.send(b"\x05\x00")
        assert await end.reader.readexactly(4) == b"\x05\x01\x00\x03"
        name = await end.reader.readexactly((await end.reader.readexactly(1))[0])
        self.asked.append(name)
        await end.reader.readexactly(2)
        await end.send(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        reader, writer = await asyncio.open_connection("127.0.0.1", self.target)
        writer.write(await end.reader.readuntil(b"\r\n\r\n") + await end.reader.readexactly(5))
        await end.send(await reader.readuntil(b"hello"))
        writer.close()
        await writer.wait_closed()


async def test_socks() -> None:
    """A channel may have a SOCKS proxy, which looks the upstream's name up."""
    pytest.importorskip("socksio")
    transport = HttpxTransport()
    async with ScriptedUpstream(serve) as upstream:
        proxy = SocksProxy(upstream.port)
        async with ScriptedUpstream(proxy) as front:
            origin = Origin("http", "upstream.test", upstream.port)
            request = ask(origin=origin, proxy=f"socks5h://127.0.0.1:{front.port}")
            assert await whole(await transport.send(request)) == b"hello"
            assert proxy.asked == [b"upstream.test"]
            await transport.close()


async def test_socks_without_its_package_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """The channel cannot be used, and the message says what is missing."""

    def missing(**options: object) -> None:
        raise ImportError("no socksio")

    monkeypatch.setattr(httpx, "AsyncHTTPTransport", missing)
    transport = HttpxTransport()
    with pytest.raises(UpstreamError, match="socksio") as caught:
        await transport.send(ask(proxy="socks5://127.0.0.1:1"))
    assert caught.value.fault is Fault.CHANNEL
