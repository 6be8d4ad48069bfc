"""Cohere's requests, read into the neutral model and written from it."""

import json
from base64 import b64encode
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
from asgi_gateway.errors import InvalidRequest
from support.cohere_chat import MESSAGES, read, written

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}


def ask(*parts: Part, role: Role = "user", **fields: Any) -> ChatRequest:
    """A request with one turn of these parts."""
    fields.setdefault("model", "command-a-03-2025")
    return ChatRequest(turns=(Turn(role, parts or (Text("Hi"),)),), **fields)


def message(*parts: Part, role: Role = "user", losses: Losses | None = None, **fields: Any) -> Any:
    """The one message that is written for these parts."""
    messages = written(ask(*parts, role=role, **fields), losses)["messages"]
    assert len(messages) == 1
    return messages[0]


def noted(losses: Losses) -> set[str]:
    """Losses as a header shows them."""
    return set(losses.header().split(","))


def test_a_conversation_is_read_turn_by_turn() -> None:
    """Leading system texts are instructions, tool messages in a row are one turn, a plan is thinking."""
    request = read(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {
                "role": "assistant",
                "tool_plan": "I look.",
                "content": [{"type": "text", "text": ""}],
                "tool_calls": [CALL],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "sun"},
            {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "rain"}]},
            {"role": "system", "content": "Now in French."},
            {
                "role": "assistant",
                "content": [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Soleil"}],
            },
        ]
    )
    assert request.instructions == (Text("Be brief."), Text("Be kind."))
    assert request.turns == (
        Turn("user", (Text("Weather?"),)),
        Turn("assistant", (Thinking("I look."), ToolCall(id="c1", name="f", arguments='{"x":1}'))),
        Turn(
            "tool",
            (ToolResult(call_id="c1", parts=(Text("sun"),)), ToolResult(call_id="c2", parts=(Text("rain"),))),
        ),
        Turn("system", (Text("Now in French."),)),
        Turn("assistant", (Thinking("hm"), Text("Soleil"))),
    )


def test_images_are_read_from_addresses_and_data_urls() -> None:
    """With the resolution that was asked for."""
    content = [
        {"type": "image_url", "image_url": {"url": "https://x.test/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
    ]
    (turn,) = read(messages=[{"role": "user", "content": content}]).turns
    assert turn.parts == (
        Media(kind="image", source=Remote("https://x.test/a.png"), detail="low"),
        Media(kind="image", source=Inline("image/png", "aGk=")),
    )
    assert message(*turn.parts)["content"] == content


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"text": "t"}, "t"),
        ({"text": "t", "title": "T"}, '{"text":"t","title":"T"}'),
        ({"a": [1]}, '{"a":[1]}'),
        ("plain", "plain"),
    ],
)
def test_documents_of_tools_are_read_as_texts(data: Any, text: str) -> None:
    """Their text, or all that the tool gave as JSON."""
    content = [{"type": "document", "document": {"id": "d", "data": data}}]
    losses = Losses("request")
    (turn,) = read(losses, messages=[{"role": "tool", "tool_call_id": "c", "content": content}]).turns
    assert turn.parts == (ToolResult(call_id="c", parts=(Text(text),)),)
    assert losses.header() == "approximated:messages[].content[].document"


@pytest.mark.parametrize(
    ("media", "document"),
    [
        (Media(kind="document", source=PlainText('{"a":[1]}'), name="d"), {"data": {"a": [1]}, "id": "d"}),
        (Media(kind="document", source=PlainText("{a"), title="T"), {"data": {"text": "{a", "title": "T"}}),
        (Media(kind="document", source=PlainText("{a")), {"data": {"text": "{a"}}),
        (Media(kind="document", source=PlainText("[1]")), {"data": {"text": "[1]"}}),
    ],
)
def test_documents_of_tools_of_others_are_written_as_documents(media: Media, document: Any) -> None:
    """With the object that they are, or a text in one."""
    result = ToolResult(call_id="c", parts=(media,))
    assert message(result, role="tool")["content"] == [{"type": "document", "document": document}]


