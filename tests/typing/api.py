"""How the public interface is called: checked by mypy, never run."""

from contextlib import AbstractAsyncContextManager
from typing import assert_type

from asgi_gateway import Exchange, Gateway, GatewayError, Identity, compose
from asgi_gateway.config import Settings, TokenSettings, load_settings
from asgi_gateway.errors import RateLimited
from asgi_gateway.middleware import (
    STACK,
    ErrorMiddleware,
    ModelMappingMiddleware,
    RateLimit,
    RateLimitMiddleware,
    RequestBodyMiddleware,
    RetryMiddleware,
)
from asgi_gateway.relay import Http1Transport, HttpxTransport, Relay, Transport
from asgi_gateway.storage import Channel, Secret, Storage, Usage, Windows
from asgi_gateway.types import ASGIApp, Receive, Scope, Send


def records(usage: Usage, secret: Secret) -> None:
    """What is read from records has the type that the documentation says."""
    assert_type(usage.total_input, int)
    assert_type(secret.reveal(), str)
    Usage(1)  # type: ignore[call-arg]  # records are made by keyword only


def errors(error: GatewayError) -> None:
    """An error carries what a caller needs as fields."""
    assert_type(error.status, int)
    assert_type(error.code, str | None)
    assert_type(RateLimited("slow down", retry_after=1.5).retry_after, float)
    RateLimited("slow down")  # type: ignore[call-arg]  # without a time it would be a riddle


async def gateway(app: ASGIApp, storage: Storage, token: TokenSettings) -> None:
    """A gateway takes records or mappings, a storage or its URL, and names callers synchronously or not."""

    def by_name(scope: Scope) -> Identity | None:
        return Identity(scope["user"].username)

    async def by_session(scope: Scope) -> Identity | None:
        return Identity("alice", group="default", models=("gpt-4o-mini",))

    Gateway(Settings(), tokens=[token, {"name": "dev"}], storage=storage, identify=by_name, fallback=app)
    made = Gateway.from_config("gateway.toml", storage="memory://", identify=by_session)
    assert_type(made, Gateway)
    async with made as opened:
        assert_type(opened, Gateway)
    lifespan: AbstractAsyncContextManager[None] = made.lifespan()
    async with lifespan:
        pass
    hosted: ASGIApp = made
    Gateway(identify=lambda scope: "alice")  # type: ignore[arg-type, return-value]  # a name is no identity
    await hosted({}, *_silence())


def stack(windows: Windows, channel: Channel) -> None:
    """Layers and the relay are ASGI apps; options are keywords with types."""
    limits = [RateLimit(per="user", requests="60/minute")]
    app = compose(
        Relay(),
        [(ErrorMiddleware, {}), (RateLimitMiddleware, {"windows": windows, "rules": limits}), (RetryMiddleware, {})],
    )
    assert_type(app, ASGIApp)
    alone: ASGIApp = RequestBodyMiddleware(app, max_bytes=1 << 20)
    ModelMappingMiddleware(alone, aliases={"fast": "gpt-4o-mini"})
    RetryMiddleware(alone, 2)  # type: ignore[call-arg]  # options are named
    RateLimit(per="planet")  # type: ignore[arg-type]  # what can be limited is a closed set
    for layer in STACK:
        assert_type(layer.writes, frozenset[str])


def transports() -> None:
    """Both transports fit the seam."""
    fast: Transport = Http1Transport()
    other: Transport = HttpxTransport(http2=True)
    Relay(transport=fast)
    Relay(transport=other)


def configuration() -> None:
    """Settings are read from a file, an environment and overrides."""
    settings = load_settings("gateway.toml", {"PORT": "3000"}, {"server": {"host": "0.0.0.0"}})
    assert_type(settings, Settings)
    assert_type(settings.server.trusted_proxies, tuple[str, ...])


def exchange(scope: Scope) -> None:
    """What a layer of one's own reads."""
    found = Exchange.of(scope)
    assert_type(found, Exchange)
    assert_type(found.request_id, str)
    if found.caller is not None:
        assert_type(found.caller.group, str)


def _silence() -> tuple[Receive, Send]:
    raise AssertionError("never run")
