"""What holds for all requests and answers that Anthropic's Messages can express."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("anthropic", reason="the vendor's SDK is asked what is valid")

from asgi_gateway.canonical import (
    CacheMark,
    ChatRequest,
    ChatResponse,
    Choice,
    Citation,
    Extra,
    FunctionTool,
    HostedCall,
    HostedResult,
    Inline,
    Losses,
    Media,
    Native,
    OutputFormat,
    PlainText,
    Reasoning,
    Remote,
    Sampling,
    Seal,
    Started,
    Stopped,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
    collect,
    unfold,
)
from asgi_gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from support.anthropic_messages import context, frame, message, read_answer, read_stream, streamed
from support.canonical_strategies import events
from support.strict import check_request, check_response, check_stream

NAME = "anthropic_messages"

patient = settings(deadline=None)
"""The SDK's types are read at the first of the examples, which takes its time."""

words = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=8)
ids = st.text("abcXYZ019_-", min_size=1, max_size=12)
marks = st.sampled_from([None, CacheMark(), CacheMark("1h")])
texts = st.builds(Text, words, st.just(()), st.none())
marked = st.builds(Text, words, st.just(()), marks)
pictures = st.sampled_from([Inline("image/png", "aGk="), Remote("https://x.test/a"), Stored("file_1", "anthropic")])
papers = st.sampled_from(
    [
        Inline("application/pdf", "aGk="),
        Remote("https://x.test/a", "application/pdf"),
        Stored("file_1", "anthropic"),
        PlainText("p"),
    ]
)
images = st.builds(Media, kind=st.just("image"), source=pictures)
documents = st.builds(
    Media,
    kind=st.just("document"),
    source=papers,
    title=st.sampled_from(["", "t"]),
    context=st.sampled_from(["", "c"]),
    citations=st.booleans(),
)
raw = st.builds(Seal, maker=st.just("anthropic"), kind=st.just("signature"), data=ids)
redacted = st.builds(Seal, maker=st.just("anthropic"), kind=st.just("redacted"), data=ids)
thoughts = st.one_of(st.builds(Thinking, words, raw), st.builds(Thinking, st.just(""), redacted))
calls = st.builds(ToolCall, id=ids, name=ids, arguments=st.sampled_from(["{}", '{"x":1.5,"a":[]}']))
results = st.builds(
    ToolResult,
    call_id=ids,
    parts=st.lists(st.one_of(texts, documents, images), max_size=2).map(tuple),
    failed=st.booleans(),
)
speaking = st.lists(st.one_of(texts, images, documents), min_size=1, max_size=3).map(tuple)
_search = {"type": "server_tool_use", "id": "srv_1", "name": "web_search", "input": {"query": "q"}}
_found: dict[str, Any] = {"type": "web_search_tool_result", "tool_use_id": "srv_1", "content": []}
hosted = st.sampled_from(
    [
        HostedCall(id="srv_1", tool="web_search", arguments='{"query":"q"}', dialect=NAME, native=_search),
        HostedResult(call_id="srv_1", tool="web_search", dialect=NAME, native=_found),
    ]
)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """The user and the assistant in turn, with tools and system texts between them."""
    turns = [Turn("user", draw(speaking))]
    for number in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            turns.append(Turn("system", (draw(texts),)))
        parts = (
            *draw(st.lists(thoughts, max_size=2)),
            *draw(st.lists(st.one_of(texts, hosted), min_size=1, max_size=2)),
        )
        made = [
            msgspec.structs.replace(call, id=f"{number}{place}{call.id}")
            for place, call in enumerate(draw(st.lists(calls, max_size=2)))
        ]
        turns.append(Turn("assistant", (*parts, *made)))
        if made:
            answered = tuple(msgspec.structs.replace(draw(results), call_id=call.id) for call in made)
            turns.append(Turn("tool", answered))
        turns.append(Turn("user", draw(speaking)))
    return tuple(turns)


