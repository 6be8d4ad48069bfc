"""Tools and the choice among them, read and written.

| a tool of another dialect | written |
|---|---|
| `web_search` | `web_search`, with domains allowed and place; domains blocked and a limit of uses are dropped |
| `code_execution` | `code_interpreter`, in a container of OpenAI's choice |
| `image_generation` | `image_generation` |
| others | refused |

A function of another dialect that does not say so is not strict; OpenAI would take it for strict.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import ChatRequest, CustomTool, FunctionTool, HostedTool, Losses, Tool, ToolChoice
from asgi_gateway.dialects.node import Node
from asgi_gateway.dialects.openai_responses.content import note_unread
from asgi_gateway.dialects.openai_responses.names import NAME
from asgi_gateway.errors import InvalidRequest

__all__ = ["read_choice", "read_tools", "write_choice", "write_tool"]

_KINDS: Mapping[str, str] = MappingProxyType(
    {
        "web_search": "web_search",
        "web_search_2025_08_26": "web_search",
        "web_search_preview": "web_search",
        "web_search_preview_2025_03_11": "web_search",
        "code_interpreter": "code_execution",
        "computer_use_preview": "computer",
        "computer_use": "computer",
        "local_shell": "shell",
    }
)
"""Neutral names, where they differ from OpenAI's."""

_CHOSEN: Mapping[str, str] = MappingProxyType({"web_search": "web_search_preview"})
"""How a tool is named in `tool_choice` where that differs from its type."""

NOTHING = b'{"type":"object","properties":{}}'
"""The parameters of a function that takes none: OpenAI also takes null, but not everybody does."""

_PLACES = ("city", "country", "region", "timezone")


def read_tools(body: Node, losses: Losses) -> tuple[Tool, ...]:
    """`tools` of a request."""
    return tuple(_tool(node, losses) for node in body.objects("tools"))


def _tool(node: Node, losses: Losses) -> Tool:
    kind = node.require_text("type")
    if kind == "function":
        parameters = node.object("parameters")
        tool = FunctionTool(
            name=node.require_text("name"),
            description=node.text("description"),
            parameters=None if parameters is None else parameters.value,
            strict=node.flag("strict"),
        )
        extras = node.unread()
        if not extras and tool.strict is not None:
            return tool
        return FunctionTool(
            name=tool.name,
            description=tool.description,
            parameters=tool.parameters,
            strict=tool.strict,
            extras=extras,
            dialect=NAME,
        )
    if kind == "custom":
        format = node.object("format")
        custom = CustomTool(
            name=node.require_text("name"),
            description=node.text("description"),
            format=None if format is None else _read_format(format.value),
        )
        note_unread(node, losses)
        return custom
    return _hosted(kind, node)


def _read_format(format: Mapping[str, Any]) -> Mapping[str, Any]:
    """The form of a free text. A grammar stands at the top here, and in an object of its own in chat and neutrally."""
    if format.get("type") != "grammar" or "grammar" in format:
        return format
    return {"type": "grammar", "grammar": {name: value for name, value in format.items() if name != "type"}}


def _write_format(format: Mapping[str, Any]) -> Mapping[str, Any]:
    grammar = format.get("grammar")
    return {"type": "grammar", **grammar} if isinstance(grammar, Mapping) else format


def _hosted(kind: str, node: Node) -> HostedTool:
    filters = node.value.get("filters")
    allowed = filters.get("allowed_domains") if isinstance(filters, dict) else None
    location = node.value.get("user_location")
    return HostedTool(
        kind=_KINDS.get(kind, kind),
        dialect=NAME,
        native=node.value,
        allowed_domains=tuple(map(str, allowed)) if isinstance(allowed, list) else (),
        location={name: location[name] for name in _PLACES if location.get(name)}
        if isinstance(location, dict)
        else None,
    )


def read_choice(body: Node) -> ToolChoice | None:
    """`tool_choice` of a request."""
    value = body.any("tool_choice")
    if value is None:
        return None
    if isinstance(value, str):
        if value in ("auto", "none", "required"):
            return ToolChoice(value)  # type: ignore[arg-type]  # narrowed by the line above, which mypy does not do
        raise body.unknown("tool_choice", "'none', 'auto' and 'required'")
    choice = body.object("tool_choice")
    assert choice is not None
    if choice.text("type") == "allowed_tools" or "tools" in choice:
        names = tuple(_name(tool) for tool in choice.objects("tools"))
        return ToolChoice("allowed", names, choice.text("mode") == "required")
    return ToolChoice("tool", (_name(choice),))


