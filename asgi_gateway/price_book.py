"""What each model costs: several sources laid over each other, and tariffs ready to charge with.

From the bottom: the default library, a sheet of ratios that was imported, prices set at run time, the file. The upper
one counts, whole: nothing is mixed of two. A model that none of them has is unpriced.

Run-time prices stand in the storage's options, each under `price/MODEL`, an imported sheet as it came in under
`prices/ratios`, refreshed library data under `prices/library`; an empty value means that there is none.

`priced` is for the hot path: a look-up in a dictionary. What it gives back has its numbers in the storage already, so
that the charge can be recomputed when the price is long another one; `tariff` puts them there first.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Literal, NamedTuple, Protocol

from cachetools import LRUCache
from msgspec import ValidationError, convert, to_builtins

from asgi_gateway.policies.price_checks import price_mistakes
from asgi_gateway.policies.pricing import PriceTable, Tariff, price_version
from asgi_gateway.policies.ratios import RatioSheet
from asgi_gateway.price_library import PriceLibrary, bundled_library, unpacked
from asgi_gateway.storage.protocols import PriceStore
from asgi_gateway.storage.records import Price

__all__ = [
    "LIBRARY_OPTION",
    "PRICE_OPTION",
    "RATIOS_OPTION",
    "PriceBook",
    "PricedModel",
    "Source",
    "TariffHolder",
    "price_in",
    "price_record",
    "versioned",
]

logger = logging.getLogger("asgi_gateway")

PRICE_OPTION = "price/"
"""Options of this prefix hold prices set at run time, by model."""

RATIOS_OPTION = "prices/ratios"
LIBRARY_OPTION = "prices/library"

KEPT = 10_000
"""Models whose price, or lack of one, is remembered."""

Source = Literal["file", "runtime", "imported", "library"]


class PricedModel(NamedTuple):
    """A price with its version, and where it comes from. `detail` says more of a library's: "openai/gpt-4o"."""

    price: Price
    source: Source
    detail: str = ""


class TariffHolder(Protocol):
    """Whoever knows what models cost: a `Directory`, or a test's own."""

    def priced(self, model: str, ratio: Decimal) -> Tariff | None:
        """What the model costs at a ratio; None when that is not known yet."""
        ...

    async def tariff(self, model: str, ratio: Decimal) -> Tariff | None:
        """As `priced`, after looking everywhere; None when the model has no price."""
        ...


