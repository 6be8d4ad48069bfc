"""Canonical requests, written for an upstream that speaks Responses."""

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
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES
from asgi_gateway.errors import InvalidRequest
from support.openai_responses import read, written
from support.strict import check_request

HI = Turn("user", (Text("Hi"),))
GOOGLE = Seal(maker="google", kind="signature", data="QQ==")
NOTHING = {"type": "object", "properties": {}}
OPENAI = Seal(maker="openai", kind="encrypted", data="gA")


def asked(**fields: Any) -> ChatRequest:
    """A request of these fields."""
    return ChatRequest(**{"model": "gpt-5-mini", "turns": (HI,), **fields})


def said(*parts: Part, **fields: Any) -> Any:
    """The input of a conversation in which the assistant said this."""
    return written(asked(turns=(HI, Turn("assistant", parts), HI), **fields))["input"][1:-1]


def test_nothing_is_stored_unless_asked_for() -> None:
    """Reasoning comes encrypted instead."""
    body = written(asked())
    assert body == {
        "model": "gpt-5-mini",
        "input": [{"role": "user", "content": "Hi"}],
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    assert written(asked(store=True))["store"] is True
    assert written(asked(stream=True))["stream"] is True


def test_models_without_reasoning_are_not_asked_to_encrypt_it() -> None:
    """OpenAI would refuse it; models of unknown makers are asked."""
    assert "include" not in written(asked(model="gpt-4o"))
    assert written(asked(model="grok-4"))["include"] == ["reasoning.encrypted_content"]


def test_own_references_leave_storing_to_the_default() -> None:
    """What goes on from a stored response is stored."""
    body = written(read(previous_response_id="resp_1", include=["web_search_call.action.sources"]))
    assert "store" not in body
    assert body["previous_response_id"] == "resp_1"
    assert body["include"] == ["web_search_call.action.sources", "reasoning.encrypted_content"]


def test_instructions_in_order() -> None:
    """The first is the field, others and later ones are messages; alone it is a message."""
    body = written(asked(instructions=(Text("One."), Text("Two.")), turns=(HI, Turn("system", (Text("Three."),)))))
    assert body["instructions"] == "One."
    assert body["input"] == [
        {"role": "system", "content": "Two."},
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": "Three."},
    ]
    alone = written(asked(instructions=(Text("One."),), turns=()))
    assert alone["input"] == [{"role": "system", "content": "One."}]
    assert "instructions" not in alone


def test_marks_are_breakpoints_for_models_that_take_them() -> None:
    """GPT-5.6 and later; else noted."""
    mark = CacheMark()
    request = asked(
        model="gpt-5.6",
        instructions=(Text("One.", cache=mark),),
        turns=(
            Turn("user", (Text("Hi", cache=mark), Media(kind="image", source=Remote("https://x.test"), cache=mark))),
        ),
    )
    marked = {"prompt_cache_breakpoint": {"mode": "explicit"}}
    body = written(request)
    assert body["input"][0]["content"] == [{"type": "input_text", "text": "One.", **marked}]
    assert body["input"][1]["content"][1] == {
        "type": "input_image",
        "detail": "auto",
        "image_url": "https://x.test",
        **marked,
    }
    losses = Losses("request")
    written(msgspec.structs.replace(request, model="gpt-5"), losses)
    assert losses.header() == "dropped:cache_control"


def test_what_the_assistant_said() -> None:
    """One text is an easy message; more, cited ones and refusals are a message of output."""
    assert said(Text("a")) == [{"role": "assistant", "content": "a"}]
    cited = Text("b", (Citation(kind="url", url="https://x.test"),))
    (message,) = said(Text("a"), cited, Refusal("c"))
    assert message["id"] == "msg_1"
    assert [part["type"] for part in message["content"]] == ["output_text", "output_text", "refusal"]
    assert message["content"][1]["annotations"] == [
        {"type": "url_citation", "url": "https://x.test", "title": "", "start_index": 0, "end_index": 1}
    ]


def test_own_reasoning_goes_back_as_it_came() -> None:
    """With its id, where it is known."""
    assert said(Thinking("hm", OPENAI, "rs_1"), Thinking("", OPENAI)) == [
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "gA",
        },
        {"type": "reasoning", "summary": [], "encrypted_content": "gA"},
    ]


def test_reasoning_of_others_is_left_out_for_openai() -> None:
    """Its servers take none that they did not make."""
    losses = Losses("request")
    turns = (HI, Turn("assistant", (Thinking("hm", GOOGLE), Text("a"))), HI)
    assert written(asked(turns=turns), losses)["input"][1] == {"role": "assistant", "content": "a"}
    assert losses.header() == "dropped:thinking"


