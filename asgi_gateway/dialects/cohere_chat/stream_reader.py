"""Reads a stream of Cohere as events.

Contents and tool calls have positions of their own on the wire; citations come between the deltas of their text, or
behind its end. So a text is closed only when the next thing begins.
"""

from typing import Any

import msgspec
from msgspec import Struct

from asgi_gateway.canonical import (
    CitationGiven,
    Event,
    Failed,
    LogprobsGiven,
    Losses,
    PartClosed,
    PartOpened,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    UsageReported,
)
from asgi_gateway.canonical.events import OpenKind
from asgi_gateway.dialects import sse
from asgi_gateway.dialects.cohere_chat.citations import content_index, of_text, read_citation
from asgi_gateway.dialects.cohere_chat.errors import error_inside, failure
from asgi_gateway.dialects.cohere_chat.reasons import FAILURES, read_reason
from asgi_gateway.dialects.cohere_chat.response_reader import read_logprobs
from asgi_gateway.dialects.cohere_chat.usage import usage_of
from asgi_gateway.errors import MalformedUpstream, UpstreamError

__all__ = ["StreamReader"]

SKIPPED = frozenset({"citation-end", "debug", ""})
"""Events that say nothing."""


class _Content(Struct):
    type: str | None = None
    text: str | None = None
    thinking: str | None = None


class _Function(Struct):
    name: str | None = None
    arguments: str | None = None


class _Call(Struct):
    id: str | None = None
    function: _Function | None = None


class _Message(Struct):
    content: _Content | list[Any] | None = None
    tool_calls: _Call | list[Any] | None = None
    citations: dict[str, Any] | list[Any] | None = None
    tool_plan: str | None = None


class _Delta(Struct):
    message: _Message | None = None
    finish_reason: str | None = None
    error: Any = None
    usage: Any = None


class _Event(Struct):
    type: str = ""
    id: str | None = None
    index: int | None = None
    delta: _Delta | None = None
    logprobs: Any = None
    message: Any = None


_decoder = msgspec.json.Decoder(_Event)


