"""Puts the gateway under a prefix, beside an app that cannot mount others."""

from asgi_gateway import Gateway
from asgi_gateway.types import ASGIApp, Receive, Scope, Send

__all__ = ["under_prefix"]


def under_prefix(prefix: str, gateway: Gateway, app: ASGIApp) -> ASGIApp:
    """An ASGI app: `gateway` below `prefix` ("/ai"), `app` for everything else.

    The server's lifespan opens and closes the gateway and is offered to `app` too.
    A WebSocket outside the prefix is refused, because `app` may not know what it is.

    ```python
    application = under_prefix("/ai", gateway, get_asgi_application())
    ```
    """
    if not prefix.startswith("/") or prefix.endswith("/"):
        raise ValueError(f"a prefix begins with a slash and ends without one, not {prefix!r}")

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await gateway.run_lifespan(scope, receive, send, app)
        elif kind not in ("http", "websocket"):
            await app(scope, receive, send)
        elif _is_below(scope, prefix):
            await gateway({**scope, "root_path": scope.get("root_path", "") + prefix}, receive, send)
        elif kind == "http":
            await app(scope, receive, send)
        else:
            await receive()  # websocket.connect
            await send({"type": "websocket.close", "code": 1008})

    return application


def _is_below(scope: Scope, prefix: str) -> bool:
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    start = root + prefix if root and path.startswith(root) else prefix
    return path == start or path.startswith(start + "/")
