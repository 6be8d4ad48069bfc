"""OpenAI's Responses: what a request, an answer, a stream and an error must be.

https://platform.openai.com/docs/api-reference/responses and …/responses-streaming
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from openai.types.responses import Response, ResponseStreamEvent
from openai.types.responses.response_create_params import ResponseCreateParams

from support.strict import openapi
from support.strict.extensions import OPENAI_RESPONSES
from support.strict.openai_chat import NAME, error, is_json_object
from support.strict.shapes import Mistake, Shapes
from support.strict.wire import Sent, decode, events_of

__all__ = ["error", "error_event", "request", "response", "stream"]

LONGEST_ID = 64
"""Characters of a `call_id`, as the reference says."""

_OUTPUTS = {
    "function_call_output": "function_call",
    "custom_tool_call_output": "custom_tool_call",
    "shell_call_output": "shell_call",
    "local_shell_call_output": "local_shell_call",
    "computer_call_output": "computer_call",
    "apply_patch_call_output": "apply_patch_call",
}


@cache
def _shapes() -> Shapes:
    return Shapes(
        extensions=OPENAI_RESPONSES,
        closed={
            "Response": frozenset({"status", "usage", "error", "incomplete_details", "instructions", "metadata"}),
            "ResponseFunctionToolCall": frozenset({"id", "status"}),
        },
    )


def request(body: bytes) -> list[Mistake]:
    """A request's body."""
    found: list[Mistake] = []
    value = decode(body, found)
    found += _shapes_of_requests().check(ResponseCreateParams, value)
    if not found:
        found += openapi.check("CreateResponse", value)
        _rules_of_request(value, found)
    return found


@cache
def _shapes_of_requests() -> Shapes:
    return Shapes(loose={"ResponseReasoningItemParam": frozenset({"id"})})


def _rules_of_request(value: Any, found: list[Mistake]) -> None:
    """What the reference says in words."""
    if not value.get("model"):
        found.append(Mistake("missing", "model", "an upstream must know the model"))
    items = value.get("input")
    if not items:
        found.append(Mistake("missing", "input", "there must be something to answer"))
    calls: set[str] = set()
    linked = bool(value.get("previous_response_id") or value.get("conversation"))
    for number, item in enumerate(items if isinstance(items, list) else ()):
        kind = item.get("type", "message")
        id = item.get("call_id")
        if id is not None and len(id) > LONGEST_ID:
            found.append(Mistake("rule", f"input[{number}].call_id", f"{len(id)} characters"))
        if kind in _OUTPUTS:
            if not linked and id not in calls:
                found.append(Mistake("rule", f"input[{number}]", f"no call before it has the id {id!r}"))
            calls.discard(str(id))
        elif kind in _OUTPUTS.values():
            calls.add(str(id))
    if calls:
        found.append(Mistake("rule", "input", f"calls without an output: {sorted(calls)}"))
    for number, tool in enumerate(value.get("tools") or ()):
        if tool["type"] in ("function", "custom") and not NAME.fullmatch(tool["name"]):
            found.append(Mistake("rule", f"tools[{number}].name", f"no name of a tool: {tool['name']!r}"))


def response(body: bytes) -> list[Mistake]:
    """A plain answer."""
    found: list[Mistake] = []
    value = decode(body, found)
    found += _shapes().check(Response, value)
    if not found:
        found += openapi.check("Response", value)
        _whole(value, found)
    return found


def _whole(value: Any, found: list[Mistake], path: str = "") -> None:
    """A response that has ended."""
    for number, item in enumerate(value["output"]):
        called = item["type"] == "function_call" and value["status"] == "completed"
        if called and not is_json_object(item["arguments"]):
            found.append(Mistake("rule", f"{path}output[{number}].arguments", "no JSON object"))
    ids = [item["id"] for item in value["output"] if item.get("id")]
    if len(ids) != len(set(ids)):
        found.append(Mistake("rule", f"{path}output", f"an item's id comes twice: {ids}"))
    if (value["status"] == "incomplete") != (value["incomplete_details"] is not None):
        found.append(Mistake("rule", f"{path}incomplete_details", f"status is {value['status']}"))
    usage = value.get("usage")
    if usage is not None:
        if usage["input_tokens"] + usage["output_tokens"] != usage["total_tokens"]:
            found.append(Mistake("rule", f"{path}usage", "does not add up"))
        if usage["input_tokens_details"]["cached_tokens"] > usage["input_tokens"]:
            found.append(Mistake("rule", f"{path}usage", "more cached than there was"))


