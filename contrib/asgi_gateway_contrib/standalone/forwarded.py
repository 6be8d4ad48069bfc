"""Finds the caller's address behind proxies that the deployer trusts.

Each proxy appends the address it was called from to `X-Forwarded-For`. So the list is read from its right end,
through trusted addresses only, and the first one that is not trusted is the caller. What stands left of it is
the caller's own writing and proves nothing. Without trusted proxies the header is never looked at.
"""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from asgi_gateway.types import ASGIApp, Receive, Scope, Send

__all__ = ["ForwardedMiddleware"]

KNOWN_ADDRESSES = 4096
"""Addresses whose verdict is remembered."""


class ForwardedMiddleware:
    """Replaces `scope["client"]` where the connection comes from one of `trusted`, networks in CIDR notation."""

    def __init__(self, app: ASGIApp, *, trusted: Sequence[str]) -> None:
        self.app = app
        self.trusted = tuple(ip_network(network) for network in trusted)
        self._is_trusted = lru_cache(KNOWN_ADDRESSES)(self._judge)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket") and scope.get("client"):
            address = self._caller(scope["client"][0], scope["headers"])
            if address is not None:
                scope = {**scope, "client": (address, 0)}
        await self.app(scope, receive, send)

    def _caller(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> str | None:
        """The address that the trusted proxies name, or None when the peer is the caller itself."""
        if not self._is_trusted(peer):
            return None
        caller = None
        chain = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        for part in reversed(chain.decode("latin-1").split(",")):
            address = _address(part.strip())
            if address is None:
                break  # whatever comes before something unreadable cannot be trusted either
            caller = str(address)
            if not self._is_trusted(caller):
                break
        return caller

    def _judge(self, text: str) -> bool:
        address = _address(text)
        return address is not None and any(address in network for network in self.trusted)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """An address as proxies write it: with a port, in brackets, or IPv4 in its IPv6 form."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
