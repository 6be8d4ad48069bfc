"""New API's price sheet: ratios instead of prices, read, written, and turned into prices.

A model ratio of 1 is 2 USD per million tokens of input. All other ratios of a model are of its input price,
but for that of spoken answers, which is of the price of audio input:

| ratio | of what | where the sheet has none |
|---|---|---|
| `ModelRatio` | 2 USD per million tokens of input | the model has no price |
| `CompletionRatio` | output, reasoning and images made | by the model's name (`ratio_rules`); some names' is fixed |
| `CacheRatio` | cached input | 1: no discount |
| `CreateCacheRatio` | input written to the cache; for an hour 1.6 times as much | 1.25 |
| `ImageRatio` | images in the input | 1 |
| `AudioRatio` | audio in the input | 1 |
| `AudioCompletionRatio` | spoken answers, on top of `AudioRatio` | 1 |
| `ModelPrice` | USD per call, instead of all of these | by ratios |
| `GroupRatio` | everything, by the group used | 1 |
| `GroupGroupRatio` | instead of that, by the user's group and the group used | |

Read the sheet from New API's interface (`/api/option/` or `/api/ratio_config`): it has the ratios that come with it,
its database has only what was changed.
What a price cannot say: with a price per call several images or seconds cost as many calls there, here one.
Its minimum of one unit needs nothing: every charge is rounded up.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from fractions import Fraction
from typing import Any

from msgspec import json as msgspec_json

from asgi_gateway.policies.price_checks import LARGEST, PLACES
from asgi_gateway.policies.ratio_rules import completion_rule, tool_prices
from asgi_gateway.storage.records import Group, Price

__all__ = ["CREATE_CACHE_RATIO", "HOUR_RATIO", "USD_PER_RATIO", "RatioSheet", "decimal_of"]

USD_PER_RATIO = 2
CREATE_CACHE_RATIO = Fraction("1.25")
HOUR_RATIO = Fraction("1.6")

ROUNDED_PLACES = 18

Ratios = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class RatioSheet:
    """The maps of New API's options, by name of the model or group."""

    model_ratio: Ratios = field(default_factory=dict)
    completion_ratio: Ratios = field(default_factory=dict)
    cache_ratio: Ratios = field(default_factory=dict)
    create_cache_ratio: Ratios = field(default_factory=dict)
    model_price: Ratios = field(default_factory=dict)
    image_ratio: Ratios = field(default_factory=dict)
    audio_ratio: Ratios = field(default_factory=dict)
    audio_completion_ratio: Ratios = field(default_factory=dict)
    group_ratio: Ratios = field(default_factory=dict)
    group_group_ratio: Mapping[str, Ratios] = field(default_factory=dict)

    @classmethod
    def read(cls, options: Mapping[str, Any]) -> "RatioSheet":
        """The sheet in New API's options: `ModelRatio` and so on as JSON texts, or `model_ratio` as what they hold.

        Takes the answers of its interface too, with the options under `data`; other options are not looked at.
        Raises `ValueError` naming the option and the model that cannot be read.
        """
        found = options.get("data", options)
        if isinstance(found, list):
            found = {row.get("key"): row.get("value") for row in found if isinstance(row, Mapping)}
        if not isinstance(found, Mapping):
            raise ValueError("data: must be an object of options, or an array of them")
        maps: dict[str, Any] = {}
        for name in (part.name for part in fields(cls)):
            option = _option(name)
            for key in (name, option):
                if key in found:
                    maps[name] = _map(found[key], key, nested=name == "group_group_ratio")
        return cls(**maps)

    def options(self) -> dict[str, str]:
        """The sheet as New API's options hold it: a JSON text for each, with every digit of its numbers."""
        encode = msgspec_json.Encoder(decimal_format="number").encode
        return {_option(part.name): encode(getattr(self, part.name)).decode() for part in fields(self)}

    def completion(self, model: str) -> Fraction:
        """By what the price of a model's input is multiplied for its output."""
        own = self.completion_ratio.get(model)
        rule = completion_rule(model)
        if own is not None and ("/" in model or not rule.locked):
            return Fraction(own)
        return rule.ratio

    def prices(self) -> dict[str, Price]:
        """The price of each model of the sheet, such that it charges what New API does but for its rounding.

        A name that ends in "*" stays a pattern; one with an asterisk at its beginning is left out: prices have no
        such patterns. Two built-in completion ratios have no end of digits (25/3, 70/3): where the price of output
        has none either, it is rounded to 18 decimal places.
        """
        names = (name for name in (*self.model_price, *self.model_ratio) if not name.startswith("*"))
        return {name: self._price(name) for name in dict.fromkeys(names)}

    def groups(self) -> dict[str, Group]:
        """Its groups with their ratios, also with those that replace them for the users of a group."""
        return {
            name: Group(
                name=name, ratio=self.group_ratio.get(name, Decimal(1)), ratios=self.group_group_ratio.get(name, {})
            )
            for name in dict.fromkeys((*self.group_ratio, *self.group_group_ratio))
        }

    def _price(self, model: str) -> Price:
        tools = tool_prices(model)
        if model in self.model_price:
            return Price(input=Decimal(0), output=Decimal(0), call=self.model_price[model], tools=tools)

        def ratio(ratios: Ratios, otherwise: Fraction = Fraction(1)) -> Fraction:
            return Fraction(ratios[model]) if model in ratios else otherwise

        text = Fraction(self.model_ratio[model]) * USD_PER_RATIO
        write = text * ratio(self.create_cache_ratio, CREATE_CACHE_RATIO)
        audio = text * ratio(self.audio_ratio)
        return Price(
            input=decimal_of(text),
            output=decimal_of(text * self.completion(model)),
            cache_read=decimal_of(text * ratio(self.cache_ratio)),
            cache_write=decimal_of(write),
            cache_write_1h=decimal_of(write * HOUR_RATIO),
            audio_input=decimal_of(audio),
            audio_output=decimal_of(audio * ratio(self.audio_completion_ratio)),
            image_input=decimal_of(text * ratio(self.image_ratio)),
            tools=tools,
        )


def decimal_of(number: Fraction) -> Decimal:
    """The number with all its digits, or rounded to 18 places, half to even, where they have no end."""
    rest, places = number.denominator, 0
    for factor in (2, 5):
        count = 0
        while rest % factor == 0:
            rest //= factor
            count += 1
        places = max(places, count)
    if rest != 1:
        places = ROUNDED_PLACES
    digits = round(number * 10**places)
    return Decimal((digits < 0, tuple(map(int, str(abs(digits)))), -places))


def _option(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def _map(value: Any, key: str, *, nested: bool) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value or "{}", parse_float=Decimal)
        except ValueError as reason:
            raise ValueError(f"{key}: is no JSON: {reason}") from None
    if not isinstance(value, Mapping):
        raise ValueError(f"{key}: must be an object")
    if nested:
        return {str(name): _map(part, f"{key}.{name}", nested=False) for name, part in value.items()}
    return {str(name): _number(number, f"{key}.{name}") for name, number in value.items()}


def _number(value: Any, key: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"{key}: must be a number")
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite() or number < 0:
        raise ValueError(f"{key}: must be 0 or more")
    if number > LARGEST or number.as_tuple().exponent < -PLACES:  # type: ignore[operator]  # finite
        raise ValueError(f"{key}: must be at most {LARGEST:f}, with at most {PLACES} decimal places")
    return number
