"""Writes a request for Converse. Model and stream stand in the path, not here."""

from typing import assert_never

import msgspec

from asgi_gateway.canonical import (
    ChatRequest,
    CustomTool,
    FunctionTool,
    HostedTool,
    Losses,
    OutputFormat,
    Tool,
    ToolChoice,
)
from asgi_gateway.dialects.bedrock_converse.block_reader import HOSTED
from asgi_gateway.dialects.bedrock_converse.block_writer import BlockWriter
from asgi_gateway.dialects.bedrock_converse.inference import write_inference
from asgi_gateway.dialects.bedrock_converse.media import Json
from asgi_gateway.dialects.bedrock_converse.models import family_of
from asgi_gateway.dialects.bedrock_converse.names import NAME
from asgi_gateway.dialects.bedrock_converse.reasoning import write_reasoning
from asgi_gateway.dialects.bedrock_converse.request_reader import ADDITIONAL, GUARDED_SYSTEM
from asgi_gateway.errors import InvalidRequest

__all__ = ["write_request"]

FREE_TEXT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
NO_PARAMETERS: Json = {"type": "object", "properties": {}}
TIERS = frozenset({"priority", "default", "flex", "reserved"})

_encoder = msgspec.json.Encoder()


def write_request(request: ChatRequest, losses: Losses) -> bytes:
    """A body for Converse. Raises `InvalidRequest` with `param` for what must not be left out."""
    _refuse(request)
    _drop(request, losses)
    extras = dict(request.own_extras(NAME, losses))
    blocks = BlockWriter(request, losses)
    messages = blocks.messages()
    body: Json = {}
    system = [
        block
        for text in request.instructions
        if text.text.strip()
        for block in blocks.marked({"text": text.text}, text.cache)
    ]
    system += extras.pop(GUARDED_SYSTEM, [])
    if system:
        body["system"] = system
    body["messages"] = messages
    tools = _tool_config(request, blocks, losses)
    if tools is not None:
        body["toolConfig"] = tools
    additional: Json = {}
    _write_config(request, body, additional, losses)
    additional.update(extras.pop(ADDITIONAL, {}))
    if additional:
        body[ADDITIONAL] = additional
    if request.metadata:
        body["requestMetadata"] = request.metadata
    if request.service_tier in TIERS:
        body["serviceTier"] = {"type": request.service_tier}
    elif request.service_tier not in ("", "auto"):
        losses.dropped("service_tier")
    body.update(extras)
    return _encoder.encode(body)


def _refuse(request: ChatRequest) -> None:
    if request.sampling.choices > 1:
        raise _unsupported("n", "more than one answer at a time")
    if request.cached_content:
        raise _unsupported("cached_content", "stored caches")
    if request.audio is not None or any(kind != "text" for kind in request.modalities):
        raise _unsupported("modalities", "output other than text")


def _drop(request: ChatRequest, losses: Losses) -> None:
    sampling = request.sampling
    given = {
        "parallel_tool_calls": request.parallel_tools is False,
        "verbosity": bool(request.verbosity),
        "user": bool(request.user),
        "store": bool(request.store),
        "prompt_cache_key": bool(request.cache_key),
        "prompt_cache_retention": bool(request.cache_retention),
        "seed": sampling.seed is not None,
        "min_p": sampling.min_p is not None,
        "presence_penalty": bool(sampling.presence_penalty),
        "frequency_penalty": bool(sampling.frequency_penalty),
        "logprobs": sampling.logprobs or bool(sampling.top_logprobs),
        "logit_bias": bool(sampling.logit_bias),
    }
    for name, present in given.items():
        if present:
            losses.dropped(name)


