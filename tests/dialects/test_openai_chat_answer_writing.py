"""Answers written for a caller of OpenAI's chat, plain and streamed."""

from typing import Any

import pytest

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    CitationGiven,
    Event,
    Failed,
    FunctionTool,
    HostedCall,
    HostedResult,
    Inline,
    Media,
    Native,
    Part,
    PartClosed,
    PartGiven,
    PartOpened,
    Refusal,
    Seal,
    SignatureDelta,
    Started,
    Stopped,
    StopReason,
    Stored,
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
from asgi_gateway.dialects.contract import AnswerContext
from asgi_gateway.dialects.openai_chat import OPENAI_CHAT
from asgi_gateway.errors import UpstreamError
from support.openai_chat import chunks_of, context_of, events_of, read_plain, streamed, written_plain

CLAUDE = Seal(maker="anthropic", kind="signature", data="c2ln")
GOOGLE = Seal(maker="google", kind="signature", data="Zw==")
OTHER = Seal(maker="cohere_chat", kind="encrypted", data="eA==")
LEGACY: dict[str, Any] = {"tools": (FunctionTool(name="f", dialect="openai_chat:functions"),)}


def response_of(*parts: Part, reason: StopReason = "stop", **fields: Any) -> ChatResponse:
    """A response of these parts."""
    return ChatResponse(choices=(Choice(parts=parts, stopped=Stopped(reason)),), **fields)


def message(*parts: Part, context: AnswerContext | None = None) -> dict[str, Any]:
    """The message written for these parts."""
    found: dict[str, Any] = written_plain(response_of(*parts), context)["choices"][0]["message"]
    return found


def deltas(*parts: Part, context: AnswerContext | None = None) -> list[dict[str, Any]]:
    """The deltas of the stream written for these parts, without the first, which names the role, and the last."""
    chunks = chunks_of(streamed(list(unfold(response_of(*parts))), context))
    first, *middle, last = (chunk["choices"][0]["delta"] for chunk in chunks)
    assert (first, last) == ({"role": "assistant", "content": "", "refusal": None}, {})
    return middle


def test_a_plain_answer() -> None:
    """Every field that must be there; key order is fixed."""
    response = response_of(Text("Hello"), started=Started("msg_1", "claude", 7, "priority"), usage=Usage(input=1))
    assert OPENAI_CHAT.write_response(response, context_of()) == (
        b'{"id":"msg_1","object":"chat.completion","created":7,"model":"claude","service_tier":"priority",'
        b'"choices":[{"index":0,"message":{"role":"assistant","content":"Hello","refusal":null},"logprobs":null,'
        b'"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":0,"total_tokens":1,'
        b'"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"completion_tokens_details":'
        b'{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}'
    )


def test_what_the_upstream_did_not_say_is_made() -> None:
    """An id, a time, the name asked for; an answer without choices has an empty one."""
    body = written_plain(ChatResponse())
    assert (body["id"], body["created"], body["model"]) == ("chatcmpl-0123456789abcdef", 1700000000, "asked")
    assert body["choices"][0]["message"] == {"role": "assistant", "content": None, "refusal": None}
    assert "usage" not in body


def test_a_stream() -> None:
    """Chunks as OpenAI's; the usage in front of the end, because it was asked for."""
    events: list[Event] = [
        Started("chatcmpl-1", "m", 7, "flex"),
        PartOpened(0, "text"),
        TextDelta(0, 'He said "hi"'),
        PartClosed(0),
        UsageReported(Usage(input=1, cache_read=2, cache_write=3, cache_write_1h=4, output=5, reasoning=6)),
        Stopped("length"),
    ]
    head = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":7,"model":"m","service_tier":"flex",'
    tail = b'"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
    assert streamed(events, context_of(wants_usage=True)) == (
        head
        + b'"choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},'
        + tail
        + head
        + b'"choices":[{"index":0,"delta":{"content":"He said \\"hi\\""},'
        + tail
        + head
        + b'"choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}],"usage":null}\n\n'
        + head
        + b'"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":11,"total_tokens":21,'
        + b'"prompt_tokens_details":{"cached_tokens":2,"audio_tokens":0,"cache_write_tokens":7},'
        + b'"completion_tokens_details":{"reasoning_tokens":6,"audio_tokens":0,"accepted_prediction_tokens":0,'
        + b'"rejected_prediction_tokens":0}}}\n\n'
        + b"data: [DONE]\n\n"
    )
    assert b"usage" not in streamed(events)


def test_usage_that_was_not_told_is_not_made_up() -> None:
    """Absent differs from zero."""
    assert [chunk["usage"] for chunk in chunks_of(streamed([Started()], context_of(wants_usage=True)))] == [None, None]


