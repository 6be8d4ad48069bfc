"""Opening connections: TCP, TLS, and tunnels through proxies, within one deadline."""

import asyncio
import ssl

from asgi_gateway.errors import UpstreamTimeout, UpstreamUnreachable
from asgi_gateway.relay.connection import Connection
from asgi_gateway.relay.pool import Peer
from asgi_gateway.relay.proxy import ProxyAddress, Tunnel, authority

__all__ = ["Dialler"]


class Dialler:
    """Opens connections to peers. The TLS settings are made at the first need: loading the roots takes a while."""

    def __init__(self, ssl_context: ssl.SSLContext | None) -> None:
        self._ssl_context = ssl_context

    def _tls(self) -> ssl.SSLContext:
        if self._ssl_context is None:
            self._ssl_context = ssl.create_default_context()
            self._ssl_context.set_alpn_protocols(["http/1.1"])
        return self._ssl_context

    async def dial(self, peer: Peer, seconds: float, phase: str) -> Connection:
        """Open a connection within `seconds` (0: no deadline); `phase` names the deadline in `UpstreamTimeout`.

        Raises `UpstreamUnreachable` when there is none to be had. A cancel leaves no socket open.
        """
        connection = peer.connection()
        opened = False
        try:
            async with asyncio.timeout(seconds or None):
                if peer.proxy is None:
                    await self._direct(connection, peer)
                elif peer.tunnelled:
                    await self._tunnel(connection, peer, peer.proxy)
                else:
                    await self._to_proxy(connection, peer.proxy)
            opened = True
        except TimeoutError as error:
            raise UpstreamTimeout(f"no connection to the upstream in time ({phase})", phase=phase) from error
        except (OSError, UnicodeError) as error:
            raise UpstreamUnreachable("no connection to the upstream") from error
        finally:
            if not opened:
                connection.discard()
        return connection

    async def _direct(self, connection: Connection, peer: Peer) -> None:
        secure = peer.origin.scheme == "https"
        await connection.loop.create_connection(
            lambda: connection,
            peer.address or peer.origin.host,
            peer.origin.port,
            ssl=self._tls() if secure else None,
            server_hostname=peer.origin.host if secure else None,
        )

    async def _to_proxy(self, protocol: Connection | Tunnel, proxy: ProxyAddress) -> None:
        secure = proxy.scheme == "https"
        await asyncio.get_running_loop().create_connection(
            lambda: protocol, proxy.host, proxy.port, ssl=self._tls() if secure else None
        )

    async def _tunnel(self, connection: Connection, peer: Peer, proxy: ProxyAddress) -> None:
        loop, origin = connection.loop, peer.origin
        tunnel = Tunnel(loop)
        try:
            await self._to_proxy(tunnel, proxy)
            target = authority(peer.address or origin.host, origin.port)
            transport: asyncio.Transport | None = await tunnel.open(target, proxy.credentials)
            assert transport is not None
            if origin.scheme == "https":
                transport = await loop.start_tls(transport, connection, self._tls(), server_hostname=origin.host)
                assert transport is not None
            else:
                transport.set_protocol(connection)
            connection.connection_made(transport)
        except BaseException:  # a cancel leaves no tunnel open, and goes on
            # One that is closing has nothing left to send; asyncio's may fail when it is aborted after its end.
            if tunnel.transport is not None and not tunnel.transport.is_closing():
                tunnel.transport.abort()
            raise