class StreamReader:
    """One stream."""

    __slots__ = (
        "_calls",
        "_contents",
        "_held",
        "_losses",
        "_next",
        "_over",
        "_plan",
        "_started",
        "_texts",
        "_trailing",
    )

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._held = bytearray()
        self._started = False
        self._over = False
        self._next = 0
        self._contents: dict[int, tuple[int, OpenKind]] = {}
        self._calls: dict[int, int] = {}
        self._plan = -1
        self._texts: dict[int, int] = {}
        self._trailing = -1
        """The content whose end came, but may still get citations."""

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are whole with this chunk."""
        held = self._held
        start = max(0, len(held) - 2)
        held += chunk
        end = sse.boundary(held, start)
        if not end:
            return []
        block = bytes(held[:end])
        del held[:end]
        given: list[Event] = []
        for event in sse.events(block):
            self._read(event, given)
        return given

    def finish(self) -> list[Event]:
        """The upstream ended its body."""
        given: list[Event] = []
        if self._held:
            self._read(bytes(self._held), given)
            self._held.clear()
        if not self._over:
            self._fail(MalformedUpstream("the upstream's stream ended too soon"), given)
        return given

    def _read(self, event: bytes, given: list[Event]) -> None:
        if self._over:
            return
        data = event.partition(b"\ndata:")[2]
        try:
            read = _decoder.decode(data)
        except (ValueError, RecursionError):
            data = sse.data_of(event).strip()  # an event of another form: data alone, or in several lines
            if not data or data == b"[DONE]":
                return
            try:
                read = _decoder.decode(data)
            except (ValueError, RecursionError):
                self._fail(MalformedUpstream("the upstream's stream holds an event that is none of Cohere's"), given)
                return
        delta = read.delta
        message = delta.message if delta is not None else None
        content = message.content if message is not None else None
        if read.type == "content-delta" and isinstance(content, _Content):
            self._content_delta(read, content, given)
        elif delta is None and not read.type and isinstance(read.message, str):
            self._fail(error_inside({"message": read.message}), given)
        else:
            self._other(read, message or _Message(), given)

    def _other(self, read: _Event, message: _Message, given: list[Event]) -> None:
        self._start(read.id or "", given)
        match read.type:
            case "message-start" | "content-delta":
                pass  # a delta without a content has nothing in it
            case "content-start":
                self._content_start(read.index or 0, message.content, given)
            case "content-end":
                self._content_end(read.index or 0, given)
            case "tool-plan-delta":
                self._plan_delta(message.tool_plan or "", given)
            case "tool-call-start" | "tool-call-delta" | "tool-call-end":
                self._call(read.type, read.index or 0, message.tool_calls, given)
            case "citation-start":
                self._citation(message.citations, given)
            case "message-end":
                self._end(read.delta or _Delta(), given)
            case kind if kind not in SKIPPED:
                self._losses.dropped(kind[:64])

    def _start(self, id: str, given: list[Event]) -> None:
        if not self._started:
            self._started = True
            given.append(Started(id=id))

    def _open(self, kind: OpenKind, given: list[Event], id: str = "", name: str = "") -> int:
        index = self._next
        self._next += 1
        given.append(PartOpened(index, kind, id=id, name=name))
        return index

    def _content_start(self, number: int, content: Any, given: list[Event]) -> None:
        self._content_end(number, given)
        self._let_go(given)
        kind: OpenKind = "text"
        if isinstance(content, _Content):
            if content.type == "thinking":
                kind = "thinking"
            elif content.type not in ("text", None):
                self._losses.dropped(f"message.content[].{content.type[:64]}")
        self._close_plan(given)
        index = self._open(kind, given)
        self._contents[number] = (index, kind)
        if kind == "text":
            self._texts[number] = index
        if isinstance(content, _Content):
            self._say(index, kind, content, given)

    def _content_delta(self, read: _Event, content: _Content, given: list[Event]) -> None:
        number = read.index or 0
        found = self._contents.get(number)
        if found is None:
            self._start("", given)
            kind = "thinking" if content.thinking is not None else "text"
            self._content_start(number, _Content(kind), given)
            found = self._contents[number]
        index, known = found
        self._say(index, known, content, given)
        if read.logprobs is not None:
            items = read.logprobs if isinstance(read.logprobs, list) else [read.logprobs]
            tokens = [token for item in items for token in read_logprobs(item)]
            if tokens:
                given.append(LogprobsGiven(index, tuple(tokens)))

    def _say(self, index: int, kind: OpenKind, content: _Content, given: list[Event]) -> None:
        if kind == "thinking":
            text = content.thinking or content.text
            if text:
                given.append(ThinkingDelta(index, text))
            return
        text = content.text or content.thinking
        if text:
            given.append(TextDelta(index, text))

    def _content_end(self, number: int, given: list[Event]) -> None:
        found = self._contents.get(number)
        if found is None:
            return
        if self._trailing not in (-1, number):
            self._let_go(given)
        if found[1] == "text":
            self._trailing = number
        else:
            del self._contents[number]
            given.append(PartClosed(found[0]))

    def _let_go(self, given: list[Event]) -> None:
        """Close the text that only waited for citations."""
        if self._trailing >= 0:
            index, _ = self._contents.pop(self._trailing)
            self._texts.pop(self._trailing, None)
            self._trailing = -1
            given.append(PartClosed(index))

    def _plan_delta(self, text: str, given: list[Event]) -> None:
        if self._plan < 0:
            self._let_go(given)
            self._plan = self._open("thinking", given)
        if text:
            given.append(ThinkingDelta(self._plan, text))

    def _close_plan(self, given: list[Event]) -> None:
        if self._plan >= 0:
            given.append(PartClosed(self._plan))
            self._plan = -1

    def _call(self, event: str, number: int, call: Any, given: list[Event]) -> None:
        found = call if isinstance(call, _Call) else _Call()
        function = found.function or _Function()
        if event == "tool-call-start":
            self._let_go(given)
            self._close_plan(given)
            if number in self._calls:
                given.append(PartClosed(self._calls.pop(number)))
            self._calls[number] = self._open("tool_call", given, found.id or "", function.name or "")
        if number not in self._calls:
            return
        if event == "tool-call-end":
            given.append(PartClosed(self._calls.pop(number)))
        elif function.arguments:
            given.append(ToolCallDelta(self._calls[number], function.arguments))

    def _citation(self, citations: Any, given: list[Event]) -> None:
        for citation in citations if isinstance(citations, list) else [citations]:
            if not isinstance(citation, dict):
                continue
            number = content_index(citation)
            if number is None:
                number = next(reversed(self._texts), -1)
            index = self._texts.get(number, -1)
            if index < 0 or not of_text(citation):
                self._losses.dropped("citations")
                continue
            given.extend(CitationGiven(index, one) for one in read_citation(citation))

    def _end(self, delta: _Delta, given: list[Event]) -> None:
        reason = delta.finish_reason or ""
        if reason in FAILURES or delta.error:
            self._fail(failure(reason, delta.error), given)
            return
        self._over = True
        self._let_go(given)
        self._close_plan(given)
        open_parts = [index for index, _ in self._contents.values()] + list(self._calls.values())
        given.extend(PartClosed(index) for index in sorted(open_parts))
        usage = usage_of(delta.usage)
        if usage is not None:
            given.append(UsageReported(usage))
        given.append(read_reason(reason))

    def _fail(self, error: UpstreamError, given: list[Event]) -> None:
        self._over = True
        self._start("", given)
        given.append(Failed(error))
