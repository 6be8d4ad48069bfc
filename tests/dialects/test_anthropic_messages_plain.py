"""What a table of parts becomes in answers of Anthropic's Messages, and what only plain ones have."""

import json
from typing import Any

import pytest

pytest.importorskip("anthropic", reason="the vendor's SDK is asked what is valid")

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    HostedCall,
    HostedResult,
    Inline,
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
    Text,
    TextDelta,
    Thinking,
    ToolCall,
    ToolResult,
    Usage,
    UsageReported,
    collect,
)
from asgi_gateway.canonical.parts import Part
from asgi_gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from support.anthropic_messages import (
    MODEL,
    answered,
    context,
    events_of,
    message,
    noted,
    read_answer,
    read_stream,
    streamed,
)
from support.strict import check_response, check_stream

NAME = "anthropic_messages"
OWN = Seal(maker="anthropic", kind="signature", data="sig")
GOOGLES = Seal(maker="google", kind="signature", data="g")
HIDDEN = Seal(maker="openai", kind="encrypted", data="e")


def response(*parts: Part, **fields: Any) -> ChatResponse:
    choice = Choice(parts=parts, stopped=fields.pop("stopped", Stopped("stop")), logprobs=fields.pop("logprobs", None))
    return ChatResponse(started=Started("msg_1", MODEL), choices=(choice,), usage=Usage(input=3, output=2), **fields)


def written(*parts: Part, losses: Losses | None = None, **fields: Any) -> dict[str, Any]:
    told = answered(response(*parts, **fields), losses)
    check_response(NAME, json.dumps(told).encode())
    return told


def content(*parts: Part, losses: Losses | None = None, **fields: Any) -> list[Any]:
    blocks: list[Any] = written(*parts, losses=losses, **fields)["content"]
    return blocks


def test_arguments_are_not_encoded_again() -> None:
    """No number changes, and no order of keys."""
    body = json.dumps(message({"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}})).encode()
    events = ANTHROPIC_MESSAGES.read_response(
        body.replace(b'{"x": 1}', b'{"z":1.50,  "a":12345678901234567890}'), Losses("response")
    )
    assert any(getattr(event, "arguments", "") == '{"z":1.50,  "a":12345678901234567890}' for event in events)


def test_what_tells_of_the_answer_as_a_whole_is_kept() -> None:
    """The container of code, and what else stands beside the reason: for callers of this dialect."""
    beside = {
        "container": {"id": "c", "expires_at": "2026-01-01T00:00:00Z"},
        "stop_details": {"type": "refusal", "category": "cyber", "explanation": "no"},
    }
    told = read_answer(message(stop_reason="refusal", diagnostics=None, **beside))
    assert told.choices[0].stopped == Stopped("refusal", native="refusal", details=beside)
    again = answered(told)
    assert {name: again[name] for name in beside} == beside


def test_unknown_members_of_an_answer_are_noted() -> None:
    """And code that called a tool."""
    losses = Losses("response")
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}, "caller": {"type": "code_execution_20250825"}}
    read_answer(message(call, colour="red"), losses)
    assert noted(losses) == {"dropped:colour", "dropped:content[].caller"}


def test_hosted_tools_and_what_only_anthropic_knows_are_read() -> None:
    """With what others can show of them, and whole; and written again as they were."""
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    found = {
        "type": "web_search_tool_result",
        "tool_use_id": "s",
        "content": [
            {
                "type": "web_search_result",
                "url": "https://x.test",
                "title": "T",
                "encrypted_content": "e",
                "page_age": None,
            }
        ],
    }
    roll = {"type": "mcp_tool_use", "id": "m", "name": "roll", "server_name": "dice", "input": {}}
    rolled = {
        "type": "mcp_tool_result",
        "tool_use_id": "m",
        "is_error": False,
        "content": [{"type": "text", "text": "5", "citations": None}],
    }
    advice = {
        "type": "advisor_tool_result",
        "tool_use_id": "v",
        "content": {"type": "advisor_result", "text": "t", "stop_reason": "end_turn"},
    }
    short = {"type": "compaction", "content": "c"}
    told = read_answer(message(search, found, roll, rolled, advice, short))
    assert told.choices[0].parts == (
        HostedCall(id="s", tool="web_search", arguments='{"query":"q"}', dialect=NAME, native=search),
        HostedResult(
            call_id="s",
            tool="web_search",
            parts=(Text("T\nhttps://x.test"),),
            citations=(Citation(kind="url", url="https://x.test", title="T"),),
            dialect=NAME,
            native=found,
        ),
        HostedCall(id="m", tool="mcp", dialect=NAME, native=roll),
        HostedResult(call_id="m", tool="mcp", parts=(Text("5"),), dialect=NAME, native=rolled),
        HostedResult(call_id="v", tool="advisor", parts=(Text("t"),), dialect=NAME, native=advice),
        Native(NAME, "content[].compaction", short),
    )
    assert content(*told.choices[0].parts) == [search, found, roll, rolled, advice, short]


@pytest.mark.parametrize("tier", ["standard", "priority", "batch"])
def test_tiers_are_read_and_written(tier: str) -> None:
    """By neutral names between."""
    usage = {"input_tokens": 3, "output_tokens": 2, "service_tier": tier}
    told = read_answer(message(usage=usage))
    assert told.started.service_tier == ("default" if tier == "standard" else tier)
    assert answered(told)["usage"]["service_tier"] == tier


def test_an_answer_is_written() -> None:
    """All that the format requires; nothing that its clients send back and Anthropic refuses."""
    assert written(Text(""), Thinking("Hm", OWN), Text("Hi"), Thinking()) == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [
            {"type": "thinking", "thinking": "Hm", "signature": "sig"},
            {"type": "text", "text": "Hi"},
        ],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 3,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 2,
        },
    }


