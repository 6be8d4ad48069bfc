"""`ResponseUsage` as disjoint kinds of tokens, and back.

`input_tokens` includes what was read from a cache and written to it, `output_tokens` includes reasoning. Sounds and
images have no field of their own: they are in the totals, but where a look-alike tells them apart. What tools were run
stands beside the usage: in the output, or in `tool_usage`.
"""

from collections.abc import Mapping
from typing import Any

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects.openai_responses.billed_calls import BilledCalls
from asgi_gateway.dialects.service_tiers import tier_of

__all__ = ["usage_of", "write_tool_usage", "write_usage"]

LARGEST = 1 << 40
"""No figure is taken for more than this."""


def usage_of(reported: Any, calls: BilledCalls | None = None, told: Any = None, tier: Any = None) -> Usage | None:
    """The usage that an answer reports; None when it reports none, which differs from zero.

    `calls` are the tools that stand in the output, `told` is the response's `tool_usage`, `tier` its `service_tier`.
    Figures that do not add up are brought to the totals, and marked.
    """
    if not isinstance(reported, dict):
        return None
    # Some look-alikes answer with the names of chat.
    given, made = (
        _count(reported, "input_tokens", "prompt_tokens"),
        _count(reported, "output_tokens", "completion_tokens"),
    )
    total = _count(reported, "total_tokens")
    if given is None and made is None and total is None:
        return None
    inside = _details(reported, "input_tokens_details", "prompt_tokens_details")
    outside = _details(reported, "output_tokens_details", "completion_tokens_details")
    cached, written = _count(inside, "cached_tokens") or 0, _count(inside, "cache_write_tokens") or 0
    reasoning = _count(outside, "reasoning_tokens") or 0
    audio = (_count(inside, "audio_tokens") or 0) if "audio_tokens" in inside else 0
    image = (_count(inside, "image_tokens") or 0) if "image_tokens" in inside else 0
    given = max(0, (total or 0) - (made or 0)) if given is None else given
    made = max(0, (total or 0) - given) if made is None else made
    if reasoning > made and total == given + made + reasoning:
        made += reasoning  # counted beside the output, as the total shows
    wrong = cached + written + audio + image > given or reasoning > made
    cached = min(cached, given)
    written = min(written, given - cached)
    audio = min(audio, given - cached - written)
    image = min(image, given - cached - written - audio)
    reasoning = min(reasoning, made)
    if calls is None and (told is not None or "num_server_side_tools_used" in reported):
        calls = BilledCalls()
    return Usage(
        input=given - cached - written - audio - image,
        cache_read=cached,
        cache_write=written,
        audio_input=audio,
        image_input=image,
        output=made - reasoning,
        reasoning=reasoning,
        tools=() if calls is None else calls.tools(reported, told),
        images=() if calls is None else calls.images,
        service_tier=tier_of(tier),
        inconsistent=wrong or (total is not None and total != given + made),
    )


def write_usage(usage: Usage) -> dict[str, Any]:
    """The usage object of an answer."""
    given, made = usage.total_input, usage.total_output
    return {
        "input_tokens": given,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read,
            "cache_write_tokens": usage.cache_write + usage.cache_write_1h,
        },
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": given + made,
    }


def write_tool_usage(usage: Usage) -> dict[str, Any] | None:
    """The `tool_usage` of a response: searches of the web, which alone it counts. None where no tool was used."""
    if not usage.tools:
        return None
    searches = dict(usage.tools).get("web_search", 0)
    details = {"image_tokens": 0, "text_tokens": 0}
    return {
        "image_gen": {
            "input_tokens": 0,
            "input_tokens_details": details,
            "output_tokens": 0,
            "output_tokens_details": details,
            "total_tokens": 0,
        },
        "web_search": {"num_requests": searches},
    }


def _count(figures: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        value = figures.get(name)
        if (type(value) is int or type(value) is float) and 0 <= value <= LARGEST:
            return int(value)
    return None


def _details(reported: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    for name in names:
        value = reported.get(name)
        if isinstance(value, dict):
            return value
    return {}
