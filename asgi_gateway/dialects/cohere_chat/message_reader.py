"""Reads one Cohere message as a turn."""

from typing import Any

import msgspec

from asgi_gateway.canonical import (
    Inline,
    Losses,
    Media,
    Native,
    Part,
    Remote,
    Text,
    Thinking,
    ToolCall,
    ToolResult,
    Turn,
)
from asgi_gateway.dialects.cohere_chat.citations import NAME, content_index, of_text, read_citation
from asgi_gateway.dialects.node import Node, plain_path

__all__ = ["attach_citations", "read_turn"]


def read_turn(message: Node, losses: Losses) -> Turn:
    """A message. Raises `InvalidRequest` with `param` for what is wrong in it."""
    role = message.require_text("role")
    match role:
        case "system" | "user":
            turn = Turn(role, tuple(_contents(message, losses)))
        case "assistant":
            turn = Turn("assistant", tuple(_assistant(message, losses)))
        case "tool":
            turn = Turn("tool", (_result(message, losses),))
        case _:
            raise message.unknown("role", "'system', 'user', 'assistant' and 'tool'")
    for name in message.unread():
        losses.dropped(plain_path(message.at(name)))
    return turn


def attach_citations(parts: list[Part], citations: list[Any], losses: Losses) -> list[Part]:
    """The contents of a message with its citations; `parts` are in the order that `content_index` counts."""
    given = list(parts)
    first = next((number for number, part in enumerate(given) if isinstance(part, Text)), -1)
    for citation in citations:
        if not isinstance(citation, dict) or not of_text(citation):
            losses.dropped("citations")
            continue
        index = content_index(citation)
        index = first if index is None else index
        text = given[index] if 0 <= index < len(given) else None
        if not isinstance(text, Text):
            losses.dropped("citations")
            continue
        given[index] = msgspec.structs.replace(text, citations=(*text.citations, *read_citation(citation)))
    return given


def _contents(message: Node, losses: Losses) -> list[Part]:
    """The contents of a message, a text alone or a list."""
    content = message.any("content")
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)]
    if not isinstance(content, list):
        raise message.wrong("content", "a string or an array")
    return [_content(node, losses) for node in message.objects("content")]


def _content(node: Node, losses: Losses) -> Part:
    kind = node.require_text("type")
    part: Part
    match kind:
        case "text":
            part = Text(node.text("text"))
        case "thinking":
            part = Thinking(node.text("thinking"))
        case "image_url":
            part = _image(node, losses)
        case "document":
            part = _document(node, losses)
        case _:
            return Native(NAME, f"{plain_path(node.path)}.{kind}", node.value, essential=True)
    for name in node.unread():
        losses.dropped(plain_path(node.at(name)))
    return part


def _image(node: Node, losses: Losses) -> Media:
    image = node.object("image_url")
    if image is None:
        raise node.missing("image_url")
    url, detail = image.require_text("url"), image.text("detail")
    for name in image.unread():
        losses.dropped(plain_path(image.at(name)))
    if not url.startswith("data:"):
        return Media(kind="image", source=Remote(url), detail=detail)
    media_type, mark, data = url[5:].partition(";base64,")
    if not mark:
        raise image.wrong("url", "an address or a data URL in base64")
    return Media(kind="image", source=Inline(media_type, data), detail=detail)


def _document(node: Node, losses: Losses) -> Text:
    """A document, which is how tools give data: its text where it has nothing else, all of its fields as JSON.

    Every other format has a place for a text in a result, and few have one for a document. Its id is lost.
    """
    document = node.object("document")
    if document is None:
        raise node.missing("document")
    data = document.any("data")
    document.skip("id")
    losses.approximated(plain_path(document.path))
    for field in document.unread():
        losses.dropped(plain_path(document.at(field)))
    if isinstance(data, str):
        return Text(data)
    if not isinstance(data, dict):
        raise document.wrong("data", "an object or a string")
    text = data.get("text")
    return Text(text if isinstance(text, str) and len(data) == 1 else msgspec.json.encode(data).decode())


def _assistant(message: Node, losses: Losses) -> list[Part]:
    plan = message.text("tool_plan")
    contents = attach_citations(_contents(message, losses), message.list("citations"), losses)
    parts: list[Part] = [Thinking(plan)] if plan else []
    # Clients put an empty text beside tool calls; other formats refuse one.
    parts += [part for part in contents if not (isinstance(part, Text) and not part.text)]
    for call in message.objects("tool_calls"):
        function = call.object("function")
        if function is None:
            raise call.missing("function")
        call.skip("type")
        parts.append(
            ToolCall(
                id=call.require_text("id"),
                name=function.require_text("name"),
                arguments=function.text("arguments"),
            )
        )
        for name in (*call.unread(), *function.unread()):
            losses.dropped(f"messages[].tool_calls[].{name}")
    return parts


def _result(message: Node, losses: Losses) -> ToolResult:
    parts = _contents(message, losses)
    good = tuple(part for part in parts if isinstance(part, Text | Media | Native))
    if len(good) < len(parts):
        losses.dropped("messages[].content[].thinking")
    return ToolResult(call_id=message.require_text("tool_call_id"), parts=good)
