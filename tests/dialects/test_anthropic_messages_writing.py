"""Requests, written for Anthropic."""

import json
from typing import Any

import msgspec
import pytest

from asgi_gateway.canonical import (
    CacheMark,
    ChatRequest,
    Citation,
    CustomTool,
    Extra,
    FunctionTool,
    HostedCall,
    HostedResult,
    HostedTool,
    Inline,
    Losses,
    Media,
    Native,
    OutputFormat,
    PlainText,
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
)
from asgi_gateway.canonical.parts import Part
from asgi_gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from asgi_gateway.errors import InvalidRequest
from support.anthropic_messages import MODEL, noted, written

NAME = "anthropic_messages"
USER = Turn("user", (Text("Hi"),))
ASKED = ChatRequest(model=MODEL, turns=(USER,), sampling=Sampling(max_output=64))
OWN = Seal(maker="anthropic", kind="signature", data="s")
GOOGLES = Seal(maker="google", kind="signature", data="g")


def asked(losses: Losses | None = None, **fields: Any) -> dict[str, Any]:
    """The body of a request of these fields."""
    return written(msgspec.structs.replace(ASKED, **fields), losses)


def content(*parts: Part, role: Any = "user", losses: Losses | None = None) -> Any:
    """What one turn of these parts becomes, behind a user's first and in front of its last."""
    turns = (USER, Turn("assistant", (Text("Yes?"),)), Turn(role, parts), Turn("assistant", (Text("Bye"),)))
    if role == "assistant":
        turns = (USER, Turn(role, parts), USER)
    return asked(losses, turns=turns)["messages"][1 if role == "assistant" else 2]["content"]


def test_neighbours_of_one_role_are_one_message() -> None:
    """Results stand in front of what else the user says; names of participants are noted."""
    losses = Losses("request")
    turns = (
        Turn("user", (Text("a"),), "Ann"),
        Turn("user", (Text("b"),)),
        Turn("assistant", (ToolCall(id="x", name="f", arguments='{"n": 1.50}'),)),
        Turn("assistant", (Text("c"),)),
        Turn("user", (Text("d"),)),
        Turn("tool", (ToolResult(call_id="x", parts=(Text("e"),), failed=True),)),
    )
    body = ANTHROPIC_MESSAGES.write_request(msgspec.structs.replace(ASKED, turns=turns), losses)
    assert b'"input":{"n": 1.50}' in body
    assert json.loads(body)["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "tool_use", "id": "x", "name": "f", "input": {"n": 1.5}},
                {"type": "text", "text": "c"},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "x", "content": "e", "is_error": True},
                {"type": "text", "text": "d"},
            ],
        },
    ]
    assert noted(losses) == {"dropped:messages[].name", "invented:tools"}


def test_calls_without_tools_get_the_tools_that_were_called() -> None:
    """A conversation with calls is refused without any; none may be called."""
    turns = (USER, Turn("assistant", (ToolCall(id="x", name="f"),)), Turn("tool", (ToolResult(call_id="x"),)))
    body = asked(turns=turns)
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]
    assert body["tool_choice"] == {"type": "none"}


@pytest.mark.parametrize(
    "turns", [(), (Turn("user", (Text(" "),)),), (Turn("assistant", (Text("Yes"),)),), (Turn("assistant", ()),)]
)
def test_the_user_speaks_first(turns: tuple[Turn, ...]) -> None:
    """Where it says nothing, something is invented, and noted."""
    losses = Losses("request")
    body = asked(losses, turns=turns)
    assert body["messages"][0] == {"role": "user", "content": "."}
    assert noted(losses) == {"invented:messages[].content[].text"}


def test_an_answer_that_is_begun_ends_without_white_space() -> None:
    """Anthropic refuses it otherwise."""
    losses = Losses("request")
    turns = (USER, Turn("assistant", (Text("So \n"),)))
    assert asked(losses, turns=turns)["messages"][1] == {"role": "assistant", "content": "So"}
    assert noted(losses) == {"approximated:messages[].content[].text"}


def test_system_texts_between_turns_stay_where_they_may() -> None:
    """Behind the user's message and in front of the assistant's, for models that know such; else the user says them."""
    system = Turn("system", (Text("Now in French."),))
    answer = Turn("assistant", (Text("Oui"),))
    for model, turns, roles in (
        ("claude-opus-4-8", (USER, system, answer, USER, system), ["user", "system", "assistant", "user", "system"]),
        ("claude-opus-4-8", (system, USER), ["user"]),
        ("claude-opus-4-8", (USER, system, USER), ["user"]),
        ("claude-sonnet-4-5", (USER, system, answer, USER), ["user", "assistant", "user"]),
    ):
        losses = Losses("request")
        body = asked(losses, model=model, turns=turns)
        assert [message["role"] for message in body["messages"]] == roles
        assert bool(losses) == ("system" not in roles)
    assert noted(losses) == {"approximated:messages[].role"}


