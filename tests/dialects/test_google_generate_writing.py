"""A neutral request, written for a Gemini upstream."""

from typing import Any

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
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE as GOOGLE
from asgi_gateway.dialects.google_generate.names import UNSIGNED
from asgi_gateway.errors import InvalidRequest
from support.google_generate import noted, written

HI = Turn("user", (Text("Hi"),))
GOOGLES = Seal(maker="google", kind="signature", data="AAAA")
CLAUDES = Seal(maker="anthropic", kind="signature", data="EqoB")


def asking(*turns: Turn, model: str = "gemini-2.5-flash", **more: Any) -> ChatRequest:
    """A request with these turns."""
    return ChatRequest(model=model, turns=turns or (HI,), **more)


def parts_of(*parts: Part, losses: Losses | None = None, model: str = "gemini-2.5-flash") -> list[dict[str, Any]]:
    """The parts of a model's turn, as they are written."""
    body = written(asking(HI, Turn("assistant", parts), model=model), losses)
    found: list[dict[str, Any]] = body["contents"][1]["parts"] if len(body["contents"]) > 1 else []
    return found


def test_a_request_is_written_in_a_fixed_order() -> None:
    """What a conversation repeats comes first; the same request is the same bytes."""
    request = asking(
        instructions=(Text("S"), Text("T")), tools=(FunctionTool(name="f"),), sampling=Sampling(temperature=0.5)
    )
    body = written(request)
    assert list(body) == ["systemInstruction", "tools", "contents", "generationConfig"]
    assert body["systemInstruction"] == {"parts": [{"text": "S"}, {"text": "T"}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]
    assert GOOGLE.write_request(request, Losses("request")) == GOOGLE.write_request(request, Losses("request"))
    assert GOOGLE.request_headers(request) == ()


def test_instructions_alone_become_a_users_words() -> None:
    """Google wants contents."""
    losses = Losses("request")
    body = written(ChatRequest(model="m", turns=(), instructions=(Text("S", cache=CacheMark()),)), losses)
    assert body["contents"] == [{"role": "user", "parts": [{"text": "S"}]}]
    assert noted(losses) == ["approximated:instructions", "dropped:cache_control"]


def test_a_system_text_between_turns_becomes_a_users() -> None:
    """And is noted; names of participants are lost."""
    losses = Losses("request")
    body = written(asking(HI, Turn("system", (Text("S"),), "n"), Turn("assistant", (Text("A"),), "m")), losses)
    assert [content["role"] for content in body["contents"]] == ["user", "user", "model"]
    assert noted(losses) == ["approximated:messages[].role", "dropped:messages[].name"]


def test_texts_lose_what_google_has_no_place_for() -> None:
    """Citations, cache marks; an empty text is nothing, unless it is signed."""
    losses = Losses("request")
    marked = Text("a", (Citation(kind="url"),), CacheMark())
    parts = parts_of(marked, Text(""), Text("", seal=GOOGLES), Refusal("no"), Refusal(""), losses=losses)
    assert parts == [{"text": "a"}, {"text": "", "thoughtSignature": "AAAA"}, {"text": "no"}]
    assert noted(losses) == ["dropped:cache_control", "dropped:citations", "approximated:refusal"]


def test_thinking_goes_back_to_its_maker_only() -> None:
    """Another's is dropped; one without a seal may be anybody's and goes along."""
    losses = Losses("request")
    parts = parts_of(
        Thinking("a", GOOGLES),
        Thinking("b"),
        Thinking("c", CLAUDES),
        Thinking(""),
        Thinking("", GOOGLES),
        losses=losses,
    )
    assert parts == [
        {"text": "a", "thought": True, "thoughtSignature": "AAAA"},
        {"text": "b", "thought": True},
        {"text": "", "thought": True, "thoughtSignature": "AAAA"},
    ]
    assert noted(losses) == ["dropped:thinking"]


def test_a_turn_of_which_nothing_is_left_is_left_out() -> None:
    """Google refuses contents without parts."""
    assert parts_of(Thinking("c", CLAUDES)) == []


def test_arguments_are_written_as_the_text_has_them() -> None:
    """Ids of ours are not told, those of others are."""
    losses = Losses("request")
    calls = (
        ToolCall(id="call_1", name="f", arguments='{"b": 1.50, "a": 12345678901234567890}', cache=CacheMark()),
        ToolCall(id="gfc_x_1", name="f", arguments="{broken"),
        ToolCall(id="call_3", name="f", arguments="[1]"),
        ToolCall(id="call_4", name="f"),
        ToolCall(id="call_5", name="f", arguments="free", custom=True),
    )
    request = asking(HI, Turn("assistant", calls))
    wire = GOOGLE.write_request(request, losses)
    assert b'"args":{"b": 1.50, "a": 12345678901234567890}' in wire
    assert [part["functionCall"] for part in parts_of(*calls[1:])] == [
        {"name": "f", "args": {"arguments": "{broken"}},
        {"id": "call_3", "name": "f", "args": {"arguments": "[1]"}},
        {"id": "call_4", "name": "f"},
        {"id": "call_5", "name": "f", "args": {"input": "free"}},
    ]
    assert noted(losses) == [
        "dropped:cache_control",
        "approximated:tool_calls[].arguments",
        "approximated:tools[].custom",
    ]


CALL_A = ToolCall(id="a", name="f", arguments="{}")
CALL_B = ToolCall(id="b", name="g", arguments="{}")


def test_gemini_3_gets_a_placeholder_for_calls_of_others_in_the_current_turn() -> None:
    """For the first call of each step without a signature of Google's; closed turns need none."""
    losses = Losses("request")
    turns = (
        HI,
        Turn("assistant", (CALL_A,)),
        Turn("tool", (ToolResult(call_id="a"),)),
        HI,
        Turn("assistant", (Thinking("t", CLAUDES), CALL_A, CALL_B)),
        Turn("tool", (ToolResult(call_id="a"), ToolResult(call_id="b"))),
        Turn("assistant", (ToolCall(id="c", name="f", seal=GOOGLES), CALL_B)),
    )
    body = written(asking(*turns, model="gemini-3-pro-preview"), losses)
    signatures = [
        part.get("thoughtSignature")
        for content in body["contents"]
        for part in content["parts"]
        if "functionCall" in part
    ]
    assert signatures == [None, UNSIGNED, None, "AAAA", None]
    assert noted(losses) == ["dropped:thinking", "invented:thoughtSignature"]
    body = written(asking(*turns))
    assert UNSIGNED not in str(body)


def test_results_stand_together_in_the_order_of_their_calls() -> None:
    """Each with its call's name; the user's next words are another content."""
    losses = Losses("request")
    body = written(
        asking(
            HI,
            Turn("assistant", (CALL_A, CALL_B)),
            Turn("tool", (ToolResult(call_id="b", parts=(Text("B"),), cache=CacheMark()),)),
            Turn("tool", (ToolResult(call_id="a", parts=(Text("A"), Text("A2")), failed=True),)),
            Turn("tool", (ToolResult(call_id="lost", parts=(Text(' {"x": 1.0}'),)),)),
            HI,
        ),
        losses,
    )
    assert body["contents"][2:] == [
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"id": "a", "name": "f", "response": {"error": "A\nA2"}}},
                {"functionResponse": {"id": "b", "name": "g", "response": {"result": "B"}}},
                {"functionResponse": {"id": "lost", "name": "tool", "response": {"x": 1.0}}},
            ],
        },
        {"role": "user", "parts": [{"text": "Hi"}]},
    ]
    assert noted(losses) == ["dropped:cache_control", "invented:functionResponse.name"]


