"""Reads a tree of plain values (TOML's, or Python's) into frozen records, by the types of their fields.

Nothing is guessed: a text is no number, an unknown key is a mistake with a suggestion, and numbers meant to be exact
never pass through a binary float. All mistakes of a tree are collected, each with the path of its key.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from asgi_gateway.storage.records import Secret

__all__ = ["Mistake", "Reader", "label", "nearest"]

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True)
class Mistake:
    """Why a key cannot be used. `key` is its path, like `channels[main].weight`; empty for the whole."""

    key: str
    reason: str


UNREADABLE: Any = object()
"""Stands for a value after its mistake was noted."""


class _Unreadable(Exception):
    """A single value of the wrong kind; the argument says what it must be."""


def nearest(word: str, words: Sequence[str]) -> str:
    """A half-sentence that suggests the most similar of `words`, or names them all when they are few."""
    words = list(dict.fromkeys(words))
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f'; did you mean "{close[0]}"?'
    if 0 < len(words) <= 8:
        return f"; known: {', '.join(words)}"
    return ""


class Reader:
    """Reads trees and collects what is wrong with them in `mistakes`.

    `withheld`: by type, the fields that no tree may set, with the values they get.
    """

    def __init__(self, withheld: Mapping[type, Mapping[str, object]]) -> None:
        self.mistakes: list[Mistake] = []
        self._withheld = withheld
        self._described: dict[Any, dict[str, tuple[Field[Any], Any]]] = {}

    def read(self, kind: type[Record], tree: object, path: str = "") -> Record | None:
        """The record that the tree describes; where a value cannot be used, a mistake is noted and its default stands.

        None when a value is missing that has no default.
        """
        if not isinstance(tree, Mapping):
            self._note(path, "must be a table")
            return None
        known = self._fields(kind)
        values: dict[str, Any] = dict(self._withheld.get(kind, {}))
        whole = True
        for key, value in tree.items():
            place = f"{path}.{key}" if path else str(key)
            if key not in known:
                self._note(place, "unknown key" + nearest(str(key), list(known)))
            elif (read := self._value(known[key][1], value, place)) is not UNREADABLE:
                values[key] = read
        for name, (field, _) in known.items():
            if name not in values and field.default is MISSING and field.default_factory is MISSING:
                whole = False
                if name not in tree:
                    self._note(f"{path}.{name}" if path else name, "is missing")
        return kind(**values) if whole else None

    def _fields(self, kind: Any) -> dict[str, tuple["Field[Any]", Any]]:
        """The fields of a record that a tree may set, with their types, by name."""
        known = self._described.get(kind)
        if known is None:
            hints = get_type_hints(kind)
            withheld = self._withheld.get(kind, {})
            known = {field.name: (field, hints[field.name]) for field in fields(kind) if field.name not in withheld}
            self._described[kind] = known
        return known

    def _note(self, key: str, reason: str) -> None:
        self.mistakes.append(Mistake(key, reason))

    def _value(self, hint: Any, value: object, path: str) -> Any:
        if is_dataclass(hint):
            record = self.read(hint, value, path) if isinstance(hint, type) else None
            return UNREADABLE if record is None else record
        origin = get_origin(hint)
        if origin is tuple:
            return self._array(get_args(hint)[0], value, path)
        if origin is Mapping:
            return self._table(get_args(hint)[1], value, path)
        if origin in (UnionType, Union):
            if value is None:
                return None
            return self._value(next(part for part in get_args(hint) if part is not NoneType), value, path)
        try:
            return _choice(get_args(hint), value) if origin is Literal else SCALARS[hint](value)
        except _Unreadable as reason:
            self._note(path, str(reason))
            return UNREADABLE

    def _array(self, hint: Any, value: object, path: str) -> Any:
        if not isinstance(value, list | tuple):
            self._note(path, "must be an array")
            return UNREADABLE
        parts = [self._value(hint, part, f"{path}[{label(part, index)}]") for index, part in enumerate(value)]
        return tuple(part for part in parts if part is not UNREADABLE)

    def _table(self, hint: Any, value: object, path: str) -> Any:
        if not isinstance(value, Mapping):
            self._note(path, "must be a table")
            return UNREADABLE
        parts = {str(key): self._value(hint, part, f"{path}.{_quoted(str(key))}") for key, part in value.items()}
        return {key: part for key, part in parts.items() if part is not UNREADABLE}


def label(part: object, index: int) -> str:
    """How an entry of an array is called in a path: by its name where it has one."""
    name = part.get("name") if isinstance(part, Mapping) else None
    return name if isinstance(name, str) and name else str(index)


def _quoted(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() else f'"{key}"'


def _choice(choices: tuple[str, ...], value: object) -> str:
    if isinstance(value, str) and value in choices:
        return value
    text = " or ".join(f'"{choice}"' for choice in choices)
    raise _Unreadable(f"must be {text}")


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise _Unreadable("must be a text in quotes")
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _Unreadable("must be a whole number")
    return value


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Unreadable("must be true or false")
    return value


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not isfinite(value):
        raise _Unreadable("must be a number")
    return float(value)


def _exact(value: object) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        raise _Unreadable("must be a decimal number, or one as a text")
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise _Unreadable("must be a decimal number, or one as a text") from None
    if not number.is_finite():
        raise _Unreadable("must be a finite number")
    return number


def _time(value: object) -> datetime:
    if not isinstance(value, datetime):
        raise _Unreadable("must be a time like 2027-01-01T00:00:00Z")
    if value.tzinfo is None:
        raise _Unreadable("needs an offset from UTC, like 2027-01-01T00:00:00Z")
    return value


def _secret(value: object) -> Secret:
    return value if isinstance(value, Secret) else Secret(_text(value))


def _json(value: object) -> Any:
    """A JSON value: TOML's decimals become plain numbers, its times are refused."""
    match value:
        case None | bool() | int() | str() | float():
            return value
        case Decimal():
            return _number(value)
        case list() | tuple():
            return [_json(part) for part in value]
        case Mapping():
            return {str(key): _json(part) for key, part in value.items()}
    raise _Unreadable("must be a JSON value")


SCALARS: Mapping[Any, Callable[[object], Any]] = {
    str: _text,
    int: _whole,
    float: _number,
    bool: _switch,
    Decimal: _exact,
    datetime: _time,
    Secret: _secret,
    Any: _json,
}
"""How a single value is read, by the type of its field."""
