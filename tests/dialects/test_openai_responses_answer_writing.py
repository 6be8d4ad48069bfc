"""Events, written as answers of Responses: plain, and in the order of OpenAI's stream."""

from typing import Any

import pytest

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    CitationGiven,
    CustomTool,
    Event,
    Extra,
    FunctionTool,
    HostedCall,
    HostedResult,
    HostedTool,
    Inline,
    LogprobsGiven,
    Media,
    Native,
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
    ToolChoice,
    ToolResult,
    Usage,
    UsageReported,
    unfold,
    unwrap,
)
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES
from support.openai_responses import context_of, read, sent, streamed, written_plain
from support.strict import check_response, check_stream

GOOGLE = Seal(maker="google", kind="signature", data="QQ==")
CLAUDE = Seal(maker="anthropic", kind="signature", data="c2ln")
STOP = Stopped("stop")


def answered(*parts: Part, stopped: Stopped = STOP, usage: Usage | None = Usage(input=3, output=2)) -> ChatResponse:  # noqa: B008  # frozen
    """An answer of these parts."""
    return ChatResponse(started=Started("resp_1", "m", 7), choices=(Choice(parts=parts, stopped=stopped),), usage=usage)


def output(*parts: Part, context: Any = None) -> Any:
    """The items of an answer of these parts, plain; streamed they are the same, and both are valid."""
    context = context or context_of()
    body = OPENAI_RESPONSES.write_response(answered(*parts), context)
    check_response("openai_responses", body)
    wire = streamed(list(unfold(answered(*parts))), context)
    check_stream("openai_responses", wire)
    items = written_plain(answered(*parts), context)["output"]
    assert sent(wire)[-1]["response"]["output"] == items
    return items


def test_the_order_of_a_text() -> None:
    """As OpenAI's document has it, the whole response at the beginning and at the end."""
    citation = Citation(kind="url", url="https://x.test", title="X")
    events: list[Event] = [
        Started("resp_1", "m", 7),
        PartOpened(0, "text"),
        TextDelta(0, "Hel"),
        CitationGiven(0, citation),
        TextDelta(0, "lo"),
        PartClosed(0),
        Stopped("stop"),
        UsageReported(Usage(input=3, cache_read=1, cache_write=1, output=2, reasoning=1)),
    ]
    wire = streamed(events)
    check_stream("openai_responses", wire)
    told = sent(wire)
    assert [event["type"].removeprefix("response.") for event in told] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.annotation.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert told[0]["response"]["status"] == "in_progress"
    assert told[0]["response"]["output"] == []
    annotation = told[6]["annotation"]
    assert (annotation["start_index"], annotation["end_index"]) == (0, 5)
    response = told[-1]["response"]
    assert (response["id"], response["model"], response["created_at"]) == ("resp_1", "m", 7)
    assert response["usage"] == {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 1},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 1},
        "total_tokens": 8,
    }


def test_the_order_of_reasoning_and_a_call() -> None:
    """Each item is done before the next begins, also where the calls came at the same time."""
    events: list[Event] = [
        Started(),
        PartOpened(0, "thinking"),
        ThinkingDelta(0, "hm"),
        ThinkingDelta(0, ""),
        SignatureDelta(0, CLAUDE),
        PartClosed(0),
        PartOpened(1, "tool_call", id="a", name="f"),
        PartOpened(2, "tool_call", id="b", name="g", custom=True),
        ToolCallDelta(2, "free"),
        ToolCallDelta(1, "{}"),
        PartClosed(1),
        PartClosed(2),
        Stopped("tool_calls"),
        UsageReported(Usage()),
    ]
    wire = streamed(events)
    check_stream("openai_responses", wire)
    told = sent(wire)
    assert [event["type"].removeprefix("response.") for event in told[2:-1]] == [
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "output_item.added",
        "custom_tool_call_input.delta",
        "custom_tool_call_input.done",
        "output_item.done",
    ]
    thought, call, free = told[-1]["response"]["output"]
    assert thought["summary"] == [{"type": "summary_text", "text": "hm"}]
    assert unwrap(thought["encrypted_content"]) == (CLAUDE, "")
    assert (call["call_id"], call["name"], call["arguments"]) == ("a", "f", "{}")
    assert (free["type"], free["input"]) == ("custom_tool_call", "free")
    assert told[-1]["response"]["id"] == "resp_0123456789abcdef"
    assert told[-1]["response"]["created_at"] == 1700000000


