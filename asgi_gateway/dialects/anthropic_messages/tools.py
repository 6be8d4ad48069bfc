"""Tools and the choice among them, read and written."""

from collections.abc import Mapping
from typing import assert_never

from asgi_gateway.canonical import ChatRequest, CustomTool, FunctionTool, HostedTool, Losses, Tool, ToolChoice
from asgi_gateway.dialects.anthropic_messages.leftovers import note_unread
from asgi_gateway.dialects.anthropic_messages.media import read_cache, write_cache
from asgi_gateway.dialects.anthropic_messages.models import Traits
from asgi_gateway.dialects.anthropic_messages.names import NAME, Json
from asgi_gateway.dialects.anthropic_messages.schemas import closed
from asgi_gateway.dialects.node import Node
from asgi_gateway.errors import InvalidRequest

__all__ = ["is_forced", "read_choice", "read_tool", "write_choice", "write_tools"]

FREE_TEXT: Json = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
NO_PARAMETERS: Json = {"type": "object", "properties": {}}

KINDS: Mapping[str, str] = {
    "web_search": "web_search",
    "web_fetch": "web_fetch",
    "code_execution": "code_execution",
    "bash": "shell",
    "text_editor": "text_editor",
    "computer": "computer",
    "memory": "memory",
    "tool_search_tool": "tool_search",
    "mcp_toolset": "mcp",
}
"""By the beginning of a tool's type: the neutral name."""

WRITTEN: Mapping[str, tuple[str, str]] = {
    "web_search": ("web_search_20250305", "web_search"),
    "web_fetch": ("web_fetch_20250910", "web_fetch"),
    "code_execution": ("code_execution_20250825", "code_execution"),
}
"""Type and name of the tools that Anthropic runs and others have, too."""

NEUTRAL = frozenset(
    {"type", "name", "filters", "allowed_domains", "blocked_domains", "user_location", "max_uses", "cache_control"}
)
"""Members of a tool of another's that are carried, or say nothing."""


def read_tool(tool: Node, losses: Losses) -> Tool:
    """One tool: a function of the caller's, or one that Anthropic defines, by its type."""
    kind = tool.text("type", "custom")
    if kind != "custom":
        return _read_hosted(tool, kind)
    parameters = tool.object("input_schema")
    name = tool.require_text("name")
    description = tool.text("description")
    strict = tool.flag("strict")
    return FunctionTool(
        name=name,
        description=description,
        parameters=None if parameters is None else parameters.value,
        strict=strict,
        cache=read_cache(tool, losses),
        extras=tool.unread(),
        dialect=NAME,
    )


def _read_hosted(tool: Node, kind: str) -> HostedTool:
    neutral = next((name for start, name in KINDS.items() if kind.startswith(start)), kind)
    location = tool.object("user_location")
    return HostedTool(
        kind=neutral,
        dialect=NAME,
        native=tool.value,
        allowed_domains=tool.texts("allowed_domains"),
        blocked_domains=tool.texts("blocked_domains"),
        location=None if location is None else location.value,
        max_uses=tool.integer("max_uses", 1),
    )


def read_choice(body: Node, losses: Losses) -> tuple[ToolChoice | None, bool | None]:
    """The choice, and whether calls may stand side by side."""
    choice = body.object("tool_choice")
    if choice is None:
        return None, None
    kind = choice.require_text("type")
    single = choice.flag("disable_parallel_tool_use")
    parallel = None if single is None else not single
    match kind:
        case "auto" | "none":
            read = ToolChoice("auto" if kind == "auto" else "none")
        case "any":
            read = ToolChoice("required")
        case "tool":
            read = ToolChoice("tool", (choice.require_text("name"),))
        case _:
            raise choice.unknown("type", "'auto', 'any', 'tool', 'none'")
    note_unread(choice, losses)
    return read, parallel


def write_tools(request: ChatRequest, traits: Traits, losses: Losses) -> list[Json]:
    """The tools that may be called."""
    choice, tools = request.tool_choice, request.tools
    if choice is not None and choice.mode == "allowed":
        losses.approximated("tool_choice")
        tools = tuple(tool for tool in tools if isinstance(tool, HostedTool) or tool.name in choice.names)
    return [_write_tool(tool, traits, losses) for tool in tools]


