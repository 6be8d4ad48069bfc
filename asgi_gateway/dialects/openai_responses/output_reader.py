"""Reads whole output items as events: a plain answer, and what a stream did not say bit by bit.

A text or a call is closed when the next part begins: the seal of another maker comes in a reasoning item behind a text
(`BEFORE` for its call), or on either side of a call.
"""

from collections.abc import Mapping
from typing import Any

from asgi_gateway.canonical import (
    CitationGiven,
    Event,
    Inline,
    LogprobsGiven,
    Losses,
    Media,
    Native,
    Part,
    PartClosed,
    PartGiven,
    PartOpened,
    Seal,
    SignatureDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    UsageReported,
)
from asgi_gateway.canonical.events import OpenKind
from asgi_gateway.dialects.openai_responses.annotations import read_annotation
from asgi_gateway.dialects.openai_responses.billed_calls import BilledCalls
from asgi_gateway.dialects.openai_responses.hosted import CALLS, OUTPUTS, read_hosted
from asgi_gateway.dialects.openai_responses.logprobs import read_logprobs
from asgi_gateway.dialects.openai_responses.names import BREAK, NAME
from asgi_gateway.dialects.openai_responses.reasons import read_stop
from asgi_gateway.dialects.openai_responses.seals import read_seal
from asgi_gateway.dialects.openai_responses.usage import usage_of

__all__ = ["BEFORE", "Item", "OutputReader", "read_image", "thought_of"]

LATEST = 1 << 40
"""Seconds since the epoch that are no moment any more."""

BEFORE = "^"
"""Stands for a call's id in a wrapped seal: it belongs to the part in front of its item."""

Item = Mapping[str, Any]

_UNNOTED = ("phase", "namespace", "caller")
"""Members of items that the neutral model has no place for."""


def read_image(item: Item) -> Media:
    """An image that was made."""
    format = item.get("output_format")
    media_type = f"image/{format}" if isinstance(format, str) and format else "image/png"
    return Media(kind="image", source=Inline(media_type, str(item.get("result"))), id=_text(item.get("id")))


def thought_of(item: Item) -> str:
    """The text of a reasoning item: its summary, or else its content."""
    return BREAK.join(_pieces(item.get("summary")) or _pieces(item.get("content")))


