"""A request in Google's format, read into the neutral model."""

from typing import Any

import pytest

from asgi_gateway.canonical import (
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
    Reasoning,
    Remote,
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
from asgi_gateway.dialects.google_generate.names import UNSIGNED
from asgi_gateway.errors import InvalidRequest
from support.google_generate import noted, read


def parts_of(*parts: dict[str, Any], role: str = "user", losses: Losses | None = None) -> tuple[Any, ...]:
    """The parts of one content, read."""
    request = read({"contents": [{"role": role, "parts": list(parts)}]}, losses)
    return tuple(part for turn in request.turns for part in turn.parts)


def test_texts_and_roles_become_turns() -> None:
    """A missing role is the user's, empty texts are nothing."""
    body = {
        "systemInstruction": {"role": "user", "parts": [{"text": "Be brief."}, {"text": ""}]},
        "contents": [
            {"parts": [{"text": "Hi"}, {"text": ""}, {}]},
            {"role": "model", "parts": {"text": "Hello"}},
            {"role": "system", "parts": [{"text": "Now in French."}]},
        ],
    }
    request = read(body)
    assert request.instructions == (Text("Be brief."),)
    assert request.turns == (
        Turn("user", (Text("Hi"),)),
        Turn("assistant", (Text("Hello"),)),
        Turn("system", (Text("Now in French."),)),
    )


def test_an_unknown_role_is_refused_by_name() -> None:
    """As Google refuses it."""
    with pytest.raises(InvalidRequest) as refused:
        read({"contents": [{"role": "bot", "parts": []}]})
    assert refused.value.param == "contents[0].role"


def test_signatures_are_seals_of_their_maker() -> None:
    """Google's own, another maker's that was wrapped, and a placeholder, which is none."""
    claude = Seal(maker="anthropic", kind="signature", data="EqoB")
    found = parts_of(
        {"text": "thought", "thought": True, "thoughtSignature": wrap(claude)},
        {"text": "", "thoughtSignature": "AAAA"},
        {"thoughtSignature": "BBBB"},
        {"functionCall": {"name": "f"}, "thoughtSignature": UNSIGNED},
        {"thought": True},
        role="model",
    )
    assert found == (
        Thinking("thought", claude),
        Text("", seal=Seal(maker="google", kind="signature", data="AAAA")),
        Text("", seal=Seal(maker="google", kind="signature", data="BBBB")),
        ToolCall(id="gfc_0_f", name="f"),
    )


def test_media_is_told_apart_by_where_it_lies() -> None:
    """Inside, at a public address, or stored with Google."""
    store = "https://generativelanguage.googleapis.com/v1beta/files/abc"
    found = parts_of(
        {"inlineData": {"mimeType": "image/png", "data": "AA==", "displayName": "a.png"}},
        {"fileData": {"fileUri": "https://www.youtube.com/watch?v=x"}},
        {"fileData": {"fileUri": store, "mimeType": "audio/mpeg"}},
        {"fileData": {"fileUri": "gs://bucket/film.mp4", "mimeType": "video/mp4"}},
        {"fileData": {"fileUri": "https://example.org/report.pdf"}},
        {"fileData": {"fileUri": "https://example.org/report"}},
    )
    assert found == (
        Media(kind="image", source=Inline("image/png", "AA=="), name="a.png"),
        Media(kind="video", source=Remote("https://www.youtube.com/watch?v=x")),
        Media(kind="audio", source=Stored(store, "google", "audio/mpeg")),
        Media(kind="video", source=Stored("gs://bucket/film.mp4", "google", "video/mp4")),
        Media(kind="document", source=Remote("https://example.org/report.pdf")),
        Media(kind="document", source=Remote("https://example.org/report")),
    )


def test_a_picture_may_be_signed() -> None:
    """Gemini 3 signs images that it made."""
    (found,) = parts_of({"inlineData": {"mimeType": "image/png", "data": "AA=="}, "thoughtSignature": "AAAA"})
    assert found.seal == Seal(maker="google", kind="signature", data="AAAA")


def test_what_a_part_says_beside_its_data_is_noted() -> None:
    """The neutral model has no place for a film's cuts."""
    losses = Losses("request")
    parts_of({"fileData": {"fileUri": "gs://a/b", "mimeType": "video/mp4"}, "videoMetadata": {"fps": 1}}, losses=losses)
    assert noted(losses) == ["dropped:contents[].parts[].videoMetadata"]


def test_calls_and_results_without_ids_are_matched_by_name_and_order() -> None:
    """The ids depend on the conversation alone."""
    body = {
        "contents": [
            {
                "role": "model",
                "parts": [
                    {"functionCall": {"name": "f", "args": {"a": 1}}},
                    {"functionCall": {"name": "g"}},
                    {"functionCall": {"name": "f", "args": {}}},
                ],
            },
            {
                "role": "user",
                "parts": [
                    {"functionResponse": {"name": "g", "response": {"result": "G"}}},
                    {"functionResponse": {"name": "f", "response": {"error": "no"}}},
                    {"functionResponse": {"name": "f", "response": {"a": [1]}}},
                    {"functionResponse": {"name": "h", "response": {}}},
                    {"text": "Go on"},
                ],
            },
        ]
    }
    request = read(body)
    assert request == read(body)
    calls, results, user = request.turns
    assert [(part.id, part.arguments) for part in calls.parts if isinstance(part, ToolCall)] == [
        ("gfc_0_f", '{"a":1}'),
        ("gfc_1_g", ""),
        ("gfc_2_f", "{}"),
    ]
    assert results.role == "tool"
    assert results.parts == (
        ToolResult(call_id="gfc_1_g", name="g", parts=(Text("G"),)),
        ToolResult(call_id="gfc_0_f", name="f", parts=(Text("no"),), failed=True),
        ToolResult(call_id="gfc_2_f", name="f", parts=(Text('{"a":[1]}'),)),
        ToolResult(call_id="gfc_r_1_h", name="h"),
    )
    assert user == Turn("user", (Text("Go on"),))


def test_ids_are_kept_where_there_are_any() -> None:
    """A result finds its call by the id, else by the name, else it is the next one's."""
    body = {
        "contents": [
            {
                "role": "model",
                "parts": [{"functionCall": {"id": f"id{n}", "name": n}} for n in ("a", "b", "c")],
            },
            {
                "parts": [
                    {"functionResponse": {"id": "idb", "name": "b", "response": {"result": ""}}},
                    {"functionResponse": {"response": {}}},
                    {"functionResponse": {"id": "strange", "name": "c"}},
                    {"functionResponse": {"id": "lost", "name": "c"}},
                ]
            },
        ]
    }
    results = [part for part in read(body).turns[1].parts if isinstance(part, ToolResult)]
    assert [result.call_id for result in results] == ["idb", "ida", "idc", "lost"]


def test_results_may_hold_media() -> None:
    """What is none of it is kept as it is."""
    losses = Losses("request")
    (result,) = parts_of(
        {
            "functionResponse": {
                "name": "f",
                "response": {"result": "see"},
                "willContinue": True,
                "parts": [{"inlineData": {"mimeType": "image/png", "data": "AA=="}}, {"odd": 1}],
            }
        },
        losses=losses,
    )
    assert result.parts == (
        Text("see"),
        Media(kind="image", source=Inline("image/png", "AA==")),
        Native("google_generate", "contents[].parts[].functionResponse.parts[]", {"odd": 1}, essential=True),
    )
    assert noted(losses) == ["dropped:contents[].parts[].functionResponse.willContinue"]


def test_googles_own_tools_in_a_conversation_are_hosted_calls() -> None:
    """Each as Google wrote it, for the way back."""
    code = {"executableCode": {"language": "PYTHON", "code": "1+1"}, "thoughtSignature": "AA=="}
    ran = {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": "boom"}}
    search = {"toolCall": {"id": "t1", "toolType": "GOOGLE_SEARCH_WEB", "args": {"query": "q"}}}
    found = {"toolResponse": {"id": "t1", "toolType": "GOOGLE_SEARCH_WEB", "response": {}}}
    assert parts_of(code, ran, search, found, role="model") == (
        HostedCall(
            id="gfc_h_0",
            tool="code_execution",
            arguments='{"code":"1+1","language":"python"}',
            dialect="google_generate",
            native=code,
        ),
        HostedResult(
            call_id="gfc_h_0",
            tool="code_execution",
            parts=(Text("boom"),),
            failed=True,
            dialect="google_generate",
            native=ran,
        ),
        HostedCall(id="t1", tool="web_search", arguments='{"query":"q"}', dialect="google_generate", native=search),
        HostedResult(call_id="t1", tool="web_search", dialect="google_generate", native=found),
    )
    with pytest.raises(InvalidRequest):
        parts_of({"toolCall": {"id": 5}})


def test_what_nobody_knows_is_kept_whole() -> None:
    """An unknown part would change the meaning; a thought picture would not."""
    thought = {"thought": True, "inlineData": {"mimeType": "image/png", "data": "AA=="}}
    assert parts_of({"hologram": {"a": 1}}, thought) == (
        Native("google_generate", "contents[].parts[].hologram", {"hologram": {"a": 1}}, essential=True),
        Native("google_generate", "contents[].parts[].thought", thought),
    )


def test_both_spellings_are_taken() -> None:
    """The caller's own schemas, arguments and results keep theirs."""
    body = {
        "system_instruction": {"parts": [{"text": "S"}]},
        "contents": [
            {"parts": [{"inline_data": {"mime_type": "image/png", "data": "AA=="}}]},
            {"role": "model", "parts": [{"function_call": {"name": "f", "args": {"my_arg": 1}}}]},
            {"parts": [{"function_response": {"name": "f", "response": {"my_key": 2}}}]},
        ],
        "generation_config": {"max_output_tokens": 5, "maxOutputTokens": 6, "response_schema": {"any_of": []}},
        "tools": {"function_declarations": [{"name": "f", "parameters_json_schema": {"x_y": 1}}]},
    }
    request = read(body)
    assert request.instructions == (Text("S"),)
    assert request.turns[1].parts == (ToolCall(id="gfc_0_f", name="f", arguments='{"my_arg":1}'),)
    assert request.turns[2].parts == (ToolResult(call_id="gfc_0_f", name="f", parts=(Text('{"my_key":2}'),)),)
    assert request.sampling.max_output == 6
    assert request.output is not None
    assert request.output.schema == {"anyOf": []}
    assert request.tools == (FunctionTool(name="f", parameters={"x_y": 1}),)


def test_tools_are_read_by_their_kinds() -> None:
    """Googles own keep what Google alone knows of them."""
    losses = Losses("request")
    body = {
        "contents": [],
        "tools": [
            {
                "functionDeclarations": [
                    {
                        "name": "f",
                        "description": "does",
                        "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}},
                        "behavior": "BLOCKING",
                        "odd": 1,
                    }
                ]
            },
            {"googleSearch": {"excludeDomains": ["x.org"]}, "urlContext": {}},
            {"hologram": 5},
        ],
    }
    assert read(body, losses).tools == (
        FunctionTool(
            name="f",
            description="does",
            parameters={"type": "object", "properties": {"a": {"type": ["string", "null"]}}},
            extras={"behavior": "BLOCKING"},
            dialect="google_generate",
        ),
        HostedTool(
            kind="web_search",
            dialect="google_generate",
            native={"googleSearch": {"excludeDomains": ["x.org"]}},
            blocked_domains=("x.org",),
        ),
        HostedTool(kind="web_fetch", dialect="google_generate", native={"urlContext": {}}),
        HostedTool(kind="hologram", dialect="google_generate", native={"hologram": 5}),
    )
    assert noted(losses) == ["dropped:tools[].functionDeclarations[].odd"]


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({"mode": "AUTO"}, ToolChoice("auto")),
        ({"mode": "none"}, ToolChoice("none")),
        ({"mode": "ANY"}, ToolChoice("required")),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, ToolChoice("tool", ("f",))),
        ({"mode": "ANY", "allowedFunctionNames": ["f", "g"]}, ToolChoice("allowed", ("f", "g"), required=True)),
        ({"mode": "VALIDATED"}, ToolChoice("auto")),
        ({"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, ToolChoice("allowed", ("f",))),
        ({"mode": "MODE_UNSPECIFIED"}, None),
        ({}, None),
    ],
)
def test_the_choice_of_tools_is_read(calling: dict[str, Any], choice: ToolChoice | None) -> None:
    """By mode and names."""
    assert read({"contents": [], "toolConfig": {"functionCallingConfig": calling}}).tool_choice == choice


def test_an_unknown_mode_is_refused() -> None:
    """By its path."""
    with pytest.raises(InvalidRequest) as refused:
        read({"contents": [], "toolConfig": {"functionCallingConfig": {"mode": "MUST"}}})
    assert refused.value.param == "toolConfig.functionCallingConfig.mode"


def test_what_only_google_knows_becomes_extras() -> None:
    """Named by their paths."""
    body = {
        "contents": [],
        "safetySettings": [{"category": "C", "threshold": "OFF"}],
        "labels": {"a": "b"},
        "cachedContent": "cachedContents/1",
        "serviceTier": "FLEX",
        "store": True,
        "toolConfig": {"functionCallingConfig": {"mode": "VALIDATED"}, "retrievalConfig": {"languageCode": "en"}},
        "generationConfig": {"mediaResolution": "MEDIA_RESOLUTION_LOW", "responseModalities": ["TEXT", "image", "X"]},
    }
    request = read(body)
    assert request.extras == (
        Extra("google_generate", "toolConfig.functionCallingConfig", {"mode": "VALIDATED"}),
        Extra("google_generate", "toolConfig.retrievalConfig", {"languageCode": "en"}),
        Extra("google_generate", "generationConfig.mediaResolution", "MEDIA_RESOLUTION_LOW"),
        Extra("google_generate", "safetySettings", [{"category": "C", "threshold": "OFF"}]),
        Extra("google_generate", "labels", {"a": "b"}),
    )
    assert (request.cached_content, request.service_tier, request.store) == ("cachedContents/1", "flex", True)
    assert request.modalities == ("text", "image")
    assert read({"contents": [], "generationConfig": {"responseModalities": ["TEXT"]}}).modalities == ()


def test_sampling_is_read() -> None:
    """All of it."""
    config = {
        "maxOutputTokens": 10,
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 40.0,
        "stopSequences": ["a", "b"],
        "seed": -3,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "candidateCount": 2,
        "responseLogprobs": True,
        "logprobs": 3,
    }
    sampling = read({"contents": [], "generationConfig": config}).sampling
    assert (sampling.max_output, sampling.temperature, sampling.top_p, sampling.top_k) == (10, 0.5, 0.9, 40)
    assert (sampling.stop, sampling.seed, sampling.choices) == (("a", "b"), -3, 2)
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.1, 0.2)
    assert (sampling.logprobs, sampling.top_logprobs) == (True, 3)