def test_a_result_that_only_looks_like_json_is_a_text() -> None:
    """Half an object is none."""
    body = written(asking(HI, Turn("tool", (ToolResult(call_id="gfc_0", name="f", parts=(Text("{half"),)),))))
    assert body["contents"][1]["parts"] == [{"functionResponse": {"name": "f", "response": {"result": "{half"}}}]


def test_media_in_results_goes_inside_for_gemini_3_and_behind_for_others() -> None:
    """Sounds go behind for all; the note says so."""
    image = Media(kind="image", source=Inline("image/png", "AA=="), name="a.png")
    sound = Media(kind="audio", source=Inline("audio/wav", "BB=="))
    odd = Native("google_generate", "x", {"odd": 1}, essential=True)
    result = Turn("tool", (ToolResult(call_id="a", name="f", parts=(image, sound, odd)),))
    losses = Losses("request")
    parts = written(asking(HI, result, model="gemini-3-flash-preview"), losses)["contents"][1]["parts"]
    inside = {"inlineData": {"mimeType": "image/png", "data": "AA==", "displayName": "a.png"}}
    response = {"id": "a", "name": "f", "response": {"result": ""}}
    assert parts == [
        {"functionResponse": {**response, "parts": [inside, {"odd": 1}]}},
        {"inlineData": {"mimeType": "audio/wav", "data": "BB=="}},
    ]
    assert noted(losses) == ["approximated:tool_result.media"]
    parts = written(asking(HI, Turn("tool", (ToolResult(call_id="a", name="f", parts=(image,)),))))["contents"][1][
        "parts"
    ]
    assert parts == [{"functionResponse": response}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}}]