class OutputReader:
    """One response's output. `given` collects the events."""

    __slots__ = ("_calls", "_losses", "_next", "_seals", "_started", "_trailing", "called", "given", "refused")

    def __init__(self, losses: Losses) -> None:
        self.given: list[Event] = []
        self.called = False
        self.refused = False
        self._calls = BilledCalls()
        self._losses = losses
        self._next = 0
        self._started = False
        self._seals: dict[str, Seal] = {}
        self._trailing: tuple[int, str] | None = None
        """The part that waits to be closed, and its call's id or `BEFORE`."""

    def start(self, response: Mapping[str, Any]) -> None:
        """The response begins."""
        if not self._started:
            self._started = True
            created = response.get("created_at")
            self.given.append(
                Started(
                    id=_text(response.get("id")),
                    model=_text(response.get("model")),
                    created=int(created) if isinstance(created, int | float) and 0 <= created < LATEST else 0,
                    service_tier=_text(response.get("service_tier")),
                )
            )

    def end(self, response: Mapping[str, Any]) -> None:
        """The response is over: usage, and why."""
        self.let_go()
        usage = usage_of(response.get("usage"), self._calls, response.get("tool_usage"), response.get("service_tier"))
        if usage is not None:
            self.given.append(UsageReported(usage))
        self.given.append(read_stop(response, called=self.called, refused=self.refused))

    def open(self, kind: OpenKind, id: str = "", name: str = "", *, custom: bool = False) -> int:
        """Begin a part."""
        self.let_go()
        index = self._next
        self._next += 1
        self.given.append(PartOpened(index, kind, 0, id, name, custom))
        if kind == "tool_call":
            self.called = True
            if id in self._seals:
                self.given.append(SignatureDelta(index, self._seals.pop(id)))
        elif kind == "refusal":
            self.refused = True
        return index

    def close(self, index: int, waits: str = "") -> None:
        """End a part, now or with the next one. `waits`: a call's id, or `BEFORE`."""
        if waits:
            self.let_go()
            self._trailing = (index, waits)
        else:
            self.given.append(PartClosed(index))

    def let_go(self) -> None:
        """Close the part that only waited for a seal."""
        if self._trailing is not None:
            self.given.append(PartClosed(self._trailing[0]))
            self._trailing = None

    def give(self, part: Part) -> None:
        """A part that is whole."""
        self.let_go()
        self.given.append(PartGiven(self._next, part))
        self._next += 1

    def whole(self, item: Item) -> None:
        """A whole item of which nothing was said before."""
        kind = item.get("type")
        match kind:
            case "message":
                self.note(item)
                for part in _objects(item.get("content")):
                    self.content(part)
            case "reasoning":
                self.thought(item, -1)
            case "function_call" | "custom_tool_call":
                custom = kind == "custom_tool_call"
                id = _text(item.get("call_id"))
                index = self.open("tool_call", id, _text(item.get("name")), custom=custom)
                arguments = _text(item.get("input" if custom else "arguments"))
                if arguments:
                    self.given.append(ToolCallDelta(index, arguments))
                self.note(item)
                self.close(index, id)
            case _:
                self.other(item)

    def content(self, part: Item) -> None:
        """A whole part of a message."""
        kind = part.get("type")
        if kind == "refusal":
            index = self.open("refusal")
            self.given.append(TextDelta(index, _text(part.get("refusal"))))
            self.close(index)
        elif kind == "output_text":
            index = self.open("text")
            if text := _text(part.get("text")):
                self.given.append(TextDelta(index, text))
            if tokens := read_logprobs(part.get("logprobs")):
                self.given.append(LogprobsGiven(index, tokens))
            self.cite(index, part, 0)
            self.close(index, BEFORE)
        else:
            self.give(Native(NAME, f"output[].content[].{kind}", part))

    def cite(self, index: int, part: Item, known: int) -> None:
        """The annotations of a text behind the first `known` ones."""
        for annotation in _objects(part.get("annotations"))[known:]:
            self.given.append(CitationGiven(index, read_annotation(annotation)))

    def thought(self, item: Item, index: int) -> None:
        """A reasoning item at its end. `index` is of the part that is open for it, or -1."""
        text = thought_of(item)
        if text and _pieces(item.get("summary")) and _pieces(item.get("content")):
            self._losses.dropped("output[].content")
        seal, call = read_seal(_text(item.get("encrypted_content")))
        if seal is not None and call:
            self._attach(seal, call)
            if index < 0:
                return
            seal = None
        if index < 0:
            index = self.open("thinking", _text(item.get("id")))
            if text:
                self.given.append(ThinkingDelta(index, text))
        if seal is not None:
            self.given.append(SignatureDelta(index, seal))
        self.close(index)

    def _attach(self, seal: Seal, call: str) -> None:
        """Give a seal to the part in front, or to a call that is still to come."""
        if self._trailing is not None and self._trailing[1] == call:
            self.given.append(SignatureDelta(self._trailing[0], seal))
        elif call != BEFORE:
            self._seals[call] = seal
        else:
            self._losses.dropped("output[].encrypted_content")

    def other(self, item: Item) -> None:
        """An item that comes whole."""
        self._calls.add(item)
        kind = _text(item.get("type"))
        if kind == "image_generation_call" and isinstance(item.get("result"), str):
            for name in ("revised_prompt", "background", "quality", "size", "action"):
                if item.get(name):
                    self._losses.dropped(f"output[].{name}")
            self.give(read_image(item))
        elif kind in CALLS or kind in OUTPUTS:
            for part in read_hosted(item):
                self.give(part)
        else:
            self.give(Native(NAME, f"output[].{kind}", item))

    def note(self, item: Item) -> None:
        """Note members that the neutral model has no place for."""
        for name in _UNNOTED:
            if item.get(name):
                self._losses.dropped(f"output[].{name}")


def _pieces(value: Any) -> list[str]:
    return [_text(part.get("text")) for part in _objects(value)]


def _objects(value: Any) -> list[Item]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
