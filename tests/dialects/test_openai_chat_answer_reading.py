"""Answers of upstreams, plain and streamed, read into events."""

import json
from base64 import b64encode
from typing import Any

import pytest

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    Failed,
    Inline,
    LogprobsGiven,
    Losses,
    Media,
    Native,
    Part,
    PartOpened,
    Refusal,
    Remote,
    Seal,
    SignatureDelta,
    Started,
    Stopped,
    Text,
    TextDelta,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
    collect,
    wrap,
)
from asgi_gateway.dialects.openai_chat import OPENAI_CHAT
from asgi_gateway.errors import MalformedUpstream, UpstreamError
from support.openai_chat import answer, chunk, events_of, read_plain

DONE = b"data: [DONE]\n\n"
END = chunk({}, "stop") + DONE
CLAUDE = Seal(maker="anthropic", kind="signature", data="c2ln")
GOOGLE = Seal(maker="google", kind="signature", data="Zw==")


def parts_of(*deltas: dict[str, Any], losses: Losses | None = None) -> tuple[Part, ...]:
    """The parts of a stream of these deltas."""
    found = collect(events_of(b"".join(map(chunk, deltas)) + END, losses))
    assert found.failed is None
    return found.choices[0].parts if found.choices else ()


def plain_parts(message: dict[str, Any], losses: Losses | None = None) -> tuple[Part, ...]:
    """The parts of a plain answer."""
    return read_plain(answer(message), losses).choices[0].parts


def test_a_plain_answer() -> None:
    """Its text, its end, its usage, and what it says of itself."""
    body = answer({"content": "Hello", "refusal": None}, service_tier="flex", usage={"prompt_tokens": 3})
    assert read_plain(body) == ChatResponse(
        started=Started("chatcmpl-1", "m", 1, "flex"),
        choices=(Choice(parts=(Text("Hello"),), stopped=Stopped("stop", native="stop")),),
        usage=Usage(input=3, service_tier="flex"),
    )


