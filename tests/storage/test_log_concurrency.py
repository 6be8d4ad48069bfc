"""Sums are exact while charges are settled and corrected, and several storages sum up, on one database."""

import asyncio
import time
from collections import Counter

import pytest
from sqlalchemy import NullPool, create_engine, select

from asgi_gateway.backends import SqlStorage
from asgi_gateway.backends.sql import numbers, usage_log
from asgi_gateway.backends.sql.address import address_of
from asgi_gateway.backends.sql.schema import log_state
from asgi_gateway.storage.records import Account, Outcome, Usage
from support.ledger_records import reservation, settlement

HOUSE = Account("user", 9)
SECONDS = 2.0


async def test_sums_are_exact_under_load(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is faster; no charge is added twice, and none is missed."""
    monkeypatch.setattr(numbers, "DISORDER", 0.5)  # so that servers sum up at all before the test ends
    monkeypatch.setattr(usage_log, "ROLLED_UP", 20)
    storages = [SqlStorage(database, True, migrate=True) for _ in range(2)]
    for storage in storages:
        await storage.open()
    await storages[0].ledger.declare(HOUSE, 0, unlimited=True)
    stop = time.monotonic() + SECONDS

    async def spend(storage: SqlStorage, user: str) -> None:
        number = 0
        while time.monotonic() < stop:
            number += 1
            held = reservation(10, accounts=(HOUSE,), user=user)
            await storage.ledger.reserve(held)
            if number % 3 == 0:
                lost = settlement(3, outcome=Outcome.LOST, usage=Usage(), channel="")
                await storage.ledger.settle(held, lost)
                await asyncio.sleep(0.3 * (number % 2))
            await storage.ledger.settle(held, settlement(number % 7, channel=f"channel-{number % 5}"))

    async def sum_up(storage: SqlStorage) -> None:
        while time.monotonic() < stop:
            await storage.usage_log.roll_up()

    spending = [spend(storage, user) for storage in storages for user in ("alice", "bob")]
    await asyncio.gather(*spending, *[sum_up(storage) for storage in storages])
    with create_engine(address_of(database).url, poolclass=NullPool).connect() as connection:
        assert connection.execute(select(log_state.c.rolled)).scalar_one() > 0
    await asyncio.sleep(0.6)  # what is younger than `DISORDER` is not summed up yet
    while await storages[1].usage_log.roll_up():
        pass
    charges = await storages[0].usage_log.recent(10**6)
    paid: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for charge in charges:
        paid[charge.settlement.channel] += charge.charged
        count[charge.settlement.channel] += 1
    sums = await storages[1].usage_log.sums("channel")
    assert {row.name: (row.requests, row.charged) for row in sums} == {
        name: (count[name], paid[name]) for name in count
    }
    for storage in storages:
        await storage.close()
