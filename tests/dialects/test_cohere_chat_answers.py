"""Cohere's plain answers and streams, read into events and written from them."""

import json
from typing import Any

import msgspec
import pytest

pytest.importorskip("cohere", reason="the vendor's SDK is asked what is valid")

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    CitationGiven,
    Event,
    Failed,
    HostedCall,
    HostedResult,
    Inline,
    LogprobsGiven,
    Losses,
    Media,
    Native,
    PartClosed,
    PartGiven,
    PartOpened,
    Refusal,
    Seal,
    SignatureDelta,
    Started,
    Stopped,
    StopReason,
    Text,
    TextDelta,
    Thinking,
    ThinkingDelta,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    Usage,
    UsageReported,
    collect,
    unfold,
)
from asgi_gateway.dialects.cohere_chat import COHERE_CHAT
from asgi_gateway.errors import MalformedUpstream, UpstreamError
from support.cohere_chat import answered, context, events_of, read_answer, read_stream, stream, streamed
from support.strict import check_response, check_stream

USAGE = {"billed_units": {"input_tokens": 3, "output_tokens": 2}, "tokens": {"input_tokens": 3, "output_tokens": 2}}
SOURCE = {"type": "document", "id": "d", "document": {"id": "d", "text": "Ruby is…"}}
CITATION = {"start": 0, "end": 4, "text": "Ruby", "sources": [SOURCE], "type": "TEXT_CONTENT", "content_index": 1}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}
SEAL = Seal(maker="anthropic", kind="signature", data="s")


def plain(**message: Any) -> dict[str, Any]:
    """A plain answer with this message."""
    return {"id": "r", "finish_reason": "COMPLETE", "message": {"role": "assistant", **message}, "usage": USAGE}


def content(number: int, **said: Any) -> dict[str, Any]:
    """A delta of a content."""
    return {"type": "content-delta", "index": number, "delta": {"message": {"content": said}}}


def begun(number: int, kind: str = "text", **more: Any) -> dict[str, Any]:
    """The start of a content."""
    return {"type": "content-start", "index": number, "delta": {"message": {"content": {"type": kind, **more}}}}


def call_event(step: str, number: int, **call: Any) -> dict[str, Any]:
    """An event of a tool call."""
    return {"type": f"tool-call-{step}", "index": number, "delta": {"message": {"tool_calls": call}}}


START = {"type": "message-start", "id": "r", "delta": {"message": {"role": "assistant", "content": []}}}
END = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": USAGE}}


def response_of(*parts: Any, stopped: Stopped | None = None, **more: Any) -> ChatResponse:
    """A whole response with one choice of these parts."""
    choice = Choice(parts=parts, stopped=stopped or Stopped("stop", native="COMPLETE"))
    return ChatResponse(started=Started("r"), choices=(choice,), **more)


