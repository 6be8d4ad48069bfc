"""Upstreams that are told by address, paths and the way to send a key: most vendors, and servers of one's own.

A vendor that needs behaviour beyond these fields is a class of its own; see `vertex.py`, `azure.py`, `bedrock.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import NoChannelAvailable, UpstreamError
from asgi_gateway.providers.address import Address, parse_base_url
from asgi_gateway.providers.contract import Endpoint
from asgi_gateway.providers.faults import NO_QUIRKS, Quirks, judge
from asgi_gateway.providers.headers import Authenticate, key_mistake, request_headers
from asgi_gateway.providers.services import SERVICES, Service, fill
from asgi_gateway.storage.records import Channel, Secret

__all__ = ["NO_OVERRIDES", "Vendor", "service"]

NO_OVERRIDES: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vendor:
    """An upstream with the usual paths, JSON bodies, and a key in a header."""

    name: str
    base_url: str = ""
    """Without the version segment; empty when every channel must name its own."""
    dialects: tuple[str, ...] = ("openai_chat",)
    version: str = "/v1"
    """The version segment; one at the end of a channel's base URL takes its place."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """By dialect: a whole path, where the vendor has it without or beside the version.

    It stands after the base URL without the path that is the vendor's own: a channel's base URL may have that or not.
    """
    streams: Mapping[str, str] = field(default_factory=dict)
    """The same, for answers that are streams, where they differ."""
    authenticate: Mapping[str, Authenticate] = field(default_factory=dict)
    """By dialect: how the key is sent, where it is not the dialect's usual way."""
    models: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Patterns of names (lower case) of models that are not served in all dialects, and in which they are."""
    needs_key: bool = True
    quirks: Quirks = NO_QUIRKS

    def endpoint(
        self, channel: Channel, key: Secret, operation: Operation, dialect: str, model: str, *, stream: bool = False
    ) -> Endpoint:
        """Address an operation.

        Raises `NoChannelAvailable` for what the vendor does not offer, and for a channel that `check` would refuse.
        """
        offered = service(self.dialects, operation, dialect)
        try:
            address = parse_base_url(channel.base_url or self.base_url)
            authenticate = self.authenticate.get(dialect, offered.authenticate)
            headers = request_headers(key, channel.header_override, authenticate, offered.headers)
        except ValueError as mistake:
            raise NoChannelAvailable("The channel for the model is misconfigured.") from mistake
        target = fill(self._path(dialect, offered, address, stream), model)
        return Endpoint("POST", address.origin, target.encode("ascii"), headers)

    def dialects_for(self, model: str) -> tuple[str, ...]:
        """All of them, but for the models that are known to be served in some only."""
        lower = model.lower()
        for pattern, dialects in self.models:
            if fnmatchcase(lower, pattern):
                return dialects
        return self.dialects

    def overrides(self, dialect: str, model: str) -> Mapping[str, Any]:
        """None."""
        return NO_OVERRIDES

    def key_mistake(self, key: Secret) -> str | None:
        """A key is one word."""
        return key_mistake(key)

    def read_error(self, dialect: str, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        """An error answer, its fault judged by the table of `faults.py` and this vendor's quirks."""
        return judge(DIALECTS[dialect].read_error(status, headers, body), status, self.quirks)

    def _path(self, dialect: str, offered: Service, address: Address, stream: bool) -> str:
        whole = (stream and self.streams.get(dialect)) or self.paths.get(dialect)
        if whole:
            own = parse_base_url(self.base_url).path if self.base_url else ""
            return address.path.removesuffix(own) + whole
        tail = (stream and offered.stream) or offered.path
        return address.path + (address.version or self.version) + tail


def service(dialects: tuple[str, ...], operation: Operation, dialect: str) -> Service:
    """How the dialect is served. Raises `NoChannelAvailable` when it is none of `dialects`, or for something else."""
    offered = SERVICES.get(dialect)
    if offered is None or offered.operation is not operation or dialect not in dialects:
        raise NoChannelAvailable("No channel offers this operation for the model.")
    return offered
