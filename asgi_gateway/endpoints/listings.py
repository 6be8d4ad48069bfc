"""Lists of models in the shapes of three vendors, paged as each does it.

- OpenAI: https://platform.openai.com/docs/api-reference/models (no pages)
- Anthropic: https://docs.anthropic.com/en/api/models-list (`limit`, `after_id`, `before_id`)
- Google: https://ai.google.dev/api/models (`pageSize`, `pageToken`)
"""

from base64 import b64decode, urlsafe_b64encode
from binascii import Error
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Protocol

from asgi_gateway.errors import InvalidRequest

__all__ = ["ANTHROPIC", "GOOGLE", "OPENAI", "Listing"]

CREATED = 1_700_000_000
"""Clients require a time; channels do not say when a model was made."""

CREATED_TEXT = "2023-11-14T22:13:20Z"
"""The same."""

Query = Mapping[str, str]


class Listing(Protocol):
    """A vendor's shape of a list of models, and of one of them."""

    def page(self, names: Sequence[str], query: Query) -> object:
        """What is asked for of these names, which are sorted. Raises `InvalidRequest` with the parameter's name."""
        ...

    def entry(self, name: str) -> object:
        """One model."""
        ...


class _OpenAI:
    def page(self, names: Sequence[str], query: Query) -> object:
        return {"object": "list", "data": [self.entry(name) for name in names]}

    def entry(self, name: str) -> object:
        return {"id": name, "object": "model", "created": CREATED, "owned_by": "asgi_gateway"}


class _Anthropic:
    def page(self, names: Sequence[str], query: Query) -> object:
        limit = _number(query, "limit", 20, least=1, most=1000)
        before, after = query.get("before_id", ""), query.get("after_id", "")
        if before and after:
            raise InvalidRequest("before_id and after_id cannot be given together.", param="before_id")
        if before:
            end = _place(names, before, "before_id")
            start = max(0, end - limit)
            more = start > 0
        else:
            start = _place(names, after, "after_id") + 1 if after else 0
            end = start + limit
            more = end < len(names)
        shown = names[start:end]
        return {
            "data": [self.entry(name) for name in shown],
            "has_more": more,
            "first_id": shown[0] if shown else None,
            "last_id": shown[-1] if shown else None,
        }

    def entry(self, name: str) -> object:
        return {
            "type": "model",
            "id": name,
            "display_name": name,
            "created_at": CREATED_TEXT,
            "lifecycle": "active",
        }


class _Google:
    def page(self, names: Sequence[str], query: Query) -> object:
        size = _number(query, "pageSize", 50, least=1, most=None)
        start = bisect_right(names, _after(query["pageToken"])) if query.get("pageToken") else 0
        shown = names[start : start + min(size, 1000)]
        answer: dict[str, object] = {"models": [self.entry(name) for name in shown]}
        if shown and start + len(shown) < len(names):
            answer["nextPageToken"] = urlsafe_b64encode(shown[-1].encode()).decode()
        return answer

    def entry(self, name: str) -> object:
        return {
            "name": f"models/{name}",
            "version": "001",
            "displayName": name,
            "supportedGenerationMethods": ["generateContent", "countTokens"],
        }


def _number(query: Query, name: str, default: int, *, least: int, most: int | None) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()) or int(text[:9]) < least or (most is not None and int(text[:9]) > most):
        bounds = f"at least {least}" if most is None else f"between {least} and {most}"
        raise InvalidRequest(f"{name} must be a whole number {bounds}.", param=name)
    return int(text[:9])


def _place(names: Sequence[str], name: str, parameter: str) -> int:
    try:
        return names.index(name)
    except ValueError:
        raise InvalidRequest(f"{parameter} names no model of this list.", param=parameter) from None


def _after(token: str) -> str:
    """The name that a page's token stands for: the last of the page before."""
    try:
        return b64decode(token, altchars=b"-_", validate=True).decode()
    except (Error, ValueError):
        raise InvalidRequest("pageToken is none of ours.", param="pageToken") from None


OPENAI: Listing = _OpenAI()
ANTHROPIC: Listing = _Anthropic()
GOOGLE: Listing = _Google()
