"""Finds out who is calling: by a token of ours, or by an identity that the host application names.

Inside errors, outside the body: nobody without a key makes us read one. Needs nothing; writes `caller`.

The key is looked for in `Authorization: Bearer`, `x-api-key`, `x-goog-api-key`, `?key=`, `mj-api-secret` and the
WebSocket subprotocol `openai-insecure-api-key.…`; with or without `sk-`. It is found by its SHA-256 digest.
Unknown, disabled and expired keys run the same statements and get the same bytes.

Keys that fail are counted per address (an IPv6 address by its /64). Once an address has used its attempts up, keys
from there are refused with 429 and not looked up any more, except those that worked before; identities go on working.
A request without any key is refused, and counts for nothing: it guesses nothing and costs no look-up.
"""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from inspect import isawaitable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from time import monotonic
from typing import ClassVar, TypeVar
from urllib.parse import parse_qs, urlsplit

from asgi_gateway.directory import CatalogueHolder, TokenDirectory
from asgi_gateway.errors import PermissionDenied, RateLimited, Unauthenticated
from asgi_gateway.exchange import SCOPE_KEY, Caller, Exchange, Identity
from asgi_gateway.middleware.entry import enter
from asgi_gateway.policies.groups import AUTO, usable_groups
from asgi_gateway.policies.windows import parse_rate
from asgi_gateway.storage.keys import digest_of
from asgi_gateway.storage.protocols import Hit, Refusal, Windows
from asgi_gateway.storage.records import Token, User
from asgi_gateway.types import ASGIApp, Receive, Scope, Send

__all__ = ["AuthenticationMiddleware", "Identify", "key_of"]

Identify = Callable[[Scope], Awaitable[Identity | None] | Identity | None]

SOCKET_KEY = "openai-insecure-api-key."
KEY_HEADERS = frozenset({b"x-api-key", b"x-goog-api-key", b"mj-api-secret"})

REMEMBERED = 10_000
"""How many keys that worked, and how many addresses that used their attempts up, are remembered at most."""

Network = IPv4Network | IPv6Network
K = TypeVar("K")
V = TypeVar("V")


