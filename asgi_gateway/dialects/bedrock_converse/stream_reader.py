"""Reads a stream of ConverseStream as events: binary frames with JSON inside."""

from typing import Any

import msgspec
from msgspec import Struct, field

from asgi_gateway.canonical import (
    CitationGiven,
    Event,
    Failed,
    Losses,
    Part,
    PartClosed,
    PartGiven,
    PartOpened,
    Seal,
    SignatureDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    UsageReported,
)
from asgi_gateway.canonical.events import OpenKind
from asgi_gateway.dialects.bedrock_converse.citations import read_citation
from asgi_gateway.dialects.bedrock_converse.errors import error_inside
from asgi_gateway.dialects.bedrock_converse.frames import Frame, FrameReader
from asgi_gateway.dialects.bedrock_converse.gathering import Gathering
from asgi_gateway.dialects.bedrock_converse.reasons import read_reason
from asgi_gateway.dialects.bedrock_converse.seals import read_seal
from asgi_gateway.dialects.bedrock_converse.usage import tools_in, usage_of
from asgi_gateway.errors import MalformedUpstream, UpstreamError

__all__ = ["StreamReader"]


class _Input(Struct):
    input: str = ""


class _Reasoning(Struct, rename="camel"):
    text: str | None = None
    signature: str | None = None
    redacted_content: str | None = None


class _Delta(Struct, rename="camel"):
    text: str | None = None
    tool_use: _Input | None = None
    reasoning_content: _Reasoning | None = None
    citation: dict[str, Any] | None = None
    tool_result: list[Any] | None = None
    image: dict[str, Any] | None = None


class _ToolUse(Struct, rename="camel"):
    tool_use_id: str = ""
    name: str = ""
    type: str | None = None


class _Start(Struct, rename="camel"):
    tool_use: _ToolUse | None = None
    tool_result: dict[str, Any] | None = None
    image: dict[str, Any] | None = None


class _Block(Struct):
    """Every event of a content block."""

    number: int = field(name="contentBlockIndex", default=0)
    start: _Start | None = None
    delta: _Delta | None = None


class _Rest(Struct, rename="camel"):
    """Every other event."""

    stop_reason: str = ""
    additional_model_response_fields: Any = None
    usage: Any = None
    service_tier: Any = None
    trace: Any = None


_block = msgspec.json.Decoder(_Block)
_rest = msgspec.json.Decoder(_Rest)

Open = tuple[int, OpenKind]


