"""Schemas as Anthropic takes them."""

from typing import Any

import pytest

from asgi_gateway.canonical import Losses
from asgi_gateway.dialects.anthropic_messages.schemas import DEEPEST, closed
from support.anthropic_messages import noted

OBJECT = {"type": "object", "properties": {}, "additionalProperties": False}


def test_a_schema_that_is_taken_stays() -> None:
    """Nothing is noted then."""
    losses = Losses("request")
    schema = {
        "type": "object",
        "properties": {"a": {"type": "array", "items": OBJECT, "minItems": 1}, "b": {"enum": [1, 2]}, "c": True},
        "required": ["a"],
        "additionalProperties": False,
        "$defs": {"d": {"anyOf": [OBJECT, {"type": "null"}, True]}},
    }
    assert closed(schema, "f", losses) == schema
    assert not losses


@pytest.mark.parametrize(
    ("schema", "taken"),
    [
        ({"type": "object", "properties": {}}, OBJECT),
        ({"type": "object", "properties": {}, "additionalProperties": True}, OBJECT),
        ({"type": ["object", "null"]}, {"type": ["object", "null"], "additionalProperties": False}),
        ({"oneOf": [{"type": "object", "properties": {}}]}, {"anyOf": [OBJECT]}),
        (
            {"type": "array", "items": {"type": "object", "properties": {}}},
            {"type": "array", "items": OBJECT},
        ),
        (
            {"type": "integer", "minimum": 1, "maximum": 9, "description": "Dice"},
            {"type": "integer", "description": 'Dice\n\n{"minimum":1,"maximum":9}'},
        ),
        ({"type": "array", "minItems": 2}, {"type": "array", "description": '{"minItems":2}'}),
    ],
)
def test_a_schema_that_is_not_taken_is_brought_near(schema: Any, taken: Any) -> None:
    """Objects are closed, bounds told in words, and it is noted."""
    losses = Losses("request")
    assert closed(schema, "f", losses) == taken
    assert noted(losses) == {"approximated:f"}


def test_what_cannot_be_brought_near_is_left_for_anthropic_to_name() -> None:
    """A map of values, and what is nested too deeply."""
    losses = Losses("request")
    mapped = {"type": "object", "additionalProperties": {"type": "string"}}
    assert closed(mapped, "f", losses) == mapped
    deep: dict[str, Any] = {"type": "object"}
    for _ in range(DEEPEST + 1):
        deep = {"type": "array", "items": deep}
    assert closed(deep, "f", losses) == deep
    assert not losses