def test_texts_in_a_row_are_one_message() -> None:
    """Another part between them makes two."""
    (message,) = output(Text("a"), Refusal("b"), Text("c"))
    assert [part["type"] for part in message["content"]] == ["output_text", "refusal", "output_text"]
    items = output(Text("a"), Thinking("hm"), Text("b"))
    assert [item["type"] for item in items] == ["message", "reasoning", "message"]
    assert len({item["id"] for item in items}) == 3


def test_own_reasoning_stands_as_it_came() -> None:
    """With its own id."""
    seal = Seal(maker="openai", kind="encrypted", data="gA")
    assert output(Thinking("", seal, "rs_7")) == [
        {"id": "rs_7", "type": "reasoning", "summary": [], "encrypted_content": "gA"}
    ]


def test_seals_of_calls_texts_and_images() -> None:
    """Travel in reasoning items of their own: in front of a call, behind the others."""
    image = Media(kind="image", source=Inline("image/png", "QQ=="), seal=GOOGLE)
    items = output(ToolCall(id="a", name="f", seal=GOOGLE), Text("b", seal=GOOGLE), image)
    assert [item["type"] for item in items] == [
        "reasoning",
        "function_call",
        "message",
        "reasoning",
        "image_generation_call",
        "reasoning",
    ]
    assert [unwrap(items[at]["encrypted_content"]) for at in (0, 3, 5)] == [
        (GOOGLE, "a"),
        (GOOGLE, "^"),
        (GOOGLE, "^"),
    ]


def test_a_late_seal_of_a_call_stands_behind_it() -> None:
    """It came when the call had begun; a call without an id gets one."""
    events: list[Event] = [
        Started(),
        PartOpened(0, "tool_call", name="f"),
        ToolCallDelta(0, "{}"),
        SignatureDelta(0, GOOGLE),
        PartClosed(0),
        Stopped("tool_calls"),
        UsageReported(Usage()),
    ]
    wire = streamed(events)
    check_stream("openai_responses", wire)
    call, carrier = sent(wire)[-1]["response"]["output"]
    assert call["call_id"].startswith("call_")
    assert unwrap(carrier["encrypted_content"]) == (GOOGLE, call["call_id"])


def test_arguments_are_an_object_at_least() -> None:
    """OpenAI's calls always have one; free text may be empty."""
    call, free = output(ToolCall(id="a", name="f"), ToolCall(id="b", name="g", custom=True))
    assert (call["arguments"], free["input"]) == ("{}", "")


def test_images_are_generation_calls() -> None:
    """Those that are data; their form where OpenAI has it."""
    context = context_of()
    items = output(
        Media(kind="image", source=Inline("image/webp", "QQ=="), id="ig_1"),
        Media(kind="image", source=Inline("image/bmp", "QQ==")),
        Media(kind="image", source=Remote("https://x.test")),
        Media(kind="audio", source=Inline("audio/wav", "QQ==")),
        context=context,
    )
    assert [(item["id"], item.get("output_format")) for item in items] == [
        ("ig_1", "webp"),
        ("ig_0123456789abcdef001", None),
    ]
    assert context.losses.header() == "dropped:image,dropped:audio"


