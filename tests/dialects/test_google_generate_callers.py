"""Answers written for callers of Google's format."""

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
    LogprobsGiven,
    Losses,
    Media,
    Native,
    Part,
    PartClosed,
    PartOpened,
    Refusal,
    Seal,
    Started,
    Stopped,
    StopReason,
    Stored,
    Text,
    TextDelta,
    Thinking,
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
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE as GOOGLE
from asgi_gateway.errors import UpstreamError
from support.google_generate import context, noted, read_stream

CLAUDES = Seal(maker="anthropic", kind="signature", data="EqoB")
STARTED = Started("msg_1", "claude", 5)
USAGE = Usage(input=3, output=2)


def said(*parts: Part, reason: StopReason = "stop", **more: Any) -> ChatResponse:
    """A response of one choice."""
    choice = Choice(parts=parts, stopped=Stopped(reason), **more)
    return ChatResponse(started=STARTED, choices=(choice,), usage=USAGE)


def plain(response: ChatResponse, losses: Losses | None = None) -> dict[str, Any]:
    """The plain answer, decoded."""
    body: dict[str, Any] = json.loads(GOOGLE.write_response(response, context(losses=losses)))
    return body


def streamed(response: ChatResponse, framing: str = "sse", losses: Losses | None = None) -> bytes:
    """The answer as a stream."""
    writer = GOOGLE.writer(context(framing=framing, losses=losses))
    return writer.write(list(unfold(response))) + writer.finish()


def chunks_of(wire: bytes) -> list[dict[str, Any]]:
    """The payloads of an event stream."""
    return [json.loads(event.removeprefix(b"data: ")) for event in wire.split(b"\r\n\r\n") if event]


EVERYTHING = said(
    Thinking("why", CLAUDES),
    Text("Grüße", (Citation(kind="url", url="https://a", title="A", start=2, end=5),)),
    ToolCall(id="toolu_1", name="f", arguments='{"a":1.50}'),
    ToolCall(id="gfc_R_1", name="g"),
    Media(kind="image", source=Inline("image/png", "AA==")),
    reason="tool_calls",
)


def test_a_plain_answer_is_written() -> None:
    """One candidate, with everything that Google's clients look for."""
    assert plain(EVERYTHING) == {
        "candidates": [
            {
                "content": {
                    "parts": [
                        {"text": "why", "thought": True, "thoughtSignature": wrap(CLAUDES)},
                        {"text": "Grüße"},
                        {"functionCall": {"id": "toolu_1", "name": "f", "args": {"a": 1.5}}},
                        {"functionCall": {"name": "g", "args": {}}},
                        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
                    ],
                    "role": "model",
                },
                "finishReason": "STOP",
                "groundingMetadata": {
                    "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}],
                    "groundingSupports": [
                        {
                            "segment": {"partIndex": 1, "startIndex": 2, "endIndex": 7, "text": "üße"},
                            "groundingChunkIndices": [0],
                        }
                    ],
                },
                "index": 0,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 3,
            "candidatesTokenCount": 2,
            "totalTokenCount": 5,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 3}],
        },
        "modelVersion": "claude",
        "responseId": "msg_1",
    }


def test_a_stream_says_the_same_as_the_plain_answer() -> None:
    """In chunks that are answers themselves; the last one tells the reason and the usage."""
    wire = streamed(EVERYTHING)
    chunks = chunks_of(wire)
    assert all(chunk["responseId"] == "msg_1" and chunk["modelVersion"] == "claude" for chunk in chunks)
    assert [("finishReason" in chunk["candidates"][0], "usageMetadata" in chunk) for chunk in chunks[-2:]] == [
        (False, False),
        (True, True),
    ]
    again, before = collect(read_stream(wire)), EVERYTHING
    assert [part for part in again.choices[0].parts if isinstance(part, ToolCall)] == [
        before.choices[0].parts[2],
        ToolCall(id="gfc_msg_1_0", name="g", arguments="{}"),
    ]
    assert again.choices[0].parts[0] == before.choices[0].parts[0]
    assert again.usage == USAGE
    assert chunks[-1]["candidates"][0]["groundingMetadata"] == plain(EVERYTHING)["candidates"][0]["groundingMetadata"]


def test_an_array_holds_the_same_chunks() -> None:
    """For a caller who did not ask for events."""
    wire = streamed(EVERYTHING, "json-array")
    assert wire.startswith(b"[{")
    assert wire.endswith(b"}\n]")
    assert b"}\n,\n{" in wire
    assert json.loads(wire) == chunks_of(streamed(EVERYTHING))


