"""Cohere's usage as disjoint kinds of tokens.

`billed_units` are what Cohere charges; `tokens` also count its own prompt template, which it does not charge. The
billed numbers are taken; `tokens` where there are none. `cached_tokens` belong to `tokens`: they are told apart only
where both numbers of input are the same, because otherwise nobody knows which of the billed tokens were cached.
`search_units` are calls of a tool that is neither of the neutral kinds: "other".
"""

from typing import Any

from asgi_gateway.canonical import Usage

__all__ = ["usage_of", "write_usage"]

LARGEST = 1 << 40
"""No figure is taken for more than this."""


def usage_of(reported: Any) -> Usage | None:
    """The usage that an answer reports; None when it reports none, which differs from zero."""
    if not isinstance(reported, dict):
        return None
    tokens, billed = _object(reported, "tokens"), _object(reported, "billed_units")
    counted_in, counted_out = _figure(tokens, "input_tokens"), _figure(tokens, "output_tokens")
    total_in, total_out = _figure(billed, "input_tokens"), _figure(billed, "output_tokens")
    if total_in is None and total_out is None:
        total_in, total_out = counted_in, counted_out
    if total_in is None and total_out is None:
        return None
    total_in, total_out = total_in or 0, total_out or 0
    cached = _figure(reported, "cached_tokens") or 0
    image = _figure(tokens, "image_tokens") or 0
    reasoning = _figure(tokens, "reasoning_tokens") or 0
    searches = (_figure(billed, "search_units") or 0) if "search_units" in billed else 0
    inconsistent = False
    if counted_in is not None and counted_in != total_in:
        cached = 0
    elif cached > total_in:
        cached, inconsistent = total_in, True
    image = min(image, total_in - cached)
    reasoning = min(reasoning, total_out)
    return Usage(
        input=total_in - cached - image,
        cache_read=cached,
        image_input=image,
        output=total_out - reasoning,
        reasoning=reasoning,
        tools=(("other", searches),) if searches else (),
        inconsistent=inconsistent,
    )


def write_usage(usage: Usage | None) -> dict[str, Any]:
    """The usage object of an answer, which must be there: it is empty when nothing is known."""
    if usage is None:
        return {}
    total_in, total_out = usage.total_input, usage.total_output
    tokens: dict[str, int] = {"input_tokens": total_in, "output_tokens": total_out}
    if usage.reasoning:
        tokens["reasoning_tokens"] = usage.reasoning
    if usage.image_input:
        tokens["image_tokens"] = usage.image_input
    billed = {"input_tokens": total_in, "output_tokens": total_out}
    if searches := dict(usage.tools).get("other", 0):
        billed["search_units"] = searches
    return {
        "billed_units": billed,
        "tokens": tokens,
        "cached_tokens": usage.cache_read,
    }


def _object(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _figure(figures: dict[str, Any], name: str) -> int | None:
    value = figures.get(name)
    # `type`, not `isinstance`: true is no number.
    return int(value) if (type(value) is int or type(value) is float) and 0 <= value <= LARGEST else None
