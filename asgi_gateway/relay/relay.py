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

from asgi_gateway.departure import Departure, WatchList
from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import CallerLeft, EmptyUpstream, GatewayError, UpstreamError
from asgi_gateway.exchange import SCOPE_KEY, Exchange, Route
from asgi_gateway.providers.concealment import conceal
from asgi_gateway.providers.contract import Endpoint
from asgi_gateway.relay.authorisation import authorised, with_headers
from asgi_gateway.relay.delivery import Delivery
from asgi_gateway.relay.grants import Grants
from asgi_gateway.relay.http1 import Http1Transport
from asgi_gateway.relay.socket import offered, pump
from asgi_gateway.relay.transport import (
    SocketTransport,
    Transport,
    UpstreamRequest,
    UpstreamResponse,
    UpstreamSocket,
)
from asgi_gateway.storage.records import Outcome
from asgi_gateway.types import Message, Receive, Scope, Send

__all__ = ["Relay"]

ENDPOINTS = 4096
"""How many are kept; a route that is made for one request alone must not fill the memory."""

ERROR_LIMIT = 1 << 16
"""Bytes read of an upstream's error body."""


class Relay:
    """Sends a request to the upstream that the route names.

    `transport` defaults to an `Http1Transport` of its own; `socket_transport` opens WebSockets (without one they are
    refused); `route` serves every request where no layer routes.
    `ping`: a stream that is silent for so many seconds gets a comment, from the moment the upstream's good status came,
    so that proxies on the way keep it open. The first one starts the answer: it ends the chance to try another channel,
    and a later failure is an error event inside a 200. 0: no pings. Answers that are not streamed never get any.
    """

    uses_after: ClassVar[frozenset[str]] = frozenset()

    def __init__(
        self,
        *,
        transport: Transport | None = None,
        socket_transport: SocketTransport | None = None,
        route: Route | None = None,
        head_limit: int = 1 << 16,
        ping: float = 0.0,
    ) -> None:
        if ping < 0:
            raise ValueError("ping must not be negative")
        self.transport: Transport = transport if transport is not None else Http1Transport()
        self.socket_transport = socket_transport
        self.route = route
        self.head_limit = head_limit
        self.ping = ping
        self.needs: frozenset[str] = frozenset() if route is not None else frozenset({"route"})
        self.writes: frozenset[str] = frozenset({"outcome", "reached_upstream"}) | (
            frozenset({"route"}) if route is not None else frozenset()
        )
        self._open: set[Departure] = set()
        self._watch_list = WatchList()
        self._closing: set[asyncio.Future[None]] = set()
        self._endpoints: dict[tuple[int, Operation, bool], tuple[Route, Endpoint]] = {}
        self._grants = Grants(self.transport)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            raise RuntimeError(f"the relay does not speak {scope['type']!r}")
        begun = None if SCOPE_KEY in scope else Exchange.begin(scope)
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
                await self._socket(exchange, exchange.route, scope, receive, noting_send)
        except (CallerLeft, asyncio.CancelledError):
            exchange.outcome = Outcome.CALLER_LEFT
            raise
        except BaseException as failure:
            exchange.outcome = Outcome.TRUNCATED if started else _failed(failure)
            if isinstance(failure, UpstreamError):
                conceal(failure, exchange.route.channel)
            raise
        exchange.outcome = Outcome.COMPLETED

    def interrupt(self, error: GatewayError) -> int:
        """End every open exchange with `error`; returns how many there were."""
        for departure in list(self._open):
            departure.interrupt(error)
        return len(self._open)

    async def close(self) -> None:
        """Drop idle connections."""
        await self._grants.close()
        await self.transport.close()

    async def _http(self, exchange: Exchange, route: Route, receive: Receive, send: Send) -> None:
        body = await _whole_body(receive)
        endpoint, request = self._request(exchange, route, body)
        departure = Departure(receive, watch_list=self._watch_list)
        self._open.add(departure)
        try:
            async with departure:
                if endpoint.grant is not None or endpoint.sign is not None:
                    request = await authorised(request, endpoint, route.channel, self._grants)
                exchange.reached_upstream = True
                await self._send(route, request, send, departure, endpoint)
        finally:
            self._open.discard(departure)

    async def _send(
        self, route: Route, request: UpstreamRequest, send: Send, departure: Departure, endpoint: Endpoint
    ) -> None:
        response = await self.transport.send(request)
        try:
            if not 200 <= response.status < 300:
                if response.status == 401 and endpoint.grant is not None:
                    self._grants.forget(endpoint.grant)
                raise await _refusal(route, response)
            dialect = DIALECTS[route.dialect]
            delivery = Delivery(dialect, request, response, send, head_limit=self.head_limit, ping=self.ping)
            await delivery.run(departure)
        finally:
            response.close()

    async def _socket(self, exchange: Exchange, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """One WebSocket: the caller is accepted only after the upstream accepted us."""
        if self.socket_transport is None:
            raise GatewayError("This gateway has no transport for WebSockets.", status=501, code="not_offered")
        endpoint, request = self._request(exchange, route, b"")
        upstream: UpstreamSocket | None = None
        connecting, pumping = Departure(receive), Departure(None)
        try:
            self._open.add(connecting)
            async with connecting:
                if endpoint.grant is not None or endpoint.sign is not None:
                    request = await authorised(request, endpoint, route.channel, self._grants)
                exchange.reached_upstream = True
                upstream = await self.socket_transport.connect(request, offered(scope))
            self._open.discard(connecting)
            self._open.add(pumping)
            async with pumping:
                await send({"type": "websocket.accept", "subprotocol": upstream.subprotocol, "headers": []})
                await pump(upstream, receive, send)
        finally:
            self._open -= {connecting, pumping}
            if upstream is not None:
                # A cancellation may come again and again (anyio's do): it must not cut the close.
                closing = asyncio.ensure_future(upstream.close())
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
                await asyncio.shield(closing)

    def _request(self, exchange: Exchange, route: Route, body: bytes) -> tuple[Endpoint, UpstreamRequest]:
        outline = exchange.outline
        if outline is None and body:
            outline = exchange.dialect.outline(body, exchange.target)
        stream = outline is not None and outline.stream
        endpoint = self._endpoint(exchange, route, stream)
        headers = endpoint.headers
        if exchange.upstream_headers:
            headers = with_headers(headers, exchange.upstream_headers, route.channel)
        return endpoint, UpstreamRequest(
            method=endpoint.method,
            origin=endpoint.origin,
            target=endpoint.target,
            headers=headers,
            body=body,
            stream=stream,
            timeouts=route.channel.timeouts,
            proxy=route.channel.proxy,
        )

    def _endpoint(self, exchange: Exchange, route: Route, stream: bool) -> Endpoint:
        # By identity: routes and channels are replaced when they change, and a kept one cannot be anybody else's.
        key = (id(route), exchange.operation, stream)
        kept = self._endpoints.get(key)
        if kept is None:
            endpoint = route.provider.endpoint(
                route.channel, route.key, exchange.operation, route.dialect, route.upstream_model, stream=stream
            )
            if len(self._endpoints) >= ENDPOINTS:
                self._endpoints.clear()
            kept = self._endpoints[key] = (route, endpoint)
        return kept[1]


def _failed(failure: BaseException) -> Outcome:
    return Outcome.EMPTY if isinstance(failure, EmptyUpstream) else Outcome.UPSTREAM_FAILED


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
    try:
        while len(body) < ERROR_LIMIT and (chunk := await response.read()):
            body += chunk
    except UpstreamError:
        pass  # what was refused is known by the status; the text was cut
    headers: Mapping[bytes, bytes] = dict(response.headers)
    return route.provider.read_error(route.dialect, response.status, headers, bytes(body))
