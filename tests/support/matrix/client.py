"""What a vendor's usual client sends as its next turn: the answer's own JSON, as far as that client keeps it."""

import json
from typing import Any

__all__ = ["next_turn"]

RESULT = "sunny"


def next_turn(dialect: str, first: bytes, answer: bytes) -> bytes:
    """The conversation of the first request, the answer to it, and a result for each of its calls."""
    ways = {
        "openai_chat": _openai_chat,
        "openai_responses": _openai_responses,
        "anthropic_messages": _anthropic_messages,
        "google_generate": _google_generate,
        "cohere_chat": _cohere_chat,
        "bedrock_converse": _bedrock_converse,
    }
    body = json.loads(first)
    ways[dialect](body, json.loads(answer))
    return json.dumps(body).encode()


def _openai_chat(body: Any, answer: Any) -> None:
    """Nothing but what OpenAI's own type of a message has."""
    message = answer["choices"][0]["message"]
    calls = [{key: call[key] for key in ("id", "type", "function")} for call in message["tool_calls"]]
    body["messages"].append({"role": "assistant", "content": message["content"], "tool_calls": calls})
    body["messages"] += [{"role": "tool", "tool_call_id": call["id"], "content": RESULT} for call in calls]


def _openai_responses(body: Any, answer: Any) -> None:
    """All items of the output."""
    if isinstance(body["input"], str):
        body["input"] = [{"role": "user", "content": body["input"]}]
    body["input"] += answer["output"]
    body["input"] += [
        {"type": "function_call_output", "call_id": item["call_id"], "output": RESULT}
        for item in answer["output"]
        if item["type"] == "function_call"
    ]


def _anthropic_messages(body: Any, answer: Any) -> None:
    """All blocks of the content."""
    body["messages"].append({"role": "assistant", "content": answer["content"]})
    results = [
        {"type": "tool_result", "tool_use_id": block["id"], "content": RESULT}
        for block in answer["content"]
        if block["type"] == "tool_use"
    ]
    body["messages"].append({"role": "user", "content": results})


def _google_generate(body: Any, answer: Any) -> None:
    """All parts of the candidate."""
    content = answer["candidates"][0]["content"]
    body["contents"].append(content)
    results = []
    for part in content["parts"]:
        if "functionCall" in part:
            call = part["functionCall"]
            own = {"id": call["id"]} if "id" in call else {}
            results.append({"functionResponse": {**own, "name": call["name"], "response": {"output": RESULT}}})
    body["contents"].append({"role": "user", "parts": results})


def _cohere_chat(body: Any, answer: Any) -> None:
    """The message with its calls."""
    message = answer["message"]
    body["messages"].append({key: value for key, value in message.items() if value and key != "citations"})
    body["messages"] += [
        {"role": "tool", "tool_call_id": call["id"], "content": RESULT} for call in message["tool_calls"]
    ]


def _bedrock_converse(body: Any, answer: Any) -> None:
    """All blocks of the message."""
    message = answer["output"]["message"]
    body["messages"].append(message)
    results = [
        {"toolResult": {"toolUseId": block["toolUse"]["toolUseId"], "content": [{"text": RESULT}]}}
        for block in message["content"]
        if "toolUse" in block
    ]
    body["messages"].append({"role": "user", "content": results})
