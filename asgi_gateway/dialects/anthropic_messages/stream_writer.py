"""Writes streams: one block after the other, and the reason to stop with the usage at the end.

A block begins with its first words, so that an empty one is none. A tool call waits for its first argument or its end,
so that its seal can stand in front of it.
"""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
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
)
from asgi_gateway.dialects.anthropic_messages.answer_blocks import answer_blocks, message_id, sealed, thinking_block
from asgi_gateway.dialects.anthropic_messages.block_writer import tool_input
from asgi_gateway.dialects.anthropic_messages.citations import write_citations
from asgi_gateway.dialects.anthropic_messages.names import Json, tool_use_id
from asgi_gateway.dialects.anthropic_messages.reasons import beside, write_reason
from asgi_gateway.dialects.anthropic_messages.usage import write_usage
from asgi_gateway.dialects.contract import AnswerContext

__all__ = ["StreamWriter"]

_encode = msgspec.json.Encoder().encode

IN_THE_DELTA = frozenset({"container", "stop_details"})
"""Members of a message that its stream tells beside the reason to stop; the others stand one level above."""

_DELTA = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":%b}}\n\n'
)
_TEXT = (
    b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,'
    b'"delta":{"type":"text_delta","text":%b}}\n\n'
)


def _event(kind: bytes, payload: Json) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind, _encode(payload))


class _Block:
    """The part that is being written. `begun`: its start is out; `held`: arguments that come at once in the end."""

    __slots__ = ("begun", "held", "kind", "opened", "seal")

    def __init__(self, opened: PartOpened) -> None:
        self.opened = opened
        self.kind = opened.kind
        self.begun = False
        self.seal: Seal | None = None
        self.held: list[str] | None = [] if opened.custom else None


