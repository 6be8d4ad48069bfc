"""The response object: what a caller asked for, echoed, with what came of it."""

from typing import Any

from asgi_gateway.canonical import ChatRequest, HostedTool, Losses, Reasoning, Started
from asgi_gateway.dialects.contract import AnswerContext
from asgi_gateway.dialects.openai_responses.names import NAME
from asgi_gateway.dialects.openai_responses.request_writer import TIERS, write_format
from asgi_gateway.dialects.openai_responses.tools import write_choice, write_tool

__all__ = ["echo"]

_ECHOED = frozenset(
    {"background", "max_tool_calls", "previous_response_id", "prompt", "truncation", "prompt_cache_options"}
)
"""Own fields of a request that its response shows as they were."""


def echo(context: AnswerContext, started: Started) -> dict[str, Any]:
    """A response in which nothing has been said: in progress, with all fields that OpenAI's responses have."""
    request = context.request
    sampling = request.sampling
    response: dict[str, Any] = {
        "id": started.id or f"resp_{context.id}",
        "object": "response",
        "created_at": started.created or context.created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions[0].text if request.instructions else None,
        "max_output_tokens": sampling.max_output,
        "max_tool_calls": None,
        "model": started.model or request.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tools is not False,
        "previous_response_id": None,
        "prompt_cache_key": request.cache_key or None,
        "reasoning": _reasoning(request.reasoning),
        "safety_identifier": None,
        "service_tier": started.service_tier if started.service_tier in TIERS else None,
        "store": request.store is not False,
        "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
        "text": _text(request),
        "tool_choice": write_choice(_own(request), Losses("response")) or "auto",
        "tools": [write_tool(tool, Losses("response")) for tool in _own(request).tools],
        "top_logprobs": sampling.top_logprobs or 0,
        "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": request.user or None,
        "metadata": request.metadata or {},
    }
    for extra in request.extras:
        if extra.dialect == NAME and extra.name in _ECHOED:
            response[extra.name] = extra.value
        elif extra.dialect == NAME and extra.name == "conversation":
            conversation = extra.value
            response["conversation"] = {"id": conversation} if isinstance(conversation, str) else conversation
    return response


def _own(request: ChatRequest) -> ChatRequest:
    """The request with the tools that Responses knows: a caller of this dialect has no others."""
    if not any(isinstance(tool, HostedTool) and tool.dialect != NAME for tool in request.tools):
        return request
    tools = tuple(tool for tool in request.tools if not (isinstance(tool, HostedTool) and tool.dialect != NAME))
    return ChatRequest(model=request.model, turns=(), tools=tools, tool_choice=request.tool_choice)


def _reasoning(asked: Reasoning | None) -> dict[str, Any]:
    if asked is None:
        return {"effort": None, "summary": None}
    return {"effort": asked.effort, "summary": asked.summary or None}


def _text(request: ChatRequest) -> dict[str, Any]:
    output = request.output
    return {
        "format": {"type": "text"} if output is None else write_format(output),
        "verbosity": request.verbosity or "medium",
    }
