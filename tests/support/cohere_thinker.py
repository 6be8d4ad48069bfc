"""Cohere's chat, thinking: what aimock cannot, which sends a thinking of Cohere's as a text.

Follows https://docs.cohere.com/v2/docs/reasoning and https://docs.cohere.com/v2/docs/streaming.
"""

import json
from typing import Any

from support.http_upstream import Asked, Told

__all__ = ["think"]

USAGE = {"billed_units": {"input_tokens": 11, "output_tokens": 7}, "tokens": {"input_tokens": 11, "output_tokens": 7}}


def think(request: Asked) -> Told:
    """Think of six times seven, if it is asked to think; say 42."""
    thinks = request.body.get("thinking", {}).get("type") == "enabled"
    parts = [("thinking", "six times seven")] if thinks else []
    parts.append(("text", "42"))
    if not request.body.get("stream"):
        content = [{"type": kind, kind: text} for kind, text in parts]
        message = {"role": "assistant", "content": content}
        answer = {"id": "c-1", "finish_reason": "COMPLETE", "message": message, "usage": USAGE}
        return Told(json.dumps(answer).encode())
    start = {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}
    events: list[dict[str, Any]] = [{"type": "message-start", "id": "c-1", "delta": {"message": start}}]
    for index, (kind, text) in enumerate(parts):
        content = {"type": kind, kind: ""}
        events.append({"type": "content-start", "index": index, "delta": {"message": {"content": content}}})
        for piece in text.split(" "):
            more = {kind: piece if text.startswith(piece) else " " + piece}
            events.append({"type": "content-delta", "index": index, "delta": {"message": {"content": more}}})
        events.append({"type": "content-end", "index": index})
    events.append({"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": USAGE}})
    data = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return Told((data + "data: [DONE]\n\n").encode(), media_type="text/event-stream")
