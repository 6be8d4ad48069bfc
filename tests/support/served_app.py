"""A gateway as any ASGI server runs it, in front of an app of its host's; WebSockets meet the outer layers alone.

The upstream is named by `UPSTREAM_URL`; what is stored lies in `gateway.db`; the app prints when it starts and stops.
"""

import os

from asgi_gateway import Gateway, compose
from asgi_gateway.config import BillingSettings, Settings
from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import RateLimited
from asgi_gateway.exchange import Exchange
from asgi_gateway.middleware import AuthenticationMiddleware, ErrorMiddleware, TelemetryMiddleware
from asgi_gateway.types import Receive, Scope, Send

__all__ = ["KEY", "MODELS", "app"]

KEY = "sk-served-0123456789abcdef"

MODELS = ("quick", "paced", "silent", "endless", "broken-sized", "broken-chunked", "broken-stream")


async def host(scope: Scope, receive: Receive, send: Send) -> None:
    """The host's own app: its lifespan, and one answer for whatever path."""
    if scope["type"] == "lifespan":
        for step in ("startup", "shutdown"):
            await receive()
            print(f"host: {step}", flush=True)
            await send({"type": f"lifespan.{step}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
    await send({"type": "http.response.body", "body": b"host"})


async def busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuses every WebSocket whose caller is known."""
    raise RateLimited("Too many sessions.", retry_after=3)


gateway = Gateway(
    Settings(billing=BillingSettings(unpriced="free")),
    storage="sqlite:///gateway.db",
    channels=[
        {
            "name": "main",
            "provider": "openai",
            "base_url": os.environ.get("UPSTREAM_URL", "http://127.0.0.1:1"),
            "keys": ["sk-upstream"],
            "models": list(MODELS),
            "timeouts": {"plain": 1},
        }
    ],
    users=[{"name": "dev", "unlimited": True}],
    tokens=[{"name": "dev", "user": "dev", "key": KEY, "unlimited": True}],
    fallback=host,
)

realtime = compose(
    busy,
    [
        (TelemetryMiddleware, {}),
        (ErrorMiddleware, {}),
        (AuthenticationMiddleware, {"tokens": gateway.directory.tokens}),
    ],
)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """The gateway; a WebSocket as a realtime exchange, which no dialect offers yet."""
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        scope, _ = Exchange.enter(scope, Operation.REALTIME, DIALECTS["openai_chat"])
        await realtime(scope, receive, send)
    else:
        await gateway(scope, receive, send)
