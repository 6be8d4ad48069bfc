"""Seals survive clients that send back nothing but the ids of tool calls."""

from collections.abc import Callable
from itertools import count

from asgi_gateway.canonical import (
    ChatRequest,
    Event,
    Keeper,
    Keepsake,
    Losses,
    PartClosed,
    PartGiven,
    PartOpened,
    Seal,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Turn,
    is_kept_id,
    kept_ids,
    restore,
    wanted,
)
from asgi_gateway.canonical.keepsakes import RECORD_LIMIT
from asgi_gateway.canonical.parts import Part

SIGNED = Seal(maker="anthropic", kind="signature", data="sig")
OTHER = Seal(maker="google", kind="signature", data="sig2")


def ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: f"{next(numbers):016d}"


def thinking(index: int, text: str, seal: Seal | None) -> list[Event]:
    end: list[Event] = [] if seal is None else [SignatureDelta(index, seal)]
    return [PartOpened(index, "thinking"), ThinkingDelta(index, text), *end, PartClosed(index)]


def call(index: int, id: str, seal: Seal | None = None, *, late: bool = False) -> list[Event]:
    signed: list[Event] = [] if seal is None else [SignatureDelta(index, seal)]
    before, behind = ([], signed) if late else (signed, [])
    return [
        PartOpened(index, "tool_call", 0, id, "f"),
        *before,
        ToolCallDelta(index, "{}"),
        *behind,
        PartClosed(index),
    ]


def fed(events: list[Event]) -> tuple[list[Event], Keeper]:
    keeper = Keeper(ids())
    return [out for event in events for out in keeper.feed([event])], keeper


def opened(events: list[Event]) -> list[str]:
    return [event.id for event in events if isinstance(event, PartOpened) and event.kind == "tool_call"]


def test_calls_behind_sealed_thinking_get_ids_that_name_a_record() -> None:
    """The first has the thinking before it; the second nothing of its own, and keeps its id."""
    given, keeper = fed([Started(), *thinking(0, "why", SIGNED), *call(1, "a"), *call(2, "b"), Stopped("tool_calls")])
    assert opened(given) == ["agw_0000000000000001", "b"]
    assert keeper.records == {"agw_0000000000000001": Keepsake("a", None, (Thinking("why", SIGNED),))}
    assert is_kept_id("agw_0000000000000001")
    assert not is_kept_id("b")


def test_a_call_of_its_own_seal_gets_one_whenever_the_seal_comes() -> None:
    """Before its arguments the record is right at once; a later seal finds the id already given away, or is kept."""
    given, keeper = fed([*call(0, "a", OTHER)])
    assert opened(given) == ["agw_0000000000000001"]
    assert given[1] == SignatureDelta(0, OTHER)
    assert keeper.records == {"agw_0000000000000001": Keepsake("a", OTHER)}
    _, keeper = fed([*thinking(0, "why", SIGNED), *call(1, "a", OTHER, late=True)])
    assert keeper.records == {"agw_0000000000000001": Keepsake("a", OTHER, (Thinking("why", SIGNED),))}
    given, keeper = fed(call(0, "a", OTHER, late=True))
    assert (opened(given), keeper.records) == (["a"], {})


def test_nothing_sealed_changes_nothing() -> None:
    """Thinking without a seal is no reason to rename a call."""
    events = [Started(), *thinking(0, "why", None), *call(1, "a"), Stopped("tool_calls")]
    given, keeper = fed(events)
    assert (given, keeper.records) == (events, {})


def test_thinking_that_comes_whole_is_kept_too() -> None:
    """Redacted blocks, for instance."""
    whole = Thinking("", Seal(maker="anthropic", kind="redacted", data="x"))
    _, keeper = fed([PartGiven(0, whole), *call(1, "a")])
    assert keeper.records == {"agw_0000000000000001": Keepsake("a", None, (whole,))}


