"""What messages and outputs hold: `input_text`, `input_image`, `input_file`, `input_audio`, `output_text`, `refusal`.

| what | rule when written |
|---|---|
| an image or a file of another maker's store | refused |
| a document that is text | a text file, inline |
| a document's title, context and wish for citations | dropped |
| video; a sound, for models of OpenAI's | refused: Responses has no place for them |
| a wish to cache up to here | `prompt_cache_breakpoint` for GPT-5.6 and later, else dropped |
"""

from base64 import b64encode
from typing import Any, assert_never

from asgi_gateway.canonical import (
    CacheMark,
    Inline,
    Losses,
    Media,
    Native,
    PlainText,
    Refusal,
    Remote,
    Source,
    Stored,
    Text,
)
from asgi_gateway.dialects.node import Node, plain_path
from asgi_gateway.dialects.openai_responses.annotations import read_annotation
from asgi_gateway.dialects.openai_responses.names import MAKER, NAME
from asgi_gateway.dialects.openai_wire.data_urls import (
    audio_format,
    audio_type,
    document_type,
    kind_of,
    source_of,
    url_of,
)
from asgi_gateway.dialects.openai_wire.families import Family
from asgi_gateway.errors import InvalidRequest

__all__ = ["ContentWriter", "note_unread", "read_content"]

BREAKPOINT = "prompt_cache_breakpoint"

EXPLICIT_FROM = (5, 6)
"""The first version of GPT that takes breakpoints."""


def note_unread(node: Node, losses: Losses) -> None:
    """Note members that nobody asked for."""
    for name, value in node.unread().items():
        if value not in ([], {}):
            losses.dropped(plain_path(node.at(name)))


def read_content(node: Node, losses: Losses) -> Text | Refusal | Media | Native:
    """One part of a content. An unknown one is kept as it is."""
    kind = node.text("type")
    part: Text | Refusal | Media
    match kind:
        case "input_text" | "text":
            part = Text(node.text("text"), cache=_mark(node))
        case "output_text":
            citations = tuple(read_annotation(annotation.value) for annotation in node.objects("annotations"))
            part = Text(node.text("text"), citations)
        case "refusal":
            part = Refusal(node.text("refusal"))
        case "input_image":
            source = _image(node)
            detail = node.text("detail")
            # "auto" is what nothing means, too, and what is written for nothing.
            part = Media(kind="image", source=source, detail="" if detail == "auto" else detail, cache=_mark(node))
        case "input_file":
            part = _file(node)
        case "input_audio":
            part = _audio(node)
        case _:
            return Native(NAME, plain_path(node.at(kind or "type")), dict(node.value), essential=True)
    note_unread(node, losses)
    return part


def _mark(node: Node) -> CacheMark | None:
    return None if node.object(BREAKPOINT) is None else CacheMark()


def _image(node: Node) -> Source:
    # Chat's form, an object with the address, is sent here by some.
    url = node.any("image_url")
    if isinstance(url, dict):
        url = url.get("url")
    if isinstance(url, str) and url:
        return source_of(url)
    return Stored(node.require_text("file_id"), MAKER)


def _file(node: Node) -> Media:
    name = node.text("filename")
    data, url, id = node.text("file_data"), node.text("file_url"), node.text("file_id")
    source: Source
    if data:
        source = source_of(data) if data[:5].lower() == "data:" else Inline(document_type(name), data)
    elif url:
        source = source_of(url)
    elif id:
        source = Stored(id, MAKER)
    else:
        raise node.missing("file_data")
    kind = kind_of(source.media_type) if isinstance(source, Inline) else "document"
    return Media(kind=kind, source=source, name=name, detail=node.text("detail"), cache=_mark(node))


def _audio(node: Node) -> Media:
    inner = node.object("input_audio")
    if inner is None:
        raise node.missing("input_audio")
    return Media(kind="audio", source=Inline(audio_type(inner.text("format")), inner.require_text("data")))


class ContentWriter:
    """Writes what a user, a system or a tool says, for one upstream."""

    __slots__ = ("_explicit", "_hears", "_losses")

    def __init__(self, family: Family, losses: Losses) -> None:
        self._explicit = family.is_openai and family.version >= EXPLICIT_FROM
        self._hears = not family.is_openai
        self._losses = losses

    def text(self, part: Text) -> dict[str, Any]:
        """A text of a user, a system or a tool."""
        if part.citations:
            self._losses.dropped("citations")
        return self._marked({"type": "input_text", "text": part.text}, part.cache)

    def media(self, part: Media) -> dict[str, Any]:
        """An image, a file or a sound. Raises `InvalidRequest` for what has no place."""
        for name in ("title", "context", "citations"):
            if getattr(part, name):
                self._losses.dropped(f"document.{name}")
        source = part.source
        if isinstance(source, Stored) and source.maker != MAKER:
            raise InvalidRequest(
                "A file that another provider stores cannot be read here.", param="file_id", code="unsupported_file"
            )
        match part.kind:
            case "image":
                return self._marked(self._image(part, source), part.cache)
            case "document":
                return self._marked(self._file(part, source), part.cache)
            case "audio":
                return self._audio(part, source)
            case "video":
                raise InvalidRequest("Videos are not supported for this model here.", param="video")
            case _:
                assert_never(part.kind)

    def _marked(self, written: dict[str, Any], mark: CacheMark | None) -> dict[str, Any]:
        if mark is not None:
            if self._explicit:
                written[BREAKPOINT] = {"mode": "explicit"}
            else:
                self._losses.dropped("cache_control")
        return written

    def _image(self, part: Media, source: Source) -> dict[str, Any]:
        written: dict[str, Any] = {"type": "input_image", "detail": part.detail or "auto"}
        if isinstance(source, Stored):
            written["file_id"] = source.id
        elif isinstance(source, Inline | Remote):
            written["image_url"] = url_of(source)
        else:
            raise InvalidRequest("An image cannot be a text.", param="image")
        return written

    def _file(self, part: Media, source: Source) -> dict[str, Any]:
        written: dict[str, Any] = {"type": "input_file"}
        match source:
            case Stored():
                written["file_id"] = source.id
            case Remote():
                written["file_url"] = source.url
            case Inline():
                written["filename"] = part.name or part.title or _file_name(source.media_type)
                written["file_data"] = url_of(source)
            case PlainText():
                data = b64encode(source.text.encode("utf-8", "surrogatepass")).decode()
                written["filename"] = part.name or part.title or "document.txt"
                written["file_data"] = url_of(Inline("text/plain", data))
            case _:
                assert_never(source)
        if part.detail:
            written["detail"] = part.detail
        return written

    def _audio(self, part: Media, source: Source) -> dict[str, Any]:
        if part.cache is not None:
            self._losses.dropped("cache_control")
        if not self._hears:
            raise InvalidRequest("Sounds are not supported for this model here.", param="input_audio")
        if not isinstance(source, Inline):
            raise InvalidRequest("Sounds must be sent inline for this model here.", param="input_audio")
        data = {"data": source.data, "format": audio_format(source.media_type)}
        return {"type": "input_audio", "input_audio": data}


def _file_name(media_type: str) -> str:
    """A name for a file without one: OpenAI wants one, and tells the kind by its end."""
    minor = media_type.partition(";")[0].rpartition("/")[2].lower()
    known = {"plain": "txt", "markdown": "md", "pdf": "pdf", "csv": "csv", "html": "html", "json": "json"}
    return f"document.{known.get(minor, minor.rpartition('.')[2] or 'pdf')}"
