"""Tools, and which of them the model may use, out of a request.

Follows https://ai.google.dev/api/caching#Tool and #FunctionCallingConfig.
"""

from typing import Any

from asgi_gateway.canonical import FunctionTool, HostedTool, Losses, Tool, ToolChoice
from asgi_gateway.dialects.google_generate.names import NAME
from asgi_gateway.dialects.google_generate.schemas import json_schema
from asgi_gateway.dialects.google_generate.spelling import with_lists
from asgi_gateway.dialects.node import Node, plain_path

__all__ = ["HOSTED", "read_tool_choice", "read_tools"]

HOSTED = {
    "googleSearch": "web_search",
    "googleSearchRetrieval": "web_search",
    "enterpriseWebSearch": "web_search",
    "urlContext": "web_fetch",
    "codeExecution": "code_execution",
    "fileSearch": "file_search",
    "googleMaps": "maps",
    "computerUse": "computer",
    "mcpServers": "mcp",
}
"""Google's tools by their neutral names. One that is not here keeps its own."""


def read_tools(body: Node, losses: Losses) -> tuple[Tool, ...]:
    """The tools, in order."""
    tools: list[Tool] = []
    for given in body.objects("tools"):
        node = with_lists(given, "functionDeclarations")
        tools += [_function(declared, losses) for declared in node.objects("functionDeclarations")]
        for name, value in node.unread().items():
            domains = value.get("excludeDomains") if isinstance(value, dict) else None
            blocked = tuple(map(str, domains)) if isinstance(domains, list) else ()
            tools.append(
                HostedTool(kind=HOSTED.get(name, name), dialect=NAME, native={name: value}, blocked_domains=blocked)
            )
    return tuple(tools)


def _function(declared: Node, losses: Losses) -> FunctionTool:
    name = declared.require_text("name")
    description = declared.text("description")
    schema: dict[str, Any] | None = None
    plain = declared.object("parametersJsonSchema")
    if plain is not None:
        schema = dict(plain.value)
        declared.skip("parameters")
    else:
        parameters = declared.object("parameters")
        schema = None if parameters is None else json_schema(parameters.value)
    extras = declared.unread()
    for extra in extras.keys() - {"response", "responseJsonSchema", "behavior"}:
        losses.dropped(plain_path(declared.at(extra)))
        del extras[extra]
    dialect = NAME if extras else ""
    return FunctionTool(name=name, description=description, parameters=schema, extras=extras, dialect=dialect)


def read_tool_choice(body: Node) -> tuple[ToolChoice | None, dict[str, Any]]:
    """Which tools may be used, and what else `toolConfig` says.

    VALIDATED checks the arguments of calls that stay voluntary: it is "auto" to others, and kept for Google.
    """
    config = body.object("toolConfig")
    if config is None:
        return None, {}
    rest: dict[str, Any] = {}
    choice: ToolChoice | None = None
    calling = config.object("functionCallingConfig")
    if calling is not None:
        mode = calling.text("mode").upper()
        names = calling.texts("allowedFunctionNames")
        choice = _choice(calling, mode, names)
        own = calling.unread()
        if mode == "VALIDATED" and not names:
            own["mode"] = mode
        if own:
            rest["functionCallingConfig"] = own
    return choice, {**rest, **config.unread()}


def _choice(calling: Node, mode: str, names: tuple[str, ...]) -> ToolChoice | None:
    match mode:
        case "ANY":
            if len(names) == 1:
                return ToolChoice("tool", names)
            return ToolChoice("allowed", names, required=True) if names else ToolChoice("required")
        case "NONE":
            return ToolChoice("none")
        case "AUTO":
            return ToolChoice("auto")
        case "VALIDATED":
            return ToolChoice("allowed", names) if names else ToolChoice("auto")
        case "" | "MODE_UNSPECIFIED":
            return None
    raise calling.unknown("mode", "AUTO, ANY, NONE, VALIDATED")