class AuthenticationMiddleware:
    """Names the caller, or refuses.

    `tokens` finds tokens; without it only `identify` names callers.
    `failures` is how many failed attempts an address has ("60/minute"), counted in `windows`; None: no limit.
    `identity_quota` is granted to a user that `identify` names for the first time, in units.
    `origins` are further origins ("https://app.example") from which an identity by cookie is accepted.
    `directory` knows which groups a user's group may use; without it a token's group is not checked.
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
        directory: CatalogueHolder | None = None,
    ) -> None:
        self.app = app
        self.tokens = tokens
        self.windows = windows
        self.failures = parse_rate(failures)
        self.identify = identify
        self.identity_quota = identity_quota
        self.origins = frozenset(origins)
        self.directory = directory
        self._worked: dict[bytes, None] = {}  # digests of keys, the oldest first
        self._blocked: dict[str, float] = {}  # addresses, and until when
        self._networks: dict[tuple[str, ...], tuple[Network, ...]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        if exchange is None:
            await enter(self, self.app, scope, receive, send)
            return
        key = key_of(scope)
        refusal: Unauthenticated | RateLimited | None = None
        caller = None
        if key:
            digest = digest_of(key)
            refusal = self._blockade(exchange.address, digest) if self._blocked else None
            if refusal is None:
                caller = await self._by_token(digest, exchange.address)
        if caller is None and self.identify is not None:
            caller = await self._by_host(scope)
        if caller is None:
            if refusal is None:
                refusal = await self._failed(exchange.address) if key else _no_key()
            raise refusal
        exchange.caller = caller
        await self.app(scope, receive, send)

    async def _by_token(self, digest: bytes, address: str) -> Caller | None:
        found = await self.tokens.token(digest)
        if found is None or not _is_good(*found):
            self._worked.pop(digest, None)
            return None
        token, user = found
        if token.networks and not self._within(address, token.networks):
            raise PermissionDenied("This key may not be used from this network.", code="network_not_allowed")
        if digest not in self._worked:
            _remember(self._worked, digest, None)
        if token.group is None or token.group == user.group:
            return Caller(user=user, token=token, group=user.group, models=token.models)
        own = user.group
        groups = self._walked(token.group, own)
        return Caller(user=user, token=token, group=token.group, models=token.models, own_group=own, groups=groups)

    def _walked(self, group: str, own: str) -> tuple[str, ...]:
        """The groups walked for "auto", none for another one. Raises `PermissionDenied` for what is not usable."""
        if self.directory is None:
            return (own,) if group == AUTO else ()
        usable = usable_groups(self.directory.catalogue.groups, own)
        if group == AUTO:
            return usable
        if group not in usable:
            raise PermissionDenied(
                f"This key's group `{group}` may not be used by users of the group `{own}`.", code="group_not_allowed"
            )
        return ()

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
        own = None if identity.group == AUTO else identity.group
        user = await self.tokens.user(identity.user, own, self.identity_quota)
        if user.role == "root":  # a host's user of that name is not the deployer, whose quota has no end
            raise PermissionDenied("The deployer's own user cannot be named by the host.", code="user_not_allowed")
        if not user.enabled:
            return None
        if identity.group != AUTO:  # the host says which group its user belongs to
            return Caller(user=user, group=identity.group or user.group, models=identity.models)
        groups = self._walked(AUTO, user.group)
        return Caller(user=user, group=AUTO, models=identity.models, own_group=user.group, groups=groups)

    def _check_origin(self, scope: Scope, headers: dict[bytes, bytes]) -> None:
        """A browser sends cookies for foreign pages too, but it never lies about the page's origin."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        own = headers.get(b"host", b"").decode("latin-1")
        if not origin or (_host_of(origin) != own.lower() and origin not in self.origins):
            raise PermissionDenied("A session needs a same-origin request.", code="origin_not_allowed")
        kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
        if scope["type"] == "http" and kind not in (b"application/json", b"multipart/form-data"):
            raise PermissionDenied("A session needs a JSON or multipart body.", code="content_type_not_allowed")

    def _blockade(self, address: str, digest: bytes) -> RateLimited | None:
        """The refusal of a key that is not looked up: its address used its attempts up, and it never worked."""
        if digest in self._worked:
            return None
        source = _source(address)
        left = self._blocked.get(source, 0.0) - monotonic()
        if left > 0:
            return _too_many(left)
        self._blocked.pop(source, None)
        return None

    async def _failed(self, address: str) -> Unauthenticated | RateLimited:
        """Count a key that failed, and say so."""
        if self.windows is not None and address:
            limit, seconds = self.failures
            source = _source(address)
            verdict = await self.windows.acquire([Hit(f"failures:{source}", limit, seconds)])
            if isinstance(verdict, Refusal):
                _remember(self._blocked, source, monotonic() + verdict.retry_after)
                return _too_many(verdict.retry_after)
        return Unauthenticated("Incorrect API key provided.")

    def _within(self, address: str, networks: tuple[str, ...]) -> bool:
        try:
            ip = ip_address(address)
        except ValueError:  # no address (a Unix socket): a token bound to networks is then of no use
            return False
        allowed = self._networks.get(networks)
        if allowed is None:
            allowed = tuple(ip_network(network, strict=False) for network in networks)
            _remember(self._networks, networks, allowed)
        mapped = getattr(ip, "ipv4_mapped", None)
        return any(ip in network or (mapped is not None and mapped in network) for network in allowed)


def key_of(scope: Scope) -> str:
    """The caller's key as it was sent, or an empty text. The first of the known places that holds one wins."""
    other = ""
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").strip().partition(" ")
            if scheme.lower() != "bearer":
                key = "" if key else scheme  # a key alone is one; what another scheme carries is none
            if key := key.strip():
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


def _no_key() -> Unauthenticated:
    return Unauthenticated("You didn't provide an API key. Send it as a header: Authorization: Bearer YOUR_KEY.")


def _too_many(seconds: float) -> RateLimited:
    return RateLimited("Too many failed attempts from this address.", retry_after=seconds)


def _source(address: str) -> str:
    """Under what an address is counted: a /64 is usually one subscriber, who has all of it to try keys from."""
    if ":" not in address:
        return address
    try:
        ip = IPv6Address(address)
    except ValueError:  # no IP address
        return address
    mapped = ip.ipv4_mapped
    return str(mapped) if mapped is not None else str(ip_network((int(ip) >> 64 << 64, 64)))


def _host_of(origin: str) -> str | None:
    """Host and port of an origin, None of one that has none ("null") or is malformed."""
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None


def _remember(kept: dict[K, V], key: K, value: V) -> None:
    """Add to what is remembered, in place of the oldest where there is no room."""
    kept.pop(key, None)
    if len(kept) >= REMEMBERED:
        del kept[next(iter(kept))]
    kept[key] = value
