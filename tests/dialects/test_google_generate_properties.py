"""What holds for every conversation and every stream in Google's format."""

import json
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.canonical import (
    ChatRequest,
    ChatResponse,
    Choice,
    Failed,
    FunctionTool,
    Inline,
    Losses,
    Media,
    OutputFormat,
    Part,
    PartClosed,
    PartOpened,
    Reasoning,
    Remote,
    Sampling,
    Seal,
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
from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE as GOOGLE
from asgi_gateway.errors import InvalidRequest
from support.google_generate import chunk, context, read_stream, sse_of

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
names = st.from_regex(r"[a-z_][a-z0-9_]{0,10}", fullmatch=True)
base64s = st.binary(max_size=8).map(lambda data: msgspec.json.encode(data)[1:-1].decode())
seals = st.none() | st.sampled_from(["AAAA", "BBBB"]).map(
    lambda data: Seal(maker="google", kind="signature", data=data)
)
arguments = st.dictionaries(names, st.integers(-9, 9) | texts | st.none(), max_size=3).map(
    lambda value: msgspec.json.encode(value).decode()
)
media = st.builds(
    Media, kind=st.just("image"), source=st.builds(Inline, st.just("image/png"), base64s), seal=seals
) | st.just(Media(kind="document", source=Remote("https://example.org/a.pdf", "application/pdf")))


@st.composite
def conversations(draw: st.DrawFn) -> ChatRequest:
    """Requests that Google's format can express."""
    turns: list[Turn] = []
    for number in range(draw(st.integers(1, 3))):
        turns.append(Turn("user", tuple(draw(st.lists(st.builds(Text, texts) | media, min_size=1, max_size=3)))))
        said: list[Part] = draw(
            st.lists(st.builds(Text, texts, seal=seals) | st.builds(Thinking, texts, seals), max_size=3)
        )
        called = draw(st.lists(st.tuples(names, arguments, seals), max_size=3))
        calls = [
            ToolCall(id=f"id{number}_{place}", name=name, arguments=args, seal=seal)
            for place, (name, args, seal) in enumerate(called)
        ]
        if said or calls:
            turns.append(Turn("assistant", (*said, *calls)))
        if calls:
            results = tuple(
                ToolResult(
                    call_id=call.id, name=call.name, parts=(Text("ok " + draw(texts)),), failed=draw(st.booleans())
                )
                for call in calls
            )
            turns.append(Turn("tool", results))
    tools = tuple(
        FunctionTool(name=name, description=description, parameters={"type": "object"})
        for name, description in draw(st.dictionaries(names, texts, max_size=2)).items()
    )
    choice = draw(st.none() | st.sampled_from([ToolChoice("auto"), ToolChoice("none"), ToolChoice("required")]))
    return ChatRequest(
        model="gemini-2.5-flash",
        turns=tuple(turns),
        instructions=tuple(draw(st.lists(st.builds(Text, texts), max_size=2))),
        tools=tools,
        tool_choice=choice if tools else None,
        sampling=draw(
            st.builds(
                Sampling,
                max_output=st.none() | st.integers(1, 1000),
                temperature=st.none() | st.floats(0, 2),
                top_k=st.none() | st.integers(1, 100),
                stop=st.lists(texts, max_size=5).map(tuple),
                seed=st.none() | st.integers(0, 100),
                choices=st.integers(1, 8),
            )
        ),
        output=draw(st.none() | st.sampled_from([OutputFormat(kind="json"), OutputFormat(kind="schema", schema={})])),
        reasoning=draw(
            st.none()
            | st.builds(Reasoning, visible=st.booleans())
            | st.builds(Reasoning, enabled=st.just(True), budget=st.integers(1, 24576), visible=st.booleans())
        ),
    )


@given(conversations())
def test_what_is_written_is_read_again(request: ChatRequest) -> None:
    """Every conversation that the format can express, without a loss."""
    losses = Losses("request")
    wire = GOOGLE.write_request(request, losses)
    assert GOOGLE.read_request(wire, RequestOutline(model=request.model), losses) == request
    assert not losses


part_lists = st.lists(
    st.builds(lambda text: {"text": text}, texts)
    | st.builds(lambda text: {"text": text, "thought": True}, texts)
    | st.builds(lambda text: {"text": text, "thoughtSignature": "AAAA"}, texts)
    | st.builds(lambda name: {"functionCall": {"name": name, "args": {"a": 1.5}}}, names)
    | st.just({"inlineData": {"mimeType": "image/png", "data": "AA=="}})
    | st.just({"executableCode": {"code": "1", "language": "PYTHON"}})
    | st.just({"hologram": 1}),
    min_size=1,
    max_size=6,
)
USED = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}


