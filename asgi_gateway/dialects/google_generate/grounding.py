"""Sources of a text: `groundingMetadata` and `citationMetadata` as citations, and back.

Follows https://ai.google.dev/api/generate-content#GroundingMetadata. Google counts the offsets of a segment in bytes
of UTF-8; the neutral model counts characters. Where a segment's own text does not stand at its offsets, it is looked
for, and else the citation has none.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from asgi_gateway.canonical import Citation

__all__ = ["BESIDE", "citations_of", "write_grounding"]

BESIDE = ("groundingMetadata", "citationMetadata", "urlContextMetadata")
"""What stands beside a candidate's parts and tells of sources."""


def citations_of(beside: Mapping[str, Any], text: str) -> list[Citation]:
    """The citations of a text that a candidate's metadata tell of."""
    found: list[Citation] = []
    grounding = beside.get("groundingMetadata")
    if isinstance(grounding, dict):
        found += _grounded(grounding, text)
    cited = beside.get("citationMetadata")
    if isinstance(cited, dict):
        given = cited.get("citations") or cited.get("citationSources")
        for citation in given if isinstance(given, list) else ():
            if isinstance(citation, dict):
                found.append(_cited(citation, text))
    fetched = beside.get("urlContextMetadata")
    if isinstance(fetched, dict) and not found:
        given = fetched.get("urlMetadata")
        for page in given if isinstance(given, list) else ():
            if isinstance(page, dict) and isinstance(page.get("retrievedUrl"), str):
                found.append(Citation(kind="url", url=page["retrievedUrl"]))
    return found


def _grounded(grounding: Mapping[str, Any], text: str) -> Iterator[Citation]:
    chunks = grounding.get("groundingChunks")
    sources = [_source(chunk) for chunk in chunks] if isinstance(chunks, list) else []
    supports = grounding.get("groundingSupports")
    used: set[int] = set()
    for support in supports if isinstance(supports, list) else ():
        if not isinstance(support, dict):
            continue
        start, end = _segment(support.get("segment"), text)
        numbers = support.get("groundingChunkIndices")
        for number in numbers if isinstance(numbers, list) else ():
            if isinstance(number, int) and 0 <= number < len(sources):
                used.add(number)
                yield _with_span(sources[number], start, end)
    for number, source in enumerate(sources):
        if number not in used and (source.url or source.title):
            yield source


def _source(chunk: Any) -> Citation:
    if not isinstance(chunk, dict):
        return Citation(kind="url")
    for name in ("web", "maps", "image"):
        inner = chunk.get(name)
        if isinstance(inner, dict):
            url = _text(inner, "uri") or _text(inner, "sourceUri")
            return Citation(kind="url", url=url, title=_text(inner, "title") or _text(inner, "domain"))
    inner = chunk.get("retrievedContext")
    if isinstance(inner, dict):
        source = _text(inner, "documentName") or _text(inner, "fileSearchStore")
        return Citation(
            kind="file",
            url=_text(inner, "uri"),
            title=_text(inner, "title"),
            quoted=_text(inner, "text"),
            source=source,
        )
    return Citation(kind="url")


def _cited(citation: Mapping[str, Any], text: str) -> Citation:
    start, end = _segment(citation, text)
    return Citation(kind="url", url=_text(citation, "uri"), title=_text(citation, "title"), start=start, end=end)


def _with_span(source: Citation, start: int | None, end: int | None) -> Citation:
    return Citation(
        kind=source.kind,
        url=source.url,
        title=source.title,
        quoted=source.quoted,
        source=source.source,
        start=start,
        end=end,
    )


def _segment(segment: Any, text: str) -> tuple[int | None, int | None]:
    """Where a segment stands in the text, in characters."""
    if not isinstance(segment, dict):
        return None, None
    start, end = segment.get("startIndex") or 0, segment.get("endIndex")
    said = _text(segment, "text")
    if isinstance(start, int) and isinstance(end, int) and 0 <= start <= end:
        data = text.encode(errors="replace")
        if end <= len(data):
            first = len(data[:start].decode(errors="ignore"))
            last = len(data[:end].decode(errors="ignore"))
            if not said or text[first:last] == said:
                return first, last
    place = text.find(said) if said else -1
    return (place, place + len(said)) if place >= 0 else (None, None)


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    return value if isinstance(value, str) else ""


def write_grounding(cited: Sequence[tuple[int, str, Sequence[Citation]]]) -> dict[str, Any]:
    """A `groundingMetadata` for the texts of an answer: number of the part, its text, its citations. {} for none."""
    chunks: dict[tuple[str, str, str, str], int] = {}
    supports: dict[tuple[int, int, int], list[int]] = {}
    for number, _, citations in cited:
        for citation in citations:
            source = (citation.kind, citation.url, citation.title or citation.source, citation.quoted)
            chunk = chunks.setdefault(source, len(chunks))
            if citation.start is not None and citation.end is not None:
                span = (number, citation.start, citation.end)
                supports.setdefault(span, []).append(chunk)
    if not chunks:
        return {}
    made: dict[str, Any] = {"groundingChunks": [_chunk(*source) for source in chunks]}
    texts = {number: text for number, text, _ in cited}
    if supports:
        made["groundingSupports"] = [
            {"segment": _written(number, start, end, texts[number]), "groundingChunkIndices": list(dict.fromkeys(used))}
            for (number, start, end), used in supports.items()
        ]
    return made


def _chunk(kind: str, url: str, title: str, quoted: str) -> dict[str, Any]:
    if kind == "url":
        return {"web": {name: value for name, value in (("uri", url), ("title", title)) if value}}
    pairs = (("uri", url), ("title", title), ("text", quoted))
    return {"retrievedContext": {name: value for name, value in pairs if value}}


def _written(number: int, start: int, end: int, text: str) -> dict[str, Any]:
    begin = len(text[:start].encode(errors="replace"))
    segment: dict[str, Any] = {"partIndex": number} if number else {}
    if begin:
        segment["startIndex"] = begin
    segment["endIndex"] = begin + len(text[start:end].encode(errors="replace"))
    segment["text"] = text[start:end]
    return segment