def test_text_goes_out_as_it_comes() -> None:
    """One chunk for each piece; arguments wait for their end."""
    writer = GOOGLE.writer(context())
    assert writer.write([Started()]) == b""
    assert writer.write([PartOpened(0, "text")]) == b""
    assert chunks_of(writer.write([TextDelta(0, "a")])) == [
        {
            "candidates": [{"content": {"parts": [{"text": "a"}], "role": "model"}, "index": 0}],
            "modelVersion": "asked-for",
            "responseId": "made1",
        }
    ]
    assert writer.write([PartClosed(0), PartOpened(1, "tool_call", id="c", name="f"), ToolCallDelta(1, '{"a"')]) == b""
    (chunk,) = chunks_of(writer.write([ToolCallDelta(1, ":1}"), PartClosed(1)]))
    assert chunk["candidates"][0]["content"]["parts"] == [{"functionCall": {"id": "c", "name": "f", "args": {"a": 1}}}]
    assert writer.write([Stopped("tool_calls"), UsageReported(USAGE)]) == b""
    (last,) = chunks_of(writer.finish())
    assert last["candidates"][0]["content"]["parts"] == [{"text": ""}]


def test_arguments_that_are_no_object_are_wrapped() -> None:
    """A free text by its own name; both are noted."""
    losses = Losses("response")
    response = said(
        ToolCall(id="a", name="f", arguments="{broken"), ToolCall(id="b", name="g", arguments="x", custom=True)
    )
    parts = plain(response, losses)["candidates"][0]["content"]["parts"]
    assert [part["functionCall"]["args"] for part in parts] == [{"arguments": "{broken"}, {"input": "x"}]
    assert noted(losses) == ["approximated:tool_calls[].arguments", "approximated:tools[].custom"]
    assert GOOGLE.write_response(said(ToolCall(id="a", name="f", arguments='{"\ud800')), context())


def test_seals_of_every_part_travel_in_its_signature() -> None:
    """Google's as it is, another's wrapped, with the id of its call."""
    googles = Seal(maker="google", kind="signature", data="AAAA")
    response = said(
        Text("a", seal=googles), Text("", seal=CLAUDES), ToolCall(id="c", name="f", seal=CLAUDES), Thinking("", CLAUDES)
    )
    expected = ["AAAA", wrap(CLAUDES), wrap(CLAUDES, call="c"), wrap(CLAUDES)]
    parts = plain(response)["candidates"][0]["content"]["parts"]
    assert [part["thoughtSignature"] for part in parts] == expected
    again = collect(read_stream(streamed(response))).choices[0].parts
    assert [getattr(part, "seal", None) for part in again] == [googles, CLAUDES, CLAUDES, CLAUDES]


@pytest.mark.parametrize(
    ("reason", "native", "finish", "losses"),
    [
        ("stop", "end_turn", "STOP", []),
        ("stop_sequence", "", "STOP", []),
        ("length", "max_tokens", "MAX_TOKENS", []),
        ("tool_calls", "", "STOP", []),
        ("content_filter", "", "SAFETY", []),
        ("content_filter", "RECITATION", "RECITATION", []),
        ("refusal", "refusal", "SAFETY", ["approximated:stop_reason"]),
        ("pause", "pause_turn", "OTHER", ["approximated:stop_reason"]),
        ("context_length", "", "MAX_TOKENS", ["approximated:stop_reason"]),
        ("malformed_tool_call", "", "MALFORMED_FUNCTION_CALL", []),
        ("other", "", "OTHER", []),
    ],
)
def test_every_reason_is_written(reason: StopReason, native: str, finish: str, losses: list[str]) -> None:
    """As Google's own, or the nearest."""
    lost = Losses("response")
    response = ChatResponse(choices=(Choice(stopped=Stopped(reason, 0, "", native)),))
    assert plain(response, lost)["candidates"][0]["finishReason"] == finish
    assert noted(lost) == losses


def test_a_blocked_prompt_is_written_as_google_writes_it() -> None:
    """Without candidates."""
    feedback = {"blockReason": "SAFETY"}
    stopped = Stopped("content_filter", 0, "", "SAFETY", {"promptFeedback": feedback})
    response = ChatResponse(started=STARTED, choices=(Choice(stopped=stopped),), usage=USAGE)
    body = plain(response)
    assert body["promptFeedback"] == feedback
    assert "candidates" not in body
    (chunk,) = chunks_of(streamed(response))
    assert chunk == body


def test_details_of_googles_own_are_told_and_those_of_others_are_not() -> None:
    """A caller of Google knows these alone."""
    details = {"safetyRatings": [1], "finishMessage": "m", "odd": 1}
    stopped = Stopped("stop", 0, "", "STOP", details)
    candidate = plain(ChatResponse(choices=(Choice(parts=(Text("a"),), stopped=stopped),)))["candidates"][0]
    assert (candidate["safetyRatings"], candidate["finishMessage"]) == ([1], "m")
    assert "odd" not in candidate


def test_an_answer_of_nothing_has_one_empty_candidate() -> None:
    """And no usage where none was told."""
    body = plain(ChatResponse())
    assert body["candidates"] == [{"content": {"parts": [], "role": "model"}, "finishReason": "OTHER", "index": 0}]
    assert "usageMetadata" not in body
    (chunk,) = chunks_of(streamed(ChatResponse()))
    assert chunk["candidates"][0]["finishReason"] == "OTHER"


