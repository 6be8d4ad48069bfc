"""Sends a whole answer at once."""

import orjson

from asgi_gateway.types import Send

__all__ = ["send_answer", "send_json"]


async def send_answer(send: Send, status: int, body: bytes, content_type: bytes) -> None:
    """One response with one body."""
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def send_json(send: Send, value: object, status: int = 200) -> None:
    """One JSON response."""
    await send_answer(send, status, orjson.dumps(value), b"application/json")
