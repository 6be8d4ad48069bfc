"""A caller's chat request, read into the neutral model."""

from base64 import b64encode
from typing import Any

import pytest

from asgi_gateway.canonical import (
    CacheMark,
    CustomTool,
    Extra,
    FunctionTool,
    HostedTool,
    Inline,
    Loss,
    Losses,
    Media,
    Native,
    OutputFormat,
    Part,
    Reasoning,
    Refusal,
    Remote,
    Sampling,
    Seal,
    Stored,
    Text,
    Thinking,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    wrap,
)
from asgi_gateway.errors import InvalidRequest
from support.openai_chat import HI, read

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


def lost(losses: Losses) -> list[str]:
    """The names of what was dropped."""
    return [loss.field for loss in losses.noted() if loss.kind == "dropped"]


def content(*parts: Any) -> tuple[Part, ...]:
    """The parts of a user's content."""
    return read(messages=[{"role": "user", "content": list(parts)}]).turns[0].parts


def test_leading_system_texts_are_instructions() -> None:
    """System and developer in front of all; later ones are turns."""
    request = read(
        messages=[
            {"role": "system", "content": "One"},
            {"role": "developer", "content": [{"type": "text", "text": "Two"}]},
            *HI,
            {"role": "system", "content": "Three"},
        ]
    )
    assert request.instructions == (Text("One"), Text("Two"))
    assert request.turns == (Turn("user", (Text("Hi"),)), Turn("system", (Text("Three"),)))


def test_a_picture_among_instructions_is_noted() -> None:
    """Instructions are texts."""
    losses = Losses("request")
    picture = {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}}
    assert read(losses, messages=[{"role": "system", "content": [picture]}, *HI]).instructions == ()
    assert lost(losses) == ["messages[].content[]"]


