"""Checks decoded JSON against the types that a vendor's SDK declares: pydantic models, TypedDicts, enums, unions.

The SDKs build what they receive without validating it. Here everything counts: a field that the type does not name,
one that it requires and that is missing, a value of another type, a word outside a closed list.

A type is compiled once into nested functions, so that checking a stream of a thousand events takes milliseconds.
"""

import base64
import binascii
import datetime
import types
from collections import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Required, TypeVar, Union, get_args, get_origin

import typing_extensions
from pydantic import BaseModel
from typing_extensions import ReadOnly, TypeAliasType, is_typeddict

__all__ = ["Check", "Mistake", "Shapes"]

Kind = Literal["missing", "invented", "type", "value", "order", "rule"]


class Mistake(NamedTuple):
    """One thing that is wrong, and where."""

    kind: Kind
    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path or '(top)'}: {self.kind}: {self.text}"


Check = Callable[[Any, str, list[Mistake]], None]


@dataclass(frozen=True)
class _Object:
    """A declared object: its fields, which of them must be there, and the words that tell it from others."""

    name: str
    fields: Mapping[str, Check]
    required: frozenset[str]
    words: Mapping[str, frozenset[Any]]
    free: bool = False

    def fits(self, value: Any) -> bool:
        """Whether its words are those of the value; `missing` words are the check's business."""
        if not isinstance(value, dict):
            return False
        for name, words in self.words.items():
            said = value.get(name, _ABSENT)
            if (said is _ABSENT and name in self.required) or (said is not _ABSENT and not _is_in(said, words)):
                return False
        return True

    def __call__(self, value: Any, path: str, found: list[Mistake]) -> None:
        if not isinstance(value, dict):
            found.append(Mistake("type", path, f"expected {self.name}, got {_short(value)}"))
            return
        fields = self.fields
        for name, member in value.items():
            check = fields.get(name)
            if check is not None:
                check(member, f"{path}.{name}" if path else name, found)
            elif not self.free:
                found.append(Mistake("invented", f"{path}.{name}" if path else name, f"{self.name} has no such field"))
        for name in self.required:
            if name not in value:
                found.append(Mistake("missing", f"{path}.{name}" if path else name, f"{self.name} requires it"))


_ABSENT = object()


def _is_in(said: Any, words: frozenset[Any]) -> bool:
    return isinstance(said, str | int | None) and said in words