class StreamWriter:
    """One stream of one answer; others have no place."""

    __slots__ = (
        "_begun",
        "_block",
        "_called",
        "_context",
        "_index",
        "_losses",
        "_order",
        "_refused",
        "_stopped",
        "_usage",
    )

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._losses = context.losses
        self._order = InOrder()
        self._begun = self._called = self._refused = False
        self._index = 0
        self._block: _Block | None = None
        self._usage: Usage | None = None
        self._stopped: Stopped | None = None

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes for these events."""
        if not self._begun:  # what the beginning tells of the usage is known by now, if it is known at all
            for event in events:
                if isinstance(event, UsageReported):
                    self._usage = event.usage
        out: list[bytes] = []
        for event in self._order.feed(events):
            self._write(event, out)
        return b"".join(out)

    def finish(self) -> bytes:
        """The end: `message_delta` and `message_stop`."""
        out: list[bytes] = []
        self._start(Started(), out)
        self._close(out)
        if self._order.dropped_choices:
            self._losses.dropped("choices")
        if self._usage is None:
            self._losses.invented("usage")
        reason, sequence = write_reason(self._stopped, self._losses, called=self._called, refused=self._refused)
        delta: Json = {"stop_reason": reason, "stop_sequence": sequence}
        end: Json = {"type": "message_delta", "delta": delta}
        for name, value in beside(self._stopped).items():
            (delta if name in IN_THE_DELTA else end)[name] = value
        end["usage"] = write_usage(self._usage, self._losses, parts=False)
        out.append(_event(b"message_delta", end))
        out.append(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
        return b"".join(out)

    def _write(self, event: Event, out: list[bytes]) -> None:
        match event:
            case TextDelta() if event.text:
                self._begin(out)
                out.append(_TEXT % (self._index, _encode(event.text)))
            case ThinkingDelta() if event.text:
                self._begin(out)
                self._tell(b"thinking_delta", b"thinking", event.text, out)
            case ToolCallDelta():
                self._arguments(event.arguments, out)
            case PartOpened():
                self._start(Started(), out)
                self._close(out)
                self._block = _Block(event)
            case PartClosed():
                self._close(out)
            case _:
                self._rarer(event, out)

    def _rarer(self, event: Event, out: list[bytes]) -> None:
        match event:
            case SignatureDelta():
                self._sign(event.seal)
            case CitationGiven():
                self._begin(out)
                self._cite(event, out)
            case PartGiven():
                self._whole(event, out)
            case UsageReported():
                self._usage = event.usage
            case Stopped():
                self._stopped = event
            case Started():
                self._start(event, out)
            case LogprobsGiven():
                self._losses.dropped("logprobs")
            case TextDelta() | ThinkingDelta() | ToolCallDelta() | PartOpened() | PartClosed() | Failed():
                pass  # those are written above unless they are empty; a failed stream ends as an error
            case _:
                assert_never(event)

    def _start(self, started: Started, out: list[bytes]) -> None:
        if self._begun:
            return
        self._begun = True
        message: Json = {
            "id": message_id(started.id, self._context.id),
            "type": "message",
            "role": "assistant",
            "model": started.model or self._context.request.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(self._usage, self._losses, tier=started.service_tier),
        }
        out.append(_event(b"message_start", {"type": "message_start", "message": message}))

    def _begin(self, out: list[bytes]) -> None:
        """Write the start of the open block, once it is known as what."""
        block = self._block
        if block is None or block.begun:
            return
        block.begun = True
        match block.kind:
            case "text":
                start: Json = {"type": "text", "text": ""}
            case "refusal":
                self._losses.approximated("refusal")
                self._refused = True
                start = {"type": "text", "text": ""}
            case "thinking":
                start = {"type": "thinking", "thinking": "", "signature": ""}
            case "tool_call":
                self._called = True
                id = tool_use_id(block.opened.id)
                if block.seal is not None:
                    self._block_of({"type": "thinking", "thinking": "", "signature": sealed(block.seal, id)}, out)
                start = {"type": "tool_use", "id": id, "name": block.opened.name, "input": {}}
            case _:
                assert_never(block.kind)
        self._open(start, out)

    def _open(self, start: Json, out: list[bytes]) -> None:
        payload = {"type": "content_block_start", "index": self._index, "content_block": start}
        out.append(_event(b"content_block_start", payload))

    def _tell(self, kind: bytes, name: bytes, text: str, out: list[bytes]) -> None:
        out.append(_DELTA % (self._index, kind, name, _encode(text)))

    def _end(self, out: list[bytes]) -> None:
        out.append(b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index)
        self._index += 1

    def _arguments(self, arguments: str, out: list[bytes]) -> None:
        """More of a call's arguments. Those that do not begin as an object does are held: they are put into one."""
        block = self._block
        if block is None:
            return
        if block.held is None and not block.begun and (begin := arguments.lstrip()) and begin[0] != "{":
            block.held = []
        if block.held is not None:
            block.held.append(arguments)
            return
        self._begin(out)
        self._tell(b"input_json_delta", b"partial_json", arguments, out)

    def _sign(self, seal: Seal) -> None:
        block = self._block
        if block is not None and (block.kind == "thinking" or (block.kind == "tool_call" and not block.begun)):
            block.seal = seal
        else:  # of a text, or of a call that has begun: there is no place any more
            self._losses.dropped("signature")

    def _cite(self, event: CitationGiven, out: list[bytes]) -> None:
        for written in write_citations([event.citation], self._losses, "citations"):
            delta = {"type": "citations_delta", "citation": written}
            payload = {"type": "content_block_delta", "index": self._index, "delta": delta}
            out.append(_event(b"content_block_delta", payload))

    def _close(self, out: list[bytes]) -> None:
        block = self._block
        if block is None:
            return
        if block.kind == "tool_call":
            self._begin(out)
        self._block = None
        if not block.begun:  # an empty text, or a thought that is only a seal
            if block.seal is not None:
                self._block_of(thinking_block("", block.seal), out)
            return
        if block.kind == "thinking" and block.seal is not None:
            self._tell(b"signature_delta", b"signature", sealed(block.seal), out)
        elif block.held is not None:
            opened = block.opened
            call = ToolCall(id=opened.id, name=opened.name, arguments="".join(block.held), custom=opened.custom)
            self._tell(b"input_json_delta", b"partial_json", bytes(tool_input(call, self._losses)).decode(), out)
        self._end(out)

    def _whole(self, event: PartGiven, out: list[bytes]) -> None:
        self._start(Started(), out)
        part = event.part
        if isinstance(part, Text | Refusal | Thinking | ToolCall):
            for one in unfold(ChatResponse(choices=(Choice(parts=(part,)),))):
                if not isinstance(one, Started):
                    self._write(one, out)
            return
        for block in answer_blocks(part, self._losses):
            self._block_of(block, out)

    def _block_of(self, block: Json, out: list[bytes]) -> None:
        """A block that comes at once; what a client collects from deltas comes as one."""
        match block["type"]:
            case "text":
                self._open({"type": "text", "text": ""}, out)
                self._tell(b"text_delta", b"text", block["text"], out)
            case "thinking":
                self._open({"type": "thinking", "thinking": "", "signature": ""}, out)
                self._tell(b"signature_delta", b"signature", block["signature"], out)
            case "compaction":
                self._open({"type": "compaction", "content": None}, out)
                delta = {**block, "type": "compaction_delta"}
                payload = {"type": "content_block_delta", "index": self._index, "delta": delta}
                out.append(_event(b"content_block_delta", payload))
            case "server_tool_use" | "mcp_tool_use":
                self._open({**block, "input": {}}, out)
                text = _encode(block.get("input") or {}).decode()
                self._tell(b"input_json_delta", b"partial_json", text, out)
            case _:
                self._open(block, out)
        self._end(out)
