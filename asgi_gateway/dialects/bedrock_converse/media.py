"""Images, documents, films and sounds: a format, and bytes in base64 or a place in S3."""

import re
from base64 import b64decode, b64encode
from binascii import Error
from typing import Any, assert_never

from asgi_gateway.canonical import Inline, Losses, Media, MediaKind, PlainText, Remote, Source, Stored
from asgi_gateway.dialects.bedrock_converse.names import document_name, format_of, media_type_of
from asgi_gateway.dialects.node import Node, plain_path
from asgi_gateway.errors import InvalidRequest

__all__ = ["MAKER", "Json", "read_media", "write_media"]

MAKER = "amazon"
"""Whose the files in S3 are."""

Json = dict[str, Any]

_OWNED = re.compile(r"(s3://.+)#bucketOwner=(\d{12})")


def read_media(kind: MediaKind, node: Node, losses: Losses) -> Media:
    """The value of an `image`, `document`, `video` or `audio` block."""
    form = node.text("format", "txt" if kind == "document" else "")
    source = node.object("source")
    if source is None:
        raise node.missing("source")
    media_type = media_type_of(kind, form)
    citations = node.object("citations")
    media = Media(
        kind=kind,
        source=_read_source(source, kind, media_type),
        name=node.text("name") if kind == "document" else "",
        context=node.text("context") if kind == "document" else "",
        citations=citations is not None and bool(citations.flag("enabled")),
    )
    for left in (node, source):
        for name in left.unread():
            losses.dropped(plain_path(left.at(name)))
    return media


def write_media(media: Media, names: set[str], losses: Losses) -> Json:
    """A block. `names` are those of the documents before it, which must differ.

    Raises `InvalidRequest` for data at an address, in another's store, or in a format that Bedrock does not take.
    """
    source, media_type = _write_source(media)
    block: Json = {"format": _format(media.kind, media_type)} if media_type else {}
    if media.detail not in ("", "auto"):
        losses.dropped("detail")
    if media.kind == "document":
        block["name"] = _name(media, names, losses)
    block["source"] = source
    if media.kind == "document":
        if media.context:
            block["context"] = media.context
        if media.citations:
            block["citations"] = {"enabled": True}
    return {media.kind: block}


def _read_source(source: Node, kind: MediaKind, media_type: str) -> Source:
    place = source.object("s3Location")
    if place is not None:
        uri, owner = place.require_text("uri"), place.text("bucketOwner")
        return Stored(id=f"{uri}#bucketOwner={owner}" if owner else uri, maker=MAKER, media_type=media_type)
    if kind == "document":
        text = source.any("text")
        if isinstance(text, str):
            return PlainText(text)
        if contents := list(source.objects("content")):
            return PlainText("\n".join(content.text("text") for content in contents))
    data = source.require_text("bytes")
    if media_type == "text/plain":
        try:
            return PlainText(b64decode(data, validate=True).decode())
        except (Error, ValueError):
            return Inline(media_type, data)
    return Inline(media_type, data)


def _write_source(media: Media) -> tuple[Json, str]:
    """The source, and the media type of what it holds."""
    source = media.source
    match source:
        case Inline():
            return {"bytes": _standard(source.data)}, source.media_type
        case PlainText():
            return {"bytes": b64encode(source.text.encode()).decode()}, "text/plain"
        case Remote():
            if source.url.startswith("s3://"):
                return {"s3Location": {"uri": source.url}}, source.media_type or _guess(media.kind, source.url)
            raise _refused(f"{media.kind} at an address: its bytes must be sent", "image_url_not_supported")
        case Stored():
            if source.maker != MAKER:
                raise _refused(f"{media.kind} that another provider stores", "unsupported_content")
            owned = _OWNED.fullmatch(source.id)
            place = {"uri": owned[1], "bucketOwner": owned[2]} if owned else {"uri": source.id}
            return {"s3Location": place}, source.media_type or _guess(media.kind, place["uri"])
        case _:
            assert_never(source)


def _standard(data: str) -> str:
    """Base64 of the standard alphabet, padded: Google's is often the other one, which Bedrock refuses."""
    if "-" in data or "_" in data:
        data = data.replace("-", "+").replace("_", "/")
    return data + "=" * (-len(data) % 4)


def _format(kind: MediaKind, media_type: str) -> str:
    form = format_of(kind, media_type)
    if form:
        return form
    if kind == "document" and media_type.startswith("text/"):
        return "txt"
    raise _refused(f"{kind} of the type '{media_type[:80]}'", "unsupported_content")


def _guess(kind: MediaKind, uri: str) -> str:
    """The media type by the end of a name in S3."""
    return media_type_of(kind, uri.rpartition(".")[2].lower())


def _name(media: Media, names: set[str], losses: Losses) -> str:
    """A name, which must be there and be the only one of its kind."""
    given = media.name or media.title
    name = document_name(given)
    if not name:
        losses.invented("document.name")
        name = "document"
    elif name != given:
        losses.approximated("document.name")
    single, number = name, 1
    while name in names:
        number += 1
        name = f"{single[:190]} ({number})"
    names.add(name)
    return name


def _refused(what: str, code: str) -> InvalidRequest:
    return InvalidRequest(
        f"This model's provider takes no content of this kind here: {what}.", param="messages", code=code
    )
