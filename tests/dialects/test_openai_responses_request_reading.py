"""Requests of OpenAI's Responses, read into the neutral model."""

import json
from typing import Any

import pytest

from asgi_gateway.canonical import (
    CacheMark,
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
    Reasoning,
    Refusal,
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
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES
from asgi_gateway.errors import InvalidRequest
from support.openai_responses import read

GOOGLE = Seal(maker="google", kind="signature", data="QQ==")


def test_a_text_is_one_turn_of_the_user() -> None:
    """An input that is a string, with instructions beside it."""
    request = read(input="Hi", instructions="Be brief.")
    assert request.turns == (Turn("user", (Text("Hi"),)),)
    assert request.instructions == (Text("Be brief."),)


def test_system_messages_in_front_are_instructions() -> None:
    """Later ones are turns."""
    request = read(
        instructions="One.",
        input=[
            {"role": "developer", "content": "Two."},
            {"role": "system", "content": [{"type": "input_text", "text": "Three."}]},
            {"role": "user", "content": "Hi"},
            {"role": "system", "content": "Four."},
        ],
    )
    assert request.instructions == (Text("One."), Text("Two."), Text("Three."))
    assert request.turns == (Turn("user", (Text("Hi"),)), Turn("system", (Text("Four."),)))


def test_echoed_instructions_are_read_as_items() -> None:
    """A response echoes them as a list."""
    assert read(instructions=[{"role": "system", "content": "One."}]).instructions == (Text("One."),)
    assert read(instructions="").instructions == ()


def test_items_of_the_model_in_a_row_are_one_turn() -> None:
    """And outputs of functions are another."""
    request = read(
        input=[
            {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gA"},
            {"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": "So:"},
            {
                "type": "function_call",
                "id": "fc",
                "call_id": "a",
                "name": "f",
                "arguments": "{}",
                "status": "completed",
            },
            {"type": "custom_tool_call", "call_id": "b", "name": "g", "input": "free"},
            {"type": "function_call_output", "call_id": "a", "output": "1"},
            {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "2"}]},
            {"role": "user", "content": "Go on"},
        ]
    )
    assert request.turns == (
        Turn(
            "assistant",
            (
                Thinking("", Seal(maker="openai", kind="encrypted", data="gA"), "rs_1"),
                Text("So:"),
                ToolCall(id="a", name="f", arguments="{}"),
                ToolCall(id="b", name="g", arguments="free", custom=True),
            ),
        ),
        Turn(
            "tool",
            (
                ToolResult(call_id="a", parts=(Text("1"),)),
                ToolResult(call_id="b", parts=(Text("2"),), custom=True),
            ),
        ),
        Turn("user", (Text("Go on"),)),
    )


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ({"type": "input_text", "text": "a"}, Text("a")),
        ({"type": "text", "text": "a"}, Text("a")),
        ({"type": "input_text", "text": "a", "prompt_cache_breakpoint": {}}, Text("a", cache=CacheMark())),
        (
            {"type": "input_image", "image_url": "data:image/png;base64,QQ==", "detail": "low"},
            Media(kind="image", source=Inline("image/png", "QQ=="), detail="low"),
        ),
        (
            {"type": "input_image", "image_url": {"url": "https://x.test/a.png"}, "detail": "auto"},
            Media(kind="image", source=Remote("https://x.test/a.png")),
        ),
        (
            {"type": "input_image", "file_id": "file-1", "detail": "auto"},
            Media(kind="image", source=Stored("file-1", "openai")),
        ),
        (
            {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,QQ=="},
            Media(kind="document", source=Inline("application/pdf", "QQ=="), name="a.pdf"),
        ),
        (
            {"type": "input_file", "filename": "a.csv", "file_data": "QQ=="},
            Media(kind="document", source=Inline("text/csv", "QQ=="), name="a.csv"),
        ),
        (
            {"type": "input_file", "file_url": "https://x.test/a.pdf"},
            Media(kind="document", source=Remote("https://x.test/a.pdf")),
        ),
        ({"type": "input_file", "file_id": "file-1"}, Media(kind="document", source=Stored("file-1", "openai"))),
        (
            {"type": "input_audio", "input_audio": {"data": "QQ==", "format": "mp3"}},
            Media(kind="audio", source=Inline("audio/mpeg", "QQ==")),
        ),
        ({"type": "refusal", "refusal": "No."}, Refusal("No.")),
        (
            {"type": "input_smell", "x": 1},
            Native("openai_responses", "input[].content[].input_smell", {"type": "input_smell", "x": 1}, True),
        ),
    ],
)
def test_contents_are_parts(content: dict[str, Any], part: object) -> None:
    """Each kind of content; unknown ones are kept."""
    assert read(input=[{"role": "user", "content": [content]}]).turns == (Turn("user", (part,)),)  # type: ignore[arg-type]  # any part


