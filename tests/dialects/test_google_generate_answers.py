"""Answers in Google's format, whole and streamed, read into events."""

import json
from typing import Any

import pytest

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    Event,
    Failed,
    HostedCall,
    HostedResult,
    Inline,
    Losses,
    Media,
    Native,
    Remote,
    Seal,
    Started,
    Stopped,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    Usage,
    UsageReported,
    collect,
)
from asgi_gateway.canonical.seals import wrap
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE as GOOGLE
from asgi_gateway.errors import MalformedUpstream, UpstreamError
from support.google_generate import answer, chunk, context, noted, read_stream, sse_of

USED = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5, "serviceTier": "standard"}


def parts_of(events: list[Event]) -> tuple[Any, ...]:
    """The parts of the only choice."""
    (choice,) = collect(events).choices
    return choice.parts


def failure_of(events: list[Event]) -> UpstreamError:
    """The error that ends a stream."""
    last = events[-1]
    assert isinstance(last, Failed)
    return last.error


def test_a_stream_of_texts_is_one_text() -> None:
    """With who answered, and the usage reported last."""
    first = chunk({"text": "Hel"}, usageMetadata=USED)
    wire = sse_of(first, chunk({"text": "lo"}), chunk({"text": ""}, finish="STOP", usageMetadata=USED))
    events = read_stream(wire)
    response = collect(events)
    assert events[0] == response.started == Started("R1", "gemini-2.5-flash", 0, "default")
    assert response.choices[0].parts == (Text("Hello"),)
    assert response.choices[0].stopped == Stopped("stop", 0, "", "STOP")
    assert response.usage == Usage(input=3, output=2)
    assert len([event for event in events if isinstance(event, UsageReported)]) == 2


def test_a_stream_folds_to_the_plain_answer() -> None:
    """The same parts, whichever way they came."""
    parts: list[dict[str, Any]] = [
        {"text": "think", "thought": True},
        {"text": "say"},
        {"functionCall": {"name": "f", "args": {"a": 1.0}}, "thoughtSignature": "AAAA"},
        {"functionCall": {"name": "f", "args": {"a": 2}}},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
    ]
    plain = answer(chunk(*parts, finish="STOP", usageMetadata=USED))
    streamed = read_stream(
        sse_of(*(chunk(part, usageMetadata=USED) for part in parts), chunk(finish="STOP", usageMetadata=USED))
    )
    assert collect(plain) == collect(streamed)
    assert parts_of(plain) == (
        Thinking("think"),
        Text("say"),
        ToolCall(
            id="gfc_R1_0",
            name="f",
            arguments='{"a":1.0}',
            seal=Seal(maker="google", kind="signature", data="AAAA"),
        ),
        ToolCall(id="gfc_R1_1", name="f", arguments='{"a":2}'),
        HostedCall(
            id="gfc_R1_2",
            tool="code_execution",
            arguments='{"code":"1","language":"python"}',
            dialect="google_generate",
            native=parts[4],
        ),
        HostedResult(
            call_id="gfc_R1_2",
            tool="code_execution",
            parts=(Text("1"),),
            dialect="google_generate",
            native=parts[5],
        ),
        Media(kind="image", source=Inline("image/png", "AA==")),
    )


def test_arguments_stay_as_the_model_wrote_them() -> None:
    """But for white space between them: neither numbers nor the order of keys change."""
    wire = b"""{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "id": "own", "args": {
        "z": 1.50, "a": 123456789012345678901234567890}}}]}, "finishReason": "STOP"}]}"""
    (call,) = parts_of(GOOGLE.read_response(wire, Losses("response")))
    assert call == ToolCall(id="own", name="f", arguments='{"z":1.50,"a":123456789012345678901234567890}')


def test_calls_make_the_reason_tool_calls() -> None:
    """Google says STOP; any other reason of its stays."""
    call = {"functionCall": {"name": "f"}}
    (choice,) = collect(answer(chunk(call, finish="STOP"))).choices
    assert choice.stopped is not None
    assert choice.stopped.reason == "tool_calls"
    (choice,) = collect(answer(chunk(call, finish="MAX_TOKENS"))).choices
    assert choice.stopped is not None
    assert choice.stopped.reason == "length"


def test_calls_with_a_reason_that_nobody_knows_ended_for_the_calls() -> None:
    """Imitations of Google's format have a reason of their own for it; one that means something else stays."""
    for reason, neutral in (("FUNCTION_CALL", "tool_calls"), ("TOO_MANY_TOOL_CALLS", "other"), ("ESCALATION", "other")):
        (choice,) = collect(answer(chunk({"functionCall": {"name": "f"}}, finish=reason))).choices
        assert choice.stopped is not None
        assert choice.stopped.reason == neutral


