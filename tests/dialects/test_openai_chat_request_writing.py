"""A canonical request, written as a chat request for an upstream."""

from typing import Any

import pytest

from asgi_gateway.canonical import (
    CacheMark,
    ChatRequest,
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
    Part,
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
from asgi_gateway.dialects.openai_chat import OPENAI_CHAT
from asgi_gateway.errors import InvalidRequest
from support.openai_chat import read, written

USER = Turn("user", (Text("Hi"),))
PNG = Inline("image/png", "QQ==")
ANTHROPIC = Seal(maker="anthropic", kind="signature", data="c2ln")
GOOGLE = Seal(maker="google", kind="signature", data="Zw==")


def request_of(*turns: Turn, model: str = "gpt-4o", **fields: Any) -> ChatRequest:
    """A request of these turns, or of one."""
    return ChatRequest(model=model, turns=turns or (USER,), **fields)


def told(losses: Losses) -> str:
    """What was lost."""
    return losses.header()


def messages(*turns: Turn, model: str = "gpt-4o", losses: Losses | None = None, **fields: Any) -> list[Any]:
    """The messages written for these turns."""
    found: list[Any] = written(request_of(*turns, model=model, **fields), losses)["messages"]
    return found


def user_part(part: Part, model: str = "gpt-4o", losses: Losses | None = None) -> Any:
    """A part written in a user's message, with a text behind it."""
    return messages(Turn("user", (part, Text("b"))), model=model, losses=losses)[0]["content"][0]


def test_a_plain_conversation() -> None:
    """Single texts are strings, several are parts; the order of keys is fixed."""
    turns = (
        Turn("user", (Text("a"), Text("b")), "ann"),
        Turn("system", (Text("c"),)),
        Turn("assistant", (Text("d"),)),
        Turn("user", ()),
    )
    body = OPENAI_CHAT.write_request(request_of(*turns, instructions=(Text("s"),)), Losses("request"))
    assert body == (
        b'{"model":"gpt-4o","messages":[{"role":"system","content":"s"},'
        b'{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}],"name":"ann"},'
        b'{"role":"system","content":"c"},{"role":"assistant","content":"d"},{"role":"user","content":""}]}'
    )


@pytest.mark.parametrize(
    ("model", "role"),
    [("gpt-4o", "system"), ("o3-mini", "developer"), ("gpt-5.1", "developer"), ("o1-mini", "system")],
)
def test_the_role_of_instructions(model: str, role: str) -> None:
    """Reasoning models have developers, but for the first."""
    assert messages(model=model, instructions=(Text("s"),))[0]["role"] == role


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            Media(kind="image", source=PNG, detail="low"),
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ==", "detail": "low"}},
        ),
        (
            Media(kind="audio", source=Inline("audio/mpeg", "AA==")),
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
        ),
        (
            Media(kind="document", source=Inline("application/pdf", "AA=="), name="a.pdf"),
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}},
        ),
        (Media(kind="document", source=Stored("f", "openai")), {"type": "file", "file": {"file_id": "f"}}),
        (Media(kind="document", source=PlainText("words")), {"type": "text", "text": "words"}),
        (Native("openai_chat", "x", {"type": "x"}), {"type": "x"}),
        (Refusal("No."), {"type": "refusal", "refusal": "No."}),
    ],
)
def test_parts(part: Part, expected: dict[str, Any]) -> None:
    """As OpenAI has them."""
    assert user_part(part) == expected


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (Inline("application/pdf", ""), "document.pdf"),
        (Inline("text/plain", ""), "document.txt"),
        (Inline("application/vnd.ms-excel", ""), "document.txt"),
        (Remote("https://x.test/a"), "document.pdf"),
    ],
)
def test_files_get_a_name(source: Inline | Remote, name: str) -> None:
    """OpenAI wants one; that it was made up is noted."""
    losses = Losses("request")
    part = user_part(Media(kind="document", source=source), "openai/gpt-4o", losses)
    assert part["file"]["filename"] == name
    assert told(losses) == "invented:messages[].content[].file.filename"


