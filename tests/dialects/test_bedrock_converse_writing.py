"""Requests written for Converse, as each model's family wants them."""

import json
from base64 import b64encode
from typing import Any

import pytest

pytest.importorskip("botocore", reason="the vendor's SDK is asked what is valid")

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
    Role,
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
from asgi_gateway.dialects.bedrock_converse import BEDROCK_CONVERSE
from asgi_gateway.errors import InvalidRequest
from support.bedrock_converse import CLAUDE, NOVA, noted, written
from support.strict import check_request

SIGNED = Seal(maker="anthropic", kind="signature", data="s")
GOOGLES = Seal(maker="google", kind="signature", data="g")
OPUS = "eu.anthropic.claude-opus-4-7"
SONNET_45 = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
OPUS_46 = "us.anthropic.claude-opus-4-6-v1"
GPT = "openai.gpt-oss-120b-1:0"
MISTRAL = "mistral.mistral-large-2407-v1:0"
DEEPSEEK = "us.deepseek.r1-v1:0"


def ask(*parts: Part, role: Role = "user", model: str = CLAUDE, **fields: Any) -> ChatRequest:
    """A request with one turn of these parts."""
    return ChatRequest(model=model, turns=(Turn(role, parts or (Text("Hi"),)),), **fields)


def body_of(request: ChatRequest, losses: Losses | None = None) -> dict[str, Any]:
    """What is written, held to the service's own model."""
    check_request("bedrock_converse", BEDROCK_CONVERSE.write_request(request, Losses("request")))
    return written(request, losses)


def content(*parts: Part, losses: Losses | None = None, model: str = CLAUDE) -> Any:
    """The blocks that are written for parts of a user."""
    return body_of(ask(*parts, model=model), losses)["messages"][0]["content"]


def test_roles_take_turns_and_the_user_begins() -> None:
    """Turns of one role are joined, blanks left out, a beginning is invented."""
    request = ChatRequest(
        model=CLAUDE,
        instructions=(Text("Be brief.", cache=CacheMark()), Text(" ")),
        turns=(
            Turn("assistant", (Text("Hello."),)),
            Turn("user", (Text(""),)),
            Turn("assistant", (ToolCall(id="a", name="f"),)),
            Turn("tool", (ToolResult(call_id="a", parts=(Text("1"),)),)),
            Turn("user", (Text("And?"),), "Ann"),
            Turn("system", (Text("In French."),)),
        ),
    )
    losses = Losses("request")
    body = body_of(request, losses)
    assert body["system"] == [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}]
    assert body["messages"] == [
        {"role": "user", "content": [{"text": "."}]},
        {
            "role": "assistant",
            "content": [{"text": "Hello."}, {"toolUse": {"toolUseId": "a", "name": "f", "input": {}}}],
        },
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "a", "content": [{"text": "1"}]}},
                {"text": "And?"},
                {"text": "In French."},
            ],
        },
    ]
    assert body["toolConfig"]["tools"] == [
        {"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object", "properties": {}}}}}
    ]
    assert noted(losses) == {
        "dropped:messages[].name",
        "approximated:messages[].role",
        "invented:messages[].content[].text",
        "invented:toolConfig",
    }


def test_documents_have_names_of_their_own_and_a_text_beside_them() -> None:
    """Bedrock refuses what stands alone, and other letters."""
    losses = Losses("request")
    pdf = Inline("application/pdf", "_-8")
    blocks = content(
        Media(kind="document", source=pdf, name="a/b.pdf"),
        Media(kind="document", source=pdf, title="a b pdf"),
        Media(kind="document", source=PlainText("t")),
        Media(kind="document", source=Inline("text/x-python; charset=utf-8", "aGk="), name="n"),
        losses=losses,
    )
    assert [block["document"]["name"] for block in blocks[:4]] == ["a b pdf", "a b pdf (2)", "document", "n"]
    assert blocks[0]["document"]["source"] == {"bytes": "/+8="}
    assert blocks[2]["document"]["source"] == {"bytes": b64encode(b"t").decode()}
    assert blocks[3]["document"]["format"] == "txt"
    assert blocks[4] == {"text": "."}
    assert noted(losses) == {
        "approximated:document.name",
        "invented:document.name",
        "invented:messages[].content[].text",
    }


