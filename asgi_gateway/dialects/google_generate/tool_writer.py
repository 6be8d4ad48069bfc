"""Tools for a Gemini upstream, and which of them it may use.

Functions stand together in one tool. Free-text tools of OpenAI's become functions with one string. Hosted tools of
others become Google's where it has the like; others are refused by name.
"""

import re
from collections.abc import Sequence
from typing import Any, assert_never

from asgi_gateway.canonical import ChatRequest, CustomTool, FunctionTool, HostedTool, Losses, ToolChoice
from asgi_gateway.dialects.google_generate.models import abilities_of
from asgi_gateway.dialects.google_generate.names import NAME
from asgi_gateway.errors import InvalidRequest

__all__ = ["FREE_TEXT", "write_tool_config", "write_tools"]

FREE_TEXT = "input"
"""The one argument of a function that stands for a free-text tool."""

_HOSTED: dict[str, str] = {
    "web_search": "googleSearch",
    "web_fetch": "urlContext",
    "code_execution": "codeExecution",
    "maps": "googleMaps",
}

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,127}")


def write_tools(request: ChatRequest, losses: Losses) -> list[dict[str, Any]]:
    """The `tools` of a request. Raises `InvalidRequest` for a name or a hosted tool that Google does not have."""
    functions: list[dict[str, Any]] = []
    written: list[dict[str, Any]] = []
    for tool in request.tools:
        match tool:
            case FunctionTool() | CustomTool():
                if not functions:
                    written.append({"functionDeclarations": functions})
                functions.append(
                    _function(tool, losses) if isinstance(tool, FunctionTool) else _free_text(tool, losses)
                )
            case HostedTool():
                hosted = _hosted(tool, losses)
                if hosted not in written:
                    written.append(hosted)
            case _:
                assert_never(tool)
    return written


def _function(tool: FunctionTool, losses: Losses) -> dict[str, Any]:
    if tool.cache is not None:
        losses.dropped("cache_control")
    made: dict[str, Any] = {"name": _checked(tool.name)}
    if tool.description:
        made["description"] = tool.description
    if tool.parameters:
        made["parametersJsonSchema"] = tool.parameters
    if tool.dialect == NAME:
        made.update(tool.extras)
    else:
        for name in tool.extras:
            losses.dropped(f"tools[].{name}")
    return made


def _free_text(tool: CustomTool, losses: Losses) -> dict[str, Any]:
    losses.approximated("tools[].custom")
    description = "The whole input, as free text."
    grammar = (tool.format or {}).get("definition") or (tool.format or {}).get("grammar")
    if isinstance(grammar, dict):
        grammar = grammar.get("definition")
    if isinstance(grammar, str):
        description += f" It must follow this grammar:\n{grammar}"
    properties = {FREE_TEXT: {"type": "string", "description": description}}
    made: dict[str, Any] = {"name": _checked(tool.name)}
    if tool.description:
        made["description"] = tool.description
    made["parametersJsonSchema"] = {"type": "object", "properties": properties, "required": [FREE_TEXT]}
    return made


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise InvalidRequest(
            f"The tool's name '{name[:64]}' cannot be used with this model: a name begins with a letter or an "
            "underscore, has letters, digits and _ . : - behind it, and at most 128 of them.",
            param="tools",
            code="invalid_value",
        )
    return name


def _hosted(tool: HostedTool, losses: Losses) -> dict[str, Any]:
    if tool.dialect == NAME:
        return dict(tool.native)
    name = _HOSTED.get(tool.kind)
    if name is None:
        raise InvalidRequest(
            f"The tool '{tool.kind}' is not supported for this model here: its provider has nothing like it.",
            param="tools",
            code="unsupported_tool",
        )
    for field in ("allowed_domains", "blocked_domains", "location", "max_uses"):
        if getattr(tool, field):
            losses.dropped(f"tools[].{field}")
    return {name: {}}


def write_tool_config(request: ChatRequest, tools: Sequence[dict[str, Any]], losses: Losses) -> dict[str, Any]:
    """The `toolConfig`: {} when nothing is to be said.

    Strict tools are asked for by the mode VALIDATED, which holds for all functions. Gemini 3 mixes functions with
    tools of its own only when its own calls are told in the answer.
    """
    functions = any("functionDeclarations" in tool for tool in tools)
    if request.parallel_tools is False:
        losses.dropped("parallel_tool_calls")
    config: dict[str, Any] = {}
    if functions:
        calling = _calling(request, losses)
        if calling:
            config["functionCallingConfig"] = calling
        if len(tools) > 1 and abilities_of(request.model).generation >= 3:
            config["includeServerSideToolInvocations"] = True
    elif request.tool_choice is not None and request.tool_choice.mode not in ("auto", "none"):
        losses.dropped("tool_choice")
    return config


def _calling(request: ChatRequest, losses: Losses) -> dict[str, Any]:
    strict = [tool.strict for tool in request.tools if isinstance(tool, FunctionTool)]
    choice = request.tool_choice
    if choice is None or choice.mode == "auto":
        if any(strict):
            if not all(strict):
                losses.approximated("tools[].strict")
            return {"mode": "VALIDATED"}
        return {} if choice is None else {"mode": "AUTO"}
    if any(strict):
        losses.dropped("tools[].strict")
    return _chosen(choice)


def _chosen(choice: ToolChoice) -> dict[str, Any]:
    match choice.mode:
        case "none":
            return {"mode": "NONE"}
        case "required":
            return {"mode": "ANY"}
        case "tool":
            return {"mode": "ANY", "allowedFunctionNames": list(choice.names)}
        case "allowed":
            mode = "ANY" if choice.required else "VALIDATED"
            return {"mode": mode, "allowedFunctionNames": list(choice.names)}
        case "auto":
            return {"mode": "AUTO"}
    assert_never(choice.mode)
