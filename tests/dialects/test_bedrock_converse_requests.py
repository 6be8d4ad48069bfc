"""Converse's requests, read into the neutral model."""

from typing import Any

import pytest

from asgi_gateway.canonical import (
    CacheMark,
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
from support.bedrock_converse import CLAUDE, noted, read, written

GOOGLES = Seal(maker="google", kind="signature", data="g")
POINT = {"cachePoint": {"type": "default"}}


def parts_of(*blocks: Any, role: str = "assistant", losses: Losses | None = None) -> tuple[Any, ...]:
    """The parts of a message of these blocks."""
    return tuple(
        part for turn in read(losses, messages=[{"role": role, "content": list(blocks)}]).turns for part in turn.parts
    )


def test_results_of_tools_are_a_turn_in_front_of_the_rest() -> None:
    """Bedrock has both in a message of the user."""
    request = read(
        system=[{"text": "Be brief."}, POINT, {"text": "Be kind."}],
        messages=[
            {"role": "user", "content": [{"text": "Weather?"}]},
            {"role": "assistant", "content": [{"toolUse": {"toolUseId": "a", "name": "f", "input": {"x": 1.0}}}]},
            {
                "role": "user",
                "content": [
                    {"toolResult": {"toolUseId": "a", "content": [{"json": {"sun": True}}], "status": "error"}},
                    {"text": "And?"},
                ],
            },
            {"role": "system", "content": [{"text": "Now in French."}]},
        ],
    )
    assert request.instructions == (Text("Be brief.", cache=CacheMark()), Text("Be kind."))
    assert request.turns == (
        Turn("user", (Text("Weather?"),)),
        Turn("assistant", (ToolCall(id="a", name="f", arguments='{"x":1.0}'),)),
        Turn("tool", (ToolResult(call_id="a", parts=(Text('{"sun":true}'),), failed=True),)),
        Turn("user", (Text("And?"),)),
        Turn("system", (Text("Now in French."),)),
    )
    assert request.model == CLAUDE


def test_an_empty_message_is_an_empty_turn() -> None:
    """It is the upstream's affair."""
    assert read(messages=[{"role": "user"}]).turns == (Turn("user", ()),)


@pytest.mark.parametrize(
    ("block", "media"),
    [
        (
            {"image": {"format": "png", "source": {"bytes": "aGk="}}},
            Media(kind="image", source=Inline("image/png", "aGk=")),
        ),
        (
            {
                "video": {
                    "format": "three_gp",
                    "source": {"s3Location": {"uri": "s3://b/k", "bucketOwner": "123456789012"}},
                }
            },
            Media(kind="video", source=Stored("s3://b/k#bucketOwner=123456789012", "amazon", "video/3gpp")),
        ),
        (
            {"audio": {"format": "flac", "source": {"bytes": "aGk="}}},
            Media(kind="audio", source=Inline("audio/flac", "aGk=")),
        ),
        (
            {
                "document": {
                    "format": "pdf",
                    "name": "a b",
                    "source": {"bytes": "aGk="},
                    "context": "c",
                    "citations": {"enabled": True},
                }
            },
            Media(kind="document", source=Inline("application/pdf", "aGk="), name="a b", context="c", citations=True),
        ),
        (
            {"document": {"format": "txt", "name": "n", "source": {"bytes": "aGk="}}},
            Media(kind="document", source=PlainText("hi"), name="n"),
        ),
    ],
)
def test_media_are_read_and_written(block: Any, media: Media) -> None:
    """By format, from bytes or from S3."""
    assert parts_of(block, role="user") == (media,)
    content = written(read(messages=[{"role": "user", "content": [{"text": "see"}, block]}]))["messages"][0]["content"]
    assert content[1] == block


@pytest.mark.parametrize(
    ("source", "read_as"),
    [
        ({"text": "t"}, PlainText("t")),
        ({"content": [{"text": "a"}, {"text": "b"}]}, PlainText("a\nb")),
        ({"bytes": "/w=="}, Inline("text/plain", "/w==")),
    ],
)
def test_documents_that_are_text_are_read_from_wherever_they_stand(source: Any, read_as: Any) -> None:
    """What is no text in UTF-8 stays data."""
    assert parts_of({"document": {"name": "n", "source": source}}, role="user")[0].source == read_as


def test_seals_are_read_each_to_its_place() -> None:
    """A raw one is Anthropic's; a wrapped one may belong to a call."""
    assert parts_of(
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
        {"reasoningContent": {"reasoningText": {"text": "bare"}}},
        {"reasoningContent": {"redactedContent": "cmVk"}},
        {"reasoningContent": {"reasoningText": {"text": "g", "signature": wrap(GOOGLES)}}},
        {"reasoningContent": {"redactedContent": wrap(GOOGLES, call="a")}},
        {"reasoningContent": {"reasoningText": {"text": "both", "signature": wrap(GOOGLES, call="b")}}},
        {"toolUse": {"toolUseId": "a", "name": "f", "input": {}}},
        {"toolUse": {"toolUseId": "b", "name": "f"}},
    ) == (
        Thinking("hm", Seal(maker="anthropic", kind="signature", data="s")),
        Thinking("bare"),
        Thinking("", Seal(maker="anthropic", kind="redacted", data="cmVk")),
        Thinking("g", GOOGLES),
        Thinking("both"),
        ToolCall(id="a", name="f", arguments="{}", seal=GOOGLES),
        ToolCall(id="b", name="f", arguments="{}", seal=GOOGLES),
    )
    losses = Losses("request")
    parts_of({"reasoningContent": {"redactedContent": wrap(GOOGLES, call="gone"), "x": 1}}, losses=losses)
    assert noted(losses) == {"dropped:reasoningContent"}


def test_cache_points_mark_what_stands_before_them() -> None:
    """One that stands alone is noted."""
    losses = Losses("request")
    request = read(
        losses,
        system=[POINT],
        messages=[
            {"role": "user", "content": [POINT, {"text": "a"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]},
        ],
        toolConfig={"tools": [POINT, {"toolSpec": {"name": "f"}}, POINT]},
    )
    assert request.turns[0].parts == (Text("a", cache=CacheMark("1h")),)
    assert request.tools == (FunctionTool(name="f", cache=CacheMark(), dialect="bedrock_converse"),)
    assert noted(losses) == {
        "dropped:system[].cachePoint",
        "dropped:messages[].content[].cachePoint",
        "dropped:toolConfig.tools[].cachePoint",
    }


def test_amazons_own_tools_are_hosted() -> None:
    """Their calls and results, too."""
    config = {"tools": [{"systemTool": {"name": "nova_grounding"}}, {"systemTool": {"name": "new"}}]}
    request = read(toolConfig=config)
    assert request.tools == (
        HostedTool(kind="web_search", dialect="bedrock_converse", native=config["tools"][0]),
        HostedTool(kind="new", dialect="bedrock_converse", native=config["tools"][1]),
    )
    use = {"toolUseId": "a", "name": "nova_grounding", "input": {"q": 1}, "type": "server_tool_use"}
    result = {"toolUseId": "a", "content": [{"text": "t"}], "type": "nova_grounding_result", "status": "error"}
    assert parts_of({"toolUse": use}, {"toolResult": result}) == (
        HostedCall(id="a", tool="web_search", arguments='{"q":1}', dialect="bedrock_converse", native=use),
        HostedResult(
            call_id="a", tool="web_search", parts=(Text("t"),), failed=True, dialect="bedrock_converse", native=result
        ),
    )


def test_what_only_bedrock_knows_is_kept() -> None:
    """Blocks as essential natives, fields as extras; what changes the meaning is essential."""
    guarded = {"guardContent": {"text": {"text": "x"}}}
    request = read(
        system=[guarded],
        messages=[{"role": "user", "content": [guarded, {"text": "t"}]}],
        guardrailConfig={"guardrailIdentifier": "g"},
        performanceConfig={"latency": "optimized"},
        additionalModelRequestFields={"tools": [{"type": "computer"}]},
        modelId="ignored",
    )
    assert request.turns[0].parts[0] == Native(
        "bedrock_converse", "messages[].content[].guardContent", guarded, essential=True
    )
    assert request.extras == (
        Extra("bedrock_converse", "additionalModelRequestFields", {"tools": [{"type": "computer"}]}, essential=True),
        Extra("bedrock_converse", "system[].guardContent", [guarded], essential=True),
        Extra("bedrock_converse", "guardrailConfig", {"guardrailIdentifier": "g"}, essential=True),
        Extra("bedrock_converse", "performanceConfig", {"latency": "optimized"}),
    )
    body = written(request)
    assert body["system"] == [guarded]
    assert body["messages"][0]["content"] == [guarded, {"text": "t"}]
    assert body["guardrailConfig"] == {"guardrailIdentifier": "g"}
    assert body["additionalModelRequestFields"] == {"tools": [{"type": "computer"}]}


def test_citations_are_read_and_written() -> None:
    """As Bedrock wrote them."""
    citation = {
        "title": "T",
        "source": "s",
        "sourceContent": [{"text": "q"}, 1],
        "location": {"documentChar": {"documentIndex": 0, "start": 1, "end": 2}},
    }
    found = {"location": {"searchResultLocation": {"searchResultIndex": 0}}}
    web = {"location": {"web": {"url": "https://x.test"}}, "title": 1}
    block = {"citationsContent": {"content": [{"text": "a"}, {"text": "b"}], "citations": [citation, found, web]}}
    (text,) = parts_of(block)
    assert text.text == "ab"
    assert [(c.kind, c.title, c.source, c.quoted, c.url) for c in text.citations] == [
        ("document", "T", "s", "q", ""),
        ("search_result", "", "", "", ""),
        ("url", "", "", "", "https://x.test"),
    ]
    body = written(read(messages=[*read_messages(), {"role": "assistant", "content": [block]}]))
    assert body["messages"][1]["content"] == [
        {"citationsContent": {"content": [{"text": "ab"}], "citations": [citation, found, web]}}
    ]


def read_messages() -> list[Any]:
    """A user's message, with which every conversation begins."""
    return [{"role": "user", "content": [{"text": "Hi"}]}]


def test_knobs_are_read_and_written() -> None:
    """All that Converse has, by their own names."""
    fields = {
        "inferenceConfig": {"maxTokens": 5, "temperature": 0.5, "stopSequences": ["a"]},
        "additionalModelRequestFields": {"top_k": 3, "own": 1},
        "requestMetadata": {"a": "b"},
        "serviceTier": {"type": "flex"},
        "outputConfig": {
            "textFormat": {
                "type": "json_schema",
                "structure": {"jsonSchema": {"schema": '{"type":"object"}', "name": "n", "description": "d"}},
            },
        },
    }
    request = read(**fields)
    assert request.sampling == Sampling(max_output=5, temperature=0.5, stop=("a",), top_k=3)
    assert (request.metadata, request.service_tier) == ({"a": "b"}, "flex")
    assert request.output == OutputFormat(kind="schema", name="n", description="d", schema={"type": "object"})
    assert request.extras == (Extra("bedrock_converse", "additionalModelRequestFields", {"own": 1}),)
    assert written(request).items() >= fields.items()


def test_novas_top_k_is_read_from_its_place() -> None:
    """Other members there make it Nova's own affair."""
    assert read(additionalModelRequestFields={"inferenceConfig": {"topK": 3}}).sampling.top_k == 3
    assert read(additionalModelRequestFields={"inferenceConfig": {"topK": 3, "x": 1}}).sampling.top_k is None


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({"thinking": {"type": "enabled", "budget_tokens": 2000}}, Reasoning(enabled=True, budget=2000)),
        ({"reasoning_config": {"type": "enabled", "budget_tokens": 2000}}, Reasoning(enabled=True, budget=2000)),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}},
            Reasoning(enabled=True, adaptive=True, visible=False),
        ),
        ({"thinking": {"type": "disabled"}}, Reasoning(enabled=False)),
        ({"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}}, Reasoning(enabled=True, effort="low")),
        ({"reasoningConfig": {"type": "disabled"}}, Reasoning(enabled=False)),
        ({"reasoning_effort": "high"}, Reasoning(effort="high")),
        ({"thinking": 1, "reasoningConfig": 2, "reasoning_effort": 3}, None),
    ],
)
def test_reasoning_is_read_as_each_family_asks_for_it(fields: Any, reasoning: Reasoning | None) -> None:
    """What is none of these stays an extra."""
    request = read(additionalModelRequestFields=fields)
    assert request.reasoning == reasoning
    assert bool(request.extras) == (reasoning is None)


