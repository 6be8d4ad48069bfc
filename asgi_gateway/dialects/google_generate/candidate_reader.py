"""One candidate of an answer, read part by part: the same for whole answers and for streams.

Parts that follow each other and are of one kind are one part: a stream cuts texts anywhere. A signature ends its part.
"""

from typing import Any

import msgspec

from asgi_gateway.canonical import (
    CitationGiven,
    Event,
    LogprobsGiven,
    Losses,
    Native,
    Part,
    PartClosed,
    PartGiven,
    PartOpened,
    SignatureDelta,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
)
from asgi_gateway.canonical.events import OpenKind
from asgi_gateway.dialects.google_generate.grounding import BESIDE, citations_of
from asgi_gateway.dialects.google_generate.media import read_media
from asgi_gateway.dialects.google_generate.names import NAME, made_id, seal_of
from asgi_gateway.dialects.google_generate.part_reader import hosted_part
from asgi_gateway.dialects.google_generate.streamed_arguments import StreamedArguments
from asgi_gateway.dialects.node import Node
from asgi_gateway.errors import InvalidRequest

__all__ = ["CandidateReader", "Numbers"]

ANSWER_ID_LIMIT = 40
"""Characters of an answer's id that go into ids of its calls: Google's own have about 22."""

_encode = msgspec.json.Encoder().encode


class Numbers:
    """What all candidates of an answer share: the count of parts, of calls, and the answer's id."""

    __slots__ = ("calls", "id", "parts")

    def __init__(self) -> None:
        self.parts = 0
        self.calls = 0
        self.id = ""

    def part(self) -> int:
        """The next index."""
        self.parts += 1
        return self.parts - 1

    def call_id(self, name: str) -> str:
        """An id for a call that has none: unique in a conversation where the answer has an id."""
        self.calls += 1
        return made_id(self.id[:ANSWER_ID_LIMIT] or name[:ANSWER_ID_LIMIT], self.calls - 1)


