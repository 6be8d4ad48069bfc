"""Reads the request's body once: bounded, decompressed, replayable.

Inside authentication, so that nobody without a key makes us read; outside everything that looks into the body.
Needs nothing; writes `body`.

The limit counts after decompression. `gzip`, `deflate`, `br` and `zstd` are decoded (RFC 9110, 8.4), also stacked;
the inside sees the decoded body, its length, and no `content-encoding`.
"""

from typing import ClassVar

from asgi_gateway.errors import CallerLeft, InvalidRequest, ServiceUnavailable
from asgi_gateway.exchange import MEMORY_LIMIT, SCOPE_KEY, Body, Exchange
from asgi_gateway.middleware.decoding import decoder, too_large
from asgi_gateway.middleware.entry import enter
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["RequestBodyMiddleware", "behind", "replay"]


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
                encoding = encoding + b"," + value if encoding else value
        limit = self.max_upload_bytes if content_type[:10].lower() == b"multipart/" else self.max_bytes
        size = _number(length)
        if size > limit:
            raise too_large(limit)
        held = _Share(self, limit)
        held.expect(size)
        try:
            exchange.body = body = await _collect(receive, held, encoding)
            if encoding:
                scope = {**scope, "headers": _decoded_headers(scope["headers"], body.size)}
            try:
                await self.app(scope, replay(body, receive), send)
            finally:
                body.close()
        finally:
            held.give_back()

    def take(self, size: int) -> None:
        """Count bytes that are held. Raises `ServiceUnavailable` where they are too many, of all requests together."""
        if self._held + size > self.max_held_bytes:
            raise ServiceUnavailable("Too many request bodies are under way.", code="overloaded")
        self._held += size

    def give_back(self, size: int) -> None:
        """Bytes are no longer held."""
        self._held -= size


class _Share:
    """What one request holds of all that may be held, and what of it was read from the caller."""

    __slots__ = ("_layer", "_read", "limit", "size")

    def __init__(self, layer: RequestBodyMiddleware, limit: int) -> None:
        self._layer = layer
        self._read = 0
        self.limit = limit
        self.size = 0

    def expect(self, size: int) -> None:
        """Refuse a body whose announced size would be too much; nothing is held for it yet."""
        self._layer.take(size)
        self._layer.give_back(size)

    def read(self, size: int) -> None:
        """Bytes came from the caller; also those that decode to nothing have an end."""
        self._read += size
        if self._read > self.limit:
            raise too_large(self.limit)

    def add(self, size: int) -> None:
        """Bytes of the body are held from now on."""
        if self.size + size > self.limit:
            raise too_large(self.limit)
        self._layer.take(size)
        self.size += size

    def give_back(self) -> None:
        """All of it is over."""
        self._layer.give_back(self.size)


class _Replay:
    """A `receive` that gives a body first, then what the server says: a disconnect is never invented."""

    __slots__ = ("_body", "receive")

    def __init__(self, body: Body | bytes, receive: Receive) -> None:
        self._body: Body | bytes | None = body
        self.receive = receive

    async def __call__(self) -> Message:
        body = self._body
        if body is None:
            return await self.receive()
        self._body = None
        data = body if isinstance(body, bytes) else await body.bytes()
        return {"type": "http.request", "body": data, "more_body": False}


def replay(body: Body | bytes, receive: Receive) -> Receive:
    """A `receive` that gives this body, then what the server says. It takes the place of a replay around `receive`."""
    return _Replay(body, behind(receive))


def behind(receive: Receive) -> Receive:
    """What comes after the body that `receive` may still give: the server's own messages."""
    return receive.receive if isinstance(receive, _Replay) else receive


async def _collect(receive: Receive, held: _Share, encoding: bytes) -> Body:
    message = await receive()
    if message["type"] == "http.disconnect":
        raise CallerLeft
    if not encoding and not message.get("more_body"):  # nearly always: it all came at once
        data: bytes = message.get("body", b"")
        held.add(len(data))
        return Body(data)
    return await _collect_pieces(message, receive, held, encoding)


async def _collect_pieces(message: Message, receive: Receive, held: _Share, encoding: bytes) -> Body:
    decode = decoder(encoding, held.limit)
    file = Body.spool()
    try:
        while True:
            data: bytes = message.get("body", b"")
            more = message.get("more_body", False)
            held.read(len(data))
            piece = decode.feed(data, last=not more)
            held.add(len(piece))
            file.write(piece)
            if not more:
                break
            message = await receive()
            if message["type"] == "http.disconnect":
                raise CallerLeft
        if held.size <= MEMORY_LIMIT:
            file.seek(0)
            return Body(file.read())
        kept, file = file, None  # type: ignore[assignment]  # the body closes it from here on
        return Body(file=kept, size=held.size)
    except ValueError as broken:
        raise InvalidRequest(f"The request body is not valid {encoding.decode('latin-1')}: {broken}.") from broken
    finally:
        if file is not None:
            file.close()


def _number(length: bytes) -> int:
    """A `content-length`, 0 where there is none that can be read: what comes is counted anyway."""
    return int(length[:19]) if length.isdigit() else 0


def _decoded_headers(headers: list[tuple[bytes, bytes]], size: int) -> list[tuple[bytes, bytes]]:
    kept = [pair for pair in headers if pair[0] not in (b"content-encoding", b"content-length", b"transfer-encoding")]
    return [*kept, (b"content-length", b"%d" % size)]
