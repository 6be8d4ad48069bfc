"""Sources of a text: `annotations` of OpenAI, `search_results` and `citations` of Perplexity."""

from typing import Any

from asgi_gateway.canonical import Citation, Losses

__all__ = ["annotation_of", "citation_of", "sources_in"]


def citation_of(value: Any) -> Citation | None:
    """An annotation as a citation; None for what is no `url_citation`."""
    inner = value.get("url_citation") if isinstance(value, dict) else None
    if not isinstance(inner, dict):
        return None
    return Citation(
        kind="url",
        url=_text(inner.get("url")),
        title=_text(inner.get("title")),
        quoted=_text(inner.get("content")),  # OpenRouter's
        start=_offset(inner.get("start_index")),
        end=_offset(inner.get("end_index")),
    )


def sources_in(answer: dict[str, Any]) -> list[Citation]:
    """The sources that an answer names at its top."""
    results = answer.get("search_results")
    if isinstance(results, list) and results:
        return [
            Citation(
                kind="url",
                url=_text(result.get("url")),
                title=_text(result.get("title")),
                quoted=_text(result.get("snippet")),
            )
            for result in results
            if isinstance(result, dict)
        ]
    urls = answer.get("citations")
    return [Citation(kind="url", url=url) for url in urls if isinstance(url, str)] if isinstance(urls, list) else []


def annotation_of(citation: Citation, start: int, end: int, losses: Losses) -> dict[str, Any] | None:
    """A citation as an annotation of a text that stands from `start` to `end` in the content.

    Sources without an address have no place: None, and noted.
    """
    if not citation.url:
        losses.dropped("citations")
        return None
    if citation.kind != "url":
        losses.approximated("citations")
    first = start if citation.start is None else start + citation.start
    last = end if citation.end is None else start + citation.end
    inner = {"url": citation.url, "title": citation.title, "start_index": first, "end_index": last}
    return {"type": "url_citation", "url_citation": inner}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _offset(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
