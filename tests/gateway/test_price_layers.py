"""Prices of several sources over each other: which counts, when a change is seen, and what is kept of each."""

import asyncio
import json
import logging
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from asgi_gateway import price_book as module
from asgi_gateway.backends import MemoryStorage
from asgi_gateway.directory import Catalogue, Directory
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.policies.pricing import PriceTable
from asgi_gateway.price_book import (
    LIBRARY_OPTION,
    PRICE_OPTION,
    RATIOS_OPTION,
    PriceBook,
    PricedModel,
    price_in,
    price_record,
)
from asgi_gateway.price_library import packed
from asgi_gateway.storage.records import Price, PriceTier, Usage
from support.exchanges import channel

ONE = Decimal(1)


def price(number: int) -> Price:
    """A price with this number in it."""
    return Price(input=Decimal(number), output=Decimal(number))


async def stored(**options: Any) -> MemoryStorage:
    """A storage with these prices set at run time."""
    storage = MemoryStorage()
    for model, record in options.items():
        await storage.options.set(PRICE_OPTION + model, record)
    return storage


async def directory(
    storage: MemoryStorage, file: Mapping[str, Price] | None = None, *, library: bool = False
) -> Directory:
    """What a process knows that has just looked."""
    known = Directory(storage, Catalogue(prices=PriceTable(file or {})), library=library)
    await known.refresh()
    return known


def published(*prices: Mapping[str, Any], **conditions: Any) -> str:
    """Refreshed data of the library in which `gpt-4o` has the first price, or the later ones under conditions."""
    entries: Any = list(prices) if len(prices) > 1 else prices[0]["prices"]
    models = [{"id": "gpt-4o", "match": {"equals": "gpt-4o"}, "prices": entries}]
    return packed(json.dumps([{"id": "openai", "name": "OpenAI", "api_pattern": "x", "models": models}]).encode())


def asked(number: float, **constraint: str) -> dict[str, Any]:
    """An entry of the library: both prices this number, from then on or at that time of day."""
    entry: dict[str, Any] = {"prices": {"input_mtok": number, "output_mtok": number}}
    return entry | ({"constraint": constraint} if constraint else {})


async def test_the_upper_source_counts() -> None:
    """File over run time over library, each price whole."""
    storage = await stored(**{"gpt-4o": price_record(price(2)), "gpt-4o-mini": price_record(price(2))})
    known = await directory(storage, {"gpt-4o": price(3)}, library=True)

    found = {name: await known.prices.find(name) for name in ("gpt-4o", "gpt-4o-mini", "gpt-4.1", "unheard-of")}
    assert {name: entry and (entry.source, entry.detail) for name, entry in found.items()} == {
        "gpt-4o": ("file", ""),
        "gpt-4o-mini": ("runtime", ""),
        "gpt-4.1": ("library", "openai/gpt-4.1"),
        "unheard-of": None,
    }
    assert found["gpt-4o"] is not None
    assert found["gpt-4o"].price.input == 3
    assert found["gpt-4o"].price.cache_read is None
    assert {name: entry.source for name, entry in known.prices.declared().items()} == {
        "gpt-4o": "file",
        "gpt-4o-mini": "runtime",
    }


async def test_without_the_library_a_model_has_no_price_of_its_own() -> None:
    """Then nothing of the library is loaded."""
    known = await directory(MemoryStorage())
    assert await known.tariff("gpt-4o", ONE) is None
    assert known.prices.origin == ""


async def test_what_charges_is_in_the_storage_first() -> None:
    """A tariff is had at once only when the numbers of its version are kept."""
    storage = MemoryStorage()
    known = await directory(storage, library=True)
    assert known.priced("gpt-4o", ONE) is None

    tariff = await known.tariff("gpt-4o", ONE)
    assert tariff is not None
    assert await storage.prices.find(tariff.price.version) == tariff.price
    assert known.priced("gpt-4o", ONE) is tariff
    assert await known.tariff("gpt-4o", ONE) is tariff
    assert known.prices.origin.startswith("genai-prices")

    half = known.priced("gpt-4o", Decimal("0.5"))
    assert half is not None
    assert (half.price, half.ratio) == (tariff.price, Decimal("0.5"))


async def test_a_price_that_cannot_be_kept_does_not_charge() -> None:
    """The storage is away: the request is refused before anything is reserved, and the next one tries again."""
    storage = MemoryStorage()
    keep = storage.prices.keep

    async def away(price: Price) -> None:
        raise ServiceUnavailable("away")

    storage.prices.keep = away  # type: ignore[method-assign]  # the store of this test alone
    known = await directory(storage, {"m": price(1)})
    with pytest.raises(ServiceUnavailable):
        await known.tariff("m", ONE)
    assert known.priced("m", ONE) is None

    storage.prices.keep = keep  # type: ignore[method-assign]  # as before
    assert await known.tariff("m", ONE) is not None


