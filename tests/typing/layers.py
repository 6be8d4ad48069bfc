"""How gateways, layers and relays are made: checked by mypy, never run."""

from collections.abc import Mapping
from typing import assert_type

from asgi_gateway import Exchange, Gateway, Identity, compose
from asgi_gateway.backends import MemoryStorage, open_storage
from asgi_gateway.compose import Layer
from asgi_gateway.config import ModelSettings, RateLimit, Settings
from asgi_gateway.departure import Departure
from asgi_gateway.directory import Catalogue, Directory, TokenDirectory
from asgi_gateway.errors import GatewayError, ServiceUnavailable
from asgi_gateway.exchange import Caller
from asgi_gateway.middleware import (
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
from asgi_gateway.relay import Http1Transport, HttpxTransport, Relay
from asgi_gateway.relay.transport import Transport
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import Channel, Secret, Settlement, Usage
from asgi_gateway.types import ASGIApp, Receive, Scope, Send

CHANNEL = Channel(name="main", provider="openai", keys=(Secret("sk-upstream"),), models=("m-1",))


class Own:
    """A layer of somebody else's: the exchange is typed for it, too."""

    def __init__(self, app: ASGIApp, *, word: str) -> None:
        self.app = app
        self.word = word

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange.of(scope)
        assert_type(exchange.caller, Caller | None)
        assert_type(exchange.usage, Usage | None)
        assert_type(exchange.settlement, Settlement | None)
        await self.app(scope, receive, send)


async def asked(scope: Scope) -> Identity | None:
    """A host's own login, asked asynchronously."""
    return Identity("alice", group="staff") if "user" in scope else None


async def gateways(host: ASGIApp, receive: Receive, send: Send) -> None:
    """A gateway is an ASGI app and a context manager."""
    gateway = Gateway(
        Settings(models={"m-1": ModelSettings()}),
        channels=[CHANNEL, {"name": "other", "provider": "openai"}],
        tokens=[{"name": "dev", "key": "sk-dev"}],
        identify=asked,
        fallback=host,
        layers={RetryMiddleware: {"attempts": 2}, RateLimitMiddleware: None},
        transport=Http1Transport(),
    )
    app: ASGIApp = gateway
    assert_type(Gateway.from_config("gateway.toml", access_log=None), Gateway)
    async with gateway as opened, gateway.lifespan(host):
        assert_type(opened, Gateway)
        await app({"type": "http"}, receive, send)
        assert_type(await gateway.drain(1.5), None)
    Gateway(identify=lambda scope: Identity("alice"))
    Gateway(identify=lambda scope: "alice")  # type: ignore[arg-type, return-value]  # an identity is a record
    Gateway(CHANNEL)  # type: ignore[arg-type]  # only the settings are positional


def layers(app: ASGIApp) -> None:
    """The app first, options by keyword; wrong ones are type errors."""
    storage = MemoryStorage()
    directory = Directory(storage, Catalogue())
    stack: list[ASGIApp] = [
        TelemetryMiddleware(app, access_log=lambda record: None),
        ErrorMiddleware(app),
        AuthenticationMiddleware(app, tokens=TokenDirectory(storage), identify=asked),
        RequestBodyMiddleware(app, max_bytes=1 << 20),
        ModelMappingMiddleware(app, aliases={"fast": "m-1"}),
        RateLimitMiddleware(app, windows=storage.windows, rules=[RateLimit(per="user", requests="60/minute")]),
        QuotaMiddleware(app, ledger=storage.ledger, directory=directory, unpriced="free"),
        RetryMiddleware(app, attempts=2),
        ChannelRoutingMiddleware(app, channels=[CHANNEL]),
        FormatConversionMiddleware(app),
        Own(app, word="x"),
    ]
    assert stack
    RateLimit(per="planet")  # type: ignore[arg-type]  # kinds are a closed set
    RetryMiddleware(app, 2)  # type: ignore[call-arg]  # options are made by keyword only
    QuotaMiddleware(app, ledger=storage.ledger, directory=directory, unpriced="maybe")  # type: ignore[arg-type]  # one of two
    AuthenticationMiddleware(app)  # type: ignore[call-arg]  # without tokens it finds nobody


def compositions(record: Mapping[str, object]) -> None:
    """A stack is data, outermost first."""
    pieces: list[Layer] = [(ErrorMiddleware, {}), (Own, {"word": "x"})]
    assert_type(compose(Relay(ping=15.0), pieces), ASGIApp)
    transports: list[Transport] = [Http1Transport(), HttpxTransport()]
    assert_type(Relay(transport=transports[0]).interrupt(ServiceUnavailable("closing")), int)


async def departures(receive: Receive, error: GatewayError) -> None:
    """Work that ends when the caller leaves."""
    async with Departure(receive, patience=0.1) as departure:
        assert_type(departure, Departure)
        departure.interrupt(error)


def storages() -> None:
    """By URL or made by hand."""
    assert_type(open_storage("memory://"), Storage)
    storage: Storage = MemoryStorage()
    assert_type(storage, Storage)