tools = st.builds(
    FunctionTool,
    name=ids,
    description=st.sampled_from(["", "d"]),
    parameters=st.just({"type": "object", "properties": {}, "additionalProperties": False}),
    strict=st.sampled_from([None, True, False]),
    extras=st.sampled_from([{}, {"defer_loading": True}]),
    dialect=st.just(NAME),
)
requests = st.builds(
    ChatRequest,
    model=st.just("claude-opus-4-8"),
    turns=conversations(),
    instructions=st.lists(marked, max_size=2).map(tuple),
    tools=st.lists(tools, min_size=1, max_size=2).map(tuple),
    tool_choice=st.sampled_from([ToolChoice("auto"), ToolChoice("required"), ToolChoice("tool", ("f",))]),
    parallel_tools=st.sampled_from([None, True, False]),
    sampling=st.builds(Sampling, max_output=st.integers(5000, 9000), stop=st.lists(words, max_size=2).map(tuple)),
    output=st.sampled_from([None, OutputFormat(kind="schema", schema={"type": "array", "items": {"type": "null"}})]),
    reasoning=st.sampled_from(
        [
            None,
            Reasoning(enabled=True, effort="xhigh", adaptive=True, visible=True),
            Reasoning(enabled=True, adaptive=True, visible=False),
        ]
    ),
    stream=st.booleans(),
    wants_usage=st.just(True),
    user=st.sampled_from(["", "u"]),
    service_tier=st.sampled_from(["", "auto", "default"]),
    extras=st.sampled_from([(), (Extra(NAME, "inference_geo", "eu"),)]),
)
seals = st.builds(
    Seal,
    maker=st.sampled_from(["google", "openai", "anthropic"]),
    kind=st.sampled_from(["signature", "encrypted"]),
    data=ids,
)
_place = {"type": "page_location", "cited_text": "q", "document_index": 0, "document_title": None}
_place |= {"start_page_number": 1, "end_page_number": 2, "file_id": None}
cited = st.lists(st.just(Citation(kind="document", quoted="q", dialect=NAME, native=_place)), max_size=2).map(tuple)
answers = st.builds(
    lambda thoughts, said, calls, used, id: ChatResponse(
        started=Started(f"msg_{id}", "claude", 0, ""),
        choices=(
            Choice(
                parts=(
                    *thoughts,
                    *said,
                    *(msgspec.structs.replace(call, id=f"{n}{call.id}") for n, call in enumerate(calls)),
                ),
                stopped=Stopped("tool_calls", native="tool_use"),
            ),
        ),
        usage=used,
    ),
    st.lists(st.one_of(st.builds(Thinking, words, seals), thoughts), max_size=3),
    st.lists(st.one_of(st.builds(Text, words, cited), hosted), max_size=2),
    st.lists(
        st.builds(ToolCall, id=ids, name=ids, arguments=st.just('{"x":1}'), seal=st.none() | seals),
        min_size=1,
        max_size=3,
    ),
    st.builds(
        lambda a, b, c, d, e: Usage(input=a, cache_read=b, cache_write=c, output=d, reasoning=e),
        *[st.integers(0, 9)] * 5,
    ),
    ids,
)


@given(requests)
@patient
def test_a_request_that_can_be_expressed_survives(request: ChatRequest) -> None:
    """Written and read again it is the same, nothing is lost, it is valid, and the same bytes come twice."""
    losses = Losses("request")
    body = ANTHROPIC_MESSAGES.write_request(request, losses)
    check_request(NAME, body)
    assert ANTHROPIC_MESSAGES.read_request(body, ANTHROPIC_MESSAGES.outline(body), losses) == request
    assert not losses
    assert ANTHROPIC_MESSAGES.write_request(request, losses) == body


@given(answers, st.data())
@patient
def test_a_streamed_answer_is_the_plain_one_however_it_is_cut(response: ChatResponse, data: st.DataObject) -> None:
    """Written plain and as a stream, and read again: seals of whatever maker come back, each to its own."""
    wire = streamed(list(unfold(response)))
    check_stream(NAME, wire)
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5))), len(wire)]
    reader = ANTHROPIC_MESSAGES.reader(Losses("response"))
    read = [event for a, b in pairwise(edges) for event in reader.feed(wire[a:b])]
    assert collect(read + reader.finish()) == response
    plain = ANTHROPIC_MESSAGES.write_response(response, context())
    check_response(NAME, plain)
    assert read_answer(json.loads(plain)) == response


