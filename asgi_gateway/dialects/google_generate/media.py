"""Images, sounds, films and documents: `inlineData` and `fileData`.

Follows https://ai.google.dev/api/caching#Blob and #FileData. A `fileUri` at Google's files interface or in its cloud
storage is a stored file that Google alone can read; any other is a public address.
"""

import re
from base64 import b64encode
from typing import Any, assert_never

from asgi_gateway.canonical import Inline, Losses, Media, MediaKind, PlainText, Remote, Stored
from asgi_gateway.dialects.google_generate.names import MAKER
from asgi_gateway.dialects.node import Node
from asgi_gateway.errors import InvalidRequest

__all__ = ["read_media", "write_media"]

_GOOGLES = re.compile(r"gs://|https://generativelanguage\.googleapis\.com/|files/", re.IGNORECASE)
_YOUTUBE = re.compile(r"https?://(?:www\.|m\.)?(?:youtube\.com|youtu\.be)/", re.IGNORECASE)
_SUFFIX = re.compile(r"\.([a-z0-9]{1,5})(?:[?#]|$)", re.IGNORECASE)

_BY_SUFFIX = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "mp3": "audio/mpeg",
    "wav": "audio/wav",
    "ogg": "audio/ogg",
    "flac": "audio/flac",
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mpeg": "video/mpeg",
}
_BY_KIND: dict[MediaKind, str] = {
    "image": "image/jpeg",
    "document": "application/pdf",
    "audio": "audio/mpeg",
    "video": "video/mp4",
}


def read_media(part: Node, losses: Losses) -> Media | None:
    """The media of a part or of a function's result; None when it has none."""
    inline = part.object("inlineData")
    if inline is not None:
        media_type = inline.text("mimeType")
        name = inline.text("displayName")
        source = Inline(media_type, inline.text("data"))
        return Media(kind=_kind(media_type), source=source, name=name)
    file = part.object("fileData")
    if file is None:
        return None
    uri, media_type = file.require_text("fileUri"), file.text("mimeType")
    name = file.text("displayName")
    kind = _kind(media_type) if media_type else _kind_of_address(uri)
    where = Stored(uri, MAKER, media_type) if _GOOGLES.match(uri) else Remote(uri, media_type)
    return Media(kind=kind, source=where, name=name)


def write_media(media: Media, losses: Losses) -> dict[str, Any]:
    """A part with the media. A kind of data that is not said is guessed from the address, and noted.

    Raises `InvalidRequest` for a file that another provider keeps.
    """
    if media.detail not in ("", "auto"):
        losses.dropped("detail")
    if media.cache is not None:
        losses.dropped("cache_control")
    if media.citations:
        losses.dropped("citations")
    for name, text in (("title", media.title), ("context", media.context), ("transcript", media.transcript)):
        if text:
            losses.dropped(name)
    source = media.source
    match source:
        case Inline():
            return {"inlineData": {"mimeType": source.media_type or _BY_KIND[media.kind], "data": source.data}}
        case PlainText():
            data = b64encode(source.text.encode()).decode()
            return {"inlineData": {"mimeType": "text/plain", "data": data}}
        case Remote():
            return {"fileData": _address(source.url, source.media_type, media.kind, losses)}
        case Stored():
            if source.maker != MAKER:
                raise InvalidRequest(
                    "A file that another provider keeps cannot be read by this model.",
                    param="file_id",
                    code="unsupported_file",
                )
            file = {"fileUri": source.id}
            return {"fileData": {"mimeType": source.media_type, **file} if source.media_type else file}
    assert_never(source)


def _address(url: str, media_type: str, kind: MediaKind, losses: Losses) -> dict[str, Any]:
    if not media_type and not _YOUTUBE.match(url):
        suffix = _SUFFIX.search(url)
        media_type = _BY_SUFFIX.get(suffix[1].lower(), "") if suffix else ""
        media_type = media_type or _BY_KIND[kind]
        losses.invented("fileData.mimeType")
    return {"mimeType": media_type, "fileUri": url} if media_type else {"fileUri": url}


def _kind(media_type: str) -> MediaKind:
    first = media_type.partition("/")[0].lower()
    if first == "image":
        return "image"
    if first == "audio":
        return "audio"
    return "video" if first == "video" else "document"


def _kind_of_address(uri: str) -> MediaKind:
    if _YOUTUBE.match(uri):
        return "video"
    suffix = _SUFFIX.search(uri)
    return _kind(_BY_SUFFIX.get(suffix[1].lower(), "")) if suffix else "document"
