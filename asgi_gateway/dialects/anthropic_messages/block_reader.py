"""Reads the content of messages into parts."""

from collections.abc import Iterable
from typing import Any

import msgspec

from asgi_gateway.canonical import (
    Citation,
    HostedCall,
    HostedResult,
    Losses,
    Media,
    Native,
    Part,
    Seal,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    unwrap,
)
from asgi_gateway.dialects.anthropic_messages.citations import read_citations
from asgi_gateway.dialects.anthropic_messages.leftovers import note_unread
from asgi_gateway.dialects.anthropic_messages.media import read_cache, read_media, read_search_result
from asgi_gateway.dialects.anthropic_messages.names import MAKER, NAME, hosted_kind, result_kind
from asgi_gateway.dialects.node import Node, plain_path

__all__ = ["hosted_result", "read_content", "read_seal"]

SPARE = frozenset({"tool_reference", "tool_addition", "tool_removal", "mcp_tool_listing", "fallback"})
"""Blocks that others can do without: with them every tool is there from the beginning."""

SHOWN = ("text", "stdout", "stderr", "url", "error_code")
"""Members of a result that can be shown."""

_encoder = msgspec.json.Encoder()


def read_content(message: Node, losses: Losses) -> list[Part]:
    """The parts of one message, whose content is a text or an array of blocks."""
    content = message.any("content")
    if isinstance(content, str):
        return [Text(content)] if content else []
    return _with_seals(message.objects("content"), losses)


def _with_seals(blocks: Iterable[Node], losses: Losses) -> list[Part]:
    """Parts, with the seals of calls that stand in thinking blocks of ours put to their calls."""
    parts: list[Part] = []
    seals: dict[str, Seal] = {}
    for block in blocks:
        part = _read_block(block, seals, losses)
        if part is not None:
            parts.append(part)
    for place, part in enumerate(parts):
        if isinstance(part, ToolCall) and part.id in seals:
            parts[place] = msgspec.structs.replace(part, seal=seals.pop(part.id))
    if seals:
        losses.dropped("messages[].content[].signature")
    return parts


def _read_block(block: Node, seals: dict[str, Seal], losses: Losses) -> Part | None:
    kind = block.require_text("type")
    part: Part
    match kind:
        case "text":
            part = Text(block.text("text"), read_citations(block.any("citations")), read_cache(block, losses))
        case "image" | "document":
            media = read_media(block, losses)
            return media if media is not None else Native(NAME, f"{plain_path(block.path)}.source", block.value, True)
        case "thinking" | "redacted_thinking":
            thinking = _thinking(block, kind, seals)
            if thinking is None:
                return None
            part = thinking
        case "search_result":
            losses.approximated(f"{plain_path(block.path)}.search_result")
            return read_search_result(block, losses)
        case "tool_use":
            _skip_caller(block)
            part = ToolCall(
                id=block.require_text("id"),
                name=block.require_text("name"),
                arguments=_encoder.encode(block.any("input") or {}).decode(),
                cache=read_cache(block, losses),
            )
        case "tool_result":
            part = _tool_result(block, losses)
        case "server_tool_use" | "mcp_tool_use":
            return _hosted_call(block)
        case _ if result_kind(kind):
            return hosted_result(block.value)
        case _:
            return _native(block, kind)
    note_unread(block, losses)
    return part


def _native(block: Node, kind: str) -> Native:
    return Native(NAME, f"{plain_path(block.path)}.{kind[:64]}", block.value, essential=kind not in SPARE)


def _skip_caller(block: Node) -> None:
    """That the model itself calls goes without saying; that code of its does is a loss, to be noted."""
    caller = block.value.get("caller")
    if isinstance(caller, dict) and caller.get("type") == "direct":
        block.skip("caller")


def _thinking(block: Node, kind: str, seals: dict[str, Seal]) -> Thinking | None:
    """Thinking; None for a block of ours that holds nothing but a call's seal."""
    text = block.text("thinking")
    given = block.text("signature" if kind == "thinking" else "data")
    seal, call = read_seal(given, kind)
    if call and seal is not None:
        seals[call] = seal
        return Thinking(text) if text else None
    return Thinking(text, seal)


def read_seal(text: str, kind: str) -> tuple[Seal | None, str]:
    """The seal in a block of the type `kind`, and the id of the call that it belongs to or ""."""
    if not text:
        return None, ""
    foreign = unwrap(text)
    if foreign is not None:
        return foreign
    return Seal(maker=MAKER, kind="signature" if kind == "thinking" else "redacted", data=text), ""


def _tool_result(block: Node, losses: Losses) -> ToolResult:
    content = block.any("content")
    parts: list[Text | Media | Native] = []
    if isinstance(content, str):
        parts = [Text(content)] if content else []
    else:
        for inner in block.objects("content"):
            part = _read_block(inner, {}, losses)
            if isinstance(part, Text | Media | Native):
                parts.append(part)
            elif part is not None:
                parts.append(_native(inner, inner.text("type")))
    return ToolResult(
        call_id=block.require_text("tool_use_id"),
        parts=tuple(parts),
        failed=bool(block.flag("is_error")),
        cache=read_cache(block, losses),
    )


def _hosted_call(block: Node) -> HostedCall:
    name = block.require_text("name")
    return HostedCall(
        id=block.require_text("id"),
        tool="mcp" if block.text("type") == "mcp_tool_use" else hosted_kind(name),
        arguments=_encoder.encode(block.any("input") or {}).decode(),
        dialect=NAME,
        native=block.value,
    )


def hosted_result(block: Any) -> HostedResult:
    """What a tool of Anthropic's gave: texts as far as they can be shown, sources, and the whole block."""
    content = block.get("content")
    entries = content if isinstance(content, list) else [content]
    shown = [text for entry in entries if (text := _shown(entry))]
    return HostedResult(
        call_id=str(block.get("tool_use_id", "")),
        tool=result_kind(str(block.get("type"))),
        parts=tuple(Text(text) for text in shown),
        citations=tuple(
            Citation(kind="url", url=entry["url"], title=str(entry.get("title") or ""))
            for entry in entries
            if isinstance(entry, dict) and isinstance(entry.get("url"), str)
        ),
        failed=bool(block.get("is_error")) or (isinstance(content, dict) and "error_code" in content),
        dialect=NAME,
        native=block,
    )


def _shown(entry: Any) -> str:
    """The texts of one entry of a result, a line each."""
    if not isinstance(entry, dict):
        return entry if isinstance(entry, str) else ""
    title = [entry.get("title")] if entry.get("type") == "web_search_result" else []
    texts = [*title, *(entry.get(name) for name in SHOWN)]
    return "\n".join(text for text in texts if isinstance(text, str) and text)