def test_an_effort_is_read_from_the_output() -> None:
    """With or without a form of it."""
    assert read(outputConfig={"effort": "max"}).reasoning == Reasoning(effort="max")
    losses = Losses("request")
    fields = {"thinking": {"type": "enabled", "x": 1}}
    request = read(losses, outputConfig={"effort": "odd", "y": 1}, additionalModelRequestFields=fields)
    assert request.reasoning == Reasoning(enabled=True)
    assert noted(losses) == {
        "dropped:effort",
        "dropped:outputConfig.y",
        "dropped:additionalModelRequestFields.thinking.x",
    }


@pytest.mark.parametrize(
    ("choice", "read_as"),
    [
        ({"auto": {}}, ToolChoice("auto")),
        ({"any": {}}, ToolChoice("required")),
        ({"tool": {"name": "f"}}, ToolChoice("tool", ("f",))),
    ],
)
def test_tools_are_read_and_written(choice: Any, read_as: ToolChoice) -> None:
    """With the choice among them."""
    spec = {"name": "f", "description": "d", "inputSchema": {"json": {"type": "object"}}, "strict": True, "own": 1}
    config = {"tools": [{"toolSpec": spec}], "toolChoice": choice}
    request = read(toolConfig=config)
    assert request.tools == (
        FunctionTool(
            name="f",
            description="d",
            parameters={"type": "object"},
            strict=True,
            extras={"own": 1},
            dialect="bedrock_converse",
        ),
    )
    assert request.tool_choice == read_as
    assert written(request)["toolConfig"] == config


