"""Reads decoded JSON with a word for everything that is wrong, and remembers what nobody read.

```python
from asgi_gateway.dialects.node import Node
from asgi_gateway.errors import InvalidRequest

body = Node({"model": "m", "temperature": 0.5, "messages": [{"role": "user", "colour": "red"}]})
assert body.text("model") == "m"
message = next(body.objects("messages"))
assert (message.path, message.text("role")) == ("messages[0]", "user")
assert message.unread() == {"colour": "red"}
try:
    body.integer("temperature")
except InvalidRequest as wrong:
    assert wrong.param == "temperature"
```
"""

import re
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from typing import Any

import msgspec

from asgi_gateway.errors import GatewayError, InvalidRequest

__all__ = ["Node", "decode_object", "plain_path"]

BOM = b"\xef\xbb\xbf"

LARGEST = (1 << 31) - 1
"""The largest number that a field of a request may have."""

Wrong = Callable[[str, str, str], GatewayError]
"""From path, what was expected ("a string"), and what came ("a number"), an error."""

_INDEX = re.compile(r"\[\d+\]")


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a request body is. Raises `InvalidRequest` for what is none."""
    try:
        value = msgspec.json.decode(body[len(BOM) :] if body.startswith(BOM) else body)
    except (ValueError, RecursionError) as wrong:
        detail = "it is nested too deeply" if isinstance(wrong, RecursionError) else str(wrong)
        raise InvalidRequest(f"We could not parse the JSON body of your request: {detail}.") from wrong
    if not isinstance(value, dict):
        raise InvalidRequest("The body of a request must be a JSON object.", code="invalid_type")
    return value


def plain_path(path: str) -> str:
    """A path without positions, as losses name fields: `messages[3].content[0].x` is `messages[].content[].x`."""
    return _INDEX.sub("[]", path)


def _invalid(path: str, expected: str, given: str) -> GatewayError:
    return InvalidRequest(
        f"Invalid type for '{path}': expected {expected}, but got {given} instead.", param=path, code="invalid_type"
    )


class Node:
    """One JSON object. A member that is absent or null is not there. `wrong` makes the error for a wrong type."""

    __slots__ = ("_read", "_wrong", "path", "value")

    def __init__(self, value: Mapping[str, Any], path: str = "", wrong: Wrong = _invalid) -> None:
        self.value = value
        self.path = path
        self._wrong = wrong
        self._read: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return self.value.get(name) is not None

    def at(self, name: str) -> str:
        """The path of a member."""
        return f"{self.path}.{name}" if self.path else name

    def any(self, name: str) -> Any:
        """A member of whatever type; None when it is not there."""
        self._read.add(name)
        return self.value.get(name)

    def skip(self, *names: str) -> None:
        """These members need not be read."""
        self._read.update(names)

    def text(self, name: str, default: str = "") -> str:
        """A string."""
        value = self.any(name)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self.wrong(name, "a string")
        return value

    def require_text(self, name: str) -> str:
        """A string that must be there and not be empty."""
        value = self.text(name)
        if not value:
            raise self.missing(name)
        return value

    def flag(self, name: str) -> bool | None:
        """A boolean."""
        value = self.any(name)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(name, "a boolean")
        return value

    def integer(self, name: str, least: int | None = None, most: int = LARGEST) -> int | None:
        """A whole number within bounds; `2.0` is one."""
        value = self.number(name)
        if value is None:
            return None
        if not isfinite(value) or value != int(value):
            raise self.wrong(name, "a whole number")
        if (least is not None and value < least) or value > most:
            bound = f"below minimum value. Expected a value >= {least}" if value <= most else f"above {most}"
            raise InvalidRequest(f"Invalid '{self.at(name)}': {bound}.", param=self.at(name), code="invalid_value")
        return int(value)

    def number(self, name: str) -> float | None:
        """A number."""
        value = self.any(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.wrong(name, "a number")
        return value

    def object(self, name: str) -> "Node | None":
        """An object, to be read further."""
        value = self.any(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            raise self.wrong(name, "an object")
        return Node(value, self.at(name), self._wrong)

    def list(self, name: str) -> list[Any]:
        """An array; empty when it is not there."""
        value = self.any(name)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong(name, "an array")
        return value

    def objects(self, name: str) -> "Iterator[Node]":
        """The objects of an array, each to be read further."""
        for number, value in enumerate(self.list(name)):
            if not isinstance(value, dict):
                raise self._wrong(f"{self.at(name)}[{number}]", "an object", _kind(value))
            yield Node(value, f"{self.at(name)}[{number}]", self._wrong)

    def texts(self, name: str) -> tuple[str, ...]:
        """The strings of an array."""
        values = self.list(name)
        for number, value in enumerate(values):
            if not isinstance(value, str):
                raise self._wrong(f"{self.at(name)}[{number}]", "a string", _kind(value))
        return tuple(values)

    def unread(self) -> dict[str, Any]:
        """The members that nobody asked for and that are not null."""
        return {name: value for name, value in self.value.items() if name not in self._read and value is not None}

    def wrong(self, name: str, expected: str) -> GatewayError:
        """The error for a member of a wrong type."""
        return self._wrong(self.at(name), expected, _kind(self.value.get(name)))

    def missing(self, name: str) -> InvalidRequest:
        """The error for a member that must be there."""
        path = self.at(name)
        return InvalidRequest(f"Missing required parameter: '{path}'.", param=path, code="missing_required_parameter")

    def unknown(self, name: str, known: str) -> InvalidRequest:
        """The error for a value that is none of the known ones."""
        path = self.at(name)
        shown = str(self.value.get(name))[:64]
        return InvalidRequest(
            f"Invalid value for '{path}': '{shown}'. Supported values are: {known}.", param=path, code="invalid_value"
        )


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, dict):
        return "an object"
    return "an array" if isinstance(value, list) else "a number"