def test_a_stream() -> None:
    """The same, piece by piece; the usage stands in a chunk without choices."""
    usage = {"id": "x", "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}}
    wire = (
        chunk({"role": "assistant", "content": ""})
        + b": comment\n\n"
        + chunk({"content": "Hel"})
        + chunk({"content": "lo"})
        + chunk({}, "length")
        + b"data: "
        + json.dumps(usage).encode()
        + b"\r\n\r\n"
        + DONE
    )
    events = events_of(b"\xef\xbb\xbf" + wire + b"data: ignored\n\n")
    assert events[:3] == [Started("chatcmpl-1", "m", 1), PartOpened(0, "text"), TextDelta(0, "Hel")]
    assert collect(events) == ChatResponse(
        started=Started("chatcmpl-1", "m", 1),
        choices=(Choice(parts=(Text("Hello"),), stopped=Stopped("length", native="length")),),
        usage=Usage(input=3, output=2),
    )


@pytest.mark.parametrize(
    ("finish", "expected"),
    [
        ({"finish_reason": "stop"}, Stopped("stop", native="stop")),
        ({"finish_reason": "eos"}, Stopped("stop", native="eos")),
        ({"finish_reason": ""}, Stopped("stop")),
        ({"finish_reason": "length"}, Stopped("length", native="length")),
        ({"finish_reason": "model_length"}, Stopped("context_length", native="model_length")),
        (
            {"finish_reason": "stop", "native_finish_reason": "end_turn"},
            Stopped("stop", native="end_turn"),
        ),
        ({"finish_reason": "stop", "stop_reason": "END"}, Stopped("stop_sequence", sequence="END", native="stop")),
        ({"finish_reason": "stop", "stop_reason": 151643}, Stopped("stop", native="stop")),
        (
            {"finish_reason": "content_filter", "content_filter_results": {"hate": {"filtered": True}}},
            Stopped("content_filter", native="content_filter", details={"hate": {"filtered": True}}),
        ),
        ({"finish_reason": "abort"}, Stopped("other", native="abort")),
        ({"finish_reason": 3}, Stopped("stop")),
    ],
)
def test_reasons_to_stop(finish: dict[str, Any], expected: Stopped) -> None:
    """Of OpenAI and of its look-alikes."""
    body = answer({"content": "x"})
    body["choices"][0] |= finish
    assert read_plain(body).choices[0].stopped == expected


def test_calls_and_refusals_are_reasons_to_stop() -> None:
    """Whatever the upstream calls it: OpenAI says "stop" when a tool was forced."""
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    called = read_plain(answer({"content": None, "tool_calls": [call]})).choices[0]
    assert called.stopped == Stopped("tool_calls", native="stop")
    refused = read_plain(answer({"content": None, "refusal": "No."})).choices[0]
    assert (refused.parts, refused.stopped) == ((Refusal("No."),), Stopped("refusal", native="stop"))


def test_parallel_calls_in_a_stream() -> None:
    """Their deltas may come in any order."""
    first = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}
    second = {"index": 1, "id": "b", "type": "custom", "custom": {"name": "g", "input": ""}}
    assert parts_of(
        {"content": "Let me see."},
        {"tool_calls": [first]},
        {"tool_calls": [second]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x'}}]},
        {"tool_calls": [{"index": 1, "custom": {"input": "free"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '":1}'}}]},
    ) == (
        Text("Let me see."),
        ToolCall(id="a", name="f", arguments='{"x":1}'),
        ToolCall(id="b", name="g", arguments="free", custom=True),
    )


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        # Mistral: whole, without an index
        (
            [[{"id": "a", "function": {"name": "f", "arguments": "1"}}, {"id": "b", "function": {"name": "f"}}]],
            [("a", "f", "1"), ("b", "f", "")],
        ),
        # Gemini: neither index nor id
        (
            [[{"function": {"name": "f", "arguments": "1"}}], [{"function": {"name": "f", "arguments": "2"}}]],
            [("call_0", "f", "1"), ("call_1", "f", "2")],
        ),
        # every call counted 0
        (
            [
                [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "1"}}],
                [{"index": 0, "id": "b", "function": {"name": "g", "arguments": "2"}}],
            ],
            [("a", "f", "1"), ("b", "g", "2")],
        ),
        # the id repeated, or late; the name behind the first arguments; arguments decoded
        (
            [
                [{"index": 0, "function": {"arguments": "1"}}],
                [{"index": 0, "id": "a", "function": {"name": "f"}}],
                [{"index": 0, "id": "a", "function": {"name": "f", "arguments": "2"}}],
                [{"index": 1, "id": "b", "function": {"name": "g", "arguments": {"x": 1}}}],
            ],
            [("a", "f", "12"), ("b", "g", '{"x":1}')],
        ),
        # what goes on without a word of which
        (
            [[{"id": "a", "function": {"name": "f", "arguments": "1"}}], [{"function": {"arguments": "2"}}]],
            [("a", "f", "12")],
        ),
    ],
)
def test_calls_of_look_alikes(deltas: list[Any], expected: list[tuple[str, str, str]]) -> None:
    """Told apart as far as they can be."""
    parts = parts_of(*({"tool_calls": calls} for calls in deltas))
    assert [(part.id, part.name, part.arguments) for part in parts if isinstance(part, ToolCall)] == expected
    if len(deltas) == 1:
        assert plain_parts({"content": None, "tool_calls": deltas[0]}) == parts


def test_calls_that_are_none_are_noted() -> None:
    """A call without a name, or no object."""
    losses = Losses("response")
    parts = parts_of({"tool_calls": ["x", {"index": 0, "id": "a", "function": {"arguments": "1"}}]}, losses=losses)
    assert parts == ()
    assert losses.header() == "dropped:choices[].delta.tool_calls"