@pytest.mark.parametrize(
    "content",
    [{"type": "input_file"}, {"type": "input_audio"}, {"type": "input_image"}, {"type": "input_text", "text": 1}],
)
def test_a_content_without_its_data_is_refused(content: dict[str, Any]) -> None:
    """With the path of what is missing."""
    with pytest.raises(InvalidRequest) as refused:
        read(input=[{"role": "user", "content": [content]}])
    assert str(refused.value.param).startswith("input[0].content[0].")


def test_annotations_of_earlier_answers_are_citations() -> None:
    """A client sends the items of an answer back as they were."""
    annotation = {"type": "url_citation", "url": "https://x.test", "title": "X", "start_index": 0, "end_index": 1}
    file = {"type": "file_citation", "file_id": "file-1", "filename": "a.pdf", "index": 3}
    content = {"type": "output_text", "text": "a", "annotations": [annotation, file], "logprobs": []}
    losses = Losses("request")
    request = read(losses, input=[{"role": "assistant", "content": [content]}])
    assert request.turns[0].parts == (
        Text(
            "a",
            (
                Citation(kind="url", url="https://x.test", title="X", start=0, end=1),
                Citation(kind="file", source="file-1", title="a.pdf", dialect="openai_responses", native=file),
            ),
        ),
    )
    assert not losses


def test_what_has_no_place_is_noted() -> None:
    """Members of items and of contents."""
    losses = Losses("request")
    read(
        losses,
        input=[
            {"role": "assistant", "content": "a", "phase": "commentary"},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "", "namespace": "n"},
            {"type": "reasoning", "summary": [{"text": "s"}], "content": [{"text": "c"}]},
        ],
        text={"colour": "red", "format": {"type": "text", "size": 1}},
        reasoning={"mode": "pro"},
        tools=[{"type": "custom", "name": "g", "defer_loading": True}],
    )
    assert losses.header() == (
        "dropped:input[].phase,dropped:input[].namespace,dropped:input[].content,dropped:tools[].defer_loading,"
        "dropped:text.format.size,dropped:reasoning.mode,dropped:text.colour"
    )


def test_parts_of_a_summary_are_one_text() -> None:
    """A blank line between them; the content of open models is a text, too."""
    summary = {"type": "reasoning", "id": "r", "summary": [{"text": "a"}, {"text": "b"}]}
    content = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "c"}]}
    assert read(input=[summary, content]).turns[0].parts == (Thinking("a\n\nb", None, "r"), Thinking("c"))


