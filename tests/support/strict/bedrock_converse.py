"""Amazon's Converse: what a request, an answer, a stream and an error must be, by botocore's model of the service.

https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html and …_ConverseStream.html
"""

import base64
import binascii
import re
from functools import cache
from typing import Any

import botocore.session
from botocore.eventstream import EventStreamBuffer

from support.strict.shapes import Mistake
from support.strict.wire import decode

__all__ = ["error", "error_event", "request", "response", "stream"]


@cache
def _model() -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime")


def _check(shape: Any, value: Any, path: str, found: list[Mistake]) -> None:
    """A value of the wire against a shape of the model."""
    checks = {"structure": _structure, "list": _list, "map": _map, "string": _string, "blob": _blob}
    if getattr(shape, "is_document_type", False):
        return
    if shape.type_name in checks:
        checks[shape.type_name](shape, value, path, found)
    elif shape.type_name == "boolean":
        if not isinstance(value, bool):
            found.append(Mistake("type", path, f"expected a boolean, got {value!r}"))
    elif isinstance(value, bool) or not isinstance(
        value, int if shape.type_name in ("integer", "long") else int | float
    ):
        found.append(Mistake("type", path, f"expected {shape.type_name}, got {value!r}"))
    else:
        _bounds(shape, value, path, found)


def _bounds(shape: Any, size: float, path: str, found: list[Mistake]) -> None:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")
    if (least is not None and size < least) or (most is not None and size > most):
        found.append(Mistake("rule", path, f"{size} is not within {least} and {most}"))


def _structure(shape: Any, value: Any, path: str, found: list[Mistake]) -> None:
    if not isinstance(value, dict):
        found.append(Mistake("type", path, f"expected {shape.name}, got {value!r}"))
        return
    for name in shape.required_members:
        if name not in value:
            found.append(Mistake("missing", f"{path}.{name}", f"{shape.name} requires it"))
    if getattr(shape, "is_tagged_union", False) and len(value) != 1:
        found.append(Mistake("rule", path, f"{shape.name} has one member, not {sorted(value)}"))
    for name, member in value.items():
        if name not in shape.members:
            found.append(Mistake("invented", f"{path}.{name}", f"{shape.name} has no such field"))
        else:
            _check(shape.members[name], member, f"{path}.{name}" if path else name, found)


def _list(shape: Any, value: Any, path: str, found: list[Mistake]) -> None:
    if not isinstance(value, list):
        found.append(Mistake("type", path, f"expected a list, got {value!r}"))
        return
    _bounds(shape, len(value), path, found)
    for number, member in enumerate(value):
        _check(shape.member, member, f"{path}[{number}]", found)


def _map(shape: Any, value: Any, path: str, found: list[Mistake]) -> None:
    if not isinstance(value, dict):
        found.append(Mistake("type", path, f"expected a map, got {value!r}"))
        return
    for name, member in value.items():
        _check(shape.value, member, f"{path}.{name}", found)


def _string(shape: Any, value: Any, path: str, found: list[Mistake]) -> None:
    if not isinstance(value, str):
        found.append(Mistake("type", path, f"expected a text, got {value!r}"))
        return
    if shape.enum and value not in shape.enum:
        found.append(Mistake("value", path, f"{value!r} is none of {', '.join(shape.enum[:12])}"))
    pattern = shape.metadata.get("pattern")
    if pattern is not None and not re.search(_python(pattern), value):
        found.append(Mistake("rule", path, f"{value!r} is not like {pattern}"))
    _bounds(shape, len(value), path, found)


def _python(pattern: str) -> str:
    """The model's patterns are Java's: `[[:alnum:]]` and `\\p{…}` are not Python's."""
    return pattern.replace("[\\s\\S]", "[\\w\\W]")


def _blob(shape: Any, value: Any, path: str, found: list[Mistake]) -> None:
    try:
        base64.b64decode(value, validate=True)
    except (binascii.Error, TypeError, ValueError):
        found.append(Mistake("type", path, f"expected base64, got {value!r:.60}"))


