"""What holds for all requests and answers that Cohere can express."""

import itertools
import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cohere", reason="the vendor's SDK is asked what is valid")

from asgi_gateway.canonical import (
    ChatRequest,
    ChatResponse,
    Choice,
    Extra,
    FunctionTool,
    Inline,
    Losses,
    Media,
    OutputFormat,
    Reasoning,
    Remote,
    Sampling,
    Started,
    Stopped,
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
from asgi_gateway.dialects.cohere_chat import COHERE_CHAT
from support.cohere_chat import context, read_answer, read_stream, stream, streamed
from support.recordings import HOME, recordings, wire_of
from support.strict import check_request, check_response, check_stream

words = st.text(min_size=1, max_size=8)
texts = st.builds(Text, words)
images = st.builds(
    Media,
    kind=st.just("image"),
    source=st.one_of(
        st.builds(Inline, st.just("image/png"), st.just("aGk=")), st.builds(Remote, st.just("https://x.test/a"))
    ),
    detail=st.sampled_from(["", "low", "high"]),
)
calls = st.builds(ToolCall, id=words, name=words, arguments=st.just('{"x":1}'))
results = st.builds(ToolResult, call_id=words, parts=texts.map(lambda text: (text,)))
contents = st.lists(st.one_of(texts, st.builds(Thinking, words)), min_size=1, max_size=3)
turns = st.one_of(
    st.lists(st.one_of(texts, images), min_size=1, max_size=3).map(lambda parts: Turn("user", tuple(parts))),
    st.tuples(contents, st.lists(calls, max_size=2)).map(lambda both: Turn("assistant", (*both[0], *both[1]))),
    st.lists(results, min_size=1, max_size=2).map(lambda parts: Turn("tool", tuple(parts))),
)
schemas = st.just({"type": "object", "properties": {"x": {"type": "integer"}}})
tools = st.builds(
    FunctionTool,
    name=words,
    description=st.sampled_from(["", "d"]),
    parameters=schemas,
    strict=st.none(),
    extras=st.just({}),
    dialect=st.just("cohere_chat"),
)
sampling = st.builds(
    Sampling,
    max_output=st.none() | st.integers(1, 9000),
    temperature=st.none() | st.floats(0, 1),
    top_p=st.none() | st.floats(0.01, 0.99),
    top_k=st.none() | st.integers(0, 500),
    seed=st.none() | st.integers(0, 1 << 60),
    stop=st.lists(words, max_size=5).map(tuple),
    presence_penalty=st.none() | st.floats(0, 1),
    frequency_penalty=st.none() | st.floats(0, 1),
    logprobs=st.booleans(),
)


def _apart(made: list[Turn]) -> tuple[Turn, ...]:
    """Turns between which a user speaks: those of one role in a row could be one."""
    return tuple(turn for one in made for turn in (Turn("user", (Text("so"),)), one))


requests = st.builds(
    ChatRequest,
    model=st.just("command-a-reasoning-08-2025"),
    turns=st.lists(turns, min_size=1, max_size=4).map(_apart),
    instructions=st.lists(texts, max_size=2).map(tuple),
    tools=st.lists(tools, min_size=1, max_size=2).map(tuple),
    tool_choice=st.sampled_from([None, ToolChoice("none"), ToolChoice("required")]),
    sampling=sampling,
    output=st.sampled_from(
        [
            None,
            OutputFormat(kind="text"),
            OutputFormat(kind="json"),
            OutputFormat(kind="schema", schema={"type": "object"}),
        ]
    ),
    reasoning=st.sampled_from(
        [None, Reasoning(enabled=True), Reasoning(enabled=False), Reasoning(enabled=True, budget=99)]
    ),
    stream=st.booleans(),
    wants_usage=st.just(True),
    extras=st.sampled_from([(), (Extra("cohere_chat", "documents", ["a"], essential=True),)]),
)
responses = st.builds(
    lambda contents, calls, used: ChatResponse(
        started=Started("r"),
        choices=(Choice(parts=(*contents, *calls), stopped=Stopped("tool_calls", native="TOOL_CALL")),),
        usage=used,
    ),
    contents,
    st.lists(calls, min_size=1, max_size=3),
    st.none() | st.builds(lambda a, b, c: Usage(input=a, cache_read=b, output=c), *[st.integers(0, 9)] * 3),
)


@given(requests)
def test_a_request_that_can_be_expressed_survives(request: ChatRequest) -> None:
    """Written and read again it is the same, nothing is lost, and the same bytes come twice."""
    losses = Losses("request")
    body = COHERE_CHAT.write_request(request, losses)
    outline = COHERE_CHAT.outline(body)
    assert COHERE_CHAT.read_request(body, outline, losses) == request
    assert not losses
    assert COHERE_CHAT.write_request(request, losses) == body


@given(responses, st.data())
def test_a_streamed_answer_is_the_plain_one_however_it_is_cut(response: ChatResponse, data: st.DataObject) -> None:
    """Written plain and as a stream, and read again."""
    events = list(unfold(response))
    wire = streamed(events)
    check_stream("cohere_chat", wire)
    edges = [0, *sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5))), len(wire)]
    reader = COHERE_CHAT.reader(Losses("response"))
    read = [event for a, b in itertools.pairwise(edges) for event in reader.feed(wire[a:b])]
    assert collect(read + reader.finish()) == response
    plain = COHERE_CHAT.write_response(response, context())
    check_response("cohere_chat", plain)
    assert read_answer(json.loads(plain)) == response


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(
                    [
                        "message-start",
                        "content-start",
                        "content-delta",
                        "content-end",
                        "tool-plan-delta",
                        "tool-call-start",
                        "tool-call-delta",
                        "tool-call-end",
                        "citation-start",
                        "message-end",
                        "x",
                    ]
                )
            },
            optional={
                "index": st.integers(0, 2),
                "delta": st.sampled_from(
                    [
                        {"message": {"content": {"type": "thinking", "thinking": "a"}}},
                        {"message": {"content": {"text": "a"}}},
                        {"message": {"tool_calls": {"id": "c", "function": {"arguments": "{"}}}},
                        {"message": {"tool_plan": "p", "citations": {"start": 0}}},
                        {"finish_reason": "COMPLETE"},
                        {},
                    ]
                ),
            },
        ),
        max_size=12,
    )
)
def test_any_sequence_of_events_is_read_into_a_well_formed_one(events: list[dict[str, Any]]) -> None:
    """Parts are opened once, in order, and closed once; a stream ends with a stop or a failure."""
    read = read_stream(stream(*events))
    assert type(read[0]) is Started
    opened = [event.index for event in read if type(event).__name__ == "PartOpened"]
    assert opened == list(range(len(opened)))
    folded = collect(read)
    if folded.failed is None:
        assert folded.choices[-1].stopped is not None
        assert sorted(event.index for event in read if type(event).__name__ == "PartClosed") == opened
        check_order = COHERE_CHAT.writer(context())
        assert check_order.write(read)


