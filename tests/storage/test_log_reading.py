"""Pages, hours and removal, where a few charges show it; the rest is in `test_log_machine`."""

from datetime import UTC, datetime, timedelta

import pytest

from asgi_gateway.backends.sql import log_pages
from asgi_gateway.storage.protocols import ChargeFilter, ChargePage, HourSum, Storage
from asgi_gateway.storage.records import Account, Charge, Outcome, Usage
from support.ledger_records import USER, Clock, reservation, settlement

START = datetime.fromtimestamp(1_700_000_000 // 3600 * 3600, UTC)


@pytest.fixture(autouse=True)
async def ready(storage: Storage, clock: Clock) -> None:
    """The clock stands at a full hour, and the user may spend."""
    clock.now = START.timestamp()
    await storage.ledger.grant(USER, 10**6)


async def spend(storage: Storage, charge: int = 1, channel: str = "main", **fields: str) -> Charge:
    """One whole exchange."""
    held = reservation(10, accounts=(USER,), **fields)
    await storage.ledger.reserve(held)
    return await storage.ledger.settle(held, settlement(charge, channel=channel, usage=Usage(input=2, output=3)))


async def roll_up(storage: Storage, clock: Clock) -> None:
    """Everything, also where only what is some seconds old is summed up."""
    clock.advance(60)
    while await storage.usage_log.roll_up():
        pass
    clock.advance(-60)


async def test_pages_follow_one_another(storage: Storage, clock: Clock) -> None:
    """Newest first, without a gap or a double, also when charges come in between."""
    charges = []
    for _ in range(5):
        charges.append(await spend(storage))
        clock.advance(1)
    first = await storage.usage_log.page(limit=2)
    assert list(first.charges) == [charges[4], charges[3]]
    await spend(storage)
    second = await storage.usage_log.page(cursor=first.next, limit=2)
    assert list(second.charges) == [charges[2], charges[1]]
    third = await storage.usage_log.page(cursor=second.next, limit=2)
    assert list(third.charges) == [charges[0]]
    assert third.next is None


async def test_a_page_has_what_its_filter_says(storage: Storage, clock: Clock) -> None:
    """Every value that is given must be there; times from, and before."""
    first = await spend(storage, user="alice", token="a", model="x", channel="one", group="vip")
    clock.advance(10)
    second = await spend(storage, user="bob", token="b", model="x", channel="two")
    clock.advance(10)

    async def found(**values: object) -> list[Charge]:
        return list((await storage.usage_log.page(ChargeFilter(**values))).charges)  # type: ignore[arg-type]  # by name

    assert await found(user="alice") == [first]
    assert await found(token="b") == [second]
    assert await found(model="x") == [second, first]
    assert await found(model="x", channel="one") == [first]
    assert await found(group="vip") == [first]
    assert await found(user="alice", channel="two") == []
    assert await found(outcome=Outcome.COMPLETED) == [second, first]
    assert await found(outcome=Outcome.LOST) == []
    assert await found(since=START + timedelta(seconds=10)) == [second]
    assert await found(until=START + timedelta(seconds=10)) == [first]


@pytest.mark.parametrize("cursor", ["", "x", "-1", "1.5", "9" * 30, "²"])
async def test_a_cursor_that_is_none_of_ours_is_refused(storage: Storage, cursor: str) -> None:
    """Whoever made it up is told."""
    with pytest.raises(ValueError, match="cursor"):
        await storage.usage_log.page(cursor=cursor)


async def test_a_page_holds_at_least_one(storage: Storage) -> None:
    """Else no page would ever be the last."""
    with pytest.raises(ValueError, match="at least one"):
        await storage.usage_log.page(limit=0)


async def test_a_page_is_bounded_work_and_passes_over_what_holds_nothing(
    storage: Storage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rare user's charges are found a page away, though a page looks at few; outcomes are not summed by."""
    monkeypatch.setattr(log_pages, "SCANNED", 4)
    rare = await spend(storage, user="rare")
    for _ in range(5):
        clock.advance(3600)
        for _ in range(3):
            await spend(storage)
    clock.advance(60)
    await roll_up(storage, clock)

    async def pages(wanted: ChargeFilter) -> list[ChargePage]:
        found = [await storage.usage_log.page(wanted)]
        while found[-1].next is not None:
            found.append(await storage.usage_log.page(wanted, cursor=found[-1].next))
        return found

    rare_pages = await pages(ChargeFilter(user="rare"))
    assert [charge for page in rare_pages for charge in page.charges] == [rare]
    assert len(rare_pages) <= 2
    assert [page.charges for page in await pages(ChargeFilter(user="nobody"))] == [()]
    lost = await pages(ChargeFilter(outcome=Outcome.LOST))
    assert not any(page.charges for page in lost)
    assert len(lost) <= 6


async def test_hours_are_summed_one_by_one(storage: Storage, clock: Clock) -> None:
    """Oldest first; of one name or of all; whether they were summed up or not."""
    await spend(storage, 10, user="alice")
    clock.advance(3600)
    await spend(storage, 20, user="bob")
    await roll_up(storage, clock)
    await spend(storage, 5, user="alice")

    def hour(number: int, name: str, charged: int) -> HourSum:
        start = START + timedelta(hours=number)
        return HourSum(hour=start, name=name, requests=1, input_tokens=2, output_tokens=3, charged=charged)

    log = storage.usage_log
    everything = [hour(0, "alice", 10), hour(1, "alice", 5), hour(1, "bob", 20)]
    assert list(await log.hours("user", START)) == everything
    assert list(await log.hours("user", START, name="alice")) == everything[:2]
    assert list(await log.hours("user", START + timedelta(minutes=1))) == everything[1:]
    assert list(await log.hours("user", START, START + timedelta(hours=1))) == everything[:1]
    assert list(await log.hours("user", START, START)) == []


async def test_what_is_removed_stays_in_the_sums(storage: Storage, clock: Clock) -> None:
    """Charges of whole hours, the oldest first, a few at a time; balances do not change."""
    for _ in range(4):
        await spend(storage)
        clock.advance(1)
    clock.advance(3600)
    last = await spend(storage)
    await roll_up(storage, clock)
    now = START + timedelta(hours=1, minutes=30)
    assert await storage.usage_log.prune(now, 3) == 3
    assert await storage.usage_log.prune(now, 3) == 1
    assert await storage.usage_log.prune(now, 3) == 0
    assert list(await storage.usage_log.recent()) == [last]
    (total,) = await storage.usage_log.sums("user")
    assert (total.requests, total.charged) == (5, 5)
    (total,) = await storage.usage_log.sums("user", START + timedelta(seconds=2))
    assert total.requests == 5  # that hour is no longer divided
    (hour,) = await storage.usage_log.hours("user", START, START + timedelta(seconds=2))
    assert hour.requests == 4
    assert (await storage.ledger.balance(USER)).spent == 5
    assert (await storage.usage_log.page()).next is None


async def test_a_late_settlement_changes_the_sums_too(storage: Storage, clock: Clock) -> None:
    """What was closed as lost is settled after it was summed up: its hour is corrected with it."""
    held = reservation(100, accounts=(USER, Account("token", 7)), user="alice")
    await storage.ledger.declare(Account("token", 7), 0, unlimited=True)
    await storage.ledger.reserve(held)
    await storage.ledger.settle(held, settlement(33, outcome=Outcome.LOST, usage=Usage(), channel=""))
    await roll_up(storage, clock)
    clock.advance(7200)
    late = await storage.ledger.settle(held, settlement(50, channel="main", usage=Usage(input=9)))
    assert late.charged == 50
    (total,) = await storage.usage_log.sums("channel")
    assert (total.name, total.requests, total.input_tokens, total.charged) == ("main", 1, 9, 50)
    (hour,) = await storage.usage_log.hours("user", START)
    assert (hour.hour, hour.charged) == (START, 50)
    assert await storage.usage_log.find(held.request_id) == late