def test_instructions_are_written() -> None:
    """One bare text as such, marked ones as blocks, blank ones not at all."""
    assert asked(instructions=(Text("S"), Text(" ")))["system"] == "S"
    marked = asked(instructions=(Text("S", (), CacheMark("1h")),))["system"]
    assert marked == [{"type": "text", "text": "S", "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    losses = Losses("request")
    body = asked(losses, output=OutputFormat(kind="json"))
    assert body["system"].startswith("Answer with one JSON object")
    assert noted(losses) == {"approximated:response_format"}
    assert "system" not in asked(output=OutputFormat(kind="text"))


def test_thinking_is_written_with_anthropics_own_seals() -> None:
    """Others, and thinking without any, would be refused."""
    losses = Losses("request")
    redacted = Seal(maker="anthropic", kind="redacted", data="r")
    call = ToolCall(id="x", name="f", seal=GOOGLES)
    parts = (Thinking("a", OWN), Thinking("", redacted), Thinking("b", GOOGLES), Thinking("c"), call)
    assert content(*parts, role="assistant", losses=losses) == [
        {"type": "thinking", "thinking": "a", "signature": "s"},
        {"type": "redacted_thinking", "data": "r"},
        {"type": "tool_use", "id": "x", "name": "f", "input": {}},
    ]
    assert noted(losses) == {"dropped:messages[].content[].thinking", "invented:tools"}


@pytest.mark.parametrize(
    ("thoughts", "goes_on"), [((), False), ((Thinking("a", OWN),), True), ((Thinking("a", GOOGLES),), False)]
)
def test_a_budget_goes_on_only_where_the_turn_began_with_thinking(thoughts: tuple[Part, ...], goes_on: bool) -> None:
    """A turn that waits for results of tools is refused otherwise."""
    losses = Losses("request")
    turns = (
        USER,
        Turn("assistant", (*thoughts, ToolCall(id="x", name="f"))),
        Turn("tool", (ToolResult(call_id="x", parts=(Text("e"),)),)),
    )
    sampling = Sampling(max_output=4000)
    tools = (FunctionTool(name="f"),)
    body = asked(losses, turns=turns, reasoning=Reasoning(budget=2000), sampling=sampling, tools=tools)
    assert body["thinking"]["type"] == ("enabled" if goes_on else "disabled")
    assert ("dropped:reasoning" in noted(losses)) is not goes_on


@pytest.mark.parametrize(
    ("call", "given", "loss"),
    [
        (ToolCall(id="x", name="f", arguments=" "), {}, None),
        (ToolCall(id="x", name="f", arguments="[1]"), {"arguments": "[1]"}, "approximated:tool_calls[].arguments"),
        (ToolCall(id="x", name="f", arguments="{"), {"arguments": "{"}, "approximated:tool_calls[].arguments"),
        (ToolCall(id="x", name="f", arguments="t", custom=True), {"input": "t"}, "approximated:tool_calls[].custom"),
    ],
)
def test_arguments_are_an_object(call: ToolCall, given: Any, loss: str | None) -> None:
    """What is none stands in one."""
    losses = Losses("request")
    (block,) = content(call, role="assistant", losses=losses)
    assert block["input"] == given
    assert noted(losses) == {"invented:tools", *([loss] if loss else [])}


def test_ids_of_other_characters_are_mapped_always_alike() -> None:
    """In the call and in its result, and no two to one."""
    turns = (
        USER,
        Turn("assistant", (ToolCall(id="a.b", name="f"), ToolCall(id="a:b", name="f"))),
        Turn("tool", (ToolResult(call_id="a.b"), ToolResult(call_id="a:b"))),
    )
    _, said, results = asked(turns=turns)["messages"]
    ids = [block["id"] for block in said["content"]]
    assert ids == [block["tool_use_id"] for block in results["content"]]
    assert len(set(ids)) == 2
    assert all(id.replace("_", "").isalnum() for id in ids)


@pytest.mark.parametrize(
    ("media", "block"),
    [
        (
            Media(kind="image", source=Inline("image/jpg", "aGk="), cache=CacheMark()),
            {
                "type": "image",
                "source": {"type": "base64", "media_type": "image/jpeg", "data": "aGk="},
                "cache_control": {"type": "ephemeral"},
            },
        ),
        (
            Media(kind="image", source=Remote("https://x.test"), detail="auto"),
            {"type": "image", "source": {"type": "url", "url": "https://x.test"}},
        ),
        (
            Media(kind="document", source=Inline("application/pdf", "aGk="), name="n", context="c", citations=True),
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
                "title": "n",
                "context": "c",
                "citations": {"enabled": True},
            },
        ),
        (
            Media(kind="document", source=Inline("text/csv; charset=utf-8", "aGk="), title="t"),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}, "title": "t"},
        ),
        (
            Media(kind="document", source=PlainText("hi")),
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
        ),
        (
            Media(kind="document", source=Stored("file_1", "anthropic")),
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
        ),
    ],
)
def test_media_are_written(media: Media, block: Any) -> None:
    """From wherever they come, in a message and in a tool's result."""
    assert content(media) == [block]
    result = ToolResult(call_id="x", parts=(media,), cache=CacheMark())
    assert content(result) == [
        {"type": "tool_result", "tool_use_id": "x", "content": [block], "cache_control": {"type": "ephemeral"}}
    ]


