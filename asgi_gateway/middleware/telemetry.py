"""Gives each exchange its id, and tells of it when it is over: one access record, and metrics.

The outermost layer. Needs nothing; writes `request_id`, `client_id`, `status`, `first_byte`;
uses `caller`, `model`, `route`, `attempts`, `usage`, `settlement`, `outcome` once the inside returned.

The id is made here and never taken from the caller, whose own `x-request-id` is only echoed as `x-client-request-id`.
An access record holds no body and no secret. A sink that fails is counted and never fails a request.
"""

import logging
from asyncio import CancelledError
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import ClassVar, Protocol

from asgi_gateway.errors import CallerLeft
from asgi_gateway.exchange import SCOPE_KEY, Exchange
from asgi_gateway.middleware.answer import NotedAnswer
from asgi_gateway.storage.ids import new_request_id
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["AccessLog", "ExchangeMetrics", "TelemetryMiddleware", "access_record", "log_access"]

access_logger = logging.getLogger("asgi_gateway.access")
logger = logging.getLogger("asgi_gateway")

AccessLog = Callable[[Mapping[str, object]], None]

CLIENT_CLOSED = 499
"""The status that a record shows for a caller who left before an answer began."""


class ExchangeMetrics(Protocol):
    """What counts exchanges."""

    def began(self) -> None: ...

    def ended(self, exchange: Exchange, status: int, seconds: float) -> None: ...

    def dropped(self) -> None:
        """A record that the access log did not take."""
        ...


def log_access(record: Mapping[str, object]) -> None:
    """The default sink: the logger `asgi_gateway.access`, with the record as `extra["exchange"]`."""
    if access_logger.isEnabledFor(logging.INFO):
        access_logger.info("%(method)s %(path)s %(status)s", record, extra={"exchange": record})


class TelemetryMiddleware:
    """Request ids, access records and metrics."""

    needs: ClassVar[frozenset[str]] = frozenset()
    uses_after: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"request_id", "client_id", "status", "first_byte"})

    def __init__(
        self, app: ASGIApp, *, access_log: AccessLog | None = log_access, metrics: ExchangeMetrics | None = None
    ) -> None:
        self.app = app
        self.access_log = access_log
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        if exchange is None:
            begun = Exchange.begin(scope)
            if begun is None:
                await self.app(scope, receive, send)
                return
            scope, exchange = begun
        exchange.request_id = new_request_id()
        exchange.client_id = _client_id(scope)
        metrics = self.metrics
        if metrics is not None:
            metrics.began()
        unanswered = CLIENT_CLOSED  # who returns without an answer had nobody left to answer
        try:
            await self.app(scope, receive, _IdentifiedAnswer(exchange, send))
        except (CallerLeft, CancelledError):
            raise
        except BaseException:  # a programming error, on its way to the host's own handler
            unanswered = 500
            raise
        finally:
            exchange.status = exchange.status or unanswered
            self._tell(scope, exchange)

    def _tell(self, scope: Scope, exchange: Exchange) -> None:
        seconds = perf_counter() - exchange.started
        if self.metrics is not None:
            try:
                self.metrics.ended(exchange, exchange.status, seconds)
            except Exception:  # counting fails no exchange that went well
                logger.exception("the metrics failed")
        if self.access_log is not None:
            try:
                self.access_log(access_record(scope, exchange, seconds))
            except Exception:  # whatever a deployer's sink raises, the exchange itself went well
                if self.metrics is not None:
                    self.metrics.dropped()
                logger.exception("the access log failed")