@given(part_lists, st.data())
def test_chunk_boundaries_do_not_matter(parts: list[dict[str, Any]], data: st.DataObject) -> None:
    """Neither to the reader nor to the tap; and the folded stream is the plain answer."""
    wire = sse_of(*(chunk(part) for part in parts), chunk(finish="STOP", usageMetadata=USED))
    cuts = sorted({0, len(wire), *data.draw(st.lists(st.integers(0, len(wire)), max_size=8))})
    pieces = [wire[a:b] for a, b in pairwise(cuts)]
    reader = GOOGLE.reader(Losses("response"))
    events = [event for piece in pieces for event in reader.feed(piece)] + reader.finish()
    assert events == read_stream(wire)
    body = json.dumps(chunk(*parts, finish="STOP", usageMetadata=USED)).encode()
    assert collect(events) == collect(GOOGLE.read_response(body, Losses("response")))
    for framing in ("sse", "json-array"):
        tap = GOOGLE.tap(RequestOutline(model="m", stream=True, framing=framing), stream=True)
        given = b"".join(tap.feed(piece) for piece in pieces) + tap.finish()
        assert given == wire if framing == "sse" else json.loads(given)[-1]["usageMetadata"] == USED


answers = st.builds(
    ChatResponse,
    started=st.just(Started("R9", "m")),
    choices=st.lists(
        st.lists(
            st.builds(Text, texts, seal=seals)
            | st.builds(Thinking, texts, seals)
            | media
            | st.builds(ToolCall, id=names, name=names, arguments=arguments, seal=seals),
            min_size=1,
            max_size=5,
        ),
        min_size=1,
        max_size=3,
    ).map(
        lambda choices: tuple(
            Choice(parts=tuple(parts), stopped=Stopped("length", number, "", "MAX_TOKENS"))
            for number, parts in enumerate(choices)
        )
    ),
    usage=st.none()
    | st.builds(Usage, input=st.integers(0, 99), output=st.integers(0, 99), reasoning=st.integers(0, 9)),
)


def merged(response: ChatResponse) -> ChatResponse:
    """Texts that follow each other, the first without a seal, are one part in Google's format."""
    choices = []
    for choice in response.choices:
        parts: list[Part] = []
        for part in choice.parts:
            last = parts[-1] if parts else None
            if isinstance(part, Text) and isinstance(last, Text) and last.seal is None:
                parts[-1] = Text(last.text + part.text, seal=part.seal)
            elif isinstance(part, Thinking) and isinstance(last, Thinking) and last.seal is None:
                parts[-1] = Thinking(last.text + part.text, part.seal)
            else:
                parts.append(part)
        choices.append(msgspec.structs.replace(choice, parts=tuple(parts)))
    return msgspec.structs.replace(response, choices=tuple(choices))