def test_kinds_of_usage_that_are_not_always_named() -> None:
    """Images that went in; those that came out have no place but the total."""
    usage = written_plain(response_of(usage=Usage(image_input=1, image_output=2)))["usage"]
    assert usage["prompt_tokens_details"]["image_tokens"] == 1
    assert usage["completion_tokens"] == 2
    assert "image_tokens" not in usage["completion_tokens_details"]


@pytest.mark.parametrize(
    ("tier", "expected", "lost"),
    [("standard", "default", "none"), ("flex", "flex", "none"), ("on_demand", None, "dropped:service_tier")],
)
def test_tiers(tier: str, expected: str | None, lost: str) -> None:
    """In OpenAI's words, or not at all."""
    plain, stream = context_of(), context_of()
    response = response_of(started=Started("x", "m", 7, tier))
    assert written_plain(response, plain).get("service_tier") == expected
    assert chunks_of(streamed(list(unfold(response)), stream))[0].get("service_tier") == expected
    assert plain.losses.header() == stream.losses.header() == lost


def test_a_stream_that_says_nothing_still_ends() -> None:
    """And so does one whose parts are still open."""
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks_of(streamed([Started()]))] == [None, "stop"]
    seal = SignatureDelta(0, CLAUDE)
    open_still: list[Event] = [Started(), PartOpened(0, "thinking"), ThinkingDelta(0, "why"), seal]
    assert "reasoning_details" in chunks_of(streamed(open_still))[2]["choices"][0]["delta"]


def test_calls() -> None:
    """Numbered by themselves; no arguments are an empty object; ids that are missing are made."""
    parts = (Text("a"), ToolCall(id="x", name="f", arguments="{1}"), ToolCall(id="", name="g"))
    custom = ToolCall(id="z", name="h", arguments="free", custom=True)
    assert message(*parts, custom)["tool_calls"] == [
        {"id": "x", "type": "function", "function": {"name": "f", "arguments": "{1}"}},
        {"id": "call_0123456789abcdef1", "type": "function", "function": {"name": "g", "arguments": "{}"}},
        {"id": "z", "type": "custom", "custom": {"name": "h", "input": "free"}},
    ]

    def call(index: int, **fields: Any) -> dict[str, Any]:
        return {"tool_calls": [{"index": index, **fields}]}

    assert deltas(*parts, custom)[1:] == [
        call(0, id="x", type="function", function={"name": "f", "arguments": ""}),
        call(0, function={"arguments": "{1}"}),
        call(1, id="call_0123456789abcdef1", type="function", function={"name": "g", "arguments": ""}),
        call(1, function={"arguments": "{}"}),
        call(2, id="z", type="custom", custom={"name": "h", "input": ""}),
        call(2, custom={"input": "free"}),
    ]


def test_parallel_calls_overlap() -> None:
    """As they come."""
    events: list[Event] = [
        Started(),
        PartOpened(0, "tool_call", id="a", name="f"),
        PartOpened(1, "tool_call", id="b", name="g"),
        ToolCallDelta(1, "1"),
        ToolCallDelta(0, "2"),
        PartClosed(0),
        PartClosed(1),
        Stopped("tool_calls"),
    ]
    calls = [chunk["choices"][0]["delta"].get("tool_calls") for chunk in chunks_of(streamed(events))]
    assert [call[0]["index"] for call in calls if call] == [0, 1, 1, 0]


