"""Requests of Anthropic's Messages, read into the neutral model."""

from typing import Any

import pytest

from asgi_gateway.canonical import (
    CacheMark,
    Citation,
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
    wrap,
)
from asgi_gateway.errors import InvalidRequest
from support.anthropic_messages import MODEL, noted, parts_of, read

NAME = "anthropic_messages"
GOOGLES = Seal(maker="google", kind="signature", data="g")
MARK = {"cache_control": {"type": "ephemeral"}}


def test_a_conversation_is_read() -> None:
    """Results of tools are turns of their own; the empty message stays; system texts stand where they stood."""
    result = {"type": "tool_result", "tool_use_id": "a", "content": "sun", "is_error": True}
    request = read(
        system=[{"type": "text", "text": "Be brief.", **MARK}, {"type": "text", "text": "Be kind."}],
        messages=[
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1.0}}]},
            {"role": "user", "content": [result, {"type": "text", "text": "And?"}, {**result, "content": []}]},
            {"role": "system", "content": "Now in French."},
            {"role": "user", "content": ""},
        ],
        stream=True,
    )
    assert request.instructions == (Text("Be brief.", (), CacheMark()), Text("Be kind."))
    assert request.turns == (
        Turn("user", (Text("Weather?"),)),
        Turn("assistant", (ToolCall(id="a", name="f", arguments='{"x":1.0}'),)),
        Turn("tool", (ToolResult(call_id="a", parts=(Text("sun"),), failed=True),)),
        Turn("user", (Text("And?"),)),
        Turn("tool", (ToolResult(call_id="a", failed=True),)),
        Turn("system", (Text("Now in French."),)),
        Turn("user", ()),
    )
    assert (request.model, request.stream, request.wants_usage) == (MODEL, True, True)
    assert read(system="").instructions == ()
    assert read(system="S").instructions == (Text("S"),)


@pytest.mark.parametrize(
    ("block", "media"),
    [
        (
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
            Media(kind="image", source=Inline("image/png", "aGk=")),
        ),
        (
            {"type": "image", "source": {"type": "url", "url": "https://x.test/a"}, **MARK},
            Media(kind="image", source=Remote("https://x.test/a"), cache=CacheMark()),
        ),
        (
            {"type": "document", "source": {"type": "url", "url": "https://x.test/a"}},
            Media(kind="document", source=Remote("https://x.test/a", "application/pdf")),
        ),
        (
            {"type": "document", "source": {"type": "file", "file_id": "file_1"}, "title": "T"},
            Media(kind="document", source=Stored("file_1", "anthropic"), title="T"),
        ),
        (
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "hi"},
                "context": "C",
                "citations": {"enabled": True},
            },
            Media(kind="document", source=PlainText("hi"), context="C", citations=True),
        ),
        (
            {
                "type": "search_result",
                "source": "https://x.test",
                "title": "T",
                "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
                "citations": {"enabled": True},
            },
            Media(kind="document", source=PlainText("a\nb"), name="https://x.test", title="T", citations=True),
        ),
    ],
)
def test_media_are_read(block: Any, media: Media) -> None:
    """From their bytes, an address, a stored file, or text; results of the caller's search are documents of text."""
    assert parts_of(block, role="user") == (media,)
    result = {"type": "tool_result", "tool_use_id": "a", "content": [block]}
    assert parts_of(result, role="user") == (ToolResult(call_id="a", parts=(media,)),)


