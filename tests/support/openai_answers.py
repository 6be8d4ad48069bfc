"""Whole answers as OpenAI gives them, with the fields that its clients require, as scripts for a `ScriptedServer`."""

import base64
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from support.broken_upstream import DONE, sized, stream_of
from support.scripted_upstream import Script, UpstreamEnd

__all__ = ["USAGE", "VECTOR", "chat", "completion", "embeddings", "in_turn", "moderation", "tool_call"]

USAGE = {
    "prompt_tokens": 9,
    "completion_tokens": 4,
    "total_tokens": 13,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
    "completion_tokens_details": {"reasoning_tokens": 1, "audio_tokens": 0},
}

VECTOR = [0.5, -0.25, 0.125]
"""Numbers that a float of 32 bits holds exactly."""

Object = Mapping[str, Any]


def _body(payload: Object) -> bytes:
    return sized(json.dumps(payload).encode())


def _event(payload: Object) -> bytes:
    return b"data: " + json.dumps(payload).encode() + b"\n\n"


def _talking(whole: Object, chunks: Sequence[Object]) -> Script:
    """The whole answer, or its chunks to who wants a stream: the usage comes last, if it was asked for."""

    async def script(end: UpstreamEnd) -> None:
        if not end.visit.body.get("stream"):
            await end.send(_body(whole))
            return
        events = [_event(chunk) for chunk in chunks]
        if (end.visit.body.get("stream_options") or {}).get("include_usage"):
            events.append(_event({**chunks[0], "choices": [], "usage": USAGE}))
        await end.send(stream_of(b"".join(events) + DONE))

    return script


def chat(message: Object, deltas: Sequence[Object], *, finish: str = "stop", **more: Any) -> Script:
    """A chat completion; `more` are further fields of the answer and of each chunk."""
    head: dict[str, Any] = {"id": "chatcmpl-1", "created": 1_700_000_000, "model": "gpt-4o-mini-2024-07-18", **more}
    choice = {"index": 0, "message": {"role": "assistant", **message}, "logprobs": None, "finish_reason": finish}
    whole: dict[str, Any] = {**head, "object": "chat.completion", "choices": [choice], "usage": USAGE}
    given: list[dict[str, Any]] = [
        {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas
    ]
    given.append({"index": 0, "delta": {}, "logprobs": None, "finish_reason": finish})
    return _talking(whole, [{**head, "object": "chat.completion.chunk", "choices": [choice]} for choice in given])


def tool_call(name: str, arguments: str) -> Script:
    """A chat completion that calls one function; streamed, the arguments come in two pieces."""
    function = {"name": name, "arguments": arguments}
    half = len(arguments) // 2
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments[:half]}}
    second = {"index": 0, "function": {"arguments": arguments[half:]}}
    return chat(
        {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]},
        [{"role": "assistant", "content": None, "tool_calls": [first]}, {"tool_calls": [second]}],
        finish="tool_calls",
    )


def completion(*words: str) -> Script:
    """A completion of the older kind."""
    head = {"id": "cmpl-1", "created": 1_700_000_000, "model": "gpt-3.5-turbo-instruct", "object": "text_completion"}

    def choice(text: str, finish: str | None) -> Object:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}

    whole: dict[str, Any] = {**head, "choices": [choice("".join(words), "stop")], "usage": USAGE}
    given = [*(choice(word, None) for word in words), choice("", "stop")]
    return _talking(whole, [{**head, "choices": [one]} for one in given])


def embeddings() -> Script:
    """`VECTOR` for each input, as numbers or, if that was asked for, in base64."""

    async def script(end: UpstreamEnd) -> None:
        packed = base64.b64encode(struct.pack(f"<{len(VECTOR)}f", *VECTOR)).decode()
        vector = packed if end.visit.body.get("encoding_format") == "base64" else VECTOR
        inputs = end.visit.body["input"]
        count = len(inputs) if isinstance(inputs, list) else 1
        data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(count)]
        usage = {"prompt_tokens": 8, "total_tokens": 8}
        await end.send(_body({"object": "list", "data": data, "model": end.visit.model, "usage": usage}))

    return script


def moderation() -> Script:
    """Nothing flagged but harassment."""
    categories = {"harassment": True, "hate": False, "violence": False}
    scores = {name: 0.75 if flagged else 0.125 for name, flagged in categories.items()}
    result = {"flagged": True, "categories": categories, "category_scores": scores}

    async def script(end: UpstreamEnd) -> None:
        await end.send(_body({"id": "modr-1", "model": end.visit.model, "results": [result]}))

    return script


def in_turn(*scripts: Script) -> Script:
    """One script after the other, a request each."""
    left = list(scripts)

    async def script(end: UpstreamEnd) -> None:
        await left.pop(0)(end)

    return script
