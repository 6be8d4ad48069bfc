"""Writes the parts of a conversation as blocks for an upstream."""

from collections.abc import Sequence
from typing import assert_never

import msgspec

from asgi_gateway.canonical import (
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
    wrap_input,
)
from asgi_gateway.dialects.anthropic_messages.citations import write_citations
from asgi_gateway.dialects.anthropic_messages.media import write_cache, write_media
from asgi_gateway.dialects.anthropic_messages.names import MAKER, NAME, Json, tool_use_id
from asgi_gateway.errors import InvalidRequest

__all__ = ["tool_input", "write_part"]

_object = msgspec.json.Decoder(dict[str, msgspec.Raw])


def tool_input(call: ToolCall, losses: Losses) -> msgspec.Raw:
    """A call's arguments as an object, written as the text has it: numbers and the order of keys do not change.

    A free text stands under `input`, what is no object under `arguments`.
    """
    if call.custom:
        losses.approximated("tool_calls[].custom")
        return msgspec.Raw(wrap_input(call.arguments))
    if not call.arguments.strip():
        return msgspec.Raw(b"{}")
    try:
        text = call.arguments.encode()
        _object.decode(text)
    except (ValueError, RecursionError):
        losses.approximated("tool_calls[].arguments")
        given = call.arguments.encode(errors="replace").decode()
        return msgspec.Raw(msgspec.json.encode({"arguments": given}))
    return msgspec.Raw(text)


def write_part(part: Part, losses: Losses, *, said: bool = False) -> Sequence[Json]:
    """The blocks of a part; none when it has no place, which is noted. `said`: by the assistant.

    Blank texts are left out: Anthropic refuses them.
    """
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
            if said:  # an assistant's message has no place for what a model drew or spoke
                losses.dropped(f"messages[].content[].{part.kind}")
                return _text(Text(part.transcript), losses)
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
    if not part.text.strip():
        if part.cache is not None:
            losses.dropped("messages[].content[].cache_control")
        return []
    block: Json = {"type": "text", "text": part.text}
    own = tuple(citation for citation in part.citations if citation.dialect == NAME)
    if len(own) < len(part.citations):  # an index that only Anthropic's search gives would be missing
        losses.dropped("messages[].content[].citations")
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
    content = [block for part in result.parts for block in write_part(part, losses)]
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
            f"'{part.field}' is not supported for this model here: its provider has nothing like it.",
            param=part.field,
            code="unsupported_content",
        )
    losses.dropped(part.field)
    return []
