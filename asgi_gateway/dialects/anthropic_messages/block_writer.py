"""Writes turns as messages for an upstream."""

from collections.abc import Sequence
from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import (
    ChatRequest,
    HostedCall,
    HostedResult,
    Losses,
    Media,
    Native,
    Part,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from asgi_gateway.dialects.anthropic_messages.citations import write_citations
from asgi_gateway.dialects.anthropic_messages.media import write_cache, write_media
from asgi_gateway.dialects.anthropic_messages.names import MAKER, NAME, Json, tool_use_id
from asgi_gateway.errors import InvalidRequest

__all__ = ["tool_input", "write_messages"]

FILLER = "."
"""Stands where Anthropic wants a text and the conversation has none: blank texts are refused."""


def tool_input(call: ToolCall, losses: Losses) -> Any:
    """A call's arguments as an object: a free text stands under `input`, what is no object under `arguments`."""
    if call.custom:
        losses.approximated("tool_calls[].custom")
        return {"input": call.arguments}
    try:
        value = msgspec.json.decode(call.arguments) if call.arguments.strip() else {}
    except (ValueError, RecursionError):
        value = call.arguments
    if isinstance(value, dict):
        return value
    losses.approximated("tool_calls[].arguments")
    return {"arguments": value}


def write_messages(request: ChatRequest, losses: Losses) -> list[Json]:
    """All of them: neighbours of one role are one message, and the user's comes first."""
    written: list[Json] = []
    for turn in request.turns:
        if turn.name:
            losses.dropped("messages[].name")
        role = _role(turn, losses)
        blocks = [block for part in turn.parts for block in _write_part(part, losses)]
        if not blocks:
            continue
        if not written and role == "assistant":
            losses.invented("messages[].content[].text")
            written.append({"role": "user", "content": [{"type": "text", "text": FILLER}]})
        if written and written[-1]["role"] == role:
            written[-1]["content"] += blocks
        else:
            written.append({"role": role, "content": blocks})
    for message in written:
        message["content"] = _in_place(message["content"])
    return written


def _role(turn: Turn, losses: Losses) -> str:
    if turn.role == "system":
        losses.approximated("messages[].role")
    return "assistant" if turn.role == "assistant" else "user"


def _in_place(blocks: list[Json]) -> list[Json] | str:
    """Results stand in front of what else the user says; one bare text is written as such."""
    if any(block["type"] == "tool_result" for block in blocks):
        results = [block for block in blocks if block["type"] == "tool_result"]
        blocks = [*results, *(block for block in blocks if block["type"] != "tool_result")]
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return str(blocks[0]["text"])
    return blocks


def _write_part(part: Part, losses: Losses) -> Sequence[Json]:
    """The blocks of a part; none when it has no place, which is noted."""
    match part:
        case Text():
            return _text(part, losses)
        case Refusal():
            losses.approximated("messages[].content[].refusal")
            return [{"type": "text", "text": part.text}] if part.text.strip() else []
        case Thinking():
            return _thinking(part, losses)
        case ToolCall():
            given = tool_input(part, losses)
            block = {"type": "tool_use", "id": tool_use_id(part.id), "name": part.name, "input": given}
            return [write_cache(block, part.cache)]
        case ToolResult():
            return [_result(part, losses)]
        case Media():
            return [write_media(part, losses)]
        case HostedCall() | HostedResult():
            if part.dialect == NAME and isinstance(part.native, dict):
                return [part.native]
            losses.dropped(f"messages[].content[].{part.tool}")
            return []
        case Native():
            return _native(part, losses)
        case _:
            assert_never(part)


def _text(part: Text, losses: Losses) -> list[Json]:
    if not part.text.strip():  # blank texts are refused
        return []
    block: Json = {"type": "text", "text": part.text}
    own = tuple(citation for citation in part.citations if citation.dialect == NAME)
    if len(own) < len(part.citations):
        losses.dropped("citations")
    if own:
        block["citations"] = write_citations(own, losses, "citations")
    return [write_cache(block, part.cache)]


def _thinking(part: Thinking, losses: Losses) -> list[Json]:
    """Anthropic wants its own seals and nothing else: thinking without one is refused."""
    seal = part.seal
    if seal is None or seal.maker != MAKER or seal.kind == "encrypted":
        losses.dropped("messages[].content[].thinking")
        return []
    if seal.kind == "redacted":
        return [{"type": "redacted_thinking", "data": seal.data}]
    return [{"type": "thinking", "thinking": part.text, "signature": seal.data}]


def _result(result: ToolResult, losses: Losses) -> Json:
    content: list[Json] = []
    for part in result.parts:
        content += _write_part(part, losses)
    block: Json = {"type": "tool_result", "tool_use_id": tool_use_id(result.call_id)}
    if len(content) == 1 and content[0].keys() == {"type", "text"}:
        block["content"] = content[0]["text"]
    elif content:
        block["content"] = content
    if result.failed:
        block["is_error"] = True
    return write_cache(block, result.cache)


def _native(part: Native, losses: Losses) -> list[Json]:
    if part.dialect == NAME and isinstance(part.value, dict):
        return [part.value]
    if part.essential:
        raise InvalidRequest(
            f"This model's provider takes no content of this kind here: {part.field}.",
            param="messages",
            code="unsupported_content",
        )
    losses.dropped(part.field)
    return []