def test_a_plain_answer_is_read_part_by_part() -> None:
    """The plan first, then the contents with their citations, then the calls."""
    losses = Losses("response")
    answer = plain(
        tool_plan="I look.",
        content=[{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Ruby"}],
        citations=[CITATION],
        tool_calls=[CALL],
    )
    read = read_answer({**answer, "finish_reason": "TOOL_CALL"}, losses)
    thinking, thought, text, call = read.choices[0].parts
    assert (thinking, thought) == (Thinking("I look."), Thinking("hm"))
    assert isinstance(text, Text)
    assert [(citation.source, citation.start, citation.end) for citation in text.citations] == [("d", 0, 4)]
    assert call == ToolCall(id="c1", name="f", arguments='{"x":1}')
    assert read.choices[0].stopped == Stopped("tool_calls", native="TOOL_CALL")
    assert (read.started.id, read.usage) == ("r", Usage(input=3, output=2))
    assert not losses


def test_what_an_answer_has_beside_is_noted() -> None:
    """By name."""
    losses = Losses("response")
    answer = plain(content=[{"type": "poem", "text": "x", "y": 1}], mood="good", tool_calls=[{"id": "c"}])
    read = read_answer({**answer, "colour": "red"}, losses)
    assert read.choices[0].parts == (Text("x"), ToolCall(id="c", name=""))
    assert set(losses.header().split(",")) == {
        "dropped:message.content[].poem",
        "dropped:message.content[].y",
        "dropped:colour",
        "dropped:message.mood",
    }


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"message":{"content":1}}',
        b'{"message":{},"id":[]}',
        b'{"message":{"content":["x"]}}',
    ],
)
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    """Never an exception of another kind."""
    with pytest.raises(MalformedUpstream):
        COHERE_CHAT.read_response(body, Losses("response"))


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        ({"message": "no sk-abcdef123456"}, 502, "no ***"),
        ({"error": {"message": "bad"}}, 502, "bad"),
        ({"message": {}, "finish_reason": "ERROR", "error": "oops"}, 502, "oops"),
        ({"message": {}, "finish_reason": "TIMEOUT"}, 504, "the upstream's model took too long"),
    ],
)
def test_an_error_inside_a_plain_answer_is_raised(answer: Any, status: int, text: str) -> None:
    """Secrets masked."""
    with pytest.raises(UpstreamError) as failed:
        read_answer(answer)
    assert (failed.value.status, failed.value.message) == (status, text)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("COMPLETE", "stop"),
        ("STOP_SEQUENCE", "stop_sequence"),
        ("MAX_TOKENS", "length"),
        ("TOOL_CALL", "tool_calls"),
        ("ERROR_TOXIC", "content_filter"),
        ("ERROR_LIMIT", "context_length"),
        ("NEW", "other"),
    ],
)
def test_reasons_to_finish_are_read(word: str, reason: StopReason) -> None:
    """Unknown ones are kept as they are."""
    assert read_answer({**plain(), "finish_reason": word}).choices[0].stopped == Stopped(reason, native=word)


@pytest.mark.parametrize(
    ("stopped", "word", "losses"),
    [
        (Stopped("stop"), "COMPLETE", "none"),
        (Stopped("stop_sequence", sequence="x"), "STOP_SEQUENCE", "dropped:stop_sequence"),
        (Stopped("length"), "MAX_TOKENS", "none"),
        (Stopped("refusal"), "COMPLETE", "approximated:finish_reason"),
        (Stopped("context_length"), "MAX_TOKENS", "approximated:finish_reason"),
    ],
)
def test_reasons_to_stop_are_written(stopped: Stopped, word: str, losses: str) -> None:
    """By Cohere's six words."""
    noted = Losses("response")
    assert answered(response_of(stopped=stopped), noted)["finish_reason"] == word
    assert noted.header() == losses


def test_a_response_that_says_nothing_is_written_all_the_same() -> None:
    """With an id of ours and an unknown usage, which is empty and no zero."""
    losses = Losses("response")
    answer = answered(ChatResponse(choices=(Choice(), Choice())), losses)
    assert answer == {"id": "ours", "finish_reason": "COMPLETE", "message": {"role": "assistant"}, "usage": {}}
    assert losses.header() == "dropped:choices,approximated:finish_reason"
    assert read_answer(answer).usage is None
    assert answered(ChatResponse())["message"] == {"role": "assistant"}


PARTS = (
    Thinking("hm", SEAL),
    Thinking("", SEAL),
    Text("Ruby", (Citation(kind="document", source="d", start=0, end=4),), None, SEAL),
    Refusal("No."),
    Media(kind="image", source=Inline("image/png", "aGk=")),
    HostedCall(id="h", tool="web_search"),
    HostedResult(call_id="h", tool="web_search"),
    ToolResult(call_id="x"),
    Native("other", "field", {}),
    ToolCall(id="c1", name="f", arguments='{"x":1}', seal=SEAL),
    ToolCall(id="c2", name="g"),
    ToolCall(id="c3", name="h", arguments='say "hi"', custom=True),
)
LOST = {
    "dropped:signature",
    "approximated:refusal",
    "dropped:message.content[].image",
    "dropped:web_search",
    "dropped:tool_result",
    "dropped:field",
    "approximated:tool_calls[].custom",
}


