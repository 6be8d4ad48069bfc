"""The whole gateway as one ASGI app: mount it, run it alone, or let it stand in front of another app."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from asgi_gateway.backends import configured_storage
from asgi_gateway.compose import Layer, compose
from asgi_gateway.config import Settings, TokenSettings, UserSettings, extended, load_settings
from asgi_gateway.declaration import declare
from asgi_gateway.dialects import DIALECTS, spoken_by
from asgi_gateway.dialects.contract import Operation
from asgi_gateway.directory import Catalogue, Directory, resolved_aliases
from asgi_gateway.endpoints.account import ACCOUNT_PATHS, AccountEndpoint
from asgi_gateway.endpoints.health import HEALTH_PATHS, Health
from asgi_gateway.endpoints.models import ModelList
from asgi_gateway.errors import GatewayError, InvalidRequest, ServiceUnavailable
from asgi_gateway.exchange import Exchange, path_of
from asgi_gateway.lifespan import run_lifespan
from asgi_gateway.middleware import (
    STACK,
    AuthenticationMiddleware,
    ChannelRoutingMiddleware,
    ErrorMiddleware,
    FormatConversionMiddleware,
    ModelMappingMiddleware,
    QuotaMiddleware,
    RateLimitMiddleware,
    RequestBodyMiddleware,
    RetryMiddleware,
    TelemetryMiddleware,
)
from asgi_gateway.middleware.authentication import Identify
from asgi_gateway.middleware.telemetry import AccessLog, log_access
from asgi_gateway.policies.budgets import time_zone
from asgi_gateway.policies.pricing import PriceTable
from asgi_gateway.policies.suffixes import DEFAULT_SUFFIXES
from asgi_gateway.relay import Relay, SocketTransport, Transport
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import Channel
from asgi_gateway.types import ASGIApp, Receive, Scope, Send
from asgi_gateway.upkeep import Upkeep

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

    from asgi_gateway.middleware.metrics import Metrics

__all__ = ["Gateway"]

logger = logging.getLogger("asgi_gateway")

LEAVE_TIME = 5.0
"""Seconds that exchanges get to settle once they were told to end."""


class Gateway:
    """An AI gateway.

    ```python
    gateway = Gateway.from_config("gateway.toml")
    app.mount("/ai", gateway)          # and `async with gateway:` in the host's lifespan
    ```

    `settings` hold everything that a file can say; `channels`, `users` and `tokens` are added to them, as records of
    `asgi_gateway.config` and `asgi_gateway.storage` or as mappings with the keys of the file.
    `storage` is a storage or its URL (default: the settings' one, or memory where there are no settings).
    `migrate` lets it make or change the tables of a server's database, which `asgi-gateway migrate` does otherwise.
    `identify(scope)` names callers by the host's own login. `fallback` gets every path that is none of ours.
    `transport` and `socket_transport` reach the upstreams.
    `layers` replaces options of layers of `STACK`, by class; None leaves one out (`ValueError` where others need it).
    `registry` collects metrics, `access_log` takes access records. `metrics` counts exchanges, None where they are off.

    Raises `ConfigurationError` when the settings cannot work.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        channels: Sequence[Channel | Mapping[str, Any]] = (),
        users: Sequence[UserSettings | Mapping[str, Any]] = (),
        tokens: Sequence[TokenSettings | Mapping[str, Any]] = (),
        storage: Storage | str | None = None,
        migrate: bool = False,
        identify: Identify | None = None,
        transport: Transport | None = None,
        socket_transport: SocketTransport | None = None,
        fallback: ASGIApp | None = None,
        layers: Mapping[Callable[..., ASGIApp], Mapping[str, Any] | None] | None = None,
        access_log: AccessLog | None = log_access,
        registry: "CollectorRegistry | None" = None,
    ) -> None:
        self.settings = extended(settings or Settings(), channels=channels, users=users, tokens=tokens)
        if storage is None:
            storage = "memory://" if settings is None else self.settings.storage.url
        if isinstance(storage, str):
            storage = configured_storage(replace(self.settings.storage, url=storage), migrate=migrate)
        self.storage: Storage = storage
        self.directory = Directory(self.storage, _catalogue(self.settings), library=self.settings.prices.library)
        self.fallback = fallback
        self.relay = Relay(
            transport=transport, socket_transport=socket_transport, ping=float(self.settings.server.ping)
        )
        self._registry = registry
        self.metrics = self._make_metrics() if self.settings.server.metrics != "off" else None
        options = self._options(identify, access_log)
        for layer, changed in (layers or {}).items():
            if layer not in STACK:
                raise ValueError(f"{layer!r} is no layer of the stack")
            options[layer] = None if changed is None else {**(options.get(layer) or {}), **changed}
        outer = _layers(options, STACK[:3])
        self._app = compose(self.relay, _layers(options, STACK))
        self._models = compose(ModelList(self.directory), outer)
        self._account = compose(AccountEndpoint(self.storage), outer)
        self._outermost = _layers(options, STACK[:2])
        self._health = Health(
            ready=self._check_ready,
            render=self._expose if self.metrics is not None else None,
            metrics=self.settings.server.metrics,
        )
        self._upkeep = Upkeep(
            self.directory, self.storage, self.settings, self.metrics.flush if self.metrics is not None else None
        )
        self._opening: asyncio.Lock | None = None
        self._opened = False
        self._draining = False
        self._under_way = 0
        self._idle: asyncio.Event | None = None

    @classmethod
    def from_config(cls, path: str | Path | None, **options: Any) -> Self:
        """A gateway by a TOML file and the environment. Raises `ConfigurationError`, all mistakes in it."""
        return cls(load_settings(path, os.environ), **options)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind in ("http", "websocket"):
            await self._request(scope, receive, send)
        elif kind == "lifespan":
            await self.run_lifespan(scope, receive, send, self.fallback)
        elif self.fallback is not None:
            await self.fallback(scope, receive, send)

    async def open(self) -> None:
        """Open the storage, declare what the settings say, and start the upkeep. Safe to call twice."""
        if self._opening is None:
            self._opening = asyncio.Lock()
        async with self._opening:
            if self._opened:
                return
            try:
                await self.storage.open()
                await declare(self.settings, self.storage)
                await self._upkeep.start()
            except BaseException:  # cancelled, too: what was opened is closed, and the error goes on
                await self.storage.close()
                raise
            self._opened = True
            self._draining = False

    async def close(self) -> None:
        """End what is still under way, stop the upkeep, drop idle connections, finish what the ledger has queued.

        From then on everything is refused with 503, until `open` is called again. Safe to call twice.
        """
        if self._opened and self._under_way:
            await self.drain(0.0)
        if self._opened:
            self._opened = False
            self._draining = True
            self._opening = self._idle = None  # they belong to this event loop, the next opening perhaps to another
            await self._finish()

    async def _finish(self) -> None:
        try:
            await self._upkeep.stop()
            await self.relay.close()
        finally:
            await self.storage.close()

    async def run_lifespan(self, scope: Scope, receive: Receive, send: Send, inner: ASGIApp | None = None) -> None:
        """Answer a server's `lifespan` scope; `inner` is an app whose own lifespan runs within ours, if it has one."""
        await run_lifespan(scope, receive, send, start=self.open, stop=self.close, inner=inner)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """For a host's own `lifespan=` parameter: `Starlette(lifespan=gateway.lifespan, …)`."""
        async with self:
            yield

    def begin_drain(self) -> None:
        """Take no new work: `/readyz` and every further relay request answer 503."""
        self._draining = True

    async def drain(self, seconds: float) -> None:
        """Take no new work, give open exchanges so many seconds, then end the rest; return when all are settled.

        While the database is away that is not waited for.
        A stream that is ended so gets its dialect's error event.
        """
        self.begin_drain()
        if not await self._idle_within(seconds):
            error = ServiceUnavailable("The gateway is shutting down.", code="shutting_down")
            logger.warning("drained: %d open exchanges were ended", self.relay.interrupt(error))
            deadline = asyncio.get_running_loop().time() + LEAVE_TIME
            while not await self._idle_within(0.1) and asyncio.get_running_loop().time() < deadline:
                self.relay.interrupt(error)  # those that came to the relay only now
        if self._opened:
            try:
                await asyncio.wait_for(self.storage.ledger.drain(), LEAVE_TIME)
            except TimeoutError:  # closing the storage tries once more, and keeps the rest on disk
                logger.warning("drained: the database has not taken all settlements yet")

    async def _request(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = Exchange.begin(scope)
        if begun is None:
            await self._own(scope, receive, send)
            return
        inner, exchange = begun
        if scope["type"] == "websocket":
            await receive()  # websocket.connect: the layers decide before anything is accepted
        listing = exchange.operation is Operation.MODELS
        if not self._opened or (self._draining and not listing):
            refusal = await self._unready()
            if refusal is not None:
                await self._refuse(refusal, inner, receive, send)
                return
        if listing:
            await self._models(inner, receive, send)
            return
        self._under_way += 1
        try:
            await self._app(inner, receive, send)
        finally:
            self._under_way -= 1
            if self._under_way == 0 and self._idle is not None:
                self._idle.set()

    async def _own(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Paths that are no dialect's: our own few, else the fallback's, else nobody's."""
        path = path_of(scope)
        method = scope.get("method")
        if method == "GET" and path.rstrip("/") in ACCOUNT_PATHS:
            inner, _ = Exchange.enter(scope, Operation.ACCOUNT, DIALECTS["openai_chat"])
            refusal = None if self._opened else await self._unready()
            if refusal is not None:
                await self._refuse(refusal, inner, receive, send)
            else:
                await self._account(inner, receive, send)
        elif self.fallback is not None:
            await self.fallback(scope, receive, send)
        elif method == "GET" and path in HEALTH_PATHS:
            await self._health(scope, path, receive, send)
        else:
            if scope["type"] == "websocket":
                await receive()
            dialect = spoken_by(path, scope["headers"], scope.get("query_string", b""))
            inner, _ = Exchange.enter(scope, Operation.UNKNOWN, dialect)
            target = f"{scope.get('method', 'WebSocket')} {scope['path']}"
            unknown = InvalidRequest(f"Unknown request URL: {target}.", status=404, code="unknown_url")
            await self._refuse(unknown, inner, receive, send)

    async def _unready(self) -> GatewayError | None:
        """Why no work is taken now. A gateway that was never opened opens itself."""
        if not self._draining:
            try:
                await self.open()
            except GatewayError as reason:
                return reason
        if self._draining:
            return ServiceUnavailable("The gateway is shutting down.", code="shutting_down")
        return None

    async def _refuse(self, error: GatewayError, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with an error, counted, recorded and rendered like any other."""
        await compose(_Refusing(error), self._outermost)(scope, receive, send)

    async def _check_ready(self) -> None:
        if self._draining:
            raise ServiceUnavailable("draining")
        if not self._opened:
            raise ServiceUnavailable("not opened yet")
        await self.storage.ping()

    async def _idle_within(self, seconds: float) -> bool:
        if self._under_way == 0:
            return True
        if self._idle is None:
            self._idle = asyncio.Event()
        self._idle.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _make_metrics(self) -> "Metrics":
        from prometheus_client import CollectorRegistry  # here: an app that imports us need not pay for it

        from asgi_gateway.middleware.metrics import Metrics

        if self._registry is None:  # of its own: a host may have several gateways, and metrics of other things
            self._registry = CollectorRegistry()
        return Metrics(self._registry)

    def _expose(self) -> bytes:
        from asgi_gateway.endpoints.exposition import expose

        assert self._registry is not None and self.metrics is not None
        self.metrics.flush()
        return expose(self._registry)

    def _options(
        self, identify: Identify | None, access_log: AccessLog | None
    ) -> dict[Callable[..., ASGIApp], Mapping[str, Any] | None]:
        settings, storage, directory = self.settings, self.storage, self.directory
        server = settings.server
        return {
            TelemetryMiddleware: {"access_log": access_log, "metrics": self.metrics},
            ErrorMiddleware: {},
            AuthenticationMiddleware: {
                "tokens": directory.tokens,
                "windows": storage.windows if settings.limits.failed_authentications else None,
                "failures": settings.limits.failed_authentications or "1/minute",
                "identify": identify,
                "identity_quota": settings.identity.quota,
                "origins": server.cors_origins,
                "directory": directory,
            },
            RequestBodyMiddleware: {
                "max_bytes": server.max_body_mb << 20,
                "max_upload_bytes": server.max_upload_mb << 20,
                "max_held_bytes": settings.limits.bodies_in_flight_mb << 20,
            },
            ModelMappingMiddleware: {
                "directory": directory,
                "suffixes": (*settings.reasoning_suffixes, *DEFAULT_SUFFIXES),
            },
            RateLimitMiddleware: {"windows": storage.windows, "rules": settings.rate_limits},
            QuotaMiddleware: {
                "ledger": storage.ledger,
                "directory": directory,
                "unpriced": settings.billing.unpriced,
                "zone": time_zone(settings.billing.timezone),
            },
            RetryMiddleware: {"attempts": settings.retry.attempts},
            ChannelRoutingMiddleware: {"directory": directory},
            FormatConversionMiddleware: {"cache": storage.cache, "history": settings.responses.history * 3600.0},
        }


class _Refusing:
    """A terminal app that refuses everything."""

    def __init__(self, error: GatewayError) -> None:
        self.error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise self.error


def _layers(
    options: Mapping[Callable[..., ASGIApp], Mapping[str, Any] | None], stack: Sequence[Callable[..., ASGIApp]]
) -> list[Layer]:
    chosen: list[Layer] = []
    for layer in stack:
        given = options.get(layer, {})
        if given is not None:
            chosen.append((layer, given))
    return chosen


def _catalogue(settings: Settings) -> Catalogue:
    return Catalogue(
        prices=PriceTable(settings.model_prices), groups=settings.groups, aliases=resolved_aliases(settings.aliases)
    )