def test_a_wrapped_seal_is_its_makers_again() -> None:
    """That of a thinking, of a call wherever it stands, and of a text or an image."""
    claude = Seal(maker="anthropic", kind="signature", data="c2ln")
    image = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "QQ=="}
    request = read(
        input=[
            {"type": "reasoning", "summary": [{"text": "hm"}], "encrypted_content": wrap(claude)},
            {"type": "reasoning", "summary": [], "encrypted_content": wrap(GOOGLE, call="a")},
            {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"},
            {"role": "assistant", "content": "said"},
            {"type": "reasoning", "summary": [], "encrypted_content": wrap(GOOGLE, call="^")},
            image,
            {"type": "reasoning", "summary": [], "encrypted_content": wrap(GOOGLE, call="^")},
        ]
    )
    assert request.turns[0].parts == (
        Thinking("hm", claude),
        ToolCall(id="a", name="f", arguments="{}", seal=GOOGLE),
        Text("said", seal=GOOGLE),
        Media(kind="image", source=Inline("image/png", "QQ=="), id="ig_1", seal=GOOGLE),
    )


def test_a_seal_without_its_part_is_a_thinking() -> None:
    """Nothing is lost when a client left the part out."""
    item = {"type": "reasoning", "summary": [], "encrypted_content": wrap(GOOGLE, call="^")}
    assert read(input=[item]).turns[0].parts == (Thinking("", GOOGLE),)
    call = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
    assert read(input=[call, item]).turns[0].parts[-1] == Thinking("", GOOGLE)


@pytest.mark.parametrize(
    ("item", "tool", "arguments", "result"),
    [
        (
            {
                "type": "web_search_call",
                "id": "ws_1",
                "status": "completed",
                "action": {"type": "search", "query": "q", "sources": [{"type": "url", "url": "https://x.test"}]},
            },
            "web_search",
            {"query": "q"},
            {"citations": (Citation(kind="url", url="https://x.test"),)},
        ),
        (
            {
                "type": "file_search_call",
                "id": "fs_1",
                "status": "failed",
                "queries": ["q"],
                "results": [{"file_id": "f", "filename": "n", "text": "t"}],
            },
            "file_search",
            {"queries": ["q"]},
            {"citations": (Citation(kind="file", source="f", title="n", quoted="t"),), "failed": True},
        ),
        (
            {
                "type": "code_interpreter_call",
                "id": "ci_1",
                "code": "1",
                "outputs": [{"type": "logs", "logs": "2"}, {"type": "image", "url": "https://x.test/a.png"}, {}],
            },
            "code_execution",
            {"code": "1"},
            {"parts": (Text("2"), Media(kind="image", source=Remote("https://x.test/a.png")))},
        ),
        (
            {"type": "mcp_call", "id": "mcp_1", "arguments": '{"a":1}', "name": "n", "output": "o"},
            "mcp",
            {"a": 1},
            {"parts": (Text("o"),)},
        ),
        (
            {"type": "mcp_call", "id": "mcp_1", "arguments": "", "name": "n", "error": {"code": 1}},
            "mcp",
            {},
            {"parts": (Text('{"code":1}'),), "failed": True},
        ),
        ({"type": "mcp_call", "id": "mcp_1", "arguments": "{}"}, "mcp", {}, {}),
        (
            {"type": "local_shell_call", "id": "l", "call_id": "c", "action": {"type": "exec", "command": ["ls"]}},
            "shell",
            {"command": ["ls"]},
            None,
        ),
        ({"type": "computer_call", "id": "c"}, "computer", {}, None),
        (
            {"type": "apply_patch_call", "call_id": "c", "operation": {"path": "a"}},
            "apply_patch",
            {"operation": {"path": "a"}},
            None,
        ),
        ({"type": "tool_search_call", "call_id": "c", "arguments": {"q": 1}}, "tool_search", {"q": 1}, None),
        ({"type": "tool_search_call", "call_id": "c", "arguments": 1}, "tool_search", {}, None),
        (
            {"type": "image_generation_call", "id": "i", "revised_prompt": "p", "result": None},
            "image_generation",
            {"prompt": "p"},
            None,
        ),
    ],
)
def test_hosted_items_are_calls_and_results(
    item: dict[str, Any], tool: str, arguments: dict[str, Any], result: dict[str, Any] | None
) -> None:
    """Each item whole, and what others can show of it."""
    call, *rest = read(input=[item]).turns[0].parts
    id = item.get("call_id") or item["id"]
    assert isinstance(call, HostedCall)
    assert (call.id, call.tool, call.native, json.loads(call.arguments)) == (id, tool, item, arguments)
    expected = [] if result is None else [HostedResult(call_id=id, tool=tool, dialect="openai_responses", **result)]
    assert rest == expected


def test_results_that_stand_alone_are_kept_whole() -> None:
    """What a shell wrote, and a text."""
    shell = {"type": "shell_call_output", "call_id": "c", "output": [{"stdout": "a", "stderr": "b"}, {"stdout": ""}]}
    local = {"type": "local_shell_call_output", "id": "l", "output": "x", "status": "failed"}
    assert read(input=[shell, local]).turns[0].parts == (
        HostedResult(call_id="c", tool="shell", parts=(Text("ab"),), dialect="openai_responses", native=shell),
        HostedResult(
            call_id="l", tool="shell", parts=(Text("x"),), failed=True, dialect="openai_responses", native=local
        ),
    )


def test_items_that_only_openai_knows_are_kept() -> None:
    """Each in a turn of whose it is; essential but for lists and programs."""
    items: list[dict[str, Any]] = [
        {"type": "compaction", "encrypted_content": "x"},
        {"type": "mcp_list_tools", "id": "m", "tools": []},
        {"type": None, "id": "msg_1"},
        {"type": "mcp_approval_response", "approve": True},
        {"type": "additional_tools", "tools": []},
    ]
    turns = read(input=items).turns
    found = [
        (turn.role, part.field, part.essential) for turn in turns for part in turn.parts if isinstance(part, Native)
    ]
    assert found == [
        ("assistant", "input[].compaction", True),
        ("assistant", "input[].mcp_list_tools", False),
        ("assistant", "input[].item_reference", True),
        ("user", "input[].mcp_approval_response", True),
        ("system", "input[].additional_tools", True),
    ]


def test_tools_of_each_kind() -> None:
    """Functions, free text, and the provider's own."""
    search = {
        "type": "web_search",
        "filters": {"allowed_domains": ["x.test"]},
        "user_location": {"type": "approximate", "country": "DE", "city": None},
    }
    function = {"type": "function", "name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
    grammar = {"type": "grammar", "syntax": "lark", "definition": "d"}
    request = read(
        tools=[
            function,
            {**function, "strict": None, "defer_loading": True},
            {"type": "custom", "name": "g", "description": "e", "format": grammar},
            {"type": "custom", "name": "h", "format": {"type": "text"}},
            search,
            {"type": "code_interpreter", "container": "c"},
        ]
    )
    plain = FunctionTool(name="f", description="d", parameters={"type": "object"}, strict=True)
    assert request.tools == (
        plain,
        FunctionTool(
            name="f",
            description="d",
            parameters={"type": "object"},
            extras={"defer_loading": True},
            dialect="openai_responses",
        ),
        CustomTool(
            name="g",
            description="e",
            format={"type": "grammar", "grammar": {"syntax": "lark", "definition": "d"}},
        ),
        CustomTool(name="h", format={"type": "text"}),
        HostedTool(
            kind="web_search",
            dialect="openai_responses",
            native=search,
            allowed_domains=("x.test",),
            location={"country": "DE"},
        ),
        HostedTool(
            kind="code_execution",
            dialect="openai_responses",
            native={"type": "code_interpreter", "container": "c"},
        ),
    )


@pytest.mark.parametrize(
    ("value", "choice"),
    [
        (None, None),
        ("auto", ToolChoice("auto")),
        ("required", ToolChoice("required")),
        ({"type": "function", "name": "f"}, ToolChoice("tool", ("f",))),
        ({"type": "custom", "name": "g"}, ToolChoice("tool", ("g",))),
        ({"type": "web_search_preview"}, ToolChoice("tool", ("web_search",))),
        ({"type": "mcp", "server_label": "s"}, ToolChoice("tool", ("mcp",))),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}, {"type": "image_generation"}],
            },
            ToolChoice("allowed", ("f", "image_generation"), True),
        ),
    ],
)
def test_every_form_of_tool_choice(value: object, choice: ToolChoice | None) -> None:
    """Words, tools by name, the provider's by kind, and a list."""
    assert read(tool_choice=value).tool_choice == choice


