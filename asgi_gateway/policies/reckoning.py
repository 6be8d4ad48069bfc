"""What a usage costs by a price, line by line, in fractions of a dollar: the arithmetic of an explanation.

Written apart from `tariff`, and otherwise, so that each is a check of the other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any

from asgi_gateway.storage.records import Price, PriceTier, Usage

__all__ = ["NOTHING_USED", "Line", "Reckoning", "digits_of", "reckon"]

MILLION = 1_000_000

TOKENS: Mapping[str, str | None] = {
    "input": None,
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_input": "input",
    "image_input": "input",
    "output": None,
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}
"""The kinds of tokens, and the kind that one without a price is charged as."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One kind of what was used: so many at such a price."""

    kind: str
    """A kind of tokens, "call", "image high/1024x1024", "second", "characters", "tool web_search"."""
    count: int
    """Of a second: milliseconds."""
    price: Decimal | None
    """USD; None where this has no price, and costs nothing."""
    per: int
    """How many the price is of."""
    source: str
    """Which entry of the price: "output" for reasoning without a price of its own, "tiers[200000].input"."""
    multiplied: bool
    """Whether the class of service multiplies it."""
    usd: Fraction
    """Count times price, before any multiplier and ratio."""

    def json(self) -> dict[str, Any]:
        """The same as a JSON value; numbers in USD as texts."""
        return {
            "kind": self.kind,
            "count": self.count,
            "price": None if self.price is None else f"{self.price:f}",
            "per": self.per,
            "source": self.source,
            "multiplied": self.multiplied,
            "usd": digits_of(self.usd),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Reckoning:
    """What a usage costs, before the group's ratio."""

    lines: tuple[Line, ...] = ()
    tier: int | None = None
    """The context tier that counted: more tokens of input than this."""
    multiplier: Decimal = Decimal(1)
    """Of the class of service."""

    @property
    def served(self) -> Fraction:
        """USD of what the class of service multiplies."""
        return sum((line.usd for line in self.lines if line.multiplied), Fraction(0))

    @property
    def tools(self) -> Fraction:
        """USD of the calls of tools."""
        return sum((line.usd for line in self.lines if not line.multiplied), Fraction(0))

    @property
    def usd(self) -> Fraction:
        """USD of all."""
        return self.served * Fraction(self.multiplier) + self.tools


NOTHING_USED = Reckoning()


def reckon(price: Price, usage: Usage) -> Reckoning:
    """What a usage costs by a price."""
    tier = _tier(price, usage)
    lines = [line for line in _lines(price, tier, usage) if line.count > 0]
    if lines and price.call:
        lines.append(_line("call", 1, price.call, 1))
    return Reckoning(
        lines=tuple(lines),
        tier=None if tier is None else tier.above,
        multiplier=price.service_tiers.get(usage.service_tier, Decimal(1)),
    )


def digits_of(number: Fraction) -> str:
    """A number with all its digits. They end: prices are decimals, and what divides them is a power of ten."""
    places = 0
    while number.denominator != 1:
        number *= 10
        places += 1
    text = str(number.numerator).rjust(places + 1, "0")
    return f"{text[:-places]}.{text[-places:]}" if places else text


def _tier(price: Price, usage: Usage) -> PriceTier | None:
    inward = [kind for kind in TOKENS if kind == "input" or kind.startswith("cache_") or kind.endswith("_input")]
    tokens = sum(max(getattr(usage, kind), 0) for kind in inward)
    reached = [tier for tier in price.tiers if tokens > tier.above]
    return max(reached, key=lambda tier: tier.above, default=None)


def _lines(price: Price, tier: PriceTier | None, usage: Usage) -> Iterator[Line]:
    for kind in TOKENS:
        number, source = _token_price(price, tier, kind)
        yield _line(kind, getattr(usage, kind), number, MILLION, source)
    for name, count in usage.images:
        entry = _image_entry(price, name)
        yield _line(f"image {name}", count, price.images.get(entry), 1, f'images."{entry}"' if entry else "")
    yield _line("second", usage.milliseconds, price.second, 1000)
    yield _line("characters", usage.characters, price.characters, MILLION)
    for kind, count in usage.tools:
        source = f"tools.{kind}" if kind in price.tools else ""
        yield _line(f"tool {kind}", count, price.tools.get(kind), 1000, source, multiplied=False)


def _line(
    kind: str, count: int, price: Decimal | None, per: int, source: str | None = None, *, multiplied: bool = True
) -> Line:
    return Line(
        kind=kind,
        count=count,
        price=price,
        per=per,
        source=kind if source is None else source,
        multiplied=multiplied,
        usd=Fraction(0) if price is None else Fraction(price) * count / per,
    )


def _token_price(price: Price, tier: PriceTier | None, kind: str) -> tuple[Decimal, str]:
    """The price of a kind of tokens, and the entry that it stands in."""
    entry: str | None = kind
    while entry is not None:
        in_tier: Decimal | None = None if tier is None else getattr(tier, entry)
        if tier is not None and in_tier is not None:
            return in_tier, f"tiers[{tier.above}].{entry}"
        in_price: Decimal | None = getattr(price, entry)
        if in_price is not None:
            return in_price, entry
        entry = TOKENS[entry]
    raise AssertionError(f"no price of {kind}: input and output always have one")


def _image_entry(price: Price, name: str) -> str:
    """The entry of an image: of those that fit the one with the most parts that are said, quality before size."""
    quality, _, size = name.partition("/")

    def said(entry: str) -> tuple[int, bool]:
        of_quality, _, of_size = entry.partition("/")
        return (of_quality != "*") + (of_size != "*"), of_quality != "*"

    def fits(entry: str) -> bool:
        of_quality, _, of_size = entry.partition("/")
        return of_quality in (quality, "*") and of_size in (size, "*")

    return max(filter(fits, price.images), key=said, default="")
