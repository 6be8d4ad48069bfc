"""Converse's plain answers and ConverseStream's streams, read into events and written from them."""

import json
from typing import Any

import pytest

pytest.importorskip("botocore", reason="the vendor's SDK is asked what is valid")

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
    PlainText,
    Refusal,
    Remote,
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
    wrap,
)
from asgi_gateway.dialects.bedrock_converse import BEDROCK_CONVERSE
from asgi_gateway.dialects.bedrock_converse.frames import exception_frame, frame
from asgi_gateway.errors import MalformedUpstream, UpstreamError
from support.bedrock_converse import (
    answered,
    context,
    events_of,
    noted,
    read_answer,
    read_stream,
    stream,
    streamed,
)
from support.strict import check_response, check_stream

SIGNED = Seal(maker="anthropic", kind="signature", data="s")
REDACTED = Seal(maker="anthropic", kind="redacted", data="cmVk")
GOOGLES = Seal(maker="google", kind="signature", data="g")
OPENAIS = Seal(maker="openai", kind="encrypted", data="e")
USAGE = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
OWN = {"title": "T", "source": "s", "sourceContent": [{"text": "q"}]}
SEARCH = {"toolUseId": "h", "name": "nova_grounding", "input": {"q": 1}, "type": "server_tool_use"}
FOUND = {"toolUseId": "h", "type": "nova_grounding_result", "content": [{"text": "t"}, {"json": {"a": 1}}]}


def plain(*content: Any, **more: Any) -> dict[str, Any]:
    """A plain answer of these blocks."""
    message = {"role": "assistant", "content": list(content)}
    return {
        "output": {"message": message},
        "stopReason": "end_turn",
        "usage": USAGE,
        "metrics": {"latencyMs": 1},
        **more,
    }


def delta(number: int, **said: Any) -> dict[str, Any]:
    """A delta of a block, with the vendor's padding."""
    return {"contentBlockDelta": {"contentBlockIndex": number, "delta": said, "p": "abcd"}}


def begun(number: int, **start: Any) -> dict[str, Any]:
    """The start of a block."""
    return {"contentBlockStart": {"contentBlockIndex": number, "start": start}}


def ended(number: int) -> dict[str, Any]:
    """The end of a block."""
    return {"contentBlockStop": {"contentBlockIndex": number}}


START: dict[str, Any] = {"messageStart": {"role": "assistant"}}
STOP: dict[str, Any] = {"messageStop": {"stopReason": "end_turn"}}
META: dict[str, Any] = {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 1}}}


def response_of(*parts: Any, stopped: Stopped | None = None, **more: Any) -> ChatResponse:
    """A whole response with one choice of these parts."""
    choice = Choice(parts=parts, stopped=stopped or Stopped("stop", native="end_turn"))
    return ChatResponse(choices=(choice,), **more)


def test_a_plain_answer_is_read_block_by_block() -> None:
    """With its reason, its usage and its tier."""
    losses = Losses("response")
    answer = plain(
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"citationsContent": {"content": [{"text": "so"}], "citations": [OWN]}},
        {"toolUse": {"toolUseId": "a", "name": "f", "input": {"x": 1}}},
        {"toolUse": SEARCH},
        stopReason="stop_sequence",
        additionalModelResponseFields={"stop_sequence": "END"},
        serviceTier={"type": "flex"},
        performanceConfig={"latency": "standard"},
        trace={"guardrail": {}},
    )
    response = read_answer(answer, losses)
    assert response.started.service_tier == "flex"
    assert response.choices[0].stopped == Stopped(
        "stop_sequence", sequence="END", native="stop_sequence", details={"guardrail": {}}
    )
    thinking, text, call, hosted = response.choices[0].parts
    assert thinking == Thinking("hm", SIGNED)
    assert isinstance(text, Text)
    assert (text.text, text.citations[0].native) == ("so", OWN)
    assert call == ToolCall(id="a", name="f", arguments='{"x":1}')
    assert isinstance(hosted, HostedCall)
    assert response.usage == Usage(input=3, output=2, tools=(("web_search", 1),), service_tier="flex")
    assert not losses