def test_every_kind_of_part_is_written_or_noted() -> None:
    """Plain and streamed, as one piece and as another; both are what Cohere's own types allow, and mean the same."""
    response = response_of(
        *PARTS, stopped=Stopped("tool_calls"), usage=Usage(input=3, cache_read=1, output=2, reasoning=1)
    )
    whole, told = Losses("response"), Losses("response")
    body = COHERE_CHAT.write_response(response, msgspec.structs.replace(context(), losses=whole))
    check_response("cohere_chat", body)
    data = streamed(list(unfold(response)), told)
    check_stream("cohere_chat", data)
    assert set(whole.header().split(",")) == set(told.header().split(",")) == LOST
    plainly, streaming = read_answer(json.loads(body)), collect(read_stream(data))
    assert plainly == streaming
    assert plainly.usage == response.usage
    assert [type(part) for part in plainly.choices[0].parts] == [Thinking, Text, Text, ToolCall, ToolCall, ToolCall]
    arguments = [part.arguments for part in plainly.choices[0].parts if isinstance(part, ToolCall)]
    assert arguments == ['{"x":1}', "{}", '{"input":"say \\"hi\\""}']


def test_parts_that_come_whole_are_streamed_as_the_others() -> None:
    """A writer may be given them at once."""
    parts = (Thinking("hm"), Text("t"), Refusal("No."), ToolCall(id="c", name="f"), Thinking("", SEAL))
    events: list[Event] = [
        Started("r"),
        *(PartGiven(number, part) for number, part in enumerate(parts)),
        Stopped("stop"),
    ]
    losses = Losses("response")
    read = collect(read_stream(streamed(events, losses)))
    assert read.choices[0].parts == (Thinking("hm"), Text("t"), Text("No."), ToolCall(id="c", name="f", arguments="{}"))
    assert set(losses.header().split(",")) == {"approximated:refusal", "dropped:signature"}


def test_a_stream_is_read_event_by_event() -> None:
    """A text is closed when the next thing begins: citations may come behind its end."""
    data = stream(
        START,
        begun(0, "thinking", thinking=""),
        content(0, thinking="hm"),
        {"type": "content-end", "index": 0},
        begun(1, text="Ru"),
        content(1, text="by"),
        {"type": "citation-start", "index": 0, "delta": {"message": {"citations": CITATION}}},
        {"type": "citation-end", "index": 0},
        {"type": "content-end", "index": 1},
        {"type": "citation-start", "index": 1, "delta": {"message": {"citations": [{**CITATION, "sources": []}]}}},
        {"type": "tool-plan-delta", "delta": {"message": {"tool_plan": "I look."}}},
        call_event("start", 0, id="c1", type="function", function={"name": "f", "arguments": ""}),
        call_event("delta", 0, function={"arguments": '{"x":'}),
        call_event("delta", 0, function={"arguments": "1}"}),
        {"type": "tool-call-end", "index": 0},
        END,
    )
    events = read_stream(data + b"data: [DONE]\n\n")
    kinds = [type(event) for event in events]
    assert kinds == [
        Started,
        PartOpened,
        ThinkingDelta,
        PartClosed,
        PartOpened,
        TextDelta,
        TextDelta,
        CitationGiven,
        CitationGiven,
        PartClosed,
        PartOpened,
        ThinkingDelta,
        PartClosed,
        PartOpened,
        ToolCallDelta,
        ToolCallDelta,
        PartClosed,
        UsageReported,
        Stopped,
    ]
    folded = collect(events)
    assert folded.started == Started("r")
    assert [type(part) for part in folded.choices[0].parts] == [Thinking, Text, Thinking, ToolCall]


