"""Usage as OpenAI's `CompletionUsage`: totals, and the kinds that they include."""

from typing import Any

from asgi_gateway.canonical import Usage

__all__ = ["usage_out"]


def usage_out(usage: Usage) -> dict[str, Any]:
    """The usage object. Kinds that OpenAI does not always name are left out at zero."""
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
    if usage.image_output:
        outside["image_tokens"] = usage.image_output
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": inside,
        "completion_tokens_details": outside,
    }
