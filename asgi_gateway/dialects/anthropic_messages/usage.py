"""Anthropic's usage object as disjoint kinds of tokens, and back.

`input_tokens` excludes what was read from and written to the cache; `output_tokens` includes thinking.
In a stream `message_start` has the input and the first of the output, `message_delta` cumulative numbers: those that it
does not have stand as they were.

What was spent on making a conversation short, or on advice of another model, is not in these totals: `iterations` tells
it, and Anthropic charges it. It is added to the kinds (an advisor's tokens, too, though its own price may differ).
"""

from collections.abc import Mapping
from typing import Any

from asgi_gateway.canonical import Losses, Usage
from asgi_gateway.dialects.anthropic_messages.names import Json
from asgi_gateway.dialects.service_tiers import tier_of
from asgi_gateway.dialects.tool_counts import LARGEST, Counts, counted, figure

__all__ = ["merged", "usage_of", "write_usage"]

TIERS: Mapping[str, str] = {"default": "standard", "priority": "priority", "batch": "batch"}

_BESIDE = frozenset({"compaction", "advisor_message"})
"""Iterations that the totals leave out."""


def merged(before: Mapping[str, Any], now: Any) -> Mapping[str, Any]:
    """What is known with a further report: a number that it does not have, or has as null, stands as it was."""
    if not isinstance(now, dict):
        return before
    return {**before, **{name: value for name, value in now.items() if value is not None}}


def usage_of(reported: Any) -> Usage | None:
    """The usage that an answer reports; None when it reports none.

    What was written to the cache is told apart by how long it stays there, where the report does so. In a stream the
    parts may be older than the sum, as `message_delta` has the sum alone: what was written since stays five minutes.
    """
    if not isinstance(reported, dict) or not ("input_tokens" in reported or "output_tokens" in reported):
        return None
    usage = _totals(reported)
    iterations = reported.get("iterations")
    if not isinstance(iterations, list):
        return usage
    for each in iterations:
        if isinstance(each, dict) and each.get("type") in _BESIDE:
            usage = _with(usage, _totals(each))
    return usage


def _totals(reported: Mapping[str, Any]) -> Usage:
    written = _count(reported, "cache_creation_input_tokens")
    hour, short = 0, written
    kinds = reported.get("cache_creation")
    if isinstance(kinds, dict):
        hour, short = _count(kinds, "ephemeral_1h_input_tokens"), _count(kinds, "ephemeral_5m_input_tokens")
    output = _count(reported, "output_tokens")
    details = reported.get("output_tokens_details")
    thinking = _count(details, "thinking_tokens") if isinstance(details, dict) else 0
    tools = reported.get("server_tool_use")
    return Usage(
        input=_count(reported, "input_tokens"),
        cache_read=_count(reported, "cache_read_input_tokens"),
        cache_write=max(0, written - hour),
        cache_write_1h=min(hour, written),
        output=max(0, output - thinking),
        reasoning=min(thinking, output),
        tools=_tools(tools) if isinstance(tools, dict) else (),
        service_tier="fast" if reported.get("speed") == "fast" else tier_of(reported.get("service_tier")),
        inconsistent=short + hour > written or thinking > output,
    )


def _with(usage: Usage, more: Usage) -> Usage:
    return Usage(
        input=usage.input + more.input,
        cache_read=usage.cache_read + more.cache_read,
        cache_write=usage.cache_write + more.cache_write,
        cache_write_1h=usage.cache_write_1h + more.cache_write_1h,
        output=usage.output + more.output,
        reasoning=usage.reasoning + more.reasoning,
        tools=usage.tools,
        service_tier=usage.service_tier,
        inconsistent=usage.inconsistent or more.inconsistent,
    )


def write_usage(usage: Usage | None, losses: Losses, *, tier: str = "", parts: bool = True) -> Json:
    """The usage of an answer. Kinds that Anthropic does not tell apart are added to those that it has.

    `tier` is the neutral name of how the request was served, "" where it is unknown. `parts`: the object may tell that,
    and how long what was written to the cache stays there; that of `message_delta` may not.
    """
    found = usage if usage is not None else Usage()
    body: Json = {"input_tokens": found.input + found.audio_input + found.image_input}
    body["cache_creation_input_tokens"] = found.cache_write + found.cache_write_1h
    body["cache_read_input_tokens"] = found.cache_read
    if found.cache_write_1h and parts:
        body["cache_creation"] = {
            "ephemeral_5m_input_tokens": found.cache_write,
            "ephemeral_1h_input_tokens": found.cache_write_1h,
        }
    elif found.cache_write_1h:
        losses.approximated("usage.cache_creation")
    body["output_tokens"] = found.total_output
    if found.reasoning:
        body["output_tokens_details"] = {"thinking_tokens": found.reasoning}
    if found.tools:
        calls = dict(found.tools)
        body["server_tool_use"] = {
            "web_search_requests": calls.get("web_search", 0),
            "web_fetch_requests": calls.get("web_fetch", 0),
        }
    if parts:
        tier = found.service_tier or tier
        if tier in TIERS:
            body["service_tier"] = TIERS[tier]
        elif tier == "fast":
            body["speed"] = tier
    return body


def _tools(figures: Mapping[str, Any]) -> Counts:
    """The calls of tools that Anthropic ran, by kind."""
    return counted({name.removesuffix("_requests"): figure(value) for name, value in figures.items()})


def _count(figures: Mapping[str, Any], name: str) -> int:
    value = figures.get(name)
    # `type`, not `isinstance`: true is no number.
    return int(value) if (type(value) is int or type(value) is float) and 0 <= value <= LARGEST else 0
