"""Prices by the names of models, and the names of the prices themselves."""

from collections.abc import ItemsView, Iterator, Mapping
from dataclasses import MISSING, fields, replace
from decimal import Decimal
from hashlib import sha256
from json import dumps

from asgi_gateway.policies.tariff import Tariff
from asgi_gateway.storage.records import Price, PriceTier

__all__ = ["PriceTable", "price_version"]

FIRST_NUMBERS = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "reasoning",
    "audio_input",
    "audio_output",
)
"""The numbers that stand in a version's text even where a price does not say them, in their order."""

PATTERN = "*"


def price_version(price: Price) -> str:
    """A short name of this set of numbers: the same for equal numbers however written, another for others.

    Numbers that a price does not say are not part of it, so versions stay what they are when `Price` gets more fields.
    """
    first = (f"{name}={_canonical(getattr(price, name))}" for name in FIRST_NUMBERS)
    return sha256(";".join((*first, *_said(price))).encode("utf-8")).hexdigest()[:12]


class PriceTable:
    """The prices of models. Each carries its version; tariffs are kept per model and ratio, both finite sets.

    A name that ends in "*" is the price of all models whose names begin with what stands before it,
    where they have none of their own; of several such names the longest counts.
    Raises `ValueError` naming the model whose price cannot be used.
    """

    __slots__ = ("_patterns", "_prices", "_tariffs")

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._prices: dict[str, Price] = {}
        self._tariffs: dict[tuple[str, Decimal], Tariff] = {}
        for model, price in prices.items():
            try:
                Tariff(price, Decimal(1))
            except ValueError as mistake:
                raise ValueError(f"the price of {model!r}: {mistake}") from None
            self._prices[model] = price if price.version else replace(price, version=price_version(price))
        patterns = (model for model in prices if model.endswith(PATTERN))
        self._patterns = tuple(sorted(patterns, key=len, reverse=True))

    def __contains__(self, model: object) -> bool:
        return isinstance(model, str) and self.name(model) is not None

    def items(self) -> ItemsView[str, Price]:
        """The prices by the names under which they stand."""
        return self._prices.items()

    def name(self, model: str) -> str | None:
        """The name under which the model's price stands: its own, or a pattern; None when it has no price."""
        if model in self._prices:
            return model
        for pattern in self._patterns:
            if model.startswith(pattern[:-1]):
                return pattern
        return None

    def price(self, model: str) -> Price | None:
        """The model's price, None when it has none. Beside the patterns nothing is guessed from the name."""
        name = self.name(model)
        return None if name is None else self._prices[name]

    def tariff(self, model: str, ratio: Decimal) -> Tariff | None:
        """The model's price at the ratio of a group, ready to charge with; None when the model has no price."""
        tariff = self._tariffs.get((model, ratio))
        if tariff is None:
            name = self.name(model)
            if name is None:
                return None
            tariff = self._tariffs.get((name, ratio))
            if tariff is None:
                tariff = self._tariffs[(name, ratio)] = Tariff(self._prices[name], ratio)
        return tariff


def _said(record: Price | PriceTier) -> Iterator[str]:
    """The numbers that a record says beside the first ones, each as a text that tells it from all others."""
    for field in fields(record):
        value = getattr(record, field.name)
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if value == default or field.name == "version" or (isinstance(record, Price) and field.name in FIRST_NUMBERS):
            continue
        yield f"{field.name}={_canonical(value)}"


def _canonical(value: object) -> str:
    match value:
        case None:
            return ""
        case Decimal():
            return "{}/{}".format(*value.as_integer_ratio())
        case Mapping():
            return "{" + ",".join(f"{dumps(key)}:{_canonical(value[key])}" for key in sorted(value)) + "}"
        case tuple():
            return "[" + ",".join("{" + ";".join(_said(tier)) + "}" for tier in value) + "]"
    return str(value)