def test_parts_of_look_alikes() -> None:
    """Films, and documents by their address."""
    film = user_part(Media(kind="video", source=Remote("https://x.test/a.mp4")), "qwen-vl")
    assert film == {"type": "video_url", "video_url": {"url": "https://x.test/a.mp4"}}
    paper = Media(kind="document", source=Remote("https://x.test/a.pdf"), name="a.pdf")
    assert user_part(paper, "mistral-large") == {"type": "document_url", "document_url": "https://x.test/a.pdf"}
    assert user_part(paper, "google/gemini-3")["file"]["file_data"] == "https://x.test/a.pdf"


@pytest.mark.parametrize(
    "part",
    [
        Media(kind="audio", source=Remote("https://x.test/a.mp3")),
        Media(kind="video", source=PNG),
        Media(kind="document", source=Remote("https://x.test/a.pdf")),
        Media(kind="image", source=Stored("f", "openai")),
        Media(kind="document", source=Stored("f", "anthropic")),
        Native("anthropic_messages", "messages", {}, essential=True),
    ],
)
def test_parts_that_cannot_be_carried_are_refused(part: Part) -> None:
    """The conversation is about them."""
    with pytest.raises(InvalidRequest) as refused:
        user_part(part)
    assert refused.value.param == "messages"


def test_what_cannot_be_said_of_a_document_is_noted() -> None:
    """Titles, contexts, and the wish for citations."""
    for fields, expected in [
        ({"title": "t"}, "dropped:document.title"),
        ({"context": "c"}, "dropped:document.context"),
        ({"citations": True}, "dropped:citations"),
    ]:
        losses = Losses("request")
        user_part(Media(kind="document", source=Inline("text/plain", ""), name="a", **fields), losses=losses)
        assert told(losses) == expected


def test_parts_that_are_dropped() -> None:
    """Each by its name."""
    losses = Losses("request")
    turn = Turn(
        "user",
        (
            Thinking("x"),
            ToolCall(id="a", name="f"),
            HostedCall(id="h", tool="web_search"),
            HostedResult(call_id="h", tool="code_execution"),
            Native("google_generate", "contents[].x", 1),
            Text("a"),
        ),
    )
    assert messages(turn, losses=losses) == [{"role": "user", "content": "a"}]
    assert [loss.field for loss in losses.noted()] == [
        "thinking",
        "tool_call",
        "web_search",
        "code_execution",
        "contents[].x",
    ]


def test_calls_and_results() -> None:
    """Empty arguments are an empty object; results are messages of their own."""
    losses = Losses("request")
    calls = Turn("assistant", (ToolCall(id="a", name="f"), ToolCall(id="b", name="g", arguments="x", custom=True)))
    results = Turn("tool", (ToolResult(call_id="a", parts=(Text("1"),), failed=True), ToolResult(call_id="b")))
    assert messages(USER, calls, results, losses=losses)[1:] == [
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                {"id": "b", "type": "custom", "custom": {"name": "g", "input": "x"}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": ""},
    ]
    assert told(losses) == "dropped:tool_result.is_error"


def test_a_turn_that_goes_on_behind_calls_is_one_message() -> None:
    """Results must follow the message that has their calls."""
    losses = Losses("request")
    turns = (
        Turn("assistant", (Text("one"), ToolCall(id="a", name="f"))),
        Turn("assistant", (Text("two"), ToolCall(id="b", name="f"))),
        Turn("tool", (ToolResult(call_id="a"), ToolResult(call_id="b"))),
        Turn("assistant", (Text("three"),)),
        Turn("assistant", (Text("four"),)),
    )
    found = messages(*turns, losses=losses)
    assert [message["role"] for message in found] == ["assistant", "tool", "tool", "assistant", "assistant"]
    assert [call["id"] for call in found[0]["tool_calls"]] == ["a", "b"]
    assert found[0]["content"] == [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    assert told(losses) == "approximated:messages[]"


def test_media_in_results_stand_behind_them() -> None:
    """In a user's message, behind all results of the round."""
    losses = Losses("request")
    results = Turn(
        "tool",
        (
            ToolResult(call_id="a", parts=(Text("1"), Media(kind="image", source=PNG))),
            ToolResult(call_id="b", parts=(Text("2"),)),
        ),
    )
    assert messages(results, losses=losses) == [
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": "2"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Result of the tool call a:"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}},
            ],
        },
    ]
    assert told(losses) == "approximated:tool_result.content"