@pytest.mark.parametrize(
    ("reason", "neutral", "native"),
    [
        ("STOP", "stop", "STOP"),
        ("SAFETY", "content_filter", "SAFETY"),
        ("RECITATION", "content_filter", "RECITATION"),
        ("IMAGE_SAFETY", "content_filter", "IMAGE_SAFETY"),
        ("MALFORMED_FUNCTION_CALL", "malformed_tool_call", "MALFORMED_FUNCTION_CALL"),
        ("UNEXPECTED_TOOL_CALL", "malformed_tool_call", "UNEXPECTED_TOOL_CALL"),
        ("TOO_MANY_TOOL_CALLS", "other", "TOO_MANY_TOOL_CALLS"),
        ("BRAND_NEW", "other", "BRAND_NEW"),
        (1, "stop", "STOP"),
        (2, "length", "MAX_TOKENS"),
        (8, "content_filter", "SPII"),
        (99, "other", "OTHER"),
    ],
)
def test_every_reason_to_finish_has_its_like(reason: Any, neutral: str, native: str) -> None:
    """Older versions of Vertex send numbers."""
    (choice,) = collect(answer(chunk({"text": "a"}, finish=reason))).choices
    assert choice.stopped is not None
    assert (choice.stopped.reason, choice.stopped.native) == (neutral, native)


def test_a_reason_in_every_chunk_ends_nothing_early() -> None:
    """Older models sent STOP each time."""
    events = read_stream(sse_of(chunk({"text": "a"}, finish="STOP"), chunk({"text": "b"}, finish="STOP")))
    assert parts_of(events) == (Text("ab"),)
    assert len([event for event in events if isinstance(event, Stopped)]) == 1


def test_a_blocked_prompt_is_an_answer() -> None:
    """Stopped by the provider's filter, with its reasons; no failure, which would be tried elsewhere."""
    feedback = {"blockReason": "PROHIBITED_CONTENT", "safetyRatings": []}
    body = {"promptFeedback": feedback, "usageMetadata": USED, "modelVersion": "m"}
    for events in (answer(body), read_stream(sse_of(body))):
        response = collect(events)
        assert response.choices[0].parts == ()
        assert response.choices[0].stopped == Stopped(
            "content_filter", 0, "", "PROHIBITED_CONTENT", {"promptFeedback": feedback}
        )
        assert response.usage == Usage(input=3, output=2)


def test_what_stands_beside_a_reason_is_its_details() -> None:
    """Ratings, messages, averages."""
    ratings = [{"category": "HARM_CATEGORY_HARASSMENT", "probability": "HIGH", "blocked": True}]
    body = chunk(finish="SAFETY", safetyRatings=ratings, avgLogprobs=-0.5, finishMessage="unsafe")
    (choice,) = collect(answer(body)).choices
    assert choice.stopped == Stopped(
        "content_filter", 0, "", "SAFETY", {"safetyRatings": ratings, "avgLogprobs": -0.5, "finishMessage": "unsafe"}
    )


def test_a_message_about_nothing_is_no_detail() -> None:
    """Gemini 3 says of every answer with calls that it has calls."""
    body = chunk({"functionCall": {"name": "f"}}, finish="STOP", finishMessage="Model generated function call(s).")
    (choice,) = collect(answer(body)).choices
    assert choice.stopped == Stopped("tool_calls", 0, "", "STOP")


def test_signatures_seal_what_they_came_with() -> None:
    """A text that is signed is not merged with one that is not; an empty text brings the seal of the open one."""
    claude = Seal(maker="anthropic", kind="redacted", data="x")
    wire = sse_of(
        chunk({"text": "a", "thoughtSignature": "AAAA"}),
        chunk({"text": "b"}),
        chunk({"text": "", "thoughtSignature": "BBBB"}),
        chunk({"thoughtSignature": "CCCC"}, hologram=1),
        chunk({"text": "", "thought": True, "thoughtSignature": wrap(claude)}, finish="STOP"),
    )
    seals = [Seal(maker="google", kind="signature", data=data) for data in ("AAAA", "BBBB", "CCCC")]
    assert parts_of(read_stream(wire)) == (
        Text("a", seal=seals[0]),
        Text("b", seal=seals[1]),
        Text("", seal=seals[2]),
        Thinking("", claude),
    )


