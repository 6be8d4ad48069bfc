"""A strict reader of what we write: by the types of the vendors' own SDKs, and by the order that they document.

The SDKs build objects without validating what they got. These checks do: unknown kinds of events, missing or invented
fields, wrong types and words, and streams out of order are mistakes.

```python
from support.strict import check_response

check_response("openai_chat", body)   # raises `NotValid` with all mistakes
```
"""

from collections.abc import Callable, Mapping
from importlib import import_module
from types import ModuleType

import pytest

from support.strict.shapes import Mistake

__all__ = [
    "STRICT",
    "Mistake",
    "NotValid",
    "check_error",
    "check_error_event",
    "check_request",
    "check_response",
    "check_stream",
    "mistakes",
]

STRICT: Mapping[str, str] = {
    "openai_chat": "openai",
    "openai_responses": "openai",
    "anthropic_messages": "anthropic",
    "google_generate": "google.genai",
    "cohere_chat": "cohere",
    "bedrock_converse": "botocore",
}
"""The dialects, and the package whose types are asked."""


class NotValid(AssertionError):
    """What was written is not what the vendor's types and documents say."""

    def __init__(self, what: str, found: list[Mistake]) -> None:
        lines = "\n".join(f"  {mistake}" for mistake in found[:20])
        super().__init__(f"{what}: {len(found)} mistakes\n{lines}")
        self.found = tuple(found)


def _module(dialect: str) -> ModuleType:
    """The checks of a dialect. Without the SDK whose types are asked, the test is skipped."""
    pytest.importorskip(STRICT[dialect], reason="the vendor's SDK is asked what is valid")
    return import_module(f"support.strict.{dialect}")


def mistakes(dialect: str, what: str, body: bytes) -> list[Mistake]:
    """What is wrong with a "request", "response", "stream", "error" or "error_event"."""
    check: Callable[[bytes], list[Mistake]] = getattr(_module(dialect), what)
    return check(body)


def _check(dialect: str, what: str, body: bytes) -> None:
    found = mistakes(dialect, what, body)
    if found:
        raise NotValid(f"{dialect} {what}", found)


def check_request(dialect: str, body: bytes) -> None:
    """Raise `NotValid` unless a body is a request of the dialect."""
    _check(dialect, "request", body)


def check_response(dialect: str, body: bytes) -> None:
    """Raise `NotValid` unless a body is a plain answer of the dialect."""
    _check(dialect, "response", body)


def check_stream(dialect: str, data: bytes) -> None:
    """Raise `NotValid` unless the data is a whole stream of the dialect, in its order."""
    _check(dialect, "stream", data)


def check_error(dialect: str, body: bytes) -> None:
    """Raise `NotValid` unless a body is an error of the dialect."""
    _check(dialect, "error", body)


def check_error_event(dialect: str, data: bytes) -> None:
    """Raise `NotValid` unless the data is how a stream of the dialect ends with an error."""
    _check(dialect, "error_event", data)
