"""Answers of OpenAI's Responses, plain and streamed, read as events."""

import json
from typing import Any

import pytest

from asgi_gateway.canonical import (
    Citation,
    CitationGiven,
    Failed,
    HostedCall,
    HostedResult,
    Inline,
    LogprobsGiven,
    Losses,
    Media,
    Native,
    PartClosed,
    PartOpened,
    Refusal,
    Seal,
    Started,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    TokenLogprob,
    ToolCall,
    ToolCallDelta,
    Usage,
    collect,
    wrap,
)
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES
from asgi_gateway.dialects.openai_responses.usage import usage_of
from asgi_gateway.errors import Fault, MalformedUpstream, UpstreamError
from support.openai_responses import answer, event, events_of, message, read_plain

GOOGLE = Seal(maker="google", kind="signature", data="QQ==")
TEXT = {"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}
CREATED = event("response.created", sequence_number=0, response={"id": "resp_1", "model": "m", "created_at": 7})
CALL = {"type": "function_call", "id": "fc_1", "call_id": "a", "name": "f", "arguments": '{"x":1}'}


def at(output: int = 0, content: int = 0, **fields: Any) -> dict[str, Any]:
    """The members of an event about a content of an item."""
    return {"output_index": output, "content_index": content, "item_id": "i", **fields}


def ended(*output: dict[str, Any], **fields: Any) -> bytes:
    """The last event of a stream."""
    return event("response.completed", response=answer(*output, **fields))


def test_a_plain_answer() -> None:
    """Reasoning, a text with its sources and probabilities, a refusal, and calls."""
    citation = {"type": "url_citation", "url": "https://x.test", "title": "X", "start_index": 0, "end_index": 5}
    token = {"token": "Hello", "logprob": -0.5, "bytes": [72], "top_logprobs": [{"token": "Hi", "logprob": -1}, 3]}
    response = read_plain(
        answer(
            {"type": "reasoning", "id": "rs_1", "summary": [{"text": "a"}, {"text": "b"}], "encrypted_content": "gA"},
            message({**TEXT, "annotations": [citation], "logprobs": [token]}, {"type": "refusal", "refusal": "No."}),
            CALL,
            {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "free"},
            service_tier="default",
            usage={
                "input_tokens": 9,
                "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3},
                "output_tokens": 7,
                "output_tokens_details": {"reasoning_tokens": 4},
                "total_tokens": 16,
            },
        )
    )
    assert response.started == Started("resp_1", "m", 7, "default")
    (choice,) = response.choices
    assert choice.parts == (
        Thinking("a\n\nb", Seal(maker="openai", kind="encrypted", data="gA"), "rs_1"),
        Text("Hello", (Citation(kind="url", url="https://x.test", title="X", start=0, end=5),)),
        Refusal("No."),
        ToolCall(id="a", name="f", arguments='{"x":1}'),
        ToolCall(id="b", name="g", arguments="free", custom=True),
    )
    assert choice.logprobs == (TokenLogprob("Hello", -0.5, (72,), (TokenLogprob("Hi", -1.0),)),)
    assert choice.stopped == Stopped("tool_calls", native="completed")
    assert response.usage == Usage(input=4, cache_read=2, cache_write=3, output=3, reasoning=4)


@pytest.mark.parametrize(
    ("fields", "stopped"),
    [
        ({}, Stopped("stop", native="completed")),
        ({"status": None}, Stopped("stop", native="completed")),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            Stopped("length", native="max_output_tokens"),
        ),
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            Stopped("content_filter", native="content_filter"),
        ),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, Stopped("other", native="steered")),
        ({"status": "incomplete"}, Stopped("other")),
        ({"status": "incomplete", "incomplete_details": {"reason": 1}}, Stopped("other")),
        ({"status": "queued"}, Stopped("other", native="queued")),
    ],
)
def test_reasons_to_stop(fields: dict[str, Any], stopped: Stopped) -> None:
    """As the status and its details tell."""
    assert read_plain(answer(message(TEXT), **fields)).choices[0].stopped == stopped