@pytest.mark.parametrize(
    "media",
    [
        Media(kind="audio", source=Inline("audio/wav", "aGk=")),
        Media(kind="image", source=Inline("image/tiff", "aGk=")),
        Media(kind="document", source=Inline("application/msword", "aGk=")),
        Media(kind="document", source=Inline("text/plain", "/w==")),
        Media(kind="document", source=Inline("text/plain", "?")),
        Media(kind="image", source=Stored("file_1", "openai")),
    ],
)
def test_media_that_are_not_taken_are_refused(media: Media) -> None:
    """Without them the conversation would mean something else."""
    with pytest.raises(InvalidRequest) as refused:
        content(media)
    assert (refused.value.param, refused.value.code) == ("messages", "unsupported_content")


def test_what_has_no_place_is_noted() -> None:
    """Hosted calls of others, their citations, the detail of a picture, what a model drew or spoke, blank marks."""
    losses = Losses("request")
    own = Citation(kind="url", url="u", dialect=NAME, native={"type": "web_search_result_location"})
    assert content(
        Text("t", (own, Citation(kind="url", url="v"))),
        HostedCall(id="h", tool="web_search", dialect="openai_chat"),
        HostedResult(call_id="h", tool="web_search"),
        Refusal("No."),
        Refusal(" "),
        Text(" ", (), CacheMark()),
        Media(kind="audio", source=Inline("audio/wav", "aGk="), transcript="spoken"),
        Media(kind="image", source=Remote("https://x.test")),
        Native("cohere_chat", "messages[].content[].x", {}),
        role="assistant",
        losses=losses,
    ) == [
        {"type": "text", "text": "t", "citations": [{"type": "web_search_result_location"}]},
        {"type": "text", "text": "No."},
        {"type": "text", "text": "spoken"},
    ]
    assert noted(losses) == {
        "dropped:messages[].content[].citations",
        "dropped:messages[].content[].web_search",
        "approximated:messages[].content[].refusal",
        "dropped:messages[].content[].cache_control",
        "dropped:messages[].content[].audio",
        "dropped:messages[].content[].image",
        "dropped:messages[].content[].x",
    }
    detailed = Losses("request")
    content(Media(kind="image", source=Remote("https://x.test"), detail="low"), losses=detailed)
    assert noted(detailed) == {"dropped:image_url.detail"}


def test_what_is_anthropics_own_is_written_as_it_was() -> None:
    """Hosted calls, their results, and what only it knows."""
    call = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    result = {"type": "web_search_tool_result", "tool_use_id": "s", "content": []}
    other = {"type": "container_upload", "file_id": "f"}
    assert content(
        HostedCall(id="s", tool="web_search", dialect=NAME, native=call),
        HostedResult(call_id="s", tool="web_search", dialect=NAME, native=result),
        Native(NAME, "x", other, essential=True),
        role="assistant",
    ) == [call, result, other]
    with pytest.raises(InvalidRequest) as refused:
        content(Native("google_generate", "contents[].parts[].x", {}, essential=True))
    assert refused.value.param == "contents[].parts[].x"