def test_a_call_without_arguments_is_opened_when_it_is_closed() -> None:
    """Nothing is lost of a call that takes nothing."""
    given, _ = fed([PartOpened(0, "tool_call", 0, "a", "f"), PartClosed(0)])
    assert given == [PartOpened(0, "tool_call", 0, "a", "f"), PartClosed(0)]


RECORDS = {
    "agw_0000000000000001": Keepsake("a", None, (Thinking("why", SIGNED),)),
    "agw_0000000000000002": Keepsake("b", OTHER),
}


def conversation(*parts: Part) -> ChatRequest:
    results = (ToolResult(call_id="agw_0000000000000001", parts=(Text("1"),)), ToolResult(call_id="other"))
    return ChatRequest(model="m", turns=(Turn("assistant", parts), Turn("tool", results)))


def calls() -> tuple[ToolCall, ToolCall]:
    return (
        ToolCall(id="agw_0000000000000001", name="f", arguments="{}"),
        ToolCall(id="agw_0000000000000002", name="g", arguments="{}"),
    )


def test_a_conversation_that_comes_back_is_as_its_upstream_wrote_it() -> None:
    """Ids, seals, and thinking in front of the text that it led to; unsealed text of the same thought gives way."""
    request = conversation(Thinking("why"), Text("So:"), *calls())
    losses = Losses("request")
    assert wanted(request) == ["agw_0000000000000001", "agw_0000000000000002"]
    whole = restore(request, RECORDS, losses)
    assert whole.turns[0].parts == (
        Thinking("why", SIGNED),
        Text("So:"),
        ToolCall(id="a", name="f", arguments="{}"),
        ToolCall(id="b", name="g", arguments="{}", seal=OTHER),
    )
    assert [part.call_id for part in whole.turns[1].parts if isinstance(part, ToolResult)] == ["a", "other"]
    assert not losses


def test_thinking_between_calls_goes_between_them() -> None:
    """Interleaved thinking keeps its place."""
    records = {**RECORDS, "agw_0000000000000002": Keepsake("b", None, (Thinking("then", SIGNED),))}
    whole = restore(conversation(Text("So:"), *calls()), records, Losses("request"))
    kinds = [type(part).__name__ for part in whole.turns[0].parts]
    assert kinds == ["Thinking", "Text", "ToolCall", "Thinking", "ToolCall"]


def test_what_the_client_kept_itself_is_left_as_it_is() -> None:
    """Sealed thinking that came back wins over the record."""
    mine = Thinking("why", OTHER)
    whole = restore(conversation(mine, *calls()), RECORDS, Losses("request"))
    assert [part for part in whole.turns[0].parts if isinstance(part, Thinking)] == [mine]


def test_a_record_that_is_gone_is_told() -> None:
    """The call keeps the id that it came with."""
    losses = Losses("request")
    whole = restore(conversation(*calls()), {}, losses)
    assert whole.turns[0].parts == calls()
    assert losses.header() == "dropped:thinking"


def test_a_record_is_bounded() -> None:
    """Too long a thought is left out of it; the call's own seal stays."""
    small = Keepsake("a", SIGNED, (Thinking("short", SIGNED),))
    assert Keepsake.unpack(small.pack()) == small
    large = Keepsake("a", SIGNED, (Thinking("x" * RECORD_LIMIT, SIGNED),))
    assert Keepsake.unpack(large.pack()) == Keepsake("a", SIGNED)


def test_ids_of_ours_are_found_in_a_body_that_is_not_read() -> None:
    """Each once, and nothing that only looks alike."""
    body = b'{"a":"agw_0000000000000001","b":["agw_0000000000000001","agw_short"],"c":"say \\"agw_0000000000000002\\""}'
    assert kept_ids(body) == ["agw_0000000000000001"]


def test_text_passes_untouched() -> None:
    """The keeper only looks."""
    events: list[Event] = [PartOpened(0, "text"), TextDelta(0, "x"), SignatureDelta(0, OTHER), PartClosed(0)]
    assert fed(events)[0] == events
