"""What holds for all requests and answers that Converse can express."""

import json
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("botocore", reason="the vendor's SDK is asked what is valid")

from asgi_gateway.canonical import (
    CacheMark,
    ChatRequest,
    ChatResponse,
    Choice,
    Extra,
    FunctionTool,
    Inline,
    Losses,
    Media,
    OutputFormat,
    PlainText,
    Reasoning,
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
from asgi_gateway.dialects.bedrock_converse import BEDROCK_CONVERSE
from asgi_gateway.dialects.bedrock_converse.frames import event_frame, exception_frame
from support.bedrock_converse import CLAUDE, context, path_of, read_answer, read_stream, streamed
from support.strict import check_response, check_stream

words = st.text(min_size=1, max_size=8).filter(str.strip)
ids = st.text("abcXYZ019_-", min_size=1, max_size=12)
marks = st.sampled_from([None, CacheMark(), CacheMark("1h")])
texts = st.builds(Text, words, st.just(()), marks)
places = st.sampled_from([Stored("s3://bucket/k", "amazon", "image/png"), Inline("image/png", "aGk=")])
images = st.builds(Media, kind=st.just("image"), source=places, cache=marks)
documents = st.builds(
    Media,
    kind=st.just("document"),
    source=st.builds(PlainText, words),
    name=ids.map("n".__add__).map(lambda name: name.replace("_", "-")),
    context=st.sampled_from(["", "c"]),
    citations=st.booleans(),
)
raw = st.builds(Seal, maker=st.just("anthropic"), kind=st.just("signature"), data=ids)
redacted = st.builds(Seal, maker=st.just("anthropic"), kind=st.just("redacted"), data=st.just("cmVk"))
thoughts = st.one_of(st.builds(Thinking, words, raw), st.builds(Thinking, st.just(""), redacted))
calls = st.builds(ToolCall, id=ids, name=ids, arguments=st.just('{"x":1}'), cache=marks)
results = st.builds(
    ToolResult,
    call_id=ids,
    parts=st.one_of(st.builds(Text, words), documents).map(lambda part: (part,)),
    failed=st.booleans(),
    cache=marks,
)
speaking = st.lists(st.one_of(texts, images), min_size=1, max_size=3).map(tuple)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Turn, ...]:
    """The user and the assistant in turn, with tools between them; names of documents each once."""
    turns = [Turn("user", draw(speaking))]
    for _ in range(draw(st.integers(0, 2))):
        parts = (*draw(st.lists(thoughts, max_size=2)), *draw(st.lists(texts, min_size=1, max_size=2)))
        made = draw(st.lists(calls, max_size=2))
        turns.append(Turn("assistant", (*parts, *made)))
        if made:
            turns.append(Turn("tool", tuple(draw(st.lists(results, min_size=1, max_size=2)))))
        turns.append(Turn("user", draw(speaking)))
    names = [
        one.name
        for turn in turns
        for part in turn.parts
        if isinstance(part, ToolResult)
        for one in part.parts
        if isinstance(one, Media)
    ]
    return tuple(turns) if len(names) == len(set(names)) else (turns[0],)


