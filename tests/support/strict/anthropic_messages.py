"""Anthropic's Messages: what a request, an answer, a stream and an error must be.

https://docs.anthropic.com/en/api/messages and …/messages-streaming
"""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from anthropic.types import Message, RawMessageStreamEvent
from anthropic.types.beta import BetaMessage, BetaRawMessageStreamEvent
from anthropic.types.beta.message_create_params import MessageCreateParams as BetaMessageCreateParams
from anthropic.types.message_create_params import MessageCreateParams

from support.strict.extensions import ANTHROPIC_MESSAGES
from support.strict.shapes import Mistake, Shapes
from support.strict.wire import decode, events_of

__all__ = ["error", "error_event", "request", "response", "stream"]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ID = re.compile(r"[a-zA-Z0-9_-]+")

_ERRORS = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "timeout_error",
        "api_error",
        "overloaded_error",
    }
)


@cache
def _shapes() -> Shapes:
    return Shapes(
        extensions=ANTHROPIC_MESSAGES,
        closed={
            "Message": frozenset({"stop_reason", "stop_sequence"}),
            "BetaMessage": frozenset({"stop_reason", "stop_sequence"}),
        },
    )


def _either(stable: Any, beta: Any, value: Any, path: str = "") -> list[Mistake]:
    """What is only in a beta is allowed too; mistakes are told by the stable types."""
    found = _shapes().check(stable, value, path)
    return found if not found or _shapes().check(beta, value, path) else []


def request(body: bytes) -> list[Mistake]:
    """A request's body."""
    found: list[Mistake] = []
    value = decode(body, found)
    found += _either(MessageCreateParams, BetaMessageCreateParams, _without(value, {"betas"}))
    if not found:
        _rules_of_request(value, found)
    return found


def _without(value: Any, names: set[str]) -> Any:
    """What the SDK takes as an argument and sends as a header is no field of the body."""
    if isinstance(value, dict) and names & set(value):
        return {**value, **dict.fromkeys(names, ...)}
    return value


def _rules_of_request(value: Any, found: list[Mistake]) -> None:
    """What the reference says in words."""
    if not value["messages"]:
        found.append(Mistake("rule", "messages", "there must be one"))
    elif value["messages"][0]["role"] == "assistant":
        found.append(Mistake("rule", "messages[0]", "the first message is the user's"))
    _thinking(value, found)
    if isinstance(value.get("system"), list):
        _texts(value["system"], "system", found)
    calls: set[str] = set()
    for number, message in enumerate(value["messages"]):
        path = f"messages[{number}].content"
        content = message["content"]
        if not content and number + 1 < len(value["messages"]):
            found.append(Mistake("rule", path, "is empty"))
        blocks = content if isinstance(content, list) else []
        _texts(blocks, path, found)
        calls = _calls(message["role"], blocks, calls, path, found)
    if calls:
        found.append(Mistake("rule", "messages", f"tool_use without tool_result: {sorted(calls)}"))
    _tools(value.get("tools") or (), found)
    marks = json.dumps(value).count('"cache_control": {')
    if marks > 4:
        found.append(Mistake("rule", "cache_control", f"{marks} marks, at most four are taken"))


def _thinking(value: Any, found: list[Mistake]) -> None:
    """A budget, and what does not go with it."""
    thinking = value.get("thinking") or {}
    if thinking.get("type") == "enabled":
        if not 1024 <= thinking["budget_tokens"] < value["max_tokens"]:
            found.append(Mistake("rule", "thinking.budget_tokens", "at least 1024 and below max_tokens"))
        if value.get("temperature", 1) != 1 or value.get("top_k") is not None:
            found.append(Mistake("rule", "temperature", "thinking allows no sampling of one's own"))
        if (value.get("tool_choice") or {}).get("type") in ("any", "tool"):
            found.append(Mistake("rule", "tool_choice", "thinking allows auto and none"))


