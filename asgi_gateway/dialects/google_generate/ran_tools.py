"""Which of Google's own tools an answer used, as far as they are charged.

Follows https://ai.google.dev/gemini-api/docs/pricing. A search of Google is charged by query from Gemini 3 on, before
that by prompt, however many queries it took; empty queries are not charged, and the same query counts once. Models
that are no Gemini's stand behind a gateway such as this one: each of their queries is a search.

| kind | where |
|---|---|
| `web_search` | `groundingMetadata.webSearchQueries`; `args.queries` of a `toolCall` where there are none |
| `web_fetch` | pages of `urlContextMetadata` that were read; else calls |
| `file_search` | `toolCall`s; else one for an answer with a `retrievedContext` |
| `code_execution` | `executableCode` parts |
| `other` | one for an answer with places of Google Maps; calls of other tools |
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from asgi_gateway.dialects.google_generate.models import abilities_of
from asgi_gateway.dialects.google_generate.part_reader import TOOL_TYPES
from asgi_gateway.dialects.tool_counts import Counts, counted

__all__ = ["RanTools", "ran_in", "ran_near", "tells_of_tools"]

_QUERIES = re.compile(rb'"webSearchQueries"\s*:\s*(\[(?:[^\]"]|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+\])')


def tells_of_tools(block: bytes) -> bool:
    """Whether bytes of an answer may tell of a tool."""
    return b'"groundingM' in block or b'"executableC' in block or b'"toolCall"' in block or b'"urlContextM' in block


class RanTools:
    """Takes candidates, whole or chunk by chunk, and counts."""

    __slots__ = ("_asked", "_calls", "_maps", "_pages", "_queries", "_retrieved")

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._queries: set[str] = set()
        self._asked: set[str] = set()
        """Queries of calls, which stand in the metadata, too, as a rule."""
        self._pages: set[str] = set()
        self._maps = False
        self._retrieved = False

    def add(self, candidate: Mapping[str, Any]) -> None:
        """Learn from a candidate."""
        content = candidate.get("content")
        for part in _objects(content.get("parts")) if isinstance(content, dict) else ():
            if "executableCode" in part:
                self._called("code_execution")
            elif isinstance(call := part.get("toolCall"), dict):
                self._tool(call)
        grounding = candidate.get("groundingMetadata")
        if isinstance(grounding, dict):
            self._queries |= _texts(grounding.get("webSearchQueries"))
            for chunk in _objects(grounding.get("groundingChunks")):
                self._maps = self._maps or "maps" in chunk
                self._retrieved = self._retrieved or "retrievedContext" in chunk
        fetched = candidate.get("urlContextMetadata")
        for page in _objects(fetched.get("urlMetadata")) if isinstance(fetched, dict) else ():
            if page.get("urlRetrievalStatus") in (None, "URL_RETRIEVAL_STATUS_SUCCESS"):
                self._pages |= _texts([page.get("retrievedUrl")])

    def add_queries(self, queries: Any) -> None:
        """Learn of searches alone."""
        self._queries |= _texts(queries)

    def _called(self, kind: str) -> None:
        self._calls[kind] = self._calls.get(kind, 0) + 1

    def _tool(self, call: Mapping[str, Any]) -> None:
        kind = TOOL_TYPES.get(str(call.get("toolType")), "other")
        if kind == "web_search":
            args = call.get("args")
            self._asked |= _texts(args.get("queries") if isinstance(args, dict) else None)
        else:
            self._called(kind)

    def counts(self, model: str) -> Counts:
        """The calls by kind. `model` is the upstream's name of it."""
        calls = dict(self._calls)
        searches = len(self._queries or self._asked)
        if searches:
            calls["web_search"] = 1 if 0 < abilities_of(model).generation < 3 else searches
        if self._pages:
            calls["web_fetch"] = len(self._pages)
        if self._retrieved:
            calls.setdefault("file_search", 1)
        if self._maps:
            calls.setdefault("other", 1)
            calls.pop("maps", None)
        return counted(calls)


def ran_in(chunk: Any, ran: RanTools) -> None:
    """Learn from a whole answer, or a chunk of one, as decoded JSON."""
    for each in chunk if isinstance(chunk, list) else (chunk,):
        if isinstance(each, dict):
            for candidate in _objects(each.get("candidates")):
                ran.add(candidate)


def ran_near(edge: bytes, ran: RanTools) -> None:
    """Learn from the end of an answer that was not kept whole: its searches stand there."""
    for match in _QUERIES.finditer(edge):
        try:
            ran.add_queries(msgspec.json.decode(match[1]))
        except ValueError:
            continue


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    return (each for each in value if isinstance(each, dict)) if isinstance(value, list) else iter(())


def _texts(value: Any) -> set[str]:
    return {each for each in value if isinstance(each, str) and each} if isinstance(value, list) else set()