def _name(node: Node) -> str:
    """What a choice names: a tool of the caller's by its name, another by its neutral one."""
    kind = node.require_text("type")
    return node.require_text("name") if kind in ("function", "custom") else _KINDS.get(kind, kind)


def write_tool(tool: Tool, losses: Losses) -> Mapping[str, Any]:
    """A tool. Raises `InvalidRequest` for one that OpenAI does not have."""
    match tool:
        case FunctionTool():
            return _function(tool, losses)
        case CustomTool():
            custom: dict[str, Any] = {"type": "custom", "name": tool.name}
            if tool.description:
                custom["description"] = tool.description
            if tool.format is not None:
                custom["format"] = _write_format(tool.format)
            return custom
        case HostedTool():
            return _hosted_out(tool, losses)
    assert_never(tool)


def _function(tool: FunctionTool, losses: Losses) -> dict[str, Any]:
    if tool.cache is not None:
        losses.dropped("cache_control")
    function: dict[str, Any] = {"type": "function", "name": tool.name}
    if tool.description:
        function["description"] = tool.description
    function["parameters"] = msgspec.Raw(NOTHING) if tool.parameters is None else tool.parameters
    function["strict"] = tool.strict if tool.dialect == NAME else bool(tool.strict)
    if tool.dialect == NAME:
        function.update(tool.extras)
    else:
        for name in tool.extras:
            losses.dropped(f"tools[].{name}")
    return function


def _hosted_out(tool: HostedTool, losses: Losses) -> Mapping[str, Any]:
    if tool.dialect == NAME and isinstance(tool.native, Mapping):
        return tool.native
    match tool.kind:
        case "web_search":
            return _search(tool, losses)
        case "code_execution":
            return {"type": "code_interpreter", "container": {"type": "auto"}}
        case "image_generation":
            return {"type": "image_generation"}
    raise InvalidRequest(
        f"The tool '{tool.kind}' is not supported for this model here: its provider has nothing like it.",
        param="tools",
        code="unsupported_tool",
    )


def _search(tool: HostedTool, losses: Losses) -> dict[str, Any]:
    search: dict[str, Any] = {"type": "web_search"}
    if tool.allowed_domains:
        search["filters"] = {"allowed_domains": tool.allowed_domains}
    if tool.location:
        place = {name: tool.location[name] for name in _PLACES if tool.location.get(name)}
        search["user_location"] = {"type": "approximate", **place}
    for name in ("blocked_domains", "max_uses"):
        if getattr(tool, name):
            losses.dropped(f"tools[].{name}")
    return search


def write_choice(request: ChatRequest, losses: Losses) -> Any:
    """The value of `tool_choice`; None when nothing was said."""
    choice = request.tool_choice
    if choice is None:
        return None
    match choice.mode:
        case "auto" | "none" | "required":
            return choice.mode
        case "tool":
            return next(_references(request, choice, losses), "required")
        case "allowed":
            mode = "required" if choice.required else "auto"
            return {"type": "allowed_tools", "mode": mode, "tools": list(_references(request, choice, losses))}
    assert_never(choice.mode)


def _references(request: ChatRequest, choice: ToolChoice, losses: Losses) -> Iterator[dict[str, Any]]:
    """The tools that a choice names, as it names them."""
    custom = {tool.name for tool in request.tools if isinstance(tool, CustomTool)}
    hosted = {tool.kind: tool for tool in request.tools if isinstance(tool, HostedTool)}
    for name in choice.names:
        if name in hosted:
            written = write_tool(hosted[name], losses)
            kind = str(written["type"])
            reference = {"type": _CHOSEN.get(kind, kind)}
            if kind == "mcp" and "server_label" in written:
                reference["server_label"] = written["server_label"]
            yield reference
        else:
            yield {"type": "custom" if name in custom else "function", "name": name}
