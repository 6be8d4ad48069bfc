"""Media as parts of a message's content, as far as the model behind an upstream takes them.

Images and sounds are parts of their own, documents files; OpenAI reads no address of a document, no film, and no sound
but wav and mp3, which is for it to say. Text documents become texts.
"""

from typing import Any, assert_never

from asgi_gateway.canonical import Inline, Losses, Media, PlainText, Remote, Stored
from asgi_gateway.dialects.openai_wire.data_urls import audio_format, url_of
from asgi_gateway.dialects.openai_wire.families import Family
from asgi_gateway.errors import InvalidRequest

__all__ = ["image_out", "write_media"]


def write_media(media: Media, family: Family, losses: Losses) -> dict[str, Any]:
    """A part. Raises `InvalidRequest` for what the format has no place for: the conversation is about it."""
    if media.title or media.context or media.citations:
        losses.dropped("document.title" if media.title else "document.context" if media.context else "citations")
    source = media.source
    if isinstance(source, PlainText):
        losses.approximated("document")
        return {"type": "text", "text": source.text}
    if isinstance(source, Stored):
        return _stored(media, source)
    match media.kind:
        case "image":
            image = {"url": url_of(source)}
            if media.detail:
                image["detail"] = media.detail
            return {"type": "image_url", "image_url": image}
        case "audio":
            if isinstance(source, Remote):
                raise _refused("The address of a sound")
            format = audio_format(source.media_type)
            return {"type": "input_audio", "input_audio": {"data": source.data, "format": format}}
        case "document":
            return _document(media, source, family, losses)
        case "video":
            if family.is_openai:
                raise _refused("A film")
            return {"type": "video_url", "video_url": {"url": url_of(source)}}
        case _:
            assert_never(media.kind)


def _stored(media: Media, source: Stored) -> dict[str, Any]:
    if source.maker != "openai" or media.kind != "document":
        raise _refused("A file that a provider keeps")
    return {"type": "file", "file": {"file_id": source.id}}


def _document(media: Media, source: Inline | Remote, family: Family, losses: Losses) -> dict[str, Any]:
    if family.name == "mistral" and not family.routed:
        return {"type": "document_url", "document_url": url_of(source)}
    if isinstance(source, Remote) and not family.routed:
        raise _refused("The address of a document")
    if not media.name:
        losses.invented("messages[].content[].file.filename")
    return {"type": "file", "file": {"filename": media.name or _name(source), "file_data": url_of(source)}}


def _name(source: Inline | Remote) -> str:
    subtype = source.media_type.partition("/")[2].partition(";")[0]
    return (
        f"document.{subtype}"
        if subtype.isalnum() and subtype != "plain"
        else "document.txt"
        if subtype
        else "document.pdf"
    )


def _refused(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"{what} is not supported for this model here: its provider has nothing like it.",
        param="messages",
        code="unsupported_content",
    )


def image_out(media: Media) -> dict[str, Any] | None:
    """An image that a model drew, as OpenRouter has it; None for one that a provider keeps."""
    if isinstance(media.source, Stored | PlainText):
        return None
    return {"type": "image_url", "image_url": {"url": url_of(media.source)}}