def request(body: bytes) -> list[Mistake]:
    """A request's body; its model stands in the path."""
    found: list[Mistake] = []
    value = decode(body, found)
    shape = _model().operation_model("Converse").input_shape
    if not isinstance(value, dict) or "modelId" in value:
        found.append(Mistake("invented", "modelId", "an object without the model"))
        return found
    _structure(shape, {**value, "modelId": "m"}, "", found)
    if not found:
        _rules_of_request(value, found)
    return found


def _rules_of_request(value: Any, found: list[Mistake]) -> None:
    """What the reference says in words."""
    calls: set[str] = set()
    before = "assistant"
    for number, message in enumerate(value.get("messages") or ()):
        path = f"messages[{number}]"
        if message["role"] == before:
            found.append(Mistake("rule", path, "user and assistant take turns, the user first"))
        before = message["role"]
        if not message["content"]:
            found.append(Mistake("rule", path, "content is empty"))
        results = {block["toolResult"]["toolUseId"] for block in message["content"] if "toolResult" in block}
        if message["role"] == "user" and results != calls:
            found.append(Mistake("rule", path, f"results of {sorted(results)}, calls of {sorted(calls)}"))
        calls = {block["toolUse"]["toolUseId"] for block in message["content"] if "toolUse" in block}
        for place, block in enumerate(message["content"]):
            if len(block) != 1:
                found.append(Mistake("rule", f"{path}.content[{place}]", f"one kind, not {sorted(block)}"))
            if "text" in block and not block["text"].strip():
                found.append(Mistake("rule", f"{path}.content[{place}].text", "texts are not empty"))
        used = any({"toolUse", "toolResult"} & set(block) for block in message["content"])
        if used and not (value.get("toolConfig") or {}).get("tools"):
            found.append(Mistake("rule", "toolConfig", "calls in the conversation need the tools' definitions"))


def response(body: bytes) -> list[Mistake]:
    """A plain answer."""
    found: list[Mistake] = []
    value = decode(body, found)
    _check(_model().operation_model("Converse").output_shape, value, "", found)
    if not found:
        kinds = [next(iter(block), "") for block in value["output"]["message"]["content"]]
        _ending(value["stopReason"], kinds, value["usage"], found)
    return found


def _ending(reason: str, kinds: list[str], usage: Any, found: list[Mistake]) -> None:
    if (reason == "tool_use" and "toolUse" not in kinds) or (reason == "end_turn" and "toolUse" in kinds):
        found.append(Mistake("rule", "stopReason", f"is {reason} with {kinds}"))
    total = usage["inputTokens"] + usage["outputTokens"]
    total += usage.get("cacheReadInputTokens", 0) + usage.get("cacheWriteInputTokens", 0)
    if usage["totalTokens"] != total:
        found.append(Mistake("rule", "usage", f"does not add up: {usage}"))


def _frames(data: bytes, found: list[Mistake]) -> list[tuple[str, Any]]:
    """The events of a stream of frames: kind and decoded payload."""
    buffer = EventStreamBuffer()
    buffer.add_data(data)
    frames = []
    size = 0
    for event in buffer:
        size += event.prelude.total_length
        kind = event.headers.get(":event-type") or event.headers.get(":exception-type") or ""
        wanted = "exception" if ":exception-type" in event.headers else "event"
        if event.headers.get(":message-type") != wanted or event.headers.get(":content-type") != "application/json":
            found.append(Mistake("missing", kind, f"headers: {event.headers}"))
        value = decode(event.payload, found, kind)
        if isinstance(value, dict):
            value.pop("p", None)  # padding of the vendor's
        frames.append((kind, value))
    if size != len(data):
        found.append(Mistake("order", "", f"{len(data) - size} bytes are no frame"))
    return frames


