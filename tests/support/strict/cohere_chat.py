"""Cohere's chat, version 2: what a request, an answer, a stream and an error must be.

https://docs.cohere.com/v2/reference/chat and https://docs.cohere.com/v2/docs/streaming
"""

import json
from functools import cache
from typing import Any, NotRequired, Required, get_type_hints

from cohere.v2.client import V2Client
from cohere.v2.types import V2ChatResponse, V2ChatStreamResponse
from typing_extensions import TypedDict

from support.strict.extensions import COHERE_CHAT
from support.strict.shapes import Mistake, Shapes
from support.strict.wire import decode, events_of

__all__ = ["error", "error_event", "request", "response", "stream"]


@cache
def _shapes() -> Shapes:
    return Shapes(
        tagged=True,
        extensions=COHERE_CHAT,
        closed={
            "V2ChatResponse": frozenset({"usage"}),
            "ChatMessageEndEventDelta": frozenset({"finish_reason", "usage"}),
            "ToolCallV2": frozenset({"id", "function"}),
        },
    )


@cache
def _request_type() -> Any:
    """The body has no type of its own: its fields are the arguments of the client's method."""
    hints = get_type_hints(V2Client.chat, include_extras=True)
    fields = {
        name: Required[hint] if name in ("model", "messages") else NotRequired[hint]
        for name, hint in hints.items()
        if name not in ("request_options", "return")
    }
    return TypedDict("_Request", {**fields, "stream": NotRequired[bool]})


def request(body: bytes) -> list[Mistake]:
    """A request's body."""
    found: list[Mistake] = []
    value = decode(body, found)
    found += _shapes().check(_request_type(), value)
    if found:
        return found
    calls: set[str] = set()
    for number, message in enumerate(value["messages"]):
        if message["role"] == "tool":
            if message["tool_call_id"] not in calls:
                found.append(Mistake("rule", f"messages[{number}]", "a tool message must follow its call"))
            calls.discard(message["tool_call_id"])
            continue
        if calls:
            found.append(Mistake("rule", f"messages[{number}]", f"calls without a tool message: {sorted(calls)}"))
        calls = {call["id"] for call in message.get("tool_calls") or ()}
        if message["role"] == "assistant" and not calls and not message.get("content"):
            found.append(Mistake("rule", f"messages[{number}]", "an assistant's message needs content or calls"))
    return found


def response(body: bytes) -> list[Mistake]:
    """A plain answer."""
    found: list[Mistake] = []
    value = decode(body, found)
    found += _shapes().check(V2ChatResponse, value)
    if not found:
        _calls(value["finish_reason"], value["message"].get("tool_calls") or [], found)
    return found


def _calls(reason: str, calls: list[Any], found: list[Mistake]) -> None:
    if (reason == "TOOL_CALL") != bool(calls) and reason not in ("MAX_TOKENS", "ERROR", "TIMEOUT"):
        found.append(Mistake("rule", "finish_reason", f"is {reason} with {len(calls)} calls"))
    for call in calls:
        try:
            good = isinstance(json.loads(call["function"]["arguments"]), dict)
        except ValueError:
            good = False
        if not good:
            found.append(Mistake("rule", "tool_calls", f"arguments are no JSON object: {call}"))


class _Stream:
    """What a stream said so far."""

    def __init__(self, found: list[Mistake]) -> None:
        self.found = found
        self.open: dict[str, int] = {}
        self.next = {"content": 0, "tool-call": 0, "citation": 0}
        self.calls: list[dict[str, Any]] = []
        self.reason = ""

    def take(self, number: int, event: Any) -> None:
        kind, path = event["type"], f"event[{number}] {event['type']}"
        if (kind == "message-start") != (number == 0) or self.reason:
            self.found.append(Mistake("order", path, "message-start comes first and message-end last"))
        if kind == "message-end":
            self.reason = event["delta"]["finish_reason"]
            if self.open:
                self.found.append(Mistake("order", path, f"{sorted(self.open)} is open"))
        group, _, step = kind.rpartition("-")
        if group not in self.next:
            return
        if step == "start":
            if group in self.open or event["index"] != self.next[group]:
                self.found.append(Mistake("order", path, f"index is {event['index']}, not {self.next[group]}"))
            self.open[group] = event["index"]
            self.next[group] += 1
            if group == "tool-call":
                call = event["delta"]["message"]["tool_calls"]
                self.calls.append({"function": {"arguments": call["function"].get("arguments") or ""}})
        elif self.open.get(group) != event["index"]:
            self.found.append(Mistake("order", path, f"{group} {event['index']} is not open"))
        elif step == "end":
            del self.open[group]
        elif group == "tool-call":
            self.calls[-1]["function"]["arguments"] += event["delta"]["message"]["tool_calls"]["function"]["arguments"]


def stream(data: bytes) -> list[Mistake]:
    """A stream: message-start; contents, plan, calls and citations, each started and ended; message-end."""
    found: list[Mistake] = []
    events = []
    sent = events_of(data, found)
    if sent and sent[-1].data == "[DONE]":  # the vendor sends it, though its document does not say so
        sent.pop()
    for number, (name, text) in enumerate(sent):
        event = decode(text.encode(), found, f"event[{number}]")
        if not isinstance(event, dict) or (name and event.get("type") != name):
            found.append(Mistake("order", f"event[{number}]", f"its name {name!r} is not its type: {text[:60]!r}"))
        found += _shapes().check(V2ChatStreamResponse, event, f"event[{number}]")
        events.append(event)
    if found:
        return found
    state = _Stream(found)
    for number, event in enumerate(events):
        state.take(number, event)
    if not state.reason:
        found.append(Mistake("order", "", "message-end is missing"))
    _calls(state.reason, state.calls, found)
    return found


def error(body: bytes) -> list[Mistake]:
    """An error's body: a message, and an id in some."""
    found: list[Mistake] = []
    value = decode(body, found)
    if (
        not isinstance(value, dict)
        or not isinstance(value.get("message"), str)
        or set(value) - {"message", "id", "error_type"}
    ):
        found.append(Mistake("type", "", f"no error object: {value!r}"))
    return found


def error_event(data: bytes) -> list[Mistake]:
    """The end of a stream that failed: a message-end whose reason is ERROR, with the error's text."""
    found: list[Mistake] = []
    sent = events_of(data, found)
    for _, text in sent:
        event = decode(text.encode(), found)
        found += _shapes().check(V2ChatStreamResponse, event)
        if not found and (event["type"] != "message-end" or event["delta"]["finish_reason"] != "ERROR"):
            found.append(Mistake("order", "", f"no end with an error: {event}"))
    if len(sent) != 1:
        found.append(Mistake("order", "", f"one event, not {len(sent)}"))
    return found