def test_results_in_a_users_turn_come_first() -> None:
    """And what is no result in a turn of results is noted."""
    losses = Losses("request")
    mixed = Turn("user", (Text("a"), ToolResult(call_id="c", parts=(Text("1"),))))
    alone = Turn("user", (ToolResult(call_id="d"),))
    odd = Turn("tool", (Text("x"),))
    assert [message["role"] for message in messages(mixed, alone, odd, losses=losses)] == ["tool", "user", "tool"]
    assert told(losses) == "dropped:messages[]"


def test_the_older_form_of_functions_is_kept() -> None:
    """For an upstream that gets it from a caller of that form."""
    request = read(
        functions=[{"name": "f"}],
        function_call={"name": "f"},
        messages=[
            {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
            {"role": "function", "name": "f", "content": "1"},
        ],
    )
    body = written(request)
    assert body["functions"] == [{"name": "f"}]
    assert body["function_call"] == {"name": "f"}
    assert body["messages"] == [
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
        {"role": "function", "name": "f", "content": "1"},
    ]
    for choice, expected in [("none", "none"), ("auto", "auto")]:
        assert written(read(functions=[{"name": "f"}], function_call=choice))["function_call"] == expected
    assert "tool_choice" not in written(read(functions=[{"name": "f"}]))


@pytest.mark.parametrize(
    ("model", "expected", "lost"),
    [
        ("gpt-4o", {}, "dropped:thinking,dropped:thinking.signature"),
        ("deepseek-chat", {"reasoning_content": "why"}, "dropped:thinking.signature"),
        ("openai/gpt-oss-120b", {"reasoning": "why"}, "dropped:thinking.signature"),
        (
            "anthropic/claude-sonnet-4.5",
            {
                "reasoning_content": "why",
                "reasoning_details": [
                    {
                        "type": "reasoning.text",
                        "text": "why",
                        "signature": "c2ln",
                        "format": "anthropic-claude-v1",
                        "index": 0,
                    }
                ],
            },
            "none",
        ),
    ],
)
def test_thinking_of_earlier_turns(model: str, expected: dict[str, Any], lost: str) -> None:
    """By the name of the model; seals to their own maker alone."""
    losses = Losses("request")
    turn = Turn("assistant", (Thinking("why", ANTHROPIC), Text("so")))
    assert messages(turn, model=model, losses=losses) == [{"role": "assistant", "content": "so", **expected}]
    assert told(losses) == lost


@pytest.mark.parametrize("said", [Text("so"), None])
def test_thinking_for_mistral_is_content(said: Text | None) -> None:
    """In front of the texts."""
    parts = (Thinking("why"), said) if said else (Thinking("why"), ToolCall(id="a", name="f"))
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "why"}]}
    expected = [thinking, {"type": "text", "text": "so"}] if said else [thinking]
    assert messages(Turn("assistant", parts), model="magistral-small")[0]["content"] == expected


