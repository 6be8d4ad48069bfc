"""Upstreams that sign their thinking and calls, and refuse a conversation that comes back without the signatures.

`claude` follows https://platform.claude.com/docs/en/build-with-claude/extended-thinking (a turn that thinks begins with
its thinking, signed, and comes back so while its calls are being answered), `gemini`
https://ai.google.dev/gemini-api/docs/thought-signatures (the first call of a step has a signature, which comes back in
the same part). Both play the same: two calls at once, one call, a text, and a word to whatever is said afterwards.

A signature is made of what it signs: a wrong one, or one on the wrong text, is refused, wherever it stands; a missing
one behind the user's last question only.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from hashlib import sha512
from itertools import groupby, pairwise
from typing import Any

from support.http_upstream import Asked, Told

__all__ = ["CALLS", "TEXTS", "THOUGHTS", "UNSIGNED", "claude", "gemini", "sign"]

CALLS: Sequence[Sequence[tuple[str, dict[str, Any]]]] = (
    [("get_weather", {"city": "Paris"}), ("get_time", {"zone": "Europe/Paris"})],
    [("get_weather", {"city": "Rome"})],
    [],
    [],
)
TEXTS = ("I look at Paris.", "", "Rome is warmer.", "Gladly.")
THOUGHTS = ("They ask for Paris first.", "Rome is next: 20 \u2192 ?", "Compare them.", "Be polite.")
"""By step: what is called, said and thought."""


UNSIGNED = b64encode(b"skip_thought_signature_validator").decode()
"""What Google documents for calls that another model made."""


def sign(*signed: Any) -> str:
    """A signature of the length that real ones have."""
    digest = sha512(json.dumps(signed, sort_keys=True).encode()).digest()
    return b64encode(digest * 8).decode()


def claude(request: Asked) -> Told:
    """Answer as Messages does, thinking if it is enabled."""
    body = request.body
    thinks = body.get("thinking", {}).get("type") in {"enabled", "adaptive"}
    mistake = _mistake_to_claude(body["messages"], thinks)
    if body["model"] != "claude-sonnet-4-5":
        mistake = f"model: {body['model']}"
    if mistake:
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": mistake}}
        return Told(json.dumps(error).encode(), 400)
    step = sum(message["role"] == "assistant" for message in body["messages"])
    content: list[dict[str, Any]] = []
    if thinks:
        content.append({"type": "thinking", "thinking": THOUGHTS[step], "signature": sign(THOUGHTS[step])})
    if TEXTS[step]:
        content.append({"type": "text", "text": TEXTS[step]})
    for number, (name, value) in enumerate(CALLS[step]):
        content.append({"type": "tool_use", "id": f"toolu_{step}_{number}", "name": name, "input": value})
    message = {"id": f"msg_{step}", "type": "message", "role": "assistant", "model": body["model"]}
    stop = {"stop_reason": "tool_use" if CALLS[step] else "end_turn", "stop_sequence": None}
    usage = {"input_tokens": 11, "output_tokens": 7}
    if not body.get("stream"):
        return Told(json.dumps({**message, "content": content, **stop, "usage": usage}).encode())
    start = {**message, "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": start}]
    for index, block in enumerate(content):
        events += _block_events(index, block)
    events += [{"type": "message_delta", "delta": stop, "usage": {"output_tokens": 7}}, {"type": "message_stop"}]
    data = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return Told(data.encode(), media_type="text/event-stream")


def _block_events(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    deltas: list[dict[str, Any]]
    match block["type"]:
        case "thinking":
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [{"type": "thinking_delta", "thinking": piece} for piece in _halves(block["thinking"])]
            deltas.append({"type": "signature_delta", "signature": block["signature"]})
        case "text":
            empty = {"type": "text", "text": ""}
            deltas = [{"type": "text_delta", "text": piece} for piece in _halves(block["text"])]
        case _:
            empty = {**block, "input": {}}
            pieces = _halves(json.dumps(block["input"]))
            deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces)]
    return [
        {"type": "content_block_start", "index": index, "content_block": empty},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _mistake_to_claude(messages: Sequence[dict[str, Any]], thinks: bool) -> str:
    """What Anthropic would refuse in a conversation; "" for nothing."""
    open_from = max(number for number, message in enumerate(messages) if _asks(message))
    for number, message in enumerate(messages):
        content = message["content"]
        if message["role"] != "assistant" or isinstance(content, str):
            continue
        for place, block in enumerate(content):
            if block["type"] == "thinking" and block["signature"] != sign(block["thinking"]):
                return f"messages.{number}.content.{place}: Invalid `signature` in `thinking` block"
        calls = [block["id"] for block in content if block["type"] == "tool_use"]
        if thinks and calls and number > open_from and content[0]["type"] != "thinking":
            found = content[0]["type"]
            return f"messages.{number}.content.0.type: Expected `thinking` or `redacted_thinking`, but found `{found}`."
        answered = [block.get("tool_use_id") for block in messages[number + 1]["content"]] if calls else []
        if calls != answered or not all(re.fullmatch("[a-zA-Z0-9_-]{1,64}", call) for call in calls):
            return f"messages.{number}: `tool_use` ids were found without `tool_result` blocks immediately after"
    return ""


def _asks(message: dict[str, Any]) -> bool:
    """Whether a message is a question of the user's, not the results of tools."""
    content = message["content"]
    return message["role"] == "user" and (isinstance(content, str) or content[0]["type"] == "text")


