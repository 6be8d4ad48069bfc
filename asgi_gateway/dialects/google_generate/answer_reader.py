"""An upstream's answer, read into events: whole, or chunk by chunk.

Follows https://ai.google.dev/api/generate-content#generatecontentresponse. Each chunk of a stream is a whole
`GenerateContentResponse`; its usage is cumulative. A candidate may name its reason to finish in more than one chunk, so
`Stopped` waits for the end. A prompt that was blocked is an answer: it stops by `content_filter`.
"""

from datetime import UTC, datetime
from typing import Any

import msgspec

from asgi_gateway.canonical import Event, Failed, Losses, Started, Stopped, Usage, UsageReported
from asgi_gateway.dialects import sse
from asgi_gateway.dialects.google_generate.candidate_reader import CandidateReader, Numbers
from asgi_gateway.dialects.google_generate.chunks import Answer, Candidate, usual
from asgi_gateway.dialects.google_generate.errors import error_inside
from asgi_gateway.dialects.google_generate.names import DEFAULT_TIER
from asgi_gateway.dialects.google_generate.ran_tools import RanTools
from asgi_gateway.dialects.google_generate.reasons import name_of, stop_reason
from asgi_gateway.dialects.google_generate.usage import Reported, usage_of
from asgi_gateway.errors import MalformedUpstream, UpstreamError

__all__ = ["AnswerReader", "StreamOfAnswers", "read_answer"]

BOM = b"\xef\xbb\xbf"

MOST_CANDIDATES = 128

KNOWN = frozenset(
    {"candidates", "createTime", "error", "modelVersion", "promptFeedback", "responseId", "usageMetadata"}
)


def read_answer(body: bytes, losses: Losses) -> list[Event]:
    """The events of a plain answer. Raises `UpstreamError` for an error inside it."""
    reader = AnswerReader(losses)
    events = reader.add(body.removeprefix(BOM).strip())
    events += reader.finish()
    for event in events:
        if isinstance(event, Failed):
            raise event.error
    return events


