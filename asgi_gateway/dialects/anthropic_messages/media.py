"""Images and documents: their sources, and back."""

from base64 import b64decode
from typing import assert_never

from asgi_gateway.canonical import CacheMark, Inline, Losses, Media, PlainText, Remote, Stored
from asgi_gateway.dialects.anthropic_messages.leftovers import note_unread
from asgi_gateway.dialects.anthropic_messages.names import MAKER, Json
from asgi_gateway.dialects.node import Node
from asgi_gateway.errors import InvalidRequest

__all__ = ["read_cache", "read_media", "read_search_result", "write_cache", "write_media"]

PDF = "application/pdf"
IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp"})


def read_cache(block: Node, losses: Losses) -> CacheMark | None:
    """A `cache_control`."""
    mark = block.object("cache_control")
    if mark is None:
        return None
    mark.skip("type")
    read = CacheMark("1h" if mark.text("ttl") == "1h" else "5m")
    note_unread(mark, losses)
    return read


def write_cache(block: Json, mark: CacheMark | None) -> Json:
    """The block with its mark."""
    if mark is not None:
        block["cache_control"] = {"type": "ephemeral"} if mark.ttl == "5m" else {"type": "ephemeral", "ttl": mark.ttl}
    return block


def read_media(block: Node, losses: Losses) -> Media | None:
    """An image or a document; None for a source that only Anthropic knows."""
    kind = block.require_text("type")
    source = block.object("source")
    if source is None:
        raise block.missing("source")
    found: Inline | Remote | Stored | PlainText
    match source.require_text("type"):
        case "base64":
            found = Inline(source.require_text("media_type"), source.require_text("data"))
        case "url":
            found = Remote(source.require_text("url"), PDF if kind == "document" else "")
        case "file":
            found = Stored(source.require_text("file_id"), MAKER)
        case "text":
            found = PlainText(source.text("data"))
        case _:
            return None
    source.skip("media_type")
    note_unread(source, losses)
    media = Media(
        kind="image" if kind == "image" else "document",
        source=found,
        title=block.text("title"),
        context=block.text("context"),
        citations=_is_cited(block),
        cache=read_cache(block, losses),
    )
    note_unread(block, losses)
    return media


def read_search_result(block: Node, losses: Losses) -> Media:
    """A result of the caller's own search: a document of its texts, named by its source."""
    texts = []
    for inner in block.objects("content"):
        inner.skip("type")
        texts.append(inner.text("text"))
        note_unread(inner, losses)
    media = Media(
        kind="document",
        source=PlainText("\n".join(texts)),
        title=block.text("title"),
        name=block.text("source"),
        citations=_is_cited(block),
        cache=read_cache(block, losses),
    )
    note_unread(block, losses)
    return media


def _is_cited(block: Node) -> bool:
    wish = block.object("citations")
    return wish is not None and bool(wish.flag("enabled"))


def write_media(media: Media, losses: Losses) -> Json:
    """An image or a document. Raises `InvalidRequest` for sounds, films, and files of others."""
    if media.kind not in ("image", "document"):
        raise _refused(f"takes no {media.kind}")
    if media.detail and media.detail != "auto":
        losses.dropped("image_url.detail")
    document = media.kind == "document"
    block: Json = {"type": media.kind, "source": _source(media)}
    if document:
        title = media.title or media.name
        if title:
            block["title"] = title
        if media.context:
            block["context"] = media.context
        if media.citations:
            block["citations"] = {"enabled": True}
    return write_cache(block, media.cache)


def _source(media: Media) -> Json:
    source = media.source
    match source:
        case Inline():
            kind = source.media_type.partition(";")[0].strip().lower()
            if media.kind == "image":
                kind = "image/jpeg" if kind == "image/jpg" else kind
                if kind not in IMAGES:
                    raise _refused(f"takes no images of the type '{kind[:64]}'")
            elif kind.startswith("text/"):
                return {"type": "text", "media_type": "text/plain", "data": _text(source.data)}
            elif kind != PDF:
                raise _refused(f"takes no documents of the type '{kind[:64]}'")
            return {"type": "base64", "media_type": kind, "data": source.data}
        case Remote():
            return {"type": "url", "url": source.url}
        case Stored():
            if source.maker != MAKER:
                raise _refused("cannot read a file that another provider keeps")
            return {"type": "file", "file_id": source.id}
        case PlainText():
            return {"type": "text", "media_type": "text/plain", "data": source.text}
        case _:
            assert_never(source)


def _text(data: str) -> str:
    try:
        return b64decode(data, validate=True).decode()
    except ValueError as wrong:
        raise _refused("cannot read a text that is not UTF-8 in base64") from wrong


def _refused(why: str) -> InvalidRequest:
    return InvalidRequest(f"The provider of this model {why}.", param="messages", code="unsupported_content")
