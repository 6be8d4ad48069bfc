"""OpenAI's chat completions: what a request, an answer, a stream and an error must be.

https://platform.openai.com/docs/api-reference/chat
"""

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.chat.completion_create_params import CompletionCreateParams

from support.strict import openapi
from support.strict.extensions import OPENAI_CHAT
from support.strict.shapes import Mistake, Shapes
from support.strict.wire import decode, events_of

__all__ = ["NAME", "error", "error_event", "is_json_object", "request", "response", "stream"]

NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
"""What a tool may be called."""


@cache
def _shapes() -> Shapes:
    return Shapes(
        extensions=OPENAI_CHAT,
        closed={"ChatCompletionMessage": frozenset({"content", "refusal"})},
    )


def request(body: bytes) -> list[Mistake]:
    """A request's body."""
    found: list[Mistake] = []
    value = decode(body, found)
    found += _shapes().check(CompletionCreateParams, value)
    if not found:
        found += openapi.check("CreateChatCompletionRequest", value)
        _rules_of_request(value, found)
    return found


def _rules_of_request(value: Any, found: list[Mistake]) -> None:
    """What the reference says in words."""
    if not value["messages"]:
        found.append(Mistake("rule", "messages", "there must be one"))
    open_calls: set[str] = set()
    for number, message in enumerate(value["messages"]):
        path = f"messages[{number}]"
        if message["role"] == "tool":
            if message["tool_call_id"] not in open_calls:
                found.append(Mistake("rule", path, "a tool message must follow the message that has its call"))
            open_calls.discard(message["tool_call_id"])
            continue
        if open_calls:
            found.append(Mistake("rule", path, f"calls without a tool message: {sorted(open_calls)}"))
        open_calls = {call["id"] for call in message.get("tool_calls") or ()}
        said = ("content", "tool_calls", "refusal", "audio", "function_call")
        if message["role"] == "assistant" and all(message.get(name) is None for name in said):
            found.append(Mistake("rule", path, "an assistant's message needs content or calls"))
    _options(value, found)


def _options(value: Any, found: list[Mistake]) -> None:
    """Tools have names; some options need others."""
    for number, tool in enumerate(value.get("tools") or ()):
        name = tool.get(tool["type"], {}).get("name", "")
        if not NAME.fullmatch(name):
            found.append(Mistake("rule", f"tools[{number}]", f"no name of a tool: {name!r}"))
    if value.get("stream_options") is not None and not value.get("stream"):
        found.append(Mistake("rule", "stream_options", "only when stream is true"))
    if value.get("top_logprobs") is not None and not value.get("logprobs"):
        found.append(Mistake("rule", "top_logprobs", "only when logprobs is true"))


def response(body: bytes) -> list[Mistake]:
    """A plain answer."""
    found: list[Mistake] = []
    value = decode(body, found)
    found += _shapes().check(ChatCompletion, value)
    if found:
        return found
    found += openapi.check("CreateChatCompletionResponse", value)
    if not value["choices"]:
        found.append(Mistake("rule", "choices", "there must be one"))
    for number, choice in enumerate(value["choices"]):
        if choice["index"] != number:
            found.append(Mistake("rule", f"choices[{number}].index", f"is {choice['index']}"))
        calls = choice["message"].get("tool_calls") or []
        _stop(choice["finish_reason"], len(calls), f"choices[{number}]", found)
        for place, call in enumerate(calls):
            if call["type"] == "function" and not is_json_object(call["function"]["arguments"]):
                found.append(Mistake("rule", f"choices[{number}].tool_calls[{place}]", "arguments are no JSON object"))
    _sums(value.get("usage"), found)
    return found


def _stop(reason: str, calls: int, path: str, found: list[Mistake]) -> None:
    if (reason == "tool_calls") != (calls > 0) and reason not in ("length", "content_filter"):
        found.append(Mistake("rule", f"{path}.finish_reason", f"is {reason!r} with {calls} tool calls"))


def _sums(usage: Any, found: list[Mistake]) -> None:
    """The details are parts of the whole."""
    if usage is None:
        return
    if usage["prompt_tokens"] + usage["completion_tokens"] != usage["total_tokens"]:
        found.append(Mistake("rule", "usage", "does not add up"))
    for name, whole in (("prompt_tokens_details", "prompt_tokens"), ("completion_tokens_details", "completion_tokens")):
        for kind, count in (usage.get(name) or {}).items():
            if isinstance(count, int) and (count < 0 or count > usage[whole]):
                found.append(Mistake("rule", f"usage.{name}.{kind}", f"{count} of {usage[whole]}"))