def test_names_and_empty_texts() -> None:
    """A name stays; an empty text is no part."""
    request = read(messages=[{"role": "user", "content": "", "name": "ann"}, {"role": "assistant", "content": None}])
    assert request.turns == (Turn("user", (), "ann"), Turn("assistant", ()))


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        ({"type": "text", "text": "a"}, Text("a")),
        ("a", Text("a")),
        ({"text": "a"}, Text("a")),
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            Text("a", (), CacheMark("1h")),
        ),
        ({"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, Text("a", (), CacheMark("5m"))),
        ({"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}, Text("a", (), CacheMark())),
        (
            {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
            Media(kind="image", source=Remote("https://x.test/a.png"), detail="low"),
        ),
        (
            {"type": "image_url", "image_url": "data:image/png;base64,QUJD"},
            Media(kind="image", source=Inline("image/png", "QUJD")),
        ),
        (
            {"type": "image_url", "image_url": {"url": "data:,A%20B"}},
            Media(kind="image", source=Inline("text/plain", b64encode(b"A B").decode())),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            Media(kind="audio", source=Inline("audio/wav", "UklGRg==")),
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "data:audio/mpeg;base64,AA==", "format": "mp3"}},
            Media(kind="audio", source=Inline("audio/mpeg", "AA==")),
        ),
        ({"type": "input_audio", "input_audio": "AA=="}, Media(kind="audio", source=Inline("audio/mpeg", "AA=="))),
        (
            {"type": "input_audio", "input_audio": "https://x.test/a.mp3"},
            Media(kind="audio", source=Remote("https://x.test/a.mp3")),
        ),
        (
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBE"}},
            Media(kind="document", source=Inline("application/pdf", "JVBE"), name="a.pdf"),
        ),
        (
            {"type": "file", "file": {"filename": "a.csv", "file_data": "QQ=="}},
            Media(kind="document", source=Inline("text/csv", "QQ=="), name="a.csv"),
        ),
        (
            {"type": "file", "file": {"file_data": "https://x.test/a.pdf"}},
            Media(kind="document", source=Remote("https://x.test/a.pdf")),
        ),
        (
            {"type": "file", "file": {"file_data": "data:image/png;base64,QQ=="}},
            Media(kind="image", source=Inline("image/png", "QQ==")),
        ),
        (
            {"type": "file", "file": {"file_id": "file-1", "filename": "a"}},
            Media(kind="document", source=Stored("file-1", "openai"), name="a"),
        ),
        ({"type": "input_file", "file_id": "file-1"}, Media(kind="document", source=Stored("file-1", "openai"))),
        (
            {"type": "document_url", "document_url": "https://x.test/a.pdf", "document_name": "a"},
            Media(kind="document", source=Remote("https://x.test/a.pdf"), name="a"),
        ),
        (
            {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AA=="}},
            Media(kind="video", source=Inline("video/mp4", "AA==")),
        ),
        ({"type": "refusal", "refusal": "No."}, Refusal("No.")),
        ({"type": "thinking", "thinking": [{"type": "text", "text": "Hm"}], "closed": True}, Thinking("Hm")),
        ({"type": "thinking", "thinking": "Hm"}, Thinking("Hm")),
        (
            {"type": "hologram", "x": 1},
            Native("openai_chat", "messages[].content[].hologram", {"type": "hologram", "x": 1}, essential=True),
        ),
    ],
)
def test_parts_of_a_content(part: Any, expected: Part) -> None:
    """Every part, in the ways of OpenAI and of its look-alikes."""
    assert content(part) == (expected,)


@pytest.mark.parametrize(
    ("part", "param"),
    [
        ({"type": "image_url"}, "messages[0].content[0].image_url"),
        ({"type": "image_url", "image_url": {}}, "messages[0].content[0].image_url.url"),
        ({"type": "input_audio"}, "messages[0].content[0].input_audio"),
        ({"type": "file", "file": {}}, "messages[0].content[0].file.file_data"),
        (7, "messages[0].content"),
    ],
)
def test_parts_that_are_none(part: Any, param: str) -> None:
    """They are refused, and named."""
    with pytest.raises(InvalidRequest) as refused:
        content(part)
    assert refused.value.param == param


def test_unknown_fields_are_noted_by_name() -> None:
    """Of messages, parts, and what is inside them."""
    losses = Losses("request")
    part = {"type": "text", "text": "a", "colour": 1, "cache_control": {"type": "permanent"}}
    file = {"type": "file", "file": {"file_data": "QQ==", "weight": 1}}
    thought = {"type": "thinking", "thinking": [{"type": "image"}]}
    read(losses, messages=[{"role": "user", "content": [part, file, thought], "mood": "good"}])
    assert lost(losses) == [
        "messages[].content[].cache_control",
        "messages[].content[].colour",
        "messages[].content[].file.weight",
        "messages[].content[].thinking",
        "messages[].mood",
    ]


def test_calls_and_results() -> None:
    """Functions and custom tools; the results of one round stand in one turn."""
    request = read(
        messages=[
            *HI,
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1.0}'}},
                    {"id": "b", "type": "custom", "custom": {"name": "g", "input": "free"}},
                    {"id": "c", "function": {"name": "h", "arguments": {"x": 1}}, "custom": {"name": "", "input": ""}},
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "one"},
            {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "two"}], "name": "g"},
        ]
    )
    assert request.turns[1:] == (
        Turn(
            "assistant",
            (
                ToolCall(id="a", name="f", arguments='{"x": 1.0}'),
                ToolCall(id="b", name="g", arguments="free", custom=True),
                ToolCall(id="c", name="h", arguments='{"x":1}'),
            ),
        ),
        Turn(
            "tool",
            (
                ToolResult(call_id="a", parts=(Text("one"),)),
                ToolResult(call_id="b", parts=(Text("two"),), name="g", custom=True),
            ),
        ),
    )


def test_a_mark_on_a_result_is_the_results() -> None:
    """It stands on the last part on the wire."""
    part = {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}
    request = read(messages=[{"role": "tool", "tool_call_id": "a", "content": [part]}])
    assert request.turns[0].parts == (ToolResult(call_id="a", parts=(Text("x"),), cache=CacheMark()),)


def test_what_is_no_result_is_noted() -> None:
    """A result holds texts and media."""
    losses = Losses("request")
    read(losses, messages=[{"role": "tool", "tool_call_id": "a", "content": [{"type": "refusal", "refusal": "x"}]}])
    assert lost(losses) == ["messages[].content"]


