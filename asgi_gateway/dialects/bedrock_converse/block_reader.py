"""Reads the content blocks of messages."""

from collections.abc import Iterable
from typing import Any

import msgspec

from asgi_gateway.canonical import (
    CacheMark,
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
)
from asgi_gateway.dialects.bedrock_converse.citations import read_citation
from asgi_gateway.dialects.bedrock_converse.media import read_media
from asgi_gateway.dialects.bedrock_converse.names import NAME
from asgi_gateway.dialects.bedrock_converse.seals import read_thinking
from asgi_gateway.dialects.node import Node, plain_path

__all__ = ["HOSTED", "hosted_call", "hosted_result", "read_blocks", "read_cache_mark"]

HOSTED = {"nova_grounding": "web_search", "nova_code_interpreter": "code_execution"}
"""Neutral names of Amazon's own tools."""

_encoder = msgspec.json.Encoder()


def read_blocks(blocks: Iterable[Node], losses: Losses) -> list[Part]:
    """The parts of one message. A cache point marks the part before it; the seal of a call is put to the call."""
    parts: list[Part] = []
    seals: dict[str, Seal] = {}
    for block in blocks:
        mark = block.object("cachePoint")
        if mark is not None:
            _mark_last(parts, read_cache_mark(mark), losses)
            continue
        part = _read_block(block, seals, losses)
        if part is not None:
            parts.append(part)
    for call, seal in seals.items():
        place = next((i for i, part in enumerate(parts) if isinstance(part, ToolCall) and part.id == call), None)
        if place is None:
            losses.dropped("reasoningContent")
        else:
            parts[place] = msgspec.structs.replace(parts[place], seal=seal)
    return parts


def read_cache_mark(mark: Node) -> CacheMark:
    """A `cachePoint`."""
    mark.skip("type")
    return CacheMark("1h" if mark.text("ttl") == "1h" else "5m")


def hosted_call(id: str, name: str, arguments: str, native: Any) -> HostedCall:
    """A call of a tool that the model's provider runs."""
    return HostedCall(id=id, tool=HOSTED.get(name, name), arguments=arguments, dialect=NAME, native=native)


def hosted_result(id: str, kind: str, parts: Iterable[Any], failed: bool, native: Any) -> HostedResult:
    """What such a tool gave. `kind` is the result's type, such as "nova_grounding_result"."""
    name = kind.removesuffix("_result")
    shown = tuple(part for part in parts if isinstance(part, Text | Media))
    return HostedResult(
        call_id=id, tool=HOSTED.get(name, name), parts=shown, failed=failed, dialect=NAME, native=native
    )


def _mark_last(parts: list[Part], mark: CacheMark, losses: Losses) -> None:
    last = parts[-1] if parts else None
    if isinstance(last, Text | Media | ToolCall | ToolResult):
        parts[-1] = msgspec.structs.replace(last, cache=mark)
    else:
        losses.dropped("messages[].content[].cachePoint")


def _read_block(block: Node, seals: dict[str, Seal], losses: Losses) -> Part | None:
    kind = next((name for name, value in block.value.items() if value is not None), "")
    if kind == "text":
        return Text(block.text("text"))
    value = block.value.get(kind)
    if not isinstance(value, dict):
        raise block.wrong(kind, "an object") if kind else block.missing("text")
    node = Node(value, block.at(kind))
    match kind:
        case "image" | "document" | "video" | "audio":
            return read_media(kind, node, losses)
        case "toolUse":
            return _tool_use(node)
        case "toolResult":
            return _tool_result(node, losses)
        case "reasoningContent":
            return _reasoning(node, seals, losses)
        case "citationsContent":
            return _cited(node)
        case _:
            return Native(NAME, plain_path(node.path), block.value, essential=True)


def _tool_use(node: Node) -> ToolCall | HostedCall:
    id, name = node.require_text("toolUseId"), node.require_text("name")
    arguments = _encoder.encode(node.any("input") or {}).decode()
    if node.text("type"):
        return hosted_call(id, name, arguments, node.value)
    return ToolCall(id=id, name=name, arguments=arguments)


def _tool_result(node: Node, losses: Losses) -> ToolResult | HostedResult:
    id = node.require_text("toolUseId")
    parts: list[Text | Media | Native] = []
    for content in node.objects("content"):
        given = content.any("json")
        if given is not None:
            parts.append(Text(_encoder.encode(given).decode()))
            continue
        part = _read_block(content, {}, losses)
        if isinstance(part, Text | Media | Native):
            parts.append(part)
        else:
            losses.dropped(plain_path(content.path))
    failed = node.text("status") == "error"
    if kind := node.text("type"):
        return hosted_result(id, kind, parts, failed, node.value)
    return ToolResult(call_id=id, parts=tuple(parts), failed=failed)


def _reasoning(node: Node, seals: dict[str, Seal], losses: Losses) -> Thinking | None:
    text = node.object("reasoningText")
    words, signature = ("", "") if text is None else (text.text("text"), text.text("signature"))
    thinking, call = read_thinking(words, signature, node.text("redactedContent"))
    if call and thinking.seal is not None:
        seals[call] = thinking.seal
        return Thinking(words) if words else None
    for name in node.unread():
        losses.dropped(plain_path(node.at(name)))
    return thinking


def _cited(node: Node) -> Text:
    text = "".join(content.text("text") for content in node.objects("content"))
    return Text(text, tuple(read_citation(dict(citation.value)) for citation in node.objects("citations")))
