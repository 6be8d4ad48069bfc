"""Relays a WebSocket: pumps both ways until either side closes, codes and reasons of both closes passed on.

Back-pressure is the transports' own: a message is read only when the one before it was sent on.
"""

import asyncio

from asgi_gateway.errors import CallerLeft, UpstreamUnreachable
from asgi_gateway.relay.transport import UpstreamSocket
from asgi_gateway.types import Receive, Scope, Send

__all__ = ["offered", "pump"]

KEY_PREFIX = "openai-insecure-api-key."

# Codes that are never sent (RFC 6455, 7.4.1): they say that there was no close frame, or none with a code.
NO_CODE = 1005
BROKEN = frozenset({1004, 1006, 1015})
NORMAL = 1000
GOING_AWAY = 1001


def offered(scope: Scope) -> list[str]:
    """The caller's subprotocols without the key among them: the upstream gets the channel's by header."""
    return [name for name in scope.get("subprotocols", ()) if not name.startswith(KEY_PREFIX)]


async def pump(upstream: UpstreamSocket, receive: Receive, send: Send) -> None:
    """Pass messages on until the upstream closes. Raises `CallerLeft` when the caller closes, whatever its code,
    and `UpstreamUnreachable` when the upstream breaks.
    """
    closing = asyncio.Event()  # set: the caller is being told the end, and its disconnect is the answer to that
    to_caller = asyncio.create_task(_to_caller(upstream, send, closing))
    to_upstream = asyncio.create_task(_to_upstream(receive, upstream, closing))
    tasks = [to_caller, to_upstream]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if not to_caller.done():
            await to_upstream
        await to_caller
    finally:
        for task in tasks:
            task.cancel()
            task.add_done_callback(_look_at)
        await asyncio.wait(tasks)


async def _to_caller(upstream: UpstreamSocket, send: Send, closing: asyncio.Event) -> None:
    while (message := await upstream.receive()) is not None:
        if isinstance(message, str):
            await send({"type": "websocket.send", "text": message})
        else:
            await send({"type": "websocket.send", "bytes": message})
    code = upstream.close_code
    if code in BROKEN:
        raise UpstreamUnreachable("The upstream broke the connection.")
    closing.set()
    code = NORMAL if code == NO_CODE else code
    await send({"type": "websocket.close", "code": code, "reason": upstream.close_reason})


async def _to_upstream(receive: Receive, upstream: UpstreamSocket, closing: asyncio.Event) -> None:
    while True:
        message = await receive()
        kind = message["type"]
        if kind == "websocket.disconnect":
            if closing.is_set():
                return
            code = message.get("code", NO_CODE)
            code = GOING_AWAY if code in BROKEN else NORMAL if code == NO_CODE else code
            await upstream.close(code, message.get("reason") or "")
            raise CallerLeft
        if kind == "websocket.receive":  # a connect may still wait here where nobody outside took it
            text = message.get("text")
            await upstream.send(text if text is not None else message["bytes"])


def _look_at(task: "asyncio.Task[None]") -> None:
    """The second failure of a pump is told by the first."""
    if not task.cancelled():
        task.exception()