@given(events(choices=2))
@patient
def test_whatever_another_dialect_says_is_written_validly(given_events: tuple[ChatResponse, list[Any]]) -> None:
    """However its parts overlap, the stream is one of Anthropic's; and so is the plain answer."""
    response, told = given_events
    check_stream(NAME, streamed(told))
    check_response(NAME, ANTHROPIC_MESSAGES.write_response(response, context()))


blocks = st.sampled_from(
    [
        {"type": "text", "text": "a"},
        {"type": "thinking", "thinking": "", "signature": ""},
        {"type": "redacted_thinking", "data": "r"},
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        {"type": "tool_use", "id": 1, "input": None},
        {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
        {"type": "compaction", "content": None},
        {"type": "odd"},
        {},
    ]
)
deltas = st.sampled_from(
    [
        {"type": "text_delta", "text": "a"},
        {"type": "text_delta", "text": 1},
        {"type": "thinking_delta", "thinking": "a"},
        {"type": "signature_delta", "signature": "s"},
        {"type": "input_json_delta", "partial_json": "{"},
        {"type": "citations_delta", "citation": {"type": "page_location"}},
        {"type": "citations_delta", "citation": 1},
        {"type": "compaction_delta", "content": "c"},
        {},
        None,
    ]
)
number = st.integers(0, 2)
sequences = st.lists(
    st.one_of(
        st.builds(lambda n, b: {"type": "content_block_start", "index": n, "content_block": b}, number, blocks),
        st.builds(lambda n, d: {"type": "content_block_delta", "index": n, "delta": d}, number, deltas),
        st.builds(lambda n: {"type": "content_block_stop", "index": n}, number),
        st.sampled_from(
            [
                {"type": "message_start", "message": message(stop_reason=None)},
                {"type": "message_start", "message": None},
                {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
                {"type": "message_delta", "delta": {"stop_reason": 1}, "usage": 1},
                {"type": "message_delta"},
                {"type": "message_stop"},
                {"type": "ping"},
                {"type": "odd"},
                {"type": "error", "error": {"type": "api_error", "message": "x"}},
            ]
        ),
    ),
    max_size=14,
)


@given(sequences)
def test_any_sequence_of_events_is_read_into_a_well_formed_one(sequence: list[Any]) -> None:
    """Parts are opened once, in order, and closed once; a stream ends with a stop or a failure."""
    read = read_stream(b"".join(map(frame, sequence)))
    assert type(read[0]) is Started
    begun = [event.index for event in read if type(event).__name__ in ("PartOpened", "PartGiven")]
    assert begun == list(range(len(begun)))
    folded = collect(read)
    if folded.failed is None:
        assert folded.choices[-1].stopped is not None
        opened = [event.index for event in read if type(event).__name__ == "PartOpened"]
        assert sorted(event.index for event in read if type(event).__name__ == "PartClosed") == opened
        assert streamed(read)


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=3))
def test_no_bytes_crash_a_reader(data: bytes, cuts: list[int]) -> None:
    """It fails or it ends."""
    reader = ANTHROPIC_MESSAGES.reader(Losses("response"))
    edges = [0, *sorted(cut for cut in cuts if cut <= len(data)), len(data)]
    read = [event for a, b in pairwise(edges) for event in reader.feed(data[a:b])] + reader.finish()
    assert type(read[-1]).__name__ == "Failed"


def test_natives_come_back_as_they_were() -> None:
    """Blocks that only Anthropic knows, in a request."""
    native = Native(NAME, "messages[].content[].container_upload", {"type": "container_upload", "file_id": "f"}, True)
    request = ChatRequest(
        model="claude-sonnet-5", turns=(Turn("user", (native,)),), sampling=Sampling(max_output=1), wants_usage=True
    )
    body = ANTHROPIC_MESSAGES.write_request(request, Losses("request"))
    assert ANTHROPIC_MESSAGES.read_request(body, ANTHROPIC_MESSAGES.outline(body), Losses("request")) == request