def test_a_stop_sequence_is_told() -> None:
    """Where it is known."""
    told = written(Text("Hi"), stopped=Stopped("stop_sequence", sequence="END"))
    assert (told["stop_reason"], told["stop_sequence"]) == ("stop_sequence", "END")
    assert written(Text("Hi"), stopped=Stopped("stop_sequence"))["stop_sequence"] is None


@pytest.mark.parametrize(
    ("call", "given", "noting"),
    [
        (ToolCall(id="a", name="f", arguments='{"z": 1, "a": 2}'), {"z": 1, "a": 2}, ""),
        (ToolCall(id="a", name="f"), {}, ""),
        (ToolCall(id="a", name="f", arguments="[1]"), {"arguments": "[1]"}, "approximated:tool_calls[].arguments"),
        (ToolCall(id="a", name="f", arguments='{"x'), {"arguments": '{"x'}, "approximated:tool_calls[].arguments"),
        (ToolCall(id="a", name="f", arguments="\ud800"), {"arguments": "?"}, "approximated:tool_calls[].arguments"),
        (ToolCall(id="a", name="f", arguments="x", custom=True), {"input": "x"}, "approximated:tool_calls[].custom"),
    ],
)
def test_arguments_become_an_object(call: ToolCall, given: Any, noting: str) -> None:
    """What is none stands in one."""
    losses = Losses("response")
    (block,) = content(call, losses=losses, stopped=Stopped("tool_calls"))
    assert block == {"type": "tool_use", "id": "a", "name": "f", "input": given}
    assert noted(losses) == ({noting} if noting else set())


def test_ids_of_others_become_such_as_anthropic_takes() -> None:
    """Always the same, and each its own."""
    ids = [
        content(ToolCall(id=id, name="f"), stopped=Stopped("tool_calls"))[0]["id"] for id in ("a.b", "a:b", "a.b", "")
    ]
    assert ids[0] == ids[2] != ids[1]
    assert all(id.startswith("toolu_") and len(id) == 46 for id in ids)


def test_citations_of_others_are_places_of_a_search() -> None:
    """Where they have an address; others are noted."""
    losses = Losses("response")
    (block,) = content(
        Text("t", (Citation(kind="url", url="https://x.test", title="T"), Citation(kind="document", title="D"))),
        losses=losses,
    )
    assert block["citations"] == [
        {
            "type": "web_search_result_location",
            "cited_text": "",
            "url": "https://x.test",
            "title": "T",
            "encrypted_index": "",
        }
    ]
    assert noted(losses) == {"approximated:citations", "dropped:citations"}


