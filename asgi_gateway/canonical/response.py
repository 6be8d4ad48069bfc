"""A whole response: events folded, and unfolded again."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from asgi_gateway.canonical import events as e
from asgi_gateway.canonical.parts import Citation, Part, Refusal, Text, Thinking, ToolCall
from asgi_gateway.canonical.seals import Seal
from asgi_gateway.canonical.usage import Usage

__all__ = ["ChatResponse", "Choice", "collect", "unfold"]


class Choice(Struct, frozen=True, kw_only=True):
    """One answer. `stopped` is None when the response broke off before."""

    parts: tuple[Part, ...] = ()
    stopped: e.Stopped | None = None
    logprobs: tuple[e.TokenLogprob, ...] | None = None


class ChatResponse(Struct, frozen=True, kw_only=True):
    """Everything that a response said. `usage` None: it said none, which differs from zero."""

    started: e.Started = e.Started()
    choices: tuple[Choice, ...] = ()
    usage: Usage | None = None
    failed: e.Failed | None = None


class _Open:
    """A part that is being put together."""

    __slots__ = ("choice", "citations", "opened", "pieces", "seal")

    def __init__(self, opened: e.PartOpened) -> None:
        self.opened = opened
        self.pieces: list[str] = []
        self.citations: list[Citation] = []
        self.seal: Seal | None = None

    def part(self) -> Part:
        text, opened = "".join(self.pieces), self.opened
        if opened.kind == "text":
            return Text(text, tuple(self.citations), None, self.seal)
        if opened.kind == "refusal":
            return Refusal(text)
        if opened.kind == "thinking":
            return Thinking(text, self.seal, opened.id)
        return ToolCall(id=opened.id, name=opened.name, arguments=text, custom=opened.custom, seal=self.seal)


class _Fold:
    """Events on their way to a response."""

    def __init__(self) -> None:
        self.open: dict[int, _Open] = {}
        self.parts: dict[int, dict[int, _Open | Part]] = {}
        self.logprobs: dict[int, list[e.TokenLogprob]] = {}

    def add(self, event: e.Event) -> None:
        """Take an event that belongs to a part."""
        match event:
            case e.TextDelta() | e.ThinkingDelta():
                self.open[event.index].pieces.append(event.text)
            case e.ToolCallDelta():
                self.open[event.index].pieces.append(event.arguments)
            case e.PartOpened():
                opened = self.open[event.index] = _Open(event)
                self.parts.setdefault(event.choice, {})[event.index] = opened
            case e.SignatureDelta():
                self.open[event.index].seal = event.seal
            case e.CitationGiven():
                self.open[event.index].citations.append(event.citation)
            case e.LogprobsGiven():
                choice = self.open[event.index].opened.choice
                self.logprobs.setdefault(choice, []).extend(event.tokens)
            case e.PartGiven():
                self.parts.setdefault(event.choice, {})[event.index] = event.part

    def choice(self, number: int, stopped: e.Stopped | None) -> Choice:
        """One choice as it is so far."""
        parts = sorted(self.parts.get(number, {}).items())
        return Choice(
            parts=tuple(part.part() if isinstance(part, _Open) else part for _, part in parts),
            stopped=stopped,
            logprobs=tuple(self.logprobs[number]) if number in self.logprobs else None,
        )


def collect(events: Iterable[e.Event]) -> ChatResponse:
    """Fold a well-formed sequence of events. Parts stand in the order of their index; an open one counts as it is."""
    started, usage, failed = e.Started(), None, None
    stops: dict[int, e.Stopped] = {}
    fold = _Fold()
    for event in events:
        match event:
            case e.UsageReported():
                usage = event.usage
            case e.Stopped():
                stops[event.choice] = event
            case e.Started():
                started = event
            case e.Failed():
                failed = event
            case _:
                fold.add(event)
    count = max((*fold.parts, *stops), default=-1) + 1
    choices = tuple(fold.choice(number, stops.get(number)) for number in range(count))
    return ChatResponse(started=started, choices=choices, usage=usage, failed=failed)


def unfold(response: ChatResponse) -> Iterator[e.Event]:
    """The events of a whole response: `collect(unfold(response)) == response`, but for logprobs without any part."""
    yield response.started
    index = 0
    for number, choice in enumerate(response.choices):
        logprobs = choice.logprobs
        for part in choice.parts:
            *events, last = _events_of(part, index, number)
            yield from events
            if logprobs is not None and isinstance(last, e.PartClosed):
                yield e.LogprobsGiven(index, logprobs)
                logprobs = None
            yield last
            index += 1
        if choice.stopped is not None:
            yield choice.stopped
    if response.usage is not None:
        yield e.UsageReported(response.usage)
    if response.failed is not None:
        yield response.failed


def _events_of(part: Part, index: int, choice: int) -> Iterator[e.Event]:
    seal = None
    match part:
        case Text():
            yield e.PartOpened(index, "text", choice)
            if part.text:
                yield e.TextDelta(index, part.text)
            for citation in part.citations:
                yield e.CitationGiven(index, citation)
            seal = part.seal
        case Refusal():
            yield e.PartOpened(index, "refusal", choice)
            yield e.TextDelta(index, part.text)
        case Thinking():
            yield e.PartOpened(index, "thinking", choice, part.id)
            if part.text:
                yield e.ThinkingDelta(index, part.text)
            seal = part.seal
        case ToolCall():
            yield e.PartOpened(index, "tool_call", choice, part.id, part.name, part.custom)
            if part.seal is not None:  # before the arguments: who renames sealed calls must know it by then
                yield e.SignatureDelta(index, part.seal)
            if part.arguments:
                yield e.ToolCallDelta(index, part.arguments)
        case _:
            yield e.PartGiven(index, part, choice)
            return
    if seal is not None:
        yield e.SignatureDelta(index, seal)
    yield e.PartClosed(index)
