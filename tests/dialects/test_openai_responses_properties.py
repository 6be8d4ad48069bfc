"""What holds for every conversation and every answer of OpenAI's Responses."""

import json
from contextlib import suppress
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.canonical import (
    CacheMark,
    ChatRequest,
    ChatResponse,
    Choice,
    Citation,
    CustomTool,
    Event,
    Failed,
    FunctionTool,
    Inline,
    Losses,
    Media,
    OutputFormat,
    Part,
    PartClosed,
    PartGiven,
    PartOpened,
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
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES
from asgi_gateway.errors import InvalidRequest, UpstreamError
from support import canonical_strategies
from support.openai_responses import context_of, read_plain, rewritten, streamed, written_plain
from support.strict import check_response, check_stream

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
NAME = st.text("abcdefgh_", min_size=1, max_size=8)
OWN = Seal(maker="openai", kind="encrypted", data="gAAA")
SEAL = st.sampled_from(
    [
        OWN,
        Seal(maker="anthropic", kind="signature", data="QQ=="),
        Seal(maker="anthropic", kind="redacted", data="Qg=="),
        Seal(maker="google", kind="signature", data="Qw=="),
    ]
)
MARK = st.sampled_from([None, CacheMark()])
MEDIA = st.sampled_from(
    [
        Media(kind="image", source=Inline("image/png", "QQ=="), detail="low"),
        Media(kind="image", source=Remote("https://x.test/a.png"), cache=CacheMark()),
        Media(kind="document", source=Inline("application/pdf", "QQ=="), name="a.pdf"),
    ]
)

texts = st.builds(lambda text, mark: Text(text, (), mark), TEXT, MARK)


@st.composite
def rounds(draw: st.DrawFn) -> list[Turn]:
    """An assistant's turn with what follows it."""
    said: list[Part] = []
    for number in range(draw(st.integers(0, 3))):
        thought = Thinking(draw(TEXT | st.just("")), OWN, draw(st.sampled_from(["", f"rs_{number}"])))
        said += [thought, *map(Text, draw(st.lists(TEXT, max_size=2)))]
    names = draw(st.lists(NAME, max_size=3))
    custom = draw(st.booleans())
    calls = [
        ToolCall(id=f"call_{number}", name=name, arguments='{"x": 1}', custom=custom)
        for number, name in enumerate(names)
    ]
    turns = [Turn("assistant", (*said, *calls))] if said or calls else []
    if calls:
        results = [
            ToolResult(
                call_id=call.id, parts=tuple(draw(st.lists(texts | MEDIA, min_size=1, max_size=2))), custom=custom
            )
            for call in calls
        ]
        turns.append(Turn("tool", tuple(results)))
    turns.append(Turn("user", tuple(draw(st.lists(texts | MEDIA, min_size=1, max_size=3)))))
    return turns


@st.composite
def requests(draw: st.DrawFn) -> ChatRequest:
    """A request that the dialect can express, for a model that takes marks."""
    turns = [Turn("user", (Text(draw(TEXT)),))]
    for turn in draw(st.lists(rounds(), max_size=2)):
        turns += turn
    tools = [
        FunctionTool(name=name, parameters={"a": 1.5}, strict=draw(st.booleans())) for name in draw(st.lists(NAME))
    ]
    return ChatRequest(
        model="gpt-5.6",
        turns=tuple(turns),
        instructions=tuple(draw(st.lists(texts, max_size=2))),
        tools=(*tools, CustomTool(name="free")),
        tool_choice=draw(
            st.sampled_from([None, ToolChoice("none"), ToolChoice("tool", ("free",)), ToolChoice("allowed", ("free",))])
        ),
        parallel_tools=draw(st.none() | st.booleans()),
        sampling=draw(
            st.builds(Sampling, max_output=st.none() | st.integers(16, 99), temperature=st.none() | st.just(0.5))
        ),
        output=draw(
            st.sampled_from([None, OutputFormat(kind="json"), OutputFormat(kind="schema", name="n", schema={"a": 1})])
        ),
        reasoning=Reasoning(effort="none"),
        stream=draw(st.booleans()),
        wants_usage=True,
        user=draw(st.sampled_from(["", "u"])),
        metadata=draw(st.sampled_from([None, {"a": "b"}])),
        store=draw(st.booleans()),
    )


@given(requests())
def test_requests_are_read_as_they_were_written(request: ChatRequest) -> None:
    """And nothing is lost."""
    losses = Losses("request")
    assert rewritten(request, losses) == request
    assert not losses


_citations = st.builds(
    Citation,
    kind=st.just("url"),
    url=st.just("https://x.test"),
    title=TEXT,
    start=st.integers(0, 3),
    end=st.integers(4, 9),
)


@st.composite
def responses(draw: st.DrawFn) -> ChatResponse:
    """A response that the dialect can express."""
    parts: list[Part] = []
    for number in range(draw(st.integers(0, 4))):
        kind = draw(st.sampled_from(["text", "refusal", "thinking", "tool_call", "image"]))
        seal = draw(st.none() | SEAL)
        if kind == "text":
            parts.append(Text(draw(TEXT), tuple(draw(st.lists(_citations, max_size=2))), None, seal))
        elif kind == "refusal":
            parts.append(Refusal(draw(TEXT)))
        elif kind == "thinking":
            parts.append(Thinking(draw(TEXT | st.just("")), seal, f"rs_{number}"))
        elif kind == "image":
            parts.append(Media(kind="image", source=Inline("image/png", "QQ=="), id=f"ig_{number}"))
        else:
            custom = draw(st.booleans())
            parts.append(ToolCall(id=f"c{number}", name=draw(NAME), arguments='{"x": 1}', custom=custom, seal=seal))
    called = any(isinstance(part, ToolCall) for part in parts)
    refused = any(isinstance(part, Refusal) for part in parts)
    reason: Any = "tool_calls" if called else "refusal" if refused else "stop"
    stopped = draw(
        st.sampled_from(
            [
                Stopped(reason, native="completed"),
                Stopped("length", native="max_output_tokens"),
                Stopped("content_filter", native="content_filter"),
            ]
        )
    )
    logprobs = (TokenLogprob("a", -0.5),) if parts and isinstance(parts[0], Text) else None
    count = st.integers(0, 99)
    kinds = ("input", "cache_read", "cache_write", "output", "reasoning")
    tier = draw(st.sampled_from(["", "flex"]))
    return ChatResponse(
        started=Started("resp_1", "m", 7, tier),
        choices=(Choice(parts=tuple(parts), stopped=stopped, logprobs=logprobs),),
        usage=draw(st.none() | st.builds(Usage, **dict.fromkeys(kinds, count), service_tier=st.just(tier))),
    )


def _read(wire: bytes, cuts: list[int], losses: Losses) -> list[Event]:
    reader = OPENAI_RESPONSES.reader(losses)
    events: list[Event] = []
    for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True):
        events += reader.feed(wire[start:end])
    return [*events, *reader.finish()]


