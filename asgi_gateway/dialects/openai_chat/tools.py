"""Tools and the choice among them, read and written.

Follows `ChatCompletionTool`, `CustomToolChatCompletions`, `ChatCompletionToolChoiceOption` and `web_search_options` of
OpenAI's OpenAPI document, and the older `functions` and `function_call`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, assert_never

from asgi_gateway.canonical import (
    ChatRequest,
    CustomTool,
    FunctionTool,
    HostedTool,
    Losses,
    Tool,
    ToolChoice,
)
from asgi_gateway.dialects.node import Node
from asgi_gateway.dialects.openai_chat.content import DIALECT, cache_mark, note_unread
from asgi_gateway.dialects.openai_chat.marks import Marks
from asgi_gateway.dialects.openai_wire.families import Family
from asgi_gateway.errors import InvalidRequest

__all__ = ["LEGACY", "is_legacy", "read_choice", "read_tools", "write_tools"]

LEGACY = "openai_chat:functions"
"""`FunctionTool.dialect` of functions given in the older form: their calls are answered in that form."""

SEARCH = "web_search_options"


def is_legacy(request: ChatRequest) -> bool:
    """Whether the caller speaks of functions in the older form."""
    return any(isinstance(tool, FunctionTool) and tool.dialect == LEGACY for tool in request.tools)


def read_tools(body: Node, losses: Losses) -> tuple[Tool, ...]:
    """`tools`, `functions` and `web_search_options`."""
    tools: list[Tool] = [_tool(node, losses) for node in body.objects("tools")]
    for node in body.objects("functions"):
        tools.append(_function(node, losses, None, LEGACY))
    search = body.object(SEARCH)
    if search is not None:
        location = search.any("user_location")
        approximate = location.get("approximate") if isinstance(location, dict) else None
        tools.append(
            HostedTool(
                kind="web_search",
                dialect=DIALECT,
                native={SEARCH: search.value},
                location=approximate if isinstance(approximate, dict) else None,
            )
        )
    return tuple(tools)


def _tool(node: Node, losses: Losses) -> Tool:
    kind = node.text("type", "function")
    if kind == "function":
        function = node.object("function")
        if function is None:
            raise node.missing("function")
        tool = _function(function, losses, node, "")
        note_unread(node, losses)
        return tool
    if kind == "custom":
        custom = node.object("custom")
        if custom is None:
            raise node.missing("custom")
        format = custom.any("format")
        made = CustomTool(
            name=custom.require_text("name"),
            description=custom.text("description"),
            format=format if isinstance(format, dict) else None,
        )
        note_unread(custom, losses)
        note_unread(node, losses)
        return made
    return HostedTool(kind=kind.removeprefix("openrouter:"), dialect=DIALECT, native=dict(node.value))


def _function(function: Node, losses: Losses, outer: Node | None, dialect: str) -> FunctionTool:
    parameters = function.object("parameters")
    tool = FunctionTool(
        name=function.require_text("name"),
        description=function.text("description"),
        parameters=None if parameters is None else parameters.value,
        strict=function.flag("strict"),
        cache=cache_mark(outer, losses) if outer is not None else None,
        dialect=dialect,
    )
    extras = function.unread()
    if not extras:
        return tool
    return FunctionTool(
        name=tool.name,
        description=tool.description,
        parameters=tool.parameters,
        strict=tool.strict,
        cache=tool.cache,
        extras=extras,
        dialect=dialect or DIALECT,
    )


def read_choice(body: Node) -> ToolChoice | None:
    """`tool_choice`, or `function_call` of the older form."""
    name = "tool_choice" if "tool_choice" in body else "function_call"
    value = body.any(name)
    if value is None:
        return None
    if isinstance(value, str):
        match value:
            case "auto" | "none" | "required":
                return ToolChoice(value)
            case "any":  # Mistral's word
                return ToolChoice("required")
        raise body.unknown(name, "'none', 'auto' and 'required'")
    choice = body.object(name)
    if choice is None:
        raise body.missing(name)
    if name == "function_call":
        return ToolChoice("tool", (choice.require_text("name"),))
    return _chosen(choice)


def _chosen(choice: Node) -> ToolChoice:
    allowed = choice.object("allowed_tools")
    if allowed is not None:
        names = tuple(filter(None, (_named(node) for node in allowed.objects("tools"))))
        return ToolChoice("allowed", names, allowed.text("mode") == "required")
    named = _named(choice)
    if not named:
        raise choice.missing("function")
    return ToolChoice("tool", (named,))


def _named(node: Node) -> str:
    for kind in ("function", "custom"):
        inner = node.object(kind)
        if inner is not None:
            return inner.require_text("name")
    return node.text("type") if node.text("type") not in ("function", "custom") else ""


def write_tools(request: ChatRequest, family: Family, marks: Marks, losses: Losses) -> Iterator[tuple[str, Any]]:
    """The members of a request that speak of tools. Raises `InvalidRequest` for a hosted tool that is not there."""
    tools: list[Any] = []
    functions: list[Any] = []
    for tool in _given(request, family, losses):
        match tool:
            case FunctionTool():
                function = _function_out(tool, losses)
                if tool.dialect == LEGACY:
                    functions.append(function)
                else:
                    tools.append(marks.marked({"type": "function", "function": function}, tool.cache))
            case CustomTool():
                tools.append({"type": "custom", "custom": _custom_out(tool)})
            case HostedTool():
                native = _hosted_out(tool, losses)
                if SEARCH in native:
                    yield SEARCH, native[SEARCH]
                else:
                    tools.append(native)
            case _:
                assert_never(tool)
    yield from ((name, value) for name, value in (("tools", tools), ("functions", functions)) if value)
    if tools or functions:
        yield from _choice_out(request, family, legacy=not tools)
    elif request.tool_choice is not None and request.tool_choice.mode not in ("auto", "none"):
        losses.dropped("tool_choice")


def _given(request: ChatRequest, family: Family, losses: Losses) -> Sequence[Tool]:
    """The tools to be given. Look-alikes have no `allowed_tools`: they get those that are allowed, and no other."""
    choice = request.tool_choice
    if choice is None or choice.mode != "allowed" or family.is_openai:
        return request.tools
    losses.approximated("tool_choice")
    return [tool for tool in request.tools if isinstance(tool, HostedTool) or tool.name in choice.names]


def _function_out(tool: FunctionTool, losses: Losses) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    if tool.strict is not None:
        function["strict"] = tool.strict
    if tool.dialect in (DIALECT, LEGACY):
        function.update(tool.extras)
    else:
        for name in tool.extras:
            losses.dropped(f"tools[].{name}")
    return function


def _custom_out(tool: CustomTool) -> dict[str, Any]:
    custom: dict[str, Any] = {"name": tool.name}
    if tool.description:
        custom["description"] = tool.description
    if tool.format is not None:
        custom["format"] = tool.format
    return custom


def _hosted_out(tool: HostedTool, losses: Losses) -> Mapping[str, Any]:
    if tool.dialect == DIALECT and isinstance(tool.native, Mapping):
        return tool.native
    if tool.kind != "web_search":
        raise InvalidRequest(
            f"The tool '{tool.kind}' is not supported for this model here: its provider has nothing like it.",
            param="tools",
            code="unsupported_tool",
        )
    for name in ("allowed_domains", "blocked_domains", "max_uses"):
        if getattr(tool, name):
            losses.dropped(f"tools[].{name}")
    options: dict[str, Any] = {}
    if tool.location is not None:
        places = ("country", "region", "city", "timezone")
        approximate = {name: tool.location[name] for name in places if tool.location.get(name)}
        options["user_location"] = {"type": "approximate", "approximate": approximate}
    return {SEARCH: options}


def _choice_out(request: ChatRequest, family: Family, *, legacy: bool) -> Iterator[tuple[str, Any]]:
    choice = request.tool_choice
    if choice is not None and legacy:
        if choice.mode == "tool":
            yield "function_call", {"name": choice.names[0]}
        elif choice.mode != "allowed":
            yield "function_call", "none" if choice.mode == "none" else "auto"
    elif choice is not None:
        kinds = {tool.name: "custom" for tool in request.tools if isinstance(tool, CustomTool)}
        match choice.mode:
            case "auto" | "none" | "required":
                yield "tool_choice", choice.mode
            case "tool":
                yield "tool_choice", _reference(choice.names[0], kinds)
            case "allowed":
                mode = "required" if choice.required else "auto"
                if not family.is_openai:
                    yield "tool_choice", mode
                    return
                listed = {"mode": mode, "tools": _references(choice.names, kinds)}
                yield "tool_choice", {"type": "allowed_tools", "allowed_tools": listed}
            case _:
                assert_never(choice.mode)
    if request.parallel_tools is not None and not legacy:
        yield "parallel_tool_calls", request.parallel_tools


def _references(names: Sequence[str], kinds: Mapping[str, str]) -> list[dict[str, Any]]:
    return [_reference(name, kinds) for name in names]


def _reference(name: str, kinds: Mapping[str, str]) -> dict[str, Any]:
    kind = kinds.get(name, "function")
    return {"type": kind, kind: {"name": name}}
