"""What holds for every conversation and every answer of OpenAI's chat dialect."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.canonical import (
    CacheMark,
    ChatRequest,
    ChatResponse,
    Choice,
    CustomTool,
    Event,
    Failed,
    FunctionTool,
    Inline,
    Losses,
    Media,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Sampling,
    Seal,
    Started,
    Stopped,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
    collect,
    unfold,
)
from asgi_gateway.dialects.openai_chat import OPENAI_CHAT
from support.openai_chat import context_of, read_plain, rewritten, streamed, written_plain

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAME = st.text("abcdefgh_", min_size=1, max_size=8)
MARK = st.sampled_from([None, CacheMark("5m"), CacheMark("1h")])
SEAL = st.sampled_from(
    [
        Seal(maker="anthropic", kind="signature", data="QQ=="),
        Seal(maker="anthropic", kind="redacted", data="Qg=="),
        Seal(maker="google", kind="signature", data="Qw=="),
        Seal(maker="openai", kind="encrypted", data="RA=="),
        Seal(maker="cohere_chat", kind="encrypted", data="RQ=="),
    ]
)
CLAUDES = st.sampled_from(
    [
        Seal(maker="anthropic", kind="signature", data="QQ=="),
        Seal(maker="anthropic", kind="redacted", data="Qg=="),
    ]
)

texts = st.builds(lambda text, mark: Text(text, (), mark), TEXT, MARK)
media = st.one_of(
    st.builds(
        lambda source, detail, mark: Media(kind="image", source=source, detail=detail, cache=mark),
        st.sampled_from([Inline("image/png", "QQ=="), Remote("https://x.test/a.png")]),
        st.sampled_from(["", "low"]),
        MARK,
    ),
    st.just(Media(kind="audio", source=Inline("audio/wav", "QQ=="))),
    st.just(Media(kind="document", source=Inline("application/pdf", "QQ=="), name="a.pdf")),
)


@st.composite
def thoughts(draw: st.DrawFn, seals: st.SearchStrategy[Seal]) -> list[Thinking]:
    """Thoughts, each with a text or a seal, and with ids of their own."""
    found = []
    for number in range(draw(st.integers(0, 3))):
        seal = draw(st.none() | seals)
        text = draw(TEXT if seal is None or (seal.kind == "signature") else TEXT | st.just(""))
        found.append(Thinking(text, seal, draw(st.sampled_from(["", f"rs_{number}"]))))
    return found


@st.composite
def rounds(draw: st.DrawFn) -> list[Turn]:
    """An assistant's turn with what follows it."""
    said: list[Part] = [*draw(st.lists(texts, max_size=2))]
    thinking: list[Thinking] = []
    for thought in draw(thoughts(CLAUDES)):
        thinking.append(thought)
    if len(thinking) > 1 and all(thought.seal is None for thought in thinking):
        thinking = thinking[:1]  # a request tells thoughts apart by their seals
    if all(thought.seal is None for thought in thinking):
        thinking = [Thinking(thought.text) for thought in thinking]
    names = draw(st.lists(NAME, max_size=3))
    calls = [ToolCall(id=f"call_{number}", name=name, arguments='{"x": 1}') for number, name in enumerate(names)]
    turns = [Turn("assistant", (*thinking, *said, *calls), draw(st.sampled_from(["", "bot"])))]
    if calls:
        results = [ToolResult(call_id=call.id, parts=(Text(draw(TEXT)),), cache=draw(MARK)) for call in calls]
        turns.append(Turn("tool", tuple(results)))
    turns.append(Turn("user", tuple(draw(st.lists(st.one_of(texts, media), min_size=1, max_size=3)))))
    return turns


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    """A request that the dialect can express, for a model that takes marks and seals."""
    turns = [Turn("user", (Text(draw(TEXT)),))]
    for turn in draw(st.lists(rounds(), max_size=2)):
        turns += turn
    tools = [FunctionTool(name=name, strict=draw(st.none() | st.booleans())) for name in draw(st.lists(NAME))]
    return ChatRequest(
        model="anthropic/claude-sonnet-4.5",
        turns=tuple(turns),
        instructions=tuple(draw(st.lists(texts, max_size=2))),
        tools=(*tools, CustomTool(name="free")),
        tool_choice=draw(st.sampled_from([None, ToolChoice("auto"), ToolChoice("tool", ("free",))])),
        parallel_tools=draw(st.none() | st.booleans()),
        sampling=draw(
            st.builds(
                Sampling,
                max_output=st.none() | st.integers(1, 9),
                temperature=st.none() | st.floats(0, 2),
                top_k=st.none() | st.integers(1, 9),
                stop=st.sampled_from([(), ("a",), ("a", "b")]),
                choices=st.integers(1, 3),
                logprobs=st.booleans(),
            )
        ),
        output=draw(st.sampled_from([None, OutputFormat(kind="json"), OutputFormat(kind="schema", name="n")])),
        reasoning=draw(st.sampled_from([None, Reasoning(effort="high"), Reasoning(budget=9)])),
        stream=(stream := draw(st.booleans())),
        wants_usage=stream and draw(st.booleans()),
        user=draw(st.sampled_from(["", "u"])),
        metadata=draw(st.sampled_from([None, {"a": "b"}])),
    )


@given(requests())
def test_requests_are_read_as_they_were_written(request: ChatRequest) -> None:
    """And nothing is lost."""
    losses = Losses("request")
    assert rewritten(request, losses) == request
    assert not losses