def test_googles_seals() -> None:
    """In their own place for Gemini, by details as well where a router stands between; to nobody else."""
    turn = Turn("assistant", (Text("so", seal=GOOGLE), ToolCall(id="a", name="f", seal=GOOGLE)))
    extra = {"extra_content": {"google": {"thought_signature": "Zw=="}}}
    direct = messages(turn, model="gemini-3-pro")[0]
    assert direct["extra_content"] == extra["extra_content"]
    assert direct["tool_calls"][0]["extra_content"] == extra["extra_content"]
    assert "reasoning_details" not in direct
    detail = {"type": "reasoning.encrypted", "data": "Zw==", "id": "a", "format": "google-gemini-v1", "index": 0}
    assert messages(turn, model="google/gemini-3-pro")[0]["reasoning_details"] == [detail]
    losses = Losses("request")
    other = messages(turn, model="deepseek-chat", losses=losses)[0]
    assert other == {
        "role": "assistant",
        "content": "so",
        "tool_calls": [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert told(losses) == "dropped:signature"


def test_what_a_model_drew_or_spoke() -> None:
    """Spoken answers by their ids; images where a router takes them."""
    turn = Turn(
        "assistant",
        (
            Media(kind="audio", source=Stored("audio_1", "openai"), id="audio_1"),
            Media(kind="image", source=PNG),
            Media(kind="image", source=Stored("x", "openai")),
        ),
        "bot",
    )
    losses = Losses("request")
    assert messages(turn, losses=losses) == [
        {"role": "assistant", "content": "", "name": "bot", "audio": {"id": "audio_1"}}
    ]
    assert told(losses) == "dropped:image"
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QQ=="}}
    assert messages(turn, model="google/gemini-3")[0]["images"] == [image]


def test_a_refusal_of_the_history() -> None:
    """Alone it is a field, among texts a part."""
    assert messages(Turn("assistant", (Refusal("No."),)))[0] == {
        "role": "assistant",
        "content": None,
        "refusal": "No.",
    }
    both = messages(Turn("assistant", (Text("a"), Refusal("No."))))[0]["content"]
    assert both == [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "No."}]


@pytest.mark.parametrize(
    ("model", "mark"),
    [
        ("claude-sonnet-4.5", {"cache_control": {"type": "ephemeral", "ttl": "1h"}}),
        ("gpt-5.6", {"prompt_cache_breakpoint": {"mode": "explicit"}}),
        ("gpt-5.5", {}),
        ("llama-3", {}),
    ],
)
def test_marks_of_the_cache(model: str, mark: dict[str, Any]) -> None:
    """By the name of the model; elsewhere they are dropped and noted."""
    losses = Losses("request")
    part = user_part(Text("a", cache=CacheMark("1h")), model, losses)
    assert part == {"type": "text", "text": "a", **mark}
    assert told(losses) == ("none" if mark else "dropped:cache_control")


def test_marks_of_results_calls_and_tools() -> None:
    """A result's stands on its last part, a tool's on the tool; a call has no place for one."""
    losses = Losses("request")
    control = {"cache_control": {"type": "ephemeral"}}
    body = written(
        request_of(
            Turn("assistant", (ToolCall(id="a", name="f", cache=CacheMark()),)),
            Turn("tool", (ToolResult(call_id="a", parts=(Text("1"),), cache=CacheMark()),)),
            model="claude-x",
            tools=(FunctionTool(name="f", cache=CacheMark()),),
        ),
        losses,
    )
    assert body["messages"][1]["content"] == [{"type": "text", "text": "1", **control}]
    assert body["tools"] == [{"type": "function", "function": {"name": "f"}, **control}]
    assert told(losses) == "dropped:cache_control"
    result = Turn("tool", (ToolResult(call_id="a", parts=(Text("1"), Text("2")), cache=CacheMark()),))
    assert messages(result)[0]["content"] == [{"type": "text", "text": "1"}, {"type": "text", "text": "2"}]


def test_tools() -> None:
    """Functions with the fields that are ours, custom tools, and web search."""
    losses = Losses("request")
    request = request_of(
        tools=(
            FunctionTool(name="f", description="d", parameters={"type": "object"}, strict=False, extras={"x": 1}),
            FunctionTool(name="g", extras={"risk": 1}, dialect="openai_chat"),
            CustomTool(name="h", description="d", format={"type": "text"}),
            CustomTool(name="i"),
            HostedTool(kind="advisor", dialect="openai_chat", native={"type": "openrouter:advisor"}),
            HostedTool(
                kind="web_search",
                dialect="anthropic_messages",
                native={},
                allowed_domains=("a.test",),
                max_uses=3,
                location={"country": "DE", "city": ""},
            ),
        ),
        tool_choice=ToolChoice("required"),
        parallel_tools=True,
    )
    body = written(request, losses)
    assert body["tools"] == [
        {
            "type": "function",
            "function": {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": False},
        },
        {"type": "function", "function": {"name": "g", "risk": 1}},
        {"type": "custom", "custom": {"name": "h", "description": "d", "format": {"type": "text"}}},
        {"type": "custom", "custom": {"name": "i"}},
        {"type": "openrouter:advisor"},
    ]
    assert body["web_search_options"] == {"user_location": {"type": "approximate", "approximate": {"country": "DE"}}}
    assert (body["tool_choice"], body["parallel_tool_calls"]) == ("required", True)
    assert told(losses) == "dropped:tools[].x,dropped:tools[].allowed_domains,dropped:tools[].max_uses"


def test_a_hosted_tool_that_is_not_there_is_refused() -> None:
    """By its name."""
    tool = HostedTool(kind="computer", dialect="anthropic_messages", native={})
    with pytest.raises(InvalidRequest, match="computer") as refused:
        written(request_of(tools=(tool,)))
    assert refused.value.param == "tools"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (ToolChoice("auto"), "auto"),
        (ToolChoice("tool", ("f",)), {"type": "function", "function": {"name": "f"}}),
        (ToolChoice("tool", ("h",)), {"type": "custom", "custom": {"name": "h"}}),
        (
            ToolChoice("allowed", ("f", "h"), required=True),
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [
                        {"type": "function", "function": {"name": "f"}},
                        {"type": "custom", "custom": {"name": "h"}},
                    ],
                },
            },
        ),
    ],
)
def test_the_choice_among_tools(choice: ToolChoice, expected: Any) -> None:
    """In all its forms."""
    tools = (FunctionTool(name="f"), CustomTool(name="h"))
    assert written(request_of(tools=tools, tool_choice=choice))["tool_choice"] == expected