def test_streamed_arguments_are_put_together() -> None:
    """By the paths of their values; the call is whole when nothing more is announced."""
    pieces = [
        {"name": "f", "id": "c1", "willContinue": True},
        {
            "partialArgs": [{"jsonPath": "$.place.name", "stringValue": "Par", "willContinue": True}],
            "willContinue": True,
        },
        {
            "partialArgs": [
                {"jsonPath": "$.place.name", "stringValue": "is"},
                {"jsonPath": "$['x y'][1].n", "numberValue": 2},
                {"jsonPath": '$["q"]', "boolValue": True},
                {"jsonPath": "$.nothing", "nullValue": "NULL_VALUE"},
                {"jsonPath": "$.later"},
            ],
            "willContinue": True,
        },
        {},
        {"name": "g", "args": {"a": 1}, "willContinue": True},
        {"name": "h"},
        {"name": "i", "partialArgs": [{"jsonPath": "$.a", "numberValue": 1}]},
    ]
    chunks = [chunk({"functionCall": piece}) for piece in pieces]
    chunks[0]["candidates"][0]["content"]["parts"][0]["thoughtSignature"] = "AAAA"
    losses = Losses("response")
    calls = parts_of(read_stream(sse_of(*chunks, chunk(finish="STOP")), losses))
    arguments = {"place": {"name": "Paris"}, "x y": [None, {"n": 2}], "q": True, "nothing": None}
    assert [(call.id, call.name, json.loads(call.arguments or "null")) for call in calls] == [
        ("c1", "f", arguments),
        ("gfc_R1_0", "g", {"a": 1}),
        ("gfc_R1_1", "h", None),
        ("gfc_R1_2", "i", {"a": 1}),
    ]
    assert calls[0].seal == Seal(maker="google", kind="signature", data="AAAA")
    assert not losses


@pytest.mark.parametrize(
    "piece",
    [
        5,
        {},
        {"jsonPath": "place"},
        {"jsonPath": "$[0]", "numberValue": 1},
        {"jsonPath": "$.a..b", "numberValue": 1},
        {"jsonPath": "$.a[99999]", "numberValue": 1},
    ],
)
def test_pieces_of_arguments_that_cannot_be_understood_are_noted(piece: Any) -> None:
    """And change nothing."""
    losses = Losses("response")
    wire = sse_of(
        chunk({"functionCall": {"name": "f", "willContinue": True}}),
        chunk({"functionCall": {"partialArgs": [piece]}}, finish="STOP"),
    )
    (call,) = parts_of(read_stream(wire, losses))
    assert json.loads(call.arguments) in ({}, {"a": []})
    assert noted(losses) == ["dropped:functionCall.partialArgs"]


def test_a_piece_may_change_the_kind_of_a_value() -> None:
    """The later one counts; a name in a list, or a position in an object, fits nowhere."""
    losses = Losses("response")
    values = [("$.a", 1), ("$.a.b", 2), ("$.l[0]", 3), ("$.l.x", 4), ("$.l[0]", 5)]
    given = [{"jsonPath": path, "numberValue": value} for path, value in values]
    wire = sse_of(chunk({"functionCall": {"name": "f", "partialArgs": given}}, finish="STOP"))
    (call,) = parts_of(read_stream(wire, losses))
    assert json.loads(call.arguments) == {"a": {"b": 2}, "l": [5]} or json.loads(call.arguments)["a"] == {"b": 2}


def test_a_piece_without_a_call_is_noted() -> None:
    """It belongs to nothing."""
    losses = Losses("response")
    parts = parts_of(read_stream(sse_of(chunk({"functionCall": {}}), chunk({"text": "a"}, finish="STOP")), losses))
    assert parts == (Text("a"),)
    assert noted(losses) == ["dropped:functionCall"]


GROUNDING = {
    "groundingChunks": [
        {"web": {"uri": "https://a.org", "title": "A"}},
        {"retrievedContext": {"title": "doc", "text": "quoted", "fileSearchStore": "stores/1"}},
        {"maps": {"uri": "https://maps", "title": "Place"}},
        {"odd": 1},
        5,
    ],
    "groundingSupports": [
        {"segment": {"startIndex": 6, "endIndex": 12, "text": "Ümlaut"[:5]}, "groundingChunkIndices": [0, 99]},
        {"segment": {"endIndex": 6, "text": "Grüße"[:4]}, "groundingChunkIndices": [1]},
        {"segment": {"startIndex": 500, "endIndex": 600, "text": "away"}, "groundingChunkIndices": [0]},
        {"segment": 5, "groundingChunkIndices": 5},
        5,
    ],
    "webSearchQueries": ["q"],
}


