"""Anthropic's usage object as disjoint kinds of tokens, and back.

`input_tokens` excludes what was read from and written to the cache; `output_tokens` includes thinking.
In a stream `message_start` has the input and the first of the output, `message_delta` cumulative numbers: those that it
does not have stand as they were.
"""

from collections.abc import Mapping
from typing import Any

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects.anthropic_messages.names import Json

__all__ = ["merged", "usage_of", "write_usage"]

LARGEST = 1 << 40


def merged(before: Mapping[str, Any], now: Any) -> Mapping[str, Any]:
    """What is known with a further report: a number that it does not have, or has as null, stands as it was."""
    if not isinstance(now, dict):
        return before
    return {**before, **{name: value for name, value in now.items() if value is not None}}


def usage_of(reported: Any) -> Usage | None:
    """The usage that an answer reports; None when it reports none."""
    if not isinstance(reported, dict) or not ("input_tokens" in reported or "output_tokens" in reported):
        return None
    written = _count(reported, "cache_creation_input_tokens")
    kinds = reported.get("cache_creation")
    hour = _count(kinds, "ephemeral_1h_input_tokens") if isinstance(kinds, dict) else 0
    short = _count(kinds, "ephemeral_5m_input_tokens") if isinstance(kinds, dict) else written
    output = _count(reported, "output_tokens")
    details = reported.get("output_tokens_details")
    thinking = _count(details, "thinking_tokens") if isinstance(details, dict) else 0
    tools = reported.get("server_tool_use")
    calls = sum(_count(tools, name) for name in tools) if isinstance(tools, dict) else 0
    return Usage(
        input=_count(reported, "input_tokens"),
        cache_read=_count(reported, "cache_read_input_tokens"),
        cache_write=short if short + hour == written else max(0, written - hour),
        cache_write_1h=hour if short + hour == written else min(hour, written),
        output=max(0, output - thinking),
        reasoning=min(thinking, output),
        tool_calls=calls,
        inconsistent=short + hour != written or thinking > output,
    )


def write_usage(usage: Usage | None) -> Json:
    """The usage of an answer. Kinds that Anthropic does not tell apart are added to those that it has."""
    found = usage if usage is not None else Usage()
    written = found.cache_write + found.cache_write_1h
    return {
        "input_tokens": found.input + found.audio_input + found.image_input,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": found.cache_read,
        "output_tokens": found.total_output,
    }


def _count(figures: Mapping[str, Any], name: str) -> int:
    value = figures.get(name)
    # `type`, not `isinstance`: true is no number.
    return int(value) if (type(value) is int or type(value) is float) and 0 <= value <= LARGEST else 0