def test_files_in_s3_are_written_by_their_place() -> None:
    """Also those that are given as an address there; the format may be in the name."""
    assert content(
        Media(kind="image", source=Remote("s3://bucket/k.PNG"), detail="high"),
        Media(kind="video", source=Stored("s3://bucket/k.mp4#bucketOwner=123456789012", "amazon")),
        Media(kind="video", source=Stored("s3://bucket/k", "amazon", "video/webm")),
    ) == [
        {"image": {"format": "png", "source": {"s3Location": {"uri": "s3://bucket/k.PNG"}}}},
        {
            "video": {
                "format": "mp4",
                "source": {"s3Location": {"uri": "s3://bucket/k.mp4", "bucketOwner": "123456789012"}},
            }
        },
        {"video": {"format": "webm", "source": {"s3Location": {"uri": "s3://bucket/k"}}}},
    ]


@pytest.mark.parametrize(
    "part",
    [
        Media(kind="image", source=Remote("https://x.test/a.png")),
        Media(kind="image", source=Stored("f", "openai")),
        Media(kind="image", source=Inline("image/tiff", "aGk=")),
        Media(kind="document", source=Inline("application/zip", "aGk=")),
        ToolResult(call_id="a", parts=(Media(kind="audio", source=Inline("audio/wav", "aGk=")),)),
        Native("other", "messages[].x", {}, essential=True),
    ],
)
def test_contents_that_bedrock_does_not_take_are_refused(part: Part) -> None:
    """Never left out in silence."""
    with pytest.raises(InvalidRequest) as refused:
        written(ask(part))
    assert refused.value.param == "messages"


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"sampling": Sampling(choices=2)}, "n"),
        ({"cached_content": "c"}, "cached_content"),
        ({"modalities": ("text", "image")}, "modalities"),
        ({"audio": {"voice": "v"}}, "modalities"),
        ({"tools": (HostedTool(kind="web_search", dialect="x", native={}),)}, "tools"),
        ({"tools": (HostedTool(kind="computer", dialect="x", native={}),), "model": NOVA}, "tools"),
        ({"extras": (Extra("other", "background", True, essential=True),)}, "background"),
    ],
)
def test_features_that_bedrock_does_not_have_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    """Leaving them out would give another answer than was asked for."""
    with pytest.raises(InvalidRequest) as refused:
        written(ask(**fields))
    assert refused.value.param == param


def test_contents_near_to_what_bedrock_takes_are_approximated() -> None:
    """What only others know, and changes nothing, is dropped."""
    losses = Losses("request")
    foreign = Citation(kind="url", url="https://x.test")
    own = HostedCall(
        id="h", tool="web_search", dialect="bedrock_converse", native={"toolUseId": "h", "name": "n", "input": {}}
    )
    blocks = written(
        ask(
            Refusal("No."),
            Refusal(" "),
            Text("t", (foreign,), CacheMark("1h")),
            HostedCall(id="h", tool="web_search"),
            HostedResult(call_id="h", tool="web_search", dialect="other", native={}),
            own,
            Native("other", "messages[].x", {}),
        ),
        losses,
    )["messages"][0]["content"]
    assert blocks == [
        {"text": "No."},
        {"text": "t"},
        {"cachePoint": {"type": "default", "ttl": "1h"}},
        {"toolUse": own.native},
    ]
    assert noted(losses) == {
        "approximated:messages[].content[].refusal",
        "dropped:citations",
        "dropped:messages[].content[].web_search",
        "dropped:messages[].x",
    }


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        (
            CLAUDE,
            [
                {"reasoningText": {"text": "hm", "signature": "s"}},
                {"redactedContent": "cmVk"},
            ],
        ),
        (
            NOVA,
            [{"reasoningText": {"text": "hm"}}, {"reasoningText": {"text": "bare"}}, {"reasoningText": {"text": "g"}}],
        ),
        (DEEPSEEK, []),
    ],
)
def test_thinking_goes_to_the_models_that_take_it(model: str, kept: list[Any]) -> None:
    """Claude wants its own seals, others the text alone, DeepSeek nothing."""
    losses = Losses("request")
    parts = (
        Thinking("hm", SIGNED),
        Thinking("", Seal(maker="anthropic", kind="redacted", data="cmVk")),
        Thinking("bare"),
        Thinking("g", GOOGLES),
        Text("t"),
    )
    request = ChatRequest(model=model, turns=(Turn("user", (Text("Hi"),)), Turn("assistant", parts)))
    blocks = body_of(request, losses)["messages"][1]["content"]
    assert [block["reasoningContent"] for block in blocks[:-1]] == kept
    assert noted(losses) == {"dropped:messages[].content[].thinking"}