def test_reasoning_of_others_goes_along_to_other_servers() -> None:
    """As a summary, or as gpt-oss wants it; without the seal."""
    losses = Losses("request")
    turns = (HI, Turn("assistant", (Thinking("hm", GOOGLE), Thinking("so", None, "r1"))))
    summary = written(asked(model="qwen3", turns=turns), losses)["input"][1:]
    assert summary == [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"type": "reasoning", "id": "r1", "summary": [{"type": "summary_text", "text": "so"}]},
    ]
    assert losses.header() == "dropped:signature"
    assert said(Thinking("hm"), model="gpt-oss-120b") == [
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]}
    ]
    assert said(Thinking("", GOOGLE), model="qwen3") == []


def test_stored_reasoning_is_named() -> None:
    """Where the conversation is stored, an id alone is enough."""
    assert said(Thinking("", None, "rs_1"), store=True) == [{"type": "reasoning", "id": "rs_1", "summary": []}]


def test_calls_and_their_results() -> None:
    """Functions and free text; seals of others are noted."""
    losses = Losses("request")
    turns = (
        HI,
        Turn(
            "assistant",
            (
                ToolCall(id="a", name="f", seal=GOOGLE, cache=CacheMark()),
                ToolCall(id="b", name="g", arguments="free", custom=True),
            ),
        ),
        Turn(
            "tool",
            (
                ToolResult(call_id="a", parts=(Text("1"), Media(kind="image", source=Inline("image/png", "QQ==")))),
                ToolResult(call_id="b", parts=(Text("2"),), custom=True, failed=True, cache=CacheMark()),
                ToolResult(call_id="a"),
            ),
        ),
    )
    body = OPENAI_RESPONSES.write_request(asked(turns=turns), losses)
    assert msgspec.json.decode(body)["input"][1:] == [
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "free"},
        {
            "type": "function_call_output",
            "call_id": "a",
            "output": [
                {"type": "input_text", "text": "1"},
                {"type": "input_image", "detail": "auto", "image_url": "data:image/png;base64,QQ=="},
            ],
        },
        {"type": "custom_tool_call_output", "call_id": "b", "output": "2"},
        {"type": "function_call_output", "call_id": "a", "output": ""},
    ]
    assert losses.header() == "dropped:cache_control,dropped:signature,dropped:tool_result.is_error"


def test_long_ids_of_calls_are_shortened_alike() -> None:
    """OpenAI takes 64 characters."""
    long = "call_" + "x" * 200
    turns = (Turn("assistant", (ToolCall(id=long, name="f"),)), Turn("tool", (ToolResult(call_id=long),)))
    call, output = written(asked(turns=turns))["input"]
    assert call["call_id"] == output["call_id"]
    assert len(call["call_id"]) <= 64


@pytest.mark.parametrize(
    ("media", "content"),
    [
        (
            Media(kind="image", source=Stored("f", "openai"), detail="low"),
            {"type": "input_image", "detail": "low", "file_id": "f"},
        ),
        (Media(kind="document", source=Stored("f", "openai")), {"type": "input_file", "file_id": "f"}),
        (
            Media(kind="document", source=Remote("https://x.test/a")),
            {"type": "input_file", "file_url": "https://x.test/a"},
        ),
        (
            Media(kind="document", source=Inline("application/pdf", "QQ=="), detail="low"),
            {
                "type": "input_file",
                "filename": "document.pdf",
                "file_data": "data:application/pdf;base64,QQ==",
                "detail": "low",
            },
        ),
        (
            Media(kind="document", source=PlainText("hi"), name="a.txt"),
            {"type": "input_file", "filename": "a.txt", "file_data": "data:text/plain;base64,aGk="},
        ),
    ],
)
def test_media_are_contents(media: Media, content: dict[str, Any]) -> None:
    """Images and files."""
    body = OPENAI_RESPONSES.write_request(asked(turns=(Turn("user", (media,)),)), Losses("request"))
    check_request("openai_responses", body)
    assert msgspec.json.decode(body)["input"][0]["content"] == [content]


