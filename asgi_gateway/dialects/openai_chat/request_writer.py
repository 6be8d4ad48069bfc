"""A canonical request as a body for an upstream.

Key order is fixed: what changes from turn to turn stands behind what does not, so prompt caches hit.
What OpenAI's own models refuse is left out by their names (`openai_wire.families`):

- reasoning models have `max_completion_tokens` for `max_tokens`, "developer" for "system" (but the first o1), and no
  temperature, top_p, penalties, logit_bias, logprobs and stop, unless their effort is "none";
- `top_k` and `min_p` are of look-alikes alone.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from asgi_gateway.canonical import ChatRequest, Losses, OutputFormat, Sampling
from asgi_gateway.dialects.openai_chat.content import DIALECT
from asgi_gateway.dialects.openai_chat.efforts import asked_effort, write_reasoning
from asgi_gateway.dialects.openai_chat.marks import Marks
from asgi_gateway.dialects.openai_chat.message_writer import MessageWriter
from asgi_gateway.dialects.openai_chat.tools import write_tools
from asgi_gateway.dialects.openai_wire.families import Family, family_of
from asgi_gateway.errors import InvalidRequest

__all__ = ["REFUSED_BY_REASONING", "write_request"]

REFUSED_BY_REASONING = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "logprobs",
    "top_logprobs",
    "logit_bias",
    "stop",
)
"""What OpenAI's reasoning models refuse: https://platform.openai.com/docs/guides/reasoning."""

OF_MISTRAL = frozenset(
    {
        *("model", "messages", "tools", "tool_choice", "parallel_tool_calls", "response_format", "reasoning_effort"),
        *("max_tokens", "temperature", "top_p", "stop", "random_seed", "n", "presence_penalty", "frequency_penalty"),
        *("metadata", "prompt_cache_key"),
    }
)
"""What Mistral's own server takes: it refuses all else (https://docs.mistral.ai/api). It always tells the usage."""

DEFAULTS = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
"""Leaving these out changes nothing."""


def write_request(request: ChatRequest, losses: Losses) -> bytes:
    """A body. Raises `InvalidRequest` with `param` for what the format cannot carry and must not be without."""
    family = family_of(request.model)
    marks = Marks(family, losses)
    body: dict[str, Any] = {"model": request.model}
    body["messages"] = MessageWriter(request, family, marks, losses).messages()
    body.update(write_tools(request, family, marks, losses))
    if request.output is not None:
        body["response_format"] = _format(request.output, losses)
    if request.reasoning is not None:
        body.update(write_reasoning(request.reasoning, request.model, family, losses))
    sampling = _sampling(request.sampling, family, losses)
    if family.reasons:
        sampling = _without_refused(sampling, request, family, losses)
    body.update(sampling)
    body.update(_wishes(request, family, losses))
    if family.name == "mistral" and not family.routed:
        for name in body.keys() - OF_MISTRAL:
            losses.dropped(name)
            del body[name]
    body.update(request.own_extras(DIALECT, losses))
    if request.stream:
        body["stream"] = True
        if request.wants_usage and not (family.name == "mistral" and not family.routed):
            body["stream_options"] = {"include_usage": True}
    return msgspec.json.encode(body)


def _sampling(sampling: Sampling, family: Family, losses: Losses) -> dict[str, Any]:
    of_mistral = family.name == "mistral" and not family.routed
    stated = {
        "max_completion_tokens" if family.reasons else "max_tokens": sampling.max_output,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "stop": sampling.stop or None,
        "random_seed" if of_mistral else "seed": sampling.seed,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "logit_bias": sampling.logit_bias,
        "n": sampling.choices if sampling.choices > 1 else None,
        "logprobs": sampling.logprobs or None,
        "top_logprobs": sampling.top_logprobs,
    }
    fields = {name: value for name, value in stated.items() if value is not None}
    if family.is_openai:
        for name in ("top_k", "min_p"):
            if fields.pop(name, None) is not None:
                losses.dropped(name)
    return fields


def _without_refused(fields: dict[str, Any], request: ChatRequest, family: Family, losses: Losses) -> dict[str, Any]:
    if asked_effort(request.reasoning, request.model, family) == "none":
        return fields
    kept = {}
    for name, value in fields.items():
        if name not in REFUSED_BY_REASONING:
            kept[name] = value
        elif value != DEFAULTS.get(name):
            losses.dropped(name)
    return kept


def _format(output: OutputFormat, losses: Losses) -> dict[str, Any]:
    if output.kind != "schema":
        return {"type": "text" if output.kind == "text" else "json_object"}
    if not output.name:
        losses.invented("response_format.json_schema.name")
    schema: dict[str, Any] = {"name": output.name or "response"}
    if output.description:
        schema["description"] = output.description
    if output.schema is not None:
        schema["schema"] = output.schema
    if output.strict is not None:
        schema["strict"] = output.strict
    return {"type": "json_schema", "json_schema": schema}


def _wishes(request: ChatRequest, family: Family, losses: Losses) -> Iterator[tuple[str, Any]]:
    """Everything that is neither conversation nor sampling."""
    if request.verbosity:
        yield "verbosity", request.verbosity
    if modalities := _modalities(request, family, losses):
        yield "modalities", modalities
    if request.audio is not None:
        yield "audio", request.audio
    if request.user:
        yield "user", request.user
    if request.metadata is not None:
        yield "metadata", request.metadata
    if request.service_tier:
        yield "service_tier", request.service_tier
    if request.store is not None:
        yield "store", request.store
    if request.cache_key:
        yield "prompt_cache_key", request.cache_key
    if request.cache_retention:
        yield "prompt_cache_retention", request.cache_retention
    if request.cached_content:
        if family.name != "gemini":
            raise InvalidRequest(
                "Cached content is not supported for this model here: only its own provider can read it.",
                param="cachedContent",
                code="unsupported_parameter",
            )
        yield "extra_body", {"google": {"cached_content": request.cached_content}}


def _modalities(request: ChatRequest, family: Family, losses: Losses) -> tuple[str, ...]:
    """The kinds of output. OpenAI's models write and speak here: that one draws as well is dropped, alone refused."""
    if not family.is_openai or "image" not in request.modalities:
        return request.modalities
    kept = tuple(kind for kind in request.modalities if kind != "image")
    if not kept:
        raise InvalidRequest(
            "Images as output are not supported for this model here: its provider has nothing like it.",
            param="modalities",
            code="unsupported_value",
        )
    losses.dropped("modalities")
    return () if kept == ("text",) else kept
