"""Idle connections, kept per way to an upstream: scheme, host, port, proxy and pinned address.

The one used last is used first, so that the rest grows old and is closed.
A pool belongs to one event loop.
"""

import asyncio

from asgi_gateway.providers.contract import Origin
from asgi_gateway.relay.connection import Connection
from asgi_gateway.relay.proxy import ProxyAddress
from asgi_gateway.relay.request_head import request_head
from asgi_gateway.relay.transport import UpstreamRequest

__all__ = ["Peer", "Pool"]

HEADS_LIMIT = 256
"""Request heads remembered per peer; beyond them all are forgotten."""


class Peer:
    """One way to one upstream, with its idle connections and the request heads that it has been sent."""

    __slots__ = ("_heads", "_pool", "address", "idle", "opened", "origin", "proxy", "retired")

    def __init__(self, pool: "Pool", origin: Origin, proxy: ProxyAddress | None, address: str | None) -> None:
        self._pool = pool
        self._heads: dict[tuple[str, bytes, tuple[tuple[bytes, bytes], ...]], bytes] = {}
        self.origin = origin
        self.proxy = proxy
        self.address = address
        self.idle: list[Connection] = []
        self.opened = 0
        """Connections being made, in use or idle."""
        self.retired = False
        """The pool no longer knows this peer: what it opened is not kept."""

    @property
    def tunnelled(self) -> bool:
        """Whether the proxy is asked for a tunnel: for TLS, and where the address is pinned."""
        return self.proxy is not None and (self.origin.scheme == "https" or self.address is not None)

    def head(self, request: UpstreamRequest) -> bytes:
        """The head of a request up to the length of its body, from memory where it was sent before."""
        key = (request.method, request.target, request.headers)
        head = self._heads.get(key)
        if head is None:
            if len(self._heads) >= HEADS_LIMIT:
                self._heads.clear()
            forwarder = None if self.tunnelled else self.proxy
            head = self._heads[key] = request_head(request, forwarder)
        return head

    def take(self, now: float) -> Connection | None:
        """The idle connection that was used last, None if all are too old or closed."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.dead:
                if connection.idle_since + self._pool.idle_seconds > now:
                    return connection
                connection.abort()
        return None

    def connection(self) -> Connection:
        """A connection that is yet to be opened."""
        self.opened += 1
        return Connection(self._pool.loop, self)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection for the next exchange, if there is room."""
        if self.retired or self._pool.closed or len(self.idle) >= self._pool.idle_limit:
            connection.abort()
            return
        connection.idle_since = self._pool.loop.time()
        self.idle.append(connection)

    def forget(self, connection: Connection) -> None:
        """A connection has been closed, by whomever, or could not be opened."""
        self.opened -= 1
        if connection in self.idle:
            self.idle.remove(connection)

    def expire(self, before: float) -> None:
        """Close the connections that have been idle since `before`."""
        for connection in self.idle:  # the oldest stand first
            if connection.idle_since > before:
                break
            connection.abort()


class Pool:
    """All peers of one event loop. While there are any, a timer closes connections that grow old."""

    def __init__(self, loop: asyncio.AbstractEventLoop, idle_limit: int, idle_seconds: float) -> None:
        self.loop = loop
        self.idle_limit = idle_limit
        self.idle_seconds = idle_seconds
        self.closed = False
        self._peers: dict[tuple[str, str, int, str, str | None], Peer] = {}
        self._timer: asyncio.TimerHandle | None = None

    def peer(self, request: UpstreamRequest) -> Peer:
        """The peer that a request goes to. Raises `UpstreamError` for a proxy address that cannot be used."""
        origin = request.origin
        key = (origin.scheme, origin.host, origin.port, request.proxy, request.address)
        peer = self._peers.get(key)
        if peer is None:
            proxy = ProxyAddress.parse(request.proxy) if request.proxy else None
            peer = self._peers[key] = Peer(self, origin, proxy, request.address)
            self._watch()
        return peer

    def _watch(self) -> None:
        """See to it that idle connections are looked at while there are peers."""
        if self._timer is None and not self.closed:
            self._timer = self.loop.call_later(self.idle_seconds / 2, self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        before = self.loop.time() - self.idle_seconds
        for peer in self._peers.values():
            peer.expire(before)
            # One without any connection may be one whose address has changed: it is made anew when needed.
            peer.retired = not peer.opened
        self._peers = {key: peer for key, peer in self._peers.items() if not peer.retired}
        if self._peers:
            self._watch()

    async def close(self) -> None:
        """Close all idle connections and wait until their sockets are; those in use are closed once released."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        idle = [connection for peer in self._peers.values() for connection in peer.idle]
        for connection in idle:
            connection.abort()
        for connection in idle:
            await connection.lost
