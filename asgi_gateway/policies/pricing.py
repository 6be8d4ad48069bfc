"""What an exchange costs: integer quota units, from decimal prices, rounded once.

**Formula.** With t(k) the tokens of kind k, p(k) the price of that kind in USD per million tokens,
r the ratio of the group, and 500 000 units to the USD:

    charge = ceil( sum over k of t(k) * p(k) * r * 500 000 / 1 000 000 )

Nothing is rounded before the sum. A kind without a price of its own is charged as another:

| kind | price | where it has none |
|---|---|---|
| `input`, `image_input` | `input` | |
| `cache_read` | `cache_read` | `input` |
| `cache_write` | `cache_write` | `input` |
| `cache_write_1h` | `cache_write_1h` | `cache_write`, then `input` |
| `audio_input` | `audio_input` | `input` |
| `output`, `image_output` | `output` | |
| `reasoning` | `reasoning` | `output` |
| `audio_output` | `audio_output` | `output` |

Tool calls are counted and have no price yet.
A charge is never negative: prices and ratios below 0 are refused, a token count below 0 is taken as 0.
It is at most `MAX_CHARGE`, so that sums of charges fit a database's 64-bit integer.
"""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from hashlib import sha256
from math import gcd, lcm
from types import MappingProxyType
from typing import NamedTuple

from asgi_gateway.storage.records import UNITS_PER_USD, Outcome, Price, Usage

__all__ = [
    "BILLING",
    "MAX_CHARGE",
    "Billing",
    "Estimate",
    "PriceTable",
    "Tariff",
    "cost",
    "estimate",
    "price_version",
    "settle_usage",
]

MAX_CHARGE = 2**53 - 1
"""Units; some 18 billion USD, and the largest integer that every JSON reader keeps."""

TOKENS_PER_PRICE = 1_000_000
RESERVED_BYTES = 3
COUNTED_BYTES = 4

NUMBERS = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "audio_input",
    "audio_output",
)
"""The fields of `Price` that are numbers, in the order of the text that a version is the digest of."""


