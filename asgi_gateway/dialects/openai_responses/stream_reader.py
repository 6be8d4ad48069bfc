"""Reads a stream as events.

Items and their contents have positions of their own on the wire; each is looked up by them. What was said in deltas
is not said again at the end; an upstream that leaves out deltas, parts, or whole items until the end is read all the
same. Hosted calls come whole with the end of their item: what is told of their progress is skipped.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec
from msgspec import Struct

from asgi_gateway.canonical import (
    CitationGiven,
    Event,
    Failed,
    LogprobsGiven,
    Losses,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from asgi_gateway.canonical.events import OpenKind
from asgi_gateway.dialects import sse
from asgi_gateway.dialects.openai_responses.annotations import read_annotation
from asgi_gateway.dialects.openai_responses.errors import error_of_event
from asgi_gateway.dialects.openai_responses.logprobs import read_logprobs
from asgi_gateway.dialects.openai_responses.names import BREAK
from asgi_gateway.dialects.openai_responses.output_reader import BEFORE, OutputReader
from asgi_gateway.errors import MalformedUpstream, UpstreamError

__all__ = ["StreamReader"]

SKIPPED = frozenset(
    {
        "response.queued",
        "response.heartbeat",
        "keepalive",
        "ping",
        "response.output_text.done",
        "response.refusal.done",
        "response.reasoning_text.done",
        "response.reasoning_summary_text.done",
        "response.reasoning_summary_part.added",
        "response.reasoning_summary_part.done",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.done",
    }
)
"""Events that say nothing, or only once more what others said."""

PROGRESS = (
    "response.web_search_call.",
    "response.file_search_call.",
    "response.code_interpreter_call",
    "response.image_generation_call.",
    "response.mcp_",
    "response.shell_call",
    "response.apply_patch_call",
    "response.computer_call.",
    "response.tool_search_call.",
    "response.x_search_call.",
    "response.compaction",
)
"""How events begin whose item says everything at its end."""

_ENDS = frozenset({"response.completed", "response.incomplete", "response.cancelled"})
_FAILS = frozenset({"error", "response.failed", "response.error"})


class _Event(Struct):
    type: str = ""
    delta: Any = None
    output_index: int = 0
    content_index: int = 0
    summary_index: int = 0
    logprobs: Any = None
    text: Any = None
    item: Any = None
    part: Any = None
    response: Any = None
    annotation: Any = None
    arguments: Any = None
    input: Any = None
    refusal: Any = None
    error: Any = None
    sequence_number: Any = None


class _Content:
    """A text or a refusal, or a call, or a thought, that is being put together."""

    __slots__ = ("cited", "index", "kind", "said", "summary")

    def __init__(self, kind: OpenKind, index: int) -> None:
        self.kind = kind
        self.index = index
        self.said = False
        self.cited = 0
        self.summary = 0


class _Item:
    """An output item that has begun."""

    __slots__ = ("contents", "done", "id", "kind")

    def __init__(self, kind: str, id: str) -> None:
        self.kind = kind
        self.id = id
        self.contents: dict[int, _Content | None] = {}  # None: done
        self.done = False


_decoder = msgspec.json.Decoder(_Event)


class StreamReader:
    """One stream."""

    __slots__ = ("_held", "_items", "_losses", "_output", "_over")

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._held = bytearray()
        self._items: dict[int, _Item] = {}
        self._output = OutputReader(losses)
        self._over = False

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are whole with this chunk."""
        held = self._held
        if not held and chunk.endswith(b"\n\n"):
            return self._block(chunk)
        start = max(0, len(held) - 2)
        held += chunk
        end = sse.boundary(held, start)
        if not end:
            return []
        block = bytes(held[:end])
        del held[:end]
        return self._block(block)

    def finish(self) -> list[Event]:
        """The upstream ended its body."""
        given = self._block(bytes(self._held))
        self._held.clear()
        if not self._over:
            given.append(self._failed(MalformedUpstream("the upstream's stream ended too soon")))
        return given

    def _block(self, block: bytes) -> list[Event]:
        output = self._output
        given: list[Event] = []
        output.given = given
        for event in sse.events(block):
            if self._over:
                break
            data = event.partition(b"\ndata:")[2]
            try:
                read = _decoder.decode(data)
            except (ValueError, RecursionError):
                data = sse.data_of(event).strip()  # an event of another form: data alone, or in several lines
                self._odd(data)
                continue
            if read.type == "response.output_text.delta":
                self._text_delta("text", read)
            else:
                self._read(read, data)
        return given

    def _odd(self, data: bytes) -> None:
        if not data or data == b"[DONE]":
            return
        try:
            self._read(_decoder.decode(data), data)
            return
        except (ValueError, RecursionError):
            pass
        try:
            known = isinstance(msgspec.json.decode(data), dict)
        except (ValueError, RecursionError):
            known = False
        if known:
            self._losses.dropped("event")
        else:
            wrong = MalformedUpstream("the upstream's stream holds an event that is no JSON object")
            self._output.given.append(self._failed(wrong))

    def _failed(self, error: UpstreamError) -> Failed:
        self._over = True
        return Failed(error)

    def _read(self, event: _Event, data: bytes) -> None:
        if event.type in _FAILS or event.error:
            error = error_of_event(msgspec.json.decode(data))
            self._output.given.append(self._failed(error or MalformedUpstream("the upstream's stream failed")))
            return
        handler = _HANDLERS.get(event.type)
        if handler is not None:
            handler(self, event)
        elif event.type in _ENDS:
            self._end(_object(event.response))
        elif event.type not in SKIPPED and not event.type.startswith(PROGRESS):
            self._losses.dropped(event.type[:64] or "event")

    def _begin(self, event: _Event) -> None:
        self._output.start(_object(event.response))

    def _words(self, event: _Event) -> None:
        self._text_delta("text" if event.type == "response.output_text.delta" else "refusal", event)

    def _item(self, number: int, kind: str) -> _Item:
        """The item at a position; one that nobody announced begins."""
        item = self._items.get(number)
        if item is None:
            self._output.start({})
            item = self._items[number] = _Item(kind, "")
        return item

    def _text_delta(self, kind: OpenKind, event: _Event) -> None:
        item = self._items.get(event.output_index) or self._item(event.output_index, "message")
        content = item.contents.get(event.content_index)
        if content is None:
            if item.done or event.content_index in item.contents:
                return
            content = item.contents[event.content_index] = _Content(kind, self._output.open(kind))
        text = event.delta
        if isinstance(text, str) and text:
            content.said = True
            self._output.given.append(TextDelta(content.index, text))
        if event.logprobs and (tokens := read_logprobs(event.logprobs)):
            self._output.given.append(LogprobsGiven(content.index, tokens))

    def _call_delta(self, event: _Event) -> None:
        item = self._items.get(event.output_index)
        content = item.contents.get(0) if item is not None and not item.done else None
        if content is not None and isinstance(event.delta, str) and event.delta:
            content.said = True
            self._output.given.append(ToolCallDelta(content.index, event.delta))

    def _thought_delta(self, event: _Event) -> None:
        source, number = "summary", event.summary_index
        if event.type == "response.reasoning_text.delta":
            source, number = "content", event.content_index
        item = self._item(event.output_index, "reasoning")
        if item.done or not isinstance(event.delta, str) or not event.delta:
            return
        content = item.contents.get(0)
        if content is None:
            content = item.contents[0] = _Content("thinking", self._output.open("thinking", item.id))
            content.summary = number
            item.kind = source
        elif item.kind != source:  # the other of summary and content: one of them is enough
            self._losses.dropped(f"output[].{source}")
            return
        between = BREAK if number != content.summary else ""
        content.summary = number
        self._output.given.append(ThinkingDelta(content.index, between + event.delta))

    def _added(self, event: _Event) -> None:
        self._output.start({})
        if event.output_index in self._items:
            return
        item = _object(event.item)
        kind = str(item.get("type"))
        begun = self._items[event.output_index] = _Item(kind, str(item.get("id") or ""))
        if kind in ("function_call", "custom_tool_call"):
            custom = kind == "custom_tool_call"
            id, name = str(item.get("call_id") or ""), str(item.get("name") or "")
            begun.contents[0] = _Content("tool_call", self._output.open("tool_call", id, name, custom=custom))

    def _part_added(self, event: _Event) -> None:
        item, part = self._item(event.output_index, "message"), _object(event.part)
        kind = part.get("type")
        if item.kind == "message" and kind in ("output_text", "refusal") and event.content_index not in item.contents:
            opened: OpenKind = "text" if kind == "output_text" else "refusal"
            item.contents[event.content_index] = _Content(opened, self._output.open(opened))

    def _part_done(self, event: _Event) -> None:
        item = self._items.get(event.output_index)
        if item is not None and item.kind == "message" and not item.done:
            self._end_content(item, event.content_index, _object(event.part))

    def _end_content(self, item: _Item, number: int, part: dict[str, Any]) -> None:
        """A part of a message is over: what was not said of it is said now."""
        output, content = self._output, item.contents.get(number)
        if number in item.contents and content is None:
            return
        item.contents[number] = None
        if content is None:
            output.content(part)
            return
        if not content.said:
            text = part.get("text" if content.kind == "text" else "refusal")
            if isinstance(text, str) and text:
                output.given.append(TextDelta(content.index, text))
        output.cite(content.index, part, content.cited)
        output.close(content.index, BEFORE if content.kind == "text" else "")

    def _annotation(self, event: _Event) -> None:
        item = self._items.get(event.output_index)
        content = item.contents.get(event.content_index) if item is not None else None
        if content is None or not isinstance(event.annotation, dict):
            self._losses.dropped("output[].content[].annotations")
            return
        content.cited += 1
        self._output.given.append(CitationGiven(content.index, read_annotation(event.annotation)))

    def _done(self, event: _Event) -> None:
        self._item_done(event.output_index, _object(event.item))

    def _item_done(self, number: int, whole: dict[str, Any]) -> None:
        item = self._items.get(number)
        if item is None:
            self._output.start({})
            item = self._items[number] = _Item("", "")
        if item.done:
            return
        item.done = True
        content = item.contents.get(0)
        match whole.get("type"):
            case "message":
                self._output.note(whole)
                parts = whole.get("content")
                for position, part in enumerate(parts if isinstance(parts, list) else ()):
                    self._end_content(item, position, _object(part))
                self._close_rest(item)
            case "reasoning":
                self._output.thought(whole, -1 if content is None else content.index)
            case "function_call" | "custom_tool_call" if content is not None:
                arguments = whole.get("arguments" if whole["type"] == "function_call" else "input")
                if not content.said and isinstance(arguments, str) and arguments:
                    self._output.given.append(ToolCallDelta(content.index, arguments))
                self._output.note(whole)
                self._output.close(content.index, str(whole.get("call_id") or "") or BEFORE)
            case _:
                self._close_rest(item)
                if whole:
                    self._output.whole(whole)

    def _close_rest(self, item: _Item) -> None:
        for number, content in item.contents.items():
            if content is not None:
                item.contents[number] = None
                self._output.close(content.index)

    def _end(self, response: dict[str, Any]) -> None:
        """The response is over: items that were never said are said now."""
        self._output.start(response)
        output = response.get("output")
        for number, item in enumerate(output if isinstance(output, list) else ()):
            known = self._items.get(number)
            if isinstance(item, dict) and (known is None or not known.done):
                self._item_done(number, item)
        for item in self._items.values():
            if not item.done:
                self._close_rest(item)
        self._output.end(response)
        self._over = True


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


_HANDLERS: Mapping[str, Callable[[StreamReader, _Event], None]] = MappingProxyType(
    {
        "response.created": StreamReader._begin,
        "response.in_progress": StreamReader._begin,
        "response.output_text.delta": StreamReader._words,
        "response.refusal.delta": StreamReader._words,
        "response.function_call_arguments.delta": StreamReader._call_delta,
        "response.custom_tool_call_input.delta": StreamReader._call_delta,
        "response.reasoning_summary_text.delta": StreamReader._thought_delta,
        "response.reasoning_text.delta": StreamReader._thought_delta,
        "response.output_item.added": StreamReader._added,
        "response.output_item.done": StreamReader._done,
        "response.content_part.added": StreamReader._part_added,
        "response.content_part.done": StreamReader._part_done,
        "response.output_text.annotation.added": StreamReader._annotation,
    }
)
"""By the type of an event."""
