"""Writes a stream of ConverseStream: binary frames with JSON inside.

Texts and thinking have no start of their own; blocks are counted in the order of their beginning, one after another.
A tool call waits for its first argument or its end, so that its seal can stand in front of it.
"""

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import (
    CitationGiven,
    Event,
    Failed,
    InOrder,
    LogprobsGiven,
    PartClosed,
    PartGiven,
    PartOpened,
    Refusal,
    Seal,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReported,
    unfold,
    wrap,
)
from asgi_gateway.canonical.response import ChatResponse, Choice
from asgi_gateway.dialects.bedrock_converse.answer_blocks import given_block
from asgi_gateway.dialects.bedrock_converse.citations import write_citation
from asgi_gateway.dialects.bedrock_converse.frames import event_frame, frame, headers_of
from asgi_gateway.dialects.bedrock_converse.names import tool_use_id
from asgi_gateway.dialects.bedrock_converse.reasons import write_reason
from asgi_gateway.dialects.bedrock_converse.response_writer import TIERS
from asgi_gateway.dialects.bedrock_converse.seals import MAKER, shown
from asgi_gateway.dialects.bedrock_converse.usage import write_usage
from asgi_gateway.dialects.contract import AnswerContext

__all__ = ["StreamWriter"]

DELTA = headers_of("contentBlockDelta")

_encode = msgspec.json.Encoder().encode


def _event(name: str, payload: dict[str, Any]) -> bytes:
    return event_frame(name, _encode(payload))