@dataclass
class _Item:
    """An output item that a stream has begun."""

    item: dict[str, Any]
    texts: dict[str, str] = field(default_factory=dict)
    parts: dict[str, bool] = field(default_factory=dict)
    """Content and summary parts: whether they are open."""
    said: dict[str, str] = field(default_factory=dict)


_TEXTS: Mapping[str, tuple[str, str]] = {
    "response.output_text": ("content", "text"),
    "response.refusal": ("content", "refusal"),
    "response.reasoning_text": ("content", "text"),
    "response.reasoning_summary_text": ("summary", "text"),
    "response.function_call_arguments": ("", "arguments"),
    "response.custom_tool_call_input": ("", "input"),
    "response.mcp_call_arguments": ("", "arguments"),
    "response.code_interpreter_call_code": ("", "code"),
}
"""By the event's name without `.delta` and `.done`: in which list the part stands, and the name of its text."""

_ENDS = {"response.completed", "response.incomplete", "response.failed"}


class _Stream:
    """What a stream said so far."""

    def __init__(self, found: list[Mistake]) -> None:
        self.found = found
        self.open: dict[int, _Item] = {}
        self.done: list[Any] = []
        self.ended = False
        self.begun = 0
        self.id = ""

    def wrong(self, path: str, text: str) -> None:
        self.found.append(Mistake("order", path, text))

    def take(self, number: int, event: Any) -> None:
        kind, path = event["type"], f"event[{number}] {event['type']}"
        if event["sequence_number"] != number:
            self.wrong(path, f"sequence_number is {event['sequence_number']}")
        if self.ended:
            self.wrong(path, "nothing follows the end")
        if (kind == "response.created") != (number == 0):
            self.wrong(path, "response.created comes first and once")
        if "response" in event:
            self.response(kind, event["response"], path)
        elif kind == "response.output_item.added":
            self.added(event, path)
        elif "output_index" in event:
            self.inside(kind, event, path)

    def response(self, kind: str, value: Any, path: str) -> None:
        self.id = self.id or value["id"]
        if value["id"] != self.id:
            self.wrong(path, "the response's id changed")
        if kind not in _ENDS:
            if self.begun or value["output"]:
                self.wrong(path, "comes before any output")
            return
        self.ended = True
        if self.open:
            self.wrong(path, f"items {sorted(self.open)} are not done")
        if kind != f"response.{value['status']}":
            self.wrong(path, f"status is {value['status']}")
        if value["output"] != self.done and kind != "response.failed":
            self.wrong(path, "its output is not what the items were")
        _whole(value, self.found, f"{path}.response.")

    def added(self, event: Any, path: str) -> None:
        if event["output_index"] != self.begun:
            self.wrong(path, f"output_index is {event['output_index']}, not {self.begun}")
        self.begun += 1
        self.open[event["output_index"]] = _Item(event["item"])
        item = event["item"]
        if item["type"] == "message" and item["content"]:
            self.wrong(path, "a message begins without content")
        if item["type"] in ("function_call", "custom_tool_call") and item.get("arguments", item.get("input")):
            self.wrong(path, "a call begins without arguments")

    def inside(self, kind: str, event: Any, path: str) -> None:
        state = self.open.get(event["output_index"])
        if state is None:
            self.wrong(path, f"item {event['output_index']} is not open")
            return
        if "item_id" in event and event["item_id"] != state.item.get("id"):
            self.wrong(path, f"item_id is {event['item_id']!r}, not {state.item.get('id')!r}")
        if kind == "response.output_item.done":
            self.item_done(event, state, path)
            return
        stem, _, step = kind.rpartition(".")
        if stem in ("response.content_part", "response.reasoning_summary_part"):
            self.part(stem, step, event, state, path)
        elif stem in _TEXTS:
            self.text(stem, step, event, state, path)

    def part(self, stem: str, step: str, event: Any, state: _Item, path: str) -> None:
        group, number = (
            ("summary", event.get("summary_index")) if "summary" in stem else ("content", event.get("content_index"))
        )
        name = f"{group}{number}"
        if step == "added":
            if number != sum(part.startswith(group) for part in state.parts):
                self.wrong(path, f"{group}_index is {number}")
            state.parts[name] = True
        elif not state.parts.get(name):
            self.wrong(path, "the part is not open")
        else:
            state.parts[name] = False
            words = event["part"].get("text", event["part"].get("refusal"))
            if words is not None and words != state.texts.get(name, ""):
                self.wrong(path, "the part is not what its deltas said")

    def text(self, stem: str, step: str, event: Any, state: _Item, path: str) -> None:
        group, field_name = _TEXTS[stem]
        number = event.get("summary_index", event.get("content_index", "")) if group else ""
        name = f"{group}{number}"
        if group and not state.parts.get(name):
            self.wrong(path, "no part is open for it")
        if name in state.said:
            self.wrong(path, "the text was done before")
        if step == "delta":
            state.texts[name] = state.texts.get(name, "") + event["delta"]
        elif step == "done":
            state.said[name] = event[field_name]
            if event[field_name] != state.texts.get(name, ""):
                self.wrong(path, f"{field_name} is not what its deltas said")

    def item_done(self, event: Any, state: _Item, path: str) -> None:
        item = event["item"]
        del self.open[event["output_index"]]
        if item["type"] != state.item["type"] or item.get("id") != state.item.get("id"):
            self.wrong(path, "type and id are those of the item that was added")
        if any(state.parts.values()):
            self.wrong(path, "its parts are not all done")
        for name in set(state.texts) - set(state.said):
            self.wrong(path, f"the text of {name or 'the item'} has no done")
        texts = {"": item.get("arguments", item.get("input"))}
        for group in ("content", "summary"):
            for number, part in enumerate(item.get(group) or ()):
                texts[f"{group}{number}"] = part.get("text", part.get("refusal"))
        for name, said in state.said.items():
            if texts.get(name) is not None and texts[name] != said:
                self.wrong(path, f"{name or 'the arguments'} of the item are not what was streamed")
        if item["type"] == "message" and len(item["content"]) != len(state.parts):
            self.wrong(path, "the message has other parts than were streamed")
        while len(self.done) <= event["output_index"]:
            self.done.append(None)
        self.done[event["output_index"]] = item