def test_a_refusal_is_a_reason_to_stop() -> None:
    """Responses says that it completed."""
    stopped = read_plain(answer(message({"type": "refusal", "refusal": "No."}))).choices[0].stopped
    assert stopped == Stopped("refusal", native="completed")


def test_items_that_come_whole() -> None:
    """Hosted calls, images, and what only OpenAI knows."""
    losses = Losses("response")
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    image = {"type": "image_generation_call", "id": "ig_1", "result": "QQ==", "output_format": "webp", "size": "1x1"}
    failed = {"type": "image_generation_call", "id": "ig_2", "result": None, "status": "failed"}
    compaction = {"type": "compaction", "id": "c", "encrypted_content": "x"}
    body = answer(search, image, failed, compaction, message({"type": "smell", "x": 1}, phase="commentary"))
    response = read_plain({**body, "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}, losses)
    assert response.choices[0].parts == (
        HostedCall(id="ws_1", tool="web_search", arguments='{"query":"q"}', dialect="openai_responses", native=search),
        HostedResult(call_id="ws_1", tool="web_search", dialect="openai_responses"),
        Media(kind="image", source=Inline("image/webp", "QQ=="), id="ig_1"),
        HostedCall(
            id="ig_2", tool="image_generation", arguments='{"prompt":null}', dialect="openai_responses", native=failed
        ),
        Native("openai_responses", "output[].compaction", compaction),
        Native("openai_responses", "output[].content[].smell", {"type": "smell", "x": 1}),
    )
    tools = (("web_search", 1), ("image_generation", 1))
    assert response.usage == Usage(input=1, output=1, tools=tools, images=(("/1x1", 1),))
    assert losses.header() == "dropped:output[].size,dropped:output[].phase"


def test_reasoning_with_both_texts_keeps_its_summary() -> None:
    """And notes the other."""
    losses = Losses("response")
    item = {"type": "reasoning", "id": "r", "summary": [{"text": "s"}], "content": [{"text": "c"}]}
    assert read_plain(answer(item), losses).choices[0].parts == (Thinking("s", None, "r"),)
    assert losses.header() == "dropped:output[].content"
    bare = {"type": "reasoning", "id": "r", "summary": [], "content": [{"text": "c"}]}
    assert read_plain(answer(bare)).choices[0].parts == (Thinking("c", None, "r"),)


def test_wrapped_seals_find_their_parts() -> None:
    """In front of a call, behind it, behind a text; one that finds none is noted."""
    losses = Losses("response")

    def sealed(call: str) -> dict[str, Any]:
        return {"type": "reasoning", "id": "r", "summary": [], "encrypted_content": wrap(GOOGLE, call=call)}

    late = {**CALL, "call_id": "b"}
    body = answer(sealed("^"), message(TEXT), sealed("^"), sealed("a"), CALL, late, sealed("b"))
    assert read_plain(body, losses).choices[0].parts == (
        Text("Hello", seal=GOOGLE),
        ToolCall(id="a", name="f", arguments='{"x":1}', seal=GOOGLE),
        ToolCall(id="b", name="f", arguments='{"x":1}', seal=GOOGLE),
    )
    assert losses.header() == "dropped:output[].encrypted_content"


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", MalformedUpstream),
        (b"[]", MalformedUpstream),
        (b'{"id": "resp_1"}', MalformedUpstream),
        (b'{"output": [], "status": "failed"}', UpstreamError),
        (b'{"output": [], "status": "failed", "error": {"code": "server_error", "message": "m"}}', UpstreamError),
        (b'{"error": "no"}', UpstreamError),
    ],
)
def test_a_plain_answer_that_is_none(body: bytes, kind: type[UpstreamError]) -> None:
    """Half of one, another shape, or an error inside."""
    with pytest.raises(kind):
        OPENAI_RESPONSES.read_response(body, Losses("response"))


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (None, None),
        ({}, None),
        ({"input_tokens": True}, None),
        ({"total_tokens": 5, "output_tokens": 2}, Usage(input=3, output=2)),
        ({"total_tokens": 5, "input_tokens": 2}, Usage(input=2, output=3)),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
            Usage(input=4, cache_read=1, output=2),
        ),
        (
            {
                "input_tokens": 5,
                "output_tokens": 2,
                "total_tokens": 17,
                "output_tokens_details": {"reasoning_tokens": 10},
            },
            Usage(input=5, output=2, reasoning=10),
        ),
        (
            {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "input_tokens_details": {"cached_tokens": 9}},
            Usage(cache_read=1, output=2, inconsistent=True),
        ),
        ({"input_tokens": 1, "output_tokens": 2, "total_tokens": 9}, Usage(input=1, output=2, inconsistent=True)),
        (
            {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3, "num_server_side_tools_used": 4},
            Usage(input=1, output=2, tools=(("other", 4),)),
        ),
    ],
)
def test_usage_in_disjoint_kinds(reported: Any, usage: Usage | None) -> None:
    """The totals win; what does not add up is marked."""
    assert usage_of(reported) == usage


