"""Google's generateContent: what a request, an answer, a stream and an error must be.

https://ai.google.dev/api/generate-content
"""

import json
import re
from functools import cache
from typing import Any, NotRequired, Required

from google.genai import types
from typing_extensions import TypedDict

from support.strict.extensions import GOOGLE_GENERATE
from support.strict.shapes import Mistake, Shapes
from support.strict.wire import decode, events_of

__all__ = ["error", "error_event", "request", "response", "stream"]

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,127}")
_DATA = frozenset(
    {
        "text",
        "functionCall",
        "functionResponse",
        "inlineData",
        "fileData",
        "executableCode",
        "codeExecutionResult",
        "toolCall",
        "toolResponse",
    }
)

_STATUSES = frozenset(
    {
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "UNAUTHENTICATED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
    }
)
"""https://google.aip.dev/193: the codes of gRPC."""


class _Request(TypedDict):
    """The body, as the SDK puts it together: it has no type of its own."""

    contents: Required[list[types.Content]]
    systemInstruction: NotRequired[types.Content]
    tools: NotRequired[list[types.Tool]]
    toolConfig: NotRequired[types.ToolConfig]
    safetySettings: NotRequired[list[types.SafetySetting]]
    generationConfig: NotRequired[types.GenerationConfig]
    cachedContent: NotRequired[str]
    labels: NotRequired[dict[str, str]]
    serviceTier: NotRequired[types.ServiceTier]
    store: NotRequired[bool]


@cache
def _shapes() -> Shapes:
    return Shapes(
        camel=True,
        wide=True,
        extensions=GOOGLE_GENERATE,
        sdk_only={
            "GenerateContentResponse": frozenset({"sdk_http_response", "automatic_function_calling_history", "parsed"})
        },
        closed={"FunctionCall": frozenset({"name"}), "FunctionDeclaration": frozenset({"name"})},
    )


def request(body: bytes) -> list[Mistake]:
    """A request's body; its model stands in the path."""
    found: list[Mistake] = []
    value = decode(body, found)
    found += _shapes().check(_Request, value)
    if not found:
        _rules_of_request(value, found)
    return found


def _rules_of_request(value: Any, found: list[Mistake]) -> None:
    """What the reference says in words."""
    if not value["contents"]:
        found.append(Mistake("rule", "contents", "there must be one"))
    for number, content in enumerate(value["contents"]):
        path = f"contents[{number}]"
        if content.get("role", "user") not in ("user", "model", "function"):
            found.append(Mistake("value", f"{path}.role", f"is {content['role']!r}"))
        if not content.get("parts"):
            found.append(Mistake("rule", f"{path}.parts", "there must be one"))
        _parts(content, path, found)
    if "systemInstruction" in value:
        _parts(value["systemInstruction"], "systemInstruction", found)
    declared = [function for tool in value.get("tools") or () for function in tool.get("functionDeclarations") or ()]
    for function in declared:
        if not _NAME.fullmatch(function["name"]):
            found.append(Mistake("rule", "tools", f"no name of a function: {function['name']!r}"))
        if "parameters" in function and "parametersJsonSchema" in function:
            found.append(Mistake("rule", f"tools {function['name']}", "one of parameters and parametersJsonSchema"))
    config = value.get("generationConfig") or {}
    if ("responseSchema" in config or "responseJsonSchema" in config) and not config.get("responseMimeType"):
        found.append(Mistake("rule", "generationConfig", "a schema needs a responseMimeType"))
    if "logprobs" in config and not config.get("responseLogprobs"):
        found.append(Mistake("rule", "generationConfig.logprobs", "only with responseLogprobs"))
    thinking = config.get("thinkingConfig") or {}
    if "thinkingBudget" in thinking and "thinkingLevel" in thinking:
        found.append(Mistake("rule", "generationConfig.thinkingConfig", "one of budget and level"))


def _parts(content: Any, path: str, found: list[Mistake]) -> None:
    for number, part in enumerate(content.get("parts") or ()):
        data = _DATA & set(part)
        if len(data) != 1 and set(part) - {"thoughtSignature", "thought"}:
            found.append(Mistake("rule", f"{path}.parts[{number}]", f"one kind of data, not {sorted(data)}"))
        for name, value in part.items():
            if name in ("functionCall", "functionResponse") and not value.get("name"):
                found.append(Mistake("missing", f"{path}.parts[{number}].{name}.name", "is required"))
            if name == "functionResponse" and not isinstance(value.get("response"), dict):
                found.append(Mistake("missing", f"{path}.parts[{number}].functionResponse.response", "is required"))
            if name in ("inlineData", "fileData") and not value.get("mimeType") and name == "inlineData":
                found.append(Mistake("missing", f"{path}.parts[{number}].{name}.mimeType", "is required"))


