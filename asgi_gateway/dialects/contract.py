"""What a dialect provides: the same small set of functions for every wire format, none of which does I/O.

A dialect knows its own wire format and nothing of the others, of providers, or of the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Protocol

from msgspec import Struct

from asgi_gateway.errors import GatewayError, UpstreamError
from asgi_gateway.storage.records import Usage

__all__ = ["Dialect", "Head", "Operation", "OwnedRoute", "RequestOutline", "ResponseTap"]


class Operation(StrEnum):
    """What is asked of the gateway."""

    CHAT = "chat"
    COMPLETION = "completion"
    EMBEDDING = "embedding"
    MODERATION = "moderation"
    MODELS = "models"
    REALTIME = "realtime"
    ACCOUNT = "account"
    """A key asks about its own quota."""
    UNKNOWN = "unknown"
    """Nothing that is offered."""

    @property
    def has_output(self) -> bool:
        """Whether an answer has output tokens, so that quota must be set aside for them."""
        return self not in (Operation.EMBEDDING, Operation.MODERATION)


@dataclass(frozen=True, slots=True)
class OwnedRoute:
    """A method and a path, relative to the gateway's root, that belong to a dialect."""

    method: str
    """An HTTP method, or "WEBSOCKET"."""
    path: str
    operation: Operation


class RequestOutline(Struct, frozen=True, kw_only=True):
    """What the layers need to know of a request body without converting it."""

    model: str
    stream: bool = False
    max_output: int | None = None
    """The most tokens the caller lets one choice have; None when it did not say."""
    choices: int = 1
    wants_usage: bool = False
    """The caller asked for the usage inside the stream."""


class Head(Enum):
    """What the first bytes of a good answer say."""

    WAIT = "wait"
    RELEASE = "release"


class ResponseTap(Protocol):
    """Reads one answer on its way through and changes nothing but what it is asked to withhold.

    One per attempt. Chunk boundaries do not matter to what it learns.
    """

    def feed(self, chunk: bytes) -> bytes:
        """Take a chunk from the upstream, give back what the caller shall get of it now (may be empty)."""
        ...

    def finish(self) -> bytes:
        """The upstream ended its body: give back what was held. Raises `MalformedUpstream` if the end is missing."""
        ...

    @property
    def usage(self) -> Usage | None:
        """The usage that the upstream reported so far, or None."""
        ...

    @property
    def output_estimate(self) -> int:
        """Output tokens counted by us from what passed, for answers that carry no usage."""
        ...


class Dialect(Protocol):
    """One wire format."""

    name: str
    routes: Sequence[OwnedRoute]
    stream_usage: bool
    """Whether a request can ask for the usage inside a stream."""

    def outline(self, body: bytes) -> RequestOutline:
        """Read what the layers need. Raises `InvalidRequest` with `param` for what the format does not allow."""
        ...

    def prompt_bytes(self, body: bytes) -> int:
        """How many bytes of the body are prompt (media left out): the base of an estimate by bytes."""
        ...

    def rewrite(
        self,
        body: bytes,
        *,
        model: str | None = None,
        include_usage: bool = False,
        overrides: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Splice in another model, a request for the usage in the stream, or top-level fields; every other byte stays.

        An override of None removes its field.
        """
        ...

    def head(self, data: bytes, *, stream: bool, complete: bool) -> Head:
        """Judge the first bytes of an answer with a good status; `complete` says that no more will come.

        Raises `UpstreamError` (or one of its kinds) for an error event, an empty or a malformed answer.
        """
        ...

    def tap(self, outline: RequestOutline, *, stream: bool, withhold_usage: bool = False) -> ResponseTap:
        """A reader for one answer. `withhold_usage`: we asked for the usage event, the caller did not."""
        ...

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        """The upstream's error body as an error, status and text kept; whose fault it is, is judged by the provider."""
        ...

    def write_error(self, error: GatewayError) -> bytes:
        """An error as a JSON body of this dialect."""
        ...

    def write_error_event(self, error: GatewayError) -> bytes:
        """An error as the last bytes of a stream of this dialect."""
        ...
