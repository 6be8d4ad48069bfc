"""Parts of an answer for a caller: the same for whole answers and for streams.

Calls stand whole. Seals of other makers travel wrapped in `thoughtSignature`: Google's clients send it back as it is.
"""

from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import (
    HostedCall,
    HostedResult,
    Losses,
    Media,
    Native,
    Part,
    Refusal,
    Seal,
    Stopped,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from asgi_gateway.dialects.google_generate.arguments import arguments_object
from asgi_gateway.dialects.google_generate.grounding import BESIDE, write_grounding
from asgi_gateway.dialects.google_generate.media import write_media
from asgi_gateway.dialects.google_generate.names import NAME, is_made, signature_of
from asgi_gateway.dialects.google_generate.reasons import finish_reason
from asgi_gateway.errors import InvalidRequest

__all__ = ["CandidateWriter"]

_object = msgspec.json.Decoder(dict[str, Any])

_DETAILS = ("safetyRatings", "finishMessage", "avgLogprobs", "tokenCount")
"""What Google says beside a reason to stop, and a caller of it understands."""


class CandidateWriter:
    """One candidate on its way to a caller: gives its parts, and remembers what stands beside them at the end."""

    __slots__ = ("_beside", "_cited", "_count", "_losses", "_queries", "choice")

    def __init__(self, choice: int, losses: Losses) -> None:
        self.choice = choice
        self._losses = losses
        self._beside: dict[str, Any] = {}
        self._cited: list[tuple[int, str, Any]] = []
        self._queries: list[str] = []
        self._count = 0

    def parts(self, part: Part) -> list[dict[str, Any]]:
        """The parts that a neutral part becomes: one, or none when it stands beside them or has no place."""
        written = self._part(part)
        if written is None:
            return []
        self._count += 1
        return [written]

    def count(self, text: str, citations: Any) -> None:
        """A text of a stream is over: its parts were written as it came."""
        if citations:
            self._cited.append((self._count, text, citations))
        self._count += 1

    def end(self, stopped: Stopped | None) -> dict[str, Any]:
        """The members of the candidate beside its content."""
        made: dict[str, Any] = {"finishReason": finish_reason(stopped, self._losses)}
        details = stopped.details if stopped is not None else None
        if isinstance(details, dict):
            made.update({name: details[name] for name in _DETAILS if name in details})
        grounding = write_grounding(self._cited)
        if self._queries:
            grounding["webSearchQueries"] = self._queries
        if grounding and "groundingMetadata" not in self._beside and "citationMetadata" not in self._beside:
            made["groundingMetadata"] = grounding
        made.update(self._beside)
        made["index"] = self.choice
        return made

    def _part(self, part: Part) -> dict[str, Any] | None:
        match part:
            case Text():
                if part.citations:
                    self._cited.append((self._count, part.text, part.citations))
                written = _sealed({"text": part.text}, part.seal)
                return written if part.text or len(written) > 1 else None
            case Refusal():
                self._losses.approximated("refusal")
                return {"text": part.text} if part.text else None
            case Thinking():
                written = _sealed({"text": part.text, "thought": True}, part.seal)
                return written if part.text or len(written) > 2 else None
            case ToolCall():
                return self._call(part)
            case Media():
                return self._media(part)
            case HostedCall() | HostedResult():
                return self._hosted(part)
            case Native():
                return self._native(part)
            case ToolResult():
                raise AssertionError("answers hold no results of the caller's tools")
        assert_never(part)

    def _call(self, part: ToolCall) -> dict[str, Any]:
        call: dict[str, Any] = {} if is_made(part.id) or not part.id else {"id": part.id}
        call["name"] = part.name
        call["args"] = msgspec.Raw(arguments_object(part, self._losses))
        return _sealed({"functionCall": call}, part.seal, part.id)

    def _media(self, part: Media) -> dict[str, Any] | None:
        try:
            return _sealed(write_media(part, self._losses), part.seal)
        except InvalidRequest:  # a file of another provider's: the caller could not read it either
            self._losses.dropped("file")
            return None

    def _hosted(self, part: HostedCall | HostedResult) -> dict[str, Any] | None:
        if part.dialect == NAME:
            return dict(part.native)
        if part.tool == "code_execution":
            self._losses.approximated("code_execution")
            return _ran(part)
        if isinstance(part, HostedCall) and part.tool == "web_search":
            query = _query(part)
            if query:  # one for each search, so that they are counted alike
                self._losses.approximated("web_search_call")
                self._queries.append(query)
                return None
        self._losses.dropped(f"{part.tool}_{'call' if isinstance(part, HostedCall) else 'result'}")
        return None

    def _native(self, part: Native) -> dict[str, Any] | None:
        if part.dialect != NAME:
            self._losses.dropped(part.field)
            return None
        if part.field in BESIDE:
            self._beside[part.field] = part.value
            return None
        return dict(part.value)


def _sealed(written: dict[str, Any], seal: Seal | None, call: str = "") -> dict[str, Any]:
    if seal is not None:
        written["thoughtSignature"] = signature_of(seal, call)
    return written


def _ran(part: HostedCall | HostedResult) -> dict[str, Any]:
    if isinstance(part, HostedCall):
        return {"executableCode": {"language": "PYTHON", "code": _argument(part, "code")}}
    output = "\n".join(shown.text for shown in part.parts if isinstance(shown, Text))
    outcome = "OUTCOME_FAILED" if part.failed else "OUTCOME_OK"
    return {"codeExecutionResult": {"outcome": outcome, "output": output}}


def _query(part: HostedCall) -> str:
    try:
        arguments = _object.decode(part.arguments)
    except (ValueError, RecursionError):
        return ""
    queries = arguments.get("queries")
    for value in (arguments.get("query"), *(queries if isinstance(queries, list) else ())):
        if isinstance(value, str) and value:
            return value
    return ""


def _argument(part: HostedCall, name: str) -> str:
    try:
        value = _object.decode(part.arguments).get(name)
    except (ValueError, RecursionError):
        return ""
    return value if isinstance(value, str) else ""
