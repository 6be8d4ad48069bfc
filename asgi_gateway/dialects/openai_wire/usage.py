"""OpenAI's usage object as disjoint kinds of tokens.

Follows `CompletionUsage` of OpenAI's OpenAPI document: `prompt_tokens` includes cached, audio and image tokens,
`completion_tokens` includes reasoning and audio tokens. Look-alikes differ: some put cached tokens at the top level,
some count reasoning beside the completion, some give a total only.

Tools of the upstream's own are hardly told: OpenRouter's `server_tool_use`; Perplexity's `num_search_queries`, or one
search for an answer with `search_context_size`; one for each answer of OpenAI's models that are made to search.
"""

from typing import Any

from asgi_gateway.dialects.openai_wire.ordinary import LARGEST, searches
from asgi_gateway.dialects.service_tiers import tier_of
from asgi_gateway.dialects.tool_counts import Counts, counted, figure
from asgi_gateway.storage.records import Usage

__all__ = ["usage_of"]


def usage_of(reported: Any, tier: Any = None, model: Any = None) -> Usage | None:
    """The usage that an answer reports; None when it reports none, which differs from zero.

    `tier` and `model` are the answer's `service_tier` and `model`, which stand beside its usage.
    Every kind is zero or more, and the kinds of one direction add up to its total, whatever the details say.
    Where the details or the total say otherwise, the usage is marked as inconsistent.
    """
    if not isinstance(reported, dict):
        return None
    prompt = _first(reported, "prompt_tokens", "input_tokens")
    completion = _first(reported, "completion_tokens", "output_tokens")
    total = _first(reported, "total_tokens")
    if prompt is None and completion is None and total is None:
        return None
    inside = _details(reported, "prompt_tokens_details", "input_tokens_details")
    outside = _details(reported, "completion_tokens_details", "output_tokens_details")
    reasoning = _first(outside, "reasoning_tokens") or 0
    if prompt is None:
        prompt = max(0, (total or 0) - (completion or 0))
    if completion is None:
        completion = max(0, (total or 0) - prompt)
    if reasoning and total == prompt + completion + reasoning:
        completion += reasoning  # counted beside the completion, as the total shows
    cached = _first(inside, "cached_tokens")
    if cached is None:
        cached = _first(reported, "prompt_cache_hit_tokens", "cached_tokens", "num_cached_tokens") or 0
    written = _first(inside, "cache_write_tokens", "cached_creation_tokens") or 0
    audio_in, image_in = _first(inside, "audio_tokens") or 0, _first(inside, "image_tokens") or 0
    audio_out, image_out = _first(outside, "audio_tokens") or 0, _first(outside, "image_tokens") or 0
    doubtful = (
        cached + written + audio_in + image_in > prompt
        or reasoning + audio_out + image_out > completion
        or (total is not None and total != prompt + completion)
    )
    uncached, (cached, written, audio_in, image_in) = _split(prompt, cached, written, audio_in, image_in)
    plain, (reasoning, audio_out, image_out) = _split(completion, reasoning, audio_out, image_out)
    return Usage(
        input=uncached,
        cache_read=cached,
        cache_write=written,
        audio_input=audio_in,
        image_input=image_in,
        output=plain,
        reasoning=reasoning,
        audio_output=audio_out,
        image_output=image_out,
        tools=_tools(reported, model),
        milliseconds=_milliseconds(reported.get("prompt_audio_seconds")),
        service_tier=tier_of(tier) or tier_of(reported.get("service_tier")),
        inconsistent=doubtful,
    )


def _tools(reported: dict[str, Any], model: Any) -> Counts:
    """The calls of tools that the upstream ran, by kind."""
    calls: dict[str, int] = {}
    told = reported.get("server_tool_use")
    if isinstance(told, dict):
        calls = {name.removesuffix("_requests"): figure(value) for name, value in told.items()}
    details = reported.get("server_tool_use_details")
    if isinstance(details, dict):
        ran = figure(details.get("tool_calls_executed"))
        calls["other"] = max(0, ran - sum(calls.values()))
    asked = figure(reported.get("num_search_queries"))
    if asked or reported.get("search_context_size") or (isinstance(model, str) and searches(model)):
        calls["web_search"] = max(calls.get("web_search", 0), asked, 1)
    return counted(calls)


def _milliseconds(seconds: Any) -> int:
    if type(seconds) is not int and type(seconds) is not float:
        return 0
    return round(seconds * 1000) if 0 < seconds <= LARGEST else 0


def _split(total: int, *parts: int) -> tuple[int, list[int]]:
    """What remains of a total after its parts, each of which gets no more than is left."""
    given = []
    for part in parts:
        taken = min(part, total)
        total -= taken
        given.append(taken)
    return total, given


def _first(figures: dict[str, Any], *names: str) -> int | None:
    """The first of these figures that is a number of tokens."""
    for name in names:
        value = figures.get(name)
        # `type`, not `isinstance`: true is no number, and this is asked a dozen times an answer.
        if (type(value) is int or type(value) is float) and 0 <= value <= LARGEST:
            return int(value)
    return None


def _details(reported: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        value = reported.get(name)
        if isinstance(value, dict):
            return value
    return {}