def test_citations_of_the_history_survive() -> None:
    """One of two sources becomes two, and again one; those of thinking have no place."""
    citation = {
        "start": 0,
        "end": 4,
        "text": "Ruby",
        "sources": [
            {"type": "document", "id": "d1", "document": {"id": "d1", "title": "T", "text": "Ruby is…"}},
            {"type": "tool", "id": "c1:0", "tool_output": {"url": "https://x.test", "snippet": "s"}},
        ],
        "type": "TEXT_CONTENT",
        "content_index": 1,
    }
    content = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Ruby it is"}]
    losses = Losses("request")
    citations = [citation, {"start": 0, "end": 1, "type": "PLAN"}, {"content_index": 7}, "?"]
    request = read(losses, messages=[{"role": "assistant", "content": content, "citations": citations}])
    text = request.turns[0].parts[1]
    assert isinstance(text, Text)
    assert [(c.kind, c.url, c.title, c.quoted, c.source, c.start, c.end) for c in text.citations] == [
        ("document", "", "T", "Ruby is…", "d1", 0, 4),
        ("url", "https://x.test", "", "s", "c1:0", 0, 4),
    ]
    assert losses.header() == "dropped:citations"
    assert written(request)["messages"] == [{"role": "assistant", "content": content, "citations": [citation]}]


def test_citations_of_others_are_written_by_their_place_and_source() -> None:
    """Where the place is not known it is the whole text."""
    cited = Text(
        "Hello you",
        (
            Citation(kind="url", url="https://x.test", title="T", quoted="q", start=0, end=5),
            Citation(kind="document", source="d"),
        ),
    )
    losses = Losses("request")
    first, second = message(cited, role="assistant", losses=losses)["citations"]
    assert (first["start"], first["end"], first["text"]) == (0, 5, "Hello")
    assert first["sources"] == [
        {"type": "document", "id": "https://x.test", "document": {"title": "T", "url": "https://x.test", "text": "q"}}
    ]
    assert (second["start"], second["end"], second["text"]) == (0, 9, "Hello you")
    assert losses.header() == "approximated:citations"


def test_what_nobody_knows_is_kept_or_noted() -> None:
    """Fields as extras, contents as essential natives, members of known objects as losses."""
    losses = Losses("request")
    request = read(
        losses,
        documents=["a"],
        safety_mode="OFF",
        colour="red",
        messages=[
            {"role": "user", "content": [{"type": "smell", "x": 1}, {"type": "text", "text": "t", "y": 1}], "z": 1}
        ],
    )
    assert request.extras == (
        Extra("cohere_chat", "documents", ["a"], essential=True),
        Extra("cohere_chat", "safety_mode", "OFF"),
        Extra("cohere_chat", "colour", "red"),
    )
    native = Native("cohere_chat", "messages[].content[].smell", {"type": "smell", "x": 1}, essential=True)
    assert request.turns[0].parts == (native, Text("t"))
    assert losses.header() == "dropped:messages[].content[].y,dropped:messages[].z"
    body = written(request)
    assert (body["documents"], body["safety_mode"], body["colour"]) == (["a"], "OFF", "red")
    assert body["messages"][0]["content"][0] == {"type": "smell", "x": 1}


