"""The transport seam: one method that sends one request upstream and gives back its answer as it comes.

Every transport passes the contract suite in `tests/transport/`:
the first chunk at once; the connection closed within 1 s of a cancel at whatever moment; the deadlines told apart;
a cut body told from an end; back-pressure; a kept-alive connection that the upstream closed meanwhile replaced unseen;
a proxy per channel; a pinned address; limits on header, line and chunk sizes.
"""

from typing import Protocol

from msgspec import Struct

from asgi_gateway.providers.contract import Origin
from asgi_gateway.storage.records import Timeouts

__all__ = ["SocketTransport", "Transport", "UpstreamRequest", "UpstreamResponse", "UpstreamSocket"]


class UpstreamRequest(Struct, frozen=True, kw_only=True):
    """One request to an upstream.

    `headers` are sent as they are, in order, lower-case names; the transport adds `host`, `content-length`
    and `accept-encoding: identity` itself.
    `stream` says which deadlines hold: `headers`, `first_event` and `idle` for streams; `plain` for a whole answer;
    `connect` and `total` for both.
    `address` pins the IP address that the connection goes to (the origin's host is still what TLS and `host` name).
    """

    method: str
    origin: Origin
    target: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    stream: bool
    timeouts: Timeouts
    proxy: str = ""
    address: str | None = None

    def __repr__(self) -> str:
        # Headers and target may hold the channel's key, the body the caller's words, the proxy its login.
        return f"UpstreamRequest(method={self.method!r}, origin={self.origin!r}, stream={self.stream})"


class UpstreamResponse(Protocol):
    """An answer whose head has come. It must be closed, whatever happened; closing twice is allowed."""

    status: int
    headers: list[tuple[bytes, bytes]]
    """Lower-case names, duplicates kept."""

    async def read(self) -> bytes:
        """The next bytes of the body as they came, `b""` at its proper end.

        Raises `UpstreamUnreachable` when the connection breaks before the end, `UpstreamTimeout` with its phase,
        `MalformedUpstream` for what breaks HTTP or a size limit.
        """
        ...

    def close(self) -> None:
        """Be done with it, without waiting: give the connection back if the body was read to its end, else drop it."""
        ...


class Transport(Protocol):
    """Sends requests to upstreams.

    Cancelling `send` or `read` and closing the response drops the connection at once.
    """

    async def send(self, request: UpstreamRequest) -> UpstreamResponse:
        """Send and return when the answer's head has come. Raises as `UpstreamResponse.read` does."""
        ...

    async def close(self) -> None:
        """Drop all idle connections; open exchanges go on."""
        ...


class UpstreamSocket(Protocol):
    """An open WebSocket to an upstream."""

    subprotocol: str | None

    async def receive(self) -> str | bytes | None:
        """The next message, None when the upstream closed; then `close_code` and `close_reason` are set."""
        ...

    async def send(self, message: str | bytes) -> None: ...

    async def close(self, code: int = 1000, reason: str = "") -> None: ...

    @property
    def close_code(self) -> int: ...

    @property
    def close_reason(self) -> str: ...


class SocketTransport(Protocol):
    """Opens WebSockets to upstreams."""

    async def connect(self, request: UpstreamRequest, subprotocols: list[str]) -> UpstreamSocket:
        """Return when the upstream accepted; raises an `UpstreamError` when it refused."""
        ...
