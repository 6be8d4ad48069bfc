"""Reads the request's body once: bounded, decompressed, replayable.

Inside authentication, so that nobody without a key makes us read; outside everything that looks into the body.
Needs nothing; writes `body`.

The limit counts after decompression. `gzip`, `deflate`, `br` and `zstd` are decoded (RFC 9110, 8.4), also stacked;
the inside sees the decoded body and no `content-encoding`.
"""

from typing import ClassVar

from asgi_gateway.errors import CallerLeft, InvalidRequest, PayloadTooLarge, ServiceUnavailable
from asgi_gateway.exchange import MEMORY_LIMIT, SCOPE_KEY, Body, Exchange
from asgi_gateway.middleware.decoding import decoder
from asgi_gateway.middleware.entry import enter
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RequestBodyMiddleware", "replay"]


class RequestBodyMiddleware:
    """Collects the body under a limit of `max_bytes`, multipart bodies under `max_upload_bytes`.

    `max_held_bytes` bounds the bodies that this layer holds at once: above it new ones are refused with 503.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    uses_after: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"body"})

    def __init__(
        self,
        app: ASGIApp,
        *,
        max_bytes: int = 32 << 20,
        max_upload_bytes: int = 512 << 20,
        max_held_bytes: int = 512 << 20,
    ) -> None:
        if min(max_bytes, max_upload_bytes, max_held_bytes) <= 0:
            raise ValueError("a body limit must be above 0")
        self.app = app
        self.max_bytes = max_bytes
        self.max_upload_bytes = max_upload_bytes
        self.max_held_bytes = max_held_bytes
        self._held = 0  # of all requests together

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        if exchange is None:
            await enter(self, self.app, scope, receive, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        length = content_type = encoding = b""
        for name, value in scope["headers"]:
            if name == b"content-length":
                length = value
            elif name == b"content-type":
                content_type = value
            elif name == b"content-encoding":
                encoding = value
        limit = self.max_upload_bytes if content_type.startswith(b"multipart/") else self.max_bytes
        size = int(length) if length.isdigit() else 0
        if size > limit:
            raise too_large(limit)
        if self._held + size > self.max_held_bytes:
            raise ServiceUnavailable("Too many request bodies are under way.", code="overloaded")
        if encoding:
            scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != b"content-encoding"]}
        body = await _collect(receive, limit, encoding)
        exchange.body = body
        self._held += body.size
        try:
            await self.app(scope, replay(body, receive), send)
        finally:
            self._held -= body.size
            body.close()


def too_large(limit: int) -> PayloadTooLarge:
    """The error of a body above its limit."""
    return PayloadTooLarge(f"The request body is larger than {limit} bytes, counted after decompression.")


def replay(body: Body | bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body first, then what the server says: a disconnect is never invented."""
    given = False

    async def replayed() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        data = body if isinstance(body, bytes) else await body.bytes()
        return {"type": "http.request", "body": data, "more_body": False}

    return replayed


async def _collect(receive: Receive, limit: int, encoding: bytes) -> Body:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerLeft
    if not encoding and not message.get("more_body"):  # nearly always: it all came at once
        data: bytes = message.get("body", b"")
        if len(data) > limit:
            raise too_large(limit)
        return Body(data)
    return await _collect_pieces(message, receive, limit, encoding)


async def _collect_pieces(message: Message, receive: Receive, limit: int, encoding: bytes) -> Body:
    decode = decoder(encoding, limit)
    file = Body.spool()
    size = 0
    try:
        while True:
            more = message.get("more_body", False)
            piece = decode.feed(message.get("body", b""), last=not more)
            size += len(piece)
            if size > limit:
                raise too_large(limit)
            file.write(piece)
            if not more:
                break
            message = await receive()
            if message["type"] == "http.disconnect":
                raise CallerLeft
        if size <= MEMORY_LIMIT:
            file.seek(0)
            return Body(file.read())
        kept, file = file, None  # type: ignore[assignment]  # the body closes it from here on
        return Body(file=kept, size=size)
    except ValueError as broken:
        raise InvalidRequest(f"The request body is not valid {encoding.decode('latin-1')}: {broken}.") from broken
    finally:
        if file is not None:
            file.close()
