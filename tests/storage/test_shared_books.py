"""What a ledger on SQL remembers between its transactions, and when it forgets it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from asgi_gateway.backends import SqlStorage
from asgi_gateway.backends.sql import books
from asgi_gateway.errors import InsufficientQuota
from asgi_gateway.storage.records import Account, Outcome
from support.ledger_records import TOKEN, USER, Clock, reservation, settlement


@pytest.fixture
async def two(path: Path, clock: Clock) -> AsyncIterator[tuple[SqlStorage, SqlStorage]]:
    """Two storages on one file, as two processes have them, with 1000 units on both accounts."""
    first, second = (SqlStorage(f"sqlite:///{path}", wall=clock) for _ in range(2))
    await first.open()
    await second.open()
    for account in (USER, TOKEN):
        await first.ledger.grant(account, 1000)
    yield first, second
    await first.close()
    await second.close()


async def test_what_another_connection_wrote_is_seen(two: tuple[SqlStorage, SqlStorage]) -> None:
    """Balances that were kept are read anew, whoever wrote in between; nobody overspends."""
    first, second = two
    for number, storage in enumerate((first, second, second, first, second)):
        held = reservation(200)
        await storage.ledger.reserve(held)
        await storage.ledger.settle(held, settlement(200))
        assert (await storage.ledger.balance(USER)).spent == 200 * (number + 1)
    for storage in two:
        with pytest.raises(InsufficientQuota):
            await storage.ledger.reserve(reservation(1))


async def test_a_key_is_known_whoever_wrote_it(two: tuple[SqlStorage, SqlStorage]) -> None:
    """Open or settled, here or there, among the greatest keys or before them."""
    first, second = two
    for key in ("k5", "k7", "k3"):
        held = reservation(10, key=key)
        await first.ledger.reserve(held)
        for storage in two:
            with pytest.raises(ValueError, match="already known"):
                await storage.ledger.reserve(held)
        await second.ledger.settle(held, settlement(1))
        for storage in two:
            with pytest.raises(ValueError, match="already known"):
                await storage.ledger.reserve(held)
    assert (await first.ledger.balance(USER)).spent == 3
    assert await second.ledger.open_reservations() == 0


async def test_a_settled_key_is_known_to_who_settled_it(sqlite: SqlStorage) -> None:
    """Alone on the file, later and earlier keys are told apart without being read."""
    await sqlite.ledger.grant(USER, 100)
    for key in ("k2", "k9", "k5"):
        held = reservation(10, key=key, accounts=(USER,))
        await sqlite.ledger.reserve(held)
        charge = await sqlite.ledger.settle(held, settlement(1))
        assert await sqlite.ledger.settle(held, settlement(5)) == charge
        with pytest.raises(ValueError, match="already known"):
            await sqlite.ledger.reserve(held)
    assert (await sqlite.ledger.balance(USER)).available == 97


async def test_a_reservation_that_another_closed_is_charged_once(two: tuple[SqlStorage, SqlStorage]) -> None:
    """A process that was taken for dead settles what was recovered meanwhile; one charge stands, the later one."""
    first, second = two
    held = reservation(300)
    await first.ledger.reserve(held)
    recovered = await second.ledger.settle(held, settlement(100, outcome=Outcome.LOST))
    assert recovered.charged == 100
    corrected = await first.ledger.settle(held, settlement(250))
    assert (corrected.charged, corrected.settlement.outcome) == (250, Outcome.COMPLETED)
    assert await second.ledger.settle(held, settlement(70)) == corrected
    assert (await first.ledger.balance(USER)).spent == 250
    assert await first.usage_log.recent() == [corrected]
    with pytest.raises(KeyError):
        await first.ledger.extend(held, 10)


async def test_more_accounts_than_are_kept_stay_exact(sqlite: SqlStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forgotten for want of room is read again, with reservations still open on it."""
    monkeypatch.setattr(books, "KEPT_ACCOUNTS", 2)
    accounts = [Account("user", number) for number in range(1, 6)]
    held = []
    for account in accounts:
        await sqlite.ledger.grant(account, 100)
        held.append(reservation(60, accounts=(account,)))
        await sqlite.ledger.reserve(held[-1])
    for one in held:
        await sqlite.ledger.settle(one, settlement(50))
    assert [(await sqlite.ledger.balance(account)).available for account in accounts] == [50] * 5


async def test_a_crowd_shares_its_commits(sqlite: SqlStorage, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a batch of many, verbs that come one by one with each turn of the loop are written together."""
    await sqlite.ledger.grant(USER, 10**6)
    begun: list[float] = []
    begin = books.Books.begin

    def counting(self: books.Books, now: float, *, careful: bool) -> None:
        begun.append(now)
        begin(self, now, careful=careful)

    monkeypatch.setattr(books.Books, "begin", counting)
    await asyncio.gather(*(sqlite.ledger.reserve(reservation(1, accounts=(USER,))) for _ in range(20)))
    assert len(begun) == 1
    waiting = []
    for _ in range(10):
        waiting.append(asyncio.ensure_future(sqlite.ledger.reserve(reservation(1, accounts=(USER,)))))
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert len(begun) == 2