def test_hosted_calls_of_others() -> None:
    """Searches and runs of code, with their results; others are noted."""
    context = context_of()
    source = Citation(kind="url", url="https://x.test")
    search, code, lone, bad = output(
        HostedCall(id="s", tool="web_search", arguments='{"query":"q"}'),
        HostedResult(call_id="s", tool="web_search", citations=(source,)),
        HostedCall(id="t", tool="web_search", arguments='{"queries":["a",1]}'),
        HostedCall(id="c", tool="code_execution", arguments='{"code":"1"}'),
        HostedResult(call_id="c", tool="code_execution", parts=(Text("2"), Media(kind="image", source=Remote("x")))),
        HostedResult(call_id="x", tool="code_execution"),
        HostedCall(id="d", tool="code_execution", arguments="no"),
        HostedCall(id="f", tool="web_fetch"),
        HostedResult(call_id="f", tool="web_fetch"),
        context=context,
    )
    assert search["action"] == {
        "type": "search",
        "query": "q",
        "queries": ["q"],
        "sources": [{"type": "url", "url": "https://x.test"}],
    }
    assert lone["action"] == {"type": "search", "query": "a", "queries": ["a"]}
    assert (code["code"], code["outputs"], code["status"]) == ("1", [{"type": "logs", "logs": "2"}], "completed")
    assert (bad["code"], bad["outputs"]) == ("no", [])
    assert context.losses.header() == "dropped:code_execution_result,dropped:web_fetch,dropped:web_fetch_result"


def test_hosted_calls_that_run_together() -> None:
    """Each gets its own result, behind the words in front of them; the same id twice is two calls."""
    message, second, first, again, third = output(
        Text("a"),
        HostedCall(id="1", tool="code_execution", arguments='{"code":"x"}'),
        HostedCall(id="2", tool="code_execution", arguments='{"code":"y"}'),
        HostedResult(call_id="2", tool="code_execution", parts=(Text("yy"),)),
        HostedResult(call_id="1", tool="code_execution", parts=(Text("xx"),)),
        HostedCall(id="3", tool="web_search"),
        HostedCall(id="3", tool="web_search"),
    )
    assert message["type"] == "message"
    assert [(item["code"], item["outputs"][0]["logs"]) for item in (second, first)] == [("y", "yy"), ("x", "xx")]
    assert again["id"] != third["id"]


def test_a_run_that_failed_says_so() -> None:
    """And a search whose arguments are none asked for nothing."""
    code, search = output(
        HostedCall(id="c", tool="code_execution", arguments='{"code":"1"}'),
        HostedResult(call_id="c", tool="code_execution", failed=True),
        HostedCall(id="s", tool="web_search", arguments="no"),
    )
    assert code["status"] == "failed"
    assert search["action"] == {"type": "search", "query": "", "queries": []}


def test_own_items_are_written_as_they_were() -> None:
    """Hosted calls, their results, and what only OpenAI knows; what others know is noted."""
    context = context_of()
    search = {
        "type": "web_search_call",
        "id": "ws_1",
        "status": "completed",
        "action": {"type": "search", "query": "q"},
    }
    shell = {
        "type": "shell_call_output",
        "id": "sho_1",
        "call_id": "c",
        "status": "completed",
        "output": [],
        "max_output_length": None,
    }
    listed = {"type": "mcp_list_tools", "id": "mcpl_1", "server_label": "s", "tools": []}
    items = output(
        HostedCall(id="ws_1", tool="web_search", dialect="openai_responses", native=search),
        HostedResult(call_id="ws_1", tool="web_search", dialect="openai_responses"),
        HostedResult(call_id="c", tool="shell", dialect="openai_responses", native=shell),
        Native("openai_responses", "output[].mcp_list_tools", listed),
        Native("openai_responses", "output[].content[].smell", {}),
        Native("google_generate", "groundingMetadata", {}),
        ToolResult(call_id="x"),
        context=context,
    )
    assert items == [search, shell, listed]
    assert context.losses.header() == ("dropped:output[].content[].smell,dropped:groundingMetadata,dropped:tool_result")


def test_parts_that_come_whole_are_written_as_if_told_in_pieces() -> None:
    """Whoever gives them."""
    parts: tuple[Part, ...] = (Text("a"), Refusal("b"), Thinking("c", CLAUDE), ToolCall(id="d", name="f", seal=GOOGLE))
    whole = [Started("resp_1", "m", 7), *(PartGiven(at, part) for at, part in enumerate(parts)), STOP]
    usage = UsageReported(Usage(input=3, output=2))
    assert streamed([*whole, usage]) == streamed(list(unfold(answered(*parts))))


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("stop", "completed", None),
        ("stop_sequence", "completed", None),
        ("tool_calls", "completed", None),
        ("refusal", "incomplete", "content_filter"),
        ("length", "incomplete", "max_output_tokens"),
        ("context_length", "incomplete", "max_output_tokens"),
        ("content_filter", "incomplete", "content_filter"),
        ("pause", "incomplete", "max_output_tokens"),
        ("malformed_tool_call", "incomplete", "content_filter"),
        ("other", "completed", None),
    ],
)
def test_reasons_to_stop(reason: StopReason, status: str, details: str | None) -> None:
    """As status and details; what is only near is noted."""
    context = context_of()
    body = written_plain(answered(Text("a"), stopped=Stopped(reason)), context)
    assert body["status"] == status
    assert body["incomplete_details"] == (None if details is None else {"reason": details})
    assert body["output"][-1]["status"] == status
    approximated = reason in ("pause", "malformed_tool_call", "other")
    assert context.losses.header() == ("approximated:stop_reason" if approximated else "none")