def test_seals_are_read_each_to_its_place() -> None:
    """A raw one is Anthropic's; a wrapped one another's, and may belong to a call."""
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    assert parts_of(
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "thinking", "thinking": "bare", "signature": ""},
        {"type": "redacted_thinking", "data": "d"},
        {"type": "thinking", "thinking": "g", "signature": wrap(GOOGLES)},
        {"type": "thinking", "thinking": "", "signature": wrap(GOOGLES, "a")},
        {"type": "thinking", "thinking": "both", "signature": wrap(GOOGLES, "b")},
        call,
        {**call, "id": "b", "input": None},
    ) == (
        Thinking("hm", Seal(maker="anthropic", kind="signature", data="s")),
        Thinking("bare"),
        Thinking("", Seal(maker="anthropic", kind="redacted", data="d")),
        Thinking("g", GOOGLES),
        Thinking("both"),
        ToolCall(id="a", name="f", arguments="{}", seal=GOOGLES),
        ToolCall(id="b", name="f", arguments="{}", seal=GOOGLES),
    )
    losses = Losses("request")
    parts_of({"type": "thinking", "thinking": "", "signature": wrap(GOOGLES, "gone")}, losses=losses)
    assert noted(losses) == {"dropped:messages[].content[].signature"}


def test_hosted_calls_and_their_results_are_read() -> None:
    """With what can be shown of them, and whole."""
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "q"}}
    bash = {"type": "server_tool_use", "id": "c", "name": "bash_code_execution", "input": {}}
    mcp = {"type": "mcp_tool_use", "id": "m", "name": "roll", "server_name": "dice", "input": {}}
    assert parts_of(search, bash, mcp) == (
        HostedCall(id="s", tool="web_search", arguments='{"query":"q"}', dialect=NAME, native=search),
        HostedCall(id="c", tool="code_execution", arguments="{}", dialect=NAME, native=bash),
        HostedCall(id="m", tool="mcp", arguments="{}", dialect=NAME, native=mcp),
    )
    found = {
        "type": "web_search_tool_result",
        "tool_use_id": "s",
        "content": [{"type": "web_search_result", "title": "T", "url": "https://x.test"}, {"type": "x"}, 1],
    }
    failed = {"type": "web_fetch_tool_result", "tool_use_id": "w", "content": {"error_code": "unavailable"}}
    ran = {"type": "bash_code_execution_tool_result", "tool_use_id": "c", "content": {"stdout": "out"}}
    said = {"type": "mcp_tool_result", "tool_use_id": "m", "is_error": True, "content": ["5"]}
    assert parts_of(found, failed, ran, said) == (
        HostedResult(
            call_id="s",
            tool="web_search",
            parts=(Text("T\nhttps://x.test"),),
            citations=(Citation(kind="url", url="https://x.test", title="T"),),
            dialect=NAME,
            native=found,
        ),
        HostedResult(
            call_id="w", tool="web_fetch", parts=(Text("unavailable"),), failed=True, dialect=NAME, native=failed
        ),
        HostedResult(call_id="c", tool="code_execution", parts=(Text("out"),), dialect=NAME, native=ran),
        HostedResult(call_id="m", tool="mcp", parts=(Text("5"),), failed=True, dialect=NAME, native=said),
    )


def test_citations_are_read() -> None:
    """By the kind of their place; offsets are in the source and stay its own."""
    page = {"type": "page_location", "cited_text": "q", "document_title": "D", "file_id": "f", "start_page_number": 1}
    web = {"type": "web_search_result_location", "url": "https://x.test", "title": "W", "cited_text": "w"}
    own = {"type": "search_result_location", "source": "s", "title": None, "cited_text": "o"}
    (text,) = parts_of({"type": "text", "text": "t", "citations": [page, web, own, 1]})
    assert text == Text(
        "t",
        (
            Citation(kind="document", title="D", quoted="q", source="f", dialect=NAME, native=page),
            Citation(kind="url", url="https://x.test", title="W", quoted="w", dialect=NAME, native=web),
            Citation(kind="search_result", url="s", quoted="o", dialect=NAME, native=own),
        ),
    )


@pytest.mark.parametrize(
    ("block", "field"),
    [
        ({"type": "compaction", "content": "c"}, "messages[].content[].compaction"),
        ({"type": "container_upload", "file_id": "f"}, "messages[].content[].container_upload"),
        ({"type": "document", "source": {"type": "content", "content": "x"}}, "messages[].content[].source"),
    ],
)
def test_what_only_anthropic_knows_is_kept(block: Any, field: str) -> None:
    """Whole, and essential: without it the conversation would mean something else."""
    assert parts_of(block) == (Native(NAME, field, block, essential=True),)