def test_sampling_form_and_wishes() -> None:
    """All the fields that the neutral model has."""
    losses = Losses("request")
    request = read(
        losses,
        max_output_tokens=99,
        temperature=0.5,
        top_p=0.9,
        top_logprobs=2,
        include=["message.output_text.logprobs", "reasoning.encrypted_content"],
        parallel_tool_calls=False,
        text={
            "verbosity": "low",
            "format": {
                "type": "json_schema",
                "name": "n",
                "schema": {"type": "object"},
                "strict": True,
                "description": "d",
            },
        },
        reasoning={"effort": "high", "summary": "auto"},
        store=False,
        user="u",
        metadata={"a": "b"},
        service_tier="flex",
        prompt_cache_key="k",
        prompt_cache_retention="24h",
        stream=True,
        background=False,
        truncation="disabled",
    )
    sampling = request.sampling
    assert (sampling.max_output, sampling.temperature, sampling.top_p) == (99, 0.5, 0.9)
    assert (sampling.logprobs, sampling.top_logprobs, request.parallel_tools) == (True, 2, False)
    assert request.output == OutputFormat(
        kind="schema", name="n", description="d", schema={"type": "object"}, strict=True
    )
    assert request.reasoning == Reasoning(effort="high", summary="auto", visible=True)
    assert (request.verbosity, request.store, request.user, request.metadata) == ("low", False, "u", {"a": "b"})
    assert (request.service_tier, request.cache_key, request.cache_retention) == ("flex", "k", "24h")
    assert (request.stream, request.wants_usage, request.extras) == (True, True, ())
    assert not losses


