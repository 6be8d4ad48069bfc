"""OpenAI, and the shape of upstreams that are addressed as it is (https://platform.openai.com/docs/api-reference).

`OpenAIShaped` is the code; a vendor that is only "the same with another URL" is a row of it in `compatible.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import NoChannelAvailable, UpstreamError
from asgi_gateway.providers.address import parse_base_url
from asgi_gateway.providers.contract import Endpoint
from asgi_gateway.providers.faults import NO_QUIRKS, Quirks, judge
from asgi_gateway.providers.headers import request_headers
from asgi_gateway.storage.records import Channel, Secret

__all__ = ["OPENAI", "OpenAIShaped"]

NO_OVERRIDES: Mapping[str, Any] = MappingProxyType({})

PATHS: Mapping[str, tuple[Operation, str]] = MappingProxyType(
    {
        "openai_chat": (Operation.CHAT, "/chat/completions"),
        "openai_completions": (Operation.COMPLETION, "/completions"),
        "openai_embeddings": (Operation.EMBEDDING, "/embeddings"),
        "openai_moderations": (Operation.MODERATION, "/moderations"),
    }
)
"""By dialect: the operation, and the path after the version segment."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OpenAIShaped:
    """An upstream with OpenAI's paths, bearer authentication and JSON bodies."""

    name: str
    base_url: str = ""
    """Without the version segment; empty when every channel must name its own."""
    dialects: tuple[str, ...] = ("openai_chat",)
    version: str = "/v1"
    """The version segment; one at the end of a channel's base URL takes its place."""
    paths: Mapping[str, str] = field(default_factory=dict)
    """By dialect: a whole path after the base URL, where the vendor has it without or beside the version."""
    needs_key: bool = True
    quirks: Quirks = NO_QUIRKS

    def endpoint(
        self, channel: Channel, key: Secret, operation: Operation, dialect: str, model: str, *, stream: bool = False
    ) -> Endpoint:
        """Address an operation. The model stands in the body, never in the path.

        Raises `NoChannelAvailable` for what the vendor does not offer, and for a channel that `check` would refuse.
        """
        offered, path = PATHS.get(dialect, (None, ""))
        if offered is not operation or dialect not in self.dialects:
            raise NoChannelAvailable("No channel offers this operation for the model.")
        try:
            address = parse_base_url(channel.base_url or self.base_url)
            headers = request_headers(key, channel.header_override)
        except ValueError as mistake:
            raise NoChannelAvailable("The channel for the model is misconfigured.") from mistake
        tail = self.paths.get(dialect) or (address.version or self.version) + path
        return Endpoint("POST", address.origin, (address.path + tail).encode("ascii"), headers)

    def dialects_for(self, model: str) -> tuple[str, ...]:
        """All of them, whatever the model."""
        return self.dialects

    def overrides(self, dialect: str, model: str) -> Mapping[str, Any]:
        """None."""
        return NO_OVERRIDES

    def read_error(self, dialect: str, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        """An error answer, its fault judged by the table of `faults.py` and this vendor's quirks."""
        return judge(DIALECTS[dialect].read_error(status, headers, body), status, self.quirks)


OPENAI = OpenAIShaped(
    name="openai",
    base_url="https://api.openai.com",
    dialects=("openai_chat", "openai_completions", "openai_embeddings", "openai_moderations"),
)