def test_what_an_answer_has_beside_is_noted() -> None:
    """By name."""
    losses = Losses("response")
    response = read_answer(plain(stopReason=None, additionalModelResponseFields={"x": 1}, colour="red"), losses)
    assert response.choices[0].stopped == Stopped("other")
    assert noted(losses) == {"dropped:additionalModelResponseFields", "dropped:colour"}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{}", b'{"output":1}', b'{"output":{"message":{"content":1}}}'])
def test_what_is_no_answer_is_malformed(body: bytes) -> None:
    """Never an exception of another kind."""
    with pytest.raises(MalformedUpstream):
        BEDROCK_CONVERSE.read_response(body, Losses("response"))


def test_an_error_inside_a_plain_answer_is_raised() -> None:
    """With the status that belongs to its name."""
    with pytest.raises(UpstreamError, match="slow") as failed:
        read_answer({"__type": "ThrottlingException", "message": "slow"})
    assert (failed.value.status, failed.value.code) == (429, "ThrottlingException")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("end_turn", "stop"),
        ("tool_use", "tool_calls"),
        ("max_tokens", "length"),
        ("stop_sequence", "stop_sequence"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("malformed_model_output", "other"),
        ("malformed_tool_use", "malformed_tool_call"),
        ("model_context_window_exceeded", "context_length"),
    ],
)
def test_reasons_to_stop_survive(word: str, reason: StopReason) -> None:
    """Each of Converse's own words comes back."""
    response = read_answer(plain(stopReason=word))
    assert response.choices[0].stopped == Stopped(reason, native=word)
    losses = Losses("response")
    assert answered(response, losses)["stopReason"] == word
    assert losses.header() == "invented:metrics"


@pytest.mark.parametrize(
    ("stopped", "word", "lost"),
    [
        (Stopped("stop", native="STOP"), "end_turn", False),
        (Stopped("content_filter"), "content_filtered", False),
        (Stopped("refusal"), "content_filtered", True),
        (Stopped("pause"), "end_turn", True),
        (None, "end_turn", True),
    ],
)
def test_other_reasons_are_written_by_the_nearest_word(stopped: Stopped | None, word: str, lost: bool) -> None:
    """And noted where it is not the same."""
    losses = Losses("response")
    choice = Choice(stopped=stopped)
    assert answered(ChatResponse(choices=(choice, choice)), losses)["stopReason"] == word
    assert ("approximated:stopReason" in noted(losses)) is lost
    assert noted(losses) >= {"dropped:choices", "invented:usage", "invented:metrics"}


PARTS = (
    Thinking("hm", SIGNED),
    Thinking("", REDACTED),
    Thinking("g", GOOGLES),
    Thinking("", OPENAIS),
    Thinking("bare"),
    Thinking(""),
    Text(
        "so",
        (
            Citation(kind="url", url="https://x.test", title="T", quoted="q"),
            Citation(kind="document", source="d"),
            Citation(kind="document", dialect="bedrock_converse", native=OWN),
        ),
    ),
    Text("signed", seal=GOOGLES),
    Refusal("No."),
    Text(""),
    Media(kind="image", source=Inline("image/png", "aGk=")),
    Media(kind="image", source=Remote("https://x.test")),
    HostedCall(id="h", tool="web_search", dialect="bedrock_converse", native=SEARCH),
    HostedResult(call_id="h", tool="web_search", dialect="bedrock_converse", native=FOUND),
    HostedCall(id="i", tool="code_execution"),
    ToolResult(call_id="x"),
    Native("other", "field", {}),
    ToolCall(id="a", name="f", arguments='{"x":1}', seal=GOOGLES),
    ToolCall(id="b", name="f"),
    ToolCall(id="c", name="g", arguments='say "hi"', custom=True),
)


