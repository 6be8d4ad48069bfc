"""What a dialect provides: the same small set of functions for every wire format, none of which does I/O.

A dialect knows its own wire format and nothing of the others, of providers, or of the network.

`Dialect` is what passing through needs; `ChatDialect` adds what converting needs: read into the neutral model of
`asgi_gateway.canonical`, and write from it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Protocol

from msgspec import Struct

from asgi_gateway.canonical import ChatRequest, ChatResponse, Event, Losses, Reasoning, Usage
from asgi_gateway.errors import GatewayError, UpstreamError

__all__ = [
    "NOWHERE",
    "AnswerContext",
    "ChatDialect",
    "Dialect",
    "Head",
    "Operation",
    "OwnedRoute",
    "RequestOutline",
    "ResponseTap",
    "StreamReader",
    "StreamWriter",
    "Target",
]


class Operation(StrEnum):
    """What is asked of the gateway."""

    CHAT = "chat"
    TOKEN_COUNT = "token_count"
    """How many tokens a chat request has, without answering it."""
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
        return self not in (Operation.EMBEDDING, Operation.MODERATION, Operation.TOKEN_COUNT)


@dataclass(frozen=True, slots=True)
class OwnedRoute:
    """A method and a path, relative to the gateway's root, that belong to a dialect."""

    method: str
    """An HTTP method, or "WEBSOCKET"."""
    path: str
    """May hold one `{model}`: a name that can have slashes of its own, percent-encoded or not."""
    operation: Operation


class Target(Struct, frozen=True):
    """What a request line says beside the method: the path relative to the gateway's root (decoded), and the query."""

    path: str = ""
    query: bytes = b""


NOWHERE = Target()


class RequestOutline(Struct, frozen=True, kw_only=True):
    """What the layers need to know of a request body without converting it."""

    model: str
    stream: bool = False
    max_output: int | None = None
    """The most tokens the caller lets one choice have; None when it did not say."""
    choices: int = 1
    wants_usage: bool = False
    """The caller asked for the usage inside the stream."""
    service_tier: str = ""
    """The class of service that the caller asks for, where it may be a dearer one; see `service_tiers`."""
    framing: str = "sse"
    """How the caller wants a stream: "sse", "json-array" (Google without `alt=sse`), or "eventstream" (Amazon's)."""


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
    forwarded: frozenset[bytes]
    """Names of request headers that belong to the format: an upstream of the same dialect gets the caller's."""

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
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
        reasoning: Reasoning | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Splice in another model, a request for the usage in the stream, reasoning, or top-level fields.

        Every other byte stays. An override of None removes its field. `reasoning` was asked for by the model's name:
        what the body itself says about it wins; sampling that reasoning forbids is taken out.
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


class AnswerContext(Struct, frozen=True, kw_only=True):
    """What a writer of answers needs to know beside the answer."""

    request: ChatRequest
    """As the caller sent it, `model` as asked for: some formats echo it."""
    losses: Losses
    """Of the response's side."""
    framing: str = "sse"
    id: str = ""
    """Unique letters and digits (at most 32): ids that the upstream did not give are made of it."""
    created: int = 0
    """Seconds since the epoch, when the upstream did not say."""


class StreamReader(Protocol):
    """Reads one stream of an upstream into events. Chunk boundaries do not matter.

    What comes out is well formed (`asgi_gateway.canonical.events`), whatever goes in. An error inside the stream
    becomes `Failed`, and ends it: what comes after it is not read.
    """

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are whole with this chunk."""
        ...

    def finish(self) -> list[Event]:
        """The upstream ended its body. `Failed` with a `MalformedUpstream` comes last when the end is missing."""
        ...


class StreamWriter(Protocol):
    """Writes one stream to a caller. Takes any well-formed sequence without `Failed`: that ends as an error."""

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes for these events; may be empty: what a format says at its end waits for `finish`."""
        ...

    def finish(self) -> bytes:
        """The end of a good stream: reasons to stop, usage, closing marks, as far as they were not written."""
        ...


class ChatDialect(Dialect, Protocol):
    """A wire format for chat: what each folder provides so that every other can be reached through it.

    `maker` is whose seals stand in it unwrapped ("anthropic", "google", "openai"; the dialect's name for others);
    `keeps_seals` says whether its usual clients send back every opaque field that an answer held: where they do not,
    seals are also kept in a record under the id of a tool call.
    `stream_type` is the content type of its streams.

    Readers raise `InvalidRequest` or `MalformedUpstream`, and note in `losses` what the neutral model has no place
    for. Writers note what the format has no place for, and raise `InvalidRequest` with `param` (the caller's name of
    the field as far as it can be told) for what must not be left out. No function does I/O, and the same input gives
    the same bytes: key order is fixed, so that prompt caches hit.
    """

    maker: str
    keeps_seals: bool
    stream_type: bytes

    def read_request(self, body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
        """A caller's body. Unknown top-level fields become extras."""
        ...

    def write_request(self, request: ChatRequest, losses: Losses) -> bytes:
        """A body for an upstream; `request.model` is the upstream's name of the model."""
        ...

    def request_headers(self, request: ChatRequest) -> tuple[tuple[bytes, bytes], ...]:
        """Headers that an upstream wants for what a converted request asks, such as a beta's name."""
        ...

    def read_response(self, body: bytes, losses: Losses) -> list[Event]:
        """A plain answer with a good status, whole. Raises `UpstreamError` for an error inside it."""
        ...

    def reader(self, losses: Losses) -> StreamReader:
        """A reader for one stream."""
        ...

    def write_response(self, response: ChatResponse, context: AnswerContext) -> bytes:
        """A plain answer. `response.failed` is None."""
        ...

    def writer(self, context: AnswerContext) -> StreamWriter:
        """A writer for one stream."""
        ...
