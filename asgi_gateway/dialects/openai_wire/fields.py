"""Reads the members of a request body one by one, and refuses what OpenAI refuses, with its type, code and param.

Only the members asked for are built; a long prompt is measured and skipped. Of equal names the last counts.
"""

import sys
from typing import Final

import msgspec

from asgi_gateway.errors import InvalidRequest

__all__ = ["Fields"]

BOM: Final = b"\xef\xbb\xbf"

NAME_LIMIT = 256
"""Characters of a model's name."""

LARGEST = (1 << 31) - 1
"""The largest number of tokens anybody may ask for."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_string = msgspec.json.Decoder(str)
_number = msgspec.json.Decoder(int | float)

_KINDS = {'"': "a string", "{": "an object", "[": "an array", "t": "a boolean", "f": "a boolean", "n": "null"}


class Fields:
    """The members of a JSON object. Raises `InvalidRequest` for what is none."""

    __slots__ = ("_members", "_prefix")

    def __init__(self, body: bytes, prefix: str = "") -> None:
        self._prefix = prefix
        try:
            self._members = _members.decode(body[len(BOM) :] if body.startswith(BOM) else body)
        except msgspec.ValidationError as wrong:
            raise InvalidRequest("The body of a request must be a JSON object.", code="invalid_type") from wrong
        except (ValueError, RecursionError) as wrong:
            detail = "it is nested too deeply" if isinstance(wrong, RecursionError) else str(wrong)
            raise InvalidRequest(f"We could not parse the JSON body of your request: {detail}.") from wrong

    def model(self, default: str | None = None) -> str:
        """The name of the model."""
        raw = self._given("model")
        if raw is None and default is not None:
            return default
        name = "" if raw is None else self._text("model", raw)
        if not name:
            raise InvalidRequest("you must provide a model parameter")
        if len(name) > NAME_LIMIT:
            raise InvalidRequest(
                f"Invalid 'model': string too long. Expected at most {NAME_LIMIT} characters.",
                param="model",
                code="string_above_max_length",
            )
        return name

    def require(self, name: str, *kinds: str) -> msgspec.Raw:
        """A member that must be there and of one of these kinds ("an array", "a string", …); an array is not empty."""
        raw = self._members.get(name)
        if raw is None:
            raise InvalidRequest(
                f"Missing required parameter: '{self._prefix}{name}'.",
                param=self._prefix + name,
                code="missing_required_parameter",
            )
        kind = _kind(raw)
        if kind not in kinds:
            raise self._wrong_type(name, " or ".join(kinds), kind)
        if kind == "an array" and memoryview(raw).nbytes < 64 and b"".join(bytes(raw).split()) == b"[]":
            raise InvalidRequest(
                f"Invalid '{self._prefix}{name}': empty array. Expected an array with minimum length 1.",
                param=self._prefix + name,
                code="empty_array",
            )
        return raw

    def flag(self, name: str) -> bool:
        """A boolean; False when it is absent or null."""
        raw = self._given(name)
        if raw is None:
            return False
        kind = _kind(raw)
        if kind != "a boolean":
            raise self._wrong_type(name, "a boolean", kind)
        return memoryview(raw)[0] == ord("t")

    def word(self, name: str) -> str:
        """A text that the upstream is to judge: empty when the member is missing, null, or no text."""
        raw = self._given(name)
        try:
            return msgspec.json.decode(raw, type=str) if raw is not None else ""
        except msgspec.MsgspecError:
            return ""

    def integer(self, name: str, least: int, most: int = LARGEST) -> int | None:
        """A whole number within bounds; None when it is absent or null."""
        raw = self._given(name)
        if raw is None:
            return None
        value = self._number(name, raw)
        if value < least:
            raise self._out_of_range(
                name, "integer_below_min_value", f"below minimum value. Expected a value >= {least}"
            )
        if value > most:
            raise self._out_of_range(
                name, "integer_above_max_value", f"above maximum value. Expected a value <= {most}"
            )
        return value

    def object(self, name: str) -> "Fields | None":
        """An object's own members; None when it is absent or null."""
        raw = self._given(name)
        if raw is None:
            return None
        kind = _kind(raw)
        if kind != "an object":
            raise self._wrong_type(name, "an object", kind)
        return Fields(bytes(raw), f"{self._prefix}{name}.")

    def _given(self, name: str) -> msgspec.Raw | None:
        raw = self._members.get(name)
        return None if raw is None or memoryview(raw)[0] == ord("n") else raw

    def _text(self, name: str, raw: msgspec.Raw) -> str:
        kind = _kind(raw)
        if kind != "a string":
            raise self._wrong_type(name, "a string", kind)
        try:
            return _string.decode(raw)
        except ValueError as wrong:  # no UTF-8, or half a surrogate pair
            raise InvalidRequest(f"We could not parse the JSON body of your request: {wrong}.", param=name) from wrong

    def _number(self, name: str, raw: msgspec.Raw) -> int:
        kind = _kind(raw)
        if kind != "an integer":
            raise self._wrong_type(name, "an integer", kind)
        try:
            value: int | float = _number.decode(raw)
        except ValueError:  # more digits than any number of tokens has
            return -sys.maxsize if bytes(raw).startswith(b"-") else sys.maxsize
        if value % 1:
            raise self._wrong_type(name, "an integer", "a decimal number")
        return int(value)

    def _wrong_type(self, name: str, expected: str, kind: str) -> InvalidRequest:
        return InvalidRequest(
            f"Invalid type for '{self._prefix}{name}': expected {expected}, but got {kind} instead.",
            param=self._prefix + name,
            code="invalid_type",
        )

    def _out_of_range(self, name: str, code: str, reason: str) -> InvalidRequest:
        return InvalidRequest(
            f"Invalid '{self._prefix}{name}': integer {reason}.", param=self._prefix + name, code=code
        )


def _kind(raw: msgspec.Raw) -> str:
    return _KINDS.get(chr(memoryview(raw)[0]), "an integer")