def _bare(response: ChatResponse) -> ChatResponse:
    """The response without the bytes of tokens, and without the count of its images: its parts tell that."""
    (choice,) = response.choices
    tokens = choice.logprobs and tuple(TokenLogprob(token.token, token.logprob) for token in choice.logprobs)
    usage = response.usage and msgspec.structs.replace(response.usage, tools=(), images=())
    return msgspec.structs.replace(response, choices=(msgspec.structs.replace(choice, logprobs=tokens),), usage=usage)


@given(responses(), st.data())
def test_answers_are_read_as_they_were_written(response: ChatResponse, data: st.DataObject) -> None:
    """Plain and streamed alike, wherever the stream is cut."""
    context = context_of()
    losses = Losses("response")
    assert _bare(read_plain(written_plain(response, context), losses)) == _bare(response)
    wire = streamed(list(unfold(response)), context)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    assert _bare(collect(_read(wire, cuts, losses))) == _bare(response)
    assert not losses
    assert not context.losses


@given(canonical_strategies.events(choices=2))
def test_every_answer_is_written_validly(told: tuple[ChatResponse, list[Event]]) -> None:
    """Whatever its parts and their order; the stream ends with what the plain answer is."""
    response, events = told
    wire = streamed(events)
    body = OPENAI_RESPONSES.write_response(response, context_of())
    if response.usage is not None and len({part.id for part in _thoughts(response)}) == len(_thoughts(response)):
        check_stream("openai_responses", wire)
        check_response("openai_responses", body)
    assert json.loads(wire.rstrip().rpartition(b"data: ")[2])["response"] == json.loads(body)