def test_the_older_form_of_functions() -> None:
    """Calls without ids get one of their place; results find theirs by name."""
    call = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    request = read(
        functions=[{"name": "f", "parameters": SCHEMA}],
        function_call={"name": "f"},
        messages=[
            *HI,
            call,
            {"role": "function", "name": "f", "content": "1"},
            call,
            {"role": "function", "name": "f", "content": "2"},
            {"role": "function", "name": "unasked", "content": "3"},
        ],
    )
    assert request.turns[1].parts == (ToolCall(id="call_legacy_0", name="f", arguments="{}"),)
    assert request.turns[2].parts == (ToolResult(call_id="call_legacy_0", name="f", parts=(Text("1"),)),)
    assert [part.call_id for part in request.turns[4].parts if isinstance(part, ToolResult)] == [
        "call_legacy_1",
        "call_legacy_2",
    ]
    assert request.tools == (FunctionTool(name="f", parameters=SCHEMA, dialect="openai_chat:functions"),)
    assert request.tool_choice == ToolChoice("tool", ("f",))


def test_thinking_comes_back_in_every_way() -> None:
    """`reasoning_content`, `reasoning`, and details whose texts are told twice."""
    seal = Seal(maker="anthropic", kind="signature", data="c2ln")
    detail = {"type": "reasoning.text", "text": "why", "signature": "c2ln", "format": "anthropic-claude-v1", "index": 0}
    for fields, expected in [
        ({"reasoning_content": "why"}, (Thinking("why"),)),
        ({"reasoning": "why"}, (Thinking("why"),)),
        ({"reasoning": "why", "reasoning_details": [detail]}, (Thinking("why", seal),)),
        ({"reasoning": "first why then", "reasoning_details": [detail]}, None),
        ({"reasoning": "other", "reasoning_details": [detail]}, (Thinking("why", seal),)),
    ]:
        request = read(messages=[*HI, {"role": "assistant", "content": "a", **fields}])
        found = request.turns[1].parts[:-1]
        assert found == (expected or (Thinking("first "), Thinking("why", seal), Thinking(" then")))


def test_seals_of_calls_come_back() -> None:
    """Google's in their own place, those of others wrapped in a detail that names the call."""
    google, other = Seal(maker="google", kind="signature", data="Zw=="), Seal(maker="x", kind="encrypted", data="eA==")
    call = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    message = {
        "role": "assistant",
        "tool_calls": [
            {**call, "id": "a", "extra_content": {"google": {"thought_signature": "Zw=="}}},
            {**call, "id": "b"},
            {**call, "id": "c"},
        ],
        "reasoning_details": [
            {"type": "reasoning.encrypted", "data": wrap(other, "b"), "format": "unknown", "index": 0},
            {"type": "reasoning.encrypted", "data": "Zw==", "format": "google-gemini-v1", "id": "c", "index": 1},
            "odd",
        ],
    }
    losses = Losses("request")
    parts = read(losses, messages=[*HI, message]).turns[1].parts
    assert [part.seal for part in parts if isinstance(part, ToolCall)] == [google, other, google]
    assert lost(losses) == ["reasoning_details"]


def test_the_seal_of_a_message_is_its_texts() -> None:
    """Or stands alone where there is no text."""
    seal = Seal(maker="google", kind="signature", data="Zw==")
    extra = {"extra_content": {"google": {"thought_signature": "Zw=="}}}
    request = read(messages=[{"role": "assistant", "content": "a", **extra}, {"role": "assistant", **extra}])
    assert request.turns[0].parts == (Text("a", (), None, seal),)
    assert request.turns[1].parts == (Thinking("", seal),)


