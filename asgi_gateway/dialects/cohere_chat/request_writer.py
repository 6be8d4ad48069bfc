"""Writes a request for Cohere."""

from typing import Any, assert_never

import msgspec

from asgi_gateway.canonical import (
    ChatRequest,
    CustomTool,
    FunctionTool,
    HostedTool,
    Losses,
    OutputFormat,
    Sampling,
    Tool,
)
from asgi_gateway.dialects.cohere_chat.citations import NAME
from asgi_gateway.dialects.cohere_chat.message_writer import MessageWriter
from asgi_gateway.dialects.cohere_chat.thinking import write_thinking
from asgi_gateway.errors import InvalidRequest

__all__ = ["write_request"]

MOST_STOPS = 5
MOST_P = 0.99
FREE_TEXT = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
NO_PARAMETERS = {"type": "object", "properties": {}}

_encoder = msgspec.json.Encoder()


def write_request(request: ChatRequest, losses: Losses) -> bytes:
    """A body for Cohere. Raises `InvalidRequest` with `param` for what must not be left out."""
    _refuse(request)
    _drop(request, losses)
    body: dict[str, Any] = {
        "model": request.model,
        "messages": MessageWriter(request, losses).messages(),
        "stream": request.stream,
    }
    _write_tools(request, body, losses)
    _write_sampling(request.sampling, body, losses)
    if request.output is not None:
        body["response_format"] = _output(request.output, losses)
    if request.reasoning is not None:
        thinking = write_thinking(request.reasoning, request.model, losses)
        if thinking is not None:
            body["thinking"] = thinking
    body.update(request.own_extras(NAME, losses))
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
        "metadata": bool(request.metadata),
        "service_tier": request.service_tier not in ("", "auto", "default"),
        "store": bool(request.store),
        "prompt_cache_key": bool(request.cache_key),
        "prompt_cache_retention": bool(request.cache_retention),
        "min_p": sampling.min_p is not None,
        "top_logprobs": bool(sampling.top_logprobs),
        "logit_bias": bool(sampling.logit_bias),
    }
    for name, present in given.items():
        if present:
            losses.dropped(name)


def _write_tools(request: ChatRequest, body: dict[str, Any], losses: Losses) -> None:
    choice, tools = request.tool_choice, request.tools
    if choice is not None and choice.mode in ("tool", "allowed"):
        # Cohere cannot name a tool: the others are left out.
        losses.approximated("tool_choice")
        tools = tuple(tool for tool in tools if not isinstance(tool, HostedTool) and tool.name in choice.names)
    if tools:
        body["tools"] = [_tool(tool, losses) for tool in tools]
    strict = {tool.strict for tool in tools if isinstance(tool, FunctionTool)}
    if len(strict) == 1 and (only := strict.pop()) is not None:
        body["strict_tools"] = only
    elif True in strict:
        losses.dropped("tools[].strict")
    if choice is None or not tools:
        return
    if choice.mode == "none":
        body["tool_choice"] = "NONE"
    elif choice.mode in ("required", "tool") or (choice.mode == "allowed" and choice.required):
        body["tool_choice"] = "REQUIRED"


def _tool(tool: Tool, losses: Losses) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name} if not isinstance(tool, HostedTool) else {}
    match tool:
        case FunctionTool():
            if tool.description:
                function["description"] = tool.description
            function["parameters"] = NO_PARAMETERS if tool.parameters is None else tool.parameters
            if tool.cache is not None:
                losses.dropped("cache_control")
            if tool.dialect == NAME:
                function.update(tool.extras)
            else:
                for name in tool.extras:
                    losses.dropped(f"tools[].{name}")
        case CustomTool():
            losses.approximated("tools[].custom")
            function |= {"description": tool.description, "parameters": FREE_TEXT}
        case HostedTool():
            raise InvalidRequest(
                f"The tool '{tool.kind}' is not supported for this model here: its provider has nothing like it.",
                param="tools",
                code="unsupported_tool",
            )
        case _:
            assert_never(tool)
    return {"type": "function", "function": function}


def _write_sampling(sampling: Sampling, body: dict[str, Any], losses: Losses) -> None:
    p = sampling.top_p
    if p is not None and not 0.01 <= p <= MOST_P:
        losses.approximated("top_p")
        p = min(max(p, 0.01), MOST_P)
    stop = list(sampling.stop[:MOST_STOPS])
    if len(sampling.stop) > MOST_STOPS:
        losses.approximated("stop")
    fields = {
        "max_tokens": sampling.max_output,
        "stop_sequences": stop or None,
        "temperature": sampling.temperature,
        "seed": sampling.seed,
        "frequency_penalty": _penalty(sampling.frequency_penalty, "frequency_penalty", losses),
        "presence_penalty": _penalty(sampling.presence_penalty, "presence_penalty", losses),
        "k": sampling.top_k,
        "p": p,
        "logprobs": sampling.logprobs or None,
    }
    body.update({name: value for name, value in fields.items() if value is not None})


def _penalty(value: float | None, name: str, losses: Losses) -> float | None:
    """Cohere takes penalties from 0 to 1."""
    if value is None or 0 <= value <= 1:
        return value
    losses.approximated(name)
    return min(max(value, 0.0), 1.0)


def _output(output: OutputFormat, losses: Losses) -> dict[str, Any]:
    if output.description:
        losses.dropped("response_format.description")
    if output.kind == "text":
        return {"type": "text"}
    if output.kind == "schema" and output.schema is not None:
        return {"type": "json_object", "json_schema": output.schema}
    return {"type": "json_object"}


def _unsupported(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"'{param}' is not supported for this model here: its provider knows no {what}.",
        param=param,
        code="unsupported_parameter",
    )