def test_tools_are_written() -> None:
    """Functions, free-text tools as functions, and hosted ones that Anthropic has, too."""
    losses = Losses("request")
    tools = (
        FunctionTool(name="f", description="d", parameters={"properties": {}}, strict=False, cache=CacheMark()),
        FunctionTool(name="g", extras={"defer_loading": True}, dialect=NAME),
        FunctionTool(name="h", extras={"response": {}}, dialect="google_generate"),
        CustomTool(name="c", description="free"),
        CustomTool(name="e"),
        HostedTool(
            kind="web_search",
            dialect="openai_responses",
            native={},
            allowed_domains=("a.test",),
            blocked_domains=("b.test",),
            location={"city": "Oslo"},
            max_uses=2,
        ),
        HostedTool(kind="web_fetch", dialect="google_generate", native={}, location={"city": "Oslo"}),
        HostedTool(kind="code_execution", dialect="google_generate", native={}, max_uses=1),
        HostedTool(kind="memory", dialect=NAME, native={"type": "memory_20250818", "name": "memory"}),
    )
    empty = {"type": "object", "properties": {}}
    free = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    assert asked(losses, tools=tools)["tools"] == [
        {
            "name": "f",
            "description": "d",
            "input_schema": empty,
            "strict": False,
            "cache_control": {"type": "ephemeral"},
        },
        {"name": "g", "input_schema": empty, "defer_loading": True},
        {"name": "h", "input_schema": empty},
        {"name": "c", "description": "free", "input_schema": free},
        {"name": "e", "input_schema": free},
        {
            "type": "web_search_20250305",
            "name": "web_search",
            "allowed_domains": ["a.test"],
            "user_location": {"type": "approximate", "city": "Oslo"},
            "max_uses": 2,
        },
        {"type": "web_fetch_20250910", "name": "web_fetch"},
        {"type": "code_execution_20250825", "name": "code_execution"},
        {"type": "memory_20250818", "name": "memory"},
    ]
    assert noted(losses) == {
        "dropped:tools[].response",
        "approximated:tools[].custom",
        "dropped:tools[].blocked_domains",  # both at once are refused
    }
    with pytest.raises(InvalidRequest) as refused:
        asked(tools=(HostedTool(kind="maps", dialect="google_generate", native={}),))
    assert (refused.value.param, refused.value.code) == ("tools", "unsupported_tool")


def test_what_a_hosted_tool_of_others_has_beyond_is_noted() -> None:
    """Options that Anthropic's like of it does not have."""
    losses = Losses("request")
    native = {"type": "web_search", "search_context_size": "high"}
    search = HostedTool(kind="web_search", dialect="openai_responses", native=native, blocked_domains=("b.test",))
    assert asked(losses, tools=(search,))["tools"] == [
        {"type": "web_search_20250305", "name": "web_search", "blocked_domains": ["b.test"]}
    ]
    assert noted(losses) == {"approximated:tools[].web_search"}


def test_the_input_of_a_tool_is_an_object() -> None:
    """Another type is refused."""
    losses = Losses("request")
    tool = FunctionTool(name="f", parameters={"type": ["object", "null"], "properties": {}})
    assert asked(losses, tools=(tool,))["tools"][0]["input_schema"] == {"type": "object", "properties": {}}
    assert noted(losses) == {"approximated:tools[].input_schema"}


def test_a_turn_that_cannot_go_on_thinking_keeps_its_sampling() -> None:
    """Nothing is taken out for the sake of thinking that is not asked for."""
    losses = Losses("request")
    turns = (
        USER,
        Turn("assistant", (ToolCall(id="x", name="f"),)),
        Turn("tool", (ToolResult(call_id="x", parts=(Text("e"),)),)),
    )
    sampling = Sampling(max_output=4000, temperature=0.5, top_k=3)
    tools = (FunctionTool(name="f"),)
    body = asked(losses, turns=turns, reasoning=Reasoning(budget=2000), sampling=sampling, tools=tools)
    assert (body["temperature"], body["top_k"], body["max_tokens"]) == (0.5, 3, 4000)
    assert noted(losses) == {"dropped:reasoning"}