def test_other_forms_of_output() -> None:
    """Text, any JSON, and a schema that is not given."""
    assert read(text={"format": {"type": "text"}}).output == OutputFormat(kind="text")
    assert read(text={"format": {"type": "json_object"}}).output == OutputFormat(kind="json")
    assert read(text={"format": {"type": "json_schema", "name": "n"}}).output == OutputFormat(kind="schema", name="n")
    assert read(text={}).output is None
    assert read(reasoning={}).reasoning is None


def test_the_end_user_may_be_named_newly() -> None:
    """`safety_identifier` replaces `user`."""
    assert read(safety_identifier="s").user == "s"
    assert read(safety_identifier="s", user="u").user == "u"


def test_fields_of_stored_things_are_essential() -> None:
    """Knobs are not."""
    request = read(
        previous_response_id="resp_1",
        conversation="conv_1",
        prompt={"id": "p"},
        background=True,
        truncation="auto",
        max_tool_calls=3,
        include=["code_interpreter_call.outputs"],
    )
    assert {extra.name: extra.essential for extra in request.extras} == {
        "previous_response_id": True,
        "conversation": True,
        "prompt": True,
        "background": True,
        "truncation": False,
        "max_tool_calls": False,
        "include": False,
    }
    assert Extra("openai_responses", "include", ["code_interpreter_call.outputs"]) in request.extras


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": [{"role": "robot", "content": "a"}]}, "input[0].role"),
        ({"input": [{"type": "function_call", "call_id": "a"}]}, "input[0].name"),
        ({"input": [{"type": "function_call_output", "output": "a"}]}, "input[0].call_id"),
        ({"input": ["a"]}, "input[0]"),
        ({"instructions": 1}, "instructions"),
        ({"tools": [{"name": "f"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "text.format.type"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"top_logprobs": -1}, "top_logprobs"),
        ({"metadata": {"a": 1}}, "metadata.a"),
        ({"include": "a"}, "include"),
    ],
)
def test_what_is_wrong_is_refused_by_its_name(fields: dict[str, Any], param: str) -> None:
    """As OpenAI does."""
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)
    assert refused.value.param == param


def test_what_is_no_object_is_refused() -> None:
    """Before anything is read."""
    outline = OPENAI_RESPONSES.outline(b'{"model": "m", "input": "Hi"}')
    with pytest.raises(InvalidRequest):
        OPENAI_RESPONSES.read_request(b"[]", outline, Losses("request"))
