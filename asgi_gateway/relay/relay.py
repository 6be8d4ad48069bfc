"""The terminal app: one upstream exchange, streamed back.

Needs `route` (or is given one); writes `outcome`, `reached_upstream`.

A bad upstream status raises instead of starting an answer. The head of a good one is held until the route's dialect
says what it is, bounded by `head_limit` bytes and the first-event deadline: an error event, an empty or a malformed
answer inside a 200 is then still an exception, and can be tried elsewhere unseen.
A caller who leaves stops the upstream exchange, at whatever moment.
"""

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from cachetools import LRUCache

from asgi_gateway.departure import Departure
from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import Dialect, Head
from asgi_gateway.errors import CallerLeft, GatewayError, MalformedUpstream, UpstreamError, UpstreamTimeout
from asgi_gateway.exchange import Exchange, Route
from asgi_gateway.providers.contract import Endpoint
from asgi_gateway.relay.http1 import Http1Transport
from asgi_gateway.relay.socket import relay_socket
from asgi_gateway.relay.transport import SocketTransport, Transport, UpstreamRequest, UpstreamResponse
from asgi_gateway.storage.records import Channel, Outcome
from asgi_gateway.types import Message, Receive, Scope, Send

__all__ = ["Relay"]

ERROR_LIMIT = 1 << 16
"""Bytes read of an upstream's error body."""

KEPT_HEADERS = frozenset({b"content-type", b"content-length", b"openai-processing-ms", b"openai-version"})
"""What the caller sees of the upstream's headers: its rate limits and cookies are the channel's own affair."""

STREAM_HEADERS = [(b"cache-control", b"no-cache, no-transform"), (b"x-accel-buffering", b"no")]