@dataclass
class Shapes:
    """Compiles types of one dialect.

    `camel`: the wire names of a model are its aliases alone. `wide`: whole numbers of 64 bits may be texts (Google's
    JSON). `extensions`: by the type's name, further fields that we write on purpose. `sdk_only`: fields that an SDK
    adds for its own use and that never stand on the wire.
    `closed`: by the type's name, fields that must be there although the SDK's type leaves them out at will.
    `loose`: the other way round, fields that a vendor takes without, as recordings show.
    `tagged`: a field of one word must be there although the SDK has a default for it.
    """

    camel: bool = False
    wide: bool = False
    extensions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sdk_only: Mapping[str, frozenset[str]] = field(default_factory=dict)
    closed: Mapping[str, frozenset[str]] = field(default_factory=dict)
    loose: Mapping[str, frozenset[str]] = field(default_factory=dict)
    tagged: bool = False
    _known: dict[Any, Check] = field(default_factory=dict)

    def check(self, kind: Any, value: Any, path: str = "") -> list[Mistake]:
        """What is wrong with a value of a type."""
        found: list[Mistake] = []
        self.compile(kind)(value, path, found)
        return found

    def compile(self, kind: Any) -> Check:
        """The check of a type. Types that hold themselves are met again while they are compiled."""
        try:
            known = self._known.get(kind)
        except TypeError:  # an annotation that cannot be hashed
            return self._compile(kind)
        if known is not None:
            return known

        def later(value: Any, path: str, found: list[Mistake]) -> None:
            self._known[kind](value, path, found)

        self._known[kind] = later
        made = self._known[kind] = self._compile(kind)
        return made

    def _compile(self, kind: Any) -> Check:
        origin = get_origin(kind)
        if isinstance(kind, TypeAliasType):
            return self.compile(kind.__value__)
        if origin in (Annotated, Required, NotRequired, ReadOnly):
            return self.compile(get_args(kind)[0])
        if origin is Literal:
            return _one_of(get_args(kind))
        if origin is Union or origin is types.UnionType:
            return self._union(get_args(kind))
        if origin is not None:
            return self._container(origin, get_args(kind))
        return self._plain(kind)

    def _container(self, origin: Any, inner: tuple[Any, ...]) -> Check:
        if origin is type:
            return _never
        if isinstance(origin, type) and issubclass(origin, abc.Mapping):
            return _mapping(self.compile(inner[1]))
        return _sequence(self.compile(inner[0]))

    def _plain(self, kind: Any) -> Check:
        if kind in (Any, object) or isinstance(kind, TypeVar):
            return _anything
        if kind in (None, types.NoneType):
            return _null
        if is_typeddict(kind):
            return self._typed_dict(kind)
        if not isinstance(kind, type):
            return _never
        if issubclass(kind, Enum):
            return _one_of(tuple(member.value for member in kind))
        if issubclass(kind, BaseModel):
            return self._model(kind)
        simple: Mapping[type, Check] = {
            str: _text,
            bool: _flag,
            int: _wide if self.wide else _whole,
            float: _number,
            bytes: _base64,
            datetime.datetime: _text,
            dict: _mapping(_anything),
            list: _sequence(_anything),
        }
        return simple.get(kind, _never)

    def _model(self, model: type[BaseModel]) -> Check:
        fields: dict[str, Any] = {}
        required: set[str] = set()
        own = self.sdk_only.get(model.__name__, frozenset())
        generator = model.model_config.get("alias_generator")
        for name, info in model.model_fields.items():
            if name in own:
                continue
            wire = info.alias or (generator(name) if self.camel and callable(generator) else name)
            for annotated in info.metadata:  # cohere names a field's wire name so
                wire = getattr(annotated, "alias", None) or wire
            fields[wire] = info.annotation
            if info.is_required() or (self.tagged and len(_words_of(info.annotation)) == 1):
                required.add(wire)
        return self._object(model.__name__, fields, required)

    def _typed_dict(self, kind: Any) -> Check:
        fields = typing_extensions.get_type_hints(kind, include_extras=True)
        required = {
            name
            for name, hint in fields.items()
            if get_origin(hint) is Required or (get_origin(hint) is not NotRequired and name in kind.__required_keys__)
        }
        return self._object(kind.__name__, fields, required)

    def _object(self, name: str, fields: Mapping[str, Any], required: set[str]) -> _Object:
        fields = {**fields, **self.extensions.get(name, {})}
        words = {field: words for field, hint in fields.items() if (words := _words_of(hint))}
        must = frozenset(required | self.closed.get(name, frozenset())) - self.loose.get(name, frozenset())
        return _Object(name, {field: self.compile(hint) for field, hint in fields.items()}, must, words)

    def _union(self, kinds: Sequence[Any]) -> Check:
        plain: list[Check] = []
        objects: list[_Object] = []
        if Any in kinds and any(get_origin(kind) is Literal for kind in kinds):
            kinds = [kind for kind in kinds if kind is not Any]  # cohere's lists are open for words of the future
        for kind in kinds:
            self._sort(kind, plain, objects)
        return _Union(tuple(plain), tuple(objects))

    def _sort(self, kind: Any, plain: list[Check], objects: list[_Object]) -> None:
        """Nested unions become one: their members are told apart by their words."""
        check = self.compile(kind)
        if isinstance(check, _Object):
            objects.append(check)
        elif isinstance(check, _Union):
            plain.extend(check.plain)
            objects.extend(check.objects)
        elif check is not _never:
            plain.append(check)


