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
from asgi_gateway.dialects.anthropic_messages.answer_reader import given_part, started
from asgi_gateway.dialects.anthropic_messages.block_reader import read_seal
from asgi_gateway.dialects.anthropic_messages.citations import read_citation
from asgi_gateway.dialects.anthropic_messages.errors import error_inside
from asgi_gateway.dialects.anthropic_messages.names import Json
from asgi_gateway.dialects.anthropic_messages.reasons import read_reason
from asgi_gateway.dialects.anthropic_messages.usage import merged, usage_of
from asgi_gateway.errors import MalformedUpstream

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


class _Block:
    """A block that is open."""

    __slots__ = ("arguments", "index", "kind", "start")

    def __init__(self, index: int, kind: str, start: Json) -> None:
        self.index = index
        self.kind = kind
        self.start = start
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

    def _fail(self, error: Any) -> list[Event]:
        self._over = True
        return [Failed(error)]

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
        if block is not None:
            self._delta(block, usual.delta, events)
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
            case "ping" | "content_block_delta":
                pass
            case "error":
                events += self._fail(error_inside(payload))
            case kind if payload.get("error"):
                events += self._fail(error_inside(payload))
            case kind:
                self._losses.dropped(f"event[{str(kind)[:64]}]")

    def _start(self, message: Any, events: list[Event]) -> None:
        if self._begun:
            return
        self._begun = True
        message = message if isinstance(message, dict) else {}
        events.append(started(message))
        self._report(message.get("usage"), events)

    def _report(self, usage: Any, events: list[Event]) -> None:
        self._usage = merged(self._usage, usage)
        found = usage_of(self._usage)
        if found is not None and isinstance(usage, dict):
            events.append(UsageReported(found))

    def _open(self, payload: Json, events: list[Event]) -> None:
        start = payload.get("content_block")
        if not isinstance(start, dict) or self._stopped:
            return
        if not self._begun:
            self._start({}, events)
        kind = str(start.get("type"))
        block = _Block(self._next, kind, start)
        if kind in ("text", "thinking", "redacted_thinking", "tool_use"):
            self._next += 1
            self._open_part(block, events)
        self._blocks[_index(payload)] = block

    def _open_part(self, block: _Block, events: list[Event]) -> None:
        start, index = block.start, block.index
        match block.kind:
            case "text":
                events.append(PartOpened(index, "text"))
                if isinstance(text := start.get("text"), str) and text:
                    events.append(TextDelta(index, text))
            case "thinking" | "redacted_thinking":
                events.append(PartOpened(index, "thinking"))
                if isinstance(text := start.get("thinking"), str) and text:
                    events.append(ThinkingDelta(index, text))
                given = start.get("signature" if block.kind == "thinking" else "data")
                if isinstance(given, str) and given:
                    self._sign(block, given, events)
            case _:
                id, name = str(start.get("id") or ""), str(start.get("name") or "")
                events.append(PartOpened(index, "tool_call", 0, id, name))
                if id in self._seals:
                    events.append(SignatureDelta(index, self._seals.pop(id)))
                if isinstance(given := start.get("input"), dict) and given:
                    events.append(ToolCallDelta(index, msgspec.json.encode(given).decode()))

    def _sign(self, block: _Block, given: str, events: list[Event]) -> None:
        seal, call = read_seal(given, block.kind)
        if seal is None:
            return
        if call:
            self._seals[call] = seal
        else:
            events.append(SignatureDelta(block.index, seal))

    def _delta(self, block: _Block, delta: _Delta, events: list[Event]) -> None:
        match delta.type, block.kind:
            case "text_delta", "text":
                if delta.text:
                    events.append(TextDelta(block.index, delta.text))
            case "input_json_delta", "tool_use":
                if delta.partial_json:
                    events.append(ToolCallDelta(block.index, delta.partial_json))
            case "input_json_delta", _:
                block.arguments.append(delta.partial_json)
            case "thinking_delta", "thinking":
                if delta.thinking:
                    events.append(ThinkingDelta(block.index, delta.thinking))
            case "signature_delta", "thinking":
                self._sign(block, delta.signature, events)
            case "citations_delta", "text":
                if isinstance(delta.citation, dict):
                    events.append(CitationGiven(block.index, read_citation(delta.citation)))
            case kind, _:
                self._losses.dropped(f"delta[{kind[:64]}]")

    def _close(self, block: _Block, events: list[Event]) -> None:
        if block.kind in ("text", "thinking", "redacted_thinking", "tool_use"):
            events.append(PartClosed(block.index))
            return
        start = block.start
        if block.arguments:
            try:
                start = {**start, "input": msgspec.json.decode("".join(block.arguments))}
            except (ValueError, RecursionError):
                self._losses.dropped("content[].input")
        events.append(PartGiven(self._next, given_part(start)))
        self._next += 1

    def _end(self, payload: Json, events: list[Event]) -> None:
        delta = payload.get("delta")
        delta = delta if isinstance(delta, dict) else {}
        self._report(payload.get("usage"), events)
        if delta.get("stop_reason") is None or self._stopped:
            return
        if not self._begun:
            self._start({}, events)
        for block in self._blocks.values():
            self._close(block, events)
        self._blocks.clear()
        self._stopped = True
        if delta.get("container"):
            self._losses.dropped("container")
        events.append(read_reason(delta["stop_reason"], delta.get("stop_sequence"), delta.get("stop_details")))


def _index(payload: Json) -> int:
    index = payload.get("index")
    return index if isinstance(index, int) else -1
