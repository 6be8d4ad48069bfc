"""Puts the whole product together as one ASGI app: what a host application would bring, around the gateway."""

from collections.abc import Callable, Mapping

from asgi_gateway.backends import configured_storage
from asgi_gateway.config import Settings
from asgi_gateway.gateway import Gateway
from asgi_gateway.types import ASGIApp
from asgi_gateway_contrib.standalone.failure import FailureMiddleware

__all__ = ["EXPOSED_HEADERS", "assemble"]

EXPOSED_HEADERS = (
    "x-request-id",
    "x-oneapi-request-id",
    "x-client-request-id",
    "x-gateway-channel",
    "x-gateway-attempts",
    "x-gateway-conversion",
    "retry-after",
    "x-should-retry",
)
"""What a browser's script may read of an answer from another origin."""


def assemble(
    settings: Settings,
    *,
    shared: bool = False,
    access_log: Callable[[Mapping[str, object]], None] | None = None,
) -> tuple[Gateway, ASGIApp]:
    """The gateway, and the app that serves it. `shared`: other processes use the same storage.

    Outermost CORS, so that a browser may read our failures too; then failures, then the caller's address.
    """
    gateway = Gateway(settings, storage=configured_storage(settings.storage, shared=shared), access_log=access_log)
    app: ASGIApp = gateway
    if settings.server.trusted_proxies:
        from asgi_gateway_contrib.standalone.forwarded import ForwardedMiddleware

        app = ForwardedMiddleware(app, trusted=settings.server.trusted_proxies)
    app = FailureMiddleware(app)
    if settings.server.cors_origins:
        from starlette.middleware.cors import CORSMiddleware

        app = CORSMiddleware(
            app,
            allow_origins=settings.server.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
    return gateway, app
