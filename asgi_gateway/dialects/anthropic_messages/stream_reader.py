"""Reads streams into events.

https://docs.anthropic.com/en/docs/build-with-claude/streaming: `message_start`, blocks one after the other, each with
`content_block_start`, deltas and `content_block_stop`; `message_delta`; `message_stop`; `ping` and `error` anywhere.
"""

from typing import Any

import msgspec

from asgi_gateway.canonical import (
    CitationGiven,
    Event,
    Failed,
    Losses,
    PartClosed,
    PartGiven,
    PartOpened,
    Seal,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    UsageReported,
)
from asgi_gateway.dialects import sse
from asgi_gateway.dialects.anthropic_messages.answer_reader import details_of, given_part, note_caller, started
from asgi_gateway.dialects.anthropic_messages.block_reader import read_seal
from asgi_gateway.dialects.anthropic_messages.citations import read_citation
from asgi_gateway.dialects.anthropic_messages.errors import error_inside
from asgi_gateway.dialects.anthropic_messages.names import Json
from asgi_gateway.dialects.anthropic_messages.reasons import read_reason
from asgi_gateway.dialects.anthropic_messages.usage import merged, usage_of
from asgi_gateway.errors import MalformedUpstream, UpstreamError

__all__ = ["StreamReader"]

EVENT_LIMIT = 32 << 20
"""Bytes of one event."""


class _Delta(msgspec.Struct):
    type: str
    text: str = ""
    thinking: str = ""
    partial_json: str = ""
    signature: str = ""
    citation: Any = None


class _BlockDelta(msgspec.Struct, tag_field="type", tag="content_block_delta"):
    """The usual event."""

    index: int
    delta: _Delta


_usual = msgspec.json.Decoder(_BlockDelta)


PARTS = frozenset({"text", "thinking", "redacted_thinking", "tool_use"})
"""Kinds of blocks that become open parts; others are given whole."""


class _Block:
    """A block that is open. `opened`: its part is; thinking waits for something that is its own."""

    __slots__ = ("arguments", "index", "kind", "opened", "sealed", "start", "told")

    def __init__(self, kind: str, start: Json) -> None:
        self.index = -1
        self.kind = kind
        self.start = start
        self.opened = False
        self.sealed = False
        """It held a call's seal."""
        self.told = False
        """Some of a call's arguments came."""
        self.arguments: list[str] = []