def test_calls_have_objects_and_ids_that_bedrock_takes() -> None:
    """The same id always becomes the same."""
    long = "call|" + "x" * 100
    request = ChatRequest(
        model=CLAUDE,
        turns=(
            Turn("user", (Text("Hi"),)),
            Turn(
                "assistant",
                (
                    ToolCall(id=long, name="f", arguments="[1]"),
                    ToolCall(id="b", name="f", arguments="{broken", cache=CacheMark()),
                    ToolCall(id="c", name="g", arguments="1 + 1", custom=True),
                ),
            ),
            Turn("tool", (ToolResult(call_id=long, failed=True), ToolResult(call_id="b"), ToolResult(call_id="c"))),
        ),
        tools=(FunctionTool(name="f"), CustomTool(name="g", description="d"), CustomTool(name="h")),
    )
    losses = Losses("request")
    body = body_of(request, losses)
    uses = [block["toolUse"] for block in body["messages"][1]["content"] if "toolUse" in block]
    assert [use["input"] for use in uses] == [{"arguments": [1]}, {"arguments": "{broken"}, {"input": "1 + 1"}]
    results = [block["toolResult"] for block in body["messages"][2]["content"]]
    assert uses[0]["toolUseId"] == results[0]["toolUseId"] != long
    assert results[0]["status"] == "error"
    assert noted(losses) == {
        "approximated:tool_calls[].arguments",
        "approximated:tool_calls[].custom",
        "approximated:tools[].custom",
    }


def test_marks_for_a_cache_go_to_models_that_have_one() -> None:
    """Nova keeps what is cached for five minutes only."""
    losses = Losses("request")
    tools = (FunctionTool(name="f", cache=CacheMark("1h"), extras={"x": 1}, dialect="other"),)
    assert len(body_of(ask(model=NOVA, tools=tools), losses)["toolConfig"]["tools"]) == 2
    assert len(body_of(ask(model=MISTRAL, tools=tools), losses)["toolConfig"]["tools"]) == 1
    assert noted(losses) == {"approximated:cache_control.ttl", "dropped:cache_control", "dropped:tools[].x"}


def test_a_failed_result_is_told_to_models_that_know_of_it() -> None:
    """The others learn nothing of it, and that is noted."""
    losses = Losses("request")
    written(ask(ToolResult(call_id="a", failed=True), role="tool", model=MISTRAL), losses)
    assert "dropped:tool_result.failed" in noted(losses)


@pytest.mark.parametrize(
    ("choice", "called", "names", "chosen", "losses"),
    [
        (None, False, ["f", "g"], None, "none"),
        (ToolChoice("auto"), False, ["f", "g"], {"auto": {}}, "none"),
        (ToolChoice("required"), False, ["f", "g"], {"any": {}}, "none"),
        (ToolChoice("tool", ("g",)), False, ["f", "g"], {"tool": {"name": "g"}}, "none"),
        (ToolChoice("allowed", ("g",), required=True), False, ["g"], {"any": {}}, "approximated:tool_choice"),
        (ToolChoice("allowed", ("g",)), False, ["g"], {"auto": {}}, "approximated:tool_choice"),
        (ToolChoice("none"), False, [], None, "approximated:tool_choice"),
        (ToolChoice("none"), True, ["f", "g"], None, "dropped:tool_choice"),
    ],
)
def test_choices_among_tools(
    choice: ToolChoice | None, called: bool, names: list[str], chosen: Any, losses: str
) -> None:
    """Bedrock has no word for none, and cannot do without tools that were called."""
    told = Losses("request")
    turns: tuple[Turn, ...] = (Turn("user", (Text("Hi"),)),)
    if called:
        turns += (Turn("assistant", (ToolCall(id="a", name="f"),)), Turn("tool", (ToolResult(call_id="a"),)))
    tools = (FunctionTool(name="f"), FunctionTool(name="g"))
    body = body_of(ChatRequest(model=CLAUDE, turns=turns, tools=tools, tool_choice=choice), told)
    config = body.get("toolConfig", {})
    assert [tool["toolSpec"]["name"] for tool in config.get("tools", ())] == names
    assert config.get("toolChoice") == chosen
    assert told.header() == losses


def test_novas_own_tools_can_be_asked_for_by_others() -> None:
    """Their options are dropped."""
    losses = Losses("request")
    search = HostedTool(kind="web_search", dialect="anthropic_messages", native={}, max_uses=3)
    code = HostedTool(kind="code_execution", dialect="openai_responses", native={})
    own = HostedTool(kind="x", dialect="bedrock_converse", native={"systemTool": {"name": "x"}})
    body = body_of(ask(model=NOVA, tools=(search, code, own)), losses)
    names = [tool["systemTool"]["name"] for tool in body["toolConfig"]["tools"]]
    assert names == ["nova_grounding", "nova_code_interpreter", "x"]
    assert losses.header() == "dropped:tools[].web_search"


