"""A price at a ratio, ready to charge with: the arithmetic of a charge, in integers (`pricing` has the formula)."""

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from math import gcd, lcm
from typing import NamedTuple, TypeVar

from asgi_gateway.storage.records import UNITS_PER_USD, Price, PriceTier, Usage

__all__ = ["MAX_CHARGE", "Estimate", "Tariff", "cost", "estimate", "image_price", "unsigned"]

MAX_CHARGE = 2**53 - 1
"""Units; some 18 billion USD, and the largest integer that every JSON reader keeps."""

MILLION = 1_000_000
RESERVED_BYTES = 3


Number = TypeVar("Number", int, Decimal)


class Estimate(NamedTuple):
    """What to set aside, in units: `amount` in all, of it `prompt_amount` for the prompt."""

    amount: int
    prompt_amount: int


class _Rates(NamedTuple):
    """What a token of each kind costs, in the tariff's fractions of a unit."""

    input: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    audio_input: int
    image_input: int
    output: int
    reasoning: int
    audio_output: int
    image_output: int


class _Integers:
    """The numbers of a price at a ratio, in units, as integers over one denominator without a common factor."""

    __slots__ = ("_common", "_factor", "_shared", "denominator")

    def __init__(self, price: Price, ratio: Decimal) -> None:
        numbers = list(_numbers(price))
        for number in (*(number for number, _ in numbers), *price.service_tiers.values(), ratio):
            if not number.is_finite() or number < 0:
                raise ValueError(f"{number} is no price or ratio: it must be 0 or more")
        top, bottom = ratio.as_integer_ratio()
        self._factor = top * UNITS_PER_USD
        self._shared = lcm(*(number.as_integer_ratio()[1] for number, _ in numbers)) * MILLION
        self._common = 1
        self._common = gcd(self._shared * bottom, *(self.of(number, per) for number, per in numbers))
        self.denominator = self._shared * bottom // self._common

    def of(self, number: Decimal, per: int) -> int:
        """A price of so many pieces, for one of them."""
        top, bottom = number.as_integer_ratio()
        return top * (self._shared // (bottom * per)) * self._factor // self._common


class _Extras:
    """What few prices have: everything but the plain prices of tokens. Numbers in the tariff's fractions of a unit."""

    __slots__ = ("call", "characters", "images", "millisecond", "scale", "service_tiers", "tiers", "tools")

    def __init__(self, price: Price, numbers: _Integers) -> None:
        self.call = numbers.of(price.call, 1)
        self.millisecond = numbers.of(price.second, 1000)
        self.characters = numbers.of(price.characters, MILLION)
        self.images = {name: numbers.of(number, 1) for name, number in price.images.items()}
        self.tools = {kind: numbers.of(number, 1000) for kind, number in price.tools.items()}
        # From the highest down, so that the first one reached is the one that counts.
        tiers = sorted(price.tiers, key=lambda tier: tier.above, reverse=True)
        self.tiers = [(tier.above, _rates(price, numbers, tier)) for tier in tiers]
        multipliers = {name: number.as_integer_ratio() for name, number in price.service_tiers.items()}
        self.scale = lcm(*(denominator for _, denominator in multipliers.values()))
        """All multipliers are integers over it."""
        self.service_tiers = {name: top * (self.scale // bottom) for name, (top, bottom) in multipliers.items()}


class Tariff:
    """A price at a ratio, as integers over one denominator: what makes a charge cheap to compute and exact.

    Raises `ValueError` when the ratio or a price is negative or not finite.
    """

    __slots__ = (
        "_audio_input",
        "_audio_output",
        "_cache_read",
        "_cache_write",
        "_cache_write_1h",
        "_denominator",
        "_extras",
        "_image_input",
        "_image_output",
        "_input",
        "_output",
        "_rates",
        "_reasoning",
        "price",
        "ratio",
    )

    def __init__(self, price: Price, ratio: Decimal) -> None:
        self.price = price
        self.ratio = ratio
        numbers = _Integers(price, ratio)
        self._denominator = numbers.denominator
        self._rates = _rates(price, numbers)
        (
            self._input,
            self._cache_read,
            self._cache_write,
            self._cache_write_1h,
            self._audio_input,
            self._image_input,
            self._output,
            self._reasoning,
            self._audio_output,
            self._image_output,
        ) = self._rates
        self._extras = _Extras(price, numbers) if _has_extras(price) else None

    def cost(self, usage: Usage) -> int:
        """The charge for a usage, in units: the formula of `pricing`."""
        if self._extras is not None:
            return self._full_cost(usage, self._extras)
        text, read, write, write_1h = usage.input, usage.cache_read, usage.cache_write, usage.cache_write_1h
        audio, image = usage.audio_input, usage.image_input
        output, reasoning, audio_out, image_out = usage.output, usage.reasoning, usage.audio_output, usage.image_output
        if (text | read | write | write_1h | audio | image | output | reasoning | audio_out | image_out) < 0:
            return self.cost(unsigned(usage))
        total = (
            text * self._input
            + read * self._cache_read
            + write * self._cache_write
            + write_1h * self._cache_write_1h
            + audio * self._audio_input
            + image * self._image_input
            + output * self._output
            + reasoning * self._reasoning
            + audio_out * self._audio_output
            + image_out * self._image_output
        )
        return min(-(-total // self._denominator), MAX_CHARGE)

    def estimate(
        self,
        *,
        prompt_bytes: int,
        max_output: int | None,
        default_output: int,
        choices: int = 1,
        images: Iterable[tuple[str, int]] = (),
        milliseconds: int = 0,
        characters: int = 0,
        service_tier: str = "",
    ) -> Estimate:
        """What to set aside before the upstream sees the request.

        The prompt counts as a token per 3 bytes, rounded up, at the price of plain input;
        each choice as `max_output` tokens, or `default_output` where the caller set no limit, at the price of output.
        Of the context tiers that such a prompt reaches the dearest counts. The price per call belongs to the prompt.
        `images`, `milliseconds` and `characters` are what the request asks for, as a `Usage` would say it.
        A `service_tier` that the caller asks for counts where it makes the exchange dearer: the upstream may not
        grant a cheaper one. Calls of tools are not foreseen: nobody knows how many a model will make.
        """
        prompt = -(-max(prompt_bytes, 0) // RESERVED_BYTES)
        output = max(default_output if max_output is None else max_output, 0) * max(choices, 1)
        extras, bottom = self._extras, self._denominator
        if extras is None:
            inward = prompt * self._input
            whole = inward + output * self._output
        else:
            reached = [self._rates, *(rates for above, rates in extras.tiers if above < prompt)]
            inward = max(prompt * rates.input for rates in reached) + extras.call
            whole = max(prompt * rates.input + output * rates.output for rates in reached) + extras.call
            whole += sum(max(count, 0) * image_price(extras.images, name, 0) for name, count in images)
            whole += max(milliseconds, 0) * extras.millisecond + max(characters, 0) * extras.characters
            factor = max(extras.service_tiers.get(service_tier, 0), extras.scale)
            inward, whole, bottom = inward * factor, whole * factor, bottom * extras.scale
        return Estimate(min(-(-whole // bottom), MAX_CHARGE), min(-(-inward // bottom), MAX_CHARGE))

    def _full_cost(self, usage: Usage, extras: _Extras) -> int:
        usage = unsigned(usage)
        rates = self._rates
        if extras.tiers:
            inward = usage.total_input
            rates = next((found for above, found in extras.tiers if above < inward), rates)
        total = (
            usage.input * rates.input
            + usage.cache_read * rates.cache_read
            + usage.cache_write * rates.cache_write
            + usage.cache_write_1h * rates.cache_write_1h
            + usage.audio_input * rates.audio_input
            + usage.image_input * rates.image_input
            + usage.output * rates.output
            + usage.reasoning * rates.reasoning
            + usage.audio_output * rates.audio_output
            + usage.image_output * rates.image_output
            + usage.milliseconds * extras.millisecond
            + usage.characters * extras.characters
        )
        if extras.images:
            for name, count in usage.images:
                total += count * image_price(extras.images, name, 0)
        if extras.call and _anything(usage):
            total += extras.call
        total *= extras.service_tiers.get(usage.service_tier, extras.scale)
        if extras.tools:
            for kind, count in usage.tools:
                total += count * extras.tools.get(kind, 0) * extras.scale
        return min(-(-total // (self._denominator * extras.scale)), MAX_CHARGE)


def cost(price: Price, ratio: Decimal, usage: Usage) -> int:
    """The charge for a usage, in units. A `Tariff` that is kept does the same faster."""
    return Tariff(price, ratio).cost(usage)


def estimate(
    price: Price,
    ratio: Decimal,
    *,
    prompt_bytes: int,
    max_output: int | None,
    default_output: int,
    choices: int = 1,
) -> Estimate:
    """What to set aside, in units. A `Tariff` that is kept does the same faster."""
    return Tariff(price, ratio).estimate(
        prompt_bytes=prompt_bytes, max_output=max_output, default_output=default_output, choices=choices
    )


def image_price(prices: Mapping[str, Number], name: str, otherwise: Number) -> Number:
    """What an image of this "quality/size" costs: by the most exact entry.

    That is one of both, then one of the quality alone ("high/*"), of the size alone ("*/1024x1024"), and "*/*".
    """
    quality, _, size = name.partition("/")
    for entry in (name, f"{quality}/*", f"*/{size}", "*/*"):
        if entry in prices:
            return prices[entry]
    return otherwise


def unsigned(usage: Usage) -> Usage:
    """The usage without counts below 0, which no upstream can mean."""
    inward = usage.input | usage.cache_read | usage.cache_write | usage.cache_write_1h
    media = usage.audio_input | usage.image_input | usage.audio_output | usage.image_output
    if (inward | media | usage.output | usage.reasoning | usage.milliseconds | usage.characters) >= 0 and all(
        count >= 0 for _, count in (*usage.tools, *usage.images)
    ):
        return usage
    return Usage(
        input=max(usage.input, 0),
        cache_read=max(usage.cache_read, 0),
        cache_write=max(usage.cache_write, 0),
        cache_write_1h=max(usage.cache_write_1h, 0),
        audio_input=max(usage.audio_input, 0),
        image_input=max(usage.image_input, 0),
        output=max(usage.output, 0),
        reasoning=max(usage.reasoning, 0),
        audio_output=max(usage.audio_output, 0),
        image_output=max(usage.image_output, 0),
        tools=tuple((kind, max(count, 0)) for kind, count in usage.tools),
        images=tuple((name, max(count, 0)) for name, count in usage.images),
        milliseconds=max(usage.milliseconds, 0),
        characters=max(usage.characters, 0),
        service_tier=usage.service_tier,
        estimated=usage.estimated,
        inconsistent=usage.inconsistent,
    )


def _anything(usage: Usage) -> bool:
    """Whether anything at all was used."""
    return bool(
        usage.total_input
        or usage.total_output
        or usage.milliseconds
        or usage.characters
        or any(count for _, count in (*usage.tools, *usage.images))
    )


def _has_extras(price: Price) -> bool:
    return bool(
        price.tiers
        or price.call
        or price.images
        or price.second
        or price.characters
        or price.tools
        or price.service_tiers
    )


def _numbers(price: Price) -> Iterator[tuple[Decimal, int]]:
    """All numbers of a price but its multipliers, each with the count of pieces that it is the price of."""
    for record in (price, *price.tiers):
        for kind in _Rates._fields:
            number = getattr(record, kind)
            if number is not None:
                yield number, MILLION
    yield price.call, 1
    yield price.second, 1000
    yield price.characters, MILLION
    yield from ((number, 1) for number in price.images.values())
    yield from ((number, 1000) for number in price.tools.values())


def _rates(price: Price, numbers: _Integers, tier: PriceTier | None = None) -> _Rates:
    """What tokens cost, in a context tier or outside of all.

    A number that the tier does not have is the price's; only then the fallbacks apply, to what came of it.
    """

    def own(kind: str) -> Decimal | None:
        number: Decimal | None = None if tier is None else getattr(tier, kind)
        return getattr(price, kind) if number is None else number

    def rate(*kinds: str) -> int:
        number = next(number for number in map(own, kinds) if number is not None)
        return numbers.of(number, MILLION)

    return _Rates(
        input=rate("input"),
        cache_read=rate("cache_read", "input"),
        cache_write=rate("cache_write", "input"),
        cache_write_1h=rate("cache_write_1h", "cache_write", "input"),
        audio_input=rate("audio_input", "input"),
        image_input=rate("image_input", "input"),
        output=rate("output"),
        reasoning=rate("reasoning", "output"),
        audio_output=rate("audio_output", "output"),
        image_output=rate("image_output", "output"),
    )
