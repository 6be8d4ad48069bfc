"""Converse's `TokenUsage`, whose `inputTokens` leave out what was read from or written to a cache.

The class of service stands beside it (`serviceTier`), and so do the calls of Amazon's own tools: blocks of the answer.
"""

from collections.abc import Iterable
from typing import Any

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects.bedrock_converse.block_reader import HOSTED
from asgi_gateway.dialects.service_tiers import tier_of
from asgi_gateway.dialects.tool_counts import Counts, counted

__all__ = ["SERVER_TOOL", "tools_in", "usage_of", "write_usage"]

LARGEST = 1 << 40
"""No figure is taken for more than this."""


SERVER_TOOL = "server_tool_use"
"""The type of a `toolUse` that Amazon runs itself."""


def tools_in(calls: Iterable[Any]) -> Counts:
    """The calls of Amazon's own tools among `toolUse` blocks, by kind."""
    counts: dict[str, int] = {}
    for call in calls:
        if isinstance(call, dict) and call.get("type") == SERVER_TOOL:
            kind = HOSTED.get(str(call.get("name")), "other")
            counts[kind] = counts.get(kind, 0) + 1
    return counted(counts)


def usage_of(reported: Any, tier: Any = None, tools: Counts = ()) -> Usage | None:
    """The usage that an answer reports; None when it reports none, which differs from zero.

    `tier` is the answer's `serviceTier`, `tools` what its blocks tell.
    """
    if not isinstance(reported, dict):
        return None
    given, made = _figure(reported, "inputTokens"), _figure(reported, "outputTokens")
    if given is None and made is None:
        return None
    given, made = given or 0, made or 0
    read = _figure(reported, "cacheReadInputTokens") or 0
    written = _figure(reported, "cacheWriteInputTokens") or 0
    hour = _written_for(reported, "1h")
    long = min(hour, written)
    total = _figure(reported, "totalTokens")
    return Usage(
        input=given,
        cache_read=read,
        cache_write=written - long,
        cache_write_1h=long,
        output=made,
        tools=tools,
        service_tier=tier_of(tier.get("type")) if isinstance(tier, dict) else "",
        # Some models' totals leave the cache out.
        inconsistent=hour > written
        or (total is not None and total not in (given + made, given + made + read + written)),
    )


def write_usage(usage: Usage | None) -> dict[str, Any]:
    """The usage object of an answer. It must be there: an unknown usage is zero."""
    usage = usage or Usage()
    written = usage.cache_write + usage.cache_write_1h
    given: dict[str, Any] = {
        "inputTokens": usage.total_input - usage.cache_read - written,
        "outputTokens": usage.total_output,
        "totalTokens": usage.total_input + usage.total_output,
    }
    if usage.cache_read or written:
        given["cacheReadInputTokens"] = usage.cache_read
        given["cacheWriteInputTokens"] = written
    if usage.cache_write_1h:
        given["cacheDetails"] = [
            {"ttl": ttl, "inputTokens": tokens}
            for ttl, tokens in (("1h", usage.cache_write_1h), ("5m", usage.cache_write))
            if tokens
        ]
    return given


def _written_for(reported: dict[str, Any], ttl: str) -> int:
    details = reported.get("cacheDetails")
    if not isinstance(details, list):
        return 0
    return sum(
        _figure(detail, "inputTokens") or 0
        for detail in details
        if isinstance(detail, dict) and detail.get("ttl") == ttl
    )


def _figure(figures: dict[str, Any], name: str) -> int | None:
    value = figures.get(name)
    # `type`, not `isinstance`: true is no number.
    return int(value) if (type(value) is int or type(value) is float) and 0 <= value <= LARGEST else None