def test_sources_become_citations_with_offsets_in_characters() -> None:
    """Google counts bytes; where the segment does not stand there, it is looked for."""
    text = "Grüß Ümlaut"
    body = chunk({"text": text, "thoughtSignature": "AAAA"}, finish="STOP", groundingMetadata=GROUNDING)
    said, native = parts_of(answer(body))
    assert said.text == text
    assert said.citations == (
        Citation(kind="url", url="https://a.org", title="A", start=5, end=10),
        Citation(kind="file", title="doc", quoted="quoted", source="stores/1", start=0, end=4),
        Citation(kind="url", url="https://a.org", title="A"),
        Citation(kind="url", url="https://maps", title="Place"),
    )
    assert native == Native("google_generate", "groundingMetadata", GROUNDING)


def test_sources_that_come_late_get_a_text_of_their_own() -> None:
    """The text that they belong to is over: they have no offsets, which is noted."""
    losses = Losses("response")
    wire = sse_of(
        chunk({"text": "a"}),
        chunk({"functionCall": {"name": "f"}}),
        chunk(finish="STOP", groundingMetadata={"webSearchQueries": ["q"]}),
        chunk(groundingMetadata=GROUNDING),
    )
    parts = parts_of(read_stream(wire, losses))
    assert [type(part) for part in parts] == [Text, ToolCall, Text, Native]
    assert parts[2].text == ""
    assert all(citation.start is None for citation in parts[2].citations)
    assert parts[3].value == GROUNDING
    assert noted(losses) == ["approximated:groundingMetadata.groundingSupports"]


def test_citations_and_fetched_pages_become_citations() -> None:
    """Of recitations, and of the tool that reads addresses."""
    cited = {"citations": [{"startIndex": 0, "endIndex": 3, "uri": "https://b", "title": "B", "license": "MIT"}, 5]}
    said, _ = parts_of(answer(chunk({"text": "words"}, finish="STOP", citationMetadata=cited)))
    assert said.citations == (Citation(kind="url", url="https://b", title="B", start=0, end=3),)
    fetched = {"urlMetadata": [{"retrievedUrl": "https://c", "urlRetrievalStatus": "X"}, {}, 5]}
    said, _ = parts_of(answer(chunk({"text": "words"}, finish="STOP", urlContextMetadata=fetched)))
    assert said.citations == (Citation(kind="url", url="https://c"),)
    said, _ = parts_of(answer(chunk({"text": "words"}, finish="STOP", groundingMetadata=5)))
    assert said.citations == ()


def test_probabilities_are_read() -> None:
    """Of the chosen tokens, and of those that might have stood there."""
    result = {
        "chosenCandidates": [{"token": "a", "logProbability": -0.1, "tokenId": 5}, {"token": "b"}, 5],
        "topCandidates": [{"candidates": [{"token": "x", "logProbability": -2}, 5]}],
    }
    (choice,) = collect(answer(chunk({"text": "ab"}, finish="STOP", logprobsResult=result))).choices
    assert choice.logprobs == (
        TokenLogprob("a", -0.1, None, (TokenLogprob("x", -2.0),)),
        TokenLogprob("b", 0.0),
    )
    (choice,) = collect(answer(chunk(finish="STOP", logprobsResult=result))).choices
    assert choice.logprobs is not None
    assert collect(answer(chunk({"text": "a"}, finish="STOP", logprobsResult=5))).choices[0].logprobs is None


def test_several_candidates_are_several_choices() -> None:
    """Their parts are counted together, their texts are not."""
    first = {"content": {"parts": [{"text": "a"}]}, "index": 0, "finishReason": "STOP"}
    second = {"content": {"parts": [{"text": "b"}]}, "index": 1, "finishReason": "MAX_TOKENS"}
    response = collect(read_stream(sse_of({"candidates": [first, second]}, {"candidates": [second]})))
    assert [choice.parts for choice in response.choices] == [(Text("a"),), (Text("bb"),)]
    losses = Losses("response")
    far = {**second, "index": 1 << 40}
    assert len(collect(answer({"candidates": [first, far, 5]}, losses)).choices) == 1
    assert noted(losses) == ["dropped:candidates[].index"]
    losses = Losses("response")
    assert len(collect(answer({"candidates": [first, {**second, "index": -1}]}, losses)).choices) == 1
    assert noted(losses) == ["dropped:candidates[].index"]


