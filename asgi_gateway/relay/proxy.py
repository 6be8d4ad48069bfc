"""Proxies: their address, and the CONNECT exchange that opens a tunnel (RFC 9110, 9.3.6)."""

import asyncio
from base64 import b64encode
from dataclasses import dataclass
from typing import Self, cast
from urllib.parse import unquote_to_bytes, urlsplit

from asgi_gateway.errors import Fault, UpstreamError, UpstreamUnreachable

__all__ = ["ProxyAddress", "Tunnel", "authority", "refusal"]

HEAD_LIMIT = 16 * 1024
"""Bytes of a proxy's answer to CONNECT."""


def authority(host: str, port: int, default: int | None = None) -> bytes:
    """Host and port as they stand in a URL; a `default` port is left out. Raises `UpstreamError` for no host name."""
    try:
        name = host.encode("idna") if ":" not in host else b"[" + host.encode("ascii") + b"]"
    except UnicodeError as error:
        raise UpstreamError("the upstream's host name cannot be used", fault=Fault.CHANNEL) from error
    return name if port == default else b"%s:%d" % (name, port)


@dataclass(frozen=True, slots=True)
class ProxyAddress:
    """A proxy that speaks HTTP, over TLS where `scheme` is "https". `credentials` are ready for their header."""

    scheme: str
    host: str
    port: int
    credentials: bytes = b""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read `http://[user:password@]host[:port]`. Raises `UpstreamError` for anything else."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UpstreamError("the channel's proxy must be an http:// or https:// address", fault=Fault.CHANNEL)
        credentials = b""
        if parts.username is not None:
            pair = unquote_to_bytes(parts.username) + b":" + unquote_to_bytes(parts.password or "")
            credentials = b"Basic " + b64encode(pair)
        default = 443 if parts.scheme == "https" else 80
        return cls(parts.scheme, parts.hostname, default if port is None else port, credentials)

    def __repr__(self) -> str:
        return f"ProxyAddress({self.scheme}://{self.host}:{self.port})"


class Tunnel(asyncio.Protocol):
    """The connection to a proxy until it has become a tunnel to the upstream."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._answer = b""
        self._opened: asyncio.Future[None] = loop.create_future()
        self.transport: asyncio.Transport | None = None

    async def open(self, target: bytes, credentials: bytes) -> asyncio.Transport:
        """Ask for a tunnel to `target` (host and port). Raises `UpstreamUnreachable` when the proxy refuses."""
        assert self.transport is not None
        lines = [b"CONNECT %s HTTP/1.1" % target, b"host: " + target]
        if credentials:
            lines.append(b"proxy-authorization: " + credentials)
        self.transport.write(b"\r\n".join([*lines, b"", b""]))
        await self._opened
        if self.transport.is_closing():
            raise refusal(None)
        return self.transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by class

    def data_received(self, data: bytes) -> None:
        if self._opened.done():
            if self.transport is not None:
                self.transport.abort()  # nobody has asked for more
            return
        self._answer += data
        head, end, surplus = self._answer.partition(b"\r\n\r\n")
        if not end and len(head) <= HEAD_LIMIT:
            return
        fields = head.split(b"\r\n", 1)[0].split(None, 2)
        granted = len(fields) >= 2 and fields[0].startswith(b"HTTP/1.") and fields[1].startswith(b"2")
        if end and granted and len(fields[1]) == 3 and not surplus:
            self._opened.set_result(None)
        else:
            self._refuse(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._refuse(exc)

    def _refuse(self, cause: Exception | None) -> None:
        if not self._opened.done():
            self._opened.set_exception(refusal(cause))


def refusal(cause: Exception | None) -> UpstreamUnreachable:
    """The error of a proxy that does not let us through."""
    failure = UpstreamUnreachable("the channel's proxy opened no way to the upstream", fault=Fault.CHANNEL)
    failure.__cause__ = cause
    return failure
