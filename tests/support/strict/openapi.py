"""Checks against OpenAI's own document of its interface, where that is kept beside the repository.

It says more than the SDK's types: bounds of numbers and texts, fields that answers must have.
What it refuses in the vendor's own traffic is named in `NOT_HELD`, with the reason.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from support.strict.shapes import Mistake

__all__ = ["DOCUMENT", "NOT_HELD", "check"]

DOCUMENT = Path(__file__).parents[3].parent / "shared" / "spec" / "openai-openapi.yaml"

NOT_HELD: tuple[tuple[str, str, str], ...] = (
    ("system_fingerprint", "", "null in the vendor's own answers"),
    ("usage", "", "null in the vendor's own responses as long as they have not ended"),
    ("user", "", "null in the vendor's own answers"),
    ("text.format.description", "", "null in the vendor's own answers"),
    (".server_description", "", "null in the vendor's own answers"),
    ("delta.tool_calls[].type", "", "a tool of free text: https://github.com/openai/openai-openapi/issues/576"),
    ("input[]", "'id' is a required property", "reasoning may come back without its id, as recordings show"),
)
"""Ends of a path (without positions), words of the complaint, and why the document is not followed there."""

_WORDS = frozenset({"type", "role", "object", "status", "finish_reason", "detail", "phase", "reason", "effort"})


_FREE = frozenset({"parameters", "schema", "metadata", "logit_bias"})
"""Members that hold JSON of the caller's."""


@cache
def _validator(name: str) -> Any:
    import jsonschema
    import yaml

    components = _components(yaml)
    return jsonschema.Draft202012Validator({"$ref": f"#/components/schemas/{name}", "components": components})


@cache
def _components(yaml: Any) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    components = yaml.load(DOCUMENT.read_text(encoding="utf-8"), Loader=loader)["components"]
    return _as_meant({"schemas": components["schemas"]})


def _as_meant(schema: Any) -> Any:
    """The document as JSON Schema.

    `nullable: true` is a word of OpenAPI 3.0 that it still uses. Many members of its `oneOf`s overlap (a message is an
    "easy" one and another), so that nothing could be one of them alone.
    """
    if isinstance(schema, list):
        return [_as_meant(member) for member in schema]
    if not isinstance(schema, dict):
        return schema
    made = {"anyOf" if name == "oneOf" else name: _as_meant(member) for name, member in schema.items()}
    return {"anyOf": [made, {"type": "null"}]} if made.pop("nullable", None) is True else made


@cache
def _seen() -> set[str]:
    return set()


def check(name: str, value: Any) -> list[Mistake]:
    """What the document finds wrong with a value of one of its schemas; nothing where the document is absent.

    Validating is slow, so a value of a form that was right before is not looked at again.
    """
    if not DOCUMENT.exists():
        return []
    form = f"{name}:{_form(value)}"
    if form in _seen():
        return []
    found = [mistake for error in _validator(name).iter_errors(value) for mistake in _told(error)]
    if not found:
        _seen().add(form)
    return found


def _told(error: Any) -> Iterator[Mistake]:
    """The reason of an error inside alternatives: of the alternative whose words are those of the value."""
    while error.context:
        error = min(_alternatives(error), key=lambda errors: (_is_other(errors), len(errors)))[0]
    path = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in error.absolute_path).lstrip(".")
    text = "".join(letter for letter in path if not letter.isdigit())
    if not any(text.endswith(end) and words in error.message for end, words, _ in NOT_HELD):
        yield Mistake("rule", path, f"OpenAI's document: {error.message[:160]}")


def _alternatives(error: Any) -> list[list[Any]]:
    """What is wrong by each alternative."""
    by_schema: dict[Any, list[Any]] = {}
    for inner in error.context:
        by_schema.setdefault(inner.relative_schema_path[0], []).append(inner)
    return list(by_schema.values())


def _is_other(errors: list[Any]) -> int:
    """How surely an alternative is about something else."""
    if any(error.validator in ("enum", "const") and _WORDS & set(error.relative_path) for error in errors):
        return 2
    return int(any(error.validator == "type" and not error.relative_path for error in errors))


def _form(value: Any, name: str = "") -> str:
    """A value without its texts and numbers, but for words that tell forms apart."""
    if name in _FREE:
        return type(value).__name__
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{_form(member, key)}" for key, member in sorted(value.items())) + "}"
    if isinstance(value, list):
        return "[" + ",".join(sorted({_form(member, name) for member in value})) + "]"
    if isinstance(value, str):
        return value if name in _WORDS else "s" if value else "e"
    return type(value).__name__