def test_files_and_unknown_parts_of_an_answer_are_kept() -> None:
    """Pictures of thoughts and what nobody knows as they are."""
    thought = {"thought": True, "inlineData": {"mimeType": "image/png", "data": "AA=="}}
    signed = {"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thoughtSignature": "AAAA"}
    odd = {"toolCall": {"id": 5}}
    parts = parts_of(
        answer(
            chunk(
                {"fileData": {"fileUri": "https://x/a.png", "mimeType": "image/png"}},
                signed,
                thought,
                {"hologram": 1},
                odd,
                {"fileData": {}},
                {},
                finish="STOP",
            )
        )
    )
    assert parts == (
        Media(kind="image", source=Remote("https://x/a.png", "image/png")),
        Media(
            kind="image",
            source=Inline("image/png", "AA=="),
            seal=Seal(maker="google", kind="signature", data="AAAA"),
        ),
        Native("google_generate", "contents[].parts[].thought", thought),
        Native("google_generate", "contents[].parts[].hologram", {"hologram": 1}),
        Native("google_generate", "contents[].parts[].toolCall", odd),
        Native("google_generate", "contents[].parts[].fileData", {"fileData": {}}),
    )


def test_unknown_members_of_an_answer_are_noted() -> None:
    """And the time it was made is read."""
    losses = Losses("response")
    body = {**chunk({"text": "a"}, finish="STOP"), "modelStatus": {}, "createTime": "2026-05-04T20:01:02.264968Z"}
    assert collect(answer(body, losses)).started.created == 1777924862
    assert noted(losses) == ["dropped:modelStatus"]
    for odd in ("", "yesterday", 5):
        assert collect(answer({**body, "createTime": odd})).started.created == 0
    assert collect(answer({**body, "createTime": "2026-05-04T20:01:02"})).started.created == 1777924862


def test_an_error_inside_ends_everything() -> None:
    """In a stream as `Failed`; what follows is not read. In a plain answer it is raised."""
    error = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
    events = read_stream(sse_of(chunk({"text": "a"}), error, chunk({"text": "b"}, finish="STOP")))
    assert failure_of(events).status == 503
    assert collect(events[:-1]).choices[0].parts == (Text("a"),)
    with pytest.raises(UpstreamError, match="overloaded"):
        answer([error])
    assert isinstance(read_stream(sse_of(error))[0], Started)


@pytest.mark.parametrize(
    "wire",
    [
        b"",
        b"data: {broken\n\n",
        b"data: 5\n\n",
        b": ping\n\n",
        sse_of(chunk({"text": "a"})),
        sse_of({"usageMetadata": USED}),
        sse_of({"candidates": 5, "usageMetadata": 5}),
        b'data: {"candidates": [{"content": {"parts": [{"text": "a"',
    ],
)
def test_a_stream_without_its_end_has_failed(wire: bytes) -> None:
    """Nobody takes half an answer for a whole one."""
    assert isinstance(failure_of(read_stream(wire)), MalformedUpstream)


def test_a_plain_answer_without_its_end_is_refused() -> None:
    """As malformed."""
    with pytest.raises(MalformedUpstream):
        answer({"candidates": []})


def test_an_array_of_chunks_is_read_as_one_answer() -> None:
    """Google frames a stream so when no events are asked for."""
    events = answer([chunk({"text": "a"}), chunk({"text": "b"}, finish="STOP")])
    assert parts_of(events) == (Text("ab"),)


def test_odd_shapes_inside_a_chunk_are_passed_over() -> None:
    """They hold nothing that could be read."""
    body = {"candidates": [{"content": 5, "finishReason": "STOP"}, {"content": {"parts": [5]}, "finishReason": True}]}
    with pytest.raises(MalformedUpstream):
        answer({"candidates": [{"content": 5, "finishReason": True, "index": 0}]})
    assert collect(answer(body)).choices[0].parts == ()


def test_arguments_that_are_no_text_end_the_answer() -> None:
    """They are passed on undecoded, but not unseen."""
    wire = b'data: {"candidates":[{"content":{"parts":[{"functionCall":{"name":"f","args":{"a":"\x80"}}}]}}]}\n\n'
    failed = read_stream(wire)[-1]
    assert isinstance(failed, Failed)
    assert "UTF-8" in failed.error.message


def test_the_stop_sequence_met_is_dropped_and_noted() -> None:
    """Google has no field for it."""
    losses = Losses("response")
    response = ChatResponse(choices=(Choice(parts=(Text("Hi"),), stopped=Stopped("stop_sequence", 0, "END")),))
    body = json.loads(GOOGLE.write_response(response, context(losses=losses)))
    assert body["candidates"][0]["finishReason"] == "STOP"
    assert noted(losses) == ["dropped:stop_sequence"]
