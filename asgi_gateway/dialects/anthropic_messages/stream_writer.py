"""Writes streams: one block after the other, and the reason to stop with the usage at the end."""

from collections.abc import Sequence

import msgspec

from asgi_gateway.canonical import (
    Citation,
    CitationGiven,
    Event,
    InOrder,
    LogprobsGiven,
    PartClosed,
    PartGiven,
    PartOpened,
    Seal,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    Usage,
    UsageReported,
    wrap_input,
)
from asgi_gateway.dialects.anthropic_messages.answer_blocks import answer_blocks, message_id, sealed, thinking_block
from asgi_gateway.dialects.anthropic_messages.citations import write_citations
from asgi_gateway.dialects.anthropic_messages.names import Json, tool_use_id
from asgi_gateway.dialects.anthropic_messages.reasons import write_reason
from asgi_gateway.dialects.anthropic_messages.usage import write_usage
from asgi_gateway.dialects.contract import AnswerContext

__all__ = ["StreamWriter"]

_encode = msgspec.json.Encoder().encode


def _event(kind: bytes, payload: Json) -> bytes:
    return b"event: " + kind + b"\ndata: " + _encode(payload) + b"\n\n"


def _delta(index: int, kind: bytes, name: bytes, text: str) -> bytes:
    return (
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":%d,"delta":{"type":"%b","%b":%b}}\n\n'
        % (index, kind, name, _encode(text))
    )


class _Block:
    """The part that is being written. `begun`: its start is out."""

    __slots__ = ("begun", "kind", "opened", "seal", "text")

    def __init__(self, opened: PartOpened) -> None:
        self.opened = opened
        self.kind = opened.kind
        self.begun = False
        self.seal: Seal | None = None
        self.text: list[str] = []


class StreamWriter:
    """One stream of one answer; others have no place."""

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._losses = context.losses
        self._order = InOrder()
        self._begun = False
        self._index = 0
        self._block: _Block | None = None
        self._usage: Usage | None = None
        self._stopped: Stopped | None = None

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes for these events."""
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
        reason, sequence = write_reason(self._stopped, self._losses)
        delta = {"stop_reason": reason, "stop_sequence": sequence}
        usage = write_usage(self._usage)
        out.append(_event(b"message_delta", {"type": "message_delta", "delta": delta, "usage": usage}))
        out.append(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
        return b"".join(out)

    def _write(self, event: Event, out: list[bytes]) -> None:
        match event:
            case TextDelta():
                self._begin(out)
                out.append(_delta(self._index, b"text_delta", b"text", event.text))
            case ThinkingDelta():
                self._begin(out)
                out.append(_delta(self._index, b"thinking_delta", b"thinking", event.text))
            case ToolCallDelta():
                self._arguments(event.arguments, out)
            case PartOpened():
                self._start(Started(), out)
                self._close(out)
                self._block = _Block(event)
                if event.kind in ("text", "refusal"):
                    self._begin(out)
            case PartClosed():
                self._close(out)
            case _:
                self._write_rest(event, out)

    def _write_rest(self, event: Event, out: list[bytes]) -> None:
        """What comes seldom."""
        match event:
            case SignatureDelta():
                self._sign(event.seal)
            case CitationGiven():
                self._cite(event.citation, out)
            case PartGiven():
                self._start(Started(), out)
                for block in answer_blocks(event.part, self._losses):
                    self._whole(block, out)
            case UsageReported():
                self._usage = event.usage
            case Stopped():
                self._stopped = event
            case Started():
                self._start(event, out)
            case LogprobsGiven():
                self._losses.dropped("logprobs")

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
            "usage": write_usage(self._usage),
        }
        out.append(_event(b"message_start", {"type": "message_start", "message": message}))

    def _begin(self, out: list[bytes]) -> None:
        """Write the start of the open block, once it is known as what."""
        block = self._block
        if block is None or block.begun:
            return
        block.begun = True
        opened = block.opened
        match block.kind:
            case "text":
                start: Json = {"type": "text", "text": ""}
            case "refusal":
                self._losses.approximated("refusal")
                start = {"type": "text", "text": ""}
            case "thinking":
                start = {"type": "thinking", "thinking": "", "signature": ""}
            case "tool_call":
                id = tool_use_id(opened.id)
                if block.seal is not None:
                    self._whole({"type": "thinking", "thinking": "", "signature": sealed(block.seal, id)}, out)
                start = {"type": "tool_use", "id": id, "name": opened.name, "input": {}}
        self._open(start, out)

    def _open(self, start: Json, out: list[bytes]) -> None:
        payload = {"type": "content_block_start", "index": self._index, "content_block": start}
        out.append(_event(b"content_block_start", payload))

    def _end(self, out: list[bytes]) -> None:
        out.append(b'event: content_block_stop\ndata: {"type":"content_block_stop","index":%d}\n\n' % self._index)
        self._index += 1

    def _arguments(self, arguments: str, out: list[bytes]) -> None:
        block = self._block
        if block is None:
            return
        if block.opened.custom:
            block.text.append(arguments)  # one JSON text in the end
            return
        self._begin(out)
        out.append(_delta(self._index, b"input_json_delta", b"partial_json", arguments))

    def _sign(self, seal: Seal) -> None:
        block = self._block
        if block is None:
            return
        if block.kind == "thinking" or (block.kind == "tool_call" and not block.begun):
            block.seal = seal
        else:  # of a text, or of a call that has begun: there is no place any more
            self._losses.dropped("signature")

    def _cite(self, citation: Citation, out: list[bytes]) -> None:
        for written in write_citations([citation], self._losses, "citations"):
            delta = {"type": "citations_delta", "citation": written}
            payload = {"type": "content_block_delta", "index": self._index, "delta": delta}
            out.append(_event(b"content_block_delta", payload))

    def _close(self, out: list[bytes]) -> None:
        block, self._block = self._block, None
        if block is None:
            return
        if block.kind == "thinking" and not block.begun:
            if block.seal is not None:
                self._whole(thinking_block("", block.seal), out)
            return  # an empty thought says nothing
        self._block = block
        self._begin(out)
        self._block = None
        if block.kind == "thinking" and block.seal is not None:
            out.append(_delta(self._index, b"signature_delta", b"signature", sealed(block.seal)))
        elif block.opened.custom:
            self._losses.approximated("tool_calls[].custom")
            text = wrap_input("".join(block.text))
            out.append(_delta(self._index, b"input_json_delta", b"partial_json", text))
        self._end(out)

    def _whole(self, block: Json, out: list[bytes]) -> None:
        """A block that comes at once; what a client collects from deltas comes as one."""
        match block["type"]:
            case "text":
                self._open({"type": "text", "text": ""}, out)
                out.append(_delta(self._index, b"text_delta", b"text", block["text"]))
            case "thinking":
                self._open({"type": "thinking", "thinking": "", "signature": ""}, out)
                if block["thinking"]:
                    out.append(_delta(self._index, b"thinking_delta", b"thinking", block["thinking"]))
                out.append(_delta(self._index, b"signature_delta", b"signature", block["signature"]))
            case "tool_use" | "server_tool_use" | "mcp_tool_use":
                self._open({**block, "input": {}}, out)
                text = _encode(block.get("input") or {}).decode()
                out.append(_delta(self._index, b"input_json_delta", b"partial_json", text))
            case _:
                self._open(block, out)
        self._end(out)