def test_what_a_model_drew_spoke_or_refused() -> None:
    """In an assistant's message of the history."""
    losses = Losses("request")
    message = {
        "role": "assistant",
        "content": None,
        "refusal": "No.",
        "images": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}, {}],
        "audio": {"id": "audio_1"},
        "annotations": [],
    }
    assert read(losses, messages=[message]).turns[0].parts == (
        Refusal("No."),
        Media(kind="image", source=Inline("image/png", "QQ==")),
        Media(kind="audio", source=Stored("audio_1", "openai", "audio/wav"), id="audio_1"),
    )
    assert lost(losses) == ["messages[].images"]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"role": "robot", "content": "x"}, "messages[0].role"),
        ({"role": "user", "content": 7}, "messages[0].content"),
        ({"role": "tool", "content": "x"}, "messages[0].tool_call_id"),
        ({"role": "function", "content": "x"}, "messages[0].name"),
        ({"role": "assistant", "tool_calls": [{"id": "a"}]}, "messages[0].tool_calls[0].function"),
        (
            {"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]},
            "messages[0].tool_calls[0].id",
        ),
    ],
)
def test_messages_that_are_none(message: dict[str, Any], param: str) -> None:
    """They are refused, and named."""
    with pytest.raises(InvalidRequest) as refused:
        read(messages=[message])
    assert refused.value.param == param


def test_tools() -> None:
    """Functions, custom tools, and hosted ones."""
    losses = Losses("request")
    place = {"type": "approximate", "approximate": {"country": "DE"}}
    format = {"type": "grammar", "grammar": {"syntax": "regex", "definition": "a"}}
    request = read(
        losses,
        tools=[
            {
                "type": "function",
                "function": {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True},
                "cache_control": {"type": "ephemeral"},
                "shape": 1,
            },
            {"function": {"name": "g", "risk": "low"}},
            {"type": "custom", "custom": {"name": "h", "description": "d", "format": format}},
            {"type": "openrouter:web_search", "parameters": {}},
        ],
        web_search_options={"search_context_size": "low", "user_location": place},
        parallel_tool_calls=False,
    )
    assert request.tools == (
        FunctionTool(name="f", description="d", parameters=SCHEMA, strict=True, cache=CacheMark()),
        FunctionTool(name="g", extras={"risk": "low"}, dialect="openai_chat"),
        CustomTool(name="h", description="d", format=format),
        HostedTool(
            kind="web_search", dialect="openai_chat", native={"type": "openrouter:web_search", "parameters": {}}
        ),
        HostedTool(
            kind="web_search",
            dialect="openai_chat",
            native={"web_search_options": {"search_context_size": "low", "user_location": place}},
            location={"country": "DE"},
        ),
    )
    assert request.parallel_tools is False
    assert lost(losses) == ["tools[].shape"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("auto", ToolChoice("auto")),
        ("none", ToolChoice("none")),
        ("required", ToolChoice("required")),
        ("any", ToolChoice("required")),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice("tool", ("f",))),
        ({"type": "custom", "custom": {"name": "h"}}, ToolChoice("tool", ("h",))),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}, {}],
                },
            },
            ToolChoice("allowed", ("f", "web_search"), required=True),
        ),
    ],
)
def test_the_choice_among_tools(value: Any, expected: ToolChoice) -> None:
    """In all its forms."""
    assert read(tool_choice=value).tool_choice == expected


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "custom"}]}, "tools[0].custom"),
        ({"response_format": {"type": "yaml"}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"seed": 1.5}, "seed"),
        ({"temperature": "warm"}, "temperature"),
        ({"stop": [1]}, "stop[0]"),
    ],
)
def test_fields_that_are_wrong(fields: dict[str, Any], param: str) -> None:
    """They are refused, and named."""
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)
    assert refused.value.param == param


def test_sampling() -> None:
    """All of it; the larger of the two limits counts, and a `top_k` of all is none."""
    request = read(
        max_tokens=5,
        max_completion_tokens=7,
        temperature=0.5,
        top_p=0.9,
        top_k=-1,
        min_p=0.1,
        stop="END",
        seed=-3,
        presence_penalty=1,
        frequency_penalty=-1,
        n=2,
        logprobs=True,
        top_logprobs=3,
        logit_bias={"1": 2},
    )
    assert request.sampling == Sampling(
        max_output=7,
        temperature=0.5,
        top_p=0.9,
        min_p=0.1,
        stop=("END",),
        seed=-3,
        presence_penalty=1,
        frequency_penalty=-1,
        choices=2,
        logprobs=True,
        top_logprobs=3,
        logit_bias={"1": 2},
    )
    assert read(top_k=4, stop=["a", "b"]).sampling == Sampling(top_k=4, stop=("a", "b"))