class Relay:
    """Sends a request to the upstream that the route names.

    `transport` defaults to an `Http1Transport` of its own; `socket_transport` opens WebSockets (without one they are
    refused); `route` serves every request where no layer routes.
    """

    uses_after: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        *,
        transport: Transport | None = None,
        socket_transport: SocketTransport | None = None,
        route: Route | None = None,
        head_limit: int = 1 << 16,
    ) -> None:
        self.transport: Transport = transport if transport is not None else Http1Transport()
        self.socket_transport = socket_transport
        self.route = route
        self.head_limit = head_limit
        self.needs: frozenset[str] = frozenset() if route is not None else frozenset({"route"})
        self.writes: frozenset[str] = frozenset({"outcome", "reached_upstream"}) | (
            frozenset({"route"}) if route is not None else frozenset()
        )
        self._open: set[Departure] = set()
        self._endpoints: LRUCache[tuple[object, ...], tuple[Channel, Endpoint]] = LRUCache(4096)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            raise RuntimeError(f"the relay does not speak {scope['type']!r}")
        begun = None if "asgi_gateway" in scope else Exchange.begin(scope)
        if begun is not None:
            scope = begun[0]
        exchange = Exchange.of(scope)
        if self.route is not None:
            exchange.route = self.route
        assert exchange.route is not None  # `compose` checked that somebody writes it
        exchange.outcome = None
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            try:
                await send(message)
            except OSError as gone:  # ASGI spec 2.4: the caller has disconnected
                raise CallerLeft from gone

        try:
            if scope["type"] == "http":
                await self._http(exchange, exchange.route, receive, noting_send)
            else:
                request = self._request(exchange, exchange.route, b"")
                await relay_socket(self.socket_transport, request, exchange, scope, receive, noting_send)
        except (CallerLeft, asyncio.CancelledError):
            exchange.outcome = Outcome.CALLER_LEFT
            raise
        except BaseException:
            exchange.outcome = Outcome.TRUNCATED if started else Outcome.UPSTREAM_FAILED
            raise
        exchange.outcome = Outcome.COMPLETED

    def interrupt(self, error: GatewayError) -> int:
        """End every open exchange with `error`; returns how many there were."""
        for departure in list(self._open):
            departure.interrupt(error)
        return len(self._open)

    async def close(self) -> None:
        """Drop idle connections."""
        await self.transport.close()

    async def _http(self, exchange: Exchange, route: Route, receive: Receive, send: Send) -> None:
        body = await _whole_body(receive)
        request = self._request(exchange, route, body)
        departure = Departure(receive)
        self._open.add(departure)
        try:
            async with departure:
                exchange.reached_upstream = True
                await self._send(route, request, send)
        finally:
            self._open.discard(departure)

    async def _send(self, route: Route, request: UpstreamRequest, send: Send) -> None:
        response = await self.transport.send(request)
        try:
            if not 200 <= response.status < 300:
                raise await _refusal(route, response)
            await self._release(DIALECTS[route.dialect], request, response, send)
        finally:
            response.close()

    def _request(self, exchange: Exchange, route: Route, body: bytes) -> UpstreamRequest:
        endpoint = self._endpoint(exchange, route)
        outline = exchange.outline
        if outline is None and body:
            outline = exchange.dialect.outline(body)
        return UpstreamRequest(
            method=endpoint.method,
            origin=endpoint.origin,
            target=endpoint.target,
            headers=endpoint.headers,
            body=body,
            stream=outline is not None and outline.stream,
            timeouts=route.channel.timeouts,
            proxy=route.channel.proxy,
        )

    def _endpoint(self, exchange: Exchange, route: Route) -> Endpoint:
        key = (route.channel.id, route.key, exchange.operation, route.dialect, route.upstream_model)
        kept = self._endpoints.get(key)
        # A channel is replaced when it changes, never changed.
        if kept is None or kept[0] is not route.channel:
            endpoint = route.provider.endpoint(
                route.channel, route.key, exchange.operation, route.dialect, route.upstream_model
            )
            kept = self._endpoints[key] = (route.channel, endpoint)
        return kept[1]

    async def _release(
        self, dialect: Dialect, request: UpstreamRequest, response: UpstreamResponse, send: Send
    ) -> None:
        stream = _is_event_stream(response)
        held, complete = await self._hold(dialect, request, response, stream=stream)
        headers = [pair for pair in response.headers if pair[0] in KEPT_HEADERS]
        if stream:
            headers += STREAM_HEADERS
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        if complete:
            await send({"type": "http.response.body", "body": held})
            return
        await send({"type": "http.response.body", "body": held, "more_body": True})
        while chunk := await response.read():
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def _hold(
        self, dialect: Dialect, request: UpstreamRequest, response: UpstreamResponse, *, stream: bool
    ) -> tuple[bytes, bool]:
        """The first bytes of the answer, once they may be released, and whether they are all."""
        if not stream:
            return await self._head(dialect, response, b"", stream=False)
        first = await response.read()
        if first and dialect.head(first, stream=True, complete=False) is Head.RELEASE:
            return first, False
        try:
            async with asyncio.timeout(request.timeouts.first_event or None):
                return await self._head(dialect, response, first, stream=True)
        except TimeoutError as late:
            raise UpstreamTimeout("The upstream's stream had no event in time.", phase="first_event") from late

    async def _head(
        self, dialect: Dialect, response: UpstreamResponse, held: bytes, *, stream: bool
    ) -> tuple[bytes, bool]:
        while len(held) < self.head_limit:
            chunk = await response.read()
            held += chunk
            if dialect.head(held, stream=stream, complete=not chunk) is Head.RELEASE:
                return held, not chunk
            if not chunk:
                raise MalformedUpstream("The upstream's answer ended before it said anything.")
        return held, False


async def _whole_body(receive: Receive) -> bytes:
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        only: bytes = message.get("body", b"")
        return only
    pieces = bytearray()
    while True:
        if message["type"] == "http.disconnect":
            raise CallerLeft
        pieces += message.get("body", b"")
        if not message.get("more_body"):
            return bytes(pieces)
        message = await receive()


async def _refusal(route: Route, response: UpstreamResponse) -> UpstreamError:
    body = bytearray()
    while len(body) < ERROR_LIMIT and (chunk := await response.read()):
        body += chunk
    headers: Mapping[bytes, bytes] = dict(response.headers)
    return route.provider.read_error(route.dialect, response.status, headers, bytes(body))


def _is_event_stream(response: UpstreamResponse) -> bool:
    for name, value in response.headers:
        if name == b"content-type":
            return value.startswith(b"text/event-stream")
    return False