def test_the_older_form_of_calls() -> None:
    """One call without an id; fields full of nothing are no call."""
    assert parts_of({"function_call": {"name": "f", "arguments": ""}}, {"function_call": {"arguments": "{}"}}) == (
        ToolCall(id="call_0", name="f", arguments="{}"),
    )
    empty = {
        "content": "x",
        "refusal": "",
        "function_call": {"name": "", "arguments": ""},
        "audio": {"id": "", "data": "", "expires_at": 0, "transcript": ""},
        "tool_calls": None,
        "annotations": None,
    }
    assert plain_parts(empty) == (Text("x"),)


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_thinking(field: str) -> None:
    """In either field, plain and streamed."""
    assert parts_of({field: "wh"}, {field: "y", "content": None}, {"content": "so"}) == (Thinking("why"), Text("so"))
    assert plain_parts({field: "why", "content": "so"}) == (Thinking("why"), Text("so"))


def test_thinking_of_routers() -> None:
    """Details piece by piece, beside the same text; the seal comes alone. Another index is another thought."""

    def text(said: str, index: int) -> dict[str, Any]:
        detail = {"type": "reasoning.text", "text": said, "format": "anthropic-claude-v1", "index": index}
        return {"content": "", "reasoning": said, "reasoning_details": [detail]}

    sealed = {"type": "reasoning.text", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
    hidden = {"type": "reasoning.encrypted", "data": "eA==", "format": "anthropic-claude-v1", "index": 2}
    assert parts_of(
        text("w", 0),
        text("hy", 0),
        {"reasoning_details": [sealed]},
        text("then", 1),
        {"reasoning_details": [hidden, "odd"]},
        {"content": "so"},
    ) == (
        Thinking("why", CLAUDE),
        Thinking("then"),
        Thinking("", Seal(maker="anthropic", kind="redacted", data="eA==")),
        Text("so"),
    )


def test_summaries_of_routers() -> None:
    """With the encrypted thinking of OpenAI's models behind them, or text beside a detail without one."""
    seal = Seal(maker="openai", kind="encrypted", data="eA==")
    summary = {"type": "reasoning.summary", "summary": "why", "format": "openai-responses-v1", "index": 0}
    hidden = {"type": "reasoning.encrypted", "data": "eA==", "format": "openai-responses-v1", "id": "r", "index": 0}
    assert parts_of({"reasoning": "why", "reasoning_details": [summary]}, {"reasoning_details": [hidden]}) == (
        Thinking("why", seal),
    )
    assert parts_of({"reasoning_details": [hidden]}) == (Thinking("", seal, "r"),)
    assert parts_of({"reasoning": "why", "reasoning_details": [hidden]}) == (Thinking("why", seal, "r"),)


def test_seals_of_calls() -> None:
    """In Google's place, or in a detail with the call's id, in front of the call or behind it."""
    call = {"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    extra = {**call, "extra_content": {"google": {"thought_signature": "Zw=="}}}
    assert parts_of({"tool_calls": [extra]}) == (ToolCall(id="a", name="f", arguments="{}", seal=GOOGLE),)
    late = {"index": 0, "extra_content": {"google": {"thought_signature": "Zw=="}}}
    assert parts_of({"tool_calls": [call]}, {"tool_calls": [late]}) == (
        ToolCall(id="a", name="f", arguments="{}", seal=GOOGLE),
    )
    detail = {"type": "reasoning.encrypted", "data": "Zw==", "format": "google-gemini-v1", "id": "a", "index": 0}
    other = Seal(maker="x", kind="encrypted", data="eA==")
    wrapped = {"type": "reasoning.encrypted", "data": wrap(other, "a"), "format": "unknown", "index": 0}
    for given, seal in [(detail, GOOGLE), (wrapped, other)]:
        sealed = (ToolCall(id="a", name="f", arguments="{}", seal=seal),)
        assert parts_of({"reasoning_details": [given]}, {"tool_calls": [call]}) == sealed
        assert parts_of({"tool_calls": [call]}, {"reasoning_details": [given]}) == sealed
        assert plain_parts({"content": None, "tool_calls": [call], "reasoning_details": [given]}) == sealed
    assert parts_of({"reasoning_details": [detail]}, {"content": "x"}) == (Text("x"), Thinking("", GOOGLE, "a"))


def test_the_seal_of_a_message() -> None:
    """Is its text's; without a text it stands alone."""
    extra = {"extra_content": {"google": {"thought": True, "thought_signature": "Zw=="}}, "thought_signature": "Zw=="}
    assert plain_parts({"content": "x", **extra}) == (Text("x", seal=GOOGLE),)
    assert parts_of({"content": "x"}, extra) == (Text("x", seal=GOOGLE),)
    assert plain_parts({"content": None, "thought_signature": "Zw=="}) == (Thinking("", GOOGLE),)


def test_content_that_is_a_list() -> None:
    """Mistral's, plain and in a stream."""
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "why"}], "closed": True}
    reference = {"type": "reference", "reference_ids": [1]}
    picture = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
    content = [thinking, {"type": "text", "text": "so"}, reference, picture, {"type": "thinking", "thinking": []}]
    expected = (
        Thinking("why"),
        Text("so"),
        Native("openai_chat", "content[].reference", reference),
        Media(kind="image", source=Remote("https://x.test/a.png")),
    )
    assert plain_parts({"content": content}) == expected
    assert parts_of({"content": [thinking]}, {"content": content[1:]}) == expected