def test_sounds_are_for_servers_that_are_not_openais() -> None:
    """OpenAI's have no place for them."""
    sound = Media(kind="audio", source=Inline("audio/mpeg", "QQ=="), cache=CacheMark())
    losses = Losses("request")
    body = written(asked(model="qwen3-omni", turns=(Turn("user", (sound,)),)), losses)
    assert body["input"][0]["content"] == [{"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}}]
    assert losses.header() == "dropped:cache_control"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"sampling": Sampling(choices=2)}, "n"),
        ({"modalities": ("text", "audio")}, "modalities"),
        ({"cached_content": "cachedContents/1"}, "cachedContent"),
        ({"tools": (HostedTool(kind="web_fetch", dialect="anthropic_messages", native={}),)}, "tools"),
        ({"extras": (Extra("cohere_chat", "documents", [], True),)}, "documents"),
        ({"turns": (Turn("user", (Media(kind="video", source=Remote("https://x.test")),)),)}, "video"),
        ({"turns": (Turn("user", (Media(kind="audio", source=Inline("audio/wav", "")),)),)}, "input_audio"),
        ({"turns": (Turn("user", (Media(kind="image", source=PlainText("a")),)),)}, "image"),
        ({"turns": (Turn("user", (Media(kind="image", source=Stored("f", "anthropic")),)),)}, "file_id"),
        ({"turns": (Turn("user", (Native("anthropic_messages", "x", {}, True),)),)}, "x"),
        (
            {"model": "qwen3", "turns": (Turn("user", (Media(kind="audio", source=Remote("https://x.test")),)),)},
            "input_audio",
        ),
    ],
)
def test_what_must_not_be_left_out_is_refused(fields: dict[str, Any], param: str) -> None:
    """By its name."""
    with pytest.raises(InvalidRequest) as refused:
        written(asked(**fields))
    assert refused.value.param == param


def test_tools_of_others() -> None:
    """Those that OpenAI has, too."""
    losses = Losses("request")
    body = written(
        asked(
            tools=(
                FunctionTool(
                    name="f", description="d", cache=CacheMark(), extras={"x": 1}, dialect="anthropic_messages"
                ),
                CustomTool(
                    name="g",
                    description="e",
                    format={"type": "grammar", "grammar": {"syntax": "lark", "definition": "d"}},
                ),
                HostedTool(
                    kind="web_search",
                    dialect="anthropic_messages",
                    native={},
                    allowed_domains=("x.test",),
                    blocked_domains=("y.test",),
                    location={"country": "DE"},
                    max_uses=3,
                ),
                HostedTool(kind="code_execution", dialect="google_generate", native={}),
                HostedTool(kind="image_generation", dialect="openai_chat", native={}),
            ),
            tool_choice=ToolChoice("allowed", ("f", "g", "web_search"), True),
            parallel_tools=False,
        ),
        losses,
    )
    assert body["tools"] == [
        {"type": "function", "name": "f", "description": "d", "parameters": NOTHING, "strict": False},
        {
            "type": "custom",
            "name": "g",
            "description": "e",
            "format": {"type": "grammar", "syntax": "lark", "definition": "d"},
        },
        {
            "type": "web_search",
            "filters": {"allowed_domains": ["x.test"]},
            "user_location": {"type": "approximate", "country": "DE"},
        },
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "image_generation"},
    ]
    assert body["tool_choice"] == {
        "type": "allowed_tools",
        "mode": "required",
        "tools": [{"type": "function", "name": "f"}, {"type": "custom", "name": "g"}, {"type": "web_search_preview"}],
    }
    assert body["parallel_tool_calls"] is False
    assert losses.header() == (
        "dropped:cache_control,dropped:tools[].x,dropped:tools[].blocked_domains,dropped:tools[].max_uses"
    )


@pytest.mark.parametrize(
    "tool_choice",
    ["auto", "none", "required", {"type": "function", "name": "f"}, {"type": "mcp", "server_label": "s"}],
)
def test_own_tools_and_choices_are_written_as_they_were(tool_choice: object) -> None:
    """With fields that only this dialect knows."""
    tools = [
        {"type": "function", "name": "f", "parameters": {}, "strict": None, "defer_loading": True},
        {"type": "mcp", "server_label": "s", "server_url": "https://x.test"},
    ]
    body = written(read(tools=tools, tool_choice=tool_choice))
    assert body["tools"] == tools
    assert body["tool_choice"] == tool_choice


def test_a_choice_of_nothing_is_a_must() -> None:
    """And one without tools is left out."""
    tools = (FunctionTool(name="f"),)
    assert written(asked(tools=tools, tool_choice=ToolChoice("tool")))["tool_choice"] == "required"
    losses = Losses("request")
    assert "tool_choice" not in written(asked(tool_choice=ToolChoice("auto")), losses)
    assert not losses
    assert "tool_choice" not in written(asked(tool_choice=ToolChoice("required")), losses)
    assert losses.header() == "dropped:tool_choice"


