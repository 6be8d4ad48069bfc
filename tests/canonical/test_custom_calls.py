"""Free-text tools that were shown as functions."""

import pytest

from asgi_gateway.canonical import (
    CustomCalls,
    Event,
    PartClosed,
    PartOpened,
    Started,
    Stopped,
    ToolCall,
    ToolCallDelta,
    collect,
    wrap_input,
)


def called(name: str, *pieces: str, custom: bool = False) -> list[Event]:
    deltas = [ToolCallDelta(0, piece) for piece in pieces]
    opened = PartOpened(0, "tool_call", 0, "c", name, custom)
    return [Started(), opened, *deltas, PartClosed(0), Stopped("tool_calls")]


def fed(events: list[Event]) -> ToolCall:
    calls = CustomCalls({"patch"})
    (part,) = collect([out for event in events for out in calls.feed([event])]).choices[0].parts
    assert isinstance(part, ToolCall)
    return part


@pytest.mark.parametrize("text", ['*** Begin\n"x"', "", "ü\u0000"])
def test_the_text_comes_out_as_it_was_meant(text: str) -> None:
    """In whatever pieces the arguments came."""
    assert fed(called("patch", *wrap_input(text))) == ToolCall(id="c", name="patch", arguments=text, custom=True)


@pytest.mark.parametrize("arguments", ['{"input": "cut', '{"other": 1}', "plain", '{"input": 7}'])
def test_what_is_no_such_object_is_given_as_it_came(arguments: str) -> None:
    """Nothing is lost."""
    assert fed(called("patch", arguments)).arguments == arguments


def test_other_calls_pass() -> None:
    """Functions of the caller's, and calls that are custom already."""
    assert fed(called("f", "{}")) == ToolCall(id="c", name="f", arguments="{}")
    assert fed(called("patch", "raw", custom=True)) == ToolCall(id="c", name="patch", arguments="raw", custom=True)


def test_a_call_that_is_never_closed_ends_with_its_choice() -> None:
    """What came of it is given."""
    events = [event for event in called("patch", '{"input":"x"}') if not isinstance(event, PartClosed)]
    assert fed(events).arguments == "x"