async def test_a_change_at_run_time_is_seen_at_the_next_look() -> None:
    """Of any process; the old numbers stay for the charges that were made with them."""
    storage = MemoryStorage()
    here, there = await directory(storage, library=True), await directory(storage, library=True)
    before = await here.tariff("gpt-4o", ONE)
    assert before is not None

    await storage.options.set(PRICE_OPTION + "gpt-4o", price_record(price(7)))
    assert here.priced("gpt-4o", ONE) is before
    assert await here.refresh()
    assert here.priced("gpt-4o", ONE) is None
    for each in (here, there):
        await each.refresh()
        tariff = await each.tariff("gpt-4o", ONE)
        assert tariff is not None
        assert tariff.cost(Usage(input=1_000_000)) == 7 * 500_000
    assert await storage.prices.find(before.price.version) == before.price

    await storage.options.set(PRICE_OPTION + "gpt-4o", {})
    await here.refresh()
    again = await here.tariff("gpt-4o", ONE)
    assert again is not None
    assert again.price == before.price


async def test_other_changes_leave_the_tariffs_alone() -> None:
    """A new token or channel costs nothing here."""
    storage = await stored(m=price_record(price(1)))
    known = await directory(storage)
    tariff = await known.tariff("m", ONE)
    await storage.options.set("something-else", 1)
    assert await known.refresh()
    assert known.priced("m", ONE) is tariff


async def test_a_change_during_a_look_up_wins() -> None:
    """What was found before it is not remembered as the price."""
    storage = await stored(m=price_record(price(1)))
    known = await directory(storage)
    keep, gate, reached = storage.prices.keep, asyncio.Event(), asyncio.Event()

    async def slow(price: Price) -> None:
        reached.set()
        await gate.wait()
        await keep(price)

    storage.prices.keep = slow  # type: ignore[method-assign]  # the store of this test alone
    asking = asyncio.create_task(known.tariff("m", ONE))
    await reached.wait()
    await storage.options.set(PRICE_OPTION + "m", price_record(price(2)))
    await known.refresh()
    gate.set()
    tariff = await asking
    assert tariff is not None
    assert tariff.price.input == 2
    assert known.priced("m", ONE) is tariff


async def test_what_stands_at_run_time_and_is_no_price_makes_its_model_unpriced(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It does not fall through to another price, and the log names the option."""
    with caplog.at_level(logging.ERROR, "asgi_gateway"):
        known = await directory(await stored(**{"gpt-4o": {"input": "-1", "output": "1"}}), library=True)
    assert await known.tariff("gpt-4o", ONE) is None
    assert "'price/gpt-4o'" in caplog.text


async def test_a_sheet_lies_between_the_library_and_run_time(caplog: pytest.LogCaptureFixture) -> None:
    """Its patterns, too; one that cannot be read any more is passed over, and the log says so."""
    storage = await stored(**{"gpt-4o": price_record(price(9))})
    await storage.options.set(RATIOS_OPTION, {"ModelRatio": '{"gpt-4o": 1, "gpt-4*": 2, "other-*": 3}'})
    known = await directory(storage, library=True)
    found = {name: await known.prices.find(name) for name in ("gpt-4o", "gpt-4.1", "other-1", "o3")}
    assert {name: entry and (entry.source, entry.price.input) for name, entry in found.items()} == {
        "gpt-4o": ("runtime", 9),
        "gpt-4.1": ("imported", 4),
        "other-1": ("imported", 6),
        "o3": ("library", 2),
    }
    assert caplog.text == ""

    await storage.options.set(RATIOS_OPTION, {"ModelRatio": "nonsense"})
    await known.refresh()
    assert await known.tariff("other-1", ONE) is None
    assert "holds no sheet of ratios" in caplog.text


async def test_an_operator_may_say_that_a_model_is_free() -> None:
    """Zero that somebody set is a price like any other."""
    known = await directory(await stored(m=price_record(price(0))))
    tariff = await known.tariff("m", ONE)
    assert tariff is not None
    assert tariff.cost(Usage(input=10**9, output=10**9)) == 0


async def test_refreshed_data_replaces_the_installed() -> None:
    """For every process, as soon as it looks; and the installed data comes back when it is removed."""
    storage = MemoryStorage()
    known = await directory(storage, library=True)
    installed = await known.tariff("gpt-4o", ONE)
    assert installed is not None

    await storage.options.set(LIBRARY_OPTION, {"data": published(asked(42)), "origin": "tomorrow"})
    await known.refresh()
    tariff = await known.tariff("gpt-4o", ONE)
    assert tariff is not None
    assert (tariff.price.input, known.prices.origin) == (42, "tomorrow")
    assert await known.tariff("gpt-4o-mini", ONE) is None

    await storage.options.set(LIBRARY_OPTION, {})
    await known.refresh()
    assert (await known.tariff("gpt-4o", ONE)).price == installed.price  # type: ignore[union-attr]  # seen above


async def test_refreshed_data_that_cannot_be_read_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """The installed prices count, and the log says so."""
    storage = MemoryStorage()
    await storage.options.set(LIBRARY_OPTION, {"data": "bm9uZQ==", "origin": "nowhere"})
    known = await directory(storage, library=True)
    assert await known.tariff("gpt-4o", ONE) is not None
    assert "the installed ones count" in caplog.text
    assert known.prices.origin.startswith("genai-prices")


async def test_a_dated_price_changes_when_its_time_comes() -> None:
    """No option has changed: the library's prices are looked at again in each round."""
    now = datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC)
    storage = MemoryStorage()
    book = PriceBook(storage.prices, library=True, now=lambda: now)
    data = published(asked(1), asked(2, start_date="2026-12-01"))
    book.take({LIBRARY_OPTION: {"data": data, "origin": "test"}})
    book.review()  # before anything is loaded

    first = await book.tariff("gpt-4o", ONE)
    assert first is not None
    book.review()
    assert book.priced("gpt-4o", ONE) is first

    now = datetime(2026, 12, 1, tzinfo=UTC)
    assert book.priced("gpt-4o", ONE) is first
    book.review()
    assert book.priced("gpt-4o", ONE) is None
    second = await book.tariff("gpt-4o", ONE)
    assert second is not None
    assert (first.price.input, second.price.input) == (1, 2)
    assert {first.price.version, second.price.version} == {
        found.version for version in (first, second) if (found := await storage.prices.find(version.price.version))
    }