class AnswerReader:
    """Takes chunks, gives events. After a failure nothing comes any more."""

    __slots__ = ("_blocked", "_candidates", "_failed", "_losses", "_model", "_numbers", "_ran", "_started", "_usage")

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._numbers = Numbers()
        self._candidates: dict[int, CandidateReader] = {}
        self._model = ""
        self._ran = RanTools()
        self._started = False
        self._usage: Usage | None = None
        self._failed = False
        self._blocked: dict[str, Any] | None = None

    def add(self, data: bytes) -> list[Event]:
        """The events of one chunk: a JSON object, or an array of such."""
        out: list[Event] = []
        if self._failed:
            return out
        answer = usual(data)
        if answer is not None and (answer.candidates or answer.usage_metadata is not None):
            try:
                self._usual(answer, out)
            except UnicodeDecodeError:  # arguments of calls are passed on undecoded
                self._fail(MalformedUpstream("the upstream's answer is no valid UTF-8"), out)
            return out
        try:
            value = msgspec.json.decode(data)
        except (ValueError, RecursionError):
            self._fail(MalformedUpstream("the upstream's answer is no complete JSON object"), out)
            return out
        for chunk in value if isinstance(value, list) else (value,):
            if not self._failed:
                self._unusual(chunk, out)
        return out

    def finish(self) -> list[Event]:
        """The end of the answer."""
        out: list[Event] = []
        if self._failed:
            return out
        if self._blocked is not None and not self._candidates:
            name = str(self._blocked.get("blockReason", ""))
            out.append(Stopped("content_filter", 0, "", name, {"promptFeedback": self._blocked}))
            return out
        for reader in self._candidates.values():
            reader.end(out)
        self._count_tools(out)
        if not self._candidates or not all(reader.reason for reader in self._candidates.values()):
            self._fail(MalformedUpstream("the upstream's answer ended too soon"), out)
            return out
        for choice, reader in self._candidates.items():
            reason = stop_reason(reader.reason, called=reader.called)
            out.append(Stopped(reason, choice, "", reader.reason, reader.details or None))
        return out

    def _usual(self, answer: Answer, out: list[Event]) -> None:
        usage = answer.usage_metadata
        if not self._started:
            tier = usage.serviceTier if usage is not None else None
            self._start(answer.response_id, answer.model_version, answer.create_time, tier, out)
        for candidate in answer.candidates:
            reader = self._candidates.get(candidate.index) or self._candidate(candidate.index, out)
            if reader is None:
                self._losses.dropped("candidates[].index")
                continue
            self._read(reader, candidate, out)
        if usage is not None:
            self._report(usage, out)

    def _read(self, reader: CandidateReader, candidate: Candidate, out: list[Event]) -> None:
        if candidate.content is not None:
            for part in candidate.content.parts:
                call = part.function_call
                if call is None:
                    reader.text(part.text or "", thought=part.thought, signature=part.thought_signature, out=out)
                else:
                    given = bytes(call.args)
                    args = msgspec.json.format(given, indent=-1) if given and given != b"null" else None
                    reader.call(call.name, call.id, args, part.thought_signature, out)
        if candidate.finish_reason:
            reader.reason = name_of(candidate.finish_reason)

    def _unusual(self, chunk: Any, out: list[Event]) -> None:
        if not isinstance(chunk, dict):
            self._fail(MalformedUpstream("the upstream's answer is no JSON object"), out)
            return
        if chunk.get("error"):
            self._fail(error_inside(chunk), out)
            return
        reported = chunk.get("usageMetadata")
        if not self._started:
            tier = reported.get("serviceTier") if isinstance(reported, dict) else None
            id, model = chunk.get("responseId"), chunk.get("modelVersion")
            self._start(id, model, chunk.get("createTime"), tier, out)
        feedback = chunk.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            self._blocked = feedback
        for name in chunk.keys() - KNOWN:
            self._losses.dropped(name)
        candidates = chunk.get("candidates")
        for candidate in candidates if isinstance(candidates, list) else ():
            if isinstance(candidate, dict):
                self._add_candidate(candidate, out)
        if reported is not None:
            self._report(reported, out)

    def _add_candidate(self, candidate: dict[str, Any], out: list[Event]) -> None:
        number = candidate.get("index") or 0
        reader = self._candidate(number, out) if isinstance(number, int) else None
        if reader is None:
            self._losses.dropped("candidates[].index")
            return
        reader.beyond(candidate)
        self._ran.add(candidate)
        content = candidate.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict):
                reader.part(part, out)
        reason = name_of(candidate.get("finishReason"))
        if reason:
            reader.reason = reason

    def _candidate(self, number: int, out: list[Event]) -> CandidateReader | None:
        if not 0 <= number < MOST_CANDIDATES:
            return None
        return self._candidates.setdefault(number, CandidateReader(number, self._numbers, self._losses))

    def _start(self, id: Any, model: Any, created: Any, tier: Any, out: list[Event]) -> None:
        self._started = True
        id, model = id if isinstance(id, str) else "", model if isinstance(model, str) else ""
        self._numbers.id = id
        self._model = model
        tier = tier.lower() if isinstance(tier, str) else ""
        out.append(Started(id, model, _seconds(created), DEFAULT_TIER.get(tier, tier)))

    def _report(self, reported: Reported | Any, out: list[Event]) -> None:
        usage = usage_of(reported)
        if usage is not None:
            self._usage = usage
            out.append(UsageReported(usage))

    def _count_tools(self, out: list[Event]) -> None:
        """Tell what tools were used, as no report does."""
        tools = self._ran.counts(self._model)
        if tools and self._usage is not None:
            out.append(UsageReported(msgspec.structs.replace(self._usage, tools=tools)))

    def _fail(self, error: UpstreamError, out: list[Event]) -> None:
        if not self._started:
            self._start("", "", None, "", out)
        self._failed = True
        out.append(Failed(error))


class StreamOfAnswers:
    """Reads one event stream of chunks."""

    __slots__ = ("_held", "_reader")

    def __init__(self, losses: Losses) -> None:
        self._reader = AnswerReader(losses)
        self._held = bytearray()

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that are whole with this chunk."""
        held = self._held
        if not held and chunk.endswith((b"\n\n", b"\n\r\n")):
            return self._read(chunk)
        start = max(0, len(held) - 3)
        held += chunk
        end = sse.boundary(held, start) if b"\n" in chunk else 0
        if not end:
            return []
        block = bytes(held[:end])
        del held[:end]
        return self._read(block)

    def finish(self) -> list[Event]:
        """The end: what is held is the last chunk, whose blank line is missing."""
        events = self._read(bytes(self._held)) if self._held else []
        self._held.clear()
        return events + self._reader.finish()

    def _read(self, block: bytes) -> list[Event]:
        out: list[Event] = []
        for event in sse.events(block.removeprefix(BOM)):
            data = sse.data_of(event).strip()
            if data:
                out += self._reader.add(data)
        return out


def _seconds(created: Any) -> int:
    """Seconds since the epoch of a time as RFC 3339 has it; 0 when there is none."""
    if not isinstance(created, str) or not created:
        return 0
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return 0
    return int((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp())