def test_look_alikes_get_the_allowed_tools_alone() -> None:
    """They have no word for it."""
    losses = Losses("request")
    tools = (FunctionTool(name="f"), FunctionTool(name="g"))
    body = written(request_of(model="llama", tools=tools, tool_choice=ToolChoice("allowed", ("g",))), losses)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["g"]
    assert body["tool_choice"] == "auto"
    assert told(losses) == "approximated:tool_choice"


def test_a_choice_without_tools_is_none() -> None:
    """OpenAI refuses it; what it forced is noted."""
    losses = Losses("request")
    assert "tool_choice" not in written(request_of(tool_choice=ToolChoice("auto")), losses)
    assert told(losses) == "none"
    assert "tool_choice" not in written(request_of(tool_choice=ToolChoice("required")), losses)
    assert told(losses) == "dropped:tool_choice"


SAMPLING = Sampling(
    max_output=9,
    temperature=0.5,
    top_p=1,
    top_k=3,
    min_p=0.1,
    stop=("x",),
    seed=1,
    presence_penalty=0.5,
    frequency_penalty=0,
    choices=2,
    logprobs=True,
    top_logprobs=2,
    logit_bias={"1": 1},
)


def test_sampling_for_look_alikes() -> None:
    """All of it."""
    body = written(request_of(model="llama-3", sampling=SAMPLING))
    del body["model"], body["messages"]
    assert body == {
        "max_tokens": 9,
        "temperature": 0.5,
        "top_p": 1,
        "top_k": 3,
        "min_p": 0.1,
        "stop": ["x"],
        "seed": 1,
        "presence_penalty": 0.5,
        "frequency_penalty": 0,
        "n": 2,
        "logprobs": True,
        "top_logprobs": 2,
        "logit_bias": {"1": 1},
    }


def test_sampling_for_openai() -> None:
    """Without what only look-alikes have."""
    losses = Losses("request")
    body = written(request_of(model="gpt-4o", sampling=SAMPLING), losses)
    assert "top_k" not in body
    assert body["max_tokens"] == 9
    assert told(losses) == "dropped:top_k,dropped:min_p"


@pytest.mark.parametrize("model", ["o1", "o3-mini", "o4-mini", "gpt-5", "gpt-5.2", "openai/gpt-5-mini", "codex-mini"])
def test_sampling_for_reasoning_models(model: str) -> None:
    """Without what they refuse; what says the default goes without a note."""
    losses = Losses("request")
    body = written(request_of(model=model, sampling=SAMPLING), losses)
    del body["model"], body["messages"]
    assert body == {"max_completion_tokens": 9, "seed": 1, "n": 2}
    dropped = ["temperature", "stop", "presence_penalty", "logit_bias", "logprobs", "top_logprobs"]
    assert [loss.field for loss in losses.noted()] == ["top_k", "min_p", *dropped]


