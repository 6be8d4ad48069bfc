"""The parts of a message's content: text, images, sounds, files, films, and what look-alikes add.

Follows `ChatCompletionRequestUserMessageContentPart` of OpenAI's OpenAPI document; `video_url` as OpenRouter and Qwen
have it, `document_url` and `thinking` as Mistral has them, `cache_control` as Anthropic's models want it.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from asgi_gateway.canonical import CacheMark, Inline, Losses, Media, Native, Part, Refusal, Stored, Text, Thinking
from asgi_gateway.dialects.node import Node, plain_path
from asgi_gateway.dialects.openai_wire.data_urls import audio_type, document_type, kind_of, source_of

__all__ = ["cache_mark", "content_of", "image_of", "mistral_thinking", "note_unread"]

DIALECT = "openai_chat"


def content_of(message: Node, losses: Losses) -> list[Part]:
    """The parts of a message's `content`, be it a text or a list; none for null and for empty texts."""
    content = message.any("content")
    if content is None or content == "":
        return []
    if isinstance(content, str):
        return [Text(content, (), _message_mark(message, losses))]
    if not isinstance(content, list):
        raise message.wrong("content", "a string or an array")
    return [part for node in _nodes(message) for part in _parts(node, losses)]


def _nodes(message: Node) -> Iterator[Node]:
    """The parts of a list; a bare string in it is a text."""
    for number, item in enumerate(message.list("content")):
        path = f"{message.at('content')}[{number}]"
        if isinstance(item, str):
            yield Node({"type": "text", "text": item}, path)
        elif isinstance(item, dict):
            yield Node(item, path)
        else:
            raise message.wrong("content", "an array of objects")


def _parts(node: Node, losses: Losses) -> list[Part]:
    part = _part(node, losses)
    if not isinstance(part, Native):
        node.skip("type")
        note_unread(node, losses)
    return [] if isinstance(part, Text) and not part.text else [part]


def _part(node: Node, losses: Losses) -> Part:
    kind = node.text("type") or _guess(node)
    match kind:
        case "text" | "input_text" | "output_text":
            return Text(node.text("text"), (), cache_mark(node, losses))
        case "image_url" | "input_image":
            return _image(node, losses)
        case "input_audio":
            return _audio(node, losses)
        case "file" | "input_file":
            return _file(node, losses)
        case "document_url":
            name = node.text("document_name")
            return Media(kind="document", source=source_of(node.require_text("document_url")), name=name)
        case "video_url":
            address = _address(node, "video_url", losses)
            return Media(kind="video", source=source_of(address), cache=cache_mark(node, losses))
        case "refusal":
            return Refusal(node.text("refusal"))
        case "thinking":
            return Thinking(mistral_thinking(node.any("thinking"), node, losses))
    return Native(DIALECT, f"messages[].content[].{kind}", dict(node.value), essential=True)


def _guess(node: Node) -> str:
    """The type of a part that does not say it."""
    return next((name for name in ("text", "image_url", "input_audio", "file", "video_url") if name in node), "")


def _address(node: Node, name: str, losses: Losses) -> str:
    """A URL that stands alone or in an object."""
    value = node.any(name)
    if isinstance(value, str):
        return value
    inner = node.object(name)
    if inner is None:
        raise node.missing(name)
    url = inner.require_text("url")
    inner.skip("detail", "index")
    note_unread(inner, losses)
    return url


def _image(node: Node, losses: Losses) -> Media:
    address = _address(node, "image_url", losses)
    inner = node.any("image_url")
    detail = inner.get("detail") if isinstance(inner, dict) else node.any("detail")
    node.skip("text", "detail")  # some clients send both fields of a part, one of them null or empty
    return Media(
        kind="image",
        source=source_of(address),
        detail=detail if isinstance(detail, str) else "",
        cache=cache_mark(node, losses),
    )


def image_of(value: Any) -> Media | None:
    """One of the `images` that OpenRouter's models draw; None for what is none."""
    inner = value.get("image_url") if isinstance(value, dict) else None
    url = inner.get("url") if isinstance(inner, dict) else inner
    return Media(kind="image", source=source_of(url)) if isinstance(url, str) and url else None


def _audio(node: Node, losses: Losses) -> Part:
    inner = node.any("input_audio")
    if isinstance(inner, str):  # Mistral's: an address, or data in base64
        source = source_of(inner) if ":" in inner[:8] else Inline("audio/mpeg", inner)
        return Media(kind="audio", source=source)
    audio = node.object("input_audio")
    if audio is None:
        raise node.missing("input_audio")
    data, media_type = audio.require_text("data"), audio_type(audio.text("format"))
    note_unread(audio, losses)
    source = source_of(data) if data.startswith("data:") else Inline(media_type, data)
    return Media(kind="audio", source=source, cache=cache_mark(node, losses))


def _file(node: Node, losses: Losses) -> Part:
    file = node.object("file") or node
    name, id = file.text("filename"), file.text("file_id")
    if id:
        file.skip("file_data")
        return Media(kind="document", source=Stored(id, "openai"), name=name, cache=cache_mark(node, losses))
    data = file.text("file_data") or file.text("file_url")
    if not data:
        raise file.missing("file_data")
    source = source_of(data) if ":" in data[:8] else Inline(document_type(name), data)
    kind = kind_of(source.media_type) if isinstance(source, Inline) else "document"
    if file is not node:
        note_unread(file, losses)
    return Media(kind=kind, source=source, name=name, cache=cache_mark(node, losses))


def mistral_thinking(value: Any, node: Node, losses: Losses) -> str:
    """The text of Mistral's thinking: a list of texts, or a text."""
    node.skip("closed")
    if isinstance(value, str):
        return value
    pieces = []
    for item in value if isinstance(value, list) else ():
        text = item.get("text") if isinstance(item, dict) else None
        if isinstance(text, str):
            pieces.append(text)
        else:
            losses.dropped(plain_path(node.at("thinking")))
    return "".join(pieces)


def cache_mark(node: Node, losses: Losses) -> CacheMark | None:
    """The wish to cache up to a part: Anthropic's `cache_control`, or OpenAI's `prompt_cache_breakpoint`."""
    control, explicit = node.any("cache_control"), node.any("prompt_cache_breakpoint")
    if control is None:
        return CacheMark() if explicit is not None else None
    if not isinstance(control, Mapping) or control.get("type") != "ephemeral":
        losses.dropped(plain_path(node.at("cache_control")))
        return None
    return CacheMark("1h") if control.get("ttl") == "1h" else CacheMark()


def _message_mark(message: Node, losses: Losses) -> CacheMark | None:
    return cache_mark(message, losses) if "cache_control" in message else None


def note_unread(node: Node, losses: Losses) -> None:
    """Note the members that nobody asked for."""
    for name in node.unread():
        losses.dropped(plain_path(node.at(name)))
