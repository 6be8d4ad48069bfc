"""The limit for Python: uvicorn and our transport, nothing between. `UPSTREAM_PORT` names the upstream.

Run by `uvicorn --factory benchmarks.bare_relay:application`.
"""

import os

from asgi_gateway.providers.contract import Origin
from asgi_gateway.relay.http1 import Http1Transport
from asgi_gateway.relay.transport import UpstreamRequest
from asgi_gateway.storage.records import Timeouts
from asgi_gateway.types import ASGIApp, Receive, Scope, Send
from benchmarks.payloads import UPSTREAM_KEY

__all__ = ["application"]

KEPT = (b"content-type", b"content-length")
HEADERS = ((b"content-type", b"application/json"), (b"authorization", f"Bearer {UPSTREAM_KEY}".encode()))


async def read_body(receive: Receive) -> bytes:
    """The whole body of a request."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def lifespan(receive: Receive, send: Send) -> None:
    """Answer the server's start and end."""
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


def application() -> ASGIApp:
    """An app that sends every request to the upstream as it is, with the upstream's key."""
    transport = Http1Transport()
    origin = Origin("http", "127.0.0.1", int(os.environ["UPSTREAM_PORT"]))
    timeouts = Timeouts()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        body = await read_body(receive)
        request = UpstreamRequest(
            method=scope["method"],
            origin=origin,
            target=scope["raw_path"],
            headers=HEADERS,
            body=body,
            stream=b'"stream":true' in body,
            timeouts=timeouts,
        )
        response = await transport.send(request)
        try:
            headers = [pair for pair in response.headers if pair[0] in KEPT]
            await send({"type": "http.response.start", "status": response.status, "headers": headers})
            while chunk := await response.read():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            response.close()

    return app