def test_citations() -> None:
    """OpenAI's annotations, and Perplexity's sources, given to the text once."""
    inner = {"url": "https://x.test", "title": "X", "start_index": 0, "end_index": 2, "content": "q"}
    note = {"type": "url_citation", "url_citation": inner}
    cited = Citation(kind="url", url="https://x.test", title="X", quoted="q", start=0, end=2)
    assert plain_parts({"content": "so", "annotations": [note]}) == (Text("so", (cited,)),)
    assert parts_of({"content": "so"}, {"annotations": [note]}) == (Text("so", (cited,)),)
    losses = Losses("response")
    odd = {"type": "file", "file": {}}
    assert parts_of({"annotations": [note, odd]}, losses=losses) == (Native("openai_chat", "annotations", [odd]),)
    assert losses.header() == "dropped:choices[].delta.annotations"


def test_sources() -> None:
    """At the top of an answer: with titles, or bare addresses."""
    found = answer({"content": "so"}, citations=["https://a.test", 3])
    assert read_plain(found).choices[0].parts == (Text("so", (Citation(kind="url", url="https://a.test"),)),)
    results = [{"url": "https://a.test", "title": "A", "snippet": "q"}, 3]
    wire = chunk({"content": "s"}, search_results=results) + chunk({"content": "o"}, search_results=results) + END
    cited = Citation(kind="url", url="https://a.test", title="A", quoted="q")
    assert collect(events_of(wire)).choices[0].parts == (Text("so", (cited,)),)


