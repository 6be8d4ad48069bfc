"""The second transport, over `httpx`: HTTP/2, SOCKS proxies, and whatever else has been written for it.

It passes the contract suite but for the lines named there, at several times the cost of `Http1Transport`.
Over HTTP/2 an answer that is dropped does not stop the upstream: httpcore resets no stream.
`httpx` is imported when the first one is made.
"""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from asgi_gateway.errors import Fault, MalformedUpstream, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from asgi_gateway.relay.connection import RECEIVE_BUFFER
from asgi_gateway.relay.proxy import ProxyAddress, authority
from asgi_gateway.relay.request_head import BODILESS, PORTS
from asgi_gateway.relay.transport import UpstreamRequest
from asgi_gateway.storage.records import Timeouts

if TYPE_CHECKING:
    import httpx

__all__ = ["Closable", "Deadlines", "HttpxAnswer", "HttpxTransport", "Way"]

WAYS_LIMIT = 256
"""Ways to upstreams (proxy, pinned address) whose connections are kept; beyond them unused ones are closed."""

SOCKS = frozenset({"socks5", "socks5h"})

# httpx has one error for an upstream that left and for one that broke the rules; only the texts of h11,
# httpcore and h2 tell them apart.
_LEFT = ("peer closed connection", "disconnected", "StreamReset", "ConnectionTerminated")


class Closable(Protocol):
    """A connection that httpcore is opening."""

    async def aclose(self) -> None: ...


@dataclass(slots=True, eq=False)
class Way:
    """Connections that go the same way, and how many exchanges are open on them."""

    transport: "httpx.AsyncBaseTransport"
    open: int = 0


