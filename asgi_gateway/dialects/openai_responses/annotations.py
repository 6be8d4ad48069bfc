"""Sources of a text: `annotations` of `output_text`, read and written.

`url_citation` is a citation of an address. `file_citation`, `container_file_citation` and `file_path` are citations
of a file; what they say beyond the neutral model is kept as `native`.
"""

from collections.abc import Mapping
from typing import Any

from asgi_gateway.canonical import Citation, Losses
from asgi_gateway.dialects.openai_responses.names import NAME

__all__ = ["has_place", "read_annotation", "write_annotation"]

_PLAIN = frozenset({"type", "url", "title", "start_index", "end_index"})
"""The members of a `url_citation` that the neutral model has places for."""


def read_annotation(value: Mapping[str, Any]) -> Citation:
    """An annotation as a citation."""
    kind = value.get("type")
    if kind == "url_citation":
        start, end = _offset(value.get("start_index")), _offset(value.get("end_index"))
        plain = value.keys() <= _PLAIN
        return Citation(
            kind="url",
            url=_text(value.get("url")),
            title=_text(value.get("title")),
            start=start,
            end=end,
            dialect="" if plain else NAME,
            native=None if plain else value,
        )
    return Citation(
        kind="file",
        source=_text(value.get("file_id")),
        title=_text(value.get("filename")),
        start=_offset(value.get("start_index")),
        end=_offset(value.get("end_index")),
        dialect=NAME,
        native=value,
    )


def has_place(citation: Citation) -> bool:
    """Whether a citation says which part of the text it is of, so that it can be written before the text ends."""
    return citation.dialect == NAME or (citation.start is not None and citation.end is not None)


def write_annotation(citation: Citation, length: int, losses: Losses) -> Mapping[str, Any]:
    """A citation as an annotation of a text of so many characters. One without a place is of the whole text."""
    if citation.dialect == NAME and isinstance(citation.native, Mapping):
        return citation.native
    if citation.quoted:
        losses.dropped("citations[].quoted")
    start = 0 if citation.start is None else citation.start
    end = length if citation.end is None else citation.end
    if citation.url:
        if citation.kind != "url":
            losses.approximated("citations")
        return {
            "type": "url_citation",
            "url": citation.url,
            "title": citation.title,
            "start_index": start,
            "end_index": end,
        }
    if citation.kind != "file":
        losses.approximated("citations")
    name = citation.title or citation.source
    return {"type": "file_citation", "file_id": citation.source or name, "filename": name, "index": end}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _offset(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
