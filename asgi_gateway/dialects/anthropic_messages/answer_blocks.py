"""What an answer's parts become as blocks, whole ones and the beginnings of streamed ones."""

from typing import assert_never

from asgi_gateway.canonical import (
    HostedCall,
    HostedResult,
    Inline,
    Losses,
    Media,
    Native,
    Part,
    Refusal,
    Remote,
    Seal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    wrap,
)
from asgi_gateway.dialects.anthropic_messages.block_writer import tool_input
from asgi_gateway.dialects.anthropic_messages.citations import write_citations
from asgi_gateway.dialects.anthropic_messages.names import MAKER, NAME, Json, tool_use_id

__all__ = ["answer_blocks", "message_id", "sealed", "thinking_block"]


def message_id(given: str, own: str) -> str:
    """The upstream's id where it looks like Anthropic's, else one made of ours."""
    return given if given.startswith("msg_") else f"msg_{own}"


def sealed(seal: Seal | None, call: str = "") -> str:
    """A signature: Anthropic's own as it is, others wrapped; empty for none."""
    if seal is None:
        return ""
    own = seal.maker == MAKER and seal.kind != "encrypted" and not call
    return seal.data if own else wrap(seal, call)


def thinking_block(text: str, seal: Seal | None) -> Json:
    """Thinking. Without a text it is a redacted block, whose data is the seal."""
    if not text and seal is not None and seal.kind != "signature":
        return {"type": "redacted_thinking", "data": sealed(seal)}
    return {"type": "thinking", "thinking": text, "signature": sealed(seal)}


def answer_blocks(part: Part, losses: Losses) -> list[Json]:
    """The blocks of a part of an answer; none when it has no place, which is noted. An empty text is no block."""
    match part:
        case Text():
            return _text(part, losses)
        case Refusal():
            return _refusal(part, losses)
        case Thinking():
            return [thinking_block(part.text, part.seal)] if part.text or part.seal is not None else []
        case ToolCall():
            id = tool_use_id(part.id)
            block = {"type": "tool_use", "id": id, "name": part.name, "input": tool_input(part, losses)}
            if part.seal is None:
                return [block]
            return [{"type": "thinking", "thinking": "", "signature": sealed(part.seal, id)}, block]
        case Media():
            return _media(part, losses)
        case HostedCall() | HostedResult():
            if part.dialect == NAME and isinstance(part.native, dict):
                return [part.native]
            losses.dropped(part.tool)
            return []
        case Native():
            if part.dialect == NAME and isinstance(part.value, dict):
                return [part.value]
            losses.dropped(part.field)
            return []
        case ToolResult():
            losses.dropped("tool_result")
            return []
        case _:
            assert_never(part)


def _refusal(part: Refusal, losses: Losses) -> list[Json]:
    if not part.text:
        return []
    losses.approximated("refusal")
    return [{"type": "text", "text": part.text}]


def _text(part: Text, losses: Losses) -> list[Json]:
    if part.seal is not None:
        losses.dropped("signature")
    if not part.text and not part.citations:
        return []
    block: Json = {"type": "text", "text": part.text}
    citations = write_citations(part.citations, losses, "citations")
    if citations:
        block["citations"] = citations
    return [block]


def _media(media: Media, losses: Losses) -> list[Json]:
    """A picture becomes a picture in Markdown, a spoken answer its transcript."""
    if media.kind == "audio" and media.transcript:
        losses.approximated("audio")
        return [{"type": "text", "text": media.transcript}]
    source = media.source
    url = ""
    if isinstance(source, Inline):
        url = f"data:{source.media_type};base64,{source.data}"
    elif isinstance(source, Remote):
        url = source.url
    if media.kind != "image" or not url:
        losses.dropped(media.kind)
        return []
    losses.approximated("image")
    return [{"type": "text", "text": f"![image]({url})"}]