def test_every_kind_of_part_is_written_or_noted() -> None:
    """Plain and streamed; both are what the service's model allows, and mean the same."""
    usage = Usage(input=3, cache_read=1, cache_write=2, cache_write_1h=4, output=2, tools=(("web_search", 1),))
    response = response_of(*PARTS, stopped=Stopped("tool_calls", sequence="x"), usage=usage)
    whole, told = Losses("response"), Losses("response")
    body = BEDROCK_CONVERSE.write_response(response, context(whole))
    check_response("bedrock_converse", body)
    wire = streamed(list(unfold(response)), told)
    check_stream("bedrock_converse", wire)
    assert (
        noted(whole)
        == noted(told)
        == {
            "dropped:signature",
            "approximated:refusal",
            "dropped:image",
            "dropped:code_execution",
            "dropped:tool_result",
            "dropped:field",
            "approximated:tool_calls[].custom",
            "invented:metrics",
        }
    )
    plainly, streaming = read_answer(json.loads(body)), collect(read_stream(wire))
    assert [_with_arguments(part) for part in plainly.choices[0].parts] == [
        _with_arguments(part) for part in streaming.choices[0].parts
    ]
    assert plainly.usage == streaming.usage == usage
    parts = plainly.choices[0].parts
    assert parts[:5] == PARTS[:5]
    text = parts[5]
    assert isinstance(text, Text)
    assert [(citation.url, citation.title, citation.source) for citation in text.citations] == [
        ("https://x.test", "T", ""),
        ("", "", "d"),
        ("", "T", "s"),
    ]
    assert parts[-3:] == (
        PARTS[-3],
        ToolCall(id="b", name="f", arguments="{}"),
        ToolCall(id="c", name="g", arguments='{"input":"say \\"hi\\""}'),
    )
    assert plainly.choices[0].stopped == Stopped("tool_calls", sequence="x", native="tool_use")


def _with_arguments(part: Any) -> Any:
    return (part.id, part.name, part.arguments or "{}", part.seal) if isinstance(part, ToolCall) else part


def test_a_seal_stands_in_front_of_its_call_or_behind_it() -> None:
    """In front when it comes before the first argument, which is what its reader waits for."""
    call = PartOpened(0, "tool_call", id="a", name="f")
    early = [Started(), call, SignatureDelta(0, GOOGLES), ToolCallDelta(0, "{}"), PartClosed(0), Stopped("tool_calls")]
    late = [Started(), call, ToolCallDelta(0, "{}"), SignatureDelta(0, GOOGLES), PartClosed(0), Stopped("tool_calls")]
    for events, place in ((early, 1), (late, 4)):
        wire = streamed(events)
        check_stream("bedrock_converse", wire)
        assert events_of(wire)[place][1]["delta"] == {"reasoningContent": {"redactedContent": wrap(GOOGLES, call="a")}}
        assert collect(read_stream(wire)).choices[0].parts == (
            ToolCall(id="a", name="f", arguments="{}", seal=GOOGLES),
        )


def test_parts_that_come_whole_are_streamed_as_the_others() -> None:
    """Or noted, where a stream has no place for them."""
    losses = Losses("response")
    document = Media(kind="document", source=PlainText("t"), name="n")
    own = Native("bedrock_converse", "x", {"searchResult": {}})
    parts = (
        Thinking("hm", SIGNED),
        Text("t"),
        Refusal("No."),
        ToolCall(id="a", name="f", arguments="{}"),
        document,
        own,
    )
    events: list[Event] = [Started(), *(PartGiven(n, part) for n, part in enumerate(parts)), Stopped("stop")]
    assert collect(read_stream(streamed(events, losses))).choices[0].parts == (
        Thinking("hm", SIGNED),
        Text("t"),
        Text("No."),
        ToolCall(id="a", name="f", arguments="{}"),
    )
    assert noted(losses) >= {"dropped:document", "dropped:searchResult"}
    assert answered(response_of(own))["output"]["message"]["content"] == [own.value]


def test_a_stream_is_read_event_by_event() -> None:
    """Texts and thinking are opened by their first delta, calls by their start."""
    events = read_stream(
        stream(
            START,
            delta(0, reasoningContent={"text": "hm"}),
            delta(0, reasoningContent={"signature": "s"}),
            ended(0),
            delta(1, text=""),
            delta(1, text="so"),
            delta(1, citation=OWN),
            ended(1),
            begun(2, toolUse={"toolUseId": "a", "name": "f"}),
            delta(2, toolUse={"input": '{"x":'}),
            delta(2, toolUse={"input": "1}"}),
            ended(2),
            STOP,
            META,
        )
    )
    assert [type(event) for event in events] == [
        Started,
        PartOpened,
        ThinkingDelta,
        SignatureDelta,
        PartClosed,
        PartOpened,
        TextDelta,
        CitationGiven,
        PartClosed,
        PartOpened,
        ToolCallDelta,
        ToolCallDelta,
        PartClosed,
        Stopped,
        UsageReported,
    ]
    assert collect(events).choices[0].parts[2] == ToolCall(id="a", name="f", arguments='{"x":1}')