def gemini(request: Asked) -> Told:
    """Answer as generateContent does, with its thoughts if they are to be included."""
    body = request.body
    contents = [(role, [part for content in run for part in content["parts"]]) for role, run in _runs(body["contents"])]
    mistake = _mistake_to_gemini(contents)
    if mistake:
        error = {"error": {"code": 400, "message": mistake, "status": "INVALID_ARGUMENT"}}
        return Told(json.dumps(error).encode(), 400)
    step = sum(role == "model" for role, _ in contents)
    parts: list[dict[str, Any]] = []
    thinking = body.get("generationConfig", {}).get("thinkingConfig", {})
    if thinking.get("includeThoughts") or thinking.get("include_thoughts"):  # Google takes both; its clients write both
        parts.append({"text": THOUGHTS[step], "thought": True})
    if TEXTS[step]:
        parts.append({"text": TEXTS[step]})
    for number, (name, value) in enumerate(CALLS[step]):
        signed = {} if number else {"thoughtSignature": sign(name, value)}
        parts.append({"functionCall": {"name": name, "args": value}, **signed})
    usage = {"promptTokenCount": 11, "candidatesTokenCount": 7, "totalTokenCount": 18}
    about = {"usageMetadata": usage, "modelVersion": "gemini-3-pro-preview", "responseId": f"r{step}"}
    if "alt=sse" not in request.path:
        candidate = {"content": {"role": "model", "parts": parts}, "finishReason": "STOP", "index": 0}
        return Told(json.dumps({"candidates": [candidate], **about}).encode())
    pieces = [{"content": {"role": "model", "parts": [part]}, "index": 0} for part in parts]
    pieces.append({"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP", "index": 0})
    data = "".join(f"data: {json.dumps({'candidates': [piece], **about})}\r\n\r\n" for piece in pieces)
    return Told(data.encode(), media_type="text/event-stream")


def _runs(contents: Sequence[dict[str, Any]]) -> Iterable[tuple[str, Iterable[dict[str, Any]]]]:
    """Contents of one role in a row are one to Google: its chats keep a stream's chunks so."""
    return groupby(contents, lambda content: str(content["role"]))


def _mistake_to_gemini(contents: Sequence[tuple[str, list[dict[str, Any]]]]) -> str:
    """What Google would refuse in a conversation; "" for nothing."""
    asked = max(number for number, (role, parts) in enumerate(contents) if role == "user" and "text" in parts[-1])
    for number, ((role, said), (_, answered)) in enumerate(pairwise(contents)):
        if role != "model":
            continue
        held = [part for part in said if "functionCall" in part]
        for place, part in enumerate(held):
            call = part["functionCall"]
            # Bytes in JSON: Google takes both alphabets of base64, and its Python client writes the other one.
            signature = part.get("thoughtSignature", "").translate(str.maketrans("-_", "+/"))
            if signature and signature not in {sign(call["name"], call["args"]), UNSIGNED}:
                return "Corrupted thought signature."
            if not signature and place == 0 and number > asked:
                return f"Function call `{call['name']}` is missing a thought_signature in functionCall parts."
        names = [part["functionCall"]["name"] for part in held]
        results = [part["functionResponse"]["name"] for part in answered if "functionResponse" in part]
        if names != results:
            return "The number of function response parts is not equal to that of the function call parts."
    return ""


def _halves(text: str) -> tuple[str, str]:
    middle = len(text) // 2
    return text[:middle], text[middle:]
