"""Takes apart what we wrote: JSON bodies and event streams, read without our own readers."""

import json
from typing import Any, NamedTuple

from support.strict.shapes import Mistake

__all__ = ["Sent", "decode", "decode_events", "events_of"]


class Sent(NamedTuple):
    """One event of a stream."""

    name: str
    """Of its `event:` line; "" when it has none."""
    data: str


def decode(body: bytes, found: list[Mistake], path: str = "") -> Any:
    """The JSON value of a body; None, and a mistake, when it is none."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except ValueError as wrong:
        found.append(Mistake("type", path, f"no JSON: {wrong}: {body[:80]!r}"))
        return None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"JSON has no {name}")


def events_of(data: bytes, found: list[Mistake]) -> list[Sent]:
    """The events of a stream, comments left out. What is no line of an event stream is a mistake."""
    text = data.decode("utf-8").replace("\r\n", "\n")
    if text and not text.endswith("\n\n"):
        found.append(Mistake("order", "", f"the last event has no end: {text[-40:]!r}"))
    sent = []
    for block in text.split("\n\n"):
        name, lines = "", []
        for line in block.split("\n"):
            label, _, value = line.partition(":")
            if label == "event":
                name = value.removeprefix(" ")
            elif label == "data":
                lines.append(value.removeprefix(" "))
            elif label:
                found.append(Mistake("invented", "", f"no field of an event stream: {line[:40]!r}"))
        if lines:
            sent.append(Sent(name, "\n".join(lines)))
        elif name:
            found.append(Mistake("missing", "", f"the event {name!r} has no data"))
    return sent


def decode_events(sent: list[Sent], found: list[Mistake]) -> list[tuple[str, Any]]:
    """The events' names and decoded data."""
    return [(name, decode(data.encode(), found, f"event[{number}]")) for number, (name, data) in enumerate(sent)]