def test_pictures_are_made_by_a_tool() -> None:
    """Which is added when it is not there."""
    losses = Losses("request")
    image = HostedTool(kind="image_generation", dialect="openai_chat", native={})
    assert written(asked(modalities=("text", "image")), losses)["tools"] == [{"type": "image_generation"}]
    assert losses.header() == "approximated:modalities"
    assert len(written(asked(modalities=("image",), tools=(image,)))["tools"]) == 1


def test_forms_of_output() -> None:
    """Each kind; a schema needs a name."""
    losses = Losses("request")
    schema = OutputFormat(kind="schema", schema={"type": "object"}, strict=True, description="d")
    assert written(asked(output=schema, verbosity="low"), losses)["text"] == {
        "format": {
            "type": "json_schema",
            "name": "response",
            "description": "d",
            "schema": {"type": "object"},
            "strict": True,
        },
        "verbosity": "low",
    }
    assert losses.header() == "invented:text.format.name"
    assert written(asked(output=OutputFormat(kind="json")))["text"] == {"format": {"type": "json_object"}}
    assert written(asked(output=OutputFormat(kind="text")))["text"] == {"format": {"type": "text"}}


def test_sampling_that_responses_does_not_have() -> None:
    """Noted, each by its name."""
    losses = Losses("request")
    sampling = Sampling(
        max_output=9,
        temperature=0.5,
        top_p=0.5,
        top_k=3,
        min_p=0.1,
        stop=("x",),
        seed=1,
        presence_penalty=1,
        frequency_penalty=1,
        logit_bias={"1": 1},
        logprobs=True,
        top_logprobs=2,
    )
    body = written(asked(model="gpt-4o", sampling=sampling), losses)
    assert (body["max_output_tokens"], body["temperature"], body["top_p"], body["top_logprobs"]) == (16, 0.5, 0.5, 2)
    assert body["include"] == ["message.output_text.logprobs"]
    assert {loss.field for loss in losses.noted()} == {
        "max_output_tokens",
        "top_k",
        "min_p",
        "seed",
        "logit_bias",
        "presence_penalty",
        "frequency_penalty",
        "stop",
    }


def test_sampling_that_reasoning_refuses() -> None:
    """Left out for OpenAI's reasoning models, unless they do not reason."""
    losses = Losses("request")
    sampling = Sampling(temperature=0.5, top_p=1, logprobs=True, top_logprobs=2)
    body = written(asked(sampling=sampling), losses)
    assert not {"temperature", "top_p", "top_logprobs"} & body.keys()
    assert losses.header() == "dropped:temperature,dropped:top_logprobs,dropped:logprobs"
    idle = written(asked(model="gpt-5.1", sampling=sampling, reasoning=Reasoning(effort="none")))
    assert idle["temperature"] == 0.5
    assert "top_logprobs" not in written(asked(sampling=Sampling(top_logprobs=0)))


@pytest.mark.parametrize(
    ("model", "reasoning", "expected", "noted"),
    [
        ("gpt-5", Reasoning(effort="minimal"), {"effort": "minimal"}, ""),
        ("gpt-5", Reasoning(enabled=False), {"effort": "minimal"}, "approximated:reasoning"),
        ("gpt-5.1", Reasoning(effort="minimal"), {"effort": "low"}, "approximated:reasoning"),
        ("gpt-5.1", Reasoning(effort="none", visible=True), {"effort": "none"}, ""),
        ("o3", Reasoning(effort="none"), {"effort": "low"}, "approximated:reasoning"),
        ("o3", Reasoning(effort="xhigh"), {"effort": "high"}, "approximated:reasoning"),
        ("gpt-5.2", Reasoning(effort="max"), {"effort": "xhigh"}, "approximated:reasoning"),
        (
            "gpt-5",
            Reasoning(budget=9000, visible=True),
            {"effort": "high", "summary": "auto"},
            "approximated:reasoning",
        ),
        ("gpt-5", Reasoning(summary="detailed"), {"summary": "detailed"}, ""),
        ("gpt-5", Reasoning(adaptive=True), None, ""),
        ("gpt-4o", Reasoning(effort="high"), None, "dropped:reasoning"),
        ("gpt-4o", Reasoning(enabled=False), None, ""),
        ("grok-4", Reasoning(effort="max"), {"effort": "max"}, ""),
    ],
)
def test_reasoning_as_the_model_takes_it(model: str, reasoning: Reasoning, expected: object, noted: str) -> None:
    """The nearest effort that it has."""
    losses = Losses("request")
    assert written(asked(model=model, reasoning=reasoning), losses).get("reasoning") == expected
    assert losses.header() == (noted or "none")


