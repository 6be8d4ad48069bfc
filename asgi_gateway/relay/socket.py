"""Relays a WebSocket: accepts the caller only after the upstream did, then pumps both ways until either closes.

Back-pressure is the transports' own: a message is read only when the one before it was sent on.
"""

import asyncio

from asgi_gateway.errors import CallerLeft, UpstreamError
from asgi_gateway.exchange import Exchange
from asgi_gateway.relay.transport import SocketTransport, UpstreamRequest, UpstreamSocket
from asgi_gateway.types import Receive, Scope, Send

__all__ = ["relay_socket"]


async def relay_socket(
    transport: SocketTransport | None,
    request: UpstreamRequest,
    exchange: Exchange,
    scope: Scope,
    receive: Receive,
    send: Send,
) -> None:
    """One WebSocket exchange. Raises an `UpstreamError` before anything was accepted, if the upstream refuses.

    Codes and reasons of both closes are passed on.
    """
    if transport is None:
        raise UpstreamError("This gateway has no transport for WebSockets.", status=501, code="not_offered")
    # The key in the subprotocol list is the caller's own: the upstream gets the channel's by header.
    offered = [name for name in scope.get("subprotocols", ()) if not name.startswith("openai-insecure-api-key.")]
    exchange.reached_upstream = True
    upstream = await transport.connect(request, offered)
    try:
        await send({"type": "websocket.accept", "subprotocol": upstream.subprotocol, "headers": []})
        await _pump(upstream, receive, send)
    finally:
        await upstream.close()


async def _pump(upstream: UpstreamSocket, receive: Receive, send: Send) -> None:
    tasks = [
        asyncio.create_task(_to_caller(upstream, send)),
        asyncio.create_task(_to_upstream(receive, upstream)),
    ]
    try:
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def _to_caller(upstream: UpstreamSocket, send: Send) -> None:
    while (message := await upstream.receive()) is not None:
        if isinstance(message, str):
            await send({"type": "websocket.send", "text": message})
        else:
            await send({"type": "websocket.send", "bytes": message})
    await send({"type": "websocket.close", "code": upstream.close_code, "reason": upstream.close_reason})


async def _to_upstream(receive: Receive, upstream: UpstreamSocket) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await upstream.close(message.get("code", 1000), message.get("reason") or "")
            raise CallerLeft
        text = message.get("text")
        await upstream.send(text if text is not None else message["bytes"])