def test_amazons_own_tools_and_images_are_gathered() -> None:
    """They make sense only whole."""
    losses = Losses("response")
    response = collect(
        read_stream(
            stream(
                START,
                begun(0, toolUse={key: value for key, value in SEARCH.items() if key != "input"}),
                delta(0, toolUse={"input": '{"q":1}'}),
                ended(0),
                begun(1, toolResult={"toolUseId": "h", "type": "nova_grounding_result", "status": "error"}),
                delta(1, toolResult=[{"text": "t"}, {"json": {"a": 1}}, 1]),
                ended(1),
                begun(2, image={"format": "png"}),
                delta(2, image={"source": {"bytes": "aGk="}}),
                ended(2),
                begun(3, image={"format": "png"}),
                delta(3, image={"error": {"message": "no"}}),
                begun(4, toolUse={"toolUseId": "i", "name": "x", "type": "server_tool_use"}),
                delta(4, toolUse={"input": "{broken"}),
                begun(5),
                delta(6, image={"source": {}}),
                STOP,
            ),
            losses,
        )
    )
    call, result, image, broken = response.choices[0].parts
    assert call == HostedCall(id="h", tool="web_search", arguments='{"q":1}', dialect="bedrock_converse", native=SEARCH)
    assert isinstance(result, HostedResult)
    assert (result.parts, result.failed) == ((Text("t"), Text('{"a":1}')), True)
    assert image == Media(kind="image", source=Inline("image/png", "aGk="))
    assert isinstance(broken, HostedCall)
    assert broken.native["input"] == {}
    assert losses.header() == "dropped:image"


@pytest.mark.parametrize(
    ("events", "parts"),
    [
        ([delta(0, text="a"), delta(0, reasoningContent={"text": "b"})], [Text("a"), Thinking("b")]),
        ([delta(0, toolUse={"input": "x"}), ended(0)], []),
        (
            [begun(0, toolUse={"toolUseId": "a", "name": "f"}), begun(0, toolUse={"toolUseId": "b", "name": "g"})],
            [ToolCall(id="a", name="f"), ToolCall(id="b", name="g")],
        ),
        (
            [begun(0, toolUse={"toolUseId": "a", "name": "f"}), delta(0, toolUse={"input": ""})],
            [ToolCall(id="a", name="f")],
        ),
        ([delta(0, reasoningContent={})], []),
        ([{"contentBlockDelta": {}}, {"contentBlockStart": {}}, {"initial-response": {}}], []),
    ],
)
def test_events_out_of_order_make_the_best_of_it(events: list[Any], parts: list[Any]) -> None:
    """What comes out is well formed whatever goes in."""
    read = read_stream(stream(*events, STOP))
    assert list(collect(read).choices[0].parts) == parts
    opened = [event.index for event in read if isinstance(event, PartOpened)]
    assert sorted(event.index for event in read if isinstance(event, PartClosed)) == opened


def test_nothing_of_a_choice_is_read_behind_its_stop() -> None:
    """The usage is; what is not known is noted, and so is a seal without its call."""
    losses = Losses("response")
    sealed = delta(0, reasoningContent={"redactedContent": wrap(GOOGLES, call="gone")})
    behind = (STOP, delta(1, text="x"), begun(2, toolUse={"toolUseId": "a", "name": "f"}), ended(2))
    meta = {"metadata": {"usage": USAGE, "trace": {}}}
    events = read_stream(stream(START, sealed, STOP, *behind, {"newEvent": {}}, meta, {"metadata": {}}), losses)
    assert [type(event) for event in events] == [Started, Stopped, UsageReported]
    assert noted(losses) == {"dropped:reasoningContent", "dropped:newEvent", "dropped:trace"}