def _thoughts(response: ChatResponse) -> list[Thinking]:
    return [part for choice in response.choices for part in choice.parts if isinstance(part, Thinking) and part.id]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 200) | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KIND = st.sampled_from(
    [
        "message",
        "reasoning",
        "function_call",
        "custom_tool_call",
        "web_search_call",
        "code_interpreter_call",
        "file_search_call",
        "mcp_call",
        "shell_call_output",
        "image_generation_call",
        "compaction",
    ]
)
CONTENT = st.fixed_dictionaries(
    {"type": st.sampled_from(["output_text", "refusal", "input_text", "input_image", "input_file", "x"])},
    optional=dict.fromkeys(("text", "refusal", "annotations", "logprobs", "image_url", "file_data"), JSON),
)
MEMBERS = (
    "id",
    "call_id",
    "name",
    "arguments",
    "input",
    "output",
    "outputs",
    "summary",
    "encrypted_content",
    "status",
    "action",
    "result",
    "results",
    "queries",
)
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "type": KIND | JSON,
        "role": st.sampled_from(["user", "assistant", "system"]) | JSON,
        "content": st.lists(CONTENT, max_size=2) | JSON,
        **dict.fromkeys(MEMBERS, JSON),
    },
)
EVENT = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            [
                "response.output_item.added",
                "response.output_item.done",
                "response.content_part.added",
                "response.content_part.done",
                "response.output_text.delta",
                "response.refusal.delta",
                "response.output_text.annotation.added",
                "response.reasoning_summary_text.delta",
                "response.reasoning_text.delta",
                "response.function_call_arguments.delta",
                "response.created",
                "response.completed",
                "response.failed",
                "error",
            ]
        )
    },
    optional={
        "output_index": st.integers(0, 2) | JSON,
        "content_index": st.integers(0, 1) | JSON,
        "summary_index": st.integers(0, 1),
        "delta": st.text(max_size=3) | JSON,
        "item": ITEM | JSON,
        "part": CONTENT | JSON,
        "annotation": JSON,
        "logprobs": JSON,
        "error": st.none() | JSON,
        "response": st.fixed_dictionaries(
            {}, optional={"output": st.lists(ITEM, max_size=2) | JSON, "usage": JSON, "created_at": JSON, "error": JSON}
        )
        | JSON,
    },
)


def _check_order(events: list[Event]) -> None:
    """The events are well formed, as readers owe."""
    open_parts: set[int] = set()
    indexes: list[int] = []
    started = stopped = False
    for told in events:
        if isinstance(told, Started):
            assert not started
            started = True
        elif isinstance(told, Failed):
            assert told is events[-1]
        elif isinstance(told, PartOpened | PartGiven):
            assert started
            assert not stopped
            indexes.append(told.index)
            if isinstance(told, PartOpened):
                open_parts.add(told.index)
        elif isinstance(told, PartClosed):
            open_parts.remove(told.index)
        elif isinstance(told, Stopped):
            stopped = True
            assert not open_parts
        elif hasattr(told, "index"):
            assert told.index in open_parts
    assert indexes == list(range(len(indexes)))


@given(st.lists(EVENT, max_size=8))
def test_any_events_are_read_in_order(told: list[dict[str, Any]]) -> None:
    """Whatever is sent: no crash, nothing invented, and an end; what was read can be written."""
    wire = b"".join(b"data: " + json.dumps(fields).encode() + b"\n\n" for fields in told)
    events = _read(wire, [len(wire) // 2], Losses("response"))
    _check_order(events)
    assert isinstance(events[-1], Failed | Stopped)
    if isinstance(events[-1], Stopped):
        streamed(events)


@given(st.fixed_dictionaries({"output": st.lists(ITEM, max_size=3)}, optional={"usage": JSON, "status": JSON}))
def test_any_plain_answer_is_read_or_refused(body: dict[str, Any]) -> None:
    """Never a crash."""
    try:
        events = OPENAI_RESPONSES.read_response(json.dumps(body).encode(), Losses("response"))
    except UpstreamError:
        return
    _check_order(events)


@given(
    st.fixed_dictionaries(
        {"model": st.just("m"), "input": st.lists(ITEM, min_size=1, max_size=3) | JSON},
        optional=dict.fromkeys(("tools", "tool_choice", "text", "reasoning", "include", "metadata"), JSON),
    )
)
def test_any_request_is_read_or_refused(body: dict[str, Any]) -> None:
    """And what was read is written, or refused, too."""
    wire = json.dumps(body).encode()
    with suppress(InvalidRequest):
        request = OPENAI_RESPONSES.read_request(wire, OPENAI_RESPONSES.outline(wire), Losses("request"))
        assert json.loads(OPENAI_RESPONSES.write_request(request, Losses("request")))["model"] == "m"