def test_members_that_are_not_known_are_noted() -> None:
    """Each by its name without positions."""
    losses = Losses("request")
    read(
        losses,
        messages=[
            {
                "role": "user",
                "content": [
                    {"image": {"format": "png", "source": {"bytes": "aGk=", "a": 1}, "b": 1}},
                    {
                        "toolResult": {
                            "toolUseId": "t",
                            "content": [{"reasoningContent": {"reasoningText": {"text": "x"}}}],
                        }
                    },
                    {"reasoningContent": {"reasoningText": {"text": "x"}, "c": 1}},
                ],
                "d": 1,
            }
        ],
        inferenceConfig={"e": 1},
        toolConfig={"tools": [], "f": 1},
    )
    assert noted(losses) == {
        "dropped:messages[].content[].image.b",
        "dropped:messages[].content[].image.source.a",
        "dropped:messages[].content[].toolResult.content[]",
        "dropped:messages[].content[].reasoningContent.c",
        "dropped:messages[].d",
        "dropped:inferenceConfig.e",
        "dropped:toolConfig.f",
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "pope"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"image": 1}]}]}, "messages[0].content[0].image"),
        (
            {"messages": [{"role": "user", "content": [{"image": {"format": "png"}}]}]},
            "messages[0].content[0].image.source",
        ),
        (
            {"messages": [{"role": "user", "content": [{"toolUse": {"name": "f"}}]}]},
            "messages[0].content[0].toolUse.toolUseId",
        ),
        ({"system": [{}]}, "system[0].text"),
        ({"toolConfig": {"tools": [{}]}}, "toolConfig.tools[0].toolSpec"),
        ({"toolConfig": {"toolChoice": {}}}, "toolConfig.toolChoice"),
        ({"outputConfig": {"textFormat": {"type": "json_schema"}}}, "outputConfig.textFormat.structure"),
        (
            {"outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": "{"}}}}},
            "outputConfig.textFormat.structure.jsonSchema.schema",
        ),
        (
            {"outputConfig": {"textFormat": {"structure": {"jsonSchema": {"schema": "1"}}}}},
            "outputConfig.textFormat.structure.jsonSchema.schema",
        ),
        ({"requestMetadata": {"a": 1}}, "requestMetadata.a"),
    ],
)
def test_what_cannot_be_is_refused_by_its_place(fields: dict[str, Any], param: str) -> None:
    """The caller learns which field is wrong."""
    with pytest.raises(InvalidRequest) as wrong:
        read(**fields)
    assert wrong.value.param == param