def _tool_config(request: ChatRequest, blocks: BlockWriter, losses: Losses) -> Json | None:
    """The tools. They must be there when the conversation called some, even if it has none any more."""
    choice, tools = request.tool_choice, request.tools
    if choice is not None and choice.mode == "none" and tools:
        if blocks.called:
            losses.dropped("tool_choice")
        else:
            losses.approximated("tool_choice")
            tools = ()
        choice = None
    if choice is not None and choice.mode == "allowed":
        losses.approximated("tool_choice")
        tools = tuple(tool for tool in tools if not isinstance(tool, HostedTool) and tool.name in choice.names)
    written = [block for tool in tools for block in _tool(tool, request.model, blocks, losses)]
    if not written and blocks.called:
        losses.invented("toolConfig")
        written = [{"toolSpec": {"name": name, "inputSchema": {"json": NO_PARAMETERS}}} for name in blocks.called]
        choice = None
    if not written:
        return None
    chosen = _choice(choice)
    return {"tools": written} if chosen is None else {"tools": written, "toolChoice": chosen}


def _choice(choice: ToolChoice | None) -> Json | None:
    if choice is None or choice.mode == "none":
        return None
    if choice.mode == "tool":
        return {"tool": {"name": choice.names[0]}}
    if choice.mode == "required" or (choice.mode == "allowed" and choice.required):
        return {"any": {}}
    return {"auto": {}}


def _tool(tool: Tool, model: str, blocks: BlockWriter, losses: Losses) -> list[Json]:
    match tool:
        case FunctionTool():
            spec: Json = {"name": tool.name}
            if tool.description:
                spec["description"] = tool.description
            spec["inputSchema"] = {"json": NO_PARAMETERS if tool.parameters is None else tool.parameters}
            if tool.strict is not None:
                spec["strict"] = tool.strict
            if tool.dialect == NAME:
                spec.update(tool.extras)
            else:
                for name in tool.extras:
                    losses.dropped(f"tools[].{name}")
            return blocks.marked({"toolSpec": spec}, tool.cache)
        case CustomTool():
            losses.approximated("tools[].custom")
            spec = {"name": tool.name}
            if tool.description:
                spec["description"] = tool.description
            return [{"toolSpec": {**spec, "inputSchema": {"json": FREE_TEXT}}}]
        case HostedTool():
            return [_hosted(tool, model, losses)]
        case _:
            assert_never(tool)


def _hosted(tool: HostedTool, model: str, losses: Losses) -> Json:
    if tool.dialect == NAME and isinstance(tool.native, dict):
        return tool.native
    name = next((amazon for amazon, kind in HOSTED.items() if kind == tool.kind), None)
    if name is None or family_of(model) != "nova":
        raise InvalidRequest(
            f"The tool '{tool.kind}' is not supported for this model here: its provider has nothing like it.",
            param="tools",
            code="unsupported_tool",
        )
    if tool.allowed_domains or tool.blocked_domains or tool.location or tool.max_uses is not None:
        losses.dropped(f"tools[].{tool.kind}")
    return {"systemTool": {"name": name}}


def _write_config(request: ChatRequest, body: Json, additional: Json, losses: Losses) -> None:
    """Inference parameters, reasoning and the form of the answer, as the model's family wants them."""
    choice, effort = request.tool_choice, ""
    forced = choice is not None and (choice.mode in ("required", "tool") or choice.required)
    if request.reasoning is not None:
        fields, effort = write_reasoning(request.reasoning, request.model, request.sampling, forced, losses)
        additional.update(fields)
    config = write_inference(request.sampling, request.model, additional, losses)
    if config:
        body["inferenceConfig"] = config
    output = _output(request.output, effort, losses)
    if output:
        body["outputConfig"] = output


def _output(output: OutputFormat | None, effort: str, losses: Losses) -> Json:
    config: Json = {}
    if output is not None and output.kind == "schema" and output.schema is not None:
        definition: Json = {"schema": _encoder.encode(output.schema).decode()}
        if output.name:
            definition["name"] = output.name
        if output.description:
            definition["description"] = output.description
        config["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": definition}}
    elif output is not None and output.kind != "text":
        losses.dropped("response_format")
    if effort:
        config["effort"] = effort
    return config


def _unsupported(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"'{param}' is not supported for this model here: its provider knows no {what}.",
        param=param,
        code="unsupported_parameter",
    )