class _IdentifiedAnswer(NotedAnswer):
    """Notes the answer's status in the exchange, and adds the headers that name the request."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange, send: Send) -> None:
        super().__init__(send)
        self._exchange = exchange

    async def __call__(self, message: Message) -> None:
        if self._exchange.status == 0:
            message = self._identified(message)
        if self.start is None or "status" in message:
            self.start = message
        self.last = message
        await self.send(message)

    def _identified(self, message: Message) -> Message:
        """The message with which the answer may begin."""
        exchange = self._exchange
        status = message.get("status", 0)
        accepted = message["type"] == "websocket.accept"
        if not status and not accepted:
            if message["type"] == "websocket.close":
                exchange.status = 403  # what a server makes of a close before it accepted
            return message
        exchange.status = status or 101
        exchange.first_byte = perf_counter() - exchange.started
        headers = [*message.get("headers", ()), *_id_headers(exchange)]
        if not accepted:
            headers += _route_headers(exchange)
        return {**message, "headers": headers}


def access_record(scope: Scope, exchange: Exchange, seconds: float) -> dict[str, object]:
    """One exchange as a flat record of texts and numbers; times in milliseconds, charge in units."""
    caller, route, model, settlement = exchange.caller, exchange.route, exchange.model, exchange.settlement
    usage = settlement.usage if settlement is not None else exchange.usage
    outcome = settlement.outcome if settlement is not None else exchange.outcome
    token = caller.token if caller is not None else None
    attempts, path = exchange.attempts, scope["path"]
    return {
        "request_id": exchange.request_id,
        "client_id": exchange.client_id,
        "method": scope.get("method", "WEBSOCKET"),
        "path": path if path.isprintable() else _printable(path),
        "operation": exchange.operation,
        "dialect": exchange.dialect.name,
        "status": exchange.status,
        "outcome": outcome.value if outcome is not None else "",
        "address": exchange.address,
        "user": caller.user.name if caller is not None else "",
        "token": token.name if token is not None else "",
        "group": caller.group if caller is not None else "",
        "model": _printable(model.asked) if model is not None else "",
        "channel": route.channel.name if route is not None else "",
        "upstream_model": route.upstream_model if route is not None else "",
        "upstream_dialect": route.dialect if route is not None else "",
        "losses": [f"{loss.where}:{loss.kind}:{_printable(loss.field)}" for loss in exchange.losses],
        "attempts": len(attempts),
        "errors": [attempt.error for attempt in attempts if attempt.error],
        "stream": exchange.outline.stream if exchange.outline is not None else False,
        "input_tokens": usage.total_input if usage is not None else 0,
        "cached_tokens": usage.cache_read if usage is not None else 0,
        "output_tokens": usage.total_output if usage is not None else 0,
        "estimated": usage.estimated if usage is not None else False,
        "inconsistent": usage.inconsistent if usage is not None else False,
        "charge": settlement.charge if settlement is not None else 0,
        "first_byte_ms": int(exchange.first_byte * 1e6 + 0.5) / 1000,  # a third of what `round` costs
        "duration_ms": int(seconds * 1e6 + 0.5) / 1000,
    }


def _printable(text: str) -> str:
    """A text that a caller sent, without what could begin a new line or colour a terminal."""
    return text if text.isprintable() else ascii(text)[1:-1]


def _client_id(scope: Scope) -> str:
    """The caller's own id, if it is one that can be echoed: printable ASCII of at most 128 characters."""
    name: bytes
    value: bytes
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            if len(value) <= 128 and value.isascii() and (text := value.decode("ascii")).isprintable():
                return text
            return ""
    return ""


def _id_headers(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    own = exchange.request_id.encode()
    headers = [(b"x-request-id", own), (b"x-oneapi-request-id", own)]
    if exchange.client_id:
        headers.append((b"x-client-request-id", exchange.client_id.encode()))
    return headers


def _route_headers(exchange: Exchange) -> list[tuple[bytes, bytes]]:
    """Which channel answered and how many were tried: only for tokens that may see it."""
    caller = exchange.caller
    if caller is None or caller.token is None or not caller.token.show_route or exchange.route is None:
        return []
    name = exchange.route.channel.name.encode("ascii", "replace")
    # An answer begins inside its attempt, an error behind all of them.
    tried = len(exchange.attempts) + (exchange.status < 400)
    return [(b"x-gateway-channel", name), (b"x-gateway-attempts", b"%d" % tried)]