tools = st.builds(
    FunctionTool,
    name=ids,
    description=st.sampled_from(["", "d"]),
    parameters=st.just({"type": "object"}),
    strict=st.sampled_from([None, True, False]),
    cache=marks,
    extras=st.just({}),
    dialect=st.just("bedrock_converse"),
)
requests = st.builds(
    ChatRequest,
    model=st.just(CLAUDE),
    turns=conversations(),
    instructions=st.lists(texts, max_size=2).map(tuple),
    tools=st.lists(tools, min_size=1, max_size=2).map(tuple),
    tool_choice=st.sampled_from([None, ToolChoice("auto")]),
    sampling=st.builds(
        Sampling,
        max_output=st.none() | st.integers(5000, 9000),
        stop=st.lists(words, max_size=3).map(tuple),
    ),
    output=st.sampled_from([None, OutputFormat(kind="schema", name="n", schema={"type": "object"})]),
    reasoning=st.sampled_from([None, Reasoning(enabled=True, budget=2000), Reasoning(enabled=False)]),
    wants_usage=st.just(True),
    metadata=st.sampled_from([None, {"a": "b"}]),
    service_tier=st.sampled_from(["", "flex"]),
    extras=st.sampled_from([(), (Extra("bedrock_converse", "guardrailConfig", {"a": "b"}, essential=True),)]),
)
seals = st.builds(
    Seal,
    maker=st.sampled_from(["google", "openai", "anthropic"]),
    kind=st.sampled_from(["signature", "encrypted"]),
    data=ids,
)
answered = st.builds(
    lambda thoughts, said, calls, used: ChatResponse(
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
    st.lists(st.builds(Text, words), max_size=2),
    st.lists(
        st.builds(ToolCall, id=ids, name=ids, arguments=st.just('{"x":1}'), seal=st.none() | seals),
        min_size=1,
        max_size=3,
    ),
    st.builds(lambda a, b, c, d: Usage(input=a, cache_read=b, cache_write=c, output=d), *[st.integers(0, 9)] * 4),
)


@given(requests)
def test_a_request_that_can_be_expressed_survives(request: ChatRequest) -> None:
    """Written and read again it is the same, nothing is lost, and the same bytes come twice."""
    losses = Losses("request")
    body = BEDROCK_CONVERSE.write_request(request, losses)
    outline = BEDROCK_CONVERSE.outline(body, path_of())
    assert BEDROCK_CONVERSE.read_request(body, outline, losses) == request
    assert not losses
    assert BEDROCK_CONVERSE.write_request(request, losses) == body


@given(answered, st.data())
def test_a_streamed_answer_is_the_plain_one_however_it_is_cut(response: ChatResponse, data: st.DataObject) -> None:
    """Written plain and as a stream, and read again: seals of whatever maker come back, each to its own."""
    wire = streamed(list(unfold(response)))
    check_stream("bedrock_converse", wire)
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5))), len(wire)]
    reader = BEDROCK_CONVERSE.reader(Losses("response"))
    read = [event for a, b in pairwise(edges) for event in reader.feed(wire[a:b])]
    assert collect(read + reader.finish()) == response
    plain = BEDROCK_CONVERSE.write_response(response, context())
    check_response("bedrock_converse", plain)
    assert read_answer(json.loads(plain)) == response


deltas = st.sampled_from(
    [
        {"text": "a"},
        {"reasoningContent": {"text": "a"}},
        {"reasoningContent": {"signature": "s"}},
        {"toolUse": {"input": "{"}},
        {"citation": {"title": "t"}},
        {"toolResult": [{"text": "a"}]},
        {"image": {"source": {"bytes": "aGk="}}},
        {},
        {"text": 1},
    ]
)
starts = st.sampled_from(
    [
        {"toolUse": {"toolUseId": "a", "name": "f"}},
        {"toolUse": {"toolUseId": "a", "name": "f", "type": "server_tool_use"}},
        {"toolResult": {"toolUseId": "a", "type": "x"}},
        {"image": {"format": "png"}},
        {},
    ]
)
number = st.integers(0, 2)
frames = st.one_of(
    st.tuples(
        st.just("contentBlockDelta"), st.builds(lambda n, d: {"contentBlockIndex": n, "delta": d}, number, deltas)
    ),
    st.tuples(
        st.just("contentBlockStart"), st.builds(lambda n, s: {"contentBlockIndex": n, "start": s}, number, starts)
    ),
    st.tuples(st.just("contentBlockStop"), number.map(lambda n: {"contentBlockIndex": n})),
    st.tuples(
        st.sampled_from(["messageStart", "messageStop", "metadata", "x", "!"]), st.just({"stopReason": "end_turn"})
    ),
)


@given(st.lists(frames, max_size=12))
def test_any_sequence_of_events_is_read_into_a_well_formed_one(sequence: list[tuple[str, Any]]) -> None:
    """Parts are opened once, in order, and closed once; a stream ends with a stop or a failure."""
    wire = b"".join(
        exception_frame("throttlingException", b"{}") if name == "!" else event_frame(name, json.dumps(said).encode())
        for name, said in sequence
    )
    read = read_stream(wire)
    assert type(read[0]) is Started
    begun = [event.index for event in read if type(event).__name__ in ("PartOpened", "PartGiven")]
    assert begun == list(range(len(begun)))
    folded = collect(read)
    if folded.failed is None:
        assert folded.choices[-1].stopped is not None
        opened = [event.index for event in read if type(event).__name__ == "PartOpened"]
        assert sorted(event.index for event in read if type(event).__name__ == "PartClosed") == opened
        assert streamed(read)