class StreamReader:
    """One stream."""

    __slots__ = (
        "_calls",
        "_failed",
        "_frames",
        "_gathered",
        "_losses",
        "_next",
        "_open",
        "_ran",
        "_seals",
        "_started",
        "_stopped",
        "_trailing",
    )

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._frames = FrameReader()
        self._started = self._stopped = self._failed = False
        self._next = 0
        self._open: dict[int, Open] = {}
        self._calls: dict[int, str] = {}
        self._trailing = (-1, "")
        """The tool call whose end came, but whose seal may stand behind it: its part and its id."""
        self._gathered: dict[int, Gathering] = {}
        self._ran: list[dict[str, Any]] = []
        """Calls of Amazon's own tools."""
        self._seals: dict[str, Seal] = {}
        """Of tool calls that did not begin yet."""

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are whole with this chunk."""
        given: list[Event] = []
        if self._failed:
            return given
        try:
            for frame in self._frames.feed(chunk):
                self._read(frame, given)
                if given and isinstance(given[-1], Failed):
                    break
        except (ValueError, RecursionError) as wrong:
            self._fail(MalformedUpstream(f"the upstream's stream is damaged: {str(wrong)[:200]}"), given)
        return given

    def finish(self) -> list[Event]:
        """The upstream ended its body."""
        given: list[Event] = []
        if not self._failed and (not self._stopped or not self._frames.is_empty):
            self._fail(MalformedUpstream("the upstream's stream ended too soon"), given)
        return given

    def _read(self, frame: Frame, given: list[Event]) -> None:
        if frame.kind == "event" and frame.name == "contentBlockDelta":
            if not self._stopped:
                block = _block.decode(frame.payload)
                if block.delta is not None:
                    self._delta(block.number, block.delta, given)
            return
        if frame.kind != "event":
            self._fail(_error_of(frame), given)
            return
        self._begin(given)
        match frame.name:
            case "messageStart" | "initial-response":
                pass
            case "contentBlockStart" | "contentBlockStop" if self._stopped:
                pass
            case "contentBlockStart":
                block = _block.decode(frame.payload)
                self._block_start(block.number, block.start or _Start(), given)
            case "contentBlockStop":
                self._close(_block.decode(frame.payload).number, given)
            case "messageStop":
                self._stop(_rest.decode(frame.payload), given)
            case "metadata":
                self._metadata(_rest.decode(frame.payload), given)
            case _:
                self._losses.dropped(frame.name[:64])

    def _begin(self, given: list[Event]) -> None:
        if not self._started:
            self._started = True
            given.append(Started())

    def _delta(self, number: int, delta: _Delta, given: list[Event]) -> None:
        if delta.text is not None:
            index = self._opened(number, "text", given)
            if delta.text:
                given.append(TextDelta(index, delta.text))
        elif delta.tool_use is not None:
            if number in self._gathered:
                self._gathered[number].add(delta.tool_use.input)
            elif number in self._open and delta.tool_use.input:
                given.append(ToolCallDelta(self._open[number][0], delta.tool_use.input))
        elif delta.reasoning_content is not None:
            self._reasoning(number, delta.reasoning_content, given)
        elif delta.citation is not None:
            index = self._opened(number, "text", given)
            given.append(CitationGiven(index, read_citation(delta.citation)))
        elif number in self._gathered:
            for piece in delta.tool_result or [delta.image]:
                self._gathered[number].add(piece)

    def _reasoning(self, number: int, reasoning: _Reasoning, given: list[Event]) -> None:
        if reasoning.text:
            given.append(ThinkingDelta(self._opened(number, "thinking", given), reasoning.text))
        data = reasoning.redacted_content or reasoning.signature
        if not data:
            return
        seal, call = read_seal(data, redacted=bool(reasoning.redacted_content))
        if call and call == self._trailing[1]:
            given.append(SignatureDelta(self._trailing[0], seal))
            return
        if call:
            self._seals[call] = seal
            return
        given.append(SignatureDelta(self._opened(number, "thinking", given), seal))

    def _opened(self, number: int, kind: OpenKind, given: list[Event]) -> int:
        """The part of a block, opened when it is not: texts and thinking begin with their first delta."""
        found = self._open.get(number)
        if found is not None:
            if found[1] == kind:
                return found[0]
            self._close(number, given)
        self._begin(given)
        return self._new(number, kind, given)

    def _new(self, number: int, kind: OpenKind, given: list[Event], id: str = "", name: str = "") -> int:
        self._let_go(given)
        index = self._next
        self._next += 1
        self._open[number] = (index, kind)
        given.append(PartOpened(index, kind, id=id, name=name))
        return index

    def _block_start(self, number: int, start: _Start, given: list[Event]) -> None:
        self._close(number, given)
        call = start.tool_use
        if call is not None and not call.type:
            index = self._new(number, "tool_call", given, call.tool_use_id, call.name)
            self._calls[number] = call.tool_use_id
            seal = self._seals.pop(call.tool_use_id, None)
            if seal is not None:
                given.append(SignatureDelta(index, seal))
        elif call is not None:
            about = {"toolUseId": call.tool_use_id, "name": call.name, "type": call.type}
            self._gathered[number] = Gathering("toolUse", about)
            self._ran.append(about)
        elif start.tool_result is not None:
            self._gathered[number] = Gathering("toolResult", start.tool_result)
        elif start.image is not None:
            self._gathered[number] = Gathering("image", start.image)

    def _let_go(self, given: list[Event]) -> None:
        """Close the tool call that only waited for a seal behind it."""
        if self._trailing[1]:
            given.append(PartClosed(self._trailing[0]))
            self._trailing = (-1, "")

    def _close(self, number: int, given: list[Event]) -> None:
        found = self._open.pop(number, None)
        call = self._calls.pop(number, "")
        if found is not None and call:
            self._let_go(given)
            self._trailing = (found[0], call)
        elif found is not None:
            given.append(PartClosed(found[0]))
        gathered = self._gathered.pop(number, None)
        part: Part | None = None if gathered is None else gathered.part(self._losses)
        if part is not None:
            self._let_go(given)
            given.append(PartGiven(self._next, part))
            self._next += 1

    def _stop(self, event: _Rest, given: list[Event]) -> None:
        if self._stopped:
            return
        self._stopped = True
        for number in sorted({*self._open, *self._gathered}):
            self._close(number, given)
        self._let_go(given)
        if self._seals:
            self._losses.dropped("reasoningContent")
        given.append(read_reason(event.stop_reason, event.additional_model_response_fields, self._losses))

    def _metadata(self, event: _Rest, given: list[Event]) -> None:
        usage = usage_of(event.usage, event.service_tier, tools_in(self._ran))
        if usage is not None:
            given.append(UsageReported(usage))
        if event.trace is not None:
            self._losses.dropped("trace")

    def _fail(self, error: UpstreamError, given: list[Event]) -> None:
        self._failed = True
        self._begin(given)
        given.append(Failed(error))


def _error_of(frame: Frame) -> UpstreamError:
    try:
        payload = msgspec.json.decode(frame.payload)
    except (ValueError, RecursionError):
        payload = None
    if frame.kind == "error":
        code, _, text = frame.name.partition(": ")
        return error_inside(code, {"message": text})
    return error_inside(frame.name, payload)