def test_a_stream_of_a_text() -> None:
    """Deltas, sources and probabilities; what is said again at the end is not."""
    annotation = {"type": "file_citation", "file_id": "f", "filename": "n", "index": 1}
    whole = {**TEXT, "annotations": [annotation]}
    wire = b"".join(
        [
            CREATED,
            event("response.in_progress", response={}),
            event("response.output_item.added", output_index=0, item=message()),
            event("response.content_part.added", **at(part={**TEXT, "text": ""})),
            event("response.output_text.delta", **at(delta="Hel", logprobs=[])),
            event("response.output_text.delta", **at(delta="lo", logprobs=[{"token": "lo", "logprob": -1}])),
            event("response.output_text.annotation.added", **at(annotation=annotation, annotation_index=0)),
            event("response.output_text.done", **at(text="Hello")),
            event("response.content_part.done", **at(part=whole)),
            event("response.output_item.done", output_index=0, item=message(whole)),
            ended(message(whole), usage={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
        ]
    )
    losses = Losses("response")
    events = events_of(wire, losses)
    assert events[:6] == [
        Started("resp_1", "m", 7),
        PartOpened(0, "text"),
        TextDelta(0, "Hel"),
        TextDelta(0, "lo"),
        LogprobsGiven(0, (TokenLogprob("lo", -1.0),)),
        CitationGiven(0, Citation(kind="file", source="f", title="n", dialect="openai_responses", native=annotation)),
    ]
    assert events[6] == PartClosed(0)
    assert events[-1] == Stopped("stop", native="completed")
    assert len(events) == 9
    assert not losses


def test_a_stream_of_reasoning_and_calls() -> None:
    """Parts of a summary, a seal at the end, arguments bit by bit, and two calls at a time."""
    reasoning = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"text": "ab"}, {"text": "c"}],
        "encrypted_content": "gA",
    }
    second = {**CALL, "id": "fc_2", "call_id": "b"}
    free = {"type": "custom_tool_call", "id": "ctc_1", "call_id": "c", "name": "g", "input": "free"}
    wire = b"".join(
        [
            CREATED,
            event(
                "response.output_item.added", output_index=0, item={"type": "reasoning", "id": "rs_1", "summary": []}
            ),
            event("response.reasoning_summary_part.added", output_index=0, summary_index=0, part={}),
            event("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="a"),
            event("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="b"),
            event("response.reasoning_summary_text.delta", output_index=0, summary_index=1, delta="c"),
            event("response.output_item.done", output_index=0, item=reasoning),
            event("response.reasoning_summary_text.delta", output_index=0, summary_index=1, delta="late"),
            event("response.output_item.added", output_index=1, item={**CALL, "arguments": ""}),
            event("response.output_item.added", output_index=2, item={**second, "arguments": ""}),
            event("response.function_call_arguments.delta", output_index=1, delta='{"x"'),
            event("response.function_call_arguments.delta", output_index=1, delta=":1}"),
            event("response.function_call_arguments.done", output_index=1, arguments='{"x":1}'),
            event("response.output_item.done", output_index=2, item=second),
            event("response.output_item.done", output_index=1, item=CALL),
            event("response.output_item.added", output_index=3, item={**free, "input": ""}),
            event("response.custom_tool_call_input.delta", output_index=3, delta="free"),
            event("response.output_item.done", output_index=3, item=free),
            ended(reasoning, CALL, second, free),
        ]
    )
    events = events_of(wire)
    response = collect(events)
    assert response.choices[0].parts == (
        Thinking("ab\n\nc", Seal(maker="openai", kind="encrypted", data="gA"), "rs_1"),
        ToolCall(id="a", name="f", arguments='{"x":1}'),
        ToolCall(id="b", name="f", arguments='{"x":1}'),
        ToolCall(id="c", name="g", arguments="free", custom=True),
    )
    assert sorted(event.index for event in events if isinstance(event, PartClosed)) == [0, 1, 2, 3]
    assert [event.arguments for event in events if isinstance(event, ToolCallDelta)][:2] == ['{"x"', ":1}"]


def test_a_streamed_thought_beside_the_seal_of_a_call() -> None:
    """Both find their place."""
    item = {"type": "reasoning", "id": "r", "summary": [{"text": "hm"}], "encrypted_content": wrap(GOOGLE, call="a")}
    wire = b"".join(
        [
            event("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="hm"),
            event("response.output_item.done", output_index=0, item=item),
            ended(item, CALL),
        ]
    )
    assert collect(events_of(wire)).choices[0].parts == (
        Thinking("hm"),
        ToolCall(id="a", name="f", arguments='{"x":1}', seal=GOOGLE),
    )


def test_items_that_are_none_are_left_out() -> None:
    """In plain answers; and an error that says nothing is none."""
    assert read_plain(answer(3, message(TEXT))).choices[0].parts == (Text("Hello"),)  # type: ignore[arg-type]  # no item


def test_reasoning_of_open_models() -> None:
    """Its content is its text; a summary besides it is noted."""
    losses = Losses("response")
    wire = b"".join(
        [
            event("response.reasoning_text.delta", **at(delta="hm")),
            event("response.reasoning_summary_text.delta", output_index=0, summary_index=0, delta="short"),
            event("response.reasoning_text.delta", **at(delta="")),
            event("response.output_item.done", output_index=0, item={"type": "reasoning", "id": "r", "summary": []}),
            ended(),
        ]
    )
    assert collect(events_of(wire, losses)).choices[0].parts == (Thinking("hm"),)
    assert losses.header() == "dropped:output[].summary"


@pytest.mark.parametrize(
    "said",
    [
        [],
        [
            event("response.output_item.done", output_index=0, item=message(TEXT)),
            event("response.output_item.done", output_index=1, item=CALL),
        ],
        [event("response.content_part.done", **at(part=TEXT))],
        [
            event("response.output_item.added", output_index=0, item=message()),
            event("response.content_part.done", **at(part=TEXT)),
        ],
        [event("response.content_part.added", **at(part=TEXT)), event("response.content_part.done", **at(part=TEXT))],
        [
            event("response.output_text.delta", **at(delta="Hello")),
            event("response.output_item.done", output_index=0, item=message(TEXT)),
        ],
        [
            event("response.output_text.delta", **at(delta="Hello")),
            event("response.output_item.added", output_index=1, item={**CALL, "arguments": ""}),
        ],
        [
            event("response.output_text.delta", **at(delta="Hello")),
            event("response.output_item.done", output_index=0, item={}),
        ],
    ],
)
def test_streams_that_leave_things_out(said: list[bytes]) -> None:
    """What was not said in bits is taken from the ends."""
    response = collect(events_of(b"".join([*said, ended(message(TEXT), CALL)])))
    assert response.choices[0].parts == (Text("Hello"), ToolCall(id="a", name="f", arguments='{"x":1}'))
    assert response.started.id in ("resp_1", "")


def test_refusals_in_a_stream() -> None:
    """By deltas, or whole."""
    refusal = {"type": "refusal", "refusal": "No."}
    for said in (
        [event("response.refusal.delta", **at(delta="No.")), event("response.refusal.done", **at(refusal="No."))],
        [event("response.content_part.added", **at(part=refusal))],
        [],
    ):
        wire = b"".join([*said, event("response.content_part.done", **at(part=refusal)), ended(message(refusal))])
        choice = collect(events_of(wire)).choices[0]
        assert choice.parts == (Refusal("No."),)
        assert choice.stopped == Stopped("refusal", native="completed")


def test_progress_of_hosted_calls_is_skipped() -> None:
    """The item says it all; unknown events are noted, not lost."""
    losses = Losses("response")
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    wire = b"".join(
        [
            event("response.output_item.added", output_index=0, item=search),
            event("response.web_search_call.searching", output_index=0, item_id="ws_1"),
            event("response.image_generation_call.partial_image", output_index=0, partial_image_b64="QQ=="),
            event("keepalive", sequence_number=1),
            event("response.output_item.done", output_index=0, item=search),
            event("response.output_item.done", output_index=0, item=search),
            event("response.new.thing", x=1),
            event("", x=1),
            b": comment\n\n",
            b"data: 3\n\n",
            b"data: [DONE]\n\n",
            ended(search),
            event("response.output_text.delta", **at(delta="late")),
        ]
    )
    events = events_of(wire.replace(b"data: 3\n\n", b""), losses)
    assert len(collect(events).choices[0].parts) == 2
    assert losses.header() == "dropped:response.new.thing,dropped:event"


def test_deltas_that_belong_to_nothing() -> None:
    """Are noted or left out, never invented."""
    losses = Losses("response")
    wire = b"".join(
        [
            event("response.output_item.done", output_index=0, item=message(TEXT)),
            event("response.output_text.delta", **at(delta="late")),
            event("response.content_part.done", **at(part=TEXT)),
            event("response.function_call_arguments.delta", output_index=5, delta="x"),
            event("response.output_text.annotation.added", **at(5, annotation={})),
            event("response.output_text.delta", output_index="no"),
            event("response.output_item.added", output_index=1, item={"type": "reasoning", "id": "r"}),
            event("response.content_part.added", **at(1, part={"type": "reasoning_text"})),
            ended(message(TEXT)),
        ]
    )
    assert collect(events_of(wire, losses)).choices[0].parts == (Text("Hello"),)
    assert losses.header() == "dropped:output[].content[].annotations,dropped:event"


@pytest.mark.parametrize(
    ("last", "status", "text"),
    [
        (event("error", code="rate_limit_exceeded", message="slow down", param=None), 429, "slow down"),
        (event("error", error={"type": "insufficient_quota", "code": "insufficient_quota", "message": "m"}), 429, "m"),
        (
            event("response.failed", response={"status": "failed", "error": {"code": "server_error", "message": "m"}}),
            500,
            "m",
        ),
        (event("response.failed", response=None, message="m"), 502, "m"),
        (b'data: {"error": {"message": "m", "code": 503}}\n\n', 503, "m"),
    ],
)
def test_an_error_ends_the_stream(last: bytes, status: int, text: str) -> None:
    """Whatever its form; nothing is read behind it."""
    *_, failed = events_of(CREATED + last + ended(message(TEXT)))
    assert isinstance(failed, Failed)
    assert (failed.error.status, failed.error.message) == (status, text)


def test_the_channels_own_troubles_are_not_shown() -> None:
    """A key that is wrong is the channel's."""
    *_, failed = events_of(event("error", code="invalid_api_key", message="Incorrect API key sk-123456"))
    assert isinstance(failed, Failed)
    assert failed.error.fault is Fault.CHANNEL
    assert "sk-" not in failed.error.message


@pytest.mark.parametrize("wire", [b"", CREATED, CREATED + b"data: {", CREATED + b"data: 3\n\n", b"data: <html>\n\n"])
def test_a_stream_without_its_end_has_failed(wire: bytes) -> None:
    """Also one with an event that is no object."""
    failed = events_of(wire)[-1]
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, MalformedUpstream)


def test_an_incomplete_stream_ends_well() -> None:
    """And its last event may come without a blank line, or with others' line ends."""
    body = json.dumps({"type": "response.incomplete", "response": answer(message(TEXT), status="incomplete")})
    for wire in (f"data: {body}".encode(), f"event: response.incomplete\r\ndata: {body}\r\n\r\n".encode()):
        response = collect(events_of(wire))
        assert response.failed is None
        assert response.choices[0].parts == (Text("Hello"),)
        assert response.choices[0].stopped == Stopped("other")
