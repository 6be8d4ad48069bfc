"""Calls of tools that OpenAI ran, as far as they are charged: output items by kind, and images by quality and size.

Follows https://developers.openai.com/api/docs/pricing: a search of the web is charged, opening a page of its results or
looking for words in it is not, and nothing that failed is. What the upstream counted itself goes before its items:
OpenAI's `tool_usage`, xAI's `server_side_tool_usage_details`. xAI's total has what is in neither of them.
"""

import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from asgi_gateway.dialects.tool_counts import Counts, counted, figure

__all__ = ["CALL", "BilledCalls", "OutputItem", "calls_in", "calls_seen"]

KINDS: Mapping[str, str] = MappingProxyType(
    {
        "web_search_call": "web_search",
        "file_search_call": "file_search",
        "code_interpreter_call": "code_execution",
        "image_generation_call": "image_generation",
        "computer_call": "computer_use",
        "mcp_call": "mcp",
        "x_search_call": "other",  # xAI
    }
)
"""Kinds by the type of an item. What runs at the caller's, like a shell or a patch, is not among them."""

DETAILS: Mapping[str, str] = MappingProxyType(
    {
        "web_search_calls": "web_search",
        "file_search_calls": "file_search",
        "document_search_calls": "file_search",
        "code_interpreter_calls": "code_execution",
        "image_generation_calls": "image_generation",
        "mcp_calls": "mcp",
    }
)
"""Kinds by xAI's names; any other is "other"."""

CALL = b'_call"'
"""Stands in every event that tells of a call."""

WORDS = re.compile(rb'"(type|status|quality|size)"\s*:\s*"([a-z0-9_]{1,32})"')
"""What tells of a call, wherever it stands. In a text it cannot stand: quotes are escaped there."""

_FREE = frozenset({"open_page", "find_in_page"})


class BilledCalls:
    """Counts items as they come."""

    __slots__ = ("_calls", "_images")

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._images: dict[str, int] = {}

    def add(self, item: Mapping[str, Any]) -> None:
        """Count a whole item, if it is one of those that are charged."""
        type = item.get("type")
        kind = KINDS.get(type) if isinstance(type, str) else None
        if kind is None or item.get("status") == "failed":
            return
        if kind == "web_search":
            action = item.get("action")
            if isinstance(action, dict) and action.get("type") in _FREE:
                return
        elif kind == "image_generation":
            self.add_image(item.get("quality"), item.get("size"))
        self._calls[kind] = self._calls.get(kind, 0) + 1

    def add_image(self, quality: Any, size: Any) -> None:
        """Count an image that was made."""
        name = "/".join(word if isinstance(word, str) and word != "auto" else "" for word in (quality, size))
        self._images[name] = self._images.get(name, 0) + 1

    def extend(self, more: "BilledCalls") -> None:
        """Count what another has counted, too."""
        for own, other in ((self._calls, more._calls), (self._images, more._images)):
            for name, count in other.items():
                own[name] = own.get(name, 0) + count

    @property
    def images(self) -> Counts:
        """Images by quality and size."""
        return tuple(self._images.items())

    def tools(self, usage: Mapping[str, Any], told: Any) -> Counts:
        """Calls by kind. `told` is the `tool_usage` of a response."""
        calls = dict(self._calls)
        searches = told.get("web_search") if isinstance(told, dict) else None
        if isinstance(searches, dict):
            calls["web_search"] = figure(searches.get("num_requests"))
        details = usage.get("server_side_tool_usage_details")
        if isinstance(details, dict) and any(map(figure, details.values())):
            calls = {}
            for name, value in details.items():
                kind = DETAILS.get(name, "other")
                calls[kind] = calls.get(kind, 0) + figure(value)
        total = figure(usage.get("num_server_side_tools_used"))
        if total > (known := sum(calls.values())):
            calls["other"] = calls.get("other", 0) + total - known
        return counted(calls)


class OutputItem(msgspec.Struct):
    """What of an output item tells what it is charged as."""

    type: Any = None
    status: Any = None
    action: Any = None
    quality: Any = None
    size: Any = None


def calls_in(output: Iterable[OutputItem]) -> BilledCalls | None:
    """The calls among the items of an output; None where there are none."""
    calls = None
    for item in output:
        if item.type.__class__ is str and item.type in KINDS:
            calls = calls or BilledCalls()
            calls.add(msgspec.structs.asdict(item))
    return calls


def calls_seen(words: Iterable[tuple[bytes, bytes]]) -> BilledCalls:
    """The calls in a JSON text that was not kept whole, from what `WORDS` found in it, in its order."""
    found: list[dict[str, Any]] = []
    for name, value in words:
        word = value.decode()
        if name != b"type":
            if found:
                found[-1].setdefault(name.decode(), word)
        elif word in KINDS:
            found.append({"type": word})
        elif word in _FREE and found:
            found[-1]["action"] = {"type": word}
    calls = BilledCalls()
    for item in found:
        calls.add(item)
    return calls
