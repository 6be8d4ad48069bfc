"""Between the caller's dialect and one that the channel speaks; when they are equal, a tap that changes nothing.

The innermost layer, around the relay: it depends on the channel. Needs `route` and `body`;
writes `usage`, `output_estimate`, `losses`.

Equal dialects pass bytes through. The permitted edits of the request are splices: the model's name at this channel,
the channel's own overrides, and a request for the usage inside a stream, whose event is then withheld from a caller
who did not ask for it.
"""

from typing import ClassVar

from asgi_gateway.dialects.contract import ResponseTap
from asgi_gateway.dialects.sse import is_event_stream
from asgi_gateway.exchange import SCOPE_KEY, Exchange
from asgi_gateway.middleware.body import replay
from asgi_gateway.middleware.entry import enter
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["FormatConversionMiddleware"]

NOTHING_LOST = (b"x-gateway-conversion", b"none")


class FormatConversionMiddleware:
    """Converts requests and answers, and reads the usage on its way."""

    needs: ClassVar[frozenset[str]] = frozenset({"route", "body", "outline"})
    uses_after: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"usage", "output_estimate", "losses"})

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        if exchange is None:
            await enter(self, self.app, scope, receive, send)
            return
        exchange.usage = None
        exchange.output_estimate = 0
        if scope["type"] != "http":  # frames of a WebSocket are read where they are pumped
            await self.app(scope, receive, send)
            return
        body, withhold = await _outgoing(exchange)
        tapped = _TappedSend(exchange, send, withhold=withhold)
        try:
            await self.app(scope, replay(body, receive), tapped)
        finally:
            tapped.note()


class _TappedSend:
    """A `send` that lets an answer through a dialect's tap: one per attempt."""

    __slots__ = ("_exchange", "_send", "_tap", "_withhold")

    def __init__(self, exchange: Exchange, send: Send, *, withhold: bool) -> None:
        self._exchange = exchange
        self._send = send
        self._withhold = withhold
        self._tap: ResponseTap | None = None

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            tap = self._tap
            assert tap is not None  # ASGI: a body follows its start
            data: bytes = message.get("body", b"")
            given = tap.feed(data) if data else b""
            if not message.get("more_body"):
                given += tap.finish()
            elif not given:
                return
            if given is not data:
                message = {**message, "body": given}
        elif message["type"] == "http.response.start":
            stream = is_event_stream(message.get("headers", ()))
            exchange = self._exchange
            assert exchange.outline is not None
            self._tap = exchange.dialect.tap(exchange.outline, stream=stream, withhold_usage=self._withhold and stream)
            message = {**message, "headers": [*message.get("headers", ()), NOTHING_LOST]}
        await self._send(message)

    def note(self) -> None:
        """Tell the exchange what was seen, however the answer ended."""
        if self._tap is not None:
            self._exchange.usage = self._tap.usage
            if self._exchange.usage is None:
                self._exchange.output_estimate = self._tap.output_estimate


async def _outgoing(exchange: Exchange) -> tuple[bytes, bool]:
    """The body for this channel, and whether the usage in the answer is ours alone."""
    assert exchange.route is not None and exchange.body is not None and exchange.outline is not None
    route, outline, dialect = exchange.route, exchange.outline, exchange.dialect
    body = await exchange.body.bytes()
    model = route.upstream_model if route.upstream_model != outline.model else None
    ask = outline.stream and not outline.wants_usage and dialect.stream_usage
    if model is not None or ask or route.channel.param_override:
        body = dialect.rewrite(body, model=model, include_usage=ask, overrides=route.channel.param_override)
    return body, ask
