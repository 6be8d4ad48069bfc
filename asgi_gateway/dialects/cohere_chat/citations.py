"""Citations: Cohere's `{"start", "end", "text", "sources": [...], "type", "content_index"}`.

One citation of several sources becomes several neutral ones, and again one when they are written back.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from asgi_gateway.canonical import Citation, Losses

__all__ = ["NAME", "content_index", "of_text", "read_citation", "write_citations"]

NAME = "cohere_chat"

_QUOTES = ("text", "snippet", "content")


def of_text(citation: dict[str, Any]) -> bool:
    """Whether it belongs to a text; the others belong to thinking or to a plan."""
    return citation.get("type") in (None, "TEXT_CONTENT")


def content_index(citation: dict[str, Any]) -> int | None:
    """The position of its content in the message's list, where it says so."""
    index = citation.get("content_index")
    return index if type(index) is int else None


def read_citation(citation: dict[str, Any]) -> list[Citation]:
    """One neutral citation for each source; one without a source when there is none."""
    start, end, sources = citation.get("start"), citation.get("end"), citation.get("sources")
    found = [source for source in sources if isinstance(source, dict)] if isinstance(sources, list) else []
    given = []
    for source in found or [{}]:
        about = source.get("document") or source.get("tool_output")
        about = about if isinstance(about, dict) else {}
        url = _text(about, "url")
        tool = source.get("type") == "tool"
        given.append(
            Citation(
                kind="url" if url else "search_result" if tool else "document",
                url=url,
                title=_text(about, "title"),
                quoted=next(filter(None, (_text(about, name) for name in _QUOTES)), ""),
                source=_text(source, "id"),
                start=start if type(start) is int else None,
                end=end if type(end) is int else None,
                dialect=NAME,
                native={**citation, "sources": [source] if source else []},
            )
        )
    return given


def write_citations(citations: Iterable[Citation], text: str, index: int, losses: Losses) -> list[dict[str, Any]]:
    """The citations of one text, which is content number `index` of its message."""
    written: list[dict[str, Any]] = []
    for citation in citations:
        if citation.dialect == NAME and isinstance(citation.native, dict):
            one = {**citation.native}
            if "content_index" in one:
                one["content_index"] = index
        else:
            one = _foreign(citation, text, index)
            if citation.start is None:
                losses.approximated("citations")
        if written and _same(written[-1], one):
            written[-1] = {**written[-1], "sources": [*written[-1]["sources"], *one["sources"]]}
        else:
            written.append(one)
    return written


def _foreign(citation: Citation, text: str, index: int) -> dict[str, Any]:
    start, end = citation.start, citation.end
    if start is None or end is None or not 0 <= start <= end <= len(text):
        start, end = 0, len(text)
    about = {"id": citation.source, "title": citation.title, "url": citation.url, "text": citation.quoted}
    document = {name: value for name, value in about.items() if value}
    return {
        "start": start,
        "end": end,
        "text": text[start:end],
        "sources": [{"type": "document", "id": citation.source or citation.url, "document": document}],
        "type": "TEXT_CONTENT",
        "content_index": index,
    }


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    def rest(citation: dict[str, Any]) -> Sequence[Any]:
        return [value for name, value in citation.items() if name != "sources"]

    return bool(one.get("sources")) and bool(other.get("sources")) and rest(one) == rest(other)


def _text(value: dict[str, Any], name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""