@pytest.mark.parametrize("essential", [True, False])
def test_what_another_dialect_alone_knows_is_refused_or_dropped(essential: bool) -> None:
    """In a turn, and in a result."""
    native = Native("anthropic_messages", "messages[].content[].x", {}, essential=essential)
    losses = Losses("request")
    for turn in (
        Turn("user", (Text("a"), native)),
        Turn("tool", (ToolResult(call_id="a", name="f", parts=(native,)),)),
    ):
        if essential:
            with pytest.raises(InvalidRequest) as refused:
                written(asking(HI, turn))
            assert refused.value.param == "messages[].content[].x"
        else:
            written(asking(HI, turn), losses)
            assert noted(losses) == ["dropped:messages[].content[].x"]


def test_googles_own_parts_go_back_as_they_came() -> None:
    """What stood beside the parts of an answer is no part of a request."""
    kept = {"hologram": 1}
    search = {"toolCall": {"id": "t"}}
    parts = parts_of(
        Native("google_generate", "contents[].parts[].hologram", kept, essential=True),
        Native("google_generate", "groundingMetadata", {"a": 1}),
        HostedCall(id="t", tool="web_search", dialect="google_generate", native=search),
        HostedResult(call_id="t", tool="web_search", dialect="google_generate", native={"toolResponse": {"id": "t"}}),
    )
    assert parts == [kept, search, {"toolResponse": {"id": "t"}}]


def test_code_that_others_ran_is_told_and_other_hosted_calls_are_dropped() -> None:
    """Both are noted."""
    losses = Losses("request")
    parts = parts_of(
        HostedCall(id="1", tool="code_execution", arguments='{"code": "1+1"}'),
        HostedResult(call_id="1", tool="code_execution", parts=(Text("2"),)),
        HostedResult(call_id="1", tool="code_execution", failed=True),
        HostedCall(id="1", tool="code_execution", arguments="{}"),
        HostedCall(id="1", tool="code_execution", arguments="{"),
        HostedCall(id="2", tool="web_search"),
        HostedResult(call_id="2", tool="web_search"),
        losses=losses,
    )
    assert parts == [
        {"executableCode": {"language": "PYTHON", "code": "1+1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "2"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_FAILED", "output": ""}},
    ]
    assert noted(losses) == [
        "approximated:code_execution_call",
        "approximated:code_execution_result",
        "dropped:code_execution_call",
        "dropped:web_search_call",
        "dropped:web_search_result",
    ]


@pytest.mark.parametrize(
    ("media", "part", "losses"),
    [
        (
            Media(kind="document", source=PlainText("hé"), title="t", context="c", citations=True, cache=CacheMark()),
            {"inlineData": {"mimeType": "text/plain", "data": "aMOp"}},
            ["dropped:cache_control", "dropped:citations", "dropped:title", "dropped:context"],
        ),
        (
            Media(kind="image", source=Inline("", "AA=="), detail="high"),
            {"inlineData": {"mimeType": "image/jpeg", "data": "AA=="}},
            ["dropped:detail"],
        ),
        (
            Media(kind="image", source=Remote("https://x.org/a.PNG?b"), seal=GOOGLES, detail="auto"),
            {"fileData": {"mimeType": "image/png", "fileUri": "https://x.org/a.PNG?b"}, "thoughtSignature": "AAAA"},
            ["invented:fileData.mimeType"],
        ),
        (
            Media(kind="audio", source=Remote("https://x.org/a"), transcript="hello"),
            {"fileData": {"mimeType": "audio/mpeg", "fileUri": "https://x.org/a"}},
            ["dropped:transcript", "invented:fileData.mimeType"],
        ),
        (
            Media(kind="video", source=Remote("https://youtu.be/x")),
            {"fileData": {"fileUri": "https://youtu.be/x"}},
            [],
        ),
        (
            Media(kind="video", source=Stored("gs://a/b", "google", "video/mp4")),
            {"fileData": {"mimeType": "video/mp4", "fileUri": "gs://a/b"}},
            [],
        ),
        (Media(kind="video", source=Stored("files/a", "google")), {"fileData": {"fileUri": "files/a"}}, []),
    ],
)
def test_media_is_written_by_where_it_lies(media: Media, part: dict[str, Any], losses: list[str]) -> None:
    """A kind of data that nobody told is guessed, and noted."""
    lost = Losses("request")
    body = written(asking(Turn("user", (media,))), lost)
    assert body["contents"][0]["parts"] == [part]
    assert noted(lost) == losses


