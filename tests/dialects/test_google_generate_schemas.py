"""Google's own schema objects as JSON schemas."""

from typing import Any

import pytest

from asgi_gateway.dialects.google_generate.schemas import json_schema
from asgi_gateway.dialects.google_generate.spelling import camel_case
from asgi_gateway.errors import InvalidRequest


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ({"type": "STRING", "format": "enum", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        (
            {"type": "STRING", "nullable": True, "enum": ["a"]},
            {"type": ["string", "null"], "enum": ["a", None]},
        ),
        ({"anyOf": [{"type": "NUMBER"}], "nullable": True}, {"anyOf": [{"type": "number"}, {"type": "null"}]}),
        ({"nullable": True}, {}),
        ({"type": "TYPE_UNSPECIFIED", "title": "t"}, {"title": "t"}),
        ({"type": "ARRAY", "items": {"type": "INTEGER"}, "max_items": "3"}, {
            "type": "array", "items": {"type": "integer"}, "maxItems": 3,
        }),
        ({"example": 5}, {"examples": [5]}),
        ({"ref": "#/defs/a", "defs": {"a": {"type": "BOOLEAN"}}}, {
            "$ref": "#/defs/a", "$defs": {"a": {"type": "boolean"}},
        }),
        ({"type": ["object", "null"], "properties": {"type": {"type": "STRING"}}, "additionalProperties": False}, {
            "type": ["object", "null"], "properties": {"type": {"type": "string"}}, "additionalProperties": False,
        }),
        ({"type": 5, "prefixItems": [1, {"type": "STRING"}]}, {"type": 5, "prefixItems": [1, {"type": "string"}]}),
    ],
)  # fmt: skip
def test_words_are_translated(given: dict[str, Any], made: dict[str, Any]) -> None:
    """And names of properties are not."""
    assert json_schema(given) == made


def test_a_schema_without_end_is_refused() -> None:
    """Before it overflows anything."""
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"items": deep}
    with pytest.raises(InvalidRequest):
        json_schema(deep)


def test_very_deep_bodies_are_taken_as_they_are() -> None:
    """Nothing that Google knows lies so deep."""
    deep: dict[str, Any] = {"in_side": 1}
    for _ in range(250):
        deep = {"out_side": deep}
    body = b'{"out_side": {}}'
    renamed = camel_case(body, deep)
    for _ in range(200):
        renamed = renamed["outSide"]
    assert "outSide" in renamed or "out_side" in renamed