async def test_the_library_is_loaded_once_and_by_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many callers who ask at the same time wait for the same loading; the loop goes on meanwhile."""
    threads = []
    load = module.bundled_library

    def noted() -> Any:
        threads.append(threading.current_thread())
        return load()

    monkeypatch.setattr(module, "bundled_library", noted)
    known = await directory(MemoryStorage(), library=True)
    names = ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5"] * 3
    tariffs = await asyncio.gather(*(known.tariff(name, ONE) for name in names))
    assert None not in tariffs
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_the_library_is_loaded_at_the_start_only_when_a_model_needs_it() -> None:
    """One that a channel serves and nobody set a price for; disabled channels do not count."""
    storage = MemoryStorage()
    await storage.channels.add(channel("first", models=("m",)))
    await storage.channels.add(channel("off", models=("gpt-4.1",), enabled=False))
    known = await directory(storage, {"m": price(1)}, library=True)
    await known.prepare()
    assert known.prices.origin == ""
    await storage.channels.add(channel("second", models=("m", "gpt-4o")))
    await known.prepare()
    assert known.prices.origin != ""
    without = await directory(storage)
    await without.prepare()
    assert without.prices.origin == ""


async def test_data_that_comes_while_the_library_is_loaded_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was begun with older data is thrown away."""
    begun, go = threading.Event(), threading.Event()
    load = module.bundled_library

    def slow() -> Any:
        begun.set()
        assert go.wait(10)
        return load()

    monkeypatch.setattr(module, "bundled_library", slow)
    storage = MemoryStorage()
    known = await directory(storage, library=True)
    asking = asyncio.create_task(known.tariff("gpt-4o", ONE))
    assert await asyncio.to_thread(begun.wait, 10)
    await storage.options.set(LIBRARY_OPTION, {"data": published(asked(42)), "origin": "tomorrow"})
    await known.refresh()
    go.set()
    tariff = await asking
    assert tariff is not None
    assert tariff.price.input == 42


async def test_prices_in_memory_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names there are."""
    monkeypatch.setattr(module, "KEPT", 3)
    known = await directory(MemoryStorage(), {f"m-{number}": price(1) for number in range(10)})
    for number in range(10):
        assert await known.tariff(f"m-{number}", ONE) is not None
        assert len(known.prices._ready) <= 3


FULL = Price(
    input=Decimal("0.15"),
    output=Decimal("0.60"),
    cache_read=Decimal("0.0750"),
    tiers=(PriceTier(above=200_000, input=Decimal("0.3")), PriceTier(above=500_000, output=Decimal(2))),
    call=Decimal("0.01"),
    images={"high/*": Decimal("0.167")},
    second=Decimal("0.0001"),
    characters=Decimal(15),
    tools={"web_search": Decimal(10)},
    service_tiers={"flex": Decimal("0.5")},
)


def test_a_price_goes_into_an_option_and_back() -> None:
    """Through JSON, with all its numbers; what it does not say is not written."""
    record = json.loads(json.dumps(price_record(FULL)))
    assert record["tiers"] == [{"above": 200_000, "input": "0.3"}, {"above": 500_000, "output": "2"}]
    assert price_record(price(1)) == {"input": "1", "output": "1"}
    again = price_in(record)
    assert replace(again, version="") == FULL
    assert len(again.version) == 12


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({}, "missing required field `input`"),
        ([], "Expected `object`"),
        ({"input": "x", "output": "1"}, r"\$\.input"),
        ({"input": "1", "output": "-1"}, "output: must be at least 0"),
        ({"input": "1", "output": "1", "tools": {"magic": "1"}}, "tools.magic: unknown kind"),
        ({"input": "NaN", "output": "1"}, "input"),
    ],
)
def test_what_is_no_price_says_why(record: object, reason: str) -> None:
    """The reason names the field."""
    with pytest.raises(ValueError, match=reason):
        price_in(record)


def test_a_priced_model_is_told_apart_by_its_source() -> None:
    """Without more to say its detail is empty."""
    assert PricedModel(price(1), "file").detail == ""
