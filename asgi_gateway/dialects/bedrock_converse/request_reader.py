"""Reads a Converse request into the neutral model."""

from collections.abc import Mapping
from typing import Any

import msgspec

from asgi_gateway.canonical import (
    ChatRequest,
    Extra,
    FunctionTool,
    HostedTool,
    Losses,
    OutputFormat,
    Part,
    Sampling,
    Text,
    Tool,
    ToolChoice,
    ToolResult,
    Turn,
)
from asgi_gateway.dialects.bedrock_converse.block_reader import HOSTED, read_blocks, read_cache_mark
from asgi_gateway.dialects.bedrock_converse.names import NAME
from asgi_gateway.dialects.bedrock_converse.reasoning import read_reasoning
from asgi_gateway.dialects.contract import RequestOutline
from asgi_gateway.dialects.node import Node, decode_object, plain_path
from asgi_gateway.errors import InvalidRequest

__all__ = ["ADDITIONAL", "GUARDED_SYSTEM", "read_request"]

ADDITIONAL = "additionalModelRequestFields"
GUARDED_SYSTEM = "system[].guardContent"

ESSENTIAL = frozenset({"guardrailConfig", "promptVariables", GUARDED_SYSTEM})
"""Fields without which a request would mean something else."""


def read_request(body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
    """A caller's body. Raises `InvalidRequest` with `param` for what is wrong in it."""
    node = Node(decode_object(body))
    extras: list[Extra] = []
    additional = node.object(ADDITIONAL)
    left = dict(additional.value) if additional is not None else {}
    output, effort = _output(node, losses)
    reasoning = read_reasoning(left, effort, losses)
    sampling = _sampling(node, left, losses)
    if left:
        extras.append(Extra(NAME, ADDITIONAL, left, "tools" in left))
    tools, choice = _tools(node, losses)
    request = ChatRequest(
        model=outline.model,
        turns=tuple(_turns(node, losses)),
        instructions=tuple(_system(node, extras, losses)),
        tools=tools,
        tool_choice=choice,
        sampling=sampling,
        output=output,
        reasoning=reasoning,
        stream=outline.stream,
        wants_usage=True,
        metadata=_metadata(node),
        service_tier=_tier(node),
    )
    node.skip("modelId")
    extras += [Extra(NAME, name, value, name in ESSENTIAL) for name, value in node.unread().items()]
    return msgspec.structs.replace(request, extras=tuple(extras))


def _turns(node: Node, losses: Losses) -> list[Turn]:
    """Messages as turns: tool results of a user's message are a turn of their own in front of the rest."""
    turns: list[Turn] = []
    for message in node.objects("messages"):
        role = message.require_text("role")
        parts = read_blocks(message.objects("content"), losses)
        for name in message.unread():
            losses.dropped(plain_path(message.at(name)))
        match role:
            case "user":
                results: tuple[Part, ...] = tuple(part for part in parts if isinstance(part, ToolResult))
                others = tuple(part for part in parts if not isinstance(part, ToolResult))
                if results:
                    turns.append(Turn("tool", results))
                if others or not results:
                    turns.append(Turn("user", others))
            case "assistant" | "system":
                turns.append(Turn(role, tuple(parts)))
            case _:
                raise message.unknown("role", "'user', 'assistant' and 'system'")
    return turns


def _system(node: Node, extras: list[Extra], losses: Losses) -> list[Text]:
    texts: list[Text] = []
    guarded: list[Any] = []
    for block in node.objects("system"):
        mark = block.object("cachePoint")
        if mark is not None:
            if texts:
                texts[-1] = msgspec.structs.replace(texts[-1], cache=read_cache_mark(mark))
            else:
                losses.dropped("system[].cachePoint")
        elif "guardContent" in block:
            guarded.append(block.value)
        else:
            texts.append(Text(block.require_text("text")))
    if guarded:
        extras.append(Extra(NAME, GUARDED_SYSTEM, guarded, essential=True))
    return texts


def _tools(node: Node, losses: Losses) -> tuple[tuple[Tool, ...], ToolChoice | None]:
    config = node.object("toolConfig")
    if config is None:
        return (), None
    tools: list[Tool] = []
    for tool in config.objects("tools"):
        mark = tool.object("cachePoint")
        if mark is not None:
            last = tools[-1] if tools else None
            if isinstance(last, FunctionTool):
                tools[-1] = msgspec.structs.replace(last, cache=read_cache_mark(mark))
            else:
                losses.dropped("toolConfig.tools[].cachePoint")
            continue
        tools.append(_tool(tool))
    choice = config.object("toolChoice")
    for name in config.unread():
        losses.dropped(plain_path(config.at(name)))
    return tuple(tools), None if choice is None else _choice(choice)


def _tool(node: Node) -> Tool:
    system = node.object("systemTool")
    if system is not None:
        name = system.require_text("name")
        return HostedTool(kind=HOSTED.get(name, name), dialect=NAME, native=node.value)
    spec = node.object("toolSpec")
    if spec is None:
        raise node.missing("toolSpec")
    schema = spec.object("inputSchema")
    parameters = None if schema is None else schema.object("json")
    return FunctionTool(
        name=spec.require_text("name"),
        description=spec.text("description"),
        parameters=None if parameters is None else parameters.value,
        strict=spec.flag("strict"),
        extras=spec.unread(),
        dialect=NAME,
    )


def _choice(choice: Node) -> ToolChoice:
    if "any" in choice:
        return ToolChoice("required")
    tool = choice.object("tool")
    if tool is not None:
        return ToolChoice("tool", (tool.require_text("name"),))
    if "auto" in choice:
        return ToolChoice("auto")
    raise InvalidRequest("'toolChoice' has auto, any or tool.", param="toolConfig.toolChoice", code="invalid_value")


def _sampling(node: Node, additional: dict[str, Any], losses: Losses) -> Sampling:
    """The inference parameters. `additional` are the model's own: what was read is taken out."""
    config = node.object("inferenceConfig") or Node({}, "inferenceConfig")
    sampling = Sampling(
        max_output=config.integer("maxTokens", least=1),
        temperature=config.number("temperature"),
        top_p=config.number("topP"),
        stop=config.texts("stopSequences"),
        top_k=_top_k(additional),
    )
    for name in config.unread():
        losses.dropped(plain_path(config.at(name)))
    return sampling


def _top_k(additional: dict[str, Any]) -> int | None:
    if type(additional.get("top_k")) is int:
        return int(additional.pop("top_k"))
    nova = additional.get("inferenceConfig")
    if isinstance(nova, dict) and nova.keys() == {"topK"} and type(nova["topK"]) is int:
        del additional["inferenceConfig"]
        return int(nova["topK"])
    return None


def _output(node: Node, losses: Losses) -> tuple[OutputFormat | None, str]:
    """The form of the answer, and the effort, which stand together."""
    config = node.object("outputConfig")
    if config is None:
        return None, ""
    effort = config.text("effort")
    form = config.object("textFormat")
    for name in config.unread():
        losses.dropped(f"outputConfig.{name}")
    if form is None:
        return None, effort
    structure = form.object("structure")
    definition = None if structure is None else structure.object("jsonSchema")
    if definition is None:
        raise form.missing("structure")
    try:
        schema = msgspec.json.decode(definition.require_text("schema"))
    except ValueError as wrong:
        raise definition.wrong("schema", "a JSON schema as text") from wrong
    if not isinstance(schema, dict):
        raise definition.wrong("schema", "a JSON schema as text")
    output = OutputFormat(
        kind="schema", name=definition.text("name"), description=definition.text("description"), schema=schema
    )
    return output, effort


def _metadata(node: Node) -> Mapping[str, str] | None:
    metadata = node.object("requestMetadata")
    return None if metadata is None else {name: metadata.text(name) for name in metadata.value}


def _tier(node: Node) -> str:
    tier = node.object("serviceTier")
    return "" if tier is None else tier.text("type")
