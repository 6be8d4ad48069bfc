"""Answers of Anthropic's Messages, plain and streamed, read and written."""

import json
from typing import Any

import pytest

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    CitationGiven,
    Failed,
    HostedCall,
    HostedResult,
    Inline,
    Losses,
    Media,
    Native,
    PartClosed,
    PartGiven,
    PartOpened,
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
from asgi_gateway.canonical.parts import Part
from asgi_gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from asgi_gateway.errors import MalformedUpstream, UpstreamError
from support.anthropic_messages import (
    answered,
    events_of,
    frame,
    message,
    noted,
    read_answer,
    read_stream,
    stream,
    streamed,
)

NAME = "anthropic_messages"
OWN = Seal(maker="anthropic", kind="signature", data="s")
REDACTED = Seal(maker="anthropic", kind="redacted", data="r")
GOOGLES = Seal(maker="google", kind="signature", data="g")
SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
FOUND = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
PLACE = {"type": "page_location", "cited_text": "q", "document_title": "D"}
COMPACTION = {"type": "compaction", "content": "short", "encrypted_content": "e"}

BLOCKS: tuple[tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]], Part], ...] = (
    (
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "thinking", "thinking": "", "signature": ""},
        [{"type": "thinking_delta", "thinking": "hm"}, {"type": "signature_delta", "signature": "s"}],
        Thinking("hm", OWN),
    ),
    (
        {"type": "redacted_thinking", "data": "r"},
        {"type": "redacted_thinking", "data": "r"},
        [],
        Thinking("", REDACTED),
    ),
    (
        {"type": "thinking", "thinking": "", "signature": "s"},
        {"type": "thinking", "thinking": "", "signature": ""},
        [{"type": "signature_delta", "signature": "s"}],
        Thinking("", OWN),
    ),
    (
        {"type": "text", "text": "hi", "citations": [PLACE]},
        {"type": "text", "text": ""},
        [{"type": "text_delta", "text": "hi"}, {"type": "citations_delta", "citation": PLACE}],
        Text("hi", (Citation(kind="document", title="D", quoted="q", dialect=NAME, native=PLACE),)),
    ),
    (
        SEARCH,
        {**SEARCH, "input": {}},
        [{"type": "input_json_delta", "partial_json": '{"query":"q"}'}],
        HostedCall(id="s", tool="web_search", arguments='{"query":"q"}', dialect=NAME, native=SEARCH),
    ),
    (FOUND, FOUND, [], HostedResult(call_id="s", tool="web_search", dialect=NAME, native=FOUND)),
    (
        COMPACTION,
        {"type": "compaction", "content": None},
        [{**COMPACTION, "type": "compaction_delta"}],
        Native(NAME, "content[].compaction", COMPACTION),
    ),
    (
        {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
        [{"type": "input_json_delta", "partial_json": '{"x":'}, {"type": "input_json_delta", "partial_json": "1}"}],
        ToolCall(id="a", name="f", arguments='{"x":1}'),
    ),
)
"""A block, how its stream begins, its deltas, and the part that it is."""


@pytest.mark.parametrize(("block", "start", "deltas", "part"), BLOCKS)
def test_blocks_are_read_and_written(block: Any, start: Any, deltas: list[Any], part: Part) -> None:
    """Plain and streamed alike, and back as they were."""
    reason = "tool_use" if isinstance(part, ToolCall) else "end_turn"
    plain = read_answer(message(block, stop_reason=reason))
    folded = collect(read_stream(stream((start, deltas), reason=reason)))
    assert plain.choices[0].parts == folded.choices[0].parts == (part,)
    assert answered(plain)["content"] == [block]
    told = events_of(streamed(list(unfold(plain))))
    assert told[1]["content_block"] == start
    assert collect(read_stream(streamed(list(unfold(folded))))).choices == folded.choices