def test_knobs_that_bedrock_does_not_have_are_dropped_by_name() -> None:
    """Nothing disappears in silence."""
    losses = Losses("request")
    request = ask(
        sampling=Sampling(
            seed=1,
            min_p=0.1,
            presence_penalty=0.5,
            frequency_penalty=0.5,
            logprobs=True,
            logit_bias={"1": 1.0},
            temperature=1.5,
        ),
        parallel_tools=False,
        verbosity="low",
        user="u",
        service_tier="scale",
        store=True,
        cache_key="k",
        cache_retention="24h",
        output=OutputFormat(kind="json"),
        reasoning=Reasoning(summary="auto"),
    )
    assert body_of(request, losses)["inferenceConfig"] == {"temperature": 1.0}
    assert noted(losses) == {"approximated:temperature"} | {
        "dropped:" + name
        for name in (
            "seed",
            "min_p",
            "presence_penalty",
            "frequency_penalty",
            "logprobs",
            "logit_bias",
            "parallel_tool_calls",
            "verbosity",
            "user",
            "service_tier",
            "store",
            "prompt_cache_key",
            "prompt_cache_retention",
            "response_format",
            "reasoning.summary",
        )
    }


@pytest.mark.parametrize(
    ("model", "sampling", "config", "additional", "losses"),
    [
        (
            CLAUDE,
            Sampling(temperature=0.5, top_p=0.5, top_k=3),
            {"temperature": 0.5, "topP": 0.5},
            {"top_k": 3},
            "none",
        ),
        (SONNET_45, Sampling(temperature=0.5, top_p=0.5), {"temperature": 0.5}, None, "dropped:top_p"),
        (SONNET_45, Sampling(top_p=0.5), {"topP": 0.5}, None, "none"),
        (
            OPUS,
            Sampling(temperature=0.5, top_p=0.99, top_k=1),
            None,
            None,
            "dropped:temperature,dropped:top_p,dropped:top_k",
        ),
        (OPUS, Sampling(temperature=1.0, max_output=5), {"maxTokens": 5}, None, "none"),
        (NOVA, Sampling(top_k=3), None, {"inferenceConfig": {"topK": 3}}, "none"),
        (GPT, Sampling(top_k=3), None, None, "dropped:top_k"),
    ],
)
def test_sampling_is_what_the_family_takes(
    model: str, sampling: Sampling, config: Any, additional: Any, losses: str
) -> None:
    """The rest is dropped by name."""
    told = Losses("request")
    body = body_of(ask(model=model, sampling=sampling), told)
    assert body.get("inferenceConfig") == config
    assert body.get("additionalModelRequestFields") == additional
    assert told.header() == losses


ENABLED = {"type": "enabled"}