def test_which_stop_sequence_was_met_is_noted() -> None:
    """Responses does not have them."""
    context = context_of()
    stopped = Stopped("stop_sequence", sequence="END")
    assert written_plain(answered(Text("a"), stopped=stopped), context)["status"] == "completed"
    assert context.losses.header() == "dropped:stop_sequence"


def test_own_reasons_and_refusals() -> None:
    """A reason that only OpenAI has, and a refusal in words."""
    steered = written_plain(answered(Text("a"), stopped=Stopped("other", native="steered")))
    assert steered["incomplete_details"] == {"reason": "steered"}
    assert written_plain(answered(Refusal("No."), stopped=Stopped("refusal")))["status"] == "completed"


def test_probabilities_stand_at_their_text() -> None:
    """Beside the delta that they came with, at the next text, or nowhere."""
    tokens = (TokenLogprob("lo", -1.0, (108, 111), (TokenLogprob("x", -2.0),)),)
    events: list[Event] = [
        Started(),
        PartOpened(0, "thinking"),
        LogprobsGiven(0, tokens),
        PartClosed(0),
        PartOpened(1, "text"),
        TextDelta(1, "lo"),
        LogprobsGiven(1, tokens),
        LogprobsGiven(1, tokens),
        PartClosed(1),
        Stopped("stop"),
        UsageReported(Usage()),
    ]
    writer = OPENAI_RESPONSES.writer(context_of())
    wire = writer.write(events) + writer.finish()
    check_stream("openai_responses", wire)
    told = sent(wire)
    deltas = [event for event in told if event["type"] == "response.output_text.delta"]
    bare = [{"token": "lo", "logprob": -1.0, "top_logprobs": [{"token": "x", "logprob": -2.0}]}]
    assert [(delta["delta"], delta["logprobs"]) for delta in deltas] == [("", bare), ("lo", bare), ("", bare)]
    part = told[-1]["response"]["output"][1]["content"][0]
    assert len(part["logprobs"]) == 3
    assert part["logprobs"][0]["bytes"] == [108, 111]
    assert part["logprobs"][0]["top_logprobs"][0]["bytes"] == [120]


def test_what_a_refusal_cannot_have_is_noted() -> None:
    """Sources and probabilities; and probabilities without any text."""
    tokens = (TokenLogprob("a", -1.0),)
    context = context_of()
    events: list[Event] = [
        Started(),
        PartOpened(0, "refusal"),
        TextDelta(0, "No."),
        LogprobsGiven(0, tokens),
        LogprobsGiven(0, tokens),
        CitationGiven(0, Citation(kind="url", url="u")),
        PartClosed(0),
        Stopped("refusal"),
        UsageReported(Usage()),
    ]
    check_stream("openai_responses", streamed(events, context))
    assert context.losses.header() == "dropped:logprobs,dropped:citations"
    lost = context_of()
    thought: list[Event] = [Started(), PartOpened(0, "thinking"), LogprobsGiven(0, tokens), PartClosed(0)]
    streamed(thought, lost)
    assert lost.losses.header() == "dropped:logprobs"