def test_an_answer_is_read() -> None:
    """With who gave it, its usage, and why it stopped."""
    losses = Losses("response")
    usage = {
        "input_tokens": 3,
        "cache_read_input_tokens": 4,
        "cache_creation_input_tokens": 5,
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 6},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        "service_tier": "standard",
    }
    container = {"id": "c", "expires_at": "t"}
    answer = message(usage=usage, stop_reason="stop_sequence", stop_sequence="END", container=container, odd=1)
    assert read_answer(answer, losses) == ChatResponse(
        started=Started("msg_1", "claude-sonnet-4-5", 0, "default"),
        choices=(Choice(stopped=Stopped("stop_sequence", 0, "END", "stop_sequence", {"container": container})),),
        usage=Usage(
            input=3,
            cache_read=4,
            cache_write=2,
            cache_write_1h=3,
            output=3,
            reasoning=6,
            tools=(("web_search", 2), ("web_fetch", 1)),
        ),
    )
    assert noted(losses) == {"dropped:odd"}
    del answer["odd"]
    assert answered(read_answer(answer)).items() >= {"container": container, "stop_sequence": "END"}.items()


@pytest.mark.parametrize(
    ("usage", "read_as"),
    [
        (None, None),
        ({}, None),
        ({"output_tokens": 1}, Usage(output=1)),
        ({"input_tokens": True, "output_tokens": -1}, Usage()),
        (
            {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 3}},
            Usage(input=1, reasoning=2, inconsistent=True),
        ),
        (
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 2,
                "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 3},
            },
            Usage(input=1, cache_write_1h=2, inconsistent=True),
        ),
    ],
)
def test_usage_is_read(usage: Any, read_as: Usage | None) -> None:
    """Absent differs from zero; what does not add up is marked."""
    assert read_answer(message(usage=usage)).usage == read_as


def test_usage_of_a_stream_is_merged() -> None:
    """Numbers that the end does not have stand as the beginning said them; null says nothing."""
    end = {"output_tokens": 7, "input_tokens": None, "cache_read_input_tokens": 2}
    folded = collect(read_stream(stream(usage=end)))
    assert folded.usage == Usage(input=3, cache_read=2, output=7)


@pytest.mark.parametrize(
    ("native", "reason", "back"),
    [
        ("end_turn", "stop", "end_turn"),
        ("max_tokens", "length", "max_tokens"),
        ("pause_turn", "pause", "pause_turn"),
        ("refusal", "refusal", "refusal"),
        ("model_context_window_exceeded", "context_length", "model_context_window_exceeded"),
        ("odd", "other", "end_turn"),
    ],
)
def test_reasons_are_read_and_written(native: str, reason: StopReason, back: str) -> None:
    """Plain and streamed; a word that is not known keeps its name."""
    plain = read_answer(message(stop_reason=native))
    assert plain.choices[0].stopped == Stopped(reason, native=native)
    assert collect(read_stream(stream(reason=native))).choices == plain.choices
    losses = Losses("response")
    assert answered(plain, losses)["stop_reason"] == back
    assert ("approximated:finish_reason" in noted(losses)) is (native == "odd")


@pytest.mark.parametrize(
    ("parts", "reason", "word"),
    [
        ((ToolCall(id="a", name="f"),), "stop", "tool_use"),
        ((ToolCall(id="a", name="f"),), "length", "max_tokens"),
        ((), "tool_calls", "end_turn"),
        ((Refusal("No."),), "stop", "refusal"),
        ((), "content_filter", "refusal"),
    ],
)
def test_a_reason_fits_the_blocks(parts: tuple[Part, ...], reason: StopReason, word: str) -> None:
    """Clients act on it: with calls it is for them, without it is not; plain and streamed alike."""
    response = ChatResponse(choices=(Choice(parts=parts, stopped=Stopped(reason)),))
    assert answered(response)["stop_reason"] == word
    assert events_of(streamed(list(unfold(response))))[-2]["delta"]["stop_reason"] == word


