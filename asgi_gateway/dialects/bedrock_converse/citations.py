"""Citations: Converse's `{"title", "source", "sourceContent": [{"text"}], "location"}`."""

from typing import Any

from asgi_gateway.canonical import Citation
from asgi_gateway.dialects.bedrock_converse.names import NAME

__all__ = ["read_citation", "write_citation"]


def read_citation(citation: dict[str, Any]) -> Citation:
    """A neutral citation. Offsets in the source are not offsets in the text: they are kept in `native` alone."""
    location = citation.get("location")
    location = location if isinstance(location, dict) else {}
    web = location.get("web")
    url = _text(web, "url") if isinstance(web, dict) else ""
    contents = citation.get("sourceContent")
    quoted = "".join(_text(content, "text") for content in contents or () if isinstance(content, dict))
    found = "searchResultLocation" in location
    return Citation(
        kind="url" if url else "search_result" if found else "document",
        url=url,
        title=_text(citation, "title"),
        quoted=quoted,
        source=_text(citation, "source"),
        dialect=NAME,
        native=citation,
    )


def write_citation(citation: Citation) -> dict[str, Any]:
    """A citation as Converse has it: its own as it was, others by title, source and words."""
    if citation.dialect == NAME and isinstance(citation.native, dict):
        return citation.native
    given: dict[str, Any] = {}
    if citation.title:
        given["title"] = citation.title
    if citation.source:
        given["source"] = citation.source
    if citation.quoted:
        given["sourceContent"] = [{"text": citation.quoted}]
    if citation.url:
        given["location"] = {"web": {"url": citation.url}}
    return given


def _text(value: Any, name: str) -> str:
    found = value.get(name)
    return found if isinstance(found, str) else ""
