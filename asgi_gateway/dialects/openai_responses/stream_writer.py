"""Writes a stream: the events of OpenAI's, in its order, each with its number.

Texts and refusals in a row are one message. A message stays open until something else begins. A hosted call of
another dialect waits for its result. A call waits for its first argument or its end: its seal, which goes in front of
it in a reasoning item of its own, may come first.
"""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import (
    CitationGiven,
    Event,
    Failed,
    HostedCall,
    HostedResult,
    Inline,
    InOrder,
    LogprobsGiven,
    Media,
    Native,
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
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
    UsageReported,
)
from asgi_gateway.canonical.response import ChatResponse, Choice, unfold
from asgi_gateway.dialects.contract import AnswerContext
from asgi_gateway.dialects.openai_responses.answer import echo
from asgi_gateway.dialects.openai_responses.event_lines import EventLines, json_of
from asgi_gateway.dialects.openai_responses.hosted import write_code_call, write_search_call
from asgi_gateway.dialects.openai_responses.item_stream import CallWriter, ThoughtWriter, send_hosted, send_whole
from asgi_gateway.dialects.openai_responses.message_writer import MessageWriter
from asgi_gateway.dialects.openai_responses.names import NAME
from asgi_gateway.dialects.openai_responses.output_reader import BEFORE
from asgi_gateway.dialects.openai_responses.reasons import write_stop
from asgi_gateway.dialects.openai_responses.request_writer import TIERS
from asgi_gateway.dialects.openai_responses.usage import write_tool_usage, write_usage

__all__ = ["StreamWriter"]

_IMAGES = frozenset({"png", "webp", "jpeg"})
"""Forms of images that OpenAI makes."""


