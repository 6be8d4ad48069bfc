"""A feature of the matrix: what is asked, what is answered, and how it is told that it came through."""

import re
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from asgi_gateway.canonical import (
    ChatRequest,
    ChatResponse,
    Choice,
    Sampling,
    Started,
    Stopped,
    StopReason,
    Text,
    Turn,
    Usage,
)
from asgi_gateway.canonical.parts import Part

__all__ = ["Asked", "Feature", "Rule", "Said", "answer", "ask", "parts_of", "plain", "said_parts", "turn_texts"]

Asked = Callable[[ChatRequest], Any]
"""What of a request the feature is about; something empty when it is not there."""

Said = Callable[[ChatResponse], Any]
"""The same of an answer."""


@dataclass(frozen=True)
class Rule:
    """What the reference says of a feature that has no place in a dialect, and that is not noted at each answer."""

    name: str
    value: Said

    def same(self, before: ChatResponse, after: ChatResponse) -> bool:
        """Whether the rule held."""
        return bool(self.value(before) == self.value(after))


@dataclass(frozen=True)
class Feature:
    """One row of the matrix.

    `rule`: what holds instead where a dialect has no place for it. `unasked`: upstreams to which not asking says the
    same. `thinks`: it takes a model that thinks. `newest`: it takes the newest models of a vendor.
    """

    name: str
    title: str
    request: ChatRequest | None = None
    asked: Asked | None = None
    response: ChatResponse | None = None
    said: Said | None = None
    rule: Rule | None = None
    unasked: frozenset[str] = frozenset()
    thinks: bool = False
    newest: bool = False


def ask(*turns: Turn, **more: Any) -> ChatRequest:
    """A small request: a user's "Hi" where no turns are given. A bound of the output is always said."""
    sampling = more.pop("sampling", Sampling())
    if sampling.max_output is None:
        sampling = msgspec.structs.replace(sampling, max_output=4096)
    return ChatRequest(model="m", turns=turns or (Turn("user", (Text("Hi"),)),), sampling=sampling, **more)


def answer(*parts: Part, stop: StopReason = "stop", usage: Usage | None = None, **more: Any) -> ChatResponse:
    """A small answer of one choice."""
    choice = Choice(parts=parts, stopped=Stopped(stop, 0, more.pop("sequence", "")), **more)
    return ChatResponse(
        started=Started("r1", "m", 1_700_000_000), choices=(choice,), usage=usage or Usage(input=10, output=5)
    )


def plain(value: Any) -> Any:
    """Texts without differences of white space: dialects join texts in their own ways."""
    if isinstance(value, str):
        return re.sub(r"\s+", " ", value).strip()
    if isinstance(value, Mapping):
        return {key: plain(member) for key, member in value.items()}
    if isinstance(value, Sequence):
        return [plain(member) for member in value]
    return value


def turn_texts(request: ChatRequest) -> list[tuple[str, str]]:
    """Roles and texts in order, turns of one role joined."""
    joined: list[tuple[str, str]] = []
    for turn in request.turns:
        text = " ".join(part.text for part in turn.parts if isinstance(part, Text))
        if joined and joined[-1][0] == turn.role:
            joined[-1] = (turn.role, f"{joined[-1][1]} {text}")
        elif text:
            joined.append((turn.role, text))
    return joined


def parts_of(request: ChatRequest, kind: type[Any]) -> list[Any]:
    """The parts of a kind in all turns."""
    return [part for turn in request.turns for part in turn.parts if isinstance(part, kind)]


def said_parts(response: ChatResponse, kind: type[Any]) -> list[Any]:
    """The parts of a kind in all choices."""
    return [part for choice in response.choices for part in choice.parts if isinstance(part, kind)]


def distinct(values: Iterable[Hashable]) -> list[Hashable]:
    """Each once, in order."""
    return list(dict.fromkeys(values))
