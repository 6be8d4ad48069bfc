"""The machines that stand between reader and writer change what they say they change, and nothing else."""

import msgspec
from hypothesis import given

from asgi_gateway.canonical import (
    ChatRequest,
    ChatResponse,
    Event,
    Keeper,
    Losses,
    TagsToThinking,
    Text,
    Thinking,
    ThinkingToText,
    ToolCall,
    Turn,
    collect,
    is_kept_id,
    restore,
    unfold,
    wanted,
)
from asgi_gateway.canonical.parts import Part
from support.canonical_strategies import events, responses


def numbered() -> str:
    numbered.last = getattr(numbered, "last", 0) + 1  # type: ignore[attr-defined]  # a counter without a class
    return f"{numbered.last:016d}"  # type: ignore[attr-defined]  # likewise


def kept(told: list[Event]) -> tuple[ChatResponse, Keeper]:
    keeper = Keeper(numbered)
    out = [event for one in told for event in keeper.feed([one])]
    return collect(out), keeper


def nameless(response: ChatResponse) -> ChatResponse:
    """Without the ids of calls."""
    choices = [
        msgspec.structs.replace(
            choice,
            parts=tuple(
                msgspec.structs.replace(part, id="") if isinstance(part, ToolCall) else part for part in choice.parts
            ),
        )
        for choice in response.choices
    ]
    return msgspec.structs.replace(response, choices=tuple(choices))


@given(events(choices=2))
def test_keeping_seals_changes_nothing_but_ids(told: tuple[ChatResponse, list[Event]]) -> None:
    """Whatever overlaps: every text, argument, seal and probability comes through."""
    response, given_events = told
    out, keeper = kept(given_events)
    assert nameless(out) == nameless(response)
    ids = {part.id for choice in out.choices for part in choice.parts if isinstance(part, ToolCall)}
    assert {id for id in ids if is_kept_id(id)} == set(keeper.records)


@given(responses(choices=1))
def test_a_client_that_drops_all_seals_gets_them_back_with_its_calls(response: ChatResponse) -> None:
    """It sends texts and calls alone; what a record knows is put in its place again."""
    out, keeper = kept(list(unfold(response)))
    back: list[Part] = []
    for part in out.choices[0].parts:
        if isinstance(part, Text):
            back.append(Text(part.text))
        elif isinstance(part, ToolCall):
            back.append(msgspec.structs.replace(part, seal=None))
    request = ChatRequest(model="m", turns=(Turn("assistant", tuple(back)),))
    losses = Losses("request")
    assert set(wanted(request)) == set(keeper.records)
    whole = restore(request, keeper.records, losses).turns[0].parts
    assert not losses
    calls = [part for part in response.choices[0].parts if isinstance(part, ToolCall)]
    assert [part for part in whole if isinstance(part, ToolCall)] == calls
    before: list[Thinking] = []
    expected: list[Thinking] = []
    for part in response.choices[0].parts:
        if isinstance(part, Thinking):
            before.append(part)
        elif isinstance(part, ToolCall):
            if part.seal is not None or any(thought.seal is not None for thought in before):
                expected += before
            before = []
    assert [part for part in whole if isinstance(part, Thinking)] == expected


def texts(response: ChatResponse) -> list[str]:
    return [
        "".join(part.text for part in choice.parts if isinstance(part, Text | Thinking)) for choice in response.choices
    ]


@given(events(choices=2))
def test_thinking_as_text_loses_no_letter(told: tuple[ChatResponse, list[Event]]) -> None:
    """The same texts stand there, between tags; no thinking is left."""
    response, given_events = told
    machine = ThinkingToText()
    out = collect(event for one in given_events for event in machine.feed([one]))
    assert not [part for choice in out.choices for part in choice.parts if isinstance(part, Thinking)]
    plain = [text.replace("<think>\n", "").replace("\n</think>\n", "") for text in texts(out)]
    assert plain == texts(response)
    assert [choice.stopped for choice in out.choices] == [choice.stopped for choice in response.choices]


@given(events(choices=2))
def test_answers_without_tags_are_not_split(told: tuple[ChatResponse, list[Event]]) -> None:
    """Whatever overlaps, the answer is the same."""
    response, given_events = told
    machine = TagsToThinking()
    out = collect(event for one in given_events for event in machine.feed([one]))
    assert out == response