class StreamWriter:
    """One stream. `response` is the whole response as it is so far."""

    __slots__ = (
        "_call",
        "_context",
        "_hosted",
        "_items",
        "_lines",
        "_message",
        "_open",
        "_opened",
        "_order",
        "_refused",
        "_stopped",
        "_thought",
        "_tokens",
        "_usage",
        "response",
    )

    def __init__(self, context: AnswerContext) -> None:
        self.response: dict[str, Any] = {}
        self._context = context
        self._order = InOrder()
        self._lines = EventLines()
        self._items: list[Mapping[str, Any]] = []
        self._message: MessageWriter | None = None
        self._thought: ThoughtWriter | None = None
        self._call: CallWriter | None = None
        self._opened: PartOpened | None = None
        """A call that has begun and is not written yet."""
        self._open: MessageWriter | ThoughtWriter | CallWriter | None = None
        """What takes deltas."""
        self._hosted: dict[str, HostedCall] = {}
        """Calls of another dialect's hosted tools, by their id, that wait for their results."""
        self._tokens: list[TokenLogprob] = []
        self._refused = False
        self._stopped: Stopped | None = None
        self._usage: Usage | None = None

    def write(self, events: Sequence[Event]) -> bytes:
        """The bytes for these events."""
        pending: TextDelta | None = None
        for event in self._order.feed(events):
            if pending is not None:
                text, pending = pending.text, None
                if isinstance(event, LogprobsGiven) and self._message is not None:
                    self._message.text_with(text, event.tokens)
                    continue
                self._text(text)
            if isinstance(event, TextDelta):
                pending = event
            else:
                self._write(event)
        if pending is not None:
            self._text(pending.text)
        return self._lines.taken()

    def finish(self) -> bytes:
        """The end of a good stream."""
        losses = self._context.losses
        if self._order.dropped_choices:
            losses.dropped("choices")
        if self._tokens:
            losses.dropped("logprobs")
        self._begin()
        status, details = write_stop(self._stopped, losses, refused=self._refused)
        self._settle(status)
        response = self.response
        response["status"] = status
        response["incomplete_details"] = details
        response["output"] = self._items
        if self._usage is not None:
            response["usage"] = write_usage(self._usage)
            if (tools := write_tool_usage(self._usage)) is not None:
                response["tool_usage"] = tools
            if response["service_tier"] is None and self._usage.service_tier in TIERS:
                response["service_tier"] = self._usage.service_tier
        self._lines.send(f"response.{status}", {"response": response})
        return self._lines.taken()

    def _text(self, text: str) -> None:
        if self._message is not None:
            self._message.text(text)

    def _write(self, event: Event) -> None:
        if isinstance(event, ThinkingDelta):
            if self._thought is not None and event.text:
                self._thought.text(event.text)
        elif isinstance(event, ToolCallDelta):
            self._release(None)
            if self._call is not None and event.arguments:
                self._call.text(event.arguments)
        elif self._message is not None and isinstance(event, CitationGiven):
            self._message.cite(event.citation)
        elif isinstance(event, LogprobsGiven):
            if isinstance(self._open, MessageWriter):
                self._open.text_with("", event.tokens)
            else:
                self._tokens += event.tokens  # a text to come is theirs
        else:
            self._rarer(event)

    def _rarer(self, event: Event) -> None:
        match event:
            case PartOpened():
                self._part(event)
            case PartClosed():
                self._close()
            case SignatureDelta():
                self._sign(event.seal)
            case PartGiven():
                self._whole(event)
            case UsageReported():
                self._usage = event.usage
            case Stopped():
                self._stopped = event
            case Started():
                self._begin(event)
            case TextDelta() | ThinkingDelta() | ToolCallDelta() | CitationGiven() | LogprobsGiven() | Failed():
                pass  # deltas are written above; a failed stream ends as an error
            case _:
                assert_never(event)

    def _begin(self, started: Started | None = None) -> None:
        if not self.response:
            self.response = echo(self._context, started or Started())
            shown = msgspec.Raw(json_of(self.response))
            self._lines.send("response.created", {"response": shown})
            self._lines.send("response.in_progress", {"response": shown})

    def _id(self, prefix: str, *, own: str = "") -> str:
        """An item's id: the upstream's where it is one of this kind, else one of ours."""
        if own.startswith(prefix):
            return own
        return f"{prefix}{self._context.id or '0'}{len(self._items):03}"

    def _part(self, event: PartOpened) -> None:
        self._begin()
        match event.kind:
            case "text" | "refusal":
                self._refused = self._refused or event.kind == "refusal"
                if self._message is None:
                    self._settle()
                    self._message = MessageWriter(self._lines, self._context.losses, self._id("msg_"), len(self._items))
                self._open = self._message
                self._message.open(event.kind)
                if self._tokens:
                    self._message.text_with("", self._tokens)
                    self._tokens = []
            case "thinking":
                self._settle()
                id = event.id or self._id("rs_")
                self._open = self._thought = ThoughtWriter(self._lines, id, len(self._items))
            case "tool_call":
                self._settle()
                self._opened = event
            case _:
                assert_never(event.kind)

    def _call_id(self, opened: PartOpened) -> str:
        return opened.id or self._id("call_")

    def _release(self, seal: Seal | None) -> None:
        """Write the beginning of a call, behind the item that carries its seal."""
        opened = self._opened
        if opened is None:
            return
        self._opened = None
        if seal is not None:
            self._seal_item(seal, self._call_id(opened))
        call_id = self._call_id(opened)
        self._open = self._call = CallWriter(self._lines, opened, self._id("fc_"), call_id, len(self._items))

    def _seal_item(self, seal: Seal, owner: str) -> None:
        """A reasoning item that carries the seal of a call, or of what stands in front of it (`BEFORE`)."""
        carrier = ThoughtWriter(self._lines, self._id("rs_"), len(self._items))
        carrier.seal = seal
        self._items.append(carrier.end(owner))

    def _sign(self, seal: Seal) -> None:
        if self._opened is not None:
            self._release(seal)
        elif isinstance(self._open, MessageWriter):
            self._open.seals.append(seal)
        elif isinstance(self._open, ThoughtWriter):
            self._open.seal = seal
        elif isinstance(self._open, CallWriter):
            self._open.late = seal

    def _close(self) -> None:
        """The open part is over. A message stays open for the next text."""
        self._release(None)
        still, self._open = self._open, None
        if isinstance(still, MessageWriter):
            still.close()
            if still.seals:
                self._settle()
        elif isinstance(still, ThoughtWriter):
            self._items.append(still.end())
            self._thought = None
        elif isinstance(still, CallWriter):
            self._items.append(still.end("completed"))
            self._call = None
            if still.late is not None:
                self._seal_item(still.late, str(self._items[-1]["call_id"]))

    def _settle(self, status: str = "completed") -> None:
        """End what is still open: a part, a message, and hosted calls without a result."""
        if self._open is not None or self._opened is not None:
            self._close()
        self._end_message(status)
        for hosted in self._hosted.values():
            self._send_hosted(hosted, None)
        self._hosted.clear()

    def _end_message(self, status: str = "completed") -> None:
        message, self._message = self._message, None
        if message is not None:
            self._items.append(message.end(status))
            for seal in message.seals:
                self._seal_item(seal, BEFORE)

    def _whole(self, event: PartGiven) -> None:
        self._begin()
        part, losses = event.part, self._context.losses
        match part:
            case Text() | Refusal() | Thinking() | ToolCall():
                for piece in unfold(ChatResponse(choices=(Choice(parts=(part,)),))):
                    if not isinstance(piece, Started):
                        self._write(piece)
                        if isinstance(piece, TextDelta):
                            self._text(piece.text)
            case Media():
                self._media(part)
            case HostedCall():
                self._hosted_call(part)
            case HostedResult():
                self._hosted_result(part)
            case Native():
                if part.dialect == NAME and "content[]" not in part.field:
                    self._settle()
                    send_whole(self._lines, len(self._items), part.value)
                    self._items.append(part.value)
                else:
                    losses.dropped(part.field)
            case ToolResult():
                losses.dropped("tool_result")
            case _:
                assert_never(part)

    def _media(self, part: Media) -> None:
        if part.kind != "image" or not isinstance(part.source, Inline):
            self._context.losses.dropped(part.kind)
            return
        self._settle()
        id = self._id("ig_", own=part.id)
        item = {"id": id, "type": "image_generation_call", "status": "completed", "result": part.source.data}
        format = part.source.media_type.rpartition("/")[2]
        if format in _IMAGES:
            item["output_format"] = format
        send_hosted(self._lines, len(self._items), item, {**item, "status": "in_progress", "result": None})
        self._items.append(item)
        if part.seal is not None:
            self._seal_item(part.seal, BEFORE)

    def _hosted_call(self, part: HostedCall) -> None:
        if part.dialect == NAME and isinstance(part.native, Mapping):
            self._settle()
            send_hosted(self._lines, len(self._items), part.native)
            self._items.append(part.native)
        elif part.tool in ("web_search", "code_execution"):
            if part.id in self._hosted:
                self._settle()
            self._end_message()
            self._hosted[part.id] = part
        else:
            self._context.losses.dropped(part.tool)

    def _hosted_result(self, part: HostedResult) -> None:
        if part.dialect == NAME:
            if isinstance(part.native, Mapping):
                self._settle()
                send_whole(self._lines, len(self._items), part.native)
                self._items.append(part.native)
            return
        hosted = self._hosted.pop(part.call_id, None)
        if hosted is not None:
            self._send_hosted(hosted, part)
        else:
            self._context.losses.dropped(f"{part.tool}_result")

    def _send_hosted(self, call: HostedCall, result: HostedResult | None) -> None:
        """A hosted call of another dialect."""
        if call.tool == "web_search":
            sources = result.citations if result is not None else ()
            item = write_search_call(self._id("ws_", own=call.id), call, sources)
        else:
            item = write_code_call(self._id("ci_", own=call.id), call, result)
        send_hosted(self._lines, len(self._items), item)
        self._items.append(item)