def test_an_answer_that_says_nothing_is_whole() -> None:
    """With an id of ours, the model that was asked for, and a usage that is invented."""
    losses = Losses("response")
    assert answered(ChatResponse(), losses) == {
        "id": "msg_ours",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": [],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 0,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 0,
        },
    }
    assert noted(losses) == {"invented:usage"}
    assert [event["type"] for event in events_of(streamed([]))] == ["message_start", "message_delta", "message_stop"]


def test_all_of_the_usage_is_written() -> None:
    """Kinds that Anthropic does not tell apart are added to those that it has."""
    usage = Usage(
        input=1,
        audio_input=2,
        image_input=3,
        cache_read=4,
        cache_write=5,
        cache_write_1h=6,
        output=7,
        reasoning=8,
        audio_output=9,
        tools=(("web_search", 2),),
    )
    response = ChatResponse(started=Started(service_tier="priority"), usage=usage)
    expected = {
        "input_tokens": 6,
        "cache_creation_input_tokens": 11,
        "cache_read_input_tokens": 4,
        "output_tokens": 24,
        "output_tokens_details": {"thinking_tokens": 8},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0},
    }
    parts = {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 6}
    assert answered(response)["usage"] == {**expected, "cache_creation": parts, "service_tier": "priority"}
    losses = Losses("response")
    told = events_of(streamed([response.started, UsageReported(usage)], losses))
    assert told[0]["message"]["usage"]["cache_creation"] == parts
    assert told[-2]["usage"] == expected
    assert noted(losses) == {"approximated:usage.cache_creation"}


def test_seals_of_others_travel_wrapped() -> None:
    """In the signature; a call's own in an empty thought in front of it. Back they come each to its place."""
    encrypted = Seal(maker="openai", kind="encrypted", data="e")
    parts = (Thinking("t", GOOGLES), Thinking("", encrypted), ToolCall(id="a", name="f", arguments="{}", seal=GOOGLES))
    response = ChatResponse(
        started=Started("msg_1", "m"), choices=(Choice(parts=parts, stopped=Stopped("tool_calls", native="tool_use")),)
    )
    body = answered(response)
    assert body["content"] == [
        {"type": "thinking", "thinking": "t", "signature": wrap(GOOGLES)},
        {"type": "redacted_thinking", "data": wrap(encrypted)},
        {"type": "thinking", "thinking": "", "signature": wrap(GOOGLES, "a")},
        {"type": "tool_use", "id": "a", "name": "f", "input": {}},
    ]
    assert read_answer(body).choices == response.choices
    assert collect(read_stream(streamed(list(unfold(response))))).choices == response.choices


def test_a_seal_without_its_call_is_noted() -> None:
    """Plain and streamed; the thought beside it stays."""
    thought = {"type": "thinking", "thinking": "t", "signature": wrap(GOOGLES, "gone")}
    losses = Losses("response")
    assert read_answer(message(thought), losses).choices[0].parts == (Thinking("t"),)
    assert noted(losses) == {"dropped:content[].signature"}
    losses = Losses("response")
    folded = collect(read_stream(stream((thought, [])), losses))
    assert folded.choices[0].parts == (Thinking("t"),)
    assert noted(losses) == {"dropped:content[].signature"}