def is_json_object(text: str) -> bool:
    """Whether a tool's arguments can be read by the caller's program."""
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@dataclass
class _Choice:
    """What a stream said of one choice so far."""

    role: bool = False
    finish: str = ""
    calls: list[dict[str, str]] = field(default_factory=list)


def stream(data: bytes) -> list[Mistake]:
    """A stream: the role first, one reason to stop for each choice, then the usage, then `[DONE]`."""
    found: list[Mistake] = []
    sent = events_of(data, found)
    if not sent or sent[-1].data != "[DONE]":
        found.append(Mistake("order", "", "the stream must end with [DONE]"))
    chunks = [decode(event.data.encode(), found) for event in sent if event.data != "[DONE]"]
    if len(chunks) < len(sent) - 1 or any(event.name for event in sent):
        found.append(Mistake("order", "", "[DONE] comes once, and chunks have no names"))
    for number, chunk in enumerate(chunks):
        wrong = _shapes().check(ChatCompletionChunk, chunk, f"chunk[{number}]")
        found += wrong or openapi.check("CreateChatCompletionStreamResponse", chunk)
    if not found:
        _order(chunks, found)
    return found


def _order(chunks: list[Any], found: list[Mistake]) -> None:
    choices: dict[int, _Choice] = {}
    usage = False
    for number, chunk in enumerate(chunks):
        path = f"chunk[{number}]"
        if any(chunk[name] != chunks[0][name] for name in ("id", "model", "created")):
            found.append(Mistake("order", path, "id, model and created are the same in all chunks"))
        if usage:
            found.append(Mistake("order", path, "nothing follows the usage"))
        if not chunk["choices"]:
            usage = True
            if chunk.get("usage") is None or not all(choice.finish for choice in choices.values()):
                found.append(Mistake("order", path, "only a usage comes without choices, after all choices ended"))
        _sums(chunk.get("usage"), found)
        for choice in chunk["choices"]:
            _delta(choice, choices.setdefault(choice["index"], _Choice()), path, found)
    if sorted(choices) != list(range(len(choices))) or not choices:
        found.append(Mistake("order", "", f"choices are {sorted(choices)}"))
    for index, choice in choices.items():
        if not choice.finish:
            found.append(Mistake("order", f"choice {index}", "has no reason to stop"))
        _stop(choice.finish, len(choice.calls), f"choice {index}", found)
        for call in choice.calls:
            if call["type"] == "function" and not is_json_object(call["arguments"]):
                found.append(Mistake("rule", f"choice {index}", f"arguments are no JSON object: {call['arguments']!r}"))


def _delta(choice: Any, state: _Choice, path: str, found: list[Mistake]) -> None:
    delta = choice["delta"]
    if state.finish and (choice["finish_reason"] or any(value for name, value in delta.items() if name != "role")):
        found.append(Mistake("order", path, "nothing of a choice follows its reason to stop"))
    if not state.role and delta.get("role") != "assistant":
        found.append(Mistake("order", path, "the first delta of a choice names the role"))
    state.role = True
    state.finish = choice["finish_reason"] or state.finish
    for call in delta.get("tool_calls") or ():
        inner = call.get("function") or call.get("custom") or {}
        text = inner.get("arguments") or inner.get("input") or ""
        if call["index"] == len(state.calls):
            if not (call.get("id") and inner.get("name") and call.get("type")):
                found.append(Mistake("order", path, "the first delta of a call has its id, type and name"))
            state.calls.append({"type": call.get("type") or "", "arguments": text})
        elif call["index"] < len(state.calls):
            if call.get("id") or inner.get("name"):
                found.append(Mistake("order", path, "id and name of a call come once"))
            state.calls[call["index"]]["arguments"] += text
        else:
            found.append(Mistake("order", path, f"call {call['index']} comes after {len(state.calls)} calls"))


def error(body: bytes) -> list[Mistake]:
    """An error's body."""
    found: list[Mistake] = []
    value = decode(body, found)
    if found:
        return found
    if openapi.DOCUMENT.exists():
        found += openapi.check("ErrorResponse", value)
    inner = value.get("error") if isinstance(value, dict) else None
    if not isinstance(inner, dict) or set(inner) != {"message", "type", "param", "code"} or set(value) != {"error"}:
        found.append(Mistake("missing", "error", f"message, type, param, code and nothing else: {value!r}"))
    return found


def error_event(data: bytes) -> list[Mistake]:
    """The end of a stream that failed: the same object in an event. No `[DONE]`: that would be a normal end."""
    found: list[Mistake] = []
    sent = events_of(data, found)
    if len(sent) != 1:
        found.append(Mistake("order", "", f"one event, not {len(sent)}"))
        return found
    return found + error(sent[0].data.encode())
