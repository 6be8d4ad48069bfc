"""What of a price cannot be used, wherever it comes from: a file, a library, or run time."""

from collections.abc import Iterator
from dataclasses import fields
from decimal import Decimal
from difflib import get_close_matches

from asgi_gateway.canonical.usage import TOOL_KINDS
from asgi_gateway.storage.records import Price, PriceTier

__all__ = ["LARGEST", "PLACES", "price_mistakes"]

PLACES = 40
"""Decimal places that a number may have: one of a million places would take a second for each charge."""
LARGEST = Decimal(10) ** 12


def price_mistakes(price: Price) -> Iterator[tuple[str, str]]:
    """Each key of the price that is wrong, such as `tiers[0].input`, and the reason."""
    yield from _numbers(price, "")
    for index, tier in enumerate(price.tiers):
        place = f"tiers[{index}]."
        yield from _numbers(tier, place)
        if tier.above < 1:
            yield f"{place}above", "must be at least 1"
        elif index and tier.above <= price.tiers[index - 1].above:
            yield f"{place}above", "must be more than in the tier before"
    for name in price.images:
        if name.count("/") != 1:
            yield f'images."{name}"', 'must be named "quality/size"; a part that is "*" fits any'
    for kind in price.tools:
        if kind not in TOOL_KINDS:
            close = get_close_matches(kind, TOOL_KINDS, n=1)
            hint = f'did you mean "{close[0]}"?' if close else f"known: {', '.join(TOOL_KINDS)}"
            yield f"tools.{kind}", f"unknown kind of tool; {hint}"
    if "" in price.service_tiers:
        yield "service_tiers", "must name the class of service: the ordinary one has the multiplier 1"


def _numbers(record: Price | PriceTier, place: str) -> Iterator[tuple[str, str]]:
    for field in fields(record):
        value = getattr(record, field.name)
        if isinstance(value, Decimal):
            yield from _number(value, f"{place}{field.name}")
        elif field.name in ("images", "tools", "service_tiers"):
            for name, number in value.items():
                yield from _number(number, f"{field.name}.{name}" if name.isidentifier() else f'{field.name}."{name}"')


def _number(number: Decimal, key: str) -> Iterator[tuple[str, str]]:
    if not number.is_finite():
        yield key, "must be a finite number"
    elif number < 0:
        yield key, "must be at least 0"
    elif number > LARGEST or number.as_tuple().exponent < -PLACES:  # type: ignore[operator]  # finite
        yield key, f"must be at most {LARGEST:f}, with at most {PLACES} decimal places"
