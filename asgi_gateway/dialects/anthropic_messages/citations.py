"""Where a text comes from: Anthropic's locations as citations, and back."""

from collections.abc import Sequence
from typing import Any

from asgi_gateway.canonical import Citation, Losses
from asgi_gateway.dialects.anthropic_messages.names import NAME, Json

__all__ = ["read_citation", "read_citations", "write_citations"]


def read_citations(given: Any) -> tuple[Citation, ...]:
    """The citations of a text block."""
    if not isinstance(given, list):
        return ()
    return tuple(read_citation(one) for one in given if isinstance(one, dict))


def read_citation(given: Json) -> Citation:
    """One location. Offsets of Anthropic's are in the source, not in the text: they stay native."""
    kind = str(given.get("type", ""))
    url = _text(given, "url")
    if kind == "search_result_location":
        return Citation(
            kind="search_result",
            url=_text(given, "source"),
            title=_text(given, "title"),
            quoted=_text(given, "cited_text"),
            dialect=NAME,
            native=given,
        )
    return Citation(
        kind="url" if url else "document",
        url=url,
        title=_text(given, "title") or _text(given, "document_title"),
        quoted=_text(given, "cited_text"),
        source=_text(given, "file_id"),
        dialect=NAME,
        native=given,
    )


def write_citations(citations: Sequence[Citation], losses: Losses, field: str) -> list[Json]:
    """Those that Anthropic can express.

    Its own are written as they were; a public address as the place of a search's result, without the index that only
    Anthropic's own search has, which is noted; others are noted as dropped.
    """
    written: list[Json] = []
    for citation in citations:
        if citation.dialect == NAME and isinstance(citation.native, dict):
            written.append(citation.native)
        elif citation.url:
            losses.approximated(field)
            written.append(
                {
                    "type": "web_search_result_location",
                    "cited_text": citation.quoted,
                    "url": citation.url,
                    "title": citation.title or None,
                    "encrypted_index": "",
                }
            )
        else:
            losses.dropped(field)
    return written


def _text(given: Json, name: str) -> str:
    value = given.get(name)
    return value if isinstance(value, str) else ""