def test_tools_that_come_later_can_be_done_without() -> None:
    """Elsewhere every tool is there from the beginning: what names them is kept, but not essential."""
    block = {"type": "tool_addition", "tool": {}}
    assert parts_of(block) == (Native(NAME, "messages[].content[].tool_addition", block),)


def test_what_only_anthropic_knows_is_kept_in_results() -> None:
    """Also what is no part of a result elsewhere."""
    reference = {"type": "tool_reference", "tool_name": "f"}
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    sealed = {"type": "thinking", "thinking": "", "signature": wrap(GOOGLES, "a")}
    result = {"type": "tool_result", "tool_use_id": "a", "content": [reference, call, sealed]}
    field = "messages[].content[].content[]"
    assert parts_of(result, role="user") == (
        ToolResult(
            call_id="a",
            parts=(
                Native(NAME, f"{field}.tool_reference", reference),
                Native(NAME, f"{field}.tool_use", call, essential=True),
            ),
        ),
    )


def test_knobs_are_read() -> None:
    """All that the format has; what only it knows is an extra, a feature among them essential."""
    request = read(
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        stop_sequences=["a"],
        metadata={"user_id": "u"},
        service_tier="standard_only",
        output_config={"format": {"type": "json_schema", "schema": {"type": "object"}}},
        mcp_servers=[{"name": "m"}],
        speed="fast",
        container=None,
    )
    assert request.sampling == Sampling(max_output=64, temperature=0.5, top_p=0.9, top_k=3, stop=("a",))
    assert (request.user, request.service_tier) == ("u", "default")
    assert request.output == OutputFormat(kind="schema", schema={"type": "object"})
    assert request.extras == (
        Extra(NAME, "mcp_servers", [{"name": "m"}], essential=True),
        Extra(NAME, "speed", "fast"),
    )
    older = read(output_format={"type": "json_schema", "schema": {"type": "array"}}, service_tier="auto")
    assert older.output == OutputFormat(kind="schema", schema={"type": "array"})
    assert older.service_tier == "auto"
    assert older.extras == ()


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({}, None),
        ({"output_config": {"effort": "low"}}, Reasoning(effort="low")),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            Reasoning(enabled=True, budget=2000),
        ),
        (
            {"thinking": {"type": "adaptive", "display": "omitted"}, "output_config": {"effort": "max"}},
            Reasoning(enabled=True, effort="max", adaptive=True, visible=False),
        ),
        (
            {"thinking": {"type": "adaptive", "display": "summarized"}},
            Reasoning(enabled=True, adaptive=True, visible=True),
        ),
        ({"thinking": {"type": "disabled"}}, Reasoning(enabled=False)),
        ({"thinking": {"type": "between_tools"}}, Reasoning(enabled=False)),
    ],
)
def test_reasoning_is_read(fields: Any, reasoning: Reasoning | None) -> None:
    """As a budget, as adaptive thinking, as an effort, or as none."""
    assert read(**fields).reasoning == reasoning


def test_tools_are_read() -> None:
    """Functions with what is only Anthropic's own, and hosted tools by the beginning of their type."""
    function = {"name": "f", "description": "d", "input_schema": {"type": "object"}, "strict": True, **MARK}
    search = {
        "type": "web_search_20260209",
        "name": "web_search",
        "max_uses": 2,
        "allowed_domains": ["a.test"],
        "blocked_domains": ["b.test"],
        "user_location": {"type": "approximate", "city": "Oslo"},
    }
    bash = {"type": "bash_20250124", "name": "bash"}
    new = {"type": "advisor_20260301", "name": "advisor"}
    request = read(tools=[{**function, "defer_loading": True}, {"type": "custom", "name": "g"}, search, bash, new])
    assert request.tools == (
        FunctionTool(
            name="f",
            description="d",
            parameters={"type": "object"},
            strict=True,
            cache=CacheMark(),
            extras={"defer_loading": True},
            dialect=NAME,
        ),
        FunctionTool(name="g", dialect=NAME),
        HostedTool(
            kind="web_search",
            dialect=NAME,
            native=search,
            allowed_domains=("a.test",),
            blocked_domains=("b.test",),
            location={"type": "approximate", "city": "Oslo"},
            max_uses=2,
        ),
        HostedTool(kind="shell", dialect=NAME, native=bash),
        HostedTool(kind="advisor_20260301", dialect=NAME, native=new),
    )


