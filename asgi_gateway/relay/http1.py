"""The default transport: a small HTTP/1.1 client over `httptools`.

A pool, TLS, CONNECT proxies, deadlines, cancel, back-pressure: what an exchange with an upstream needs, no more.
`HttpxTransport` has HTTP/2 and SOCKS.

```python
transport = Http1Transport()
answer = await transport.send(request)
try:
    while piece := await answer.read():
        ...
finally:
    answer.close()
```
"""

import asyncio
import ssl
from math import inf

from asgi_gateway.relay.answer import Answer
from asgi_gateway.relay.connection import Connection
from asgi_gateway.relay.dial import Dialler
from asgi_gateway.relay.pool import Peer, Pool
from asgi_gateway.relay.request_head import BODILESS
from asgi_gateway.relay.transport import UpstreamRequest

__all__ = ["Http1Transport"]


class Http1Transport:
    """Sends requests over pooled HTTP/1.1 connections; see `Transport` for the contract.

    `ssl_context` replaces the system's default TLS settings.
    `idle_limit` bounds the idle connections kept per upstream, proxy and pinned address; `idle_seconds` their age.

    The pool belongs to the event loop that `send` is first awaited in.
    A request whose kept-alive connection turns out to be closed is sent once more over a new one,
    if the upstream cannot have acted on it (`Connection`).
    """

    def __init__(
        self, *, ssl_context: ssl.SSLContext | None = None, idle_limit: int = 256, idle_seconds: float = 30.0
    ) -> None:
        if idle_limit < 0:
            raise ValueError("idle_limit must not be negative")
        if idle_seconds <= 0:
            raise ValueError("idle_seconds must be positive")
        self._dialler = Dialler(ssl_context)
        self._idle_limit = idle_limit
        self._idle_seconds = idle_seconds
        self._pool: Pool | None = None
        self._closed = False

    async def send(self, request: UpstreamRequest) -> Answer:
        """Send a request and return when the head of its answer has come."""
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is None or pool.loop is not loop:
            pool = self._bind(loop)
        now = loop.time()
        total = request.timeouts.total
        end = now + total if total else inf
        peer = pool.peer(request)
        head, body = peer.head(request), request.body
        if body or request.method not in BODILESS:
            head = b"%scontent-length: %d\r\n\r\n" % (head, len(body))
        else:
            head += b"\r\n"
        connection = peer.take(now)
        while True:
            reused = connection is not None
            if connection is None:
                connection = await self._dial(peer, request, end)
                now = loop.time()
            answer = Answer(connection, request, now, end)
            connection.begin(answer, head, body)
            await answer.begun()
            if answer.status:
                return answer
            failure = answer.failure
            assert failure is not None
            answer.close()
            if not (reused and answer.repeatable):
                raise failure
            connection = None

    async def close(self) -> None:
        """Close all idle connections. Open exchanges go on; later ones are served, but their connections not kept."""
        self._closed = True
        pool = self._pool
        if pool is not None and pool.loop is asyncio.get_running_loop():
            await pool.close()

    async def _dial(self, peer: Peer, request: UpstreamRequest, end: float) -> Connection:
        seconds, phase = request.timeouts.connect, "connect"
        if end < inf:
            left = max(end - asyncio.get_running_loop().time(), 0.001)
            if not seconds or left <= seconds:
                seconds, phase = left, "total"
        return await self._dialler.dial(peer, seconds, phase)

    def _bind(self, loop: asyncio.AbstractEventLoop) -> Pool:
        """Make the pool of this loop. One whose loop has been closed has no connection left."""
        if self._pool is not None and not self._pool.loop.is_closed():
            raise RuntimeError("this transport belongs to another event loop, which is still open: make one per loop")
        self._pool = Pool(loop, self._idle_limit, self._idle_seconds)
        self._pool.closed = self._closed
        return self._pool