@given(answers)
def test_an_answer_to_a_caller_says_the_same_in_every_form(response: ChatResponse) -> None:
    """Plain, as events, and as an array."""
    expected = merged(response)
    plain = GOOGLE.write_response(response, context())
    assert collect(GOOGLE.read_response(plain, Losses("response"))).choices == expected.choices
    for framing in ("sse", "json-array"):
        writer = GOOGLE.writer(context(framing=framing))
        wire = writer.write(list(unfold(response))) + writer.finish()
        events = read_stream(wire) if framing == "sse" else GOOGLE.read_response(wire, Losses("response"))
        again = collect(events)
        assert again.choices == expected.choices
        assert again.usage == response.usage


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(
    [
        "candidates", "content", "parts", "text", "thought", "thoughtSignature", "functionCall", "name", "args", "id",
        "partialArgs", "jsonPath", "stringValue", "willContinue", "inlineData", "fileData", "executableCode",
        "toolCall", "toolType", "finishReason", "index", "usageMetadata", "promptTokenCount", "promptFeedback",
        "blockReason", "groundingMetadata", "groundingChunks", "groundingSupports", "segment", "web", "logprobsResult",
        "chosenCandidates", "error", "code", "details", "createTime",
    ]
)  # fmt: skip
near_misses = st.recursive(
    json_values | st.just("$.a"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)
shells = st.builds(
    lambda parts, more, beside: {"candidates": [{"content": {"parts": parts}, **beside}], **more},
    st.lists(st.dictionaries(keys, near_misses, max_size=3), max_size=3),
    st.dictionaries(keys.filter(lambda key: key != "candidates"), near_misses, max_size=2),
    st.dictionaries(keys, near_misses, max_size=3),
)


@given(st.lists(shells | near_misses, max_size=4), st.booleans())
def test_malformed_streams_end_and_stay_well_formed(values: list[Any], ended: bool) -> None:
    """Whatever comes: every part is opened and closed once, and the end is a stop or a failure."""
    chunks = [json.dumps(value).encode() for value in values]
    wire = b"".join(b"data: " + data + b"\n\n" for data in chunks)
    if ended:
        wire += sse_of(chunk({"text": "a"}, finish="STOP"))
    events = read_stream(wire)
    opened = [event.index for event in events if isinstance(event, PartOpened)]
    closed = [event.index for event in events if isinstance(event, PartClosed)]
    assert len(set(opened)) == len(opened)
    assert len(set(closed)) == len(closed)
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Failed | Stopped)
    if not isinstance(events[-1], Failed):
        assert sorted(opened) == sorted(closed)
    collect(events)


request_keys = st.sampled_from(
    [
        "contents", "parts", "role", "text", "thought", "thoughtSignature", "functionCall", "functionResponse", "name",
        "args", "id", "response", "inlineData", "mimeType", "data", "fileData", "fileUri", "executableCode", "code",
        "codeExecutionResult", "toolCall", "toolType", "tools", "functionDeclarations", "parameters", "googleSearch",
        "excludeDomains", "toolConfig", "functionCallingConfig", "mode", "generationConfig", "responseSchema",
        "thinkingConfig", "thinkingBudget", "thinkingLevel", "systemInstruction", "stop_sequences", "labels",
    ]
)  # fmt: skip
requests = st.recursive(
    json_values | st.sampled_from(["model", "user", "ANY", "HIGH", "f"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(request_keys, inner, max_size=5),
    max_leaves=25,
)
part_shells = st.builds(
    lambda parts, more: {"contents": [{"role": "model", "parts": parts}], **more},
    st.lists(st.dictionaries(request_keys, requests, max_size=3), max_size=3),
    st.dictionaries(request_keys.filter(lambda key: key != "contents"), requests, max_size=3),
)


@given(part_shells | st.dictionaries(request_keys, requests, max_size=4), st.booleans())
def test_malformed_requests_are_read_or_refused(value: dict[str, Any], newest: bool) -> None:
    """With a word for what is wrong; what was read can be written, and is read again."""
    outline = RequestOutline(model="gemini-3-flash-preview" if newest else "gemini-2.5-flash")
    try:
        request = GOOGLE.read_request(json.dumps(value).encode(), outline, Losses("request"))
        wire = GOOGLE.write_request(request, Losses("request"))
    except InvalidRequest:
        return
    again = GOOGLE.read_request(wire, outline, Losses("request"))
    assert len(again.turns) <= len(request.turns) + 1
