"""A log database of its own: a copy of every charge, at least once and never twice."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from asgi_gateway.backends import SqlStorage
from asgi_gateway.backends.sql import log_copies
from asgi_gateway.backends.sql.log_copies import deliver
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.protocols import ChargeFilter, Storage
from asgi_gateway.storage.records import Charge, Outcome, Reservation
from support.emptied import empty
from support.ledger_records import USER, Clock, reservation, settlement

HOUR = 3600


def storage_of(main: str, log: str, clock: Clock) -> SqlStorage:
    """A storage with a log database."""
    return SqlStorage(main, migrate=True, wall=clock, clock=clock, log_url=log)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def log_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of each kind, for the log."""
    url: str = f"sqlite:///{tmp_path}/log.db" if request.param == "sqlite" else request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def copying(path: Path, log_url: str, clock: Clock) -> AsyncIterator[SqlStorage]:
    """An open storage with a log database."""
    opened = storage_of(f"sqlite:///{path}", log_url, clock)
    await opened.open()
    await opened.ledger.grant(USER, 10**6)
    yield opened
    await opened.close()


async def spend(storage: Storage, charge: int = 1, outcome: Outcome = Outcome.COMPLETED) -> Charge:
    """One whole exchange."""
    held = reservation(10, accounts=(USER,))
    await storage.ledger.reserve(held)
    return await storage.ledger.settle(held, settlement(charge, outcome=outcome))


async def work_off(storage: Storage) -> None:
    """Copy everything."""
    while await storage.usage_log.roll_up():
        pass


async def remove_all(storage: Storage, clock: Clock) -> int:
    """Remove everything but the newest."""
    return await storage.usage_log.prune(datetime.fromtimestamp(clock() + 2 * HOUR, UTC))


async def everything(storage: Storage, limit: int = 2) -> list[Charge]:
    """All pages together."""
    page = await storage.usage_log.page(limit=limit)
    found = list(page.charges)
    while page.next is not None:
        page = await storage.usage_log.page(cursor=page.next, limit=limit)
        found += page.charges
    return found


async def test_what_was_removed_is_read_from_the_copy(copying: SqlStorage, clock: Clock) -> None:
    """Pages go on there, and a request is found there; what was not copied is never removed."""
    charges = []
    for _ in range(5):
        charges.append(await spend(copying))
        clock.advance(HOUR)
    assert await remove_all(copying, clock) == 0
    await work_off(copying)
    assert await remove_all(copying, clock) == 4
    assert list(await copying.usage_log.recent()) == charges[4:]
    assert await everything(copying) == charges[::-1]
    assert await copying.usage_log.find(charges[0].reservation.request_id) == charges[0]
    by_user = await copying.usage_log.page(ChargeFilter(user="alice"))
    assert list(by_user.charges) == charges[::-1]
    assert list((await copying.usage_log.page(ChargeFilter(user="nobody"))).charges) == []
    early = ChargeFilter(until=datetime.fromtimestamp(charges[0].time, UTC) + timedelta(seconds=1))
    assert list((await copying.usage_log.page(early)).charges) == charges[:1]
    (total,) = await copying.usage_log.sums("user")
    assert total.requests == 5


async def test_a_correction_is_copied_too(copying: SqlStorage, clock: Clock) -> None:
    """What was closed as lost and is settled late takes the place of its copy."""
    lost = await spend(copying, 3, Outcome.LOST)
    await work_off(copying)
    late = await copying.ledger.settle(lost.reservation, settlement(7))
    clock.advance(2 * HOUR)
    newest = await spend(copying)
    await work_off(copying)
    assert await remove_all(copying, clock) == 1
    assert await everything(copying) == [newest, late]


async def test_to_copy_again_is_harmless(copying: SqlStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A parcel that arrives twice, and after what corrects it, changes nothing."""
    parcels = []

    def noted(connection: object, parcel: log_copies.Parcel) -> None:
        parcels.append(parcel)
        deliver(connection, parcel)  # type: ignore[arg-type]  # handed on

    monkeypatch.setattr("asgi_gateway.backends.sql.usage_log.deliver", noted)
    lost = await spend(copying, 3, Outcome.LOST)
    await spend(copying)
    await work_off(copying)
    late = await copying.ledger.settle(lost.reservation, settlement(7))
    await work_off(copying)
    assert len(parcels) == 2
    for parcel in parcels:
        await copying._usage_log._copies.write(lambda connection, one=parcel: deliver(connection, one))  # type: ignore[union-attr,misc]
    clock.advance(2 * HOUR)
    newest = await spend(copying)
    await work_off(copying)
    assert await remove_all(copying, clock) == 2
    found = await everything(copying)
    assert (found[0], found[-1], len(found)) == (newest, late, 3)


async def test_charges_of_before_there_was_a_log_database_are_copied(path: Path, log_url: str, clock: Clock) -> None:
    """Whenever it is configured."""
    alone = SqlStorage(f"sqlite:///{path}", wall=clock, clock=clock)
    await alone.open()
    await alone.ledger.grant(USER, 100)
    old = await spend(alone)
    await alone.close()
    copying = storage_of(f"sqlite:///{path}", log_url, clock)
    await copying.open()
    clock.advance(2 * HOUR)
    new = await spend(copying)
    await work_off(copying)
    assert await remove_all(copying, clock) == 1
    assert await everything(copying) == [new, old]
    await copying.close()


async def test_a_log_database_that_is_away_harms_nothing_else(path: Path, clock: Clock) -> None:
    """Exchanges are settled, summed up and read here; nothing is removed; when it is back, it gets what it lacks."""
    away = storage_of(f"sqlite:///{path}", f"sqlite:///{path.parent}/absent/log.db", clock)
    await away.open()
    await away.ledger.grant(USER, 100)
    charge = await spend(away)
    with pytest.raises(ServiceUnavailable):
        await away.usage_log.roll_up()
    clock.advance(2 * HOUR)
    other = await spend(away)
    (total,) = await away.usage_log.sums("user")
    assert total.requests == 2
    with pytest.raises(ServiceUnavailable):
        await remove_all(away, clock)
    assert list(await away.usage_log.recent()) == [other, charge]
    (path.parent / "absent").mkdir()
    await work_off(away)
    assert await remove_all(away, clock) == 1
    assert await everything(away) == [other, charge]
    await away.close()


async def test_a_log_database_belongs_to_one_gateway(
    copying: SqlStorage, log_url: str, path: Path, clock: Clock
) -> None:
    """Another's is left alone: numbers mean something else there."""
    await spend(copying)
    await work_off(copying)
    other = storage_of(f"sqlite:///{path.parent}/other.db", log_url, clock)
    await other.open()
    with pytest.raises(ServiceUnavailable, match="another gateway"):
        await other.usage_log.roll_up()
    await other.close()


async def test_both_databases_may_be_of_any_kind(postgresql: str, mariadb: str, clock: Clock) -> None:
    """Here the gateway's own is a server: what is younger than some seconds is read though it is not copied yet."""
    empty(mariadb)
    copying = storage_of(postgresql, mariadb, clock)
    await copying.open()
    await copying.ledger.grant(USER, 100)
    charges: list[Charge] = []
    for _ in range(4):
        charges.append(await spend(copying))
        clock.advance(HOUR)
    charges.append(await spend(copying))
    await work_off(copying)
    assert await remove_all(copying, clock) == 4
    assert await everything(copying) == charges[::-1]
    held: Reservation = charges[0].reservation
    assert await copying.usage_log.find(held.request_id) == charges[0]
    await copying.close()