class StreamReader:
    """One stream. Blocks are counted anew, and closed in their order."""

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._held = bytearray()
        self._blocks: dict[int, _Block] = {}
        self._next = 0
        self._usage: Any = {}
        self._begun = False
        self._message: Json = {}
        self._stopped = False
        self._over = False
        self._seals: dict[str, Seal] = {}

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are whole with this chunk."""
        if self._over:
            return []
        held = self._held
        start = max(0, len(held) - 3)
        held += chunk
        end = sse.boundary(held, start)
        if not end:
            if len(held) > EVENT_LIMIT:
                return self._fail(MalformedUpstream("an event of the upstream's stream is too long"))
            return []
        block = bytes(held[:end])
        del held[:end]
        events: list[Event] = []
        for event in sse.events(block):
            if self._read(event, events):
                break
        return events

    def finish(self) -> list[Event]:
        """The upstream ended its body."""
        if self._over:
            return []
        events: list[Event] = []
        over = bool(self._held) and self._read(bytes(self._held), events)
        self._held.clear()
        if not over and not self._stopped:
            events += self._fail(MalformedUpstream("the upstream's stream ended too soon"))
        self._over = True
        return events

    def _fail(self, error: UpstreamError) -> list[Event]:
        self._over = True
        events: list[Event] = []
        self._start({}, events)
        return [*events, Failed(error)]

    def _read(self, event: bytes, events: list[Event]) -> bool:
        """Read one event; True when it ends the stream."""
        data = sse.data_of(event)
        if not data:
            return False
        try:
            usual = _usual.decode(data)
        except (ValueError, RecursionError):
            self._read_other(data, events)
            return self._over
        block = self._blocks.get(usual.index)
        if block is None:  # of no block, or of one that is over
            self._losses.dropped(f"content[].{usual.delta.type[:64]}")
            return False
        if block.kind in PARTS or usual.delta.type == "input_json_delta":
            self._delta(block, usual.delta, events)
        else:
            self._complete(block, data)
        return False

    def _read_other(self, data: bytes, events: list[Event]) -> None:
        try:
            payload = msgspec.json.decode(data)
        except (ValueError, RecursionError):
            payload = None
        if not isinstance(payload, dict):
            events += self._fail(MalformedUpstream("the upstream's stream holds an event that is no JSON object"))
            return
        match payload.get("type"):
            case "message_start":
                self._start(payload.get("message"), events)
            case "content_block_start":
                self._open(payload, events)
            case "content_block_stop":
                block = self._blocks.pop(_index(payload), None)
                if block is not None:
                    self._close(block, events)
            case "message_delta":
                self._end(payload, events)
            case "message_stop":
                self._over = self._stopped
            case "ping":
                pass
            case kind if kind == "error" or payload.get("error"):
                events += self._fail(error_inside(payload))
            case kind:
                self._losses.dropped(str(kind)[:64])

    def _complete(self, block: _Block, data: bytes) -> None:
        """More of a block that is given whole, such as a compaction's content: members of the delta are the block's."""
        delta = msgspec.json.decode(data)["delta"]
        block.start = {**block.start, **{name: value for name, value in delta.items() if name != "type"}}

    def _start(self, message: Any, events: list[Event]) -> None:
        if self._begun:
            return
        self._begun = True
        message = self._message = message if isinstance(message, dict) else {}
        events.append(started(message))
        self._report(message.get("usage"), events)

    def _report(self, usage: Any, events: list[Event]) -> None:
        self._usage = merged(self._usage, usage)
        found = usage_of(self._usage)
        if found is not None and isinstance(usage, dict):
            events.append(UsageReported(found))

    def _open(self, payload: Json, events: list[Event]) -> None:
        start = payload.get("content_block")
        if not isinstance(start, dict) or not _text(start, "type") or self._stopped:
            self._losses.dropped("content[]")
            return
        self._start({}, events)
        index = _index(payload)
        if (before := self._blocks.pop(index, None)) is not None:  # it was never ended
            self._close(before, events)
        block = self._blocks[index] = _Block(str(start.get("type")), start)
        match block.kind:
            case "text":
                self._open_part(block, PartOpened(self._next, "text"), events)
                if text := _text(start, "text"):
                    events.append(TextDelta(block.index, text))
            case "thinking":
                if text := _text(start, "thinking"):
                    self._think(block, text, events)
                self._sign(block, _text(start, "signature"), events)
            case "redacted_thinking":
                self._sign(block, _text(start, "data"), events)
            case "tool_use":
                self._open_call(block, events)

    def _open_part(self, block: _Block, opened: PartOpened, events: list[Event]) -> None:
        block.index, block.opened = opened.index, True
        self._next += 1
        events.append(opened)

    def _open_call(self, block: _Block, events: list[Event]) -> None:
        start = block.start
        note_caller(start, self._losses)
        id = _text(start, "id")
        self._open_part(block, PartOpened(self._next, "tool_call", 0, id, _text(start, "name")), events)
        if id in self._seals:
            events.append(SignatureDelta(block.index, self._seals.pop(id)))
        if isinstance(given := start.get("input"), dict) and given:
            block.told = True
            events.append(ToolCallDelta(block.index, msgspec.json.encode(given).decode()))

    def _think(self, block: _Block, text: str, events: list[Event]) -> None:
        if not block.opened:
            self._open_part(block, PartOpened(self._next, "thinking"), events)
        events.append(ThinkingDelta(block.index, text))

    def _sign(self, block: _Block, given: str, events: list[Event]) -> None:
        seal, call = read_seal(given, block.kind)
        if seal is None:
            return
        if call:
            self._seals[call] = seal
            block.sealed = True
            return
        if not block.opened:
            self._open_part(block, PartOpened(self._next, "thinking"), events)
        events.append(SignatureDelta(block.index, seal))

    def _delta(self, block: _Block, delta: _Delta, events: list[Event]) -> None:
        match delta.type, block.kind:
            case "text_delta", "text":
                if delta.text:
                    events.append(TextDelta(block.index, delta.text))
            case "input_json_delta", "tool_use":
                if delta.partial_json:
                    block.told = True
                    events.append(ToolCallDelta(block.index, delta.partial_json))
            case "thinking_delta", "thinking":
                if delta.thinking:
                    self._think(block, delta.thinking, events)
            case _:
                self._rarer_delta(block, delta, events)

    def _rarer_delta(self, block: _Block, delta: _Delta, events: list[Event]) -> None:
        match delta.type, block.kind:
            case "signature_delta", "thinking":
                self._sign(block, delta.signature, events)
            case "citations_delta", "text" if isinstance(delta.citation, dict):
                events.append(CitationGiven(block.index, read_citation(delta.citation)))
            case "input_json_delta", kind if kind not in PARTS:
                block.arguments.append(delta.partial_json)
            case kind, _:
                self._losses.dropped(f"content[].{kind[:64]}")

    def _close(self, block: _Block, events: list[Event]) -> None:
        if block.kind in PARTS:
            if not block.opened and not block.sealed:
                self._open_part(block, PartOpened(self._next, "thinking"), events)
            if block.kind == "tool_use" and not block.told:  # as a plain answer has it
                events.append(ToolCallDelta(block.index, "{}"))
            if block.opened:
                events.append(PartClosed(block.index))
            return
        start = block.start
        if arguments := "".join(block.arguments):
            try:
                start = {**start, "input": msgspec.json.decode(arguments)}
            except (ValueError, RecursionError):
                self._losses.dropped("content[].input")
        events.append(PartGiven(self._next, given_part(start)))
        self._next += 1

    def _end(self, payload: Json, events: list[Event]) -> None:
        delta = payload.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        self._start({}, events)
        self._report(payload.get("usage"), events)
        if delta.get("stop_reason") is None or self._stopped:
            return
        for block in self._blocks.values():
            self._close(block, events)
        self._blocks.clear()
        self._stopped = True
        if self._seals:
            self._losses.dropped("content[].signature")
        details = details_of(self._message, payload, delta)
        events.append(read_reason(delta["stop_reason"], delta.get("stop_sequence"), details))


def _text(start: Json, name: str) -> str:
    value = start.get(name)
    return value if isinstance(value, str) else ""


def _index(payload: Json) -> int:
    index = payload.get("index")
    return index if isinstance(index, int) else -1