class _Stream:
    """What a stream said so far."""

    def __init__(self, found: list[Mistake]) -> None:
        self.found = found
        self.open = -1
        self.kind = ""
        self.kinds: list[str] = []
        self.json = ""
        self.reason = ""
        self.usage: Any = None

    def wrong(self, path: str, text: str) -> None:
        self.found.append(Mistake("order", path, text))

    def take(self, number: int, kind: str, value: Any) -> None:
        path = f"event[{number}] {kind}"
        if (kind == "messageStart") != (number == 0):
            self.wrong(path, "messageStart comes first and once")
        if self.usage is not None or (self.reason and kind != "metadata"):
            self.wrong(path, "comes after the end")
        if kind == "messageStop":
            self.reason = value["stopReason"]
            if self.open >= 0:
                self.wrong(path, "a block is open")
        elif kind == "metadata":
            self.usage = value["usage"]
            if not self.reason:
                self.wrong(path, "comes after messageStop")
        elif kind != "messageStart":
            self.block(kind, value, path)

    def block(self, kind: str, value: Any, path: str) -> None:
        index = value["contentBlockIndex"]
        if self.open < 0 and kind != "contentBlockStop":
            if index != len(self.kinds):
                self.wrong(path, f"index is {index}, not {len(self.kinds)}")
            self.open, self.json = index, ""
            self.kind = next(iter(value.get("start") or value.get("delta")))
            self.kinds.append(self.kind)
            if kind == "contentBlockDelta" and self.kind == "toolUse":
                self.wrong(path, "a call begins with contentBlockStart")
        if index != self.open:
            self.wrong(path, f"block {index} is not open")
        if kind == "contentBlockStop":
            self.open = -1
            if self.kind == "toolUse" and self.json and not isinstance(decode(self.json.encode(), self.found), dict):
                self.wrong(path, "the input is no JSON object")
        elif kind == "contentBlockDelta":
            said = next(iter(value["delta"]))
            if said != self.kind and {said, self.kind} != {"text", "citation"}:
                self.wrong(path, f"{said} in a block of {self.kind}")
            if said == "toolUse":
                self.json += value["delta"]["toolUse"]["input"]


def stream(data: bytes) -> list[Mistake]:
    """A stream of frames: messageStart; blocks, one at a time; messageStop; metadata."""
    found: list[Mistake] = []
    frames = _frames(data, found)
    shape = _model().operation_model("ConverseStream").output_shape.members["stream"]
    for number, (kind, value) in enumerate(frames):
        if kind not in shape.members:
            found.append(Mistake("value", f"event[{number}]", f"no event: {kind!r}"))
        else:
            _check(shape.members[kind], value, f"event[{number}] {kind}", found)
    if found:
        return found
    state = _Stream(found)
    for number, (kind, value) in enumerate(frames):
        state.take(number, kind, value)
    if state.usage is None:
        found.append(Mistake("order", "", "messageStop and metadata are missing"))
    else:
        _ending(state.reason, state.kinds, state.usage, found)
    return found


def error(body: bytes) -> list[Mistake]:
    """An error's body; its kind stands in a header of the answer, or in `__type`."""
    found: list[Mistake] = []
    value = decode(body, found)
    if not isinstance(value, dict) or not isinstance(value.get("message"), str) or set(value) - {"message", "__type"}:
        found.append(Mistake("type", "", f"no error object: {value!r}"))
    return found


def error_event(data: bytes) -> list[Mistake]:
    """The end of a stream that failed: a frame that is one of the stream's exceptions."""
    found: list[Mistake] = []
    frames = _frames(data, found)
    shape = _model().operation_model("ConverseStream").output_shape.members["stream"]
    for kind, value in frames:
        if kind not in shape.members or not kind.endswith("Exception"):
            found.append(Mistake("value", "", f"no exception of the stream: {kind!r}"))
        else:
            _check(shape.members[kind], value, kind, found)
    if len(frames) != 1:
        found.append(Mistake("order", "", f"one frame, not {len(frames)}"))
    return found
