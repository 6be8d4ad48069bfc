"""Small bodies of each dialect that are right, to be broken by the tests of the adapter."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["REQUESTS", "RESPONSES", "STREAMS", "Events", "dump", "sse"]

Events = list[dict[str, Any]]

_PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}}

REQUESTS: Mapping[str, dict[str, Any]] = {
    "openai_chat": {
        "model": "m",
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "reasoning_content": "why",
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "a", "content": "sunny"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": _PARAMETERS}}],
        "tool_choice": "auto",
    },
    "openai_responses": {
        "model": "m",
        "input": [
            {"role": "user", "content": "Weather?"},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "sunny"},
        ],
        "tools": [{"type": "function", "name": "f", "parameters": _PARAMETERS, "strict": False}],
        "tool_choice": "auto",
    },
    "anthropic_messages": {
        "model": "m",
        "max_tokens": 2048,
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "sunny"}]},
        ],
        "tools": [{"name": "f", "input_schema": _PARAMETERS}],
        "tool_choice": {"type": "auto"},
    },
    "google_generate": {
        "contents": [
            {"role": "user", "parts": [{"text": "Weather?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}, "thoughtSignature": "c2ln"}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "sunny"}}}]},
        ],
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": _PARAMETERS}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "AUTO"}},
    },
    "cohere_chat": {
        "model": "m",
        "messages": [
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            },
            {"role": "tool", "tool_call_id": "a", "content": "sunny"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": _PARAMETERS}}],
        "tool_choice": "REQUIRED",
    },
    "bedrock_converse": {
        "messages": [
            {"role": "user", "content": [{"text": "Weather?"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "f", "input": {}}}]},
            {"role": "user", "content": [{"toolResult": {"toolUseId": "a", "content": [{"text": "sunny"}]}}]},
        ],
        "toolConfig": {
            "tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": _PARAMETERS}}}],
            "toolChoice": {"auto": {}},
        },
    },
}

_CHAT_USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}

_MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "Hi", "annotations": [], "logprobs": []}],
}

_RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "model": "m",
    "output": [_MESSAGE],
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": {
        "input_tokens": 3,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 5,
    },
}

_ANTHROPIC_USAGE = {
    "input_tokens": 3,
    "output_tokens": 2,
    "cache_creation_input_tokens": 0,
    "cache_read_input_tokens": 0,
}

_GOOGLE: dict[str, Any] = {
    "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
    "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5},
    "modelVersion": "m",
    "responseId": "r",
}

RESPONSES: Mapping[str, dict[str, Any]] = {
    "openai_chat": {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": _CHAT_USAGE,
    },
    "openai_responses": _RESPONSE,
    "anthropic_messages": {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [{"type": "text", "text": "Hi"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": _ANTHROPIC_USAGE,
    },
    "google_generate": _GOOGLE,
    "cohere_chat": {
        "id": "r",
        "finish_reason": "COMPLETE",
        "message": {"role": "assistant", "content": [{"type": "text", "text": "Hi"}]},
        "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}},
    },
    "bedrock_converse": {
        "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
        "metrics": {"latencyMs": 1},
    },
}


def _chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}


def _call(**more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": 0, **more}]}


def _numbered(events: Sequence[dict[str, Any]]) -> Events:
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


_BEGUN = {**_RESPONSE, "status": "in_progress", "output": [], "usage": None}
_HERE = {"output_index": 0, "item_id": "msg_1", "content_index": 0}
_NO_TEXT = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}

STREAMS: Mapping[str, Events] = {
    "openai_chat": [
        _chunk({"role": "assistant", "content": ""}),
        _chunk(_call(id="a", type="function", function={"name": "f", "arguments": ""})),
        _chunk(_call(function={"arguments": "{}"})),
        _chunk({}, "tool_calls"),
        {**_chunk({}), "choices": [], "usage": _CHAT_USAGE},
    ],
    "openai_responses": _numbered(
        [
            {"type": "response.created", "response": _BEGUN},
            {"type": "response.in_progress", "response": _BEGUN},
            {
                "type": "response.output_item.added",
                "output_index": 0,
                "item": {**_MESSAGE, "status": "in_progress", "content": []},
            },
            {"type": "response.content_part.added", **_HERE, "part": _NO_TEXT},
            {"type": "response.output_text.delta", **_HERE, "delta": "Hi", "logprobs": []},
            {"type": "response.output_text.done", **_HERE, "text": "Hi", "logprobs": []},
            {"type": "response.content_part.done", **_HERE, "part": {**_NO_TEXT, "text": "Hi"}},
            {"type": "response.output_item.done", "output_index": 0, "item": _MESSAGE},
            {"type": "response.completed", "response": _RESPONSE},
        ]
    ),
    "anthropic_messages": [
        {
            "type": "message_start",
            "message": {
                "id": "msg_1",
                "type": "message",
                "role": "assistant",
                "model": "m",
                "content": [],
                "stop_reason": None,
                "stop_sequence": None,
                "usage": _ANTHROPIC_USAGE,
            },
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "why"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "ping"},
        {
            "type": "content_block_start",
            "index": 1,
            "content_block": {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        },
        {"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{}"}},
        {"type": "content_block_stop", "index": 1},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use", "stop_sequence": None},
            "usage": {"output_tokens": 2},
        },
        {"type": "message_stop"},
    ],
    "google_generate": [
        {**_GOOGLE, "candidates": [{"index": 0, "content": {"role": "model", "parts": [{"text": "H"}]}}]},
        {
            **_GOOGLE,
            "candidates": [{**_GOOGLE["candidates"][0], "content": {"role": "model", "parts": [{"text": "i"}]}}],
        },
    ],
    "cohere_chat": [
        {"type": "message-start", "id": "r", "delta": {"message": {"role": "assistant"}}},
        {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
        {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "Hi"}}}},
        {"type": "content-end", "index": 0},
        {
            "type": "message-end",
            "delta": {"finish_reason": "COMPLETE", "usage": {"tokens": {"input_tokens": 3, "output_tokens": 2}}},
        },
    ],
    "bedrock_converse": [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "Hi"}}},
        {"contentBlockStop": {"contentBlockIndex": 0}},
        {"messageStop": {"stopReason": "end_turn"}},
        {
            "metadata": {
                "usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5},
                "metrics": {"latencyMs": 1},
            }
        },
    ],
}


def dump(value: Any) -> bytes:
    """JSON."""
    return json.dumps(value).encode()


def sse(dialect: str, events: Sequence[dict[str, Any]]) -> bytes:
    """A stream of a dialect."""
    if dialect == "bedrock_converse":
        return b"".join(_frame(*next(iter(event.items()))) for event in events)
    named = dialect in ("openai_responses", "anthropic_messages", "cohere_chat")
    lines = [
        (b"event: %s\n" % str(event.get("type")).encode() if named else b"") + b"data: " + dump(event)
        for event in events
    ]
    if dialect == "openai_chat":
        lines.append(b"data: [DONE]")
    return b"".join(line + b"\n\n" for line in lines)


def _frame(kind: str, value: Any) -> bytes:
    """A frame of Amazon's event streams (https://docs.aws.amazon.com/AmazonS3/latest/API/RESTSelectObjectAppendix.html)."""
    from binascii import crc32

    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(text).to_bytes(2) + text.encode()
        for name, text in headers.items()
    )
    payload = dump(value)
    prelude = (16 + len(head) + len(payload)).to_bytes(4) + len(head).to_bytes(4)
    whole = prelude + crc32(prelude).to_bytes(4) + head + payload
    return whole + crc32(whole).to_bytes(4)