def _calls(seals: list[Seal | None], names: list[str]) -> list[ToolCall]:
    return [
        ToolCall(id=f"call_{number}", name=name, arguments='{"x": 1}', seal=seal, custom=number == 1)
        for number, (name, seal) in enumerate(zip(names, seals, strict=False))
    ]


@st.composite
def choices(draw: st.DrawFn, number: int) -> Choice:
    """A choice that the dialect can express."""
    parts: list[Part] = [*draw(thoughts(SEAL))]
    google = Seal(maker="google", kind="signature", data="Zw==")
    if draw(st.booleans()):
        parts.append(Text(draw(TEXT), (), None, draw(st.sampled_from([None, google]))))
    if draw(st.booleans()):
        parts.append(Refusal(draw(TEXT)))
    if draw(st.booleans()):
        parts.append(Media(kind="image", source=Inline("image/png", "QQ==")))
    calls = _calls(draw(st.lists(st.none() | SEAL, min_size=3, max_size=3)), draw(st.lists(NAME, max_size=3)))
    refused = any(isinstance(part, Refusal) for part in parts)
    reason: Any = "tool_calls" if calls else "refusal" if refused else draw(st.sampled_from(["stop", "length"]))
    logprobs = (TokenLogprob("a", -0.5),) if isinstance(parts[-1] if parts else None, Text) else None
    native = {"refusal": "stop"}.get(reason, reason)
    return Choice(parts=(*parts, *calls), stopped=Stopped(reason, number, native=native), logprobs=logprobs)


@st.composite
def responses(draw: st.DrawFn) -> ChatResponse:
    """A response that the dialect can express."""
    count = st.integers(0, 99)
    kinds = ("input", "cache_read", "cache_write", "audio_input", "image_input", "output", "reasoning", "audio_output")
    tier = draw(st.sampled_from(["", "flex"]))
    return ChatResponse(
        started=Started("chatcmpl-1", "m", 7, tier),
        choices=tuple(draw(choices(number)) for number in range(draw(st.integers(1, 2)))),
        usage=draw(st.none() | st.builds(Usage, **dict.fromkeys(kinds, count), service_tier=st.just(tier))),
    )


def _read(wire: bytes, cuts: list[int], losses: Losses) -> list[Event]:
    reader = OPENAI_CHAT.reader(losses)
    events: list[Event] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        events += reader.feed(wire[start:end])
    return [*events, *reader.finish()]


@given(responses(), st.data())
def test_answers_are_read_as_they_were_written(response: ChatResponse, data: st.DataObject) -> None:
    """Plain and streamed alike, wherever the stream is cut."""
    context = context_of(wants_usage=True)
    losses = Losses("response")
    assert read_plain(written_plain(response, context), losses) == response
    wire = streamed(list(unfold(response)), context)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    assert collect(_read(wire, cuts, losses)) == response
    assert not losses
    assert not context.losses


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 200) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
DETAIL = st.dictionaries(
    st.sampled_from(["type", "text", "summary", "data", "signature", "index", "id", "format"]), JSON, max_size=5
)
FUNCTION = st.dictionaries(st.sampled_from(["name", "arguments", "input"]), JSON)
CALL = st.fixed_dictionaries(
    {}, optional={"index": JSON, "id": JSON, "type": JSON, "function": FUNCTION | JSON, "custom": FUNCTION | JSON}
)
DELTA = st.fixed_dictionaries(
    {},
    optional={
        "content": JSON,
        "reasoning": JSON,
        "reasoning_content": JSON,
        "reasoning_details": st.lists(DETAIL, max_size=3) | JSON,
        "tool_calls": st.lists(CALL, max_size=3) | JSON,
        "function_call": FUNCTION | JSON,
        "refusal": JSON,
        "annotations": st.lists(st.fixed_dictionaries({"url_citation": JSON}), max_size=2) | JSON,
        "images": JSON,
        "audio": st.dictionaries(st.sampled_from(["id", "data", "expires_at", "transcript"]), JSON) | JSON,
        "extra_content": JSON,
        "unheard_of": JSON,
    },
)
CHUNK = st.fixed_dictionaries(
    {},
    optional={
        "id": JSON,
        "created": JSON,
        "usage": JSON,
        "citations": JSON,
        "choices": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "index": JSON,
                    "delta": DELTA | JSON,
                    "message": DELTA | JSON,
                    "finish_reason": JSON,
                    "logprobs": JSON,
                },
            )
            | JSON,
            max_size=3,
        )
        | JSON,
    },
)


def _check(events: list[Event]) -> None:
    """A sequence is well formed: a start comes first and once, and it can be folded and written."""
    assert isinstance(events[0], Started)
    assert sum(isinstance(event, Started) for event in events) == 1
    failed = [event for event in events if isinstance(event, Failed)]
    assert failed == events[len(events) - len(failed) :]
    response = collect(events)
    context = context_of()
    OPENAI_CHAT.write_response(response, context)
    streamed([event for event in events if not isinstance(event, Failed)], context)


@given(st.lists(CHUNK, max_size=5), st.booleans())
def test_whatever_comes_is_read_without_a_crash(chunks: list[Any], done: bool) -> None:
    """And what comes out is well formed."""
    wire = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    _check(_read(wire + (b"data: [DONE]\n\n" if done else b""), [], Losses("response")))


@given(st.binary(max_size=80))
def test_bytes_that_are_no_stream_fail(wire: bytes) -> None:
    """Without an exception."""
    events = _read(b"data: " + wire, [], Losses("response"))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Failed)