def test_a_file_of_another_provider_is_refused() -> None:
    """Nobody else can read it."""
    with pytest.raises(InvalidRequest) as refused:
        written(asking(Turn("user", (Media(kind="image", source=Stored("file-1", "openai")),))))
    assert refused.value.param == "file_id"


def test_functions_stand_together_and_hosted_tools_become_googles() -> None:
    """Schemas go as JSON schemas; what a search cannot be told is noted."""
    losses = Losses("request")
    tools = (
        HostedTool(kind="web_search", dialect="openai_responses", native={}, allowed_domains=("a",), max_uses=3),
        FunctionTool(
            name="f",
            description="d",
            parameters={"type": "object", "$defs": {}},
            cache=CacheMark(),
            extras={"defer_loading": True},
            dialect="anthropic_messages",
        ),
        CustomTool(name="c", description="free", format={"type": "grammar", "grammar": {"definition": "start: A"}}),
        CustomTool(name="e"),
        HostedTool(kind="web_search", dialect="anthropic_messages", native={}),
        HostedTool(kind="hologram", dialect="google_generate", native={"hologram": {}}),
        FunctionTool(name="g", extras={"behavior": "BLOCKING"}, dialect="google_generate"),
    )
    free = {"type": "string", "description": "The whole input, as free text."}
    ruled = {**free, "description": free["description"] + " It must follow this grammar:\nstart: A"}
    assert written(asking(tools=tools), losses)["tools"] == [
        {"googleSearch": {}},
        {
            "functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object", "$defs": {}}},
                {
                    "name": "c",
                    "description": "free",
                    "parametersJsonSchema": {"type": "object", "properties": {"input": ruled}, "required": ["input"]},
                },
                {
                    "name": "e",
                    "parametersJsonSchema": {"type": "object", "properties": {"input": free}, "required": ["input"]},
                },
                {"name": "g", "behavior": "BLOCKING"},
            ]
        },
        {"hologram": {}},
    ]
    assert noted(losses) == [
        "dropped:tools[].allowed_domains",
        "dropped:tools[].max_uses",
        "dropped:cache_control",
        "dropped:tools[].defer_loading",
        "approximated:tools[].custom",
    ]


@pytest.mark.parametrize(
    "tool",
    [
        HostedTool(kind="computer", dialect="openai_responses", native={}),
        FunctionTool(name="1st"),
        CustomTool(name="a b"),
    ],
)
def test_tools_that_google_cannot_have_are_refused(tool: HostedTool | FunctionTool | CustomTool) -> None:
    """By name."""
    with pytest.raises(InvalidRequest) as refused:
        written(asking(tools=(tool,)))
    assert refused.value.param == "tools"


F = FunctionTool(name="f")
STRICT = FunctionTool(name="s", strict=True)


@pytest.mark.parametrize(
    ("tools", "choice", "config", "losses"),
    [
        ((F,), None, None, []),
        ((F,), ToolChoice("auto"), {"mode": "AUTO"}, []),
        ((F,), ToolChoice("none"), {"mode": "NONE"}, []),
        ((F,), ToolChoice("required"), {"mode": "ANY"}, []),
        ((F,), ToolChoice("tool", ("f",)), {"mode": "ANY", "allowedFunctionNames": ["f"]}, []),
        ((F,), ToolChoice("allowed", ("f",)), {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}, []),
        (
            (F,),
            ToolChoice("allowed", ("f", "g"), required=True),
            {"mode": "ANY", "allowedFunctionNames": ["f", "g"]},
            [],
        ),
        ((STRICT,), None, {"mode": "VALIDATED"}, []),
        ((STRICT, F), ToolChoice("auto"), {"mode": "VALIDATED"}, ["approximated:tools[].strict"]),
        ((STRICT,), ToolChoice("required"), {"mode": "ANY"}, ["dropped:tools[].strict"]),
        ((), ToolChoice("required"), None, ["dropped:tool_choice"]),
        ((), ToolChoice("none"), None, []),
    ],
)
def test_the_choice_of_tools_is_written(
    tools: tuple[FunctionTool, ...], choice: ToolChoice | None, config: dict[str, Any] | None, losses: list[str]
) -> None:
    """As mode and names."""
    lost = Losses("request")
    body = written(asking(tools=tools, tool_choice=choice), lost)
    assert body.get("toolConfig") == (None if config is None else {"functionCallingConfig": config})
    assert noted(lost) == losses