def test_media() -> None:
    """What a model draws, and what it speaks: in pieces of base64."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}, "index": 0}
    assert parts_of({"content": "a", "images": [picture, 3]}) == (
        Text("a"),
        Media(kind="image", source=Inline("image/png", "QQ==")),
        Native("openai_chat", "images", [3]),
    )
    one, two = b64encode(b"RIFF1").decode(), b64encode(b"2345").decode()
    whole = b64encode(b"RIFF12345").decode()
    spoken = Media(kind="audio", source=Inline("audio/wav", whole), id="audio_1", transcript="Hello", expires=9)
    assert parts_of(
        {"audio": {"id": "audio_1", "transcript": "Hel"}},
        {"audio": {"data": one, "transcript": "lo"}},
        {"audio": {"data": two, "expires_at": 9}},
    ) == (spoken,)
    audio = {"id": "audio_1", "transcript": "Hello", "data": whole, "expires_at": 9}
    assert plain_parts({"content": None, "audio": audio}) == (spoken,)
    broken = parts_of({"audio": {"data": "A"}}, {"audio": {"data": "B"}})
    assert broken == (Media(kind="audio", source=Inline("audio/pcm", "AB")),)


def test_probabilities() -> None:
    """Belong to the part that is open; what has another shape is noted."""
    token = {"token": "H", "logprob": -0.5, "bytes": [72], "top_logprobs": [{"token": "h", "logprob": -1}]}
    read = TokenLogprob("H", -0.5, (72,), (TokenLogprob("h", -1.0),))
    given = {"logprobs": {"content": [token], "refusal": None}}
    wire = chunk({"content": ""}, choice=given) + chunk({"content": "H"}, choice=given) + END
    assert [event.tokens for event in events_of(wire) if isinstance(event, LogprobsGiven)] == [(read,), (read,)]
    body = answer({"content": None, "refusal": "H"})
    body["choices"][0]["logprobs"] = {"content": None, "refusal": [token]}
    assert read_plain(body).choices[0].logprobs == (read,)
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    assert collect(events_of(chunk({"tool_calls": [call]}, choice=given) + END)).choices[0].logprobs == (read,)
    losses = Losses("response")
    events_of(chunk({"content": ""}, choice=given) + END, losses)
    events_of(chunk({"content": "x"}, choice={"logprobs": {"content": "x"}}) + END, losses)
    assert losses.header() == "dropped:choices[].logprobs"


def test_several_choices() -> None:
    """Each its own; parts are counted through all of them."""
    wire = (
        chunk({"content": "a"})
        + chunk({"content": "b"}, choice={"index": 1})
        + chunk({}, "stop")
        + chunk({}, "length", choice={"index": 1, "finish_reason": "length"})
        + DONE
    )
    assert collect(events_of(wire)).choices == (
        Choice(parts=(Text("a"),), stopped=Stopped("stop", native="stop")),
        Choice(parts=(Text("b"),), stopped=Stopped("length", 1, native="length")),
    )


@pytest.mark.parametrize(
    "wire",
    [
        chunk({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}) + END,
        chunk({"content": "a"}) + chunk({}, "stop", x_groq={"usage": {"prompt_tokens": 3, "completion_tokens": 1}}),
        chunk({"content": "a"}) + chunk({}, choice={"usage": {"prompt_tokens": 3, "completion_tokens": 1}}) + END,
    ],
)
def test_usage_wherever_it_stands(wire: bytes) -> None:
    """At the top, under `x_groq`, in a choice."""
    assert collect(events_of(wire)).usage == Usage(input=3, output=1)


def test_usage_that_does_not_add_up_is_marked() -> None:
    """The totals were kept."""
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 9}
    assert read_plain(answer({"content": "x"}, usage=usage)).usage == Usage(input=3, output=1, inconsistent=True)


def test_what_is_unknown_is_kept_or_noted() -> None:
    """Of a message it is kept; around it, it is noted. What is about the making of an answer is neither."""
    losses = Losses("response")
    body = answer(
        {"content": "x", "executed_tools": [1], "channel": "final", "mood": None}, moderation={}, provider="p"
    )
    body["choices"][0] |= {"colour": 1, "seed": 3, "shape": None}
    body["choices"].append("odd")
    assert read_plain(body, losses).choices[0].parts == (
        Text("x"),
        Native("openai_chat", "executed_tools", [1]),
    )
    assert losses.header() == "dropped:choices[].colour,dropped:choices[],dropped:moderation"
    assert parts_of({"content": 7}, losses=losses) == ()


def test_a_message_in_a_stream() -> None:
    """Counts where there is no delta; beside one it does not."""
    both = chunk({"content": "a"}, choice={"message": {"role": "assistant", "content": "a"}})
    assert collect(events_of(both + END)).choices[0].parts == (Text("a"),)
    alone = chunk({}, "stop", choice={"delta": None, "message": {"content": "a"}})
    assert collect(events_of(alone)).choices[0].parts == (Text("a"),)


def test_what_comes_behind_the_reason_to_finish() -> None:
    """Is still read."""
    wire = chunk({"content": "a"}) + chunk({}, "stop") + chunk({"content": "b"}) + DONE
    assert collect(events_of(wire)).choices[0].parts == (Text("ab"),)


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (b"", "too soon"),
        (chunk({"content": "a"}), "too soon"),
        (chunk({"content": "a"}, "stop") + chunk({"content": "b"}, choice={"index": 1}), "too soon"),
        (DONE, "said anything"),
        (b"data: {broken\n\n", "no JSON object"),
        (b"data: [1]\n\n", "no JSON object"),
        (b'data: {"choices": [', "no JSON object"),
    ],
)
def test_streams_that_break(wire: bytes, reason: str) -> None:
    """End as failed, behind a start."""
    events = events_of(wire)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Failed)
    assert isinstance(events[-1].error, MalformedUpstream)
    assert reason in events[-1].error.message


@pytest.mark.parametrize(
    "error",
    [
        b'data: {"error": {"message": "boom", "code": 503}}\n\n',
        b'event: error\ndata: {"message": "boom", "status": 503}\n\n',
        b'error: {"code": 503, "message": "boom"}\n\n',
        b'data: {"choices": [], "error": {"message": "boom", "code": "503"}}',
    ],
)
def test_errors_inside_a_stream(error: bytes) -> None:
    """End it; what follows is not read."""
    events = events_of(chunk({"content": "a"}) + error + (chunk({"content": "b"}) if error.endswith(b"\n") else b""))
    assert events[-2] == TextDelta(0, "a")
    assert isinstance(events[-1], Failed)
    assert (events[-1].error.message, events[-1].error.status) == ("boom", 503)


def test_an_event_that_is_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is held without a bound."""
    monkeypatch.setattr("asgi_gateway.dialects.openai_chat.stream_reader.EVENT_LIMIT", 10)
    reader = OPENAI_CHAT.reader(Losses("response"))
    failed = reader.feed(b"data: 0123456789")[-1]
    assert isinstance(failed, Failed)
    assert (reader.feed(b"x"), reader.finish()) == ([], [])


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}", b'{"choices": []}', b'{"choices": ["x"]}'])
def test_plain_answers_that_are_none(body: bytes) -> None:
    """Are no answers."""
    with pytest.raises(MalformedUpstream):
        OPENAI_CHAT.read_response(body, Losses("response"))


def test_an_error_inside_a_plain_answer() -> None:
    """Is raised."""
    with pytest.raises(UpstreamError, match="boom"):
        OPENAI_CHAT.read_response(b'\xef\xbb\xbf{"error": {"message": "boom"}}', Losses("response"))


def test_odd_figures_are_none() -> None:
    """An answer's own words about itself may be anything."""
    body = answer({"content": "x"}, id=7, created="now", model=None)
    body["choices"][0]["index"] = 10**9
    found = read_plain(body)
    assert found.started == Started()
    assert found.choices[0].parts == (Text("x"),)
    assert read_plain({**body, "created": 1e300}).started.created == 0


def test_a_signature_replaces_the_one_before() -> None:
    """As far as the events say."""
    extra = {"index": 0, "extra_content": {"google": {"thought_signature": "Zw=="}}}
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    wire = chunk({"tool_calls": [{**call, **extra}]}) + chunk({"tool_calls": [extra]}) + END
    assert [event.seal for event in events_of(wire) if isinstance(event, SignatureDelta)] == [GOOGLE, GOOGLE]
