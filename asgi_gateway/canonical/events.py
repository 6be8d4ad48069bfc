"""A response as events: what every reader gives and every writer takes.

A well-formed sequence, which readers owe and writers may rely on:

- `Started` comes first and once.
- A part is opened, gets deltas, and is closed; its `index` is its own in the whole response, counted from 0 in the
  order of opening. Parts of one choice may overlap (parallel tool calls do in some dialects); a writer whose dialect
  cannot say that puts an `InOrder` in front.
- What comes whole (`PartGiven`) is neither opened nor closed, and has an index of the same count.
- `UsageReported` is cumulative: the last one counts. It may come at any time, also after `Stopped`.
- `Stopped` comes once for each choice; nothing of that choice follows but usage.
- `Failed` ends everything: the upstream broke in the middle. Without it a response that ends has stopped.
"""

from typing import Any, Literal

from msgspec import Struct

from asgi_gateway.canonical.parts import Citation, Part
from asgi_gateway.canonical.seals import Seal
from asgi_gateway.canonical.usage import Usage
from asgi_gateway.errors import UpstreamError

__all__ = [
    "CitationGiven",
    "Event",
    "Failed",
    "LogprobsGiven",
    "OpenKind",
    "PartClosed",
    "PartGiven",
    "PartOpened",
    "SignatureDelta",
    "Started",
    "StopReason",
    "Stopped",
    "TextDelta",
    "ThinkingDelta",
    "TokenLogprob",
    "ToolCallDelta",
    "UsageReported",
]

OpenKind = Literal["text", "refusal", "thinking", "tool_call"]

StopReason = Literal[
    "stop",  # the model ended its turn
    "stop_sequence",
    "length",
    "tool_calls",
    "content_filter",  # the provider's filter
    "refusal",  # the model itself
    "pause",  # a long turn of hosted tools, to be continued by sending it back
    "context_length",
    "malformed_tool_call",
    "other",
]


class Started(Struct, frozen=True):
    """The response begins. `id` and `model` as the upstream names them; `created` in seconds since the epoch, or 0."""

    id: str = ""
    model: str = ""
    created: int = 0
    service_tier: str = ""


class PartOpened(Struct, frozen=True):
    """A part begins. `id`, `name` and `custom` belong to tool calls; `id` also to thinking (Responses' item)."""

    index: int
    kind: OpenKind
    choice: int = 0
    id: str = ""
    name: str = ""
    custom: bool = False


class TextDelta(Struct, frozen=True):
    """More of a text or of a refusal."""

    index: int
    text: str


class ThinkingDelta(Struct, frozen=True):
    """More of a thinking text."""

    index: int
    text: str


class SignatureDelta(Struct, frozen=True):
    """The whole seal of an open part (thinking, a tool call, or a text). A later one replaces it."""

    index: int
    seal: Seal


class ToolCallDelta(Struct, frozen=True):
    """More of a call's arguments, as JSON text."""

    index: int
    arguments: str


class CitationGiven(Struct, frozen=True):
    """A source of the open text part."""

    index: int
    citation: Citation


class TokenLogprob(Struct, frozen=True):
    """One token and its natural logarithm of probability; `top` are alternatives without alternatives of their own."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: "tuple[TokenLogprob, ...]" = ()


class LogprobsGiven(Struct, frozen=True):
    """Probabilities of the tokens of a part since the last such event."""

    index: int
    tokens: tuple[TokenLogprob, ...]


class PartClosed(Struct, frozen=True):
    """A part is whole."""

    index: int


class PartGiven(Struct, frozen=True):
    """A part that comes whole: media, hosted calls and their results, what only one dialect knows."""

    index: int
    part: Part
    choice: int = 0


class UsageReported(Struct, frozen=True):
    """What was used so far."""

    usage: Usage


class Stopped(Struct, frozen=True):
    """A choice is over. `sequence` is the stop sequence met, "" when unknown; `native` the dialect's own reason.

    `details` are explanations of the provider's (decoded JSON), such as safety ratings.
    """

    reason: StopReason
    choice: int = 0
    sequence: str = ""
    native: str = ""
    details: Any = None


class Failed(Struct, frozen=True):
    """The upstream told of an error inside its stream, or broke it off."""

    error: UpstreamError


Event = (
    Started
    | PartOpened
    | TextDelta
    | ThinkingDelta
    | SignatureDelta
    | ToolCallDelta
    | CitationGiven
    | LogprobsGiven
    | PartClosed
    | PartGiven
    | UsageReported
    | Stopped
    | Failed
)
