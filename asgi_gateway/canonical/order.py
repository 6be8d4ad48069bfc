"""Puts overlapping parts one behind the other, for dialects whose streams know one open part at a time.

```python
from asgi_gateway.canonical import InOrder, PartClosed, PartOpened, ToolCallDelta

order = InOrder()
events = [
    PartOpened(0, "tool_call", id="a", name="f"),
    PartOpened(1, "tool_call", id="b", name="g"),
    ToolCallDelta(1, "{}"),
    ToolCallDelta(0, "{}"),
    PartClosed(0),
    PartClosed(1),
]
given = [event for event in order.feed(events)]
assert [event.index for event in given] == [0, 0, 0, 1, 1, 1]
```
"""

from collections.abc import Iterable

from asgi_gateway.canonical.events import (
    Event,
    Failed,
    PartClosed,
    PartGiven,
    PartOpened,
    Started,
    Stopped,
    UsageReported,
)

__all__ = ["InOrder"]


class InOrder:
    """One response's events of one choice, part after part.

    What belongs to a part that is not the open one waits until that one is closed. Other choices' events are dropped;
    `dropped_choices` tells of it. `Stopped` closes what is still open.
    """

    __slots__ = ("_choice", "_open", "_waiting", "dropped_choices")

    def __init__(self, choice: int = 0) -> None:
        self._choice = choice
        self._open = -1
        self._waiting: dict[int, list[Event]] = {}
        self.dropped_choices = False

    def feed(self, events: Iterable[Event]) -> list[Event]:
        """Take events, give back those whose turn it is."""
        given: list[Event] = []
        for event in events:
            match event:
                case PartOpened():
                    self._opened(event, given)
                case PartGiven():
                    self._whole(event, given)
                case PartClosed():
                    self._closed(event, given)
                case Stopped():
                    if event.choice == self._choice:
                        self._flush(given)
                        given.append(event)
                    else:
                        self.dropped_choices = True
                case Failed():
                    self._flush(given)
                    given.append(event)
                case Started() | UsageReported():
                    given.append(event)
                case _:
                    if event.index == self._open:
                        given.append(event)
                    elif event.index in self._waiting:
                        self._waiting[event.index].append(event)
        return given

    def _opened(self, event: PartOpened, given: list[Event]) -> None:
        if event.choice != self._choice:
            self.dropped_choices = True
        elif self._open < 0:
            self._open = event.index
            given.append(event)
        else:
            self._waiting[event.index] = [event]

    def _whole(self, event: PartGiven, given: list[Event]) -> None:
        if event.choice != self._choice:
            self.dropped_choices = True
        elif self._open < 0:
            given.append(event)
        else:
            self._waiting[event.index] = [event]

    def _closed(self, event: PartClosed, given: list[Event]) -> None:
        if event.index in self._waiting:
            self._waiting[event.index].append(event)
        elif event.index == self._open:
            given.append(event)
            self._open = -1
            self._advance(given)

    def _advance(self, given: list[Event]) -> None:
        """The next that waits becomes the open one; what is already whole goes out at once."""
        while self._open < 0 and self._waiting:
            index = min(self._waiting)
            events = self._waiting.pop(index)
            given.extend(events)
            if not isinstance(events[-1], PartClosed | PartGiven):
                self._open = index

    def _flush(self, given: list[Event]) -> None:
        """Close what is open, in order."""
        while self._open >= 0:
            given.append(PartClosed(self._open))
            self._open = -1
            self._advance(given)