ERROR = b"".join(
    bytes((len(name),)) + name.encode() + b"\x07" + len(text).to_bytes(2, "big") + text.encode()
    for name, text in {":message-type": "error", ":error-code": "Boom", ":error-message": "it broke"}.items()
)


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (exception_frame("throttlingException", b'{"message":"slow"}'), 429, "ThrottlingException"),
        (exception_frame("modelStreamErrorException", b'{"originalMessage":"x"}'), 424, "ModelStreamErrorException"),
        (stream(START) + exception_frame("newException", b"no json"), 502, "NewException"),
        (frame(ERROR, b""), 502, "Boom"),
        (stream(START), 502, "upstream_malformed"),
        (stream(START, STOP)[:-1], 502, "upstream_malformed"),
        (b"{}" * 20, 502, "upstream_malformed"),
        (stream({"contentBlockDelta": {"delta": {"text": 1}}}), 502, "upstream_malformed"),
        (b"", 502, "upstream_malformed"),
    ],
)
def test_a_stream_that_fails_says_so_last(data: bytes, status: int, code: str) -> None:
    """What comes behind a failure is not read."""
    events = read_stream(data)
    assert (type(events[0]), type(events[-1])) == (Started, Failed)
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.status, events[-1].error.code) == (status, code)


def test_nothing_is_read_behind_a_failure() -> None:
    """It ends everything."""
    reader = BEDROCK_CONVERSE.reader(Losses("response"))
    failure = exception_frame("throttlingException", b"{}")
    assert len(reader.feed(failure + stream(START, STOP))) == 2
    assert reader.feed(stream(STOP)) == []
    assert reader.finish() == []


def test_what_a_stream_has_no_place_for_is_noted() -> None:
    """Probabilities, seals of texts, other choices; a stream of nothing still ends."""
    losses = Losses("response")
    events: list[Event] = [
        Started(service_tier="flex"),
        PartOpened(0, "refusal"),
        TextDelta(0, "No."),
        SignatureDelta(0, GOOGLES),
        LogprobsGiven(0, (TokenLogprob("a", -1.0),)),
        PartClosed(0),
        PartOpened(1, "text", 1),
        Stopped("stop"),
        Stopped("stop", 1),
    ]
    wire = streamed(events, losses)
    check_stream("bedrock_converse", wire)
    assert events_of(wire)[-1][1]["serviceTier"] == {"type": "flex"}
    assert noted(losses) == {
        "approximated:refusal",
        "dropped:signature",
        "dropped:logprobs",
        "dropped:choices",
        "invented:usage",
        "invented:metrics",
    }
    check_stream("bedrock_converse", streamed([]))
    told = Losses("response")
    choice = Choice(parts=(Text("a"),), stopped=Stopped("stop"), logprobs=(TokenLogprob("a", -1.0),))
    whole = answered(ChatResponse(started=Started(service_tier="flex"), choices=(choice,)), told)
    assert whole["serviceTier"] == {"type": "flex"}
    assert "dropped:logprobs" in noted(told)


@pytest.mark.parametrize(
    ("reported", "usage"),
    [
        (None, None),
        ({}, None),
        ({"inputTokens": 5}, Usage(input=5)),
        (
            {"inputTokens": 5, "outputTokens": 2, "totalTokens": 7, "cacheReadInputTokens": 3},
            Usage(input=5, cache_read=3, output=2),
        ),
        ({"inputTokens": 5, "outputTokens": 2, "totalTokens": 9}, Usage(input=5, output=2, inconsistent=True)),
        (
            {
                "inputTokens": 1,
                "outputTokens": 1,
                "totalTokens": 8,
                "cacheWriteInputTokens": 6,
                "cacheDetails": [{"ttl": "1h", "inputTokens": 4}, {"ttl": "5m", "inputTokens": 2}, 1],
            },
            Usage(input=1, cache_write=2, cache_write_1h=4, output=1),
        ),
    ],
)
def test_input_leaves_out_what_the_cache_gave(reported: Any, usage: Usage | None) -> None:
    """Totals may have it or not; what else does not add up is marked."""
    assert read_answer(plain(usage=reported)).usage == usage
