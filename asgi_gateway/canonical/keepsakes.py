"""Seals that a caller's client may not send back: kept under the id of a tool call, which every client does.

An answer whose thinking or calls are sealed, on its way to a dialect whose clients drop opaque fields, gets tool-call
ids of ours. Each names a record: the call's own id and seal, and for the first call also the thinking before it.
When the conversation comes back, the ids are turned back and what is missing is put in its place.

Nothing here does I/O: `Keeper` says what is to be stored, `wanted` which records a request names, `restore` uses them.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
from msgspec import Struct

from asgi_gateway.canonical.events import (
    Event,
    LogprobsGiven,
    PartClosed,
    PartGiven,
    PartOpened,
    SignatureDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from asgi_gateway.canonical.losses import Losses
from asgi_gateway.canonical.parts import Part, Thinking, ToolCall, ToolResult
from asgi_gateway.canonical.request import ChatRequest, Turn
from asgi_gateway.canonical.seals import Seal

__all__ = ["Keeper", "Keepsake", "is_kept_id", "kept_ids", "restore", "wanted"]

PREFIX = "agw_"

RECORD_LIMIT = 1 << 18
"""Bytes of one record. Longer thinking is not kept: it is reported as dropped when its call comes back."""

_ID = re.compile(rb'"(agw_[A-Za-z0-9]{16,60})"')


class Keepsake(Struct, frozen=True, array_like=True):
    """What one id of ours stands for."""

    id: str
    """The call's own id, as its upstream gave it."""
    seal: Seal | None = None
    thinking: tuple[Thinking, ...] = ()
    """What stood before the call, back to the call before."""

    def pack(self) -> bytes:
        """The record's bytes; without the thinking where that is too long."""
        data = msgspec.msgpack.encode(self)
        return data if len(data) <= RECORD_LIMIT else msgspec.msgpack.encode(Keepsake(self.id, self.seal))

    @classmethod
    def unpack(cls, data: bytes) -> "Keepsake":
        """A record from its bytes. Raises `ValueError` for what is none."""
        return _record.decode(data)


_record = msgspec.msgpack.Decoder(Keepsake)


def is_kept_id(id: str) -> bool:
    """Whether a tool-call id is one of ours."""
    return id.startswith(PREFIX)


def kept_ids(body: bytes) -> list[str]:
    """The ids of ours that stand in a JSON body, each once: for bodies that are passed on unread."""
    return list(dict.fromkeys(found.decode() for found in _ID.findall(body)))


