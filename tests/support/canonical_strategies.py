"""Arbitrary answers and well-formed sequences of events, for properties of whatever takes them."""

from collections.abc import Iterator

from hypothesis import strategies as st

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    Event,
    HostedCall,
    Inline,
    Media,
    PartClosed,
    PartGiven,
    Refusal,
    Seal,
    Started,
    Stopped,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
    UsageReported,
    unfold,
)
from asgi_gateway.canonical.parts import Part

__all__ = ["events", "parts", "responses", "seals"]

_words = st.text(max_size=12)

seals = st.builds(
    Seal,
    maker=st.sampled_from(["anthropic", "google", "openai"]),
    kind=st.sampled_from(["signature", "redacted", "encrypted"]),
    data=st.text(min_size=1, max_size=20),
)

_citations = st.builds(Citation, kind=st.just("url"), url=_words, title=_words)

_tools = st.builds(
    ToolCall,
    id=st.text("abc123", min_size=1, max_size=6),
    name=st.text("fgh", min_size=1, max_size=4),
    arguments=st.sampled_from(["", "{}", '{"city":"Berlin"}', '{"n": 1.50}']),
    custom=st.just(False),
    seal=st.none() | seals,
)

opened_parts: st.SearchStrategy[Part] = st.one_of(
    st.builds(Text, _words, st.lists(_citations, max_size=2).map(tuple), st.none(), st.none() | seals),
    st.builds(Refusal, _words),
    st.builds(Thinking, _words, st.none() | seals, st.text("abc", max_size=3)),
    _tools,
)
"""What is opened, told in pieces, and closed."""

parts: st.SearchStrategy[Part] = st.one_of(
    opened_parts,
    st.builds(Media, kind=st.just("image"), source=st.just(Inline("image/png", "aGk="))),
    st.builds(HostedCall, id=_words, tool=st.just("web_search")),
)

_logprobs = st.lists(st.builds(TokenLogprob, _words, st.floats(-9, 0)), max_size=3).map(tuple)


@st.composite
def _choice(draw: st.DrawFn, number: int) -> Choice:
    said = tuple(draw(st.lists(parts, max_size=4)))
    some = any(isinstance(part, Text | Refusal | Thinking | ToolCall) for part in said)
    return Choice(
        parts=said,
        stopped=Stopped("stop", number, draw(_words)),
        logprobs=draw(st.none() | _logprobs) if some else None,
    )


@st.composite
def responses(draw: st.DrawFn, *, choices: int = 3) -> ChatResponse:
    """A whole answer of up to so many choices."""
    count = draw(st.integers(1, choices))
    return ChatResponse(
        started=Started(draw(_words), draw(_words), draw(st.integers(0, 2**31))),
        choices=tuple(draw(_choice(number)) for number in range(count)),
        usage=draw(st.none() | st.builds(Usage, input=st.integers(0, 99), output=st.integers(0, 99))),
    )


def _runs(response: ChatResponse) -> Iterator[list[Event]]:
    """The events of each part: in order among themselves, but not with those of others."""
    run: list[Event] = []
    for event in unfold(response):
        run.append(event)
        if isinstance(event, PartClosed | PartGiven):
            yield [told for told in run if not isinstance(told, Started | Stopped)]
            run = []


@st.composite
def events(draw: st.DrawFn, *, choices: int = 1) -> tuple[ChatResponse, list[Event]]:
    """An answer, and any well-formed interleaving of its events."""
    response = draw(responses(choices=choices))
    waiting = list(_runs(response))
    open_runs: list[list[Event]] = []
    given: list[Event] = [response.started]
    while waiting or open_runs:
        if waiting and (not open_runs or draw(st.booleans())):
            open_runs.append(list(waiting.pop(0)))
            given.append(open_runs[-1].pop(0))
        else:
            run = draw(st.sampled_from(open_runs))
            given.append(run.pop(0))
        open_runs = [run for run in open_runs if run]
    given += [choice.stopped for choice in response.choices if choice.stopped is not None]
    if response.usage is not None:
        given.insert(draw(st.integers(1, len(given))), UsageReported(response.usage))
    return response, given