def test_wishes_of_the_caller() -> None:
    """Tiers of other providers are left out."""
    fields = {"user": "u", "metadata": {"a": "b"}, "cache_key": "k", "cache_retention": "24h"}
    body = written(asked(**fields, service_tier="priority"))
    assert body["user"] == "u"
    assert body["metadata"] == {"a": "b"}
    assert body["prompt_cache_key"] == "k"
    assert body["prompt_cache_retention"] == "24h"
    assert body["service_tier"] == "priority"
    losses = Losses("request")
    assert "service_tier" not in written(asked(service_tier="standard_only"), losses)
    assert losses.header() == "dropped:service_tier"


def test_hosted_calls_of_others_in_a_conversation() -> None:
    """A search stays; what it found, and other tools, go."""
    losses = Losses("request")
    turns = (
        HI,
        Turn(
            "assistant",
            (
                HostedCall(id="s", tool="web_search", arguments='{"query":"q"}'),
                HostedResult(call_id="s", tool="web_search"),
                HostedCall(id="c", tool="code_execution", arguments='{"code":"1"}'),
                HostedResult(call_id="c", tool="code_execution"),
                Native("anthropic_messages", "container", {}),
                Text("a"),
            ),
        ),
        HI,
    )
    body = OPENAI_RESPONSES.write_request(asked(turns=turns), losses)
    check_request("openai_responses", body)
    assert msgspec.json.decode(body)["input"][1] == {
        "id": "ws_1",
        "type": "web_search_call",
        "status": "completed",
        "action": {"type": "search", "query": "q", "queries": ["q"]},
    }
    assert losses.header() == "dropped:code_execution,dropped:code_execution_result,dropped:container"


def test_own_items_are_written_as_they_were() -> None:
    """In their order."""
    items: list[dict[str, Any]] = [
        {"role": "user", "content": "Hi"},
        {"type": "compaction", "id": "cmp_1", "encrypted_content": "x"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "shell_call_output", "call_id": "c", "output": []},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "QQ=="},
        {"type": "item_reference", "id": "msg_1"},
        {"type": "mcp_approval_response", "approval_request_id": "m", "approve": True},
        {"type": "message", "role": "user", "content": [{"type": "input_smell"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "smell"}]},
    ]
    *same, smelt, said_so = written(read(input=items))["input"]
    assert same == items[:-2]
    assert smelt == {"role": "user", "content": [{"type": "input_smell"}]}
    assert said_so["content"] == [{"type": "smell"}]


def test_parts_in_turns_where_they_do_not_belong() -> None:
    """Never a crash: noted, or moved."""
    losses = Losses("request")
    odd = (
        Text("a", (Citation(kind="url", url="u"),)),
        Refusal("b"),
        Thinking("c"),
        HostedCall(id="1", tool="x"),
        ToolResult(call_id="r"),
        Native("other", "n", 1),
    )
    turns = (
        Turn("user", odd, "Ann"),
        Turn("user", ()),
        Turn("assistant", (Media(kind="audio", source=Inline("audio/wav", "QQ==")), ToolResult(call_id="s"))),
        Turn("tool", (Text("stray"),)),
    )
    body = written(asked(turns=turns), losses)
    assert [item.get("type", "message") for item in body["input"]] == [
        "function_call_output",
        "message",
        "function_call_output",
    ]
    assert losses.header() == (
        "dropped:messages[].name,dropped:citations,dropped:user.thinking,dropped:user.hostedcall,dropped:n,"
        "dropped:assistant.audio"
    )


def test_wishes_for_documents_are_noted() -> None:
    """Responses has no place for them."""
    losses = Losses("request")
    document = Media(
        kind="document", source=Inline("application/vnd.x", "QQ=="), title="T", context="c", citations=True
    )
    body = written(asked(turns=(Turn("user", (document,)),)), losses)
    assert body["input"][0]["content"][0]["filename"] == "T"
    assert losses.header() == "dropped:document.title,dropped:document.context,dropped:document.citations"
    unnamed = Media(kind="document", source=Inline("text/markdown", "QQ=="))
    assert written(asked(turns=(Turn("user", (unnamed,)),)))["input"][0]["content"][0]["filename"] == "document.md"


def test_the_same_request_gives_the_same_bytes() -> None:
    """So that a provider's cache hits."""
    request = asked(tools=(FunctionTool(name="f", parameters={"b": 1, "a": 2}),), instructions=(Text("a"),))
    first = OPENAI_RESPONSES.write_request(request, Losses("request"))
    assert first == OPENAI_RESPONSES.write_request(request, Losses("request"))
    assert first.index(b'"tools"') < first.index(b'"input"')
    assert OPENAI_RESPONSES.request_headers(request) == ()