@pytest.mark.parametrize(
    ("choice", "read_as", "parallel"),
    [
        (None, None, None),
        ({"type": "auto"}, ToolChoice("auto"), None),
        ({"type": "none"}, ToolChoice("none"), None),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("required"), False),
        ({"type": "tool", "name": "f", "disable_parallel_tool_use": False}, ToolChoice("tool", ("f",)), True),
    ],
)
def test_choices_are_read(choice: Any, read_as: ToolChoice | None, parallel: bool | None) -> None:
    """With whether calls may stand side by side."""
    request = read(tool_choice=choice)
    assert (request.tool_choice, request.parallel_tools) == (read_as, parallel)


def test_members_that_are_not_known_are_noted() -> None:
    """Each by its name without positions."""
    losses = Losses("request")
    read(
        losses,
        system=[{"type": "text", "text": "s", "a": 1, "citations": None}],
        messages=[
            {
                "role": "user",
                "b": 1,
                "content": [
                    {"type": "text", "text": "t", "c": 1, "cache_control": {"type": "ephemeral", "ttl": "1h", "d": 1}},
                    {"type": "image", "source": {"type": "url", "url": "https://x.test", "e": 1}, "f": 1},
                    {"type": "search_result", "content": [{"type": "text", "text": "t", "g": 1}], "h": 1},
                ],
            },
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "a", "name": "f", "input": {}, "caller": {"type": "direct"}},
                    {"type": "tool_use", "id": "b", "name": "f", "input": {}, "caller": {"type": "code_execution"}},
                ],
            },
        ],
        metadata={"user_id": "u", "i": 1},
        thinking={"type": "enabled", "budget_tokens": 1024, "j": 1},
        output_config={"effort": "odd", "task_budget": {}, "format": {"type": "json_schema", "schema": {}, "k": 1}},
        tool_choice={"type": "auto", "l": 1},
    )
    content = "dropped:messages[].content[]"
    assert noted(losses) == {
        "dropped:system[].a",
        "dropped:messages[].b",
        f"{content}.c",
        f"{content}.cache_control.d",
        f"{content}.source.e",
        f"{content}.f",
        f"{content}.content[].g",
        f"{content}.h",
        "approximated:messages[].content[].search_result",
        f"{content}.caller",
        "dropped:metadata.i",
        "dropped:thinking.j",
        "dropped:output_config.effort",
        "dropped:output_config.task_budget",
        "dropped:output_config.format.k",
        "dropped:tool_choice.l",
    }


def test_what_says_little_is_noted() -> None:
    """Between tools is nearly not at all, and an effort of answers is nothing that others know."""
    losses = Losses("request")
    read(losses, thinking={"type": "between_tools"}, output_config={"effort": "low"})
    assert noted(losses) == {"approximated:thinking.type", "dropped:output_config.effort"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"messages": [{"content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 1}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        ({"messages": [1]}, "messages[0]"),
        ({"system": [{"type": "image"}]}, "system[0].type"),
        ({"temperature": "hot"}, "temperature"),
        ({"thinking": {"type": "odd"}}, "thinking.type"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tool_choice": {"type": "odd"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"output_config": {"format": {"type": "odd"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
    ],
)
def test_a_wrong_field_is_refused_by_its_name(fields: Any, param: str) -> None:
    """With the position at which it stands."""
    with pytest.raises(InvalidRequest) as refused:
        read(**fields)
    assert refused.value.param == param