def _write_tool(tool: Tool, traits: Traits, losses: Losses) -> Json:
    match tool:
        case FunctionTool():
            return _write_function(tool, traits, losses)
        case CustomTool():
            losses.approximated("tools[].custom")
            block: Json = {"name": tool.name}
            if tool.description:
                block["description"] = tool.description
            return {**block, "input_schema": FREE_TEXT}
        case HostedTool():
            return _write_hosted(tool, losses)
        case _:
            assert_never(tool)


def _write_function(tool: FunctionTool, traits: Traits, losses: Losses) -> Json:
    block: Json = {"name": tool.name}
    if tool.description:
        block["description"] = tool.description
    schema = dict(tool.parameters) if tool.parameters else NO_PARAMETERS
    if "type" not in schema:
        schema = {"type": "object", **schema}
    elif schema["type"] != "object":  # the input of a tool is an object
        losses.approximated("tools[].input_schema")
        schema = {**schema, "type": "object"}
    if tool.strict and not traits.schemas:
        losses.dropped("tools[].strict")
    elif tool.strict is not None and traits.schemas:
        block["input_schema"] = closed(schema, "tools[].input_schema", losses) if tool.strict else schema
        block["strict"] = tool.strict
    block.setdefault("input_schema", schema)
    if tool.dialect == NAME:
        block.update(tool.extras)
    else:
        for name in tool.extras:
            losses.dropped(f"tools[].{name}")
    return write_cache(block, tool.cache)


def _write_hosted(tool: HostedTool, losses: Losses) -> Json:
    if tool.dialect == NAME and isinstance(tool.native, dict):
        return tool.native
    if tool.kind not in WRITTEN:
        raise InvalidRequest(
            f"The tool '{tool.kind}' is not supported for this model here: its provider has nothing like it.",
            param="tools",
            code="unsupported_tool",
        )
    if isinstance(tool.native, dict) and any(value for name, value in tool.native.items() if name not in NEUTRAL):
        losses.approximated(f"tools[].{tool.kind}")
    kind, name = WRITTEN[tool.kind]
    block: Json = {"type": kind, "name": name}
    if tool.kind == "code_execution":
        return block
    if tool.allowed_domains:
        block["allowed_domains"] = list(tool.allowed_domains)
    if tool.allowed_domains and tool.blocked_domains:  # both at once are refused
        losses.dropped("tools[].blocked_domains")
    elif tool.blocked_domains:
        block["blocked_domains"] = list(tool.blocked_domains)
    if tool.location and tool.kind == "web_search":
        block["user_location"] = {"type": "approximate", **tool.location}
    if tool.max_uses is not None:
        block["max_uses"] = tool.max_uses
    return block


def is_forced(request: ChatRequest) -> bool:
    """Whether the model must call a tool."""
    choice = request.tool_choice
    if choice is None or not request.tools:
        return False
    return choice.mode in ("required", "tool") or (choice.mode == "allowed" and choice.required)


def write_choice(request: ChatRequest, tools: list[Json], traits: Traits, losses: Losses) -> Json | None:
    """The choice. A model that refuses to be forced is asked to choose itself, and that is noted."""
    if not tools:
        return None
    written = _choice(request.tool_choice)
    if written is not None and written["type"] == "none":
        return written
    if written is not None and written["type"] != "auto" and traits.forced == "refused":
        losses.approximated("tool_choice")
        written = {"type": "auto"}
    if request.parallel_tools is not None:
        written = {"type": "auto"} if written is None else written
        written["disable_parallel_tool_use"] = not request.parallel_tools
    return written


def _choice(choice: ToolChoice | None) -> Json | None:
    if choice is None:
        return None
    match choice.mode:
        case "tool":
            return {"type": "tool", "name": choice.names[0]} if choice.names else {"type": "any"}
        case "required":
            return {"type": "any"}
        case "allowed":
            return {"type": "any" if choice.required else "auto"}
        case "auto" | "none":
            return {"type": choice.mode}
        case _:
            assert_never(choice.mode)
