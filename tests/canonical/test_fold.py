"""A response is a folded stream, and a stream an unfolded response."""

from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    CitationGiven,
    Event,
    Failed,
    LogprobsGiven,
    Native,
    PartClosed,
    PartGiven,
    PartOpened,
    Refusal,
    Seal,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
    UsageReported,
    collect,
    unfold,
)
from asgi_gateway.errors import MalformedUpstream
from support.canonical_strategies import events, responses

SEAL = Seal(maker="google", kind="signature", data="s")
TOKEN = TokenLogprob("a", -0.5, (97,), (TokenLogprob("b", -1.5),))
CITATION = Citation(kind="url", url="u")


def test_events_become_parts_in_the_order_of_their_indexes() -> None:
    """Each kind of part, told in pieces, of which the later seal counts."""
    told: list[Event] = [
        Started("r", "m", 7, "flex"),
        PartOpened(0, "thinking", 0, "rs_1"),
        PartOpened(1, "text"),
        ThinkingDelta(0, "wh"),
        TextDelta(1, "H"),
        SignatureDelta(0, Seal(maker="google", kind="signature", data="first")),
        SignatureDelta(0, SEAL),
        ThinkingDelta(0, "y"),
        TextDelta(1, "i"),
        CitationGiven(1, CITATION),
        LogprobsGiven(1, (TOKEN,)),
        LogprobsGiven(1, (TOKEN,)),
        PartClosed(1),
        PartClosed(0),
        PartOpened(2, "tool_call", 0, "c", "f", custom=True),
        ToolCallDelta(2, "a b"),
        PartClosed(2),
        PartOpened(3, "refusal"),
        TextDelta(3, "No"),
        PartClosed(3),
        PartGiven(4, Native("d", "f", {})),
        UsageReported(Usage(input=1)),
        Stopped("tool_calls"),
        UsageReported(Usage(input=2)),
    ]
    assert collect(told) == ChatResponse(
        started=Started("r", "m", 7, "flex"),
        choices=(
            Choice(
                parts=(
                    Thinking("why", SEAL, "rs_1"),
                    Text("Hi", (CITATION,)),
                    ToolCall(id="c", name="f", arguments="a b", custom=True),
                    Refusal("No"),
                    Native("d", "f", {}),
                ),
                stopped=Stopped("tool_calls"),
                logprobs=(TOKEN, TOKEN),
            ),
        ),
        usage=Usage(input=2),
    )


def test_what_broke_off_is_kept_as_far_as_it_came() -> None:
    """An open part counts, no choice has stopped, and there is no usage."""
    failed = Failed(MalformedUpstream("cut"))
    whole = collect([Started(), PartOpened(0, "text"), TextDelta(0, "H"), failed])
    assert whole == ChatResponse(choices=(Choice(parts=(Text("H"),)),), failed=failed)
    assert collect(unfold(whole)) == whole


def test_nothing_is_a_response_too() -> None:
    """No event at all, and a choice that only stopped."""
    assert collect([]) == ChatResponse()
    assert collect([Stopped("refusal", 1)]).choices == (Choice(), Choice(stopped=Stopped("refusal", 1)))


def test_empty_parts_have_no_deltas() -> None:
    """A writer is not told of what is not there."""
    parts = (Text(""), Thinking("", SEAL), ToolCall(id="c", name="f"))
    told = list(unfold(ChatResponse(choices=(Choice(parts=parts),))))
    assert [event for event in told if isinstance(event, TextDelta | ThinkingDelta | ToolCallDelta)] == []


@given(responses())
def test_folding_undoes_unfolding(response: ChatResponse) -> None:
    """Every answer with its parts, choices, citations, seals, probabilities and usage."""
    assert collect(unfold(response)) == response


@given(events(choices=2))
def test_the_order_of_overlapping_parts_does_not_matter(told: tuple[ChatResponse, list[Event]]) -> None:
    """Any well-formed interleaving is the same answer."""
    response, given_events = told
    assert collect(given_events) == response


@given(responses(choices=1), st.integers(0, 40))
def test_a_cut_stream_is_a_beginning(response: ChatResponse, cut: int) -> None:
    """Whatever is left out at the end: no text appears that was not told."""
    told = list(unfold(response))[:cut]
    partial = collect(told)
    whole = [part for choice in response.choices for part in choice.parts]
    some = [part for choice in partial.choices for part in choice.parts]
    assert len(some) <= len(whole)
    for part, entire in zip(some, whole, strict=False):
        if isinstance(part, Text) and isinstance(entire, Text):
            assert entire.text.startswith(part.text)
