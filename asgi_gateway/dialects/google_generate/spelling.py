"""Google takes each field in camelCase and in snake_case; everything behind this module sees camelCase.

Follows the JSON mapping of protocol buffers (https://protobuf.dev/programming-guides/json/). What belongs to the
caller (schemas, arguments, results, labels) keeps its spelling. Where one object or one part stands for a list of one,
it becomes a list: Google's parser allows that.
"""

import re
from collections.abc import Mapping
from typing import Any

from asgi_gateway.dialects.node import Node

__all__ = ["camel_case", "listed", "with_lists"]

DEEPEST = 200
"""Levels of nesting above which a request is taken as it is: nothing that Google knows lies so deep."""

_SNAKE = re.compile(rb'"[a-z][a-zA-Z0-9]*_[a-zA-Z0-9_]+"\s*:')
_UNDERSCORE = re.compile(r"_([a-z0-9])")

_CALLERS_OWN = frozenset(
    {
        "args",
        "customMetadata",
        "labels",
        "parameters",
        "parametersJsonSchema",
        "partMetadata",
        "response",
        "responseJsonSchema",
        "responseSchema",
    }
)


def camel_case(body: bytes, value: dict[str, Any]) -> dict[str, Any]:
    """The decoded `body` with its field names in camelCase; itself when it holds no other."""
    return _object(value, 0) if _SNAKE.search(body) else value


def listed(value: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    """The object with a list where one object stands for a list of one."""
    single = [name for name in names if isinstance(value.get(name), dict)]
    return {**value, **{name: [value[name]] for name in single}} if single else value


def with_lists(node: Node, *names: str) -> Node:
    """The same for an object that is being read."""
    value = listed(node.value, *names)
    return node if value is node.value else Node(value, node.path)


def _object(value: dict[str, Any], depth: int) -> dict[str, Any]:
    renamed: dict[str, Any] = {}
    for key, member in value.items():
        name = _UNDERSCORE.sub(lambda match: match[1].upper(), key) if "_" in key else key
        if name in renamed and name != key:
            continue  # given in both spellings: the official one counts
        renamed[name] = member if name in _CALLERS_OWN else _value(member, depth + 1)
    return renamed


def _value(value: Any, depth: int) -> Any:
    if depth > DEEPEST:
        return value
    if isinstance(value, dict):
        return _object(value, depth)
    if isinstance(value, list):
        return [_value(member, depth + 1) for member in value]
    return value