def test_members_that_are_not_known_are_noted_wherever_they_stand() -> None:
    """Each by its name without positions."""
    losses = Losses("request")
    read(
        losses,
        thinking={"type": "enabled", "a": 1},
        response_format={"type": "json_object", "b": 1},
        messages=[
            {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.test", "c": 1}}]},
            {"role": "assistant", "tool_calls": [{**CALL, "d": 1}]},
            {
                "role": "tool",
                "tool_call_id": "c1",
                "content": [{"type": "document", "document": {"data": "x", "e": 1}}, {"type": "thinking"}],
            },
        ],
    )
    assert noted(losses) == {
        "dropped:messages[].content[].image_url.c",
        "dropped:messages[].tool_calls[].d",
        "approximated:messages[].content[].document",
        "dropped:messages[].content[].document.e",
        "dropped:messages[].content[].thinking",
        "dropped:thinking.a",
        "dropped:response_format.b",
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"role": "pope", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:x"}}]}]},
            "messages[0].content[0].image_url.url",
        ),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "messages[0].content[0].document"),
        (
            {"messages": [{"role": "user", "content": [{"type": "document", "document": {"data": 1}}]}]},
            "messages[0].content[0].document.data",
        ),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "messages[0].tool_calls[0].function"),
        ({"tools": [{"type": "dance"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tool_choice": "MAYBE"}, "tool_choice"),
        ({"response_format": {"type": "xml"}}, "response_format.type"),
        ({"thinking": {"type": "perhaps"}}, "thinking.type"),
    ],
)
def test_what_cannot_be_is_refused_by_its_place(fields: dict[str, Any], param: str) -> None:
    """The caller learns which field is wrong."""
    with pytest.raises(InvalidRequest) as wrong:
        read(**fields)
    assert wrong.value.param == param


def test_knobs_are_read_and_written() -> None:
    """All that Cohere has, by their own names."""
    fields = {
        "max_tokens": 5,
        "stop_sequences": ["a"],
        "temperature": 0.5,
        "seed": 1 << 40,
        "frequency_penalty": 0.25,
        "presence_penalty": 0.5,
        "k": 3,
        "p": 0.75,
        "logprobs": True,
    }
    request = read(**fields)
    assert request.sampling == Sampling(
        max_output=5,
        stop=("a",),
        temperature=0.5,
        seed=1 << 40,
        frequency_penalty=0.25,
        presence_penalty=0.5,
        top_k=3,
        top_p=0.75,
        logprobs=True,
    )
    assert written(request).items() >= fields.items()


def test_knobs_out_of_range_are_brought_into_it() -> None:
    """And noted; five stop sequences are the most."""
    losses = Losses("request")
    sampling = Sampling(top_p=1.0, presence_penalty=-1.0, frequency_penalty=2.0, stop=("a", "b", "c", "d", "e", "f"))
    body = written(ask(sampling=sampling), losses)
    assert (body["p"], body["presence_penalty"], body["frequency_penalty"]) == (0.99, 0.0, 1.0)
    assert body["stop_sequences"] == ["a", "b", "c", "d", "e"]
    assert noted(losses) == {
        "approximated:top_p",
        "approximated:stop",
        "approximated:presence_penalty",
        "approximated:frequency_penalty",
    }


def test_knobs_that_cohere_does_not_have_are_dropped_by_name() -> None:
    """Nothing disappears in silence."""
    losses = Losses("request")
    request = ask(
        sampling=Sampling(min_p=0.1, top_logprobs=3, logit_bias={"1": 1.0}),
        parallel_tools=False,
        verbosity="low",
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        store=True,
        cache_key="k",
        cache_retention="24h",
        output=OutputFormat(kind="text", description="d"),
        reasoning=Reasoning(enabled=True, visible=False, summary="auto"),
    )
    written(request, losses)
    assert noted(losses) == {
        "dropped:" + name
        for name in (
            "min_p",
            "top_logprobs",
            "logit_bias",
            "parallel_tool_calls",
            "verbosity",
            "user",
            "metadata",
            "service_tier",
            "store",
            "prompt_cache_key",
            "prompt_cache_retention",
            "response_format.description",
            "reasoning.visible",
            "reasoning.summary",
        )
    }


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"sampling": Sampling(choices=2)}, "n"),
        ({"cached_content": "c"}, "cached_content"),
        ({"modalities": ("text", "audio")}, "modalities"),
        ({"audio": {"voice": "v"}}, "modalities"),
        ({"tools": (HostedTool(kind="web_search", dialect="x", native={}),)}, "tools"),
        ({"extras": (Extra("other", "background", True, essential=True),)}, "background"),
    ],
)
def test_features_that_cohere_does_not_have_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    """Leaving them out would give another answer than was asked for."""
    with pytest.raises(InvalidRequest) as refused:
        written(ask(**fields))
    assert refused.value.param == param


@pytest.mark.parametrize(
    "part",
    [
        Media(kind="audio", source=Inline("audio/wav", "aGk=")),
        Media(kind="video", source=Remote("https://x.test")),
        Media(kind="image", source=Stored("f", "openai")),
        Media(kind="image", source=PlainText("x")),
        Media(kind="document", source=Inline("application/pdf", "aGk=")),
        Media(kind="document", source=Inline("text/plain", "?")),
        Media(kind="document", source=Remote("https://x.test/a.pdf")),
        Media(kind="document", source=Stored("f", "anthropic")),
        Native("other", "messages[].x", {}, essential=True),
    ],
)
def test_contents_that_cohere_does_not_take_are_refused(part: Part) -> None:
    """Never left out in silence."""
    with pytest.raises(InvalidRequest) as refused:
        written(ask(part))
    assert refused.value.param == "messages"