@pytest.mark.parametrize(
    ("choice", "parallel", "expected", "names"),
    [
        (None, None, None, ["f", "g"]),
        (None, False, {"type": "auto", "disable_parallel_tool_use": True}, ["f", "g"]),
        (ToolChoice("auto"), None, {"type": "auto"}, ["f", "g"]),
        (ToolChoice("none"), False, {"type": "none"}, ["f", "g"]),
        (ToolChoice("required"), True, {"type": "any", "disable_parallel_tool_use": False}, ["f", "g"]),
        (ToolChoice("tool", ("g",)), None, {"type": "tool", "name": "g"}, ["f", "g"]),
        (ToolChoice("tool"), None, {"type": "any"}, ["f", "g"]),
        (ToolChoice("allowed", ("g",)), None, {"type": "auto"}, ["g"]),
        (ToolChoice("allowed", ("g",), True), None, {"type": "any"}, ["g"]),
    ],
)
def test_choices_are_written(choice: Any, parallel: bool | None, expected: Any, names: list[str]) -> None:
    """Allowed tools are those that are left."""
    tools = (FunctionTool(name="f"), FunctionTool(name="g"))
    body = asked(tools=tools, tool_choice=choice, parallel_tools=parallel)
    assert body.get("tool_choice") == expected
    assert [tool["name"] for tool in body["tools"]] == names
    assert "tool_choice" not in asked(tool_choice=choice, parallel_tools=parallel)


def test_knobs_are_written() -> None:
    """Those that the format has, by their own names."""
    body = asked(
        sampling=Sampling(max_output=5, temperature=0.5, top_k=3, stop=("a", " ")),
        user="u",
        service_tier="default",
        stream=True,
        extras=(Extra(NAME, "speed", "fast"),),
    )
    assert body == {
        "model": MODEL,
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "Hi"}],
        "temperature": 0.5,
        "top_k": 3,
        "stop_sequences": ["a"],
        "metadata": {"user_id": "u"},
        "service_tier": "standard_only",
        "stream": True,
        "speed": "fast",
    }


def test_knobs_that_have_no_place_are_noted() -> None:
    """By their usual names."""
    losses = Losses("request")
    body = asked(
        losses,
        sampling=Sampling(
            max_output=64,
            stop=(" ",),
            seed=1,
            min_p=0.1,
            presence_penalty=0.1,
            frequency_penalty=0.1,
            logprobs=True,
            logit_bias={"1": 1.0},
        ),
        verbosity="low",
        metadata={"a": "b"},
        service_tier="flex",
        store=True,
        cache_key="k",
        cache_retention="24h",
        extras=(Extra("openai_chat", "prediction", {}),),
    )
    assert set(body) == {"model", "max_tokens", "messages"}
    assert noted(losses) == {
        f"dropped:{name}"
        for name in (
            "stop",
            "seed",
            "min_p",
            "presence_penalty",
            "frequency_penalty",
            "logprobs",
            "logit_bias",
            "verbosity",
            "metadata",
            "service_tier",
            "store",
            "prompt_cache_key",
            "prompt_cache_retention",
            "prediction",
        )
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"sampling": Sampling(max_output=1, choices=2)}, "n"),
        ({"cached_content": "c"}, "cached_content"),
        ({"modalities": ("text", "audio")}, "modalities"),
        ({"audio": {"voice": "v"}}, "modalities"),
        ({"extras": (Extra("openai_chat", "web_search_options", {}, essential=True),)}, "web_search_options"),
    ],
)
def test_features_that_have_no_place_are_refused(fields: Any, param: str) -> None:
    """By the field's name."""
    with pytest.raises(InvalidRequest) as refused:
        asked(**fields)
    assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")


@pytest.mark.parametrize(
    ("fields", "betas"),
    [
        ({}, b""),
        ({"extras": (Extra(NAME, "mcp_servers", [], essential=True),)}, b"mcp-client-2025-04-04"),
        (
            {
                "extras": (Extra(NAME, "mcp_servers", [], essential=True),),
                "tools": (HostedTool(kind="mcp", dialect=NAME, native={"type": "mcp_toolset"}),),
            },
            b"mcp-client-2025-11-20",
        ),
        (
            {"turns": (Turn("user", (Media(kind="image", source=Stored("f", "anthropic")),)),)},
            b"files-api-2025-04-14",
        ),
        (
            {
                "turns": (
                    Turn("tool", (ToolResult(call_id="x", parts=(Native(NAME, "x", {"type": "container_upload"}),)),)),
                )
            },
            b"files-api-2025-04-14",
        ),
    ],
)
def test_the_betas_of_a_request_are_named(fields: Any, betas: bytes) -> None:
    """In Anthropic's own header."""
    headers = ANTHROPIC_MESSAGES.request_headers(msgspec.structs.replace(ASKED, **fields))
    assert headers == (((b"anthropic-beta", betas),) if betas else ())
