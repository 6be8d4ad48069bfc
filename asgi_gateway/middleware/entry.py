"""How a layer that stands alone takes part: it begins the exchange itself, and renders its own refusals."""

from asgi_gateway.exchange import Exchange
from asgi_gateway.middleware.error import ErrorMiddleware
from asgi_gateway.types import ASGIApp, Receive, Scope, Send

__all__ = ["enter"]


async def enter(layer: ASGIApp, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
    """Run `layer` on a request that no layer outside has begun an exchange for.

    Paths that are none of ours, `lifespan` and unknown scope types go to `app`, the layer's inside, untouched.
    """
    begun = Exchange.begin(scope)
    if begun is None:
        await app(scope, receive, send)
    else:
        await ErrorMiddleware(layer)(begun[0], receive, send)