@pytest.mark.parametrize(
    ("part", "text", "noting"),
    [
        (
            Media(kind="image", source=Inline("image/png", "AA")),
            "![image](data:image/png;base64,AA)",
            "approximated:image",
        ),
        (
            Media(kind="image", source=Remote("https://x.test/a")),
            "![image](https://x.test/a)",
            "approximated:image",
        ),
        (Media(kind="image", source=PlainText("x")), None, "dropped:image"),
        (Media(kind="audio", source=Inline("audio/wav", "AA"), transcript="Hi"), "Hi", "approximated:audio"),
        (Media(kind="audio", source=Inline("audio/wav", "AA")), None, "dropped:audio"),
        (HostedCall(id="s", tool="web_search"), None, "dropped:web_search"),
        (HostedResult(call_id="s", tool="web_search"), None, "dropped:web_search"),
        (Native("google_generate", "x", {}), None, "dropped:x"),
        (ToolResult(call_id="a"), None, "dropped:tool_result"),
        (Text("t", seal=GOOGLES), "t", "dropped:signature"),
    ],
)
def test_what_has_no_place_is_noted(part: Part, text: str | None, noting: str) -> None:
    """A picture stands in Markdown, a spoken answer as its transcript."""
    losses = Losses("response")
    assert content(part, losses=losses) == ([] if text is None else [{"type": "text", "text": text}])
    assert noted(losses) == {noting}


def begun(wire: bytes) -> Any:
    """The usage that a stream's beginning tells."""
    return events_of(wire)[0]["message"]["usage"]


def test_a_stream_begins_with_the_usage_that_is_known_by_then() -> None:
    """Clients show it at once; what comes later stands at the end."""
    known = [Started("msg_1", MODEL), UsageReported(Usage(input=9, cache_read=4, output=1)), PartOpened(0, "text")]
    wire = streamed([*known, TextDelta(0, "Hi"), PartClosed(0), Stopped("stop")])
    assert (begun(wire)["input_tokens"], begun(wire)["cache_read_input_tokens"]) == (9, 4)
    late = streamed([Started("msg_1", MODEL), Stopped("stop"), UsageReported(Usage(input=9, output=1))])
    check_stream(NAME, late)
    writer = ANTHROPIC_MESSAGES.writer(context())
    first = writer.write([Started("msg_1", MODEL)])
    assert begun(first)["input_tokens"] == 0
    writer.write([UsageReported(Usage(input=9, cache_write_1h=5, output=1)), Stopped("stop")])
    told = events_of(writer.finish())[0]["usage"]
    assert (told["input_tokens"], told["cache_creation_input_tokens"]) == (9, 5)


def test_how_long_a_cache_stays_is_not_told_at_the_end_of_a_stream() -> None:
    """`message_delta` has the sum alone: noted."""
    losses = Losses("response")
    wire = streamed([Started(), Stopped("stop"), UsageReported(Usage(cache_write_1h=5))], losses)
    assert noted(losses) == {"approximated:usage.cache_creation"}
    check_stream(NAME, wire)


@pytest.mark.parametrize(
    ("part", "kinds"),
    [
        (Text("Hi"), ["text"]),
        (Refusal("No."), ["text"]),
        (Thinking("Hm", OWN), ["thinking"]),
        (Thinking("", HIDDEN), ["redacted_thinking"]),
        (ToolCall(id="a", name="f", arguments="{}", seal=GOOGLES), ["thinking", "tool_use"]),
        (Text(""), []),
    ],
)
def test_a_part_that_comes_whole_is_streamed_like_any_other(part: Part, kinds: list[str]) -> None:
    """Readers need not open what they have whole."""
    wire = streamed([Started("msg_1", MODEL), PartGiven(0, part), Stopped("stop"), UsageReported(Usage())])
    check_stream(NAME, wire)
    told = events_of(wire)
    assert [event["content_block"]["type"] for event in told if event["type"] == "content_block_start"] == kinds
    back = Text(part.text) if isinstance(part, Refusal) else part
    assert collect(read_stream(wire)).choices[0].parts == ((back,) if kinds else ())


def test_what_belongs_to_no_block_is_not_written() -> None:
    """A writer bears arguments and seals of nothing."""
    losses = Losses("response")
    wire = streamed(
        [Started(), PartOpened(0, "text"), SignatureDelta(0, GOOGLES), PartClosed(0), Stopped("stop")], losses
    )
    assert noted(losses) == {"dropped:signature", "invented:usage"}
    check_stream(NAME, wire)