@pytest.mark.parametrize(
    ("format", "expected"),
    [
        ({"type": "text"}, OutputFormat(kind="text")),
        ({"type": "json_object"}, OutputFormat(kind="json")),
        (
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "description": "d", "schema": SCHEMA, "strict": True},
            },
            OutputFormat(kind="schema", name="n", description="d", schema=SCHEMA, strict=True),
        ),
        ({"type": "json_schema", "json_schema": {"name": "n"}}, OutputFormat(kind="schema", name="n")),
    ],
)
def test_the_form_of_the_answer(format: dict[str, Any], expected: OutputFormat) -> None:
    """As `response_format` has it."""
    assert read(response_format=format).output == expected


def test_wishes() -> None:
    """Everything that is neither conversation nor sampling; what is unknown is kept as extra."""
    losses = Losses("request")
    request = read(
        losses,
        stream=True,
        stream_options={"include_usage": True, "include_obfuscation": False, "colour": 1},
        verbosity="low",
        user="u",
        metadata={"a": "b", "c": 1},
        service_tier="flex",
        store=True,
        prompt_cache_key="k",
        prompt_cache_retention="24h",
        modalities=["text", "audio"],
        audio={"voice": "alloy", "format": "wav"},
        prediction={"type": "content", "content": "x"},
        search_parameters={"mode": "on"},
    )
    assert (request.stream, request.wants_usage) == (True, True)
    assert (request.verbosity, request.user, request.metadata) == ("low", "u", {"a": "b"})
    assert (request.service_tier, request.store) == ("flex", True)
    assert (request.cache_key, request.cache_retention) == ("k", "24h")
    assert (request.modalities, request.audio) == (("text", "audio"), {"voice": "alloy", "format": "wav"})
    assert request.extras == (
        Extra("openai_chat", "prediction", {"type": "content", "content": "x"}),
        Extra("openai_chat", "search_parameters", {"mode": "on"}, essential=True),
    )
    assert losses.noted() == (
        Loss("dropped", "request", "stream_options.colour"),
        Loss("dropped", "request", "metadata"),
    )
    assert read(safety_identifier="s", modalities=["text"]).user == "s"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, None),
        ({"reasoning_effort": "high"}, Reasoning(effort="high")),
        ({"enable_thinking": True, "thinking_budget": 100}, Reasoning(enabled=True, budget=100)),
        ({"thinking": {"type": "disabled"}}, Reasoning(enabled=False)),
        ({"thinking": {"type": "enabled", "budget_tokens": 9}}, Reasoning(enabled=True, budget=9)),
        ({"thinking": {"type": "auto"}}, Reasoning(adaptive=True)),
        (
            {"reasoning": {"effort": "low", "exclude": True, "summary": "auto"}, "reasoning_effort": "high"},
            Reasoning(effort="low", visible=False, summary="auto"),
        ),
        ({"reasoning": {"enabled": True, "max_tokens": 5}}, Reasoning(enabled=True, budget=5)),
        (
            {
                "extra_body": {
                    "google": {
                        "thinking_config": {"thinking_level": "LOW", "thinking_budget": 7, "include_thoughts": True}
                    }
                }
            },
            Reasoning(effort="low", budget=7, visible=True),
        ),
    ],
)
def test_reasoning(fields: dict[str, Any], expected: Reasoning | None) -> None:
    """In the ways of OpenAI, Qwen, DeepSeek, OpenRouter and Gemini."""
    assert read(**fields).reasoning == expected


def test_reasoning_that_is_none() -> None:
    """An unknown effort is noted."""
    losses = Losses("request")
    assert read(losses, reasoning_effort="galactic").reasoning is None
    assert lost(losses) == ["reasoning_effort"]


def test_a_body_for_gemini() -> None:
    """A cache is read; what else Gemini has there stays as it is."""
    assert read(extra_body={"google": {"cached_content": "c/1"}}).cached_content == "c/1"
    other = {"google": {"safety_settings": []}}
    assert read(extra_body=other).extras == (Extra("openai_chat", "extra_body", other),)
