"""Whether a sequence of events is one that readers owe and writers may rely on."""

from collections.abc import Sequence

from asgi_gateway.canonical import (
    Event,
    Failed,
    PartClosed,
    PartGiven,
    PartOpened,
    Started,
    Stopped,
    UsageReported,
)

__all__ = ["malformed"]


def malformed(events: Sequence[Event]) -> str:
    """What is wrong with a sequence of events; empty for a well-formed one."""
    open_parts: set[int] = set()
    stopped: set[int] = set()
    count = 0
    for number, event in enumerate(events):
        wrong = ""
        match event:
            case Started():
                wrong = "started late" if number else ""
            case PartOpened() | PartGiven():
                wrong = f"index {event.index}" if event.index != count or event.choice in stopped else ""
                count += 1
                if isinstance(event, PartOpened):
                    open_parts.add(event.index)
            case PartClosed():
                wrong = "" if event.index in open_parts else "closed what was not open"
                open_parts.discard(event.index)
            case Stopped():
                wrong = "stopped twice" if event.choice in stopped else ""
                stopped.add(event.choice)
            case Failed():
                wrong = "" if number == len(events) - 1 else "failed in the middle"
            case UsageReported():
                pass
            case _:
                wrong = "" if event.index in open_parts else f"inside of nothing: {event}"
        if wrong:
            return f"event {number}: {wrong}"
    ended = bool(events) and isinstance(events[-1], Failed)
    return "" if ended or (stopped and not open_parts) else f"no end: {open_parts} open, {stopped} stopped"