def stream(data: bytes) -> list[Mistake]:
    """A stream: created, in progress, each item added, its parts and texts, done; then completed or incomplete."""
    found: list[Mistake] = []
    events = _decoded(events_of(data, found), found)
    shapes = _shapes_of_events()
    for number, event in enumerate(events):
        found += shapes.check(ResponseStreamEvent, event, f"event[{number}]") or openapi.check(
            "ResponseStreamEvent", event
        )
    if found:
        return found
    state = _Stream(found)
    for number, event in enumerate(events):
        state.take(number, event)
    if not state.ended:
        state.wrong("", "the stream has no end")
    return found


@cache
def _shapes_of_events() -> Shapes:
    return Shapes(extensions=OPENAI_RESPONSES)


def _decoded(sent: list[Sent], found: list[Mistake]) -> list[Any]:
    values = []
    for number, (name, text) in enumerate(sent):
        value = decode(text.encode(), found, f"event[{number}]")
        if not isinstance(value, dict) or value.get("type") != name:
            found.append(Mistake("order", f"event[{number}]", f"its name {name!r} is not its type: {text[:60]!r}"))
        values.append(value)
    return values


def error_event(data: bytes) -> list[Mistake]:
    """The end of a stream that failed: an `error` event, or `response.failed` with the error inside."""
    found: list[Mistake] = []
    for number, event in enumerate(_decoded(events_of(data, found), found)):
        found += _shapes_of_events().check(ResponseStreamEvent, event, f"event[{number}]")
        if not found and event["type"] not in ("error", "response.failed"):
            found.append(Mistake("order", f"event[{number}]", f"{event['type']} is no failure"))
    return found