def test_a_reasoning_model_that_does_not_reason_takes_sampling() -> None:
    """From GPT-5.1 on, with the effort "none"."""
    fields = {"sampling": Sampling(temperature=0.5), "reasoning": Reasoning(effort="none")}
    body = written(request_of(model="gpt-5.1", **fields))
    assert (body["temperature"], body["reasoning_effort"]) == (0.5, "none")
    assert "temperature" not in written(request_of(model="gpt-5", **fields))
    assert written(request_of(model="gpt-5-chat-latest", **fields))["temperature"] == 0.5


def test_a_request_for_mistral() -> None:
    """Its server refuses fields that it does not know."""
    losses = Losses("request")
    request = request_of(
        model="mistral-small",
        sampling=Sampling(seed=4, top_k=2),
        user="u",
        stream=True,
        wants_usage=True,
        extras=(Extra("openai_chat", "safe_prompt", value=True),),
    )
    assert written(request, losses) == {
        "model": "mistral-small",
        "messages": [{"role": "user", "content": "Hi"}],
        "random_seed": 4,
        "safe_prompt": True,
        "stream": True,
    }
    assert sorted(loss.field for loss in losses.noted()) == ["top_k", "user"]


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (OutputFormat(kind="text"), {"type": "text"}),
        (OutputFormat(kind="json"), {"type": "json_object"}),
        (
            OutputFormat(kind="schema", name="n", description="d", schema={"type": "object"}, strict=True),
            {
                "type": "json_schema",
                "json_schema": {"name": "n", "description": "d", "schema": {"type": "object"}, "strict": True},
            },
        ),
    ],
)
def test_the_form_of_the_answer(output: OutputFormat, expected: dict[str, Any]) -> None:
    """As `response_format` has it."""
    assert written(request_of(output=output))["response_format"] == expected


def test_a_schema_gets_a_name() -> None:
    """OpenAI wants one."""
    losses = Losses("request")
    body = written(request_of(output=OutputFormat(kind="schema")), losses)
    assert body["response_format"] == {"type": "json_schema", "json_schema": {"name": "response"}}
    assert told(losses) == "invented:response_format.json_schema.name"


def test_wishes_and_extras() -> None:
    """As they came; extras of another dialect are dropped, or refused where they are features."""
    losses = Losses("request")
    fields: dict[str, Any] = {
        "verbosity": "low",
        "modalities": ["text", "audio"],
        "audio": {"voice": "alloy", "format": "wav"},
        "user": "u",
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "store": False,
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "prediction": {"type": "content", "content": "x"},
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    body = written(read(**fields), losses)
    del body["model"], body["messages"]
    assert body == fields
    written(request_of(extras=(Extra("anthropic_messages", "container", "x"),)), losses)
    assert told(losses) == "dropped:container"
    with pytest.raises(InvalidRequest) as refused:
        written(request_of(extras=(Extra("anthropic_messages", "mcp_servers", [], essential=True),)))
    assert refused.value.param == "mcp_servers"
    assert "stream_options" not in written(request_of(stream=True))


def test_images_as_output() -> None:
    """OpenAI's models do not draw here."""
    losses = Losses("request")
    assert "modalities" not in written(request_of(modalities=("text", "image")), losses)
    assert told(losses) == "dropped:modalities"
    assert written(request_of(modalities=("image", "audio")))["modalities"] == ["audio"]
    assert written(request_of(model="google/gemini-x", modalities=("image",)))["modalities"] == ["image"]
    with pytest.raises(InvalidRequest) as refused:
        written(request_of(modalities=("image",)))
    assert refused.value.param == "modalities"


def test_cached_content_is_googles() -> None:
    """Nobody else can read it."""
    body = written(request_of(model="gemini-3-pro", cached_content="c/1"))
    assert body["extra_body"] == {"google": {"cached_content": "c/1"}}
    with pytest.raises(InvalidRequest) as refused:
        written(request_of(cached_content="c/1"))
    assert refused.value.param == "cachedContent"


def test_no_headers_are_wanted() -> None:
    """Nothing here has a beta's name."""
    assert OPENAI_CHAT.request_headers(request_of()) == ()
