"""A stream to a caller: events of `GenerateContentResponse`, or one array of them when it did not ask for `alt=sse`.

Follows https://ai.google.dev/api/generate-content#method:-models.streamgeneratecontent. Texts and thoughts go out as
they come; calls, media and code go out whole. The last chunks say why each candidate stopped, and what was used.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from asgi_gateway.canonical import (
    Citation,
    CitationGiven,
    Event,
    Failed,
    LogprobsGiven,
    PartClosed,
    PartGiven,
    PartOpened,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReported,
)
from asgi_gateway.canonical.seals import Seal
from asgi_gateway.dialects.contract import AnswerContext
from asgi_gateway.dialects.google_generate.answer_parts import CandidateWriter
from asgi_gateway.dialects.google_generate.names import signature_of
from asgi_gateway.dialects.google_generate.response_writer import blocked, identity, write_logprobs
from asgi_gateway.dialects.google_generate.usage import write_usage

__all__ = ["AnswerStream"]

_encode = msgspec.json.Encoder().encode


class _Open:
    """A part that is open."""

    __slots__ = ("citations", "opened", "pieces", "seal")

    def __init__(self, opened: PartOpened) -> None:
        self.opened = opened
        self.pieces: list[str] = []
        self.citations: list[Citation] = []
        self.seal: Seal | None = None


class AnswerStream:
    """Writes one stream."""

    __slots__ = (
        "_array",
        "_begun",
        "_candidates",
        "_context",
        "_logprobs",
        "_open",
        "_said",
        "_stopped",
        "_tail",
        "_usage",
    )

    def __init__(self, context: AnswerContext) -> None:
        self._context = context
        self._array = context.framing == "json-array"
        self._begun = False
        self._tail = b""
        self._open: dict[int, _Open] = {}
        self._candidates: dict[int, CandidateWriter] = {}
        self._stopped: dict[int, Stopped] = {}
        self._logprobs: dict[int, list[TokenLogprob]] = {}
        self._said: set[int] = set()
        self._usage: Usage | None = None
        self._name("", "")

    def write(self, events: Sequence[Event]) -> bytes:
        """The chunks for these events."""
        out: list[bytes] = []
        for event in events:
            match event:
                case TextDelta():
                    part = self._open[event.index]
                    part.pieces.append(event.text)
                    out.append(self._text(b'{"text":' + _encode(event.text) + b"}", part.opened.choice))
                case ThinkingDelta():
                    part = self._open[event.index]
                    text = b'{"text":' + _encode(event.text) + b',"thought":true}'
                    out.append(self._text(text, part.opened.choice))
                case ToolCallDelta():
                    self._open[event.index].pieces.append(event.arguments)
                case PartOpened():
                    self._open[event.index] = _Open(event)
                case PartClosed():
                    self._closed(self._open.pop(event.index), out)
                case _:
                    self._seldom(event, out)
        return b"".join(out)

    def finish(self) -> bytes:
        """The last chunks."""
        out: list[bytes] = []
        for part in list(self._open.values()):  # a good stream leaves none
            self._closed(part, out)
        choices = sorted({*self._candidates, *self._stopped}) or [0]
        for number in choices:
            last = number == choices[-1]
            out.append(self._last(number, last=last))
        if self._array:
            out.append(b"\n]")
        return b"".join(out)

    def _seldom(self, event: Event, out: list[bytes]) -> None:
        match event:
            case Started():
                self._name(event.id, event.model)
            case SignatureDelta():
                self._open[event.index].seal = event.seal
            case CitationGiven():
                self._open[event.index].citations.append(event.citation)
            case LogprobsGiven():
                choice = self._open[event.index].opened.choice
                self._logprobs.setdefault(choice, []).extend(event.tokens)
            case PartGiven():
                for written in self._candidate(event.choice).parts(event.part):
                    out.append(self._text(_encode(written), event.choice))
            case UsageReported():
                self._usage = event.usage
            case Stopped():
                self._stopped[event.choice] = event
            case Failed():
                raise AssertionError("a failed stream ends as an error")

    def _closed(self, part: _Open, out: list[bytes]) -> None:
        opened, seal = part.opened, part.seal
        candidate = self._candidate(opened.choice)
        if opened.kind == "tool_call":
            arguments = "".join(part.pieces)
            call = ToolCall(id=opened.id, name=opened.name, arguments=arguments, custom=opened.custom, seal=seal)
            for written in candidate.parts(call):
                out.append(self._text(_encode(written), opened.choice))
            return
        if opened.kind == "refusal":
            self._context.losses.approximated("refusal")
        if seal is not None:
            written = {"text": "", "thought": True} if opened.kind == "thinking" else {"text": ""}
            out.append(self._text(_encode({**written, "thoughtSignature": signature_of(seal)}), opened.choice))
        candidate.count("".join(part.pieces), part.citations)

    def _candidate(self, choice: int) -> CandidateWriter:
        candidate = self._candidates.get(choice)
        if candidate is None:
            candidate = self._candidates[choice] = CandidateWriter(choice, self._context.losses)
        return candidate

    def _name(self, id: str, model: str) -> None:
        self._tail = b"," + _encode(identity(id, model, self._context))[1:]

    def _text(self, part: bytes, choice: int) -> bytes:
        """A chunk with one part."""
        self._said.add(choice)
        content = b'{"candidates":[{"content":{"parts":[' + part + b'],"role":"model"},"index":%d}]' % choice
        return self._framed(content + self._tail)

    def _last(self, number: int, *, last: bool) -> bytes:
        """The chunk with which a candidate ends; the last one of all tells the usage."""
        stopped = self._stopped.get(number)
        chunk: dict[str, Any] = {}
        feedback = None if self._said else blocked(stopped)
        if feedback is not None:
            chunk["promptFeedback"] = feedback
        else:
            ended = self._candidate(number).end(stopped)
            # An empty text, as Google ends its streams: its clients show "nothing" where there is no part at all.
            ended = {"content": {"parts": [{"text": ""}], "role": "model"}, **ended}
            if number in self._logprobs:
                ended["logprobsResult"] = write_logprobs(tuple(self._logprobs[number]))
            chunk["candidates"] = [ended]
        if last and self._usage is not None:
            chunk["usageMetadata"] = write_usage(self._usage, self._context.losses)
        return self._framed(_encode(chunk)[:-1] + self._tail)

    def _framed(self, chunk: bytes) -> bytes:
        if not self._array:
            return b"data: " + chunk + b"\r\n\r\n"
        begun, self._begun = self._begun, True
        return (b"\n,\n" if begun else b"[") + chunk