def test_contents_near_to_what_cohere_takes_are_approximated() -> None:
    """Documents and refusals as texts; natives of others that change nothing, and hosted calls, are dropped."""
    losses = Losses("request")
    parts = (
        Media(kind="document", source=Inline("text/plain", b64encode(b"body").decode()), title="T"),
        Media(kind="document", source=PlainText("bare")),
        Refusal("No."),
        Native("other", "messages[].x", {}),
        HostedCall(id="h", tool="web_search"),
        HostedResult(call_id="h", tool="web_search"),
        Thinking("", Seal(maker="anthropic", kind="redacted", data="x")),
        Text("t", cache=CacheMark()),
    )
    assert [content["text"] for content in message(*parts, losses=losses)["content"]] == [
        "T\n\nbody",
        "bare",
        "No.",
        "t",
    ]
    assert noted(losses) == {
        "approximated:messages[].content[].document",
        "approximated:messages[].content[].refusal",
        "dropped:messages[].x",
        "dropped:messages[].content[].web_search",
        "dropped:messages[].content[].thinking",
        "dropped:cache_control",
    }


def test_images_of_a_tool_come_in_a_message_behind_it() -> None:
    """A tool message has no place for them."""
    losses = Losses("request")
    result = ToolResult(
        call_id="c",
        parts=(Text("see"), Media(kind="image", source=Remote("https://x.test"))),
        failed=True,
        cache=CacheMark(),
    )
    messages = written(ask(result, role="tool"), losses)["messages"]
    assert messages == [
        {"role": "tool", "tool_call_id": "c", "content": "see"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://x.test"}}]},
    ]
    assert noted(losses) == {"dropped:tool_result.failed", "dropped:cache_control", "approximated:tool_result.image"}


def test_thinking_before_calls_is_a_plan_for_models_that_plan() -> None:
    """Models that think get it as content."""
    parts = (Thinking("one"), Thinking("two"), Thinking(""), ToolCall(id="c", name="f"))
    planned = message(*parts, role="assistant")
    assert planned["tool_plan"] == "one\ntwo"
    assert "content" not in planned
    thought = message(*parts[:2], *parts[3:], role="assistant", model="command-a-reasoning-08-2025")
    assert "tool_plan" not in thought
    assert thought["content"] == [{"type": "thinking", "thinking": "one"}, {"type": "thinking", "thinking": "two"}]


def test_a_text_behind_a_call_comes_before_it() -> None:
    """Cohere keeps the two apart, so the order is lost, and that is noted."""
    losses = Losses("request")
    told = message(ToolCall(id="c", name="f"), Text("t"), role="assistant", losses=losses)
    assert (told["content"], told["tool_calls"][0]["function"]["arguments"]) == ("t", "{}")
    assert losses.header() == "approximated:messages[].tool_calls"


def test_turns_without_content_are_left_out_and_calls_in_a_row_joined() -> None:
    """Results must follow all of their calls."""
    request = ChatRequest(
        model="m",
        turns=(
            Turn("assistant", ()),
            Turn("assistant", (ToolCall(id="a", name="f"),)),
            Turn("assistant", (ToolCall(id="b", name="f"),)),
            Turn("tool", (ToolResult(call_id="a"), ToolResult(call_id="b"))),
            Turn("user", (), "Ann"),
        ),
    )
    losses = Losses("request")
    messages = written(request, losses)["messages"]
    assert [(m["role"], len(m.get("tool_calls", ()))) for m in messages] == [("assistant", 2), ("tool", 0), ("tool", 0)]
    assert losses.header() == "dropped:messages[].name"


def test_tools_are_read_and_written() -> None:
    """`strict_tools` holds for all of them; a tool without parameters gets an empty schema."""
    tools = [
        {"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA, "own": 1}},
        {"type": "function", "function": {"name": "g"}},
    ]
    request = read(tools=tools, strict_tools=True, tool_choice="REQUIRED")
    assert request.tools == (
        FunctionTool(
            name="f", description="d", parameters=SCHEMA, strict=True, extras={"own": 1}, dialect="cohere_chat"
        ),
        FunctionTool(name="g", strict=True, dialect="cohere_chat"),
    )
    assert request.tool_choice == ToolChoice("required")
    tools[1]["function"]["parameters"] = {"type": "object", "properties": {}}  # type: ignore[index]
    body = written(request)
    assert (body["tools"], body["strict_tools"], body["tool_choice"]) == (tools, True, "REQUIRED")


def test_tools_of_others_are_written_as_far_as_they_go() -> None:
    """Strictness of one alone, foreign fields and cache marks are dropped; free text is a function of one string."""
    losses = Losses("request")
    tools = (
        FunctionTool(name="f", strict=True, extras={"own": 1}, dialect="other", cache=CacheMark()),
        FunctionTool(name="g"),
        CustomTool(name="h", description="free"),
    )
    call = ToolCall(id="c", name="h", arguments="1 + 1", custom=True)
    request = msgspec.structs.replace(ask(call, role="assistant"), tools=tools, tool_choice=ToolChoice("none"))
    body = written(request, losses)
    assert "strict_tools" not in body
    assert body["tool_choice"] == "NONE"
    assert body["tools"][2]["function"]["parameters"]["required"] == ["input"]
    assert json.loads(body["messages"][0]["tool_calls"][0]["function"]["arguments"]) == {"input": "1 + 1"}
    assert noted(losses) == {
        "dropped:cache_control",
        "dropped:tools[].own",
        "dropped:tools[].strict",
        "approximated:tools[].custom",
        "approximated:tool_calls[].custom",
    }


@pytest.mark.parametrize(
    ("choice", "names", "word"),
    [
        (ToolChoice("tool", ("g",)), ["g"], "REQUIRED"),
        (ToolChoice("allowed", ("f", "g"), required=True), ["f", "g"], "REQUIRED"),
        (ToolChoice("allowed", ("g",)), ["g"], None),
        (ToolChoice("auto"), ["f", "g", "h"], None),
        (None, ["f", "g", "h"], None),
    ],
)
def test_a_choice_among_tools_leaves_the_others_out(
    choice: ToolChoice | None, names: list[str], word: str | None
) -> None:
    """Cohere cannot name one."""
    losses = Losses("request")
    body = written(ask(tools=tuple(FunctionTool(name=name) for name in "fgh"), tool_choice=choice), losses)
    assert [tool["function"]["name"] for tool in body["tools"]] == names
    assert body.get("tool_choice") == word
    assert bool(losses) == (len(names) < 3 or (choice is not None and choice.mode == "allowed"))


@pytest.mark.parametrize(
    ("form", "output"),
    [
        ({"type": "text"}, OutputFormat(kind="text")),
        ({"type": "json_object"}, OutputFormat(kind="json")),
        ({"type": "json_object", "json_schema": SCHEMA}, OutputFormat(kind="schema", schema=SCHEMA)),
    ],
)
def test_forms_of_output_are_read_and_written(form: dict[str, Any], output: OutputFormat) -> None:
    """A schema under its own name, or under the older one."""
    request = read(response_format=form)
    assert request.output == output
    assert written(request)["response_format"] == form
    if output.schema is not None:
        assert read(response_format={"type": "json_object", "schema": SCHEMA}).output == output


@pytest.mark.parametrize(
    ("reasoning", "model", "thinking"),
    [
        (Reasoning(enabled=True), "m", {"type": "enabled"}),
        (Reasoning(enabled=True, budget=500), "m", {"type": "enabled", "token_budget": 500}),
        (Reasoning(enabled=False), "m", {"type": "disabled"}),
        (Reasoning(effort="none"), "m", None),
        (Reasoning(effort="none"), "command-a-plus-05-2026", {"type": "disabled"}),
        (Reasoning(effort="medium"), "m", {"type": "enabled", "token_budget": 8192}),
        (Reasoning(adaptive=True), "m", {"type": "enabled"}),
        (Reasoning(budget=-1), "m", {"type": "enabled"}),
        (Reasoning(visible=True), "m", None),
        (None, "m", None),
    ],
)
def test_reasoning_is_written_as_thinking(reasoning: Reasoning | None, model: str, thinking: Any) -> None:
    """An effort by the written table, which is an approximation."""
    losses = Losses("request")
    assert written(ask(reasoning=reasoning, model=model), losses).get("thinking") == thinking
    assert bool(losses) == (reasoning is not None and reasoning.effort == "medium")


def test_thinking_is_read() -> None:
    """With its budget."""
    assert read(thinking={"type": "enabled", "token_budget": 7}).reasoning == Reasoning(enabled=True, budget=7)
    assert read(thinking={"type": "disabled"}).reasoning == Reasoning(enabled=False)
    assert read(messages=MESSAGES).reasoning is None
