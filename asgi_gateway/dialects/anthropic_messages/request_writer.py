"""Writes a request for an upstream. The order of its members never changes: prompt caches rest on it."""

import msgspec

from asgi_gateway.canonical import ChatRequest, Losses, OutputFormat, Reasoning, ToolCall
from asgi_gateway.dialects.anthropic_messages.message_writer import may_go_on_thinking, write_messages, write_system
from asgi_gateway.dialects.anthropic_messages.models import Traits, traits_of
from asgi_gateway.dialects.anthropic_messages.names import NAME, Json
from asgi_gateway.dialects.anthropic_messages.schemas import closed
from asgi_gateway.dialects.anthropic_messages.thinking import Asked, write_reasoning
from asgi_gateway.dialects.anthropic_messages.tools import is_forced, write_choice, write_tools
from asgi_gateway.errors import InvalidRequest

__all__ = ["write_request"]

TIERS = {"auto": "auto", "default": "standard_only"}

_encoder = msgspec.json.Encoder()


def write_request(request: ChatRequest, losses: Losses) -> bytes:
    """A body for Anthropic. Raises `InvalidRequest` with `param` for what must not be left out."""
    _refuse(request)
    _drop(request, losses)
    extras = dict(request.own_extras(NAME, losses))
    traits = traits_of(request.model)
    system = write_system(request, losses, schemas=traits.schemas)
    messages = write_messages(request, losses, system=traits.system)
    asked = _asked(request, traits, messages, losses)
    body: Json = {"model": request.model, "max_tokens": asked.max_output}
    if system:
        body["system"] = system
    body["messages"] = messages
    _write_tools(request, traits, body, losses)
    if asked.thinking is not None:
        body["thinking"] = asked.thinking
    if asked.effort:
        body["output_config"] = {"effort": asked.effort}
    _write_sampling(asked, body, losses)
    if traits.schemas:
        _write_format(request.output, body, losses)
    if request.user:
        body["metadata"] = {"user_id": request.user}
    if request.service_tier in TIERS:
        body["service_tier"] = TIERS[request.service_tier]
    elif request.service_tier:
        losses.dropped("service_tier")
    if request.stream:
        body["stream"] = True
    for name, value in extras.items():
        body[name] = {**body.get(name, {}), **value} if name == "output_config" else value
    return _encoder.encode(body)


def _asked(request: ChatRequest, traits: Traits, messages: list[Json], losses: Losses) -> Asked:
    """How to think, and what goes with it. A turn that waits for results cannot begin to think with a budget."""
    reasoning, forced = request.reasoning, is_forced(request)
    if traits.budgets and reasoning is not None and not may_go_on_thinking(messages):
        tried = write_reasoning(reasoning, traits, request.sampling, forced=forced, losses=Losses("request"))
        if tried.thinking is not None and "budget_tokens" in tried.thinking:
            losses.dropped("reasoning")
            reasoning = Reasoning(enabled=False)
    return write_reasoning(reasoning, traits, request.sampling, forced=forced, losses=losses)


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
        "verbosity": bool(request.verbosity),
        "metadata": bool(request.metadata),
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


def _write_tools(request: ChatRequest, traits: Traits, body: Json, losses: Losses) -> None:
    tools = write_tools(request, traits, losses)
    choice = write_choice(request, tools, traits, losses)
    if not tools and (called := _called(request)):  # a conversation with calls is refused without tools
        losses.invented("tools")
        tools = [{"name": name, "input_schema": {"type": "object", "properties": {}}} for name in called]
        choice = {"type": "none"}
    if tools:
        body["tools"] = tools
    if choice is not None:
        body["tool_choice"] = choice


def _called(request: ChatRequest) -> list[str]:
    """The names of the tools that were called, each once."""
    calls = (part.name for turn in request.turns for part in turn.parts if isinstance(part, ToolCall))
    return list(dict.fromkeys(calls))


def _write_sampling(asked: Asked, body: Json, losses: Losses) -> None:
    sampling = asked.sampling
    for name in ("temperature", "top_p", "top_k"):
        value = getattr(sampling, name)
        if value is not None:
            body[name] = value
    stop = [sequence for sequence in sampling.stop if sequence.strip()]
    if len(stop) < len(sampling.stop):  # blank ones are refused
        losses.dropped("stop")
    if stop:
        body["stop_sequences"] = stop


def _write_format(output: OutputFormat | None, body: Json, losses: Losses) -> None:
    if output is None or output.kind != "schema" or output.schema is None:
        return
    if output.description:  # a name is for the caller's own order, and no loss
        losses.dropped("response_format.description")
    form = {"type": "json_schema", "schema": closed(output.schema, "response_format.schema", losses)}
    body["output_config"] = {**body.get("output_config", {}), "format": form}


def _unsupported(param: str, what: str) -> InvalidRequest:
    return InvalidRequest(
        f"'{param}' is not supported for this model here: its provider knows no {what}.",
        param=param,
        code="unsupported_parameter",
    )
