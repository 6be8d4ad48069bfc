"""Writes a stream of Cohere: `event:` and `data:` for each event, `data: [DONE]` at the end."""

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    CitationGiven,
    Event,
    Failed,
    InOrder,
    LogprobsGiven,
    PartClosed,
    PartGiven,
    PartOpened,
    Refusal,
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
from asgi_gateway.dialects.cohere_chat.citations import write_citations
from asgi_gateway.dialects.cohere_chat.reasons import write_reason
from asgi_gateway.dialects.cohere_chat.response_writer import note_unshown, write_logprobs
from asgi_gateway.dialects.cohere_chat.usage import write_usage
from asgi_gateway.dialects.contract import AnswerContext

__all__ = ["StreamWriter"]

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


def _event(name: str, payload: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), _encode({"type": name, **payload}))


class StreamWriter:
    """One stream. Contents, tool calls and citations are counted each by themselves, as Cohere does."""

    __slots__ = (
        "_calls",
        "_citations",
        "_contents",
        "_context",
        "_free",
        "_kind",
        "_number",
        "_order",
        "_pending",
        "_said",
        "_started",
        "_stopped",
        "_text",
        "_usage",
    )

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._order = InOrder()
        self._started = self._said = self._free = False
        self._contents = self._calls = self._citations = 0
        self._kind = ""
        self._number = 0
        self._text: list[str] = []
        self._pending: list[Citation] = []
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
        delta = {"finish_reason": write_reason(self._stopped, losses), "usage": write_usage(self._usage)}
        begun = b"" if self._started else self._start("")
        return begun + _event("message-end", {"delta": delta}) + DONE

    def _write(self, event: Event) -> bytes:
        match event:
            case TextDelta():
                self._text.append(event.text)
                return (
                    self._cited() + b'event: content-delta\ndata: {"type":"content-delta","index":%d,"delta":'
                    b'{"message":{"content":{"text":%b}}}}\n\n' % (self._number, _encode(event.text))
                )
            case ThinkingDelta():
                begun = self._begin_thinking() if self._kind == "waiting" else b""
                return (
                    begun + b'event: content-delta\ndata: {"type":"content-delta","index":%d,"delta":'
                    b'{"message":{"content":{"thinking":%b}}}}\n\n' % (self._number, _encode(event.text))
                )
            case ToolCallDelta():
                self._said = True
                # A free text is the one member of an object: what is between its quotes is written piece by piece.
                arguments = _encode(_encode(event.arguments)[1:-1].decode() if self._free else event.arguments)
                return self._arguments(arguments)
            case _:
                return self._rarer(event)

    def _rarer(self, event: Event) -> bytes:
        match event:
            case Started():
                return self._start(event.id)
            case PartOpened():
                return self._open(event)
            case PartClosed():
                return self._close()
            case CitationGiven():
                self._pending.append(event.citation)
            case LogprobsGiven():
                return self._logprobs(event)
            case SignatureDelta():
                self._context.losses.dropped("signature")
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

    def _start(self, id: str) -> bytes:
        self._started = True
        message = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
        return _event("message-start", {"id": id or self._context.id, "delta": {"message": message}})

    def _open(self, event: PartOpened) -> bytes:
        self._kind = event.kind
        if event.kind == "tool_call":
            self._number, self._calls = self._calls, self._calls + 1
            self._said, self._free = False, event.custom
            if event.custom:
                self._context.losses.approximated("tool_calls[].custom")
            begun = '{"input":"' if event.custom else ""
            call = {"id": event.id, "type": "function", "function": {"name": event.name, "arguments": begun}}
            return _event("tool-call-start", {"index": self._number, "delta": {"message": {"tool_calls": call}}})
        if event.kind == "thinking":  # it may be a seal alone, which has no place here
            self._kind = "waiting"
            return b""
        if event.kind == "refusal":
            self._context.losses.approximated("refusal")
        self._text.clear()
        return self._begin("text")

    def _begin_thinking(self) -> bytes:
        self._kind = "thinking"
        return self._begin("thinking")

    def _begin(self, kind: str) -> bytes:
        self._number, self._contents = self._contents, self._contents + 1
        return _event(
            "content-start", {"index": self._number, "delta": {"message": {"content": {"type": kind, kind: ""}}}}
        )

    def _close(self) -> bytes:
        if self._kind == "waiting":
            return b""
        if self._kind == "tool_call":
            rest = b""
            if self._free or not self._said:  # Cohere's own streams have nothing for no arguments, which is no JSON
                rest = self._arguments(_encode('"}' if self._free else "{}"))
            return rest + _event("tool-call-end", {"index": self._number})
        return self._cited() + _event("content-end", {"index": self._number})

    def _arguments(self, text: bytes) -> bytes:
        return (
            b'event: tool-call-delta\ndata: {"type":"tool-call-delta","index":%d,"delta":'
            b'{"message":{"tool_calls":{"function":{"arguments":%b}}}}}\n\n' % (self._number, text)
        )

    def _cited(self) -> bytes:
        """The citations that came since the last text: those of one place are one to Cohere."""
        if not self._pending:
            return b""
        text = "".join(self._text)
        given = b""
        for citation in write_citations(self._pending, text, self._number, self._context.losses):
            number, self._citations = self._citations, self._citations + 1
            given += _event("citation-start", {"index": number, "delta": {"message": {"citations": citation}}})
            given += _event("citation-end", {"index": number})
        self._pending.clear()
        return given

    def _logprobs(self, event: LogprobsGiven) -> bytes:
        """Probabilities stand at a delta of the text: at one that adds nothing to it."""
        delta = {"message": {"content": {"text": ""}}}
        given = b""
        for token in event.tokens:
            item = write_logprobs(token, self._context.losses)
            given += _event("content-delta", {"index": self._number, "delta": delta, "logprobs": item})
        return given

    def _whole(self, event: PartGiven) -> bytes:
        part = event.part
        if isinstance(part, Text | Refusal | Thinking | ToolCall):
            events = unfold(ChatResponse(choices=(Choice(parts=(part,)),)))
            return b"".join([self._write(one) for one in events if not isinstance(one, Started)])
        note_unshown(part, self._context.losses)
        return b""
