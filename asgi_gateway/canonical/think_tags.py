"""Reasoning as text between `<think>` tags, and such text as reasoning again.

Some clients can only show content; some open models write their reasoning into it. Both are changes of events, so
they hold for every dialect, streamed and plain.

```python
from asgi_gateway.canonical import TagsToThinking, TextDelta, PartOpened, ThinkingDelta

split = TagsToThinking()
given = split.feed([PartOpened(0, "text"), TextDelta(0, "<think>why</think>because")])
assert [event for event in given if isinstance(event, ThinkingDelta)] == [ThinkingDelta(0, "why")]
```
"""

from collections.abc import Sequence
from enum import Enum

import msgspec

from asgi_gateway.canonical.events import (
    CitationGiven,
    Event,
    Failed,
    LogprobsGiven,
    OpenKind,
    PartClosed,
    PartGiven,
    PartOpened,
    SignatureDelta,
    Started,
    Stopped,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
    UsageReported,
)

__all__ = ["TagsToThinking", "ThinkingToText"]

_Inside = TextDelta | ThinkingDelta | SignatureDelta | ToolCallDelta | CitationGiven | LogprobsGiven | PartClosed
"""What has an index."""

OPEN = "<think>"
CLOSE = "</think>"


class ThinkingToText:
    """Puts each thinking text into the content: `<think>`, a line, the text, a line, `</think>`, a line.

    It becomes a text part of its own, in front of what it led to. Seals and probabilities go: content has
    no place for them.
    Thinking without a text (encrypted, redacted) disappears.
    """

    __slots__ = ("_open",)

    def __init__(self) -> None:
        self._open: dict[int, PartOpened | None] = {}  # thinking parts; None once their text has begun

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The events, thinking made text."""
        given: list[Event] = []
        for event in events:
            match event:
                case PartOpened(kind="thinking"):
                    self._open[event.index] = event
                case ThinkingDelta():
                    opened = self._open.get(event.index)
                    if opened is not None:
                        self._open[event.index] = None
                        given.append(PartOpened(event.index, "text", opened.choice))
                        given.append(TextDelta(event.index, f"{OPEN}\n{event.text}"))
                    else:
                        given.append(TextDelta(event.index, event.text))
                case SignatureDelta() | LogprobsGiven() if event.index in self._open:
                    pass
                case PartClosed() if event.index in self._open:
                    if self._open.pop(event.index) is None:
                        given += [TextDelta(event.index, f"\n{CLOSE}\n"), event]
                case _:
                    given.append(event)
        return given


class TagsToThinking:
    """Splits a text that begins with `<think>` into reasoning and the rest.

    Only at the beginning of an answer's first text (behind white space): a model that writes about the tags later is
    quoted, not split. Without an end the whole text is reasoning. White space around the tags goes.
    Indexes are counted anew, for a split part becomes two.
    """

    __slots__ = ("_indexes", "_next", "_splits")

    def __init__(self) -> None:
        self._indexes: dict[int, int] = {}
        self._next = 0
        self._splits: dict[int, _Split] = {}  # by choice

    def feed(self, events: Sequence[Event]) -> list[Event]:
        """The events, tagged text made thinking."""
        given: list[Event] = []
        for event in events:
            match event:
                case PartOpened():
                    self._opened(event, given)
                case PartGiven():
                    self._indexes[event.index] = self._new()
                    given.append(PartGiven(self._indexes[event.index], event.part, event.choice))
                case TextDelta() | PartClosed() if (split := self._split_of(event.index)) is not None:
                    if isinstance(event, TextDelta):
                        self._text(split, event.text, given)
                    else:
                        self._end(split, given)
                        given.append(PartClosed(self._indexes[event.index]))
                case Stopped():
                    open_split = self._splits.get(event.choice)
                    if open_split is not None and open_split.stage is not _Stage.DONE:
                        self._end(open_split, given)
                    given.append(event)
                case Started() | UsageReported() | Failed():
                    given.append(event)
                case _:
                    split = self._split_of(event.index)
                    if split is not None and split.stage is _Stage.BEGINNING:
                        split.waiting.append(event)  # its part is not opened yet
                    else:
                        given.append(msgspec.structs.replace(event, index=self._indexes[event.index]))
        return given

    def _new(self) -> int:
        self._next += 1
        return self._next - 1

    def _opened(self, event: PartOpened, given: list[Event]) -> None:
        index = self._indexes[event.index] = self._new()
        if event.kind == "text" and event.choice not in self._splits:
            self._splits[event.choice] = _Split(event)  # opened once it is known as what
            return
        given.append(PartOpened(index, event.kind, event.choice, event.id, event.name, event.custom))

    def _split_of(self, index: int) -> "_Split | None":
        for split in self._splits.values():
            if split.opened.index == index and split.stage is not _Stage.DONE:
                return split
        return None

    def _text(self, split: "_Split", text: str, given: list[Event]) -> None:
        split.held += text
        if split.stage is _Stage.BEGINNING:
            self._begin(split, given)
        if split.stage is _Stage.THINKING:
            self._think(split, given)
        if split.stage is _Stage.BEHIND and (rest := split.held.lstrip()):
            split.stage = _Stage.DONE
            given.append(TextDelta(self._indexes[split.opened.index], rest))

    def _begin(self, split: "_Split", given: list[Event]) -> None:
        """Tell a tag from a text, as soon as it can be told."""
        begun = split.held.lstrip()
        if len(begun) < len(OPEN) and OPEN.startswith(begun):
            return
        if begun.startswith(OPEN):
            split.stage = _Stage.THINKING
            split.held = begun[len(OPEN) :]
            self._open(split, "thinking", given)
        else:
            split.stage = _Stage.DONE
            self._open(split, "text", given)
            given.append(TextDelta(self._indexes[split.opened.index], split.held))

    def _open(self, split: "_Split", kind: OpenKind, given: list[Event]) -> None:
        """Open the part as what it is, and give out what came for it before that was known."""
        index = self._indexes[split.opened.index]
        given.append(PartOpened(index, kind, split.opened.choice))
        given += [msgspec.structs.replace(event, index=index) for event in split.waiting]
        split.waiting.clear()

    def _think(self, split: "_Split", given: list[Event]) -> None:
        """Give out the thought so far; what may belong to the end's tag, or is white space before it, waits."""
        if not split.begun:
            split.held = split.held.lstrip()
        thought, tag, rest = split.held.partition(CLOSE)
        keep = len(thought.rstrip())
        if not tag:
            for size in range(min(len(CLOSE) - 1, keep), 0, -1):
                if thought[:keep].endswith(CLOSE[:size]):
                    keep = len(thought[: keep - size].rstrip())
                    break
        index = self._indexes[split.opened.index]
        if keep:
            split.begun = True
            given.append(ThinkingDelta(index, thought[:keep]))
        if not tag:
            split.held = thought[keep:]
            return
        given.append(PartClosed(index))
        index = self._indexes[split.opened.index] = self._new()
        given.append(PartOpened(index, "text", split.opened.choice))
        split.stage, split.held = _Stage.BEHIND, rest

    def _end(self, split: "_Split", given: list[Event]) -> None:
        """The part ended before it was known as what, inside its thinking, or right behind it."""
        index = self._indexes[split.opened.index]
        if split.stage is _Stage.THINKING and split.held.rstrip():
            given.append(ThinkingDelta(index, split.held.rstrip()))
        elif split.stage is _Stage.BEGINNING:
            self._open(split, "text", given)
            if split.held:
                given.append(TextDelta(index, split.held))
        split.stage = _Stage.DONE


class _Stage(Enum):
    BEGINNING = 0
    THINKING = 1
    BEHIND = 2
    DONE = 3


class _Split:
    """The first text of a choice."""

    __slots__ = ("begun", "held", "opened", "stage", "waiting")

    def __init__(self, opened: PartOpened) -> None:
        self.opened = opened
        self.held = ""
        self.stage = _Stage.BEGINNING
        self.begun = False
        self.waiting: list[_Inside] = []
