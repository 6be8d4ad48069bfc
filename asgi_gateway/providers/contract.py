"""What a provider is: how a kind of upstream is addressed, and how its errors read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import UpstreamError
from asgi_gateway.storage.records import Channel, Secret

__all__ = ["Endpoint", "Grant", "Origin", "Pairs", "Provider", "Sign"]

Pairs = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection goes: scheme ("http" or "https"), host and port."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Grant:
    """A token that must be fetched before the upstream takes a request (RFC 6749, section 4.4; RFC 7523).

    The relay posts `form(now)` (seconds since the epoch) to `url`, keeps the `access_token` of the JSON answer until
    shortly before it expires (`expires_in` seconds), and sends it as a bearer token. Providers do no I/O.
    """

    name: str
    """Tells grants apart, and shows nothing of a secret (a digest of what it is made of): tokens are kept under it."""
    url: str
    form: Callable[[float], Mapping[str, str]] = field(repr=False)


Sign = Callable[["Endpoint", bytes, datetime], Pairs]
"""From an endpoint, the body and the time (aware, UTC): the headers that sign this very request."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of one upstream, addressed and authenticated: may be kept and used for many requests."""

    method: str
    origin: Origin
    target: bytes = field(repr=False)
    """Path and query."""
    headers: Pairs = field(repr=False)
    """Authentication, content type and the channel's own headers; the transport adds host and length."""
    grant: Grant | None = None
    sign: Sign | None = field(default=None, repr=False)


class Provider(Protocol):
    """A kind of upstream."""

    @property
    def name(self) -> str: ...

    @property
    def base_url(self) -> str:
        """The vendor's address without the version segment; empty when every channel must name its own."""
        ...

    @property
    def dialects(self) -> tuple[str, ...]:
        """Spoken natively, in order of preference."""
        ...

    @property
    def needs_key(self) -> bool:
        """Whether a channel without a key is a mistake."""
        ...

    def endpoint(
        self, channel: Channel, key: Secret, operation: Operation, dialect: str, model: str, *, stream: bool = False
    ) -> Endpoint:
        """Address an operation. Raises `NoChannelAvailable` when the provider does not offer it.

        `stream`: the answer is wanted as a stream, which some formats say in the path.
        """
        ...

    def dialects_for(self, model: str) -> tuple[str, ...]:
        """Those of `dialects` in which this model (by its upstream name) is served, in order of preference."""
        ...

    def overrides(self, dialect: str, model: str) -> Mapping[str, Any]:
        """Top-level fields that this upstream wants otherwise in every body of the dialect; None removes one."""
        ...

    def key_mistake(self, key: Secret) -> str | None:
        """Why a key cannot be used, without showing it; None when it can, as far as its form tells."""
        ...

    def read_error(self, dialect: str, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        """An error answer, with its `fault` judged: status, type and code are what the caller shall see."""
        ...