def _tools(tools: Sequence[Any], found: list[Mistake]) -> None:
    """Names, and schemas of objects."""
    for number, tool in enumerate(tools):
        if tool.get("type", "custom") == "custom":
            if not _NAME.fullmatch(tool["name"]):
                found.append(Mistake("rule", f"tools[{number}].name", f"no name of a tool: {tool['name']!r}"))
            if tool["input_schema"].get("type") != "object":
                found.append(Mistake("rule", f"tools[{number}].input_schema.type", "is not object"))


def _texts(blocks: list[Any], path: str, found: list[Mistake]) -> None:
    for number, block in enumerate(blocks):
        if block.get("type") == "text" and not block["text"].strip():
            found.append(Mistake("rule", f"{path}[{number}].text", "texts are not empty"))


def _calls(role: str, blocks: list[Any], before: set[str], path: str, found: list[Mistake]) -> set[str]:
    """The calls that wait for their results, which the next message of the user begins with."""
    if role == "assistant":
        ids = [block["id"] for block in blocks if block["type"] == "tool_use"]
        found.extend(Mistake("rule", path, f"no id: {id!r}") for id in ids if not _ID.fullmatch(id))
        return before | set(ids)
    if role != "user":
        return before
    answered = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
    if unknown := set(answered) - before:
        found.append(Mistake("rule", path, f"results of no call: {sorted(unknown)}"))
    if missing := before - set(answered):
        found.append(Mistake("rule", path, f"tool_use without tool_result: {sorted(missing)}"))
    kinds = [block["type"] == "tool_result" for block in blocks]
    if kinds != sorted(kinds, reverse=True):
        found.append(Mistake("rule", path, "tool results come first"))
    return set()


def response(body: bytes) -> list[Mistake]:
    """A plain answer."""
    found: list[Mistake] = []
    value = decode(body, found)
    found += _either(Message, BetaMessage, value)
    if not found:
        if value["stop_reason"] is None:
            found.append(Mistake("missing", "stop_reason", "a whole answer has stopped"))
        _ending(value["stop_reason"], [block["type"] for block in value["content"]], found)
    return found


def _ending(reason: str, kinds: list[str], found: list[Mistake]) -> None:
    called = "tool_use" in kinds
    if (reason == "tool_use" and not called) or (called and reason in ("end_turn", "stop_sequence")):
        found.append(Mistake("rule", "stop_reason", f"is {reason!r} with blocks {kinds}"))


_DELTAS: Mapping[str, frozenset[str]] = {
    "text": frozenset({"text_delta", "citations_delta"}),
    "thinking": frozenset({"thinking_delta", "signature_delta"}),
    "tool_use": frozenset({"input_json_delta"}),
    "server_tool_use": frozenset({"input_json_delta"}),
    "mcp_tool_use": frozenset({"input_json_delta"}),
    "compaction": frozenset({"compaction_delta"}),
}
"""By the kind of block: the deltas that it may get; others get none."""