def test_what_has_no_place_in_an_answer_is_noted() -> None:
    """A picture becomes Markdown, a spoken answer its transcript; plain and streamed alike."""
    parts = (
        Text("", (), None, GOOGLES),
        Refusal(""),
        Thinking(),
        Text("t", (Citation(kind="url", url="u", title="T"), Citation(kind="file", source="f"))),
        Media(kind="image", source=Inline("image/png", "aGk=")),
        Media(kind="image", source=Remote("https://x.test")),
        Media(kind="audio", source=Inline("audio/wav", "aGk="), transcript="spoken"),
        Media(kind="audio", source=Inline("audio/wav", "aGk=")),
        HostedCall(id="h", tool="web_search", dialect="openai_responses"),
        Native("openai_chat", "choices[].message.x", {}),
        ToolResult(call_id="x"),
    )
    logprobs = (TokenLogprob("t", -0.5),)
    response = ChatResponse(choices=(Choice(parts=parts, logprobs=logprobs), Choice(stopped=Stopped("stop", 1))))
    plain, told = Losses("response"), Losses("response")
    texts = [block["text"] for block in answered(response, plain)["content"]]
    assert texts == ["t", "![image](data:image/png;base64,aGk=)", "![image](https://x.test)", "spoken"]
    folded = collect(read_stream(streamed(list(unfold(response)), told)))
    assert [part.text for part in folded.choices[0].parts if isinstance(part, Text)] == texts
    assert len(folded.choices[0].parts) == len(texts)
    assert noted(plain) == noted(told)
    assert noted(plain) == {
        "dropped:signature",
        "approximated:citations",
        "dropped:citations",
        "approximated:image",
        "approximated:audio",
        "dropped:audio",
        "dropped:web_search",
        "dropped:choices[].message.x",
        "dropped:tool_result",
        "dropped:choices",
        "dropped:logprobs",
        "invented:usage",
    }


def test_a_call_with_free_text_or_odd_arguments_is_streamed_as_an_object() -> None:
    """They come at once in the end."""
    for opened, pieces, expected in (
        (PartOpened(0, "tool_call", 0, "a", "f", True), ["x", "y"], {"input": "xy"}),
        (PartOpened(0, "tool_call", 0, "a", "f"), ["[1", "]"], {"arguments": "[1]"}),
        (PartOpened(0, "tool_call", 0, "a", "f"), [' {"x"', ":1}"], {"x": 1}),
        (PartOpened(0, "tool_call", 0, "a", "f"), [], {}),
    ):
        events = [Started(), opened, *(ToolCallDelta(0, piece) for piece in pieces), PartClosed(0)]
        told = events_of(streamed(events))
        text = "".join(event["delta"]["partial_json"] for event in told if event["type"] == "content_block_delta")
        assert json.loads(text or "{}") == expected


def test_a_seal_that_comes_too_late_is_noted() -> None:
    """A call that has begun has no place for it any more; nor has a text."""
    for opened, delta in (
        (PartOpened(0, "tool_call", 0, "a", "f"), ToolCallDelta(0, "{}")),
        (PartOpened(0, "text"), TextDelta(0, "t")),
    ):
        losses = Losses("response")
        streamed([Started(), opened, delta, SignatureDelta(0, GOOGLES), PartClosed(0)], losses)
        assert "dropped:signature" in noted(losses)


def test_parts_that_come_whole_or_overlap_are_written_in_order() -> None:
    """One block at a time; what is left open is closed at the end."""
    events = [
        Started("msg_1", "m"),
        PartOpened(0, "text"),
        PartOpened(1, "thinking"),
        TextDelta(0, "a"),
        ThinkingDelta(1, "b"),
        CitationGiven(0, Citation(kind="url", url="u")),
        PartGiven(2, Text("c")),
        PartGiven(3, ToolCall(id="x", name="f", arguments="{}")),
    ]
    told = events_of(streamed(events))
    starts = [event["content_block"]["type"] for event in told if event["type"] == "content_block_start"]
    assert starts[0] == "text"
    assert [event["index"] for event in told if event["type"] == "content_block_start"] == list(range(len(starts)))
    assert sum(event["type"] == "content_block_stop" for event in told) == len(starts)


@pytest.mark.parametrize(
    "body",
    [b"", b"[", b"1", b"{}", b'{"content": "x"}', b'{"content": [1]}', b"[" * 20000],
)
def test_a_plain_answer_that_is_no_message_is_malformed(body: bytes) -> None:
    """It is an upstream's failure, never a crash."""
    with pytest.raises(MalformedUpstream):
        ANTHROPIC_MESSAGES.read_response(body, Losses("response"))