@dataclass(frozen=True)
class _Union:
    plain: tuple[Check, ...]
    objects: tuple[_Object, ...]

    def __call__(self, value: Any, path: str, found: list[Mistake]) -> None:
        best: list[Mistake] | None = None
        if isinstance(value, dict) and self.objects:
            fitting = [candidate for candidate in self.objects if candidate.fits(value)]
            if not fitting and len(self.objects) == 1:
                fitting = list(self.objects)
            if not fitting and not self.plain:
                said = {name: value.get(name) for candidate in self.objects for name in candidate.words}
                found.append(Mistake("value", path, f"none of the {len(self.objects)} shapes has the words {said}"))
                return
            best = _least(fitting, value, path)
        if best is None or best:
            other = _least(self.plain, value, path)
            best = other if best is None or (other is not None and not other) else best
        if best is None:
            best = [Mistake("type", path, f"fits no shape: {_short(value)}")]
        found.extend(best)


def _least(checks: Sequence[Check], value: Any, path: str) -> list[Mistake] | None:
    """The mistakes of the check that fits best."""
    best: list[Mistake] | None = None
    for check in checks:
        found: list[Mistake] = []
        check(value, path, found)
        if not found:
            return found
        if best is None or _distance(found, path) < _distance(best, path):
            best = found
    return best


def _distance(found: Sequence[Mistake], path: str) -> tuple[bool, int]:
    """A value of another kind is farther off than one with mistakes inside."""
    return any(mistake.path == path and mistake.kind == "type" for mistake in found), len(found)


def _words_of(hint: Any) -> frozenset[Any]:
    """The values of a field that is a closed list of texts."""
    while get_origin(hint) in (Annotated, Required, NotRequired, ReadOnly):
        hint = get_args(hint)[0]
    if get_origin(hint) is Literal:
        return frozenset(get_args(hint))
    return frozenset()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _anything(value: Any, path: str, found: list[Mistake]) -> None:
    """Any JSON."""


def _never(value: Any, path: str, found: list[Mistake]) -> None:
    found.append(Mistake("type", path, "no value of the wire is of this type"))


def _simple(name: str, test: Callable[[Any], bool]) -> Check:
    def check(value: Any, path: str, found: list[Mistake]) -> None:
        if not test(value):
            found.append(Mistake("type", path, f"expected {name}, got {_short(value)}"))

    return check


def _is_wide(value: Any) -> bool:
    return (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and value.isdigit())


def _is_base64(value: Any) -> bool:
    if not isinstance(value, str):
        return False
    try:
        base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error:
        return False
    return True


_null = _simple("null", lambda value: value is None)
_text = _simple("a text", lambda value: isinstance(value, str))
_flag = _simple("a boolean", lambda value: isinstance(value, bool))
_whole = _simple("a whole number", lambda value: isinstance(value, int) and not isinstance(value, bool))
_wide = _simple("a whole number, or one as text", _is_wide)
_number = _simple("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool))
_base64 = _simple("base64", _is_base64)


def _one_of(words: tuple[Any, ...]) -> Check:
    def check(value: Any, path: str, found: list[Mistake]) -> None:
        if not any(value == word and isinstance(value, bool) == isinstance(word, bool) for word in words):
            found.append(Mistake("value", path, f"{_short(value)} is none of {', '.join(map(repr, words[:12]))}"))

    return check


def _mapping(inner: Check) -> Check:
    def check(value: Any, path: str, found: list[Mistake]) -> None:
        if not isinstance(value, dict):
            found.append(Mistake("type", path, f"expected an object, got {_short(value)}"))
            return
        if inner is not _anything:
            for name, member in value.items():
                inner(member, f"{path}.{name}", found)

    return check


def _sequence(inner: Check) -> Check:
    def check(value: Any, path: str, found: list[Mistake]) -> None:
        if not isinstance(value, list):
            found.append(Mistake("type", path, f"expected an array, got {_short(value)}"))
            return
        for number, member in enumerate(value):
            inner(member, f"{path}[{number}]", found)

    return check
