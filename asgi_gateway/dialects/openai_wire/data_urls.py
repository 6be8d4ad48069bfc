"""Media in OpenAI's formats: data URLs (RFC 2397) and public addresses, and what they hold.

```python
from asgi_gateway.canonical import Inline, Remote
from asgi_gateway.dialects.openai_wire.data_urls import source_of, url_of

assert source_of("data:image/png;base64,iVBORw0=") == Inline("image/png", "iVBORw0=")
assert url_of(Inline("image/png", "iVBORw0=")) == "data:image/png;base64,iVBORw0="
assert source_of("https://example.org/cat.png") == Remote("https://example.org/cat.png")
```
"""

from base64 import b64encode
from urllib.parse import unquote_to_bytes

from asgi_gateway.canonical import Inline, MediaKind, Remote

__all__ = ["audio_format", "audio_type", "document_type", "kind_of", "sniffed_audio", "source_of", "url_of"]

_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mpeg", "pcm16": "audio/pcm", "m4a": "audio/mp4"}
_AUDIO_FORMATS = {"mpeg": "mp3", "x-wav": "wav", "wave": "wav", "vnd.wave": "wav", "pcm": "pcm16", "mp4": "m4a"}

_SOUNDS = {"UklGR": "audio/wav", "SUQz": "audio/mpeg", "//": "audio/mpeg", "T2dn": "audio/ogg", "ZkxhQ": "audio/flac"}
"""How sounds begin, in base64."""

_DOCUMENTS = {
    "pdf": "application/pdf",
    "txt": "text/plain",
    "md": "text/markdown",
    "csv": "text/csv",
    "html": "text/html",
    "json": "application/json",
    "xml": "application/xml",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}


def source_of(url: str) -> Inline | Remote:
    """What a URL of media stands for. Data that is not in base64 is brought into it."""
    if url[:5].lower() != "data:":
        return Remote(url)
    head, _, data = url[5:].partition(",")
    media_type, *parameters = head.split(";")
    if parameters and parameters[-1].strip().lower() == "base64":
        return Inline(media_type.strip() or "text/plain", data)
    return Inline(media_type.strip() or "text/plain", b64encode(unquote_to_bytes(data)).decode())


def url_of(source: Inline | Remote) -> str:
    """The URL of media: a data URL for what is inline."""
    return source.url if isinstance(source, Remote) else f"data:{source.media_type};base64,{source.data}"


def kind_of(media_type: str) -> MediaKind:
    """The kind of media; what is neither image, sound nor film is a document."""
    major = media_type.partition("/")[0].lower()
    if major == "image":
        return "image"
    if major == "audio":
        return "audio"
    return "video" if major == "video" else "document"


def audio_type(format: str) -> str:
    """The media type of one of OpenAI's names for sound formats ("wav", "mp3", …)."""
    return _AUDIO_TYPES.get(format, f"audio/{format}" if format else "audio/wav")


def audio_format(media_type: str) -> str:
    """OpenAI's name of a sound format: the reverse of `audio_type`."""
    name = media_type.partition(";")[0].partition("/")[2].strip().lower()
    return _AUDIO_FORMATS.get(name, name)


def sniffed_audio(data: str) -> str:
    """The media type of a sound in base64, by its first bytes; without a known mark it is taken for raw samples."""
    return next((media_type for begin, media_type in _SOUNDS.items() if data.startswith(begin)), "audio/pcm")


def document_type(name: str) -> str:
    """The media type of a file by its name; "application/pdf" when the name does not tell, as OpenAI expects."""
    return _DOCUMENTS.get(name.rpartition(".")[2].lower(), "application/pdf")