def test_an_error_inside_of_an_answer_is_one() -> None:
    """With the status of its type; plain, and in a stream, which it ends."""
    error = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    with pytest.raises(UpstreamError) as failed:
        read_answer(error)
    assert (failed.value.status, failed.value.code) == (529, "overloaded_error")
    *events, last = read_stream(stream(reason=None) + frame(error) + stream())
    assert isinstance(last, Failed)
    assert (last.error.status, last.error.message) == (529, "busy")
    assert isinstance(events[0], Started)
    (_, other) = read_stream(b'data: {"error": "broken"}\n\n')
    assert isinstance(other, Failed)
    assert other.error.message == "broken"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"data: [1]\n\n",
        b"data: {\n\n",
        b"data: " + b"[" * 20000 + b"\n\n",
        stream(reason=None),
        stream(({"type": "text", "text": ""}, []), reason=None),
        stream()[:-120].rsplit(b"event: message_delta", 1)[0],
    ],
)
def test_a_stream_without_its_end_fails(data: bytes) -> None:
    """However much of it came."""
    assert isinstance(read_stream(data)[-1], Failed)


def test_an_event_that_is_too_long_fails() -> None:
    """Before it is whole."""
    reader = ANTHROPIC_MESSAGES.reader(Losses("response"))
    chunk = b"x" * (1 << 22)
    fed = [event for _ in range(9) for event in reader.feed(chunk)]
    assert isinstance(fed[-1], Failed)
    assert reader.feed(stream()) == []
    assert reader.finish() == []


def test_odd_events_are_noted_or_skipped() -> None:
    """Deltas of no block, kinds that are not known, blocks that begin again or after the end."""
    losses = Losses("response")
    text = {"type": "text", "text": "a"}
    events: list[dict[str, Any]] = [
        {"type": "content_block_start", "index": 0, "content_block": text},
        {"type": "content_block_start", "index": 0, "content_block": text},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "odd_delta"}},
        {"type": "content_block_delta", "index": 7, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_delta", "index": 0, "delta": 1},
        {"type": "content_block_stop", "index": 9},
        {"type": "content_block_stop"},
        {"type": "message_start", "message": message(id="msg_2")},
        {"type": "odd_event"},
        {"type": "message_delta", "delta": None},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "content_block_start", "index": 1, "content_block": text},
        {"type": "message_delta", "delta": {"stop_reason": "refusal"}},
    ]
    folded = collect(read_stream(b"".join(map(frame, events)) + frame({"type": "message_stop"}), losses))
    assert folded.choices == (Choice(parts=(Text("a"), Text("a")), stopped=Stopped("stop", native="end_turn")),)
    assert {"dropped:odd_event", "dropped:content[].odd_delta", "dropped:content[].text_delta"} <= noted(losses)


def test_a_block_without_a_type_is_noted() -> None:
    """Nothing can be made of it, plain or streamed."""
    for read in (lambda losses: read_answer(message({}), losses), lambda losses: read_stream(stream(({}, [])), losses)):
        losses = Losses("response")
        read(losses)
        assert noted(losses) == {"dropped:content[]"}


def test_a_hosted_calls_input_that_is_no_json_is_noted() -> None:
    """The call stays as it began."""
    losses = Losses("response")
    start = {**SEARCH, "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": "{"}]
    (part,) = collect(read_stream(stream((start, deltas)), losses)).choices[0].parts
    assert part == HostedCall(id="s", tool="web_search", arguments="{}", dialect=NAME, native=start)
    assert noted(losses) == {"dropped:content[].input"}


def test_a_call_may_begin_with_its_input() -> None:
    """Imitations of Anthropic's send it so."""
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}, "caller": {"type": "code_execution"}}
    losses = Losses("response")
    (part,) = collect(read_stream(stream((call, []), reason="tool_use"), losses)).choices[0].parts
    assert part == ToolCall(id="a", name="f", arguments='{"x":1}')
    assert noted(losses) == {"dropped:content[].caller"}
