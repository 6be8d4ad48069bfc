"""What every SDK's answers are brought to, and what the tests ask for."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel

__all__ = ["PIXEL", "PIXEL_TEXT", "TOOLS", "Answer", "Client", "Failure", "Weather", "nth"]

PIXEL_TEXT = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="

PIXEL = base64.b64decode(PIXEL_TEXT)
"""A red dot, as PNG."""

TOOLS: Mapping[str, Mapping[str, Any]] = {
    "get_weather": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "get_time": {
        "type": "object",
        "properties": {"zone": {"type": "string"}},
        "required": ["zone"],
        "additionalProperties": False,
    },
}


class Weather(BaseModel):
    """What a structured answer holds."""

    city: str
    degrees: int


@dataclass
class Answer:
    """What an SDK made of an answer."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    stop: str = ""
    usage: tuple[int, int] = (0, 0)
    parsed: Weather | None = None


@dataclass
class Failure(Exception):
    """What an SDK made of an error: the name of its exception's class, the status, and the text."""

    kind: str
    status: int
    message: str


def nth(models: Sequence[str], number: int) -> str:
    """The model that is asked after so many answers."""
    return models[min(number, len(models) - 1)]


class Client(Protocol):
    """One SDK. Every call raises `Failure` for an error of the gateway's."""

    def ask(self, model: str, text: str, *, stream: bool = False, image: bytes | None = None) -> Answer: ...

    def reason(self, model: str, text: str, *, stream: bool = False) -> Answer: ...

    def parse(self, model: str, text: str) -> Answer: ...

    def talk(
        self,
        models: Sequence[str],
        texts: Sequence[str],
        results: Mapping[str, str],
        *,
        stream: bool = False,
        think: bool = False,
    ) -> list[Answer]:
        """Say each of these texts; answer each call by its name's result, until there are no more. All answers.

        `models` are those of the first requests; the last one answers all that follow.
        """
        ...

    def close(self) -> None: ...