@pytest.mark.skipif(not HOME.is_dir(), reason=f"no recordings in {HOME.name}/ beside the repository")
def test_recorded_exchanges_survive() -> None:
    """Requests mean the same after a way through the neutral model; answers are read without a loss, either way."""
    seen = 0
    for recording in recordings("cohere.chat"):
        if recording["request"]["path"] != "/v2/chat":
            continue
        seen += 1
        if recording["request"]["json"]:
            body, losses = wire_of(recording["request"]), Losses("request")
            outline = COHERE_CHAT.outline(body)
            request = COHERE_CHAT.read_request(body, outline, losses)
            again = COHERE_CHAT.write_request(request, losses)
            check_request("cohere_chat", again)
            if b'"document"' in body:  # a tool's, which becomes a text
                assert losses.header() == "approximated:messages[].content[].document"
            else:
                assert not losses, recording["id"]
                assert _meaning(json.loads(again)) == _meaning(recording["request"]["json"]), recording["id"]
        if recording["response"]["status"] < 400:
            _check_answer(recording["id"], wire_of(recording["response"]), recording["stream"])
    assert seen > 40


def _check_answer(id: str, body: bytes, streaming: bool) -> None:
    losses, tap = (
        Losses("response"),
        COHERE_CHAT.tap(COHERE_CHAT.outline(b'{"model":"m","messages":[{}]}'), stream=streaming),
    )
    if streaming:
        reader, dice = COHERE_CHAT.reader(losses), random.Random(id)
        edges = sorted({0, len(body), *(dice.randrange(len(body)) for _ in range(40))})
        read = [event for a, b in itertools.pairwise(edges) for event in reader.feed(body[a:b])]
        read += reader.finish()
    else:
        read = COHERE_CHAT.read_response(body, losses)
    assert not losses, id
    response = collect(read)
    assert tap.feed(body) + tap.finish() == body
    assert tap.usage == response.usage is not None, id
    whole = COHERE_CHAT.write_response(response, context(losses))
    check_response("cohere_chat", whole)
    wire = streamed(read, losses)
    check_stream("cohere_chat", wire)
    assert not losses, id
    for again in (read_answer(json.loads(whole)), collect(read_stream(wire))):
        assert _without_empty_arguments(again) == _without_empty_arguments(response), id


def _without_empty_arguments(response: ChatResponse) -> list[Any]:
    """The parts: no arguments may be "" or {}."""
    return [
        msgspec.structs.replace(part, arguments=part.arguments or "{}") if isinstance(part, ToolCall) else part
        for part in response.choices[0].parts
    ]


def _meaning(body: dict[str, Any]) -> dict[str, Any]:
    """A request without what may be said in two ways: a text alone or in a list, empty texts, absent and false."""
    messages = []
    for message in body["messages"]:
        content = message.get("content") or []
        content = [{"type": "text", "text": content}] if isinstance(content, str) else content
        content = [part for part in content if part != {"type": "text", "text": ""}]
        messages.append({**message, "content": content})
    return {**body, "messages": messages, "stream": body.get("stream", False)}
