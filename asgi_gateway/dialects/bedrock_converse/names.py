"""Names of this dialect, and of what others call otherwise: media types and formats, ids, names of documents."""

import re
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType

__all__ = ["FORMATS", "NAME", "document_name", "format_of", "media_type_of", "tool_use_id"]

NAME = "bedrock_converse"

FORMATS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "image": MappingProxyType(
            {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
        ),
        "document": MappingProxyType(
            {
                "application/pdf": "pdf",
                "text/csv": "csv",
                "application/msword": "doc",
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
                "application/vnd.ms-excel": "xls",
                "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
                "text/html": "html",
                "text/plain": "txt",
                "text/markdown": "md",
            }
        ),
        "video": MappingProxyType(
            {
                "video/mp4": "mp4",
                "video/x-matroska": "mkv",
                "video/quicktime": "mov",
                "video/webm": "webm",
                "video/x-flv": "flv",
                "video/mpeg": "mpeg",
                "video/mpg": "mpg",
                "video/x-ms-wmv": "wmv",
                "video/3gpp": "three_gp",
            }
        ),
        "audio": MappingProxyType(
            {
                "audio/mpeg": "mp3",
                "audio/mp3": "mp3",
                "audio/opus": "opus",
                "audio/wav": "wav",
                "audio/x-wav": "wav",
                "audio/aac": "aac",
                "audio/flac": "flac",
                "audio/mp4": "mp4",
                "audio/ogg": "ogg",
                "audio/x-m4a": "m4a",
                "audio/m4a": "m4a",
                "audio/pcm": "pcm",
                "audio/webm": "webm",
                "audio/x-matroska": "mka",
                "audio/mka": "mka",
                "audio/mkv": "mkv",
                "audio/mpga": "mpga",
                "audio/x-aac": "x-aac",
            }
        ),
    }
)
"""Formats by kind and media type; of several media types with one format the first is read."""

_TOOL_USE_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9\s()\[\]-]+")
_SPACES = re.compile(r"\s+")


def format_of(kind: str, media_type: str) -> str:
    """The format of a media type; "" when Bedrock has none."""
    return FORMATS[kind].get(media_type.partition(";")[0].strip().lower(), "")


def media_type_of(kind: str, form: str) -> str:
    """The media type of a format. One that we do not know is put behind the kind."""
    found = next((media_type for media_type, known in FORMATS[kind].items() if known == form), None)
    return found or f"{'application' if kind == 'document' else kind}/{form}"


def tool_use_id(id: str) -> str:
    """An id that Bedrock takes: ids of other characters or lengths become a digest of them, always the same."""
    return id if _TOOL_USE_ID.fullmatch(id) else "t_" + sha256(id.encode()).hexdigest()[:40]


def document_name(name: str) -> str:
    """A name that Bedrock takes: letters, digits, single spaces, hyphens, brackets; "" when nothing is left."""
    return _SPACES.sub(" ", _NOT_IN_NAMES.sub(" ", name)).strip()[:200]