@pytest.mark.parametrize(
    ("citation", "annotation", "noted"),
    [
        (
            Citation(kind="url", url="u", title="t", start=1, end=2),
            {"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 2},
            "none",
        ),
        (
            Citation(kind="document", url="u", quoted="q"),
            {"type": "url_citation", "url": "u", "title": "", "start_index": 0, "end_index": 5},
            "dropped:citations[].quoted,approximated:citations",
        ),
        (
            Citation(kind="file", source="f"),
            {"type": "file_citation", "file_id": "f", "filename": "f", "index": 5},
            "none",
        ),
        (
            Citation(kind="document", title="t", start=1, end=2),
            {"type": "file_citation", "file_id": "t", "filename": "t", "index": 2},
            "approximated:citations",
        ),
    ],
)
def test_sources_are_annotations(citation: Citation, annotation: dict[str, Any], noted: str) -> None:
    """Of addresses and of files."""
    context = context_of()
    (message,) = output(Text("Hello", (citation,)), context=context)
    assert message["content"][0]["annotations"] == [annotation]
    assert context.losses.header() == noted


def test_the_response_echoes_its_request() -> None:
    """All that OpenAI's responses show of it."""
    tools = [
        {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True},
        {"type": "web_search"},
    ]
    fields: dict[str, Any] = {
        "instructions": "Be brief.",
        "max_output_tokens": 99,
        "max_tool_calls": 3,
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "previous_response_id": "resp_0",
        "conversation": "conv_1",
        "prompt_cache_key": "k",
        "reasoning": {"effort": "low", "summary": "auto"},
        "store": False,
        "temperature": 0.5,
        "text": {"format": {"type": "json_object"}, "verbosity": "low"},
        "tool_choice": {"type": "function", "name": "f"},
        "tools": tools,
        "top_logprobs": 2,
        "top_p": 0.9,
        "truncation": "auto",
        "user": "u",
    }
    request = read(**fields)
    context = context_of()
    body = written_plain(answered(Text("a")), type(context)(request=request, losses=context.losses, id="1"))
    conversation = fields.pop("conversation")
    assert {name: body[name] for name in fields} == fields
    assert body["conversation"] == {"id": conversation}
    assert body["background"] is False


def test_the_least_that_a_response_says() -> None:
    """Of a request that said nothing; tools of others are not shown."""
    hosted = HostedTool(kind="web_search", dialect="openai_chat", native={})
    context = context_of(
        tools=(hosted, FunctionTool(name="f"), CustomTool(name="g")),
        tool_choice=ToolChoice("tool", ("g",)),
        sampling=Sampling(),
        output=OutputFormat(kind="text"),
        reasoning=Reasoning(budget=9),
        extras=(Extra("openai_responses", "conversation", {"id": "c"}, True), Extra("openai_chat", "x", 1)),
    )
    body = OPENAI_RESPONSES.write_response(answered(), context)
    check_response("openai_responses", body)
    echoed = written_plain(answered(), context)
    assert [tool["name"] for tool in echoed["tools"]] == ["f", "g"]
    assert echoed["tool_choice"] == {"type": "custom", "name": "g"}
    assert echoed["conversation"] == {"id": "c"}
    assert echoed["reasoning"] == {"effort": None, "summary": None}


def test_an_answer_of_nothing() -> None:
    """No event at all, no usage, several choices."""
    context = context_of()
    assert written_plain(ChatResponse(), context)["usage"] is None
    told = sent(OPENAI_RESPONSES.writer(context_of()).finish())
    assert [event["type"] for event in told] == ["response.created", "response.in_progress", "response.completed"]
    two = ChatResponse(choices=(Choice(parts=(Text("a"),)), Choice(parts=(Text("b"),))))
    assert len(written_plain(two, context)["output"]) == 1
    assert context.losses.header() == "dropped:choices"


def test_what_is_open_at_the_end_is_ended() -> None:
    """A stream without a reason to stop."""
    for opened in (PartOpened(0, "text"), PartOpened(0, "tool_call", id="a", name="f")):
        told = sent(streamed([Started(), opened]))
        assert told[-1]["type"] == "response.completed"
        assert len(told[-1]["response"]["output"]) == 1


def test_service_tiers_of_openais_alone_are_shown() -> None:
    """Others have names of their own."""
    for tier, shown in (("flex", "flex"), ("standard", None)):
        response = ChatResponse(started=Started(service_tier=tier))
        assert written_plain(response)["service_tier"] == shown