def test_the_older_form_of_calls() -> None:
    """For a caller of that form, who knows one call; a second is dropped and noted."""
    parts = (ToolCall(id="a", name="f", arguments="1"), ToolCall(id="b", name="f", arguments="2"))
    context = context_of(**LEGACY)
    choice = written_plain(response_of(*parts, reason="tool_calls"), context)["choices"][0]
    assert choice["message"]["function_call"] == {"name": "f", "arguments": "1"}
    assert choice["finish_reason"] == "function_call"
    assert context.losses.header() == "dropped:choices[].message.function_call"
    context = context_of(**LEGACY)
    chunks = chunks_of(streamed(list(unfold(response_of(*parts, reason="tool_calls"))), context))
    assert [chunk["choices"][0]["delta"].get("function_call") for chunk in chunks] == [
        None,
        {"name": "f", "arguments": ""},
        {"arguments": "1"},
        None,
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "function_call"
    assert context.losses.header() == "dropped:choices[].delta.function_call"


@pytest.mark.parametrize(
    ("reason", "parts", "expected", "lost"),
    [
        ("stop", (), "stop", "none"),
        ("stop", (ToolCall(id="a", name="f"),), "tool_calls", "none"),
        ("stop_sequence", (), "stop", "none"),
        ("length", (), "length", "none"),
        ("context_length", (), "length", "none"),
        ("tool_calls", (), "tool_calls", "none"),
        ("content_filter", (), "content_filter", "none"),
        ("refusal", (Refusal("No."),), "stop", "none"),
        ("refusal", (Text("x"),), "content_filter", "none"),
        ("pause", (), "stop", "approximated:finish_reason"),
        ("malformed_tool_call", (), "stop", "approximated:finish_reason"),
        ("other", (), "stop", "approximated:finish_reason"),
    ],
)
def test_reasons_to_stop(reason: StopReason, parts: tuple[Part, ...], expected: str, lost: str) -> None:
    """By the table, plain and streamed alike."""
    response = response_of(*parts, reason=reason)
    plain, stream = context_of(), context_of()
    assert written_plain(response, plain)["choices"][0]["finish_reason"] == expected
    assert chunks_of(streamed(list(unfold(response)), stream))[-1]["choices"][0]["finish_reason"] == expected
    assert plain.losses.header() == stream.losses.header() == lost


def test_what_a_reason_does_not_say_is_noted() -> None:
    """Which sequence was met, and explanations."""
    context = context_of()
    stopped = Stopped("stop_sequence", sequence="END", details={"why": 1})
    written_plain(ChatResponse(choices=(Choice(stopped=stopped), Choice())), context)
    assert context.losses.header() == "dropped:stop_sequence,dropped:stop_details"


def test_thinking_and_its_seals() -> None:
    """Text piece by piece; where anything is sealed, all of it again in details."""
    assert message(Thinking("why"), Text("so")) == {
        "role": "assistant",
        "content": "so",
        "refusal": None,
        "reasoning_content": "why",
    }
    assert deltas(Thinking("why"), Text("so")) == [{"reasoning_content": "why"}, {"content": "so"}]
    signed = {"type": "reasoning.text", "text": "why", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
    assert message(Thinking("why", CLAUDE))["reasoning_details"] == [signed]
    assert deltas(Thinking("why", CLAUDE)) == [{"reasoning_content": "why"}, {"reasoning_details": [signed]}]


def test_thoughts_are_told_apart() -> None:
    """A second thought closes the first; an id is told at once; every detail has its own index."""
    written = deltas(Thinking("a"), Thinking("b", None, "rs_1"))
    first = {"type": "reasoning.text", "text": "a", "format": "unknown", "index": 0}
    named = {"type": "reasoning.text", "text": "", "id": "rs_1", "format": None, "index": 1}
    assert written == [
        {"reasoning_content": "a"},
        {"reasoning_details": [first]},
        {"reasoning_details": [named]},
        {"reasoning_content": "b"},
    ]


def test_thoughts_between_texts_are_not_told_twice() -> None:
    """The text between tells them apart."""
    parts = (Thinking("a"), Text("b"), Thinking("c"), ToolCall(id="x", name="f"), Thinking("d", CLAUDE))
    stream = streamed(list(unfold(response_of(*parts, reason="tool_calls"))))
    thoughts = [part for part in collect(events_of(stream)).choices[0].parts if isinstance(part, Thinking)]
    assert thoughts == [Thinking("a"), Thinking("c"), Thinking("d", CLAUDE)]


def test_seals_of_calls_and_texts() -> None:
    """Google's in their own place, those of others in details; of a text Google's alone."""
    parts = (
        Text("t", seal=GOOGLE),
        ToolCall(id="a", name="f", arguments="1", seal=GOOGLE),
        ToolCall(id="b", name="f", arguments="2", seal=OTHER),
    )
    extra = {"extra_content": {"google": {"thought_signature": "Zw=="}}}
    plain = message(*parts)
    assert plain["extra_content"] == extra["extra_content"]
    assert plain["tool_calls"][0]["extra_content"] == extra["extra_content"]
    assert [detail["id"] for detail in plain["reasoning_details"]] == ["b"]
    stream = deltas(*parts)
    assert stream[1] == extra
    assert {"tool_calls": [{"index": 0, "function": {"arguments": ""}, **extra}]} in stream
    assert stream[-1] == {"reasoning_details": plain["reasoning_details"]}
    for write in (message, deltas):
        context = context_of()
        write(Text("t", seal=CLAUDE), context=context)
        assert context.losses.header() == "dropped:signature"


def test_sources() -> None:
    """Of several texts, each where it stands in the whole; in a stream at the end of the choice, in one chunk."""
    one = Citation(kind="url", url="https://a.test", title="A")
    two = Citation(kind="search_result", url="https://b.test", start=0, end=1)
    three = Citation(kind="document", source="d")
    parts = (Text("ab", (one,)), Text("cde", (two, three)))
    notes = [
        {
            "type": "url_citation",
            "url_citation": {"url": "https://a.test", "title": "A", "start_index": 0, "end_index": 2},
        },
        {
            "type": "url_citation",
            "url_citation": {"url": "https://b.test", "title": "", "start_index": 2, "end_index": 3},
        },
    ]
    plain, stream = context_of(), context_of()
    assert message(*parts, context=plain)["annotations"] == notes
    assert message(*parts, context=plain)["content"] == "abcde"
    assert deltas(*parts, context=stream)[-1] == {"annotations": notes}
    assert plain.losses.header() == stream.losses.header() == "approximated:citations,dropped:citations"
    unplaced = [Started(), PartOpened(0, "text"), CitationGiven(0, three), PartClosed(0), Stopped("stop")]
    assert len(chunks_of(streamed(unplaced))) == 2


def test_refusals() -> None:
    """In their own field."""
    assert message(Refusal("No"), Refusal("pe"))["refusal"] == "Nope"
    assert deltas(Refusal("No")) == [{"refusal": "No"}]


def test_media() -> None:
    """Images as routers have them, sound as OpenAI has it; the rest is dropped and noted."""
    image = Media(kind="image", source=Inline("image/png", "QQ=="))
    sound = Media(kind="audio", source=Inline("audio/wav", "AA=="), transcript="Hi", id="audio_1", expires=9)
    silent = Media(kind="audio", source=Stored("x", "openai"))
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}
    audio = {"id": "audio_1", "data": "AA==", "transcript": "Hi", "expires_at": 9}
    plain = message(image, image, sound)
    assert plain["images"] == [{**url, "index": 0}, {**url, "index": 1}]
    assert plain["audio"] == audio
    assert deltas(image, image, sound) == [
        {"images": [{**url, "index": 0}]},
        {"images": [{**url, "index": 1}]},
        {"audio": audio},
    ]
    assert message(silent)["audio"]["id"] == "audio_0123456789abcdef"
    for write in (message, deltas):
        context = context_of()
        write(Media(kind="video", source=Inline("video/mp4", "")), context=context)
        write(Media(kind="image", source=Stored("x", "openai")), context=context)
        assert context.losses.header() == "dropped:video,dropped:image"


def test_what_has_no_place() -> None:
    """Is dropped, and noted by its name; what this dialect knows goes back where it was."""
    parts = (
        HostedCall(id="h", tool="web_search"),
        HostedResult(call_id="h", tool="code_execution"),
        ToolResult(call_id="x"),
        Native("google_generate", "candidates[].x", 1),
        Native("openai_chat", "content[].reference", {}),
    )
    lost = "web_search,code_execution,tool_result,candidates[].x,content[].reference"
    own = (Native("openai_chat", "executed_tools", [1]), Native("openai_chat", "executed_tools", [2]))
    for write in (message, deltas):
        context = context_of()
        write(*parts, context=context)
        assert context.losses.header() == ",".join(f"dropped:{name}" for name in lost.split(","))
    assert message(*own)["executed_tools"] == [1, 2]
    assert deltas(own[0]) == [{"executed_tools": [1]}]


def test_texts_behind_calls_are_noted() -> None:
    """They stand in front of them."""
    context = context_of()
    found = message(ToolCall(id="a", name="f"), Text("then"), context=context)
    assert found["content"] == "then"
    assert context.losses.header() == "approximated:choices[].message.content"


def test_parts_that_come_whole() -> None:
    """Are written as if they had come in pieces."""
    events: list[Event] = [
        Started(),
        PartGiven(0, Thinking("why", CLAUDE)),
        PartGiven(1, Text("so")),
        PartGiven(2, ToolCall(id="a", name="f", arguments="{}"), 1),
        Stopped("stop"),
        Stopped("tool_calls", 1),
    ]
    found = collect(events_of(streamed(events)))
    assert found.choices[0].parts == (Thinking("why", CLAUDE), Text("so"))
    assert found.choices[1].parts == (ToolCall(id="a", name="f", arguments="{}"),)


def test_probabilities() -> None:
    """With their alternatives."""
    token = TokenLogprob("H", -0.5, (72,), (TokenLogprob("h", -1.0),))
    response = ChatResponse(choices=(Choice(parts=(Text("H"),), stopped=Stopped("stop"), logprobs=(token,)),))
    expected = {
        "content": [
            {
                "token": "H",
                "logprob": -0.5,
                "bytes": [72],
                "top_logprobs": [{"token": "h", "logprob": -1.0, "bytes": None}],
            }
        ],
        "refusal": None,
    }
    assert written_plain(response)["choices"][0]["logprobs"] == expected
    assert chunks_of(streamed(list(unfold(response))))[2]["choices"][0]["logprobs"] == expected
    assert read_plain(written_plain(response)).choices[0].logprobs == (token,)


def test_a_failure_is_no_part_of_a_stream() -> None:
    """It is written as an error, by `write_error_event`."""
    writer = OPENAI_CHAT.writer(context_of())
    assert writer.write([Started(), Failed(UpstreamError("boom"))]) == b""
