"""Schemas as Anthropic holds a model to: a part of JSON Schema.

https://platform.claude.com/docs/en/build-with-claude/structured-outputs: every object says that it has no further
members, and bounds of numbers, texts and arrays are refused. Where a schema says otherwise, objects are closed and
bounds told in their descriptions. What else is refused is left for Anthropic to name.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from asgi_gateway.canonical import Losses
from asgi_gateway.dialects.anthropic_messages.names import Json

__all__ = ["closed"]

_BOUNDS = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
    }
)

_NAMED = ("properties", "$defs", "definitions")
"""Members that hold schemas by name."""

_LISTED = ("anyOf", "allOf", "prefixItems")

DEEPEST = 64
"""Levels that are looked at: what is nested deeper stays as it is."""


def closed(schema: Mapping[str, Any], field: str, losses: Losses) -> Json:
    """The schema as Anthropic takes it. That it was another is noted, by its field."""
    taken = _closed(schema, 0)
    if taken != schema:
        losses.approximated(field)
    return taken


def _closed(schema: Mapping[str, Any], depth: int) -> Json:
    if depth > DEEPEST:
        return dict(schema)
    found: Json = {}
    told: Json = {}
    for name, value in schema.items():
        if name in _BOUNDS or (name == "minItems" and value not in (0, 1)):
            told[name] = value
        else:
            found["anyOf" if name == "oneOf" and "anyOf" not in schema else name] = _member(name, value, depth + 1)
    if _is_object(schema) and not isinstance(schema.get("additionalProperties"), dict):
        found["additionalProperties"] = False  # a map of values is another thing: it is not made empty
    if told:
        words = msgspec.json.encode(told).decode()
        said = found.get("description")
        found["description"] = f"{said}\n\n{words}" if isinstance(said, str) and said else words
    return found


def _is_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or (isinstance(kind, list) and "object" in kind)


def _member(name: str, value: Any, depth: int) -> Any:
    if name in _NAMED and isinstance(value, dict):
        return {key: _closed(inner, depth) if isinstance(inner, dict) else inner for key, inner in value.items()}
    if (name in _LISTED or name == "oneOf") and isinstance(value, list):
        return [_closed(inner, depth) if isinstance(inner, dict) else inner for inner in value]
    if name == "items" and isinstance(value, dict):
        return _closed(value, depth)
    return value