def response(body: bytes) -> list[Mistake]:
    """A plain answer."""
    found: list[Mistake] = []
    value = decode(body, found)
    _chunk(value, "", found)
    if not found:
        _ended([value], found)
    return found


def _chunk(value: Any, path: str, found: list[Mistake]) -> None:
    wrong = _shapes().check(types.GenerateContentResponse, value, path)
    found += wrong
    if wrong:
        return
    for number, candidate in enumerate(value.get("candidates") or ()):
        place = f"{path}.candidates[{number}]" if path else f"candidates[{number}]"
        content = candidate.get("content")
        if content is None:
            if "finishReason" not in candidate:
                found.append(Mistake("missing", f"{place}.content", "or a finishReason"))
            continue
        if content.get("role", "model") != "model":
            found.append(Mistake("value", f"{place}.content.role", f"is {content['role']!r}"))
        _parts(content, f"{place}.content", found)
    usage = value.get("usageMetadata") or {}
    kinds = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "toolUsePromptTokenCount")
    if "totalTokenCount" in usage and usage["totalTokenCount"] != sum(usage.get(kind, 0) for kind in kinds):
        found.append(Mistake("rule", f"{path}.usageMetadata" if path else "usageMetadata", f"does not add up: {usage}"))


def _ended(chunks: list[Any], found: list[Mistake]) -> None:
    """Every candidate ended once, and nothing of it came after; or the prompt was blocked."""
    finished: dict[int, bool] = {}
    for number, chunk in enumerate(chunks):
        for candidate in chunk.get("candidates") or ():
            index = candidate.get("index", 0)
            if finished.get(index) and ((candidate.get("content") or {}).get("parts") or "finishReason" in candidate):
                found.append(Mistake("order", f"chunk[{number}]", "comes after the candidate's end"))
            finished[index] = finished.get(index, False) or "finishReason" in candidate
    blocked = any("blockReason" in (chunk.get("promptFeedback") or {}) for chunk in chunks)
    if not finished and not blocked:
        found.append(Mistake("missing", "candidates", "neither a candidate nor a block of the prompt"))
    if not all(finished.values()):
        found.append(Mistake("missing", "candidates", f"without a finishReason: {finished}"))
    last = chunks[-1]
    for name in ("modelVersion", "responseId"):
        if name not in last:
            found.append(Mistake("missing", name, "the (last) answer has it"))
    if len({(chunk.get("responseId"), chunk.get("modelVersion")) for chunk in chunks}) != 1:
        found.append(Mistake("order", "", "responseId and modelVersion are the same in all chunks"))


def stream(data: bytes) -> list[Mistake]:
    """A stream, as events or as an array: the last chunk has the reason to stop and the usage."""
    found: list[Mistake] = []
    if data.lstrip()[:1] == b"[":
        chunks = decode(data, found)
    else:
        sent = events_of(data, found)
        if any(event.name for event in sent):
            found.append(Mistake("invented", "", "events have no names"))
        chunks = [decode(event.data.encode(), found, f"chunk[{n}]") for n, event in enumerate(sent)]
    if not isinstance(chunks, list) or not chunks:
        found.append(Mistake("missing", "", "no chunks"))
        return found
    for number, chunk in enumerate(chunks):
        _chunk(chunk, f"chunk[{number}]", found)
    if not found:
        _ended(chunks, found)
    return found


def error(body: bytes) -> list[Mistake]:
    """An error's body."""
    found: list[Mistake] = []
    value = decode(body, found)
    if isinstance(value, list) and len(value) == 1:  # streamGenerateContent without alt=sse
        value = value[0]
    inner = value.get("error") if isinstance(value, dict) else None
    if not isinstance(inner, dict) or set(value) != {"error"} or set(inner) - {"code", "message", "status", "details"}:
        found.append(Mistake("type", "", f"no error object: {value!r}"))
        return found
    if not isinstance(inner.get("code"), int) or not isinstance(inner.get("message"), str):
        found.append(Mistake("type", "error", f"a code and a message: {inner!r}"))
    if inner.get("status") not in _STATUSES:
        found.append(Mistake("value", "error.status", f"{inner.get('status')!r} is no status of gRPC"))
    return found


def error_event(data: bytes) -> list[Mistake]:
    """The end of a stream that failed: the same object in an event, or as the array's last member."""
    found: list[Mistake] = []
    if data.lstrip()[:1] in (b",", b"["):
        return error(json.dumps(json.loads(b"[" + data.strip().strip(b",[]") + b"]")[0]).encode())
    sent = events_of(data, found)
    if len(sent) != 1:
        found.append(Mistake("order", "", f"one event, not {len(sent)}"))
        return found
    return found + error(sent[0].data.encode())