class StreamWriter:
    """One stream."""

    __slots__ = (
        "_begun",
        "_call",
        "_context",
        "_free",
        "_id",
        "_kind",
        "_late",
        "_number",
        "_order",
        "_started",
        "_stopped",
        "_tier",
        "_usage",
    )

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._order = InOrder()
        self._started = self._free = False
        self._tier = ""
        self._number = -1
        self._kind = self._id = ""
        self._begun = False
        """Whether the open block has been spoken of on the wire."""
        self._call: PartOpened | None = None
        """A tool call that waits."""
        self._late: tuple[Seal, str] | None = None
        """A seal that came after its call had begun, and the call's id: it stands behind the call."""
        self._usage: Usage | None = None
        self._stopped: Stopped | None = None

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes for these events."""
        return b"".join([self._write(event) for event in self._order.feed(events)])

    def finish(self) -> bytes:
        """The end of a good stream."""
        losses = self._context.losses
        if self._order.dropped_choices:
            losses.dropped("choices")
        if self._usage is None:
            losses.invented("usage")
        losses.invented("metrics")
        reason, fields = write_reason(self._stopped, losses)
        stop: dict[str, Any] = {"stopReason": reason}
        if fields is not None:
            stop["additionalModelResponseFields"] = fields
        end: dict[str, Any] = {"usage": write_usage(self._usage), "metrics": {"latencyMs": 0}}
        used = self._usage.service_tier if self._usage is not None else ""
        if (tier := used or self._tier) in TIERS:
            end["serviceTier"] = {"type": tier}
        begun = b"" if self._started else self._start()
        return begun + _event("messageStop", stop) + _event("metadata", end)

    def _write(self, event: Event) -> bytes:
        match event:
            case TextDelta():
                return self._delta(b'{"text":%b}' % _encode(event.text))
            case ThinkingDelta():
                return self._delta(b'{"reasoningContent":{"text":%b}}' % _encode(event.text))
            case ToolCallDelta():
                waiting = self._release() if self._call is not None else b""
                # A free text is the one member of an object: what is between its quotes is written piece by piece.
                text = _encode(event.arguments)[1:-1].decode() if self._free else event.arguments
                return waiting + self._input(text)
            case _:
                return self._rarer(event)

    def _rarer(self, event: Event) -> bytes:
        match event:
            case Started():
                self._tier = event.service_tier
                return self._start()
            case PartOpened():
                return self._open(event)
            case PartClosed():
                return self._close()
            case CitationGiven():
                return self._delta(b'{"citation":%b}' % _encode(write_citation(event.citation)))
            case SignatureDelta():
                return self._seal(event.seal)
            case LogprobsGiven():
                self._context.losses.dropped("logprobs")
            case PartGiven():
                return self._whole(event)
            case UsageReported():
                self._usage = event.usage
            case Stopped():
                self._stopped = event
            case TextDelta() | ThinkingDelta() | ToolCallDelta() | Failed():
                pass  # deltas are written above; a failed stream ends as an error
            case _:
                assert_never(event)
        return b""

    def _start(self) -> bytes:
        self._started = True
        return _event("messageStart", {"role": "assistant"})

    def _delta(self, delta: bytes) -> bytes:
        self._begun = True
        return frame(DELTA, b'{"contentBlockIndex":%d,"delta":%b}' % (self._number, delta))

    def _open(self, event: PartOpened) -> bytes:
        self._kind, self._id, self._begun = event.kind, event.id, False
        if event.kind == "tool_call":
            self._call = event
            return b""
        if event.kind == "refusal":
            self._context.losses.approximated("refusal")
        self._number += 1
        return b""

    def _release(self) -> bytes:
        """Begin the tool call that waits."""
        call, self._call = self._call, None
        assert call is not None
        self._number += 1
        self._begun = True
        start = {"toolUse": {"toolUseId": tool_use_id(call.id), "name": call.name}}
        begun = _event("contentBlockStart", {"contentBlockIndex": self._number, "start": start})
        self._free = call.custom
        if call.custom:
            self._context.losses.approximated("tool_calls[].custom")
            begun += self._input('{"input":"')
        return begun

    def _input(self, text: str) -> bytes:
        return self._delta(b'{"toolUse":{"input":%b}}' % _encode(text))

    def _close(self) -> bytes:
        given = self._release() if self._call is not None else b""
        if self._free:
            given += self._input('"}')
            self._free = False
        if not self._begun:  # an empty text: its number is free again
            self._number -= 1
            return b""
        given += _event("contentBlockStop", {"contentBlockIndex": self._number})
        if self._late is not None:
            given += self._sealed(*self._late)
            self._late = None
        return given

    def _seal(self, seal: Seal) -> bytes:
        if self._kind == "thinking":
            redacted = not self._begun and not (seal.maker == MAKER and seal.kind == "signature")
            name = b"redactedContent" if redacted else b"signature"
            return self._delta(b'{"reasoningContent":{"%b":%b}}' % (name, _encode(shown(seal))))
        if self._kind == "tool_call":
            if self._call is not None:
                return self._sealed(seal, self._call.id)
            self._late = (seal, self._id)
            return b""
        self._context.losses.dropped("signature")
        return b""

    def _sealed(self, seal: Seal, call: str) -> bytes:
        """The empty reasoning block that carries a call's own seal."""
        self._number += 1
        data = wrap(seal, call=tool_use_id(call))
        given = self._delta(b'{"reasoningContent":{"redactedContent":%b}}' % _encode(data))
        return given + _event("contentBlockStop", {"contentBlockIndex": self._number})

    def _whole(self, event: PartGiven) -> bytes:
        part = event.part
        if isinstance(part, Text | Refusal | Thinking | ToolCall):
            events = unfold(ChatResponse(choices=(Choice(parts=(part,)),)))
            return b"".join([self._write(one) for one in events if not isinstance(one, Started)])
        block = given_block(part, self._context.losses)
        if block is None:
            return b""
        pieces = _pieces(block)
        if pieces is None:
            self._context.losses.dropped(next(iter(block)))
            return b""
        self._number += 1
        start, delta = pieces
        return (
            _event("contentBlockStart", {"contentBlockIndex": self._number, "start": start})
            + _event("contentBlockDelta", {"contentBlockIndex": self._number, "delta": delta})
            + _event("contentBlockStop", {"contentBlockIndex": self._number})
        )


def _pieces(block: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The start and the one delta of a whole block; None for what a stream has no place for."""
    kind, value = next(iter(block.items()))
    if kind == "toolUse":
        start = {name: known for name, known in value.items() if name != "input"}
        return {kind: start}, {kind: {"input": _encode(value.get("input", {})).decode()}}
    if kind == "toolResult":
        start = {name: known for name, known in value.items() if name != "content"}
        return {kind: start}, {kind: value.get("content", [])}
    if kind == "image":
        return {kind: {"format": value["format"]}}, {kind: {"source": value["source"]}}
    return None
