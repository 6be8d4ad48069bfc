"""Google's `Schema` object as a JSON schema.

Follows https://ai.google.dev/api/caching#Schema, a subset of OpenAPI 3.0: types in capitals, `nullable`,
64-bit numbers as strings. Written to Google is always a JSON schema (`parametersJsonSchema`, `responseJsonSchema`):
Google documents both fields for the Gemini API and for Vertex, and that keywords it does not know are ignored there,
while `parameters` and `responseSchema` refuse them.
"""

from collections.abc import Mapping
from typing import Any

from asgi_gateway.errors import InvalidRequest

__all__ = ["json_schema"]

DEEPEST = 64

_NUMBERS = ("maxItems", "minItems", "maxLength", "minLength", "maxProperties", "minProperties")
_NAMES = {"example": "examples", "defs": "$defs", "ref": "$ref"}


def json_schema(schema: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    """The schema in JSON Schema's words. A schema that is one already comes out as it is.

    Raises `InvalidRequest` for one nested deeper than 64 levels.
    """
    if depth > DEEPEST:
        raise InvalidRequest("A schema is nested too deeply.", param="parameters", code="invalid_value")
    made: dict[str, Any] = {}
    for key, value in schema.items():
        name = _camel(key)
        if name == "nullable" or (name == "format" and value == "enum") or value == "TYPE_UNSPECIFIED":
            continue
        made[_NAMES.get(name, name)] = _member(name, value, depth)
    return _nullable(made) if schema.get("nullable") is True else made


def _member(name: str, value: Any, depth: int) -> Any:
    if name == "type":
        return _type(value)
    if name == "example":
        return [value]
    if name in _NUMBERS and isinstance(value, str) and value.isdecimal():
        return int(value)
    if name in ("properties", "$defs", "defs", "patternProperties") and isinstance(value, dict):
        return {key: _inner(member, depth) for key, member in value.items()}
    if name in ("anyOf", "oneOf", "allOf", "prefixItems") and isinstance(value, list):
        return [_inner(member, depth) for member in value]
    if name in ("items", "additionalProperties", "not"):
        return _inner(value, depth)
    return value


def _inner(value: Any, depth: int) -> Any:
    return json_schema(value, depth + 1) if isinstance(value, dict) else value


def _type(value: Any) -> Any:
    if isinstance(value, list):
        return [_type(member) for member in value]
    return value.lower() if isinstance(value, str) else value


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(word.capitalize() for word in rest) if rest and first else key


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, str):
        made = {**schema, "type": [kind, "null"]}
        if isinstance(made.get("enum"), list) and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
        return made
    if isinstance(schema.get("anyOf"), list):
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return schema