def test_gemini_3_tells_of_its_own_calls_when_tools_are_mixed() -> None:
    """It refuses the mixture otherwise; older models are not told."""
    tools = (F, HostedTool(kind="web_search", dialect="openai_responses", native={}))
    body = written(asking(tools=tools, model="gemini-3-flash-preview"))
    assert body["toolConfig"] == {"includeServerSideToolInvocations": True}
    assert "toolConfig" not in written(asking(tools=tools))


def test_sampling_is_written_and_what_google_lacks_is_noted() -> None:
    """At most five stop sequences."""
    losses = Losses("request")
    sampling = Sampling(
        max_output=10,
        temperature=0.0,
        top_p=0.9,
        top_k=40,
        min_p=0.1,
        stop=("a", "b", "c", "d", "e", "f"),
        seed=0,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        choices=2,
        logprobs=True,
        top_logprobs=3,
        logit_bias={"1": 1.0},
    )
    assert written(asking(sampling=sampling), losses)["generationConfig"] == {
        "maxOutputTokens": 10,
        "temperature": 0.0,
        "topP": 0.9,
        "topK": 40,
        "seed": 0,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "stopSequences": ["a", "b", "c", "d", "e"],
        "candidateCount": 2,
        "responseLogprobs": True,
        "logprobs": 3,
    }
    assert noted(losses) == ["dropped:stop", "dropped:min_p", "dropped:logit_bias"]


def test_too_many_answers_are_refused() -> None:
    """Google gives eight."""
    with pytest.raises(InvalidRequest) as refused:
        written(asking(sampling=Sampling(choices=9)))
    assert refused.value.param == "n"


@pytest.mark.parametrize(
    ("output", "config"),
    [
        (OutputFormat(kind="text"), None),
        (OutputFormat(kind="json"), {"responseMimeType": "application/json"}),
        (
            OutputFormat(kind="schema", name="n", schema={"type": "object"}),
            {"responseMimeType": "application/json", "responseJsonSchema": {"type": "object"}},
        ),
    ],
)
def test_the_form_of_the_answer_is_written(output: OutputFormat, config: dict[str, Any] | None) -> None:
    """As a JSON schema."""
    assert written(asking(output=output)).get("generationConfig") == config


def test_what_a_request_to_google_has_no_place_for_is_noted() -> None:
    """By the caller's names."""
    losses = Losses("request")
    request = asking(
        verbosity="low",
        user="u",
        metadata={"a": "b"},
        cache_key="k",
        cache_retention="24h",
        audio={"voice": "alloy"},
        store=True,
        parallel_tools=False,
        service_tier="scale",
        modalities=("text", "audio", "smell"),
        output=OutputFormat(kind="schema", description="d", schema={}),
    )
    assert written(request, losses)["generationConfig"]["responseModalities"] == ["TEXT", "AUDIO"]
    assert noted(losses) == [
        "dropped:parallel_tool_calls",
        "dropped:response_format.description",
        "dropped:modalities",
        "dropped:service_tier",
        "dropped:verbosity",
        "dropped:user",
        "dropped:metadata",
        "dropped:prompt_cache_key",
        "dropped:prompt_cache_retention",
        "dropped:audio",
        "dropped:store",
    ]


def test_what_google_has_is_carried() -> None:
    """Its cache, its tiers, and its own extras in their places."""
    extras = (
        Extra("google_generate", "safetySettings", [1]),
        Extra("google_generate", "toolConfig.functionCallingConfig", {"mode": "VALIDATED"}),
        Extra("google_generate", "generationConfig.mediaResolution", "X"),
        Extra("openai_chat", "prediction", {}),
    )
    losses = Losses("request")
    body = written(
        asking(
            cached_content="cachedContents/1",
            service_tier="flex",
            extras=extras,
            tools=(F,),
            tool_choice=ToolChoice("tool", ("f",)),
        ),
        losses,
    )
    assert body["cachedContent"] == "cachedContents/1"
    assert body["serviceTier"] == "flex"
    assert body["safetySettings"] == [1]
    assert body["toolConfig"]["functionCallingConfig"] == {"mode": "VALIDATED", "allowedFunctionNames": ["f"]}
    assert body["generationConfig"] == {"mediaResolution": "X"}
    assert noted(losses) == ["dropped:prediction"]
    assert "serviceTier" not in written(asking(service_tier="auto"))


def test_a_feature_of_another_dialect_is_refused() -> None:
    """By its name."""
    with pytest.raises(InvalidRequest) as refused:
        written(asking(extras=(Extra("openai_responses", "background", True, essential=True),)))
    assert refused.value.param == "background"