def test_probabilities_are_read_and_written() -> None:
    """Token by token; of several in one item the first gets the text."""
    item = {"text": "ab", "token_ids": [1, 2], "logprobs": [-0.5, -1]}
    tokens = (TokenLogprob("ab", -0.5), TokenLogprob("", -1.0))
    delta = {**content(0, text="ab"), "logprobs": item}
    read = collect(read_stream(stream(START, delta, {**content(0, text="c"), "logprobs": [{}, 1]}, END)))
    assert read.choices[0].logprobs == tokens
    assert (
        read_answer({**plain(content=[{"type": "text", "text": "ab"}]), "logprobs": [item]}).choices[0].logprobs
        == tokens
    )
    losses = Losses("response")
    events: list[Event] = [
        Started("r"),
        PartOpened(0, "text"),
        TextDelta(0, "a"),
        LogprobsGiven(0, (TokenLogprob("a", -0.5, top=(TokenLogprob("b", -1.0),)),)),
        PartClosed(0),
        Stopped("stop"),
    ]
    data = streamed(events, losses)
    check_stream("cohere_chat", data)
    assert collect(read_stream(data)).choices[0].logprobs == (TokenLogprob("a", -0.5),)
    choice = msgspec.structs.replace(response_of(Text("a")).choices[0], logprobs=(TokenLogprob("a", -0.5),))
    body = COHERE_CHAT.write_response(ChatResponse(choices=(choice,)), context())
    check_response("cohere_chat", body)
    assert json.loads(body)["logprobs"] == [{"text": "a", "token_ids": [], "logprobs": [-0.5]}]
    assert losses.header() == "dropped:logprobs.top"


def test_a_writer_that_was_given_nothing_still_ends_its_stream() -> None:
    """And one that was given several choices says that it left some out."""
    check_stream("cohere_chat", streamed([]))
    losses = Losses("response")
    streamed([Started(), PartOpened(0, "text", 1), PartClosed(0), Stopped("stop"), Stopped("stop", 1)], losses)
    assert losses.header() == "dropped:choices"


def test_a_seal_that_comes_in_a_stream_is_noted() -> None:
    """Cohere has no place for it."""
    losses = Losses("response")
    events = [Started(), PartOpened(0, "thinking"), SignatureDelta(0, SEAL), PartClosed(0), Stopped("stop")]
    assert [event["type"] for event in events_of(streamed(events, losses))[:-1]] == ["message-start", "message-end"]
    assert losses.header() == "dropped:signature"


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        ([content(0, text="a")], [Text("a")]),
        ([content(3, thinking="a")], [Thinking("a")]),
        ([begun(0), begun(0), content(0, text="a")], [Text(""), Text("a")]),
        (
            [begun(0), {"type": "content-end", "index": 0}, begun(1), {"type": "content-end", "index": 1}],
            [Text("")] * 2,
        ),
        ([begun(0, "thinking"), content(0, text="a"), {"type": "content-end", "index": 9}], [Thinking("a")]),
        ([begun(0), content(0, thinking="a")], [Text("a")]),
        ([call_event("delta", 0, function={"arguments": "x"}), {"type": "tool-call-end", "index": 0}], []),
        (
            [call_event("start", 0), call_event("start", 0, id="b")],
            [ToolCall(id="", name=""), ToolCall(id="b", name="")],
        ),
        (
            [call_event("start", 0, id="a", function={"name": "f", "arguments": "{}"})],
            [ToolCall(id="a", name="f", arguments="{}")],
        ),
        (
            [{"type": "tool-plan-delta", "delta": {}}, {"type": "content-delta", "index": 0}, {"type": "debug"}],
            [Thinking("")],
        ),
        ([{"type": "content-start", "index": 0, "delta": {"message": {"content": []}}}], [Text("")]),
        (
            [begun(0), begun(1), {"type": "content-end", "index": 0}, {"type": "content-end", "index": 1}],
            [Text(""), Text("")],
        ),
    ],
)
def test_events_out_of_order_make_the_best_of_it(events: list[Any], parts: list[Any]) -> None:
    """What comes out is well formed whatever goes in."""
    read = read_stream(stream(*events, END))
    assert list(collect(read).choices[0].parts) == parts
    opened = [event.index for event in read if isinstance(event, PartOpened)]
    assert opened == sorted(set(opened))
    assert sorted(event.index for event in read if isinstance(event, PartClosed)) == opened


