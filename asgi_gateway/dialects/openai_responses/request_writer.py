"""Writes a request for an upstream.

Key order is fixed: what changes from turn to turn stands behind what does not, so prompt caches hit.
Nothing is stored unless it was asked for (`store` is false): reasoning is asked for encrypted instead.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from asgi_gateway.canonical import ChatRequest, Losses, OutputFormat, Sampling
from asgi_gateway.dialects.openai_responses.item_writer import ItemWriter
from asgi_gateway.dialects.openai_responses.names import ENCRYPTED, NAME
from asgi_gateway.dialects.openai_responses.reasoning import refuses_sampling, write_reasoning
from asgi_gateway.dialects.openai_responses.request_reader import ESSENTIAL, LOGPROBS
from asgi_gateway.dialects.openai_responses.tools import write_choice, write_tool
from asgi_gateway.dialects.openai_wire.families import Family, family_of
from asgi_gateway.errors import InvalidRequest

__all__ = ["TIERS", "write_format", "write_request"]

LEAST_OUTPUT = 16
"""The fewest tokens that OpenAI takes as a limit."""

TIERS = frozenset({"auto", "default", "flex", "scale", "priority", "fast", "ultrafast"})
"""Names of service tiers."""

_LINKED = ESSENTIAL | {"background"}
"""Own fields that speak of what is stored: with them `store` is left to its default."""

_encode = msgspec.json.Encoder().encode


def write_request(request: ChatRequest, losses: Losses) -> bytes:
    """A body. Raises `InvalidRequest` with `param` for what must not be left out."""
    family = family_of(request.model)
    extras = dict(request.own_extras(NAME, losses))
    body: dict[str, Any] = {"model": request.model}
    linked = not _LINKED.isdisjoint(extras)
    items = _conversation(request, ItemWriter(family, losses, stored=bool(request.store) or linked), body)
    tools = [write_tool(tool, losses) for tool in request.tools]
    if "image" in request.modalities and not any(tool["type"] == "image_generation" for tool in tools):
        losses.approximated("modalities")
        tools.append({"type": "image_generation"})
    if tools:
        body["tools"] = tools
        choice = write_choice(request, losses)
        if choice is not None:
            body["tool_choice"] = choice
        if request.parallel_tools is not None:
            body["parallel_tool_calls"] = request.parallel_tools
    elif request.tool_choice is not None and request.tool_choice.mode not in ("auto", "none"):
        losses.dropped("tool_choice")
    body.update(_form(request, family, losses))
    body.update(_sampling(request, family, losses))
    body.update(_wishes(request, losses))
    include = _include(request, family, extras.pop("include", None))
    if include:
        body["include"] = include
    if request.store is not None or not linked:
        body["store"] = bool(request.store)
    body.update(extras)
    body["input"] = items
    if request.stream:
        body["stream"] = True
    return _encode(body)


def _conversation(request: ChatRequest, writer: ItemWriter, body: dict[str, Any]) -> list[Any]:
    """The first instruction is the field of this name; others are messages in front, and so is a marked one.

    Where nothing else is said, all are messages: there must be an input.
    """
    texts = request.instructions
    if texts and texts[0].cache is None and (request.turns or len(texts) > 1):
        body["instructions"] = texts[0].text
        texts = texts[1:]
    for text in texts:
        writer.system(text)
    for turn in request.turns:
        writer.turn(turn)
    return writer.items


def _form(request: ChatRequest, family: Family, losses: Losses) -> Iterator[tuple[str, Any]]:
    text: dict[str, Any] = {}
    if request.output is not None:
        if request.output.kind == "schema" and not request.output.name:
            losses.invented("text.format.name")
        text["format"] = write_format(request.output)
    if request.verbosity:
        text["verbosity"] = request.verbosity
    if text:
        yield "text", text
    if request.reasoning is not None:
        reasoning = write_reasoning(request.reasoning, request.model, family, losses)
        if reasoning:
            yield "reasoning", reasoning


def write_format(output: OutputFormat) -> dict[str, Any]:
    """The object of `text.format`."""
    if output.kind != "schema":
        return {"type": "text" if output.kind == "text" else "json_object"}
    form: dict[str, Any] = {"type": "json_schema", "name": output.name or "response"}
    if output.description:
        form["description"] = output.description
    form["schema"] = output.schema or {}
    if output.strict is not None:
        form["strict"] = output.strict
    return form


def _sampling(request: ChatRequest, family: Family, losses: Losses) -> Iterator[tuple[str, Any]]:
    sampling = request.sampling
    if sampling.choices > 1:
        raise InvalidRequest("Several answers to one request are not supported for this model here.", param="n")
    limit = sampling.max_output
    if limit is not None:
        if limit < LEAST_OUTPUT and family.is_openai:
            losses.approximated("max_output_tokens")
            limit = LEAST_OUTPUT
        yield "max_output_tokens", limit
    refuses = refuses_sampling(request.reasoning, request.model, family)
    for name, value in (("temperature", sampling.temperature), ("top_p", sampling.top_p)):
        if value is None:
            continue
        if not refuses:
            yield name, value
        elif value != 1:
            losses.dropped(name)
    if sampling.top_logprobs is not None:
        if not refuses:
            yield "top_logprobs", sampling.top_logprobs
        elif sampling.top_logprobs:
            losses.dropped("top_logprobs")
    if sampling.logprobs and refuses:
        losses.dropped("logprobs")
    _note_unknown(sampling, losses)


def _note_unknown(sampling: Sampling, losses: Losses) -> None:
    for name in ("top_k", "min_p", "seed", "logit_bias"):
        if getattr(sampling, name) is not None:
            losses.dropped(name)
    for name in ("presence_penalty", "frequency_penalty"):
        if getattr(sampling, name):
            losses.dropped(name)
    if sampling.stop:
        losses.dropped("stop")


def _wishes(request: ChatRequest, losses: Losses) -> Iterator[tuple[str, Any]]:
    if request.cached_content:
        raise InvalidRequest(
            "Cached content is not supported for this model here: only its own provider can read it.",
            param="cachedContent",
            code="unsupported_parameter",
        )
    if "audio" in request.modalities:
        raise InvalidRequest("Spoken answers are not supported for this model here.", param="modalities")
    if request.user:
        yield "user", request.user
    if request.metadata is not None:
        yield "metadata", request.metadata
    if request.service_tier in TIERS:
        yield "service_tier", request.service_tier
    elif request.service_tier:
        losses.dropped("service_tier")
    if request.cache_key:
        yield "prompt_cache_key", request.cache_key
    if request.cache_retention:
        yield "prompt_cache_retention", request.cache_retention


def _include(request: ChatRequest, family: Family, others: Any) -> list[str]:
    """What to include. OpenAI refuses to encrypt the reasoning of models that have none."""
    include = list(others) if isinstance(others, list) else []
    if family.reasons or not family.is_openai:
        include.append(ENCRYPTED)
    if request.sampling.logprobs and not refuses_sampling(request.reasoning, request.model, family):
        include.append(LOGPROBS)
    return include
