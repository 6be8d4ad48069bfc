"""What is written, against the types of Google's own client, which allow no field that Google does not have."""

import json
from typing import Any

import pytest

from asgi_gateway.canonical import (
    ChatRequest,
    ChatResponse,
    Choice,
    Citation,
    CustomTool,
    FunctionTool,
    HostedCall,
    HostedResult,
    HostedTool,
    Inline,
    Losses,
    Media,
    OutputFormat,
    Reasoning,
    Remote,
    Sampling,
    Seal,
    Started,
    Stopped,
    Text,
    Thinking,
    TokenLogprob,
    ToolCall,
    ToolChoice,
    ToolResult,
    Turn,
    Usage,
    unfold,
)
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE as GOOGLE
from support.google_generate import context

types: Any = pytest.importorskip("google.genai.types", reason="Google's client is not installed")

SEAL = Seal(maker="google", kind="signature", data="AAAA")
IMAGE = Media(kind="image", source=Inline("image/png", "AA=="), name="a.png")

REQUEST = ChatRequest(
    model="gemini-3-flash-preview",
    instructions=(Text("Be brief."),),
    turns=(
        Turn("user", (Text("Hi"), IMAGE, Media(kind="video", source=Remote("https://x.org/a.mp4")))),
        Turn(
            "assistant",
            (
                Thinking("why", SEAL),
                Text("Look", seal=SEAL),
                HostedCall(id="1", tool="code_execution", arguments='{"code": "1"}'),
                HostedResult(call_id="1", tool="code_execution", parts=(Text("1"),)),
                ToolCall(id="c1", name="f", arguments='{"a": 1}'),
                ToolCall(id="c2", name="g", arguments="broken"),
            ),
        ),
        Turn(
            "tool",
            (
                ToolResult(call_id="c1", parts=(Text("{}"), IMAGE)),
                ToolResult(call_id="c2", parts=(Text("x"),), failed=True),
            ),
        ),
    ),
    tools=(
        FunctionTool(name="f", description="d", parameters={"type": "object", "properties": {}}, strict=True),
        CustomTool(name="g"),
        HostedTool(kind="web_search", dialect="openai_responses", native={}),
        HostedTool(kind="code_execution", dialect="anthropic_messages", native={}),
    ),
    tool_choice=ToolChoice("auto"),
    sampling=Sampling(
        max_output=5, temperature=0.1, top_p=0.1, top_k=3, stop=("a",), seed=1, logprobs=True, top_logprobs=2, choices=2
    ),
    output=OutputFormat(kind="schema", schema={"type": "object"}),
    reasoning=Reasoning(effort="low"),
    modalities=("text", "image"),
)

RESPONSE = ChatResponse(
    started=Started("id", "model"),
    choices=(
        Choice(
            parts=(
                Thinking("why", Seal(maker="anthropic", kind="signature", data="x")),
                Text("Look", (Citation(kind="url", url="https://a", start=0, end=2),)),
                HostedCall(id="1", tool="code_execution", arguments='{"code": "1"}'),
                HostedResult(call_id="1", tool="code_execution", parts=(Text("1"),), failed=True),
                IMAGE,
                ToolCall(id="c1", name="f", arguments='{"a": 1}', seal=SEAL),
            ),
            stopped=Stopped("tool_calls"),
            logprobs=(TokenLogprob("a", -0.1, None, (TokenLogprob("b", -1.0),)),),
        ),
        Choice(stopped=Stopped("content_filter", 1)),
    ),
    usage=Usage(input=1, cache_read=2, audio_input=3, output=4, reasoning=5, image_output=6),
)


def test_a_request_has_only_what_google_knows() -> None:
    """Every member by its type."""
    body = json.loads(GOOGLE.write_request(REQUEST, Losses("request")))
    types.Content.model_validate(body.pop("systemInstruction"))
    for tool in body.pop("tools"):
        types.Tool.model_validate(tool)
    types.ToolConfig.model_validate(body.pop("toolConfig"))
    contents = [types.Content.model_validate(content) for content in body.pop("contents")]
    config = types.GenerationConfig.model_validate(body.pop("generationConfig"))
    assert [content.role for content in contents] == ["user", "model", "user"]
    assert config.thinking_config.thinking_level == types.ThinkingLevel.LOW
    assert body == {}


def test_answers_have_only_what_googles_client_knows() -> None:
    """Whole, and chunk by chunk."""
    whole = types.GenerateContentResponse.model_validate_json(GOOGLE.write_response(RESPONSE, context()))
    assert [call.name for call in whole.function_calls] == ["f"]
    assert whole.candidates[0].finish_reason == types.FinishReason.STOP
    writer = GOOGLE.writer(context(framing="json-array"))
    wire = writer.write(list(unfold(RESPONSE))) + writer.finish()
    chunks = [types.GenerateContentResponse.model_validate(chunk) for chunk in json.loads(wire)]
    assert chunks[-1].candidates[0].finish_reason == types.FinishReason.SAFETY
    assert chunks[-1].usage_metadata == whole.usage_metadata
