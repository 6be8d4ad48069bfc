"""The content blocks of an answer to a caller."""

from typing import assert_never

from asgi_gateway.canonical import (
    HostedCall,
    HostedResult,
    Inline,
    Losses,
    Media,
    Native,
    Part,
    PlainText,
    Refusal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
)
from asgi_gateway.dialects.bedrock_converse.block_writer import tool_input
from asgi_gateway.dialects.bedrock_converse.citations import write_citation
from asgi_gateway.dialects.bedrock_converse.media import Json, write_media
from asgi_gateway.dialects.bedrock_converse.names import NAME, format_of, tool_use_id
from asgi_gateway.dialects.bedrock_converse.seals import write_sealed_call, write_thinking

__all__ = ["answer_blocks", "given_block"]


def answer_blocks(part: Part, losses: Losses) -> list[Json]:
    """The blocks of a part; none when it has no place, which is noted. An empty text is no block."""
    match part:
        case Text():
            if part.seal is not None:
                losses.dropped("signature")
            if part.citations:
                citations = [write_citation(citation) for citation in part.citations]
                return [{"citationsContent": {"content": [{"text": part.text}], "citations": citations}}]
            return [{"text": part.text}] if part.text else []
        case Refusal():
            losses.approximated("refusal")
            return [{"text": part.text}] if part.text else []
        case Thinking():
            return [write_thinking(part)] if part.text or part.seal is not None else []
        case ToolCall():
            given = tool_input(part, losses)
            call = {"toolUse": {"toolUseId": tool_use_id(part.id), "name": part.name, "input": given}}
            return [call] if part.seal is None else [write_sealed_call(part.seal, tool_use_id(part.id)), call]
        case Media() | HostedCall() | HostedResult() | ToolResult() | Native():
            block = given_block(part, losses)
            return [] if block is None else [block]
        case _:
            assert_never(part)


def given_block(part: Media | HostedCall | HostedResult | ToolResult | Native, losses: Losses) -> Json | None:
    """The block of a part that comes whole; None when it has no place."""
    match part:
        case Media():
            source = part.source
            if isinstance(source, PlainText) or (
                isinstance(source, Inline) and format_of(part.kind, source.media_type)
            ):
                return write_media(part, set(), losses)
            losses.dropped(part.kind)
        case HostedCall() | HostedResult():
            if part.dialect == NAME and isinstance(part.native, dict):
                return {"toolUse" if isinstance(part, HostedCall) else "toolResult": part.native}
            losses.dropped(part.tool)
        case Native():
            if part.dialect == NAME and isinstance(part.value, dict):
                return part.value
            losses.dropped(part.field)
        case ToolResult():
            losses.dropped("tool_result")
        case _:
            assert_never(part)
    return None
