"""Calls of tools that take free text, where the model could only be shown functions.

Dialects without such tools show one as a function with a single text, `input`. What the model then calls is a function,
and its arguments are JSON: this turns it back into the call that the caller knows.

```python
from asgi_gateway.canonical import CustomCalls, PartClosed, PartOpened, ToolCallDelta

calls = CustomCalls({"patch"})
given = calls.feed([PartOpened(0, "tool_call", id="c", name="patch"), ToolCallDelta(0, '{"input": "x'), PartClosed(0)])
assert given[1] == ToolCallDelta(0, '{"input": "x')      # broken JSON is given as it came
```
"""

from collections.abc import Container, Sequence

import msgspec

from asgi_gateway.canonical.events import Event, PartClosed, PartOpened, Stopped, ToolCallDelta

__all__ = ["CustomCalls", "wrap_input"]


class _Input(msgspec.Struct):
    input: str


_decoder = msgspec.json.Decoder(_Input)


def wrap_input(text: str) -> str:
    """The arguments of the function that stands for a free-text tool."""
    return msgspec.json.encode(_Input(text)).decode()


class CustomCalls:
    """Turns calls of the functions of these names into calls with free text. Their arguments are held to their end."""

    __slots__ = ("_held", "_names")

    def __init__(self, names: Container[str]) -> None:
        self._names = names
        self._held: dict[int, tuple[PartOpened, list[str]]] = {}

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The events, such calls made custom."""
        given: list[Event] = []
        for event in events:
            match event:
                case PartOpened(kind="tool_call", custom=False) if event.name in self._names:
                    self._held[event.index] = (event, [])
                    given.append(PartOpened(event.index, "tool_call", event.choice, event.id, event.name, True))
                case ToolCallDelta() if event.index in self._held:
                    self._held[event.index][1].append(event.arguments)
                case PartClosed() if event.index in self._held:
                    self._release(event.index, given)
                    given.append(event)
                case Stopped():
                    for index in [index for index, (opened, _) in self._held.items() if opened.choice == event.choice]:
                        self._release(index, given)
                    given.append(event)
                case _:
                    given.append(event)
        return given

    def _release(self, index: int, given: list[Event]) -> None:
        arguments = "".join(self._held.pop(index)[1])
        try:
            text = _decoder.decode(arguments).input
        except (ValueError, RecursionError):
            text = arguments  # the model wrote something else: the caller sees it as it is
        if text:
            given.append(ToolCallDelta(index, text))