class HttpxTransport:
    """Sends requests through httpx; see `Transport` for the contract.

    `client` or `transport` (not both) replace what would be made here: they belong to who gave them, are not closed,
    decide alone about proxies and TLS, and refuse channels that have a proxy of their own.
    Without them, `http2` offers HTTP/2 (needs the package `h2`), `ssl_context` replaces the system's default TLS
    settings (httpx sets the names of its protocols in it), `idle_limit` and `idle_seconds` bound the idle connections.
    """

    def __init__(
        self,
        *,
        client: "httpx.AsyncClient | None" = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        http2: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        idle_limit: int = 256,
        idle_seconds: float = 30.0,
    ) -> None:
        if client is not None and transport is not None:
            raise ValueError("give a client or a transport, not both")
        import httpx

        self._httpx = httpx
        self.errors = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError)
        self._client = client
        self._given = None if transport is None else Way(transport)
        self._http2 = http2
        self._ssl_context = ssl_context
        self._limits = httpx.Limits(
            max_connections=None, max_keepalive_connections=idle_limit, keepalive_expiry=idle_seconds
        )
        self._ways: dict[tuple[str, str | None, str], Way] = {}
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, request: UpstreamRequest) -> "HttpxAnswer":
        """Send a request and return when the head of its answer has come."""
        outgoing = self._outgoing(request)
        deadlines = Deadlines(request.timeouts, request.stream)
        way = None
        send: Callable[[httpx.Request], Awaitable[httpx.Response]]
        if self._client is not None:
            client = self._client
            send = lambda sent: client.send(sent, stream=True, follow_redirects=False)  # noqa: E731
        else:
            way = await self._way(request)
            send = way.transport.handle_async_request
            way.open += 1
        try:
            response = await self._head(send, outgoing, deadlines, way)
        except BaseException:
            self._leave(way)
            raise
        answer = HttpxAnswer(self, response, deadlines, way)
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in answer.headers}:
            answer.close()
            raise MalformedUpstream("the upstream's answer has two lengths")
        return answer

    async def _head(
        self,
        send: "Callable[[httpx.Request], Awaitable[httpx.Response]]",
        outgoing: "httpx.Request",
        deadlines: "Deadlines",
        way: Way | None,
    ) -> "httpx.Response":
        connects_here = way is not None and way is not self._given
        opening: Closable | None = None
        try:
            async with asyncio.timeout_at(deadlines.connect(alone=connects_here)) as scope:

                async def trace(event: str, info: dict[str, Any]) -> None:
                    nonlocal opening
                    if event == "connection.connect_tcp.complete":
                        opening = info["return_value"]
                    elif event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
                        opening = None
                        scope.reschedule(deadlines.head())

                outgoing.extensions["trace"] = trace
                return await send(outgoing)
        except TimeoutError as error:
            raise deadlines.missed() from error
        except self.errors as error:
            raise self.translated(error, deadlines) from error
        finally:
            if opening is not None:
                # Left in the middle of a greeting: httpcore would keep the socket until it is collected.
                self._later(opening.aclose())

    async def close(self) -> None:
        """Close the connections made here: at once where none is in use, else when the last exchange over them ends."""
        ways, self._ways = list(self._ways.values()), {}
        for way in ways:
            if not way.open:
                await way.transport.aclose()
        if self._closing:
            await asyncio.wait(self._closing)

    def translated(self, error: Exception, deadlines: "Deadlines") -> UpstreamError:
        """The error of our tree for one of httpx's."""
        httpx = self._httpx
        match error:
            case httpx.ConnectTimeout() | httpx.PoolTimeout():
                return UpstreamTimeout("no connection to the upstream in time (connect)", phase="connect")
            case httpx.TimeoutException():
                return deadlines.missed()
            case httpx.ProxyError():
                text = "the channel's proxy opened no way to the upstream"
                return UpstreamUnreachable(text, fault=Fault.CHANNEL)
            case httpx.RemoteProtocolError() if not any(sign in str(error) for sign in _LEFT):
                return MalformedUpstream("the upstream's answer breaks HTTP")
            case httpx.NetworkError() | httpx.RemoteProtocolError():
                return UpstreamUnreachable("the connection to the upstream broke")
            case _:
                return UpstreamError("the channel's request cannot be sent", fault=Fault.CHANNEL)

    def drop(self, response: "httpx.Response", way: Way | None) -> None:
        """Close a response without waiting."""
        self._later(self.finish(response, way))

    def _later(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def finish(self, response: "httpx.Response", way: Way | None) -> None:
        """Close a response: httpx gives the connection back if the body was read to its end."""
        try:
            await response.aclose()
        except (*self.errors, OSError):
            pass  # it was to be dropped, and is
        finally:
            self._leave(way)
        if way is not None and way is not self._given and not way.open and way not in self._ways.values():
            await way.transport.aclose()

    def _leave(self, way: Way | None) -> None:
        if way is not None:
            way.open -= 1

    def _outgoing(self, request: UpstreamRequest) -> "httpx.Request":
        origin = request.origin
        named = authority(origin.host, origin.port, PORTS.get(origin.scheme))
        headers = [(b"host", named), (b"accept-encoding", b"identity"), *request.headers]
        if request.body or request.method not in BODILESS:
            headers.append((b"content-length", b"%d" % len(request.body)))
        extensions: dict[str, Any] = {
            "timeout": {"connect": request.timeouts.connect or None, "read": None, "write": None, "pool": None},
        }
        if request.address is not None:
            extensions["sni_hostname"] = origin.host
        host = request.address or origin.host
        url = self._httpx.URL(scheme=origin.scheme, host=host, port=origin.port, raw_path=request.target)
        return self._httpx.Request(request.method, url, headers=headers, content=request.body, extensions=extensions)

    async def _way(self, request: UpstreamRequest) -> Way:
        if self._given is not None:
            if request.proxy:
                raise UpstreamError("this transport decides about proxies alone", fault=Fault.CHANNEL)
            return self._given
        # A pinned connection belongs to its host: TLS has named it. httpcore would only look at the address.
        key = (request.proxy, request.address, request.origin.host if request.address else "")
        way = self._ways.get(key)
        if way is None:
            if len(self._ways) >= WAYS_LIMIT:
                await self._forget_unused()
            way = self._ways[key] = Way(self._make(request.proxy))
        return way

    def _make(self, proxy: str) -> "httpx.AsyncHTTPTransport":
        if proxy and urlsplit(proxy).scheme not in SOCKS:
            ProxyAddress.parse(proxy)  # httpx takes more than can be meant
        try:
            return self._httpx.AsyncHTTPTransport(
                verify=self._tls(),
                http2=self._http2,
                limits=self._limits,
                proxy=proxy or None,
                trust_env=False,
                socket_options=[(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)],
            )
        except (ValueError, self._httpx.InvalidURL) as error:
            raise UpstreamError("the channel's proxy address cannot be used", fault=Fault.CHANNEL) from error
        except ImportError as error:
            raise UpstreamError("this kind of proxy needs the package socksio", fault=Fault.CHANNEL) from error

    def _tls(self) -> ssl.SSLContext:
        """The system's roots, as for `Http1Transport`, rather than httpx's own; made once, for it takes a while."""
        if self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
        return self._ssl_context

    async def _forget_unused(self) -> None:
        unused = [key for key, way in self._ways.items() if not way.open]
        for way in [self._ways.pop(key) for key in unused]:
            await way.transport.aclose()


class HttpxAnswer:
    """The `UpstreamResponse` of an exchange over httpx."""

    def __init__(
        self, transport: HttpxTransport, response: "httpx.Response", deadlines: "Deadlines", way: Way | None
    ) -> None:
        self._transport = transport
        self._response: httpx.Response | None = response
        self._deadlines = deadlines
        self._way = way
        self._pieces: AsyncIterator[bytes] | None = None
        self._failure: UpstreamError | None = None
        self._complete = False
        self.status = response.status_code
        self.headers = [(name.lower(), value) for name, value in response.headers.raw]

    async def read(self) -> bytes:
        """The next bytes of the body; see `UpstreamResponse.read`."""
        if self._complete:
            return b""
        if self._failure is None and self._response is None:
            raise UpstreamUnreachable("the upstream's answer has been closed")
        if self._failure is not None:
            raise self._failure
        try:
            return await self._next()
        except UpstreamError as failure:
            self._failure = failure
            self.close()
            raise

    async def _next(self) -> bytes:
        response, deadlines, transport = self._response, self._deadlines, self._transport
        assert response is not None
        try:
            async with asyncio.timeout_at(deadlines.body()):
                piece = await self._piece(response)
        except TimeoutError as error:
            raise deadlines.missed() from error
        except transport.errors as error:
            raise transport.translated(error, deadlines) from error
        if piece:
            deadlines.began = True
            return piece
        self._complete = True
        self._response = None
        await transport.finish(response, self._way)
        return b""

    async def _piece(self, response: "httpx.Response") -> bytes:
        if self._pieces is None:
            # Not `aiter_raw`: what a custom transport gives need not know its request.
            assert hasattr(response.stream, "__aiter__")
            self._pieces = response.stream.__aiter__()
        async for piece in self._pieces:
            if piece:
                return piece
        return b""

    def close(self) -> None:
        """Be done with it: httpx gives the connection back if the body was read to its end, else closes it."""
        response, self._response = self._response, None
        if response is not None:
            self._transport.drop(response, self._way)


class Deadlines:
    """Which deadline holds, one after the other; each method gives the moment (in the loop's time) or None."""

    def __init__(self, timeouts: Timeouts, stream: bool) -> None:
        self._now = asyncio.get_running_loop().time
        self._timeouts = timeouts
        self._stream = stream
        self._end = self._now() + timeouts.total if timeouts.total else inf
        self._plain = inf
        self._phase = "connect"
        self.began = False
        """A byte of the body has come."""

    def connect(self, *, alone: bool) -> float | None:
        """For opening a connection; not `alone` where nobody will say that it is open: then until the head."""
        seconds = self._timeouts.connect
        if alone:
            return self._until("connect", self._now() + seconds if seconds else inf)
        return self._until(*self._answer(seconds))

    def head(self) -> float | None:
        """The request is being sent: for the head, or for the whole of a plain answer."""
        return self._until(*self._answer(0))

    def body(self) -> float | None:
        """For the next piece of the body."""
        if not self._stream:
            return self._until("plain", self._plain)
        phase = "idle" if self.began else "first_event"
        seconds = self._timeouts.idle if self.began else self._timeouts.first_event
        return self._until(phase, self._now() + seconds if seconds else inf)

    def missed(self) -> UpstreamTimeout:
        """The error of the deadline that held last."""
        return UpstreamTimeout(f"the upstream took too long ({self._phase})", phase=self._phase)

    def _answer(self, more: float) -> tuple[str, float]:
        phase = "headers" if self._stream else "plain"
        seconds = self._timeouts.headers if self._stream else self._timeouts.plain
        moment = self._now() + seconds + more if seconds else inf
        if not self._stream:
            self._plain = moment
        return phase, moment

    def _until(self, phase: str, moment: float) -> float | None:
        if self._end <= moment:
            moment, phase = self._end, "total"
        self._phase = phase
        return moment if moment < inf else None