@pytest.mark.parametrize(
    ("config", "output"),
    [
        ({}, None),
        ({"responseMimeType": "text/plain"}, None),
        ({"responseMimeType": "application/json"}, OutputFormat(kind="json")),
        (
            {"responseMimeType": "application/json", "responseSchema": {"type": "ARRAY", "minItems": "2"}},
            OutputFormat(kind="schema", schema={"type": "array", "minItems": 2}),
        ),
        ({"responseJsonSchema": {"type": "object"}}, OutputFormat(kind="schema", schema={"type": "object"})),
    ],
)
def test_the_form_of_the_answer_is_read(config: dict[str, Any], output: OutputFormat | None) -> None:
    """As text, JSON or a schema."""
    assert read({"contents": [], "generationConfig": config}).output == output


def test_an_enumeration_as_answer_is_near_a_schema() -> None:
    """And noted."""
    losses = Losses("request")
    config = {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "format": "enum", "enum": ["a"]}}
    output = read({"contents": [], "generationConfig": config}, losses).output
    assert output == OutputFormat(kind="schema", schema={"type": "string", "enum": ["a"]})
    assert noted(losses) == ["approximated:generationConfig.responseMimeType"]


@pytest.mark.parametrize(
    ("config", "reasoning"),
    [
        ({}, None),
        ({"includeThoughts": True}, Reasoning(visible=True)),
        ({"thinkingBudget": 0}, Reasoning(enabled=False, budget=0)),
        ({"thinkingBudget": -1}, Reasoning(enabled=True, budget=-1, adaptive=True)),
        ({"thinkingBudget": 1024, "includeThoughts": False}, Reasoning(enabled=True, budget=1024, visible=False)),
        ({"thinkingLevel": "HIGH"}, Reasoning(enabled=True, effort="high")),
        ({"thinkingLevel": "minimal"}, Reasoning(enabled=True, effort="minimal")),
        ({"thinkingLevel": "THINKING_LEVEL_UNSPECIFIED"}, None),
    ],
)
def test_thinking_is_read(config: dict[str, Any], reasoning: Reasoning | None) -> None:
    """Budget, level, and whether it is shown."""
    assert read({"contents": [], "generationConfig": {"thinkingConfig": config}}).reasoning == reasoning


def test_an_unknown_level_is_refused() -> None:
    """By its path."""
    with pytest.raises(InvalidRequest) as refused:
        read({"contents": [], "generationConfig": {"thinkingConfig": {"thinkingLevel": "ULTRA"}}})
    assert refused.value.param == "generationConfig.thinkingConfig.thinkingLevel"


def test_fields_of_contents_that_nobody_knows_are_noted() -> None:
    """Without their positions."""
    losses = Losses("request")
    body = {
        "systemInstruction": {"parts": [{"text": "S", "odd": 1}]},
        "contents": [{"parts": [{"text": "a", "odd": 1}], "odd": 2}],
    }
    read(body, losses)
    assert noted(losses) == [
        "dropped:contents[].parts[].odd",
        "dropped:contents[].odd",
        "dropped:systemInstruction.parts[].odd",
    ]