class _Stream:
    """What a stream said so far."""

    def __init__(self, found: list[Mistake]) -> None:
        self.found = found
        self.block: dict[str, Any] | None = None
        self.kinds: list[str] = []
        self.json = ""
        self.signed = False
        self.reason = ""
        self.stopped = False

    def wrong(self, path: str, text: str) -> None:
        self.found.append(Mistake("order", path, text))

    def take(self, number: int, event: Any) -> None:
        kind, path = event["type"], f"event[{number}] {event['type']}"
        if kind == "ping":
            return
        if (kind == "message_start") != (number == 0):
            self.wrong(path, "message_start comes first and once")
        if self.stopped or (self.reason and kind not in ("message_delta", "message_stop")):
            self.wrong(path, "comes after the end")
        if kind == "message_start":
            if event["message"]["content"] or event["message"]["stop_reason"] is not None:
                self.wrong(path, "a message begins without content and without a reason to stop")
        elif kind == "content_block_start":
            self.begin(event, path)
        elif kind in ("content_block_delta", "content_block_stop"):
            self.inside(kind, event, path)
        elif kind == "message_delta":
            self.reason = event["delta"]["stop_reason"] or self.reason
            if self.block is not None or not self.reason:
                self.wrong(path, "comes after all blocks, with the reason")
        elif kind == "message_stop":
            self.stopped = True
            if not self.reason:
                self.wrong(path, "message_delta comes before it")

    def begin(self, event: Any, path: str) -> None:
        block = event["content_block"]
        if self.block is not None:
            self.wrong(path, "one block at a time")
        if event["index"] != len(self.kinds):
            self.wrong(path, f"index is {event['index']}, not {len(self.kinds)}")
        if any(block.get(name) for name in ("text", "thinking", "signature", "citations")) or (
            "input_json_delta" in _DELTAS.get(block["type"], ()) and block["input"] != {}
        ):
            self.wrong(path, "a block begins empty")
        self.block, self.json, self.signed = block, "", False
        self.kinds.append(block["type"])

    def inside(self, kind: str, event: Any, path: str) -> None:
        if self.block is None or event["index"] != len(self.kinds) - 1:
            self.wrong(path, f"block {event['index']} is not open")
            return
        if kind == "content_block_stop":
            if self.json:
                try:
                    good = isinstance(json.loads(self.json), dict)
                except ValueError:
                    good = False
                if not good:
                    self.wrong(path, f"the input is no JSON object: {self.json[:60]!r}")
            self.block = None
            return
        delta = event["delta"]
        if delta["type"] not in _DELTAS.get(self.block["type"], ()):
            self.wrong(path, f"a block of kind {self.block['type']} gets no {delta['type']}")
        if self.signed:
            self.wrong(path, "the signature comes last")
        self.signed = delta["type"] == "signature_delta"
        self.json += delta.get("partial_json", "")


def stream(data: bytes) -> list[Mistake]:
    """A stream: message_start; blocks, one at a time; message_delta with the reason to stop; message_stop."""
    found: list[Mistake] = []
    events = []
    for number, (name, text) in enumerate(events_of(data, found)):
        event = decode(text.encode(), found, f"event[{number}]")
        if not isinstance(event, dict) or event.get("type") != name:
            found.append(Mistake("order", f"event[{number}]", f"its name {name!r} is not its type: {text[:60]!r}"))
        if event != {"type": "ping"}:  # documented, but not among the SDK's types
            found += _either(RawMessageStreamEvent, BetaRawMessageStreamEvent, event, f"event[{number}]")
        events.append(event)
    if found:
        return found
    state = _Stream(found)
    for number, event in enumerate(events):
        state.take(number, event)
    if not state.stopped:
        state.wrong("", "message_stop is missing")
    _ending(state.reason, state.kinds, found)
    return found


def error(body: bytes) -> list[Mistake]:
    """An error's body."""
    found: list[Mistake] = []
    value = decode(body, found)
    inner = value.get("error") if isinstance(value, dict) else None
    if not isinstance(inner, dict) or value.get("type") != "error" or set(value) - {"type", "error", "request_id"}:
        found.append(Mistake("type", "", f"no error object: {value!r}"))
        return found
    if inner.get("type") not in _ERRORS:
        found.append(Mistake("value", "error.type", f"{inner.get('type')!r} is none of the documented types"))
    if not isinstance(inner.get("message"), str) or set(inner) - {"type", "message", "details"}:
        found.append(Mistake("type", "error", f"a type and a message: {inner!r}"))
    return found


def error_event(data: bytes) -> list[Mistake]:
    """The end of a stream that failed."""
    found: list[Mistake] = []
    sent = events_of(data, found)
    if len(sent) != 1 or sent[0].name != "error":
        found.append(Mistake("order", "", f"one event named error: {sent}"))
        return found
    return found + error(sent[0].data.encode())
