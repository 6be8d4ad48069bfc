"""A request for a Gemini upstream. The model and whether it streams stand in the path, which the provider writes.

Follows https://ai.google.dev/api/generate-content#request-body. Keys have a fixed order, and what a conversation
repeats comes first, so that the provider's prompt cache finds it again.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from asgi_gateway.canonical import ChatRequest, Losses, OutputFormat, Sampling, Text, Turn
from asgi_gateway.dialects.google_generate.models import abilities_of
from asgi_gateway.dialects.google_generate.names import NAME
from asgi_gateway.dialects.google_generate.part_writer import assistant_parts, user_parts
from asgi_gateway.dialects.google_generate.result_writer import ResultWriter
from asgi_gateway.dialects.google_generate.thinking import write_thinking
from asgi_gateway.dialects.google_generate.tool_writer import write_tool_config, write_tools
from asgi_gateway.errors import InvalidRequest

__all__ = ["write_request"]

MOST_STOPS = 5

MOST_CHOICES = 8

_TIERS = ("flex", "priority")


def write_request(request: ChatRequest, losses: Losses) -> bytes:
    """The body. Raises `InvalidRequest` with `param` for what must not be left out."""
    body: dict[str, Any] = {}
    contents = _contents(request.turns, request.model, losses)
    instructions = request.instructions
    if instructions and not contents:
        losses.approximated("instructions")
        contents, instructions = [{"role": "user", "parts": _texts(instructions, losses)}], ()
    if instructions:
        body["systemInstruction"] = {"parts": _texts(instructions, losses)}
    tools = write_tools(request, losses)
    if tools:
        body["tools"] = tools
    config = write_tool_config(request, tools, losses)
    if config:
        body["toolConfig"] = config
    body["contents"] = contents
    generation = _generation(request, losses)
    if generation:
        body["generationConfig"] = generation
    if request.cached_content:
        body["cachedContent"] = request.cached_content
    if request.service_tier in _TIERS:
        body["serviceTier"] = request.service_tier
    elif request.service_tier not in ("", "auto", "default"):
        losses.dropped("service_tier")
    _note_unwritten(request, losses)
    for name, value in request.own_extras(NAME, losses):
        _put(body, name.split("."), value)
    return msgspec.json.encode(body)


def _contents(turns: Sequence[Turn], model: str, losses: Losses) -> list[dict[str, Any]]:
    abilities = abilities_of(model)
    current = _current(turns) if abilities.strict_signatures else len(turns)
    results = ResultWriter(losses, media_inside=abilities.media_in_results)
    contents: list[dict[str, Any]] = []
    waiting: list[Turn] = []
    for number, turn in enumerate(turns):
        if turn.role == "tool":
            waiting.append(turn)
            continue
        if waiting:
            contents.append({"role": "user", "parts": results.write(waiting)})
            waiting = []
        if turn.role == "assistant":
            results.note(turn)
            parts = assistant_parts(turn, losses, placeholder=number > current)
        else:
            if turn.role == "system":
                losses.approximated("messages[].role")
            parts = user_parts(turn, losses)
        if parts:
            contents.append({"role": "model" if turn.role == "assistant" else "user", "parts": parts})
    if waiting:
        contents.append({"role": "user", "parts": results.write(waiting)})
    return contents


def _current(turns: Sequence[Turn]) -> int:
    """Where the current turn begins: at the last words of the user's; -1 when there are none."""
    return max((number for number, turn in enumerate(turns) if turn.role in ("user", "system")), default=-1)


def _texts(texts: Sequence[Text], losses: Losses) -> list[dict[str, Any]]:
    if any(text.cache is not None for text in texts):
        losses.dropped("cache_control")
    return [{"text": text.text} for text in texts]


def _generation(request: ChatRequest, losses: Losses) -> dict[str, Any]:
    config = _sampled(request.sampling, losses)
    if request.output is not None:
        config.update(_output(request.output, losses))
    if request.reasoning is not None:
        thinking = write_thinking(request.reasoning, request.model, losses)
        if thinking is not None:
            config["thinkingConfig"] = thinking
    kinds = [kind for kind in request.modalities if kind in ("text", "image", "audio", "video")]
    if len(kinds) < len(request.modalities):
        losses.dropped("modalities")
    if kinds and kinds != ["text"]:
        config["responseModalities"] = [kind.upper() for kind in kinds]
    return config


def _sampled(sampling: Sampling, losses: Losses) -> dict[str, Any]:
    named = {
        "maxOutputTokens": sampling.max_output,
        "temperature": sampling.temperature,
        "topP": sampling.top_p,
        "topK": sampling.top_k,
        "seed": sampling.seed,
        "presencePenalty": sampling.presence_penalty,
        "frequencyPenalty": sampling.frequency_penalty,
    }
    config: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    if sampling.stop:
        config["stopSequences"] = list(sampling.stop[:MOST_STOPS])
        if len(sampling.stop) > MOST_STOPS:
            losses.dropped("stop")
    if sampling.choices > 1:
        if sampling.choices > MOST_CHOICES:
            raise InvalidRequest(
                f"Invalid 'n': this model gives at most {MOST_CHOICES} answers.", param="n", code="invalid_value"
            )
        config["candidateCount"] = sampling.choices
    if sampling.logprobs:
        config["responseLogprobs"] = True
    if sampling.top_logprobs is not None and sampling.logprobs:
        config["logprobs"] = sampling.top_logprobs
    if sampling.min_p is not None:
        losses.dropped("min_p")
    if sampling.logit_bias:
        losses.dropped("logit_bias")
    return config


def _output(output: OutputFormat, losses: Losses) -> dict[str, Any]:
    if output.kind == "text":
        return {}
    config: dict[str, Any] = {"responseMimeType": "application/json"}
    if output.kind == "schema" and output.schema is not None:
        config["responseJsonSchema"] = output.schema
        if output.description:
            losses.dropped("response_format.description")
    return config


def _note_unwritten(request: ChatRequest, losses: Losses) -> None:
    """What a request to Google has no place for. `labels` are no `metadata`: the Gemini API refuses them."""
    unwritten: dict[str, object] = {
        "verbosity": request.verbosity,
        "user": request.user,
        "metadata": request.metadata,
        "prompt_cache_key": request.cache_key,
        "prompt_cache_retention": request.cache_retention,
        "audio": request.audio,
        "store": request.store,
    }
    for name, value in unwritten.items():
        if value:
            losses.dropped(name)


def _put(body: dict[str, Any], path: list[str], value: Any) -> None:
    """Put an extra in its place; what was written there already is kept where both are objects."""
    for name in path[:-1]:
        body = body.setdefault(name, {})
    known = body.get(path[-1])
    body[path[-1]] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
