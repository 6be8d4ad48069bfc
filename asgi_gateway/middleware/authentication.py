"""Finds out who is calling: by a token of ours, or by an identity that the host application names.

Inside errors, outside the body: nobody without a key makes us read one. Needs nothing; writes `caller`.

The key is looked for in `Authorization: Bearer`, `x-api-key`, `x-goog-api-key`, `?key=`, `mj-api-secret` and the
WebSocket subprotocol `openai-insecure-api-key.…`; with or without `sk-`. It is found by its SHA-256 digest.
Unknown, disabled and expired keys run the same statements and get the same bytes.
Failed attempts are limited per address; a key that worked lately goes on working meanwhile.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from inspect import isawaitable
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import ClassVar
from urllib.parse import parse_qs, urlsplit

from asgi_gateway.directory import TokenDirectory
from asgi_gateway.errors import PermissionDenied, RateLimited, Unauthenticated
from asgi_gateway.exchange import SCOPE_KEY, Caller, Exchange, Identity
from asgi_gateway.middleware.entry import enter
from asgi_gateway.policies.windows import parse_rate
from asgi_gateway.storage.keys import digest_of
from asgi_gateway.storage.protocols import Hit, Refusal, Windows
from asgi_gateway.storage.records import Token, User
from asgi_gateway.types import ASGIApp, Receive, Scope, Send

__all__ = ["AuthenticationMiddleware", "Identify", "key_of"]

Identify = Callable[[Scope], Awaitable[Identity | None] | Identity | None]

SOCKET_KEY = "openai-insecure-api-key."
KEY_HEADERS = frozenset({b"x-api-key", b"x-goog-api-key", b"mj-api-secret"})


class AuthenticationMiddleware:
    """Names the caller, or refuses.

    `tokens` finds tokens; without it only `identify` names callers.
    `failures` is how many failed attempts an address has ("60/minute"), counted in `windows`; None: no limit.
    `identity_quota` is granted to a user that `identify` names for the first time, in units.
    `origins` are further origins ("https://app.example") from which an identity by cookie is accepted.
    """

    needs: ClassVar[frozenset[str]] = frozenset()
    uses_after: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset({"caller"})

    def __init__(
        self,
        app: ASGIApp,
        *,
        tokens: TokenDirectory,
        windows: Windows | None = None,
        failures: str = "60/minute",
        identify: Identify | None = None,
        identity_quota: int = 0,
        origins: tuple[str, ...] = (),
    ) -> None:
        self.app = app
        self.tokens = tokens
        self.windows = windows
        self.failures = parse_rate(failures)
        self.identify = identify
        self.identity_quota = identity_quota
        self.origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        if exchange is None:
            await enter(self, self.app, scope, receive, send)
            return
        key = key_of(scope)
        caller = await self._by_token(key, exchange.address) if key else None
        if caller is None and self.identify is not None:
            caller = await self._by_host(scope)
        if caller is None:
            raise await self._refusal(exchange.address, given=bool(key))
        exchange.caller = caller
        await self.app(scope, receive, send)

    async def _by_token(self, key: str, address: str) -> Caller | None:
        found = await self.tokens.token(digest_of(key))
        if found is None or not _is_good(*found):
            return None
        token, user = found
        if token.networks and not _within(address, token.networks):
            raise PermissionDenied("This key may not be used from this network.", code="network_not_allowed")
        return Caller(user=user, token=token, group=token.group or user.group, models=token.models)

    async def _by_host(self, scope: Scope) -> Caller | None:
        assert self.identify is not None
        named = self.identify(scope)
        identity: Identity | None = await named if isawaitable(named) else named
        if identity is None:
            return None
        headers = dict(scope["headers"])
        by_cookie = identity.cookie
        if by_cookie is None:
            by_cookie = b"cookie" in headers and b"authorization" not in headers
        if by_cookie and (scope["type"] == "websocket" or scope["method"] not in ("GET", "HEAD")):
            self._check_origin(scope, headers)
        user = await self.tokens.user(identity.user, identity.group, self.identity_quota)
        if not user.enabled:
            return None
        return Caller(user=user, group=identity.group or user.group, models=identity.models)

    def _check_origin(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """A browser sends cookies for foreign pages too, but it never lies about the page's origin."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        own = headers.get(b"host", b"").decode("latin-1")
        if not origin or (urlsplit(origin).netloc != own and origin not in self.origins):
            raise PermissionDenied("A session needs a same-origin request.", code="origin_not_allowed")
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if scope["type"] == "http" and kind not in (b"application/json", b"multipart/form-data"):
            raise PermissionDenied("A session needs a JSON or multipart body.", code="content_type_not_allowed")

    async def _refusal(self, address: str, *, given: bool) -> Unauthenticated | RateLimited:
        if self.windows is not None and address:
            limit, seconds = self.failures
            verdict = await self.windows.acquire([Hit(f"failures:{address}", limit, seconds)])
            if isinstance(verdict, Refusal):
                return RateLimited("Too many failed attempts from this address.", retry_after=verdict.retry_after)
        if not given:
            return Unauthenticated(
                "You didn't provide an API key. Send it as a header: Authorization: Bearer YOUR_KEY.", code=None
            )
        return Unauthenticated("Incorrect API key provided.")


def key_of(scope: Scope) -> str:
    """The caller's key as it was sent, or an empty text. The first of the known places that holds one wins."""
    other = ""
    for name, value in scope["headers"]:
        if name == b"authorization":
            text = value.decode("latin-1").strip()
            key = text[7:].strip() if text[:7].lower() == "bearer " else "" if " " in text else text
            if key:
                return str(key)
        elif name in KEY_HEADERS and not other:
            other = value.decode("latin-1").strip()
            if other[:7].lower() == "bearer ":
                other = other[7:].strip()
    if other:
        return other
    query: bytes = scope.get("query_string", b"")
    if b"key=" in query and (values := parse_qs(query.decode("latin-1")).get("key")):
        return values[0]
    for protocol in scope.get("subprotocols", ()):
        if protocol.startswith(SOCKET_KEY):
            return str(protocol[len(SOCKET_KEY) :])
    return ""


def _is_good(token: Token, user: User) -> bool:
    expired = token.expires is not None and token.expires <= datetime.now(UTC)
    return token.enabled and user.enabled and not expired


def _within(address: str, networks: tuple[str, ...]) -> bool:
    try:
        ip = ip_address(address)
    except ValueError:  # no address (a Unix socket): a token bound to networks is then of no use
        return False
    allowed: list[IPv4Network | IPv6Network] = [ip_network(network, strict=False) for network in networks]
    mapped = getattr(ip, "ipv4_mapped", None)
    return any(ip in network or (mapped is not None and mapped in network) for network in allowed)