def test_what_a_stream_has_beside_is_noted() -> None:
    """Unknown events and contents, and citations that belong to no text."""
    losses = Losses("response")
    data = stream(
        START,
        {"type": "citation-start", "delta": {"message": {"citations": CITATION}}},
        {"type": "citation-start", "delta": {"message": {"citations": [1]}}},
        begun(0, "poem"),
        {"type": "citation-start", "delta": {"message": {"citations": {"start": 0, "end": 1}}}},
        {"type": "citation-start", "delta": {"message": {"citations": {"type": "PLAN"}}}},
        {"type": "new-event"},
        END,
    )
    (text,) = collect(read_stream(data, losses)).choices[0].parts
    assert isinstance(text, Text)
    assert [(citation.start, citation.end, citation.source) for citation in text.citations] == [(0, 1, "")]
    assert losses.header() == "dropped:citations,dropped:message.content[].poem,dropped:new-event"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (stream({"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "oops"}}), 502, "upstream_error"),
        (stream({"type": "message-end", "delta": {"finish_reason": "TIMEOUT"}}), 504, "upstream_timeout"),
        (stream(START, {"type": "message-end", "delta": {"error": {"a": 1}}}), 502, "upstream_error"),
        (b'data: {"message":"too bad"}\n\n', 502, "upstream_error"),
        (b"data: {\n\n", 502, "upstream_malformed"),
        (b'data: {"type":1}\n\n', 502, "upstream_malformed"),
        (stream(START), 502, "upstream_malformed"),
        (b"", 502, "upstream_malformed"),
        (b'event: x\ndata: {"type":', 502, "upstream_malformed"),
    ],
)
def test_a_stream_that_fails_says_so_last(data: bytes, status: int, code: str) -> None:
    """What comes behind a failure is not read."""
    events = read_stream(data)
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.status, events[-1].error.code) == (status, code)
    assert isinstance(events[0], Started)


def test_nothing_is_read_behind_an_end() -> None:
    """Neither a good one nor a failure."""
    for end in (END, {"type": "message-end", "delta": {"finish_reason": "ERROR"}}):
        reader = COHERE_CHAT.reader(Losses("response"))
        reader.feed(stream(START, end))
        assert reader.feed(stream(content(0, text="x"))) == []
        assert reader.finish() == []


def test_data_in_several_lines_is_read() -> None:
    """As the standard has it; the last event may lack its blank line."""
    data = b'data: {"type":\ndata: "content-delta","delta":{"message":{"content":{"text":"a"}}}}\n\n: comment\n\n'
    assert collect(read_stream(data + stream(END)[:-2])).choices[0].parts == (Text("a"),)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (None, None),
        ({}, None),
        ({"tokens": {"input_tokens": True}}, None),
        (
            {"tokens": {"input_tokens": 5.0, "output_tokens": 2, "reasoning_tokens": 1}},
            Usage(input=5, output=1, reasoning=1),
        ),
        ({"tokens": {"input_tokens": 5}, "cached_tokens": 3}, Usage(input=2, cache_read=3)),
        ({"tokens": {"input_tokens": 5}, "cached_tokens": 9}, Usage(cache_read=5, inconsistent=True)),
        (
            {
                "billed_units": {"input_tokens": 7, "output_tokens": 3},
                "tokens": {"input_tokens": 500, "output_tokens": 9, "reasoning_tokens": 5},
                "cached_tokens": 144,
            },
            Usage(input=7, reasoning=3),
        ),
        (
            {"billed_units": {"input_tokens": 7}, "tokens": {"input_tokens": 4, "image_tokens": 3}},
            Usage(input=4, image_input=3),
        ),
        ({"billed_units": {"output_tokens": 7}, "cached_tokens": 1}, Usage(output=7, inconsistent=True)),
    ],
)
def test_what_is_billed_is_what_was_used(reported: Any, usage: Usage | None) -> None:
    """Cached tokens are told apart only where billed and counted input are the same."""
    assert read_answer({**plain(), "usage": reported}).usage == usage