class PriceBook:
    """The prices of one process. `file` holds those that its configuration declares."""

    def __init__(
        self,
        store: PriceStore,
        file: PriceTable | None = None,
        *,
        library: bool = False,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._file = file or PriceTable({})
        self._runtime = PriceTable({})
        self._unreadable: frozenset[str] = frozenset()
        """Models whose price at run time cannot be read: nothing below it counts instead."""
        self._imported = PriceTable({})
        self.sheet = RatioSheet()
        """The ratios that were imported."""
        self._now = now
        self._uses_library = library
        self._library: PriceLibrary | None = None
        self._refreshed: Mapping[str, str] = {}
        self._loading: asyncio.Lock | None = None
        self._found: LRUCache[str, PricedModel | None] = LRUCache(KEPT)
        self._until: datetime | None = None
        """When the first of the prices that were found in the library may be another one."""
        self._ready: dict[str, Price] = {}
        """By model: prices whose numbers are in the storage."""
        self._tariffs: dict[tuple[str, Decimal], Tariff] = {}
        self._kept: set[str] = set()
        self._options: Mapping[str, Any] = {}
        self._generation = 0

    @property
    def origin(self) -> str:
        """Which data the library is of; empty while it is not loaded."""
        return self._library.origin if self._library is not None else ""

    def priced(self, model: str, ratio: Decimal) -> Tariff | None:
        """What the model costs at a ratio, if that is known already and its numbers are stored."""
        tariff = self._tariffs.get((model, ratio))
        if tariff is None and (price := self._ready.get(model)) is not None:
            tariff = self._tariffs[model, ratio] = Tariff(price, ratio)
        return tariff

    async def tariff(self, model: str, ratio: Decimal) -> Tariff | None:
        """What the model costs at a ratio; None when it has no price. Its numbers are stored before this returns.

        Raises `ServiceUnavailable` when they cannot be.
        """
        tariff = self.priced(model, ratio)
        if tariff is not None:
            return tariff
        while True:
            generation = self._generation
            found = await self.find(model)
            if found is None:
                return None
            await self.keep(found.price)
            if generation == self._generation:
                break
            # The prices changed meanwhile: what was found may be an old one.
        if len(self._ready) >= KEPT:
            self._forget()
        self._ready[model] = found.price
        return self.priced(model, ratio)

    async def keep(self, price: Price) -> None:
        """Have the storage remember the numbers of a price, unless this process did that already."""
        if price.version not in self._kept:
            await self._store.keep(price)
            self._kept.add(price.version)

    async def find(self, model: str) -> PricedModel | None:
        """The price of a model and where it comes from; None when it has none."""
        said = self._said(model)
        if said is not None or not self._asks_library(model):
            return said
        library = await self.library()
        if model not in self._found:
            self._found[model] = self._look_up(model, library)
        return self._found[model]

    async def prepare(self, models: Iterable[str]) -> None:
        """Load the library now if one of these models will need it: its first request need not wait for it then."""
        if any(self._said(model) is None and self._asks_library(model) for model in models):
            await self.library()

    def _said(self, model: str) -> PricedModel | None:
        """The price that somebody set."""
        if (price := self._file.price(model)) is not None:
            return PricedModel(price, "file")
        if model in self._unreadable:
            return None
        if (price := self._runtime.price(model)) is not None:
            return PricedModel(price, "runtime")
        if (price := self._imported.price(model)) is not None:
            return PricedModel(price, "imported")
        return None

    def _asks_library(self, model: str) -> bool:
        return self._uses_library and model not in self._unreadable

    def _look_up(self, model: str, library: PriceLibrary) -> PricedModel | None:
        found = library.find(model, self._now())
        if found is None:
            return None
        if found.until is not None and (self._until is None or found.until < self._until):
            self._until = found.until
        return PricedModel(versioned(found.price), "library", f"{found.vendor}/{found.model}")

    async def library(self) -> PriceLibrary:
        """The default library, loaded by a thread when it is needed first."""
        while (library := self._library) is None:
            lock = self._loading = self._loading or asyncio.Lock()
            try:
                async with lock:
                    await self._load()
            finally:
                self._loading = None  # a lock belongs to its event loop, and the next one to load may be of another
        return library

    async def _load(self) -> None:
        if self._library is None:
            refreshed = self._refreshed
            library = await asyncio.to_thread(_loaded, refreshed)
            if refreshed is self._refreshed:  # else newer data has come meanwhile
                self._library = library

    def declared(self) -> dict[str, PricedModel]:
        """The prices that somebody set, by model: all but the library's."""
        book = {model: PricedModel(price, "imported") for model, price in self.imported().items()}
        book |= {model: PricedModel(price, "runtime") for model, price in self._runtime.items()}
        return book | {model: PricedModel(price, "file") for model, price in self._file.items()}

    def imported(self) -> dict[str, Price]:
        """The prices of the imported sheet, by model."""
        return dict(self._imported.items())

    def take(self, options: Mapping[str, Any]) -> bool:
        """Read the prices out of the storage's options; True when they are others than before."""
        ours = {name: value for name, value in options.items() if name.startswith(PRICE_OPTION)}
        ours |= {name: options[name] for name in (RATIOS_OPTION, LIBRARY_OPTION) if name in options}
        if ours == self._options:
            return False
        self._options = ours
        runtime, self._unreadable = _runtime_prices(ours)
        self._runtime = PriceTable(runtime)
        self.sheet = _sheet(ours.get(RATIOS_OPTION))
        self._imported = PriceTable(self.sheet.prices())
        refreshed = ours.get(LIBRARY_OPTION) or {}
        if refreshed != self._refreshed:
            self._refreshed = refreshed
            self._library = None
        self._forget()
        return True

    def review(self) -> None:
        """Forget the library's prices once others may be in force. To be called often: it costs next to nothing."""
        if self._until is not None and self._now() >= self._until:
            self._forget()

    def _forget(self) -> None:
        self._generation += 1
        self._until = None
        self._found.clear()
        self._ready.clear()
        self._tariffs.clear()


def versioned(price: Price) -> Price:
    """The price under the name of its numbers."""
    return replace(price, version=price_version(price))


def price_record(price: Price) -> dict[str, Any]:
    """A price as the JSON object that options hold: what it says, numbers as texts, without its version."""
    empty = to_builtins(Price(input=Decimal(0), output=Decimal(0)))
    record: dict[str, Any] = to_builtins(replace(price, version=""))
    return {
        key: [_without_none(tier) for tier in value] if key == "tiers" else value
        for key, value in record.items()
        if key in ("input", "output") or value != empty[key]
    }


def price_in(record: object) -> Price:
    """The price in a JSON object of `price_record`, with its version. Raises `ValueError` when it is none."""
    try:
        price = convert(record, Price, strict=False)
    except ValidationError as reason:
        raise ValueError(str(reason)) from reason
    mistakes = [f"{key}: {mistake}" for key, mistake in price_mistakes(price)]
    if mistakes:
        raise ValueError("; ".join(mistakes))
    return versioned(price)


def _without_none(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if value is not None}


def _runtime_prices(options: Mapping[str, Any]) -> tuple[dict[str, Price], frozenset[str]]:
    prices, unreadable = {}, set()
    for name, value in options.items():
        if name.startswith(PRICE_OPTION) and value:
            model = name.removeprefix(PRICE_OPTION)
            try:
                prices[model] = price_in(value)
            except ValueError as reason:
                logger.error("the option %r holds no price, so its model has none: %s", name, reason)
                unreadable.add(model)
    return prices, frozenset(unreadable)


def _sheet(options: object) -> RatioSheet:
    try:
        return RatioSheet.read(options) if isinstance(options, Mapping) else RatioSheet()
    except ValueError as reason:
        logger.error("the option %r holds no sheet of ratios: %s", RATIOS_OPTION, reason)
        return RatioSheet()


def _loaded(refreshed: Mapping[str, str]) -> PriceLibrary:
    if refreshed:
        try:
            return unpacked(refreshed["data"], refreshed["origin"])
        except (ValueError, KeyError) as reason:
            logger.error("the refreshed prices cannot be read, so the installed ones count: %s", reason)
    return bundled_library()