def test_several_choices_are_several_candidates() -> None:
    """The usage stands in the last chunk of all."""
    choices = tuple(Choice(parts=(Text(text),), stopped=Stopped("stop", n)) for n, text in enumerate("ab"))
    response = ChatResponse(started=STARTED, choices=choices, usage=USAGE)
    assert [candidate["index"] for candidate in plain(response)["candidates"]] == [0, 1]
    chunks = chunks_of(streamed(response))
    assert [chunk["candidates"][0]["index"] for chunk in chunks] == [0, 1, 0, 1]
    assert ["usageMetadata" in chunk for chunk in chunks] == [False, False, False, True]


def test_what_other_providers_ran_is_told_as_far_as_google_can() -> None:
    """Code as code, a search by its query; the rest is noted."""
    losses = Losses("response")
    response = said(
        HostedCall(id="1", tool="code_execution", arguments='{"code": "1+1"}'),
        HostedResult(call_id="1", tool="code_execution", parts=(Text("2"),)),
        HostedCall(id="2", tool="web_search", arguments='{"query": "q"}'),
        HostedCall(id="2", tool="web_search", arguments="{"),
        HostedResult(call_id="2", tool="web_search"),
        Native("anthropic_messages", "container", {}),
        Refusal("no"),
        Refusal(""),
        Media(kind="image", source=Stored("file-1", "openai")),
    )
    candidate = plain(response, losses)["candidates"][0]
    assert candidate["content"]["parts"] == [
        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
        {"text": "no"},
    ]
    assert candidate["groundingMetadata"] == {"webSearchQueries": ["q"]}
    assert noted(losses) == [
        "approximated:code_execution",
        "approximated:web_search_call",
        "dropped:web_search_call",
        "dropped:web_search_result",
        "dropped:container",
        "approximated:refusal",
        "dropped:file",
    ]
    losses = Losses("response")
    assert b'"text":"no"' in streamed(response, losses=losses)
    assert "approximated:refusal" in noted(losses)


def test_googles_own_metadata_stands_beside_the_parts() -> None:
    """As Google wrote it, instead of what could be made of the citations."""
    response = said(
        Text("a", (Citation(kind="file", title="t", quoted="q"),)),
        Native("google_generate", "groundingMetadata", {"own": 1}),
        Native("google_generate", "contents[].parts[].hologram", {"hologram": 1}),
        HostedCall(id="t", tool="maps", dialect="google_generate", native={"toolCall": {"id": "t"}}),
    )
    candidate = plain(response)["candidates"][0]
    assert candidate["groundingMetadata"] == {"own": 1}
    assert candidate["content"]["parts"] == [{"text": "a"}, {"hologram": 1}, {"toolCall": {"id": "t"}}]


def test_citations_of_files_are_retrieved_contexts() -> None:
    """Without offsets there is no segment."""
    response = said(Text("a", (Citation(kind="file", title="t", quoted="q", url="u"), Citation(kind="url"))))
    assert plain(response)["candidates"][0]["groundingMetadata"] == {
        "groundingChunks": [{"retrievedContext": {"uri": "u", "title": "t", "text": "q"}}, {"web": {}}]
    }


def test_probabilities_are_written() -> None:
    """Alternatives only where there are any."""
    tokens = (TokenLogprob("a", -0.1, None, (TokenLogprob("x", -2.0),)), TokenLogprob("b", -0.2))
    written = {
        "chosenCandidates": [{"token": "a", "logProbability": -0.1}, {"token": "b", "logProbability": -0.2}],
        "topCandidates": [{"candidates": [{"token": "x", "logProbability": -2.0}]}, {"candidates": []}],
    }
    assert plain(said(Text("ab"), logprobs=tokens))["candidates"][0]["logprobsResult"] == written
    assert chunks_of(streamed(said(Text("ab"), logprobs=tokens)))[-1]["candidates"][0]["logprobsResult"] == written
    writer = GOOGLE.writer(context())
    writer.write([Started(), PartOpened(0, "text"), LogprobsGiven(0, tokens[1:])])
    writer.write([CitationGiven(0, Citation(kind="url", url="u"))])
    (last,) = chunks_of(writer.finish())
    assert "topCandidates" not in last["candidates"][0]["logprobsResult"]
    assert "groundingMetadata" in last["candidates"][0]


def test_what_no_writer_is_given_is_a_mistake_of_ours() -> None:
    """A failed stream ends as an error; answers hold no results of the caller's tools."""
    with pytest.raises(AssertionError):
        GOOGLE.writer(context()).write([Failed(UpstreamError("no"))])
    with pytest.raises(AssertionError):
        plain(said(ToolResult(call_id="a")))