class Keeper:
    """Watches one answer's events, renames its sealed calls, and collects what must be stored.

    `new_id` gives unique letters and digits, at least 16 of them and at most 60.
    Calls that nothing sealed precedes keep their ids.
    """

    __slots__ = ("_calls", "_new_id", "_sealed", "_texts", "_thinking", "records")

    def __init__(self, new_id: Callable[[], str]) -> None:
        self.records: dict[str, Keepsake] = {}
        """By id of ours: what to store before the answer's end is sent."""
        self._new_id = new_id
        self._calls: dict[int, _Call] = {}
        self._texts: dict[int, list[str]] = {}
        self._sealed: dict[int, Thinking] = {}
        self._thinking: list[int] = []

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The events, calls renamed. A call is held until its first argument or its end: its seal may come first."""
        given: list[Event] = []
        for event in events:
            match event:
                case PartOpened(kind="tool_call"):
                    self._calls[event.index] = _Call(event)
                    continue
                case ToolCallDelta() | PartClosed() if event.index in self._calls:
                    self._release(event.index, given)
                case SignatureDelta() if event.index in self._calls:
                    self._calls[event.index].seal = event.seal
                    if self._calls[event.index].released:
                        self._keep(self._calls[event.index])
                    else:
                        self._calls[event.index].late.append(event)
                        continue
                case LogprobsGiven() if event.index in self._calls and not self._calls[event.index].released:
                    self._calls[event.index].late.append(event)
                    continue
                case PartOpened(kind="thinking"):
                    self._texts[event.index] = []
                    self._sealed[event.index] = Thinking("", None, event.id)
                    self._thinking.append(event.index)
                case ThinkingDelta() if event.index in self._texts:
                    self._texts[event.index].append(event.text)
                case SignatureDelta() if event.index in self._sealed:
                    before = self._sealed[event.index]
                    self._sealed[event.index] = Thinking("", event.seal, before.id)
                case PartGiven(part=Thinking() as part):
                    self._sealed[event.index] = part
                    self._thinking.append(event.index)
            given.append(event)
        return given

    def _release(self, index: int, given: list[Event]) -> None:
        call = self._calls[index]
        if call.released:
            return
        call.released = True
        call.thinking = tuple(self._take_thinking())
        opened = call.opened
        if call.seal is not None or any(part.seal is not None for part in call.thinking):
            call.id = PREFIX + self._new_id()
            self._keep(call)
            opened = PartOpened(opened.index, opened.kind, opened.choice, call.id, opened.name, opened.custom)
        given.append(opened)
        given.extend(call.late)

    def _keep(self, call: "_Call") -> None:
        if call.id:
            self.records[call.id] = Keepsake(call.opened.id, call.seal, call.thinking)

    def _take_thinking(self) -> Iterable[Thinking]:
        for index in self._thinking:
            part = self._sealed[index]
            text = "".join(self._texts.get(index, ())) or part.text
            yield Thinking(text, part.seal, part.id)
        self._thinking.clear()


class _Call:
    """A tool call on its way."""

    __slots__ = ("id", "late", "opened", "released", "seal", "thinking")

    def __init__(self, opened: PartOpened) -> None:
        self.opened = opened
        self.id = ""
        self.seal: Seal | None = None
        self.thinking: tuple[Thinking, ...] = ()
        self.late: list[Event] = []
        self.released = False


def wanted(request: ChatRequest) -> list[str]:
    """The ids of ours that a request names, each once."""
    ids: dict[str, None] = {}
    for turn in request.turns:
        for part in turn.parts:
            if isinstance(part, ToolCall) and is_kept_id(part.id):
                ids[part.id] = None
            elif isinstance(part, ToolResult) and is_kept_id(part.call_id):
                ids[part.call_id] = None
    return list(ids)


def restore(request: ChatRequest, records: Mapping[str, Keepsake], losses: Losses) -> ChatRequest:
    """The request with the calls' own ids, their seals, and the thinking before them.

    Thinking that the client sent back itself, sealed, is left as it is. A record that is gone is noted: the call keeps
    the id that it came with, and its thinking is missing.
    """
    turns = tuple(_restored(turn, records, losses) for turn in request.turns)
    return msgspec.structs.replace(request, turns=turns)


def _restored(turn: Turn, records: Mapping[str, Keepsake], losses: Losses) -> Turn:
    sealed = any(isinstance(part, Thinking) and part.seal is not None for part in turn.parts)
    parts: list[Part] = []
    for part in turn.parts:
        if isinstance(part, ToolResult) and part.call_id in records:
            parts.append(msgspec.structs.replace(part, call_id=records[part.call_id].id))
        elif isinstance(part, ToolCall) and is_kept_id(part.id):
            record = records.get(part.id)
            if record is None:
                losses.dropped("thinking")
                parts.append(part)
                continue
            if record.thinking and not sealed:
                place = _place(parts)
                said = [known for known in parts[place:] if not isinstance(known, Thinking)]
                parts = [*parts[:place], *record.thinking, *said]
            seal = part.seal if part.seal is not None else record.seal
            parts.append(msgspec.structs.replace(part, id=record.id, seal=seal))
        else:
            parts.append(part)
    return Turn(turn.role, tuple(parts), turn.name)


def _place(parts: Sequence[Part]) -> int:
    """Where thinking belongs: behind the last call, in front of the text that follows it."""
    for number in range(len(parts), 0, -1):
        if isinstance(parts[number - 1], ToolCall):
            return number
    return 0