class Estimate(NamedTuple):
    """What to set aside, in units: `amount` in all, of it `prompt_amount` for the prompt."""

    amount: int
    prompt_amount: int


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
        "_input",
        "_output",
        "_reasoning",
        "price",
        "ratio",
    )

    def __init__(self, price: Price, ratio: Decimal) -> None:
        self.price = price
        self.ratio = ratio
        cache_write = _first(price.cache_write, price.input)
        prices = (
            price.input,
            _first(price.cache_read, price.input),
            cache_write,
            _first(price.cache_write_1h, cache_write),
            _first(price.audio_input, price.input),
            price.output,
            _first(price.reasoning, price.output),
            _first(price.audio_output, price.output),
        )
        numerators, self._denominator = _integers(prices, ratio)
        (
            self._input,
            self._cache_read,
            self._cache_write,
            self._cache_write_1h,
            self._audio_input,
            self._output,
            self._reasoning,
            self._audio_output,
        ) = numerators

    def cost(self, usage: Usage) -> int:
        """The charge for a usage, in units: the formula of this module."""
        text, read, write, write_1h = usage.input, usage.cache_read, usage.cache_write, usage.cache_write_1h
        audio, image = usage.audio_input, usage.image_input
        output, reasoning, audio_out, image_out = usage.output, usage.reasoning, usage.audio_output, usage.image_output
        if (text | read | write | write_1h | audio | image | output | reasoning | audio_out | image_out) < 0:
            return self.cost(_unsigned(usage))
        total = (
            (text + image) * self._input
            + read * self._cache_read
            + write * self._cache_write
            + write_1h * self._cache_write_1h
            + audio * self._audio_input
            + (output + image_out) * self._output
            + reasoning * self._reasoning
            + audio_out * self._audio_output
        )
        return min(-(-total // self._denominator), MAX_CHARGE)

    def estimate(self, *, prompt_bytes: int, max_output: int | None, default_output: int, choices: int = 1) -> Estimate:
        """What to set aside before the upstream sees the request.

        The prompt counts as a token per 3 bytes, rounded up, at the price of plain input;
        each choice as `max_output` tokens, or `default_output` where the caller set no limit, at the price of output.
        """
        prompt = -(-max(prompt_bytes, 0) // RESERVED_BYTES) * self._input
        output = max(default_output if max_output is None else max_output, 0) * max(choices, 1) * self._output
        return Estimate(
            min(-(-(prompt + output) // self._denominator), MAX_CHARGE),
            min(-(-prompt // self._denominator), MAX_CHARGE),
        )


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


def price_version(price: Price) -> str:
    """A short name of this set of numbers: the same for equal numbers however written, another for others."""
    text = ";".join(f"{name}={_canonical(getattr(price, name))}" for name in NUMBERS)
    return sha256(text.encode("ascii")).hexdigest()[:12]


class PriceTable:
    """The prices of models. Each carries its version; tariffs are kept per model and ratio, both finite sets.

    Raises `ValueError` naming the model whose price cannot be used.
    """

    __slots__ = ("_prices", "_tariffs")

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices: dict[str, Price] = {}
        self._tariffs: dict[tuple[str, Decimal], Tariff] = {}
        for model, price in prices.items():
            try:
                Tariff(price, Decimal(1))
            except ValueError as mistake:
                raise ValueError(f"the price of {model!r}: {mistake}") from None
            self._prices[model] = price if price.version else replace(price, version=price_version(price))

    def __contains__(self, model: object) -> bool:
        return model in self._prices

    def price(self, model: str) -> Price | None:
        """The model's price, None when it has none. Nothing is guessed from the name."""
        return self._prices.get(model)

    def tariff(self, model: str, ratio: Decimal) -> Tariff | None:
        """The model's price at the ratio of a group, ready to charge with; None when the model has no price."""
        key = (model, ratio)
        tariff = self._tariffs.get(key)
        if tariff is None:
            price = self._prices.get(model)
            if price is None:
                return None
            tariff = self._tariffs[key] = Tariff(price, ratio)
        return tariff


class Billing(Enum):
    """What of an exchange is charged."""

    USAGE = "usage"
    """The usage that the upstream reported; where it reported none, the prompt and the output that we counted."""
    REACHED = "reached"
    """As USAGE if an upstream was sent the request, else nothing."""
    PROMPT = "prompt"
    """The prompt as we count it, no output."""
    NOTHING = "nothing"


BILLING: Mapping[Outcome, Billing] = MappingProxyType(
    {
        Outcome.COMPLETED: Billing.USAGE,
        Outcome.TRUNCATED: Billing.USAGE,
        Outcome.CALLER_LEFT: Billing.REACHED,
        Outcome.UPSTREAM_FAILED: Billing.NOTHING,
        Outcome.EMPTY: Billing.NOTHING,
        Outcome.EXHAUSTED: Billing.USAGE,
        Outcome.REFUSED: Billing.NOTHING,
        # Recovery charges the prompt part of the reservation, or what `[billing] lost` says.
        Outcome.LOST: Billing.PROMPT,
    }
)
"""What each outcome costs. Closed: a test holds its rows equal to `Outcome`."""


def settle_usage(
    outcome: Outcome, reported: Usage | None, *, prompt_bytes: int, output_estimate: int, reached_upstream: bool
) -> Usage:
    """The usage that is charged and recorded for an exchange that ended like this.

    Where the upstream reported none, it is ours and marked `estimated`: a prompt token per 4 bytes, rounded up
    (English text has about four bytes to the token, Chinese about one token to a character of three bytes),
    and `output_estimate` tokens of output. So a prompt never counts for more than what was set aside for it.
    A reported usage of zero stays zero: it is not the same as none.
    """
    billing = BILLING[outcome]
    if billing is Billing.NOTHING or (billing is Billing.REACHED and not reached_upstream):
        return Usage()
    prompt = -(-max(prompt_bytes, 0) // COUNTED_BYTES)
    if billing is Billing.PROMPT:
        return Usage(input=prompt, estimated=True)
    if reported is None:
        return Usage(input=prompt, output=max(output_estimate, 0), estimated=True)
    return _unsigned(reported)


def _first(price: Decimal | None, otherwise: Decimal) -> Decimal:
    return otherwise if price is None else price


def _integers(prices: tuple[Decimal, ...], ratio: Decimal) -> tuple[list[int], int]:
    """Prices at a ratio as units per token: numerators and their denominator, without a common factor."""
    for number in (*prices, ratio):
        if not number.is_finite() or number < 0:
            raise ValueError(f"{number} is no price or ratio: it must be 0 or more")
    fractions = [price.as_integer_ratio() for price in prices]
    ratio_numerator, ratio_denominator = ratio.as_integer_ratio()
    shared = lcm(*(denominator for _, denominator in fractions))
    factor = ratio_numerator * UNITS_PER_USD
    numerators = [numerator * (shared // denominator) * factor for numerator, denominator in fractions]
    denominator = shared * ratio_denominator * TOKENS_PER_PRICE
    common = gcd(denominator, *numerators)
    return [numerator // common for numerator in numerators], denominator // common


def _unsigned(usage: Usage) -> Usage:
    """The usage without counts below 0, which no upstream can mean."""
    inward = usage.input | usage.cache_read | usage.cache_write | usage.cache_write_1h
    media = usage.audio_input | usage.image_input | usage.audio_output | usage.image_output
    if (inward | media | usage.output | usage.reasoning) >= 0:
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
        tools=usage.tools,
        images=usage.images,
        milliseconds=max(usage.milliseconds, 0),
        characters=max(usage.characters, 0),
        service_tier=usage.service_tier,
        estimated=usage.estimated,
        inconsistent=usage.inconsistent,
    )


def _canonical(number: Decimal | None) -> str:
    return "" if number is None else "{}/{}".format(*number.as_integer_ratio())
