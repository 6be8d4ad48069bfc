"""Usage as OpenAI's `CompletionUsage`: totals, and the kinds that they include."""

from typing import Any

from asgi_gateway.canonical import Losses, Usage

__all__ = ["service_tier", "usage_out"]

_TIERS = {name: name for name in ("auto", "default", "flex", "scale", "priority", "fast")} | {"standard": "default"}
"""OpenAI's tiers by their names; the usual one of others is its default."""


def service_tier(stated: str, losses: Losses) -> str:
    """The tier in OpenAI's words; "" for none, and for one that it has no word for, which is noted."""
    if stated and stated not in _TIERS:
        losses.dropped("service_tier")
    return _TIERS.get(stated, "")


def usage_out(usage: Usage) -> dict[str, Any]:
    """The usage object. Kinds that OpenAI does not always name are left out at zero; tokens of drawn images
    are in the total alone."""
    prompt, completion = usage.total_input, usage.total_output
    inside = {"cached_tokens": usage.cache_read, "audio_tokens": usage.audio_input}
    written = usage.cache_write + usage.cache_write_1h
    if written:
        inside["cache_write_tokens"] = written
    if usage.image_input:
        inside["image_tokens"] = usage.image_input
    outside = {
        "reasoning_tokens": usage.reasoning,
        "audio_tokens": usage.audio_output,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": inside,
        "completion_tokens_details": outside,
    }
