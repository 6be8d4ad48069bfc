"""Arguments of a function call that come piece by piece, each with the path of the value that it belongs to.

Follows https://docs.cloud.google.com/vertex-ai/generative-ai/docs/multimodal/function-calling#streaming-fc:
`{"jsonPath": "$.place.name", "stringValue": "Par", "willContinue": true}`.
"""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["StreamedArguments"]

LONGEST_GAP = 1000
"""How far behind its end a list may be written to."""

_STEP = re.compile(r"""\.([^.\[\]]+)|\[(\d{1,6})\]|\['((?:[^'\\]|\\.)*)'\]|\["((?:[^"\\]|\\.)*)"\]""")

_VALUES = ("stringValue", "numberValue", "boolValue")

Steps = list[str | int]


class StreamedArguments:
    """One call's arguments on their way."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: dict[str, Any] = {}

    def add(self, partial: Any) -> bool:
        """Take one piece; whether it could be understood."""
        if not isinstance(partial, Mapping):
            return False
        steps = _steps(partial.get("jsonPath"))
        if not steps or not isinstance(steps[0], str):
            return False
        if "nullValue" in partial:
            return self._put(steps, None)
        for name in _VALUES:
            if name in partial:
                return self._put(steps, partial[name])
        return True

    def _put(self, steps: Steps, value: Any) -> bool:
        place: Any = self.value
        for number, step in enumerate(steps):
            last = number + 1 == len(steps)
            empty: Any = None if last else [] if isinstance(steps[number + 1], int) else {}
            if not _has_room(place, step):
                return False
            if not last:
                known = _at(place, step)
                if not isinstance(known, type(empty)):
                    _set(place, step, empty)
                place = _at(place, step)
                continue
            known = _at(place, step)
            _set(place, step, known + value if isinstance(known, str) and isinstance(value, str) else value)
        return True


def _steps(path: Any) -> Steps:
    """A JSON path (RFC 9535) as names and positions; empty when it is none of the simple ones."""
    if not isinstance(path, str) or not path.startswith("$"):
        return []
    steps: Steps = []
    position = 1
    while position < len(path):
        match = _STEP.match(path, position)
        if match is None:
            return []
        quoted = match[3] if match[3] is not None else match[4]
        if match[2] is not None:
            steps.append(int(match[2]))
        else:
            steps.append(match[1] if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        position = match.end()
    return steps


def _has_room(place: Any, step: str | int) -> bool:
    if isinstance(place, list):
        return isinstance(step, int) and step <= len(place) + LONGEST_GAP
    return isinstance(step, str)


def _at(place: Any, step: Any) -> Any:
    if isinstance(place, list):
        return place[step] if step < len(place) else None
    return place.get(step)


def _set(place: Any, step: Any, value: Any) -> None:
    if isinstance(place, list):
        place.extend([None] * (step + 1 - len(place)))
    place[step] = value
