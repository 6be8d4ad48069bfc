"""The usual shapes of OpenAI's JSON, decoded in one step.

What does not fit them is no error here: `decode` gives None, and the slower general reader, which knows every
deviation and words every refusal, decides.
"""

from typing import Annotated

import msgspec

from asgi_gateway.dialects.service_tiers import tier_of
from asgi_gateway.storage.records import Usage

__all__ = ["LARGEST", "OrdinaryUsage", "ordinary_usage", "searches"]

LARGEST = 1 << 40
"""No figure is taken for more than this."""

_Count = Annotated[int, msgspec.Meta(ge=0, le=LARGEST)]


class _Inside(msgspec.Struct):
    cached_tokens: _Count = 0
    audio_tokens: _Count = 0
    image_tokens: _Count = 0
    cache_write_tokens: _Count = 0
    cached_creation_tokens: _Count = 0


class _Outside(msgspec.Struct):
    reasoning_tokens: _Count = 0
    audio_tokens: _Count = 0
    image_tokens: _Count = 0


class OrdinaryUsage(msgspec.Struct):
    """A usage object whose figures are plain counts. Fields that only look-alikes have make it an unusual one."""

    prompt_tokens: _Count
    total_tokens: _Count
    completion_tokens: _Count | None = None
    prompt_tokens_details: _Inside | None = None
    completion_tokens_details: _Outside | None = None
    prompt_cache_hit_tokens: msgspec.Raw | None = None
    cached_tokens: msgspec.Raw | None = None
    input_tokens_details: msgspec.Raw | None = None
    output_tokens_details: msgspec.Raw | None = None
    service_tier: str | None = None
    # Where one of these is told, the usage is an unusual one.
    num_cached_tokens: None = None
    prompt_audio_seconds: None = None
    search_context_size: None = None
    num_search_queries: None = None
    server_tool_use: None = None
    server_tool_use_details: None = None


def ordinary_usage(reported: OrdinaryUsage, tier: str | None = None, model: str | None = None) -> Usage | None:
    """The usage, where the figures agree with each other and nothing is told in a look-alike's own way; else None.

    `tier` and `model` are the answer's `service_tier` and `model`.
    """
    if (
        reported.prompt_cache_hit_tokens is not None
        or reported.cached_tokens is not None
        or reported.input_tokens_details is not None
        or reported.output_tokens_details is not None
        or (model is not None and searches(model))
    ):
        return None
    prompt, completion = reported.prompt_tokens, reported.completion_tokens
    if completion is None:
        if reported.total_tokens != prompt:
            return None
        completion = 0
    inside, outside = reported.prompt_tokens_details, reported.completion_tokens_details
    cached = written = audio_in = image_in = reasoning = audio_out = image_out = 0
    if inside is not None:
        if inside.cached_creation_tokens:
            return None
        cached, written = inside.cached_tokens, inside.cache_write_tokens
        audio_in, image_in = inside.audio_tokens, inside.image_tokens
    if outside is not None:
        reasoning, audio_out, image_out = outside.reasoning_tokens, outside.audio_tokens, outside.image_tokens
    uncached = prompt - cached - written - audio_in - image_in
    plain = completion - reasoning - audio_out - image_out
    if uncached < 0 or plain < 0 or reported.total_tokens != prompt + completion:
        return None
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
        service_tier=tier_of(tier) or tier_of(reported.service_tier),
    )


def searches(model: str) -> bool:
    """Whether it is a model of OpenAI's that searches the web in each call: its searches are not told otherwise."""
    return "-search-preview" in model or "-search-api" in model
