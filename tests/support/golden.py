"""The golden bills: real usages, the prices of a day, and what they came to."""

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from asgi_gateway.canonical import Usage
from asgi_gateway.storage.records import Price, PriceTier

__all__ = ["GOLDEN", "Bill", "bills", "price_of", "prices", "usage_of"]

GOLDEN = Path(__file__).parents[1] / "bills" / "golden.toml"

Row = Mapping[str, Any]


class Bill(Struct, frozen=True, kw_only=True):
    """One usage and its charge. `usage` names the kinds that are not zero."""

    dialect: str
    model: str
    price: str
    ratio: str
    usage: dict[str, Any]
    sum: str
    charge: int
    recording: str = ""
    because: str = ""

    @property
    def name(self) -> str:
        """What a test shows."""
        return self.recording or f"{self.dialect}: {self.because}"


class _Golden(Struct, frozen=True, forbid_unknown_fields=True):
    date: str
    prices: dict[str, dict[str, Any]]
    bill: list[Bill]


@cache
def _golden() -> _Golden:
    return msgspec.convert(tomllib.loads(GOLDEN.read_text(encoding="utf-8")), _Golden)


def bills() -> list[Bill]:
    """All bills, in the order of the file."""
    return _golden().bill


def prices() -> Mapping[str, Row]:
    """The rows of prices by name: decimal texts."""
    return _golden().prices


def price_of(row: Row) -> Price:
    """A row as a price."""
    given = {name: _numbers(value) for name, value in row.items() if name != "tiers"}
    tiers = tuple(PriceTier(above=tier["above"], **_but(tier, "above")) for tier in row.get("tiers", ()))
    return Price(**given, tiers=tiers)


def usage_of(kinds: Row) -> Usage:
    """The kinds as a usage."""
    counted = {name: tuple(kinds[name].items()) for name in ("tools", "images") if name in kinds}
    return Usage(**{**kinds, **counted})


def _but(row: Row, name: str) -> dict[str, Any]:
    return {key: _numbers(value) for key, value in row.items() if key != name}


def _numbers(value: Any) -> Any:
    return {key: Decimal(each) for key, each in value.items()} if isinstance(value, dict) else Decimal(value)
