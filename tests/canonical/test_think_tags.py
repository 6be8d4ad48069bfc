"""Reasoning becomes content between tags, and such content reasoning; what else passes is unchanged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.canonical import (
    Event,
    Failed,
    PartClosed,
    PartGiven,
    PartOpened,
    Seal,
    SignatureDelta,
    Started,
    Stopped,
    TagsToThinking,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ThinkingToText,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReported,
    collect,
)
from asgi_gateway.canonical.parts import Native, Part
from asgi_gateway.errors import MalformedUpstream

SEAL = Seal(maker="anthropic", kind="signature", data="abc")


def texts(*pieces: str) -> list[Event]:
    """A whole answer of one text, in pieces."""
    deltas = [TextDelta(0, piece) for piece in pieces]
    return [Started("r", "m"), PartOpened(0, "text"), *deltas, PartClosed(0), Stopped("stop"), UsageReported(Usage())]


def split(events: list[Event]) -> tuple[Part, ...]:
    """The parts that come out when each event is fed alone."""
    machine = TagsToThinking()
    given = [out for event in events for out in machine.feed([event])]
    indexes = [event.index for event in given if isinstance(event, PartOpened | PartGiven)]
    assert indexes == list(range(len(indexes)))
    return collect(given).choices[0].parts


@pytest.mark.parametrize(
    ("pieces", "parts"),
    [
        (["<think>why</think>because"], (Thinking("why"), Text("because"))),
        (["<think>\nwhy\n</think>\n\nbecause"], (Thinking("why"), Text("because"))),
        (["\n <th", "ink> w", "hy </", "think>", "\n\n", " be", " cause"], (Thinking("why"), Text("be cause"))),
        (["<think>a < b </thin king </think>c"], (Thinking("a < b </thin king"), Text("c"))),
        (["<think>never ends "], (Thinking("never ends"),)),
        (["<think>", "cut </thi"], (Thinking("cut </thi"),)),
        (["<think></think>x"], (Thinking(""), Text("x"))),
        (["<think>only</think>"], (Thinking("only"), Text(""))),
        (["<thi"], (Text("<thi"),)),
        ([], (Text(""),)),
        (["say <think>x</think>"], (Text("say <think>x</think>"),)),
        (["<thought>x"], (Text("<thought>x"),)),
    ],
)
def test_only_a_tag_at_the_beginning_splits(pieces: list[str], parts: tuple[Part, ...]) -> None:
    """White space around the tags goes; a text that only mentions them stays."""
    assert split(texts(*pieces)) == parts


@given(
    thought=st.text(alphabet="ab </thinkx\n", max_size=30).filter(lambda text: "</think>" not in text + "<"),
    answer=st.text(alphabet="ab <think>/\n", max_size=30),
    cuts=st.lists(st.integers(0, 80), max_size=10),
)
def test_where_the_pieces_are_cut_does_not_matter(thought: str, answer: str, cuts: list[int]) -> None:
    """The same parts come out of the same text."""
    whole = f"<think>{thought}</think>{answer}"
    places = sorted(min(cut, len(whole)) for cut in cuts)
    pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    assert split(texts(*pieces)) == split(texts(whole)) == (Thinking(thought.strip()), Text(answer.lstrip()))


def test_other_parts_keep_their_content_under_new_indexes() -> None:
    """A split part takes two indexes; those behind it move."""
    native = Native("x", "y", 1)
    events: list[Event] = [
        Started("r", "m"),
        PartOpened(0, "text"),
        TextDelta(0, "<think>t</think>u"),
        PartClosed(0),
        PartGiven(1, native),
        PartOpened(2, "tool_call", 0, "c", "f"),
        ToolCallDelta(2, "{}"),
        SignatureDelta(2, SEAL),
        PartClosed(2),
        PartOpened(3, "text"),
        TextDelta(3, "<think>quoted</think>"),
        PartClosed(3),
        Stopped("tool_calls"),
    ]
    call = ToolCall(id="c", name="f", arguments="{}", seal=SEAL)
    assert split(events) == (Thinking("t"), Text("u"), native, call, Text("<think>quoted</think>"))


def test_a_text_that_is_never_closed_ends_with_its_choice() -> None:
    """`Stopped` ends what is held."""
    events = [Started(), PartOpened(0, "text"), TextDelta(0, "<th"), Stopped("length")]
    assert split(events) == (Text("<th"),)


def test_a_failure_passes() -> None:
    """It says nothing of parts."""
    failed = Failed(MalformedUpstream("cut"))
    assert TagsToThinking().feed([failed]) == [failed]


def test_each_choice_has_its_own_beginning() -> None:
    """Two answers, both split."""
    events: list[Event] = [Started()]
    for choice in (0, 1):
        events += [
            PartOpened(choice, "text", choice),
            TextDelta(choice, f"<think>{choice}</think>x"),
            PartClosed(choice),
            Stopped("stop", choice),
        ]
    folded = collect(TagsToThinking().feed(events))
    assert [choice.parts for choice in folded.choices] == [(Thinking(str(n)), Text("x")) for n in (0, 1)]


def test_thinking_becomes_content_between_tags() -> None:
    """Streamed, with its signature gone and the rest as it was."""
    events: list[Event] = [
        Started(),
        PartOpened(0, "thinking"),
        ThinkingDelta(0, "a"),
        ThinkingDelta(0, "b"),
        SignatureDelta(0, SEAL),
        PartClosed(0),
        PartOpened(1, "thinking"),
        SignatureDelta(1, SEAL),
        PartClosed(1),
        PartOpened(2, "text"),
        TextDelta(2, "c"),
        SignatureDelta(2, SEAL),
        PartClosed(2),
        Stopped("stop"),
    ]
    given = ThinkingToText().feed(events)
    assert collect(given).choices[0].parts == (Text("<think>\nab\n</think>\n"), Text("c", seal=SEAL))
    assert split([*given[:7], PartOpened(9, "text"), TextDelta(9, "c"), Stopped("stop")])[0] == Thinking("ab")