class CandidateReader:
    """Turns the parts of one candidate into events."""

    __slots__ = (
        "_arguments",
        "_choice",
        "_index",
        "_kind",
        "_logprobs",
        "_losses",
        "_numbers",
        "_pieces",
        "_ran",
        "_sealed",
        "beside",
        "called",
        "details",
        "reason",
    )

    def __init__(self, choice: int, numbers: Numbers, losses: Losses) -> None:
        self.reason = ""
        """Google's name of why it stopped; "" before."""
        self.called = False
        self.beside: dict[str, Any] = {}
        """What stood beside the parts and tells of sources."""
        self.details: dict[str, Any] = {}
        """What else stood beside the parts."""
        self._choice = choice
        self._numbers = numbers
        self._losses = losses
        self._kind: OpenKind | None = None
        self._index = -1
        self._pieces: list[str] = []
        self._sealed = False
        self._arguments: StreamedArguments | None = None
        self._logprobs: list[TokenLogprob] = []
        self._ran = ""

    def text(self, text: str, *, thought: bool, signature: str, out: list[Event]) -> None:
        """More of a text or of a thought."""
        if not text and not signature:
            return
        kind: OpenKind = "thinking" if thought else "text"
        if self._kind != kind or self._sealed:
            self._open(kind, out)
        if text:
            if thought:
                out.append(ThinkingDelta(self._index, text))
            else:
                self._pieces.append(text)
                out.append(TextDelta(self._index, text))
        if signature:
            self._seal(signature, out)
            # What has a signature must not be merged with what has none: the next text is a part of its own.
            self._sealed = True

    def call(self, name: str, id: str, args: bytes | None, signature: str, out: list[Event]) -> None:
        """A whole function call; `args` is its JSON object."""
        self._open("tool_call", out, id=id or self._numbers.call_id(name), name=name)
        self._seal(signature, out)
        if args is not None:
            out.append(ToolCallDelta(self._index, args.decode()))
        self.close(out)

    def part(self, part: dict[str, Any], out: list[Event]) -> None:
        """A part of any kind."""
        signature = part.get("thoughtSignature")
        signature = signature if isinstance(signature, str) else ""
        text = part.get("text")
        call = part.get("functionCall")
        if isinstance(text, str):
            self.text(text, thought=part.get("thought") is True, signature=signature, out=out)
        elif isinstance(call, dict):
            self._called(call, signature, out)
        elif signature and part.keys() <= {"thoughtSignature", "thought"}:
            self.text("", thought=part.get("thought") is True, signature=signature, out=out)
        elif part:
            given = self._whole(part, signature)
            self.close(out)
            out.append(PartGiven(self._numbers.part(), given, self._choice))

    def close(self, out: list[Event]) -> None:
        """Close what is open."""
        if self._kind is None:
            return
        if self._arguments is not None:
            out.append(ToolCallDelta(self._index, _encode(self._arguments.value).decode()))
            self._arguments = None
        if self._kind == "text" and self._logprobs:
            self._give_logprobs(out)
        self._pieces.clear()
        out.append(PartClosed(self._index))
        self._kind = None

    def beyond(self, candidate: dict[str, Any]) -> None:
        """Remember what stands beside the parts."""
        for name, value in candidate.items():
            if name in BESIDE:
                known = self.beside.get(name)
                both = isinstance(known, dict) and isinstance(value, dict)
                self.beside[name] = {**known, **value} if both else value  # type: ignore[dict-item] # both are dicts
            elif name == "logprobsResult":
                self._logprobs += _logprobs(value)
            elif name not in ("content", "finishReason", "index"):
                self.details[name] = value
        if candidate.get("finishReason") == "STOP":  # then the message tells nothing that the parts do not show
            self.details.pop("finishMessage", None)

    def end(self, out: list[Event]) -> None:
        """The candidate is over: tell the sources, close what is open."""
        citations = citations_of(self.beside, "".join(self._pieces)) if self.beside else []
        if (citations or self._logprobs) and self._kind != "text":
            self._open("text", out)
            if citations:
                self._losses.approximated("groundingMetadata.groundingSupports")
        out += [CitationGiven(self._index, citation) for citation in citations]
        self.close(out)
        for name, value in self.beside.items():
            out.append(PartGiven(self._numbers.part(), Native(NAME, name, value), self._choice))

    def _open(self, kind: OpenKind, out: list[Event], id: str = "", name: str = "") -> None:
        self.close(out)
        if kind == "tool_call":
            self.called = True
        self._kind = kind
        self._sealed = False
        self._index = self._numbers.part()
        out.append(PartOpened(self._index, kind, self._choice, id, name))

    def _seal(self, signature: str, out: list[Event]) -> None:
        seal = seal_of(signature)
        if seal is not None:
            out.append(SignatureDelta(self._index, seal))

    def _called(self, call: dict[str, Any], signature: str, out: list[Event]) -> None:
        """A call that is whole, or a piece of one."""
        name, id, args = call.get("name"), call.get("id"), call.get("args")
        name, id = name if isinstance(name, str) else "", id if isinstance(id, str) else ""
        more = call.get("willContinue") is True
        if not name and self._arguments is None:
            self._losses.dropped("functionCall")
            return
        if name:
            if not more and not call.get("partialArgs"):
                self.call(name, id, None if args is None else _encode(args), signature, out)
                return
            self._open("tool_call", out, id=id or self._numbers.call_id(name), name=name)
            self._arguments = StreamedArguments()
            if isinstance(args, dict):
                self._arguments.value.update(args)
        self._seal(signature, out)
        pieces = call.get("partialArgs")
        for piece in pieces if isinstance(pieces, list) else ():
            if self._arguments is not None and not self._arguments.add(piece):
                self._losses.dropped("functionCall.partialArgs")
        if not more:
            self.close(out)

    def _whole(self, part: dict[str, Any], signature: str) -> Part:
        if part.get("thought") is True:
            return Native(NAME, "contents[].parts[].thought", part)
        seal = seal_of(signature)
        try:
            media = read_media(Node(part), self._losses)
            if media is not None:
                return msgspec.structs.replace(media, seal=seal) if seal is not None else media
            hosted = hosted_part(part, self._numbers.call_id("hosted"), self._ran)
        except InvalidRequest:
            hosted = None
        if hosted is None:
            return Native(NAME, "contents[].parts[]." + next(iter(part)), part)
        self._ran = getattr(hosted, "id", self._ran)
        return hosted

    def _give_logprobs(self, out: list[Event]) -> None:
        out.append(LogprobsGiven(self._index, tuple(self._logprobs)))
        self._logprobs.clear()


def _logprobs(result: Any) -> list[TokenLogprob]:
    if not isinstance(result, dict):
        return []
    chosen, others = result.get("chosenCandidates"), result.get("topCandidates")
    others = others if isinstance(others, list) else []
    made: list[TokenLogprob] = []
    for number, given in enumerate(chosen if isinstance(chosen, list) else ()):
        beside = others[number].get("candidates") if number < len(others) and isinstance(others[number], dict) else None
        top = tuple(_token(token) for token in beside if isinstance(token, dict)) if isinstance(beside, list) else ()
        if isinstance(given, dict):
            token = _token(given)
            made.append(TokenLogprob(token.token, token.logprob, None, top))
    return made


def _token(given: dict[str, Any]) -> TokenLogprob:
    text, probability = given.get("token"), given.get("logProbability")
    return TokenLogprob(
        text if isinstance(text, str) else "", float(probability) if isinstance(probability, int | float) else 0.0
    )
