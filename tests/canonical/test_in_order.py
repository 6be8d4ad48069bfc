"""Overlapping parts come out one behind the other, and nothing of them is lost."""

from hypothesis import given

from asgi_gateway.canonical import (
    ChatResponse,
    Event,
    Failed,
    InOrder,
    Native,
    PartClosed,
    PartGiven,
    PartOpened,
    Started,
    Stopped,
    TextDelta,
    ToolCallDelta,
    Usage,
    UsageReported,
    collect,
)
from asgi_gateway.errors import MalformedUpstream
from support.canonical_strategies import events


def one_by_one(order: InOrder, told: list[Event]) -> list[Event]:
    return [event for one in told for event in order.feed([one])]


def is_in_order(given_events: list[Event]) -> bool:
    """At most one part is open, and everything of a part comes while it is."""
    current = -1
    for event in given_events:
        match event:
            case PartOpened():
                if current >= 0:
                    return False
                current = event.index
            case PartClosed():
                if current != event.index:
                    return False
                current = -1
            case PartGiven():
                if current >= 0:
                    return False
            case Started() | UsageReported() | Stopped() | Failed():
                pass
            case _:
                if current != event.index:
                    return False
    return current == -1


@given(events())
def test_any_interleaving_comes_out_in_order(told: tuple[ChatResponse, list[Event]]) -> None:
    """However parts overlap: in order, whole, and the same answer; all at once or one by one."""
    response, given_events = told
    order = InOrder()
    out = one_by_one(order, given_events)
    assert is_in_order(out)
    assert collect(out) == response
    assert not order.dropped_choices
    assert InOrder().feed(given_events) == out


@given(events(choices=3))
def test_only_one_choice_is_told(told: tuple[ChatResponse, list[Event]]) -> None:
    """The others are dropped, and that is said."""
    response, given_events = told
    order = InOrder()
    out = one_by_one(order, given_events)
    assert is_in_order(out)
    assert collect(out).choices == response.choices[:1]
    assert order.dropped_choices == (len(response.choices) > 1)


def test_a_later_choice_can_be_the_one() -> None:
    """Its parts come though they are not the first."""
    told: list[Event] = [
        PartOpened(0, "text", 0),
        PartOpened(1, "text", 1),
        PartGiven(2, Native("d", "f", 1), 0),
        TextDelta(1, "b"),
        TextDelta(0, "a"),
        PartClosed(0),
        PartClosed(1),
        Stopped("stop", 0),
        Stopped("stop", 1),
    ]
    order = InOrder(1)
    expected = [PartOpened(1, "text", 1), TextDelta(1, "b"), PartClosed(1), Stopped("stop", 1)]
    assert order.feed(told) == expected
    assert order.dropped_choices


def test_the_open_part_is_told_at_once() -> None:
    """Waiting is for the others."""
    order = InOrder()
    assert order.feed([PartOpened(0, "text"), PartOpened(1, "tool_call")]) == [PartOpened(0, "text")]
    assert order.feed([ToolCallDelta(1, "{"), TextDelta(0, "a")]) == [TextDelta(0, "a")]
    assert order.feed([UsageReported(Usage())]) == [UsageReported(Usage())]
    assert order.feed([PartClosed(0)]) == [PartClosed(0), PartOpened(1, "tool_call"), ToolCallDelta(1, "{")]
    assert order.feed([ToolCallDelta(1, "}"), PartClosed(1)]) == [ToolCallDelta(1, "}"), PartClosed(1)]


def test_what_is_open_at_the_end_is_closed() -> None:
    """By a stop or by a failure; what waits comes too, and is closed in its turn."""
    told: list[Event] = [
        PartOpened(0, "text"),
        PartOpened(1, "tool_call"),
        PartGiven(2, Native("d", "f", 1)),
        PartOpened(3, "text"),
        PartClosed(3),
    ]
    failed = Failed(MalformedUpstream("cut"))
    for end in (Stopped("stop"), failed):
        out = InOrder().feed([*told, end])
        assert out == [
            PartOpened(0, "text"),
            PartClosed(0),
            PartOpened(1, "tool_call"),
            PartClosed(1),
            PartGiven(2, Native("d", "f", 1)),
            PartOpened(3, "text"),
            PartClosed(3),
            end,
        ]


def test_what_was_never_opened_is_not_told() -> None:
    """Even a malformed sequence comes out well formed."""
    assert InOrder().feed([TextDelta(4, "x"), PartClosed(4), Stopped("stop")]) == [Stopped("stop")]
