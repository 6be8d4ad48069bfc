"""What a provider is: how a kind of upstream is addressed, and how its errors read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import UpstreamError
from asgi_gateway.storage.records import Channel, Secret

__all__ = ["Endpoint", "Origin", "Provider"]


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a connection goes: scheme ("http" or "https"), host and port."""

    scheme: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One operation of one upstream, addressed and authenticated: may be kept and used for many requests."""

    method: str
    origin: Origin
    target: bytes = field(repr=False)
    """Path and query."""
    headers: tuple[tuple[bytes, bytes], ...] = field(repr=False)
    """Authentication, content type and the channel's own headers; the transport adds host and length."""


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

    def endpoint(self, channel: Channel, key: Secret, operation: Operation, dialect: str, model: str) -> Endpoint:
        """Address an operation. Raises `NoChannelAvailable` when the provider does not offer it."""
        ...

    def read_error(self, dialect: str, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        """An error answer, with its `fault` judged: status, type and code are what the caller shall see."""
        ...