@pytest.mark.parametrize(
    ("model", "reasoning", "additional", "effort", "losses"),
    [
        (CLAUDE, Reasoning(budget=2000), {"thinking": {**ENABLED, "budget_tokens": 2000}}, None, "none"),
        (
            CLAUDE,
            Reasoning(budget=9),
            {"thinking": {**ENABLED, "budget_tokens": 1024}},
            None,
            "approximated:reasoning.budget",
        ),
        (
            CLAUDE,
            Reasoning(effort="medium"),
            {"thinking": {**ENABLED, "budget_tokens": 8192}},
            None,
            "approximated:reasoning.effort",
        ),
        (
            CLAUDE,
            Reasoning(enabled=True),
            {"thinking": {**ENABLED, "budget_tokens": 8192}},
            None,
            "invented:thinking.budget_tokens",
        ),
        (
            CLAUDE,
            Reasoning(budget=-1),
            {"thinking": {**ENABLED, "budget_tokens": 8192}},
            None,
            "invented:thinking.budget_tokens",
        ),
        (CLAUDE, Reasoning(enabled=False), {"thinking": {"type": "disabled"}}, None, "none"),
        (CLAUDE, Reasoning(effort="none"), None, None, "none"),
        (CLAUDE, Reasoning(visible=True), None, None, "none"),
        (
            OPUS_46,
            Reasoning(budget=2000, effort="low"),
            {"thinking": {**ENABLED, "budget_tokens": 2000}},
            "low",
            "none",
        ),
        (OPUS_46, Reasoning(effort="high", visible=True), {"thinking": {"type": "adaptive"}}, "high", "none"),
        (OPUS, Reasoning(budget=2000), {"thinking": {"type": "adaptive"}}, "medium", "approximated:reasoning.budget"),
        (OPUS, Reasoning(effort="minimal"), {"thinking": {"type": "adaptive"}}, "low", "approximated:reasoning.effort"),
        (
            OPUS,
            Reasoning(adaptive=True, visible=True),
            {"thinking": {"type": "adaptive", "display": "summarized"}},
            None,
            "none",
        ),
        (
            OPUS,
            Reasoning(adaptive=True, visible=False),
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            None,
            "none",
        ),
        (NOVA, Reasoning(effort="low"), {"reasoningConfig": {**ENABLED, "maxReasoningEffort": "low"}}, None, "none"),
        (
            NOVA,
            Reasoning(effort="max"),
            {"reasoningConfig": {**ENABLED, "maxReasoningEffort": "high"}},
            None,
            "approximated:reasoning.effort",
        ),
        (
            NOVA,
            Reasoning(budget=900),
            {"reasoningConfig": {**ENABLED, "maxReasoningEffort": "low"}},
            None,
            "approximated:reasoning.budget",
        ),
        (
            NOVA,
            Reasoning(enabled=True),
            {"reasoningConfig": {**ENABLED, "maxReasoningEffort": "medium"}},
            None,
            "invented:reasoningConfig.maxReasoningEffort",
        ),
        (NOVA, Reasoning(enabled=False), {"reasoningConfig": {"type": "disabled"}}, None, "none"),
        (NOVA, Reasoning(visible=True), None, None, "none"),
        (GPT, Reasoning(effort="minimal"), {"reasoning_effort": "low"}, None, "approximated:reasoning.effort"),
        (GPT, Reasoning(enabled=True), None, None, "none"),
        (DEEPSEEK, Reasoning(effort="high"), None, None, "dropped:reasoning"),
        (DEEPSEEK, Reasoning(effort="none"), None, None, "none"),
        (MISTRAL, Reasoning(budget=100), None, None, "dropped:reasoning"),
    ],
)
def test_reasoning_is_asked_for_as_the_family_wants_it(
    model: str, reasoning: Reasoning, additional: Any, effort: str | None, losses: str
) -> None:
    """By budget, by effort, or not at all."""
    told = Losses("request")
    body = body_of(ask(model=model, reasoning=reasoning), told)
    assert body.get("additionalModelRequestFields") == additional
    assert body.get("outputConfig", {}).get("effort") == effort
    assert told.header() == losses


def test_a_thinking_claude_refuses_some_knobs() -> None:
    """A temperature of 1 is none; top_p near 1 may stay."""
    losses = Losses("request")
    sampling = Sampling(temperature=0.5, top_p=0.96, top_k=3, max_output=4000)
    body = body_of(ask(reasoning=Reasoning(budget=4000), sampling=sampling), losses)
    assert body["inferenceConfig"] == {"maxTokens": 4000, "topP": 0.96}
    assert body["additionalModelRequestFields"] == {"thinking": {**ENABLED, "budget_tokens": 3999}}
    assert noted(losses) == {"dropped:temperature", "dropped:top_k", "approximated:reasoning.budget"}


def test_thinking_gives_way_to_what_was_asked_for_beside_it() -> None:
    """A certain tool, or an answer too short to think before it."""
    for fields in (
        {"tools": (FunctionTool(name="f"),), "tool_choice": ToolChoice("required")},
        {"sampling": Sampling(max_output=500)},
    ):
        losses = Losses("request")
        body = body_of(ask(reasoning=Reasoning(budget=4000), **fields), losses)
        assert "additionalModelRequestFields" not in body
        assert losses.header() == "dropped:reasoning"


def test_nova_thinks_hard_only_without_limits() -> None:
    """It refuses them otherwise."""
    losses = Losses("request")
    sampling = Sampling(temperature=0.5, max_output=50)
    body = body_of(ask(model=NOVA, reasoning=Reasoning(effort="high"), sampling=sampling), losses)
    assert "inferenceConfig" not in body
    assert noted(losses) == {"dropped:temperature", "dropped:max_tokens"}


def test_a_form_of_output_is_written_with_its_schema_as_text() -> None:
    """A schema alone needs no name."""
    body = body_of(ask(output=OutputFormat(kind="schema", schema={"type": "object"})))
    definition = body["outputConfig"]["textFormat"]["structure"]["jsonSchema"]
    assert json.loads(definition["schema"]) == {"type": "object"}
    assert definition.keys() == {"schema"}
    assert "outputConfig" not in body_of(ask(output=OutputFormat(kind="text")))
