"""What a server adds: odd texts, conflicts, connections that break, clocks that differ, nodes that were cut off."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asgi_gateway.backends import SqlStorage
from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.address import address_of
from asgi_gateway.backends.sql.drivers import Session, connect
from asgi_gateway.backends.sql.journal import ATTEMPTS, Journal
from asgi_gateway.backends.sql.leases import Lease, Tenure
from asgi_gateway.backends.sql.ledger import Change, Reserve
from asgi_gateway.backends.sql.periods import end_of_period
from asgi_gateway.backends.sql.writer import Fields, Query, WriterConnection, open_writer
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.protocols import NO_BUDGETS, Admission, Hit, Slot
from asgi_gateway.storage.records import Account, Outcome, Settlement
from support.databases import MariaDB, PostgreSQL
from support.ledger_records import TOKEN, USER, Clock, outlive, reservation, settlement

LEASES = Fields.of(schema.leases)
OPTIONS = Fields.of(schema.options, "name", "value")

DEADLINE = 60.0

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@pytest.fixture(params=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database on a server."""
    url: str = request.getfixturevalue(request.param)
    return url


@pytest.fixture(params=[PostgreSQL, MariaDB], ids=["postgresql", "mariadb"])
def own(request: pytest.FixtureRequest) -> Iterator[MariaDB | PostgreSQL]:
    """A server of the test's own, to be killed."""
    pytest.importorskip("psycopg" if request.param is PostgreSQL else "pymysql")
    started: MariaDB | PostgreSQL = request.param()
    started.start()
    yield started
    started.stop()


@pytest.fixture
async def two(server: str, clock: Clock) -> AsyncIterator[tuple[SqlStorage, SqlStorage]]:
    """Two storages on one server, as two processes have them, with 1000 units on both accounts."""
    first, second = (SqlStorage(server, migrate=True, wall=clock) for _ in range(2))
    await first.open()
    await second.open()
    for account in (USER, TOKEN):
        await first.ledger.grant(account, 1000)
    yield first, second
    await first.close()
    await second.close()


@pytest.fixture
async def writer(two: tuple[SqlStorage, SqlStorage], server: str) -> AsyncIterator[WriterConnection]:
    """A connection to a server that has its tables."""
    opened = open_writer(address_of(server), 1.0).connect()
    yield opened
    opened.close()


@pytest.fixture
async def journal(two: tuple[SqlStorage, SqlStorage], server: str) -> AsyncIterator[Journal]:
    """A journal beside the storages."""
    opened = Journal(open_writer(address_of(server), 1.0), Lease(30.0), corrected=lambda *told: None)
    yield opened
    opened.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(texts, min_size=1, max_size=5), number=st.floats(allow_nan=False, allow_infinity=False))
def test_every_text_and_number_comes_back(writer: WriterConnection, values: list[str], number: float) -> None:
    """As a value and as a key; but PostgreSQL has no character 0."""
    rows = [(f"{index}", value, "", "", index, 0, number) for index, value in enumerate(values)]
    writer.begin()
    writer.insert(LEASES, rows)
    writer.insert(OPTIONS, [(value[:20].replace("\0", ""), value) for value in dict.fromkeys(values[:1])])
    keys = [row[0] for row in rows]
    found = writer.select(Query("SELECT id, host, renewed FROM gateway_leases", "id", keys, lock=True))[0]
    key = values[0][:20].replace("\0", "")
    named = writer.select(Query("SELECT name FROM gateway_options", "name", [key]))[0]
    writer.rollback()
    kept = [(row[0], row[1], number) for row in rows]
    without = [(name, value.replace("\0", "�"), number) for name, value, number in kept]
    assert sorted(found) in (sorted(kept), sorted(without))
    assert named == [(key,)]


async def test_texts_that_are_too_long_are_cut(two: tuple[SqlStorage, SqlStorage]) -> None:
    """A charge is not lost for the length of a caller's name for a model."""
    first, _ = two
    held = reservation(100, model="m'\\" * 300, client_id="ü" * 400)
    await first.ledger.reserve(held)
    assert (await first.ledger.settle(held, settlement(60, error="\0"))).charged == 60
    (charge,) = await first.usage_log.recent()
    assert charge.reservation.model == ("m'\\" * 300)[:255]
    assert charge.reservation.client_id == "ü" * 255


async def test_what_cannot_be_written_fails_alone(two: tuple[SqlStorage, SqlStorage]) -> None:
    """One settlement too large for its column, among others."""
    first, second = two
    await first.ledger.declare(USER, 0, unlimited=True)
    await first.ledger.declare(TOKEN, 0, unlimited=True)
    held = [reservation(10) for _ in range(3)]
    for one in held:
        await first.ledger.reserve(one)
    futures = [first.ledger.settle(one, settlement(cost)) for one, cost in zip(held, (1, 2**70, 3), strict=True)]
    assert (await futures[0]).charged == 1
    with pytest.raises(Exception, match=r"range|Out of|out of"):
        await futures[1]
    assert (await futures[2]).charged == 3
    assert (await second.ledger.balance(USER)).spent == 4


async def test_a_key_is_known_whoever_wrote_it(two: tuple[SqlStorage, SqlStorage]) -> None:
    """Open or settled, here or there."""
    first, second = two
    held = reservation(10)
    await first.ledger.reserve(held)
    for storage in two:
        with pytest.raises(ValueError, match="already known"):
            await storage.ledger.reserve(held)
    await second.ledger.settle(held, settlement(1))
    for storage in two:
        with pytest.raises(ValueError, match="already known"):
            await storage.ledger.reserve(held)
    assert (await first.ledger.balance(USER)).spent == 1
    assert [storage.conflicts for storage in two] == [0, 0]


async def test_what_was_recovered_by_mistake_is_settled_late(two: tuple[SqlStorage, SqlStorage]) -> None:
    """The process that was taken for dead remembers its reservation; its settlement takes the place of the loss."""
    first, second = two
    held = reservation(300, prompt_amount=100)
    await first.ledger.reserve(held)
    lost = await second.ledger.settle(held, Settlement(charge=100, outcome=Outcome.LOST))
    charge = await first.ledger.settle(held, settlement(250))
    assert (lost.charged, charge.charged, charge.time) == (100, 250, lost.time)
    assert await second.ledger.settle(held, settlement(9)) == charge
    assert await first.usage_log.recent() == [charge]
    assert (await first.ledger.balance(USER)).available == 750
    with pytest.raises(KeyError):
        await first.ledger.extend(held, 1)


async def test_what_was_recovered_by_mistake_grows_no_more(two: tuple[SqlStorage, SqlStorage]) -> None:
    """Nothing is set aside for what is closed, though this process does not know it yet."""
    first, second = two
    held = reservation(300)
    await first.ledger.reserve(held)
    await second.ledger.settle(held, Settlement(charge=100, outcome=Outcome.LOST))
    with pytest.raises(KeyError):
        await first.ledger.extend(held, 50)
    balance = await first.ledger.balance(USER)
    assert (balance.spent, balance.reserved) == (100, 0)


def test_a_conflict_is_tried_again_and_counted(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """So often, and not for ever."""
    writer = journal._writer
    conflict = deadlock(writer)
    assert writer.is_conflict(conflict)
    transact, failures = Journal._transact, iter([conflict] * 3)

    def failing(self: Journal, verbs: Any, *, careful: bool) -> None:
        for failure in failures:
            raise failure
        transact(self, verbs, careful=careful)

    monkeypatch.setattr(Journal, "_transact", failing)
    assert journal.perform([verb := Change(USER, 5)]) == (1, None)
    assert (verb.error, verb.result.granted, journal.conflicts) == (None, 1005, 3)
    failures = iter([conflict] * ATTEMPTS)
    assert journal.perform([Change(USER, 5)]) == (0, conflict)


def deadlock(writer: Any) -> Exception:
    """What a driver raises."""
    if type(writer).__name__ == "PostgreSQLWriter":
        from psycopg.errors import DeadlockDetected

        return DeadlockDetected("deadlock detected")
    from pymysql import OperationalError

    return OperationalError(1213, "Deadlock found")


def test_a_lock_that_does_not_come_is_an_outage(journal: Journal, server: str) -> None:
    """After a second, here; and the next attempt is a new connection."""
    raw = connect(address_of(server), Session(limit=None, wait=None))
    cursor = raw.cursor()
    cursor.execute("BEGIN")
    cursor.execute("SELECT * FROM gateway_accounts WHERE account = 'user:1' FOR UPDATE")
    done, failure = journal.perform([Change(USER, 5)])
    assert (done, failure is not None, journal.unsure) == (0, True, False)
    raw.rollback()
    raw.close()
    assert journal.perform([verb := Change(USER, 5)]) == (1, None)
    assert verb.result.granted == 1005


def test_who_stands_still_in_a_transaction_loses_its_locks(
    journal: Journal, writer: WriterConnection, server: str
) -> None:
    """After a second, here: a process that was stopped is in nobody's way for long."""
    writer.begin()
    writer.select(Query("SELECT account FROM gateway_accounts", "account", ["user:1"], lock=True))
    patient = Journal(open_writer(address_of(server), 30.0), Lease(30.0), corrected=lambda *told: None)
    assert patient.perform([verb := Change(USER, 5)]) == (1, None)
    patient.close()
    assert verb.result.granted == 1005
    with pytest.raises(Exception, match=r"(?i)idle|lost|gone|clos|terminat|timeout") as caught:
        writer.commit()
    assert journal._writer.is_away(caught.value)


def test_a_lost_answer_to_a_commit_leaves_nothing_reserved(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller is told that it failed; what was reserved all the same is given back, and a slot is freed."""
    held = reservation(100)
    reserve = Reserve(held, NO_BUDGETS)
    assert journal.perform([Change(USER)])[1] is None
    kind = type(journal._db)
    commit = kind.commit

    def torn(self: Any) -> None:
        commit(self)
        raise ConnectionResetError("after the commit")

    with monkeypatch.context() as patch:
        patch.setattr(kind, "commit", torn)
        done, failure = journal.perform([reserve])
    assert (done, type(failure), journal.unsure) == (0, ConnectionResetError, True)
    undo = reserve.undo()
    assert journal.perform([undo, verb := Change(USER)]) == (2, None)
    assert (undo.result.charged, verb.result.reserved, verb.result.available) == (0, 0, 1000)


async def test_settlements_wait_for_a_server_that_was_killed(own: MariaDB | PostgreSQL) -> None:
    """And new work is refused meanwhile; so it is, after a while, by one that answers nothing."""
    storage = SqlStorage(own.url, migrate=True, wait=1.0)
    await storage.open()
    await storage.ledger.grant(USER, 1000)
    held = [reservation(100, accounts=(USER,)) for _ in range(2)]
    for one in held:
        await storage.ledger.reserve(one)
    await asyncio.to_thread(own.kill)
    settled = storage.ledger.settle(held[0], settlement(60))
    with pytest.raises(ServiceUnavailable):
        await storage.ledger.reserve(reservation(100, accounts=(USER,)))
    assert not settled.done()
    await asyncio.to_thread(own.start)
    assert (await asyncio.wait_for(settled, DEADLINE)).charged == 60
    own.freeze()
    settled = storage.ledger.settle(held[1], settlement(70))
    with pytest.raises(ServiceUnavailable):
        await asyncio.wait_for(storage.ledger.reserve(reservation(100, accounts=(USER,))), DEADLINE)
    own.thaw()
    assert (await asyncio.wait_for(settled, DEADLINE)).charged == 70
    balance = await storage.ledger.balance(USER)
    assert (balance.spent, balance.reserved) == (130, 0)
    await storage.close()


async def test_limits_are_those_of_the_servers_clock(server: str) -> None:
    """A node whose clock is wrong by hours leases and counts like the others."""
    storage = SqlStorage(server, migrate=True)
    await storage.open()
    admission = await storage.windows.acquire([Hit("a", 5, 60.0)], [Slot("s", 1)])
    assert isinstance(admission, Admission)
    assert abs(admission.time - time.time()) < 5.0
    await storage.close()


async def test_a_node_that_was_cut_off_takes_nobody_for_dead(
    two: tuple[SqlStorage, SqlStorage], clock: Clock, server: str
) -> None:
    """When the database comes back, whoever is first has not been renewed for long himself."""
    first, second = two
    await first.ledger.renew()
    held = reservation(100)
    await second.ledger.reserve(held)
    stranger(server)
    clock.advance(300)
    await first.ledger.renew()
    assert await first.ledger.recover() == []
    clock.advance(15)
    await first.ledger.renew()
    assert await first.ledger.recover() == []
    await outlive(clock, first.ledger)
    assert [charge.reservation.key for charge in await first.ledger.recover()] == [held.key]
    await second.ledger.settle(held, settlement(100))
    assert (await first.ledger.balance(USER)).spent == 100


def stranger(server: str) -> None:
    """Change what leases tell of their machine."""
    raw = connect(address_of(server), Session(limit=5.0, wait=5.0))
    raw.cursor().execute("UPDATE gateway_leases SET boot = 'elsewhere'")
    raw.commit()
    raw.close()


def test_a_tenure_begins_anew_after_a_gap() -> None:
    """And when the clock is set back."""
    tenure = Tenure(Lease(30.0))
    assert tenure.is_due(0.0)
    for now in (0.0, 10.0, 20.0, 29.0):
        tenure.renewed(now)
        assert not tenure.is_steady(now)
    assert not tenure.is_due(31.0)
    assert tenure.is_steady(30.0)
    tenure.renewed(50.0)
    assert not tenure.is_steady(79.0)
    assert tenure.is_steady(80.0)
    tenure.renewed(40.0)
    assert not tenure.is_steady(60.0)


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("2026-11-25", "2026-11-26"),
        ("2026-W48", "2026-11-30"),
        ("2026-12", "2027-01-01"),
        ("x", "None"),
        ("1-1", "None"),
    ],
)
def test_a_period_ends(name: str, end: str) -> None:
    """Names of no period end never."""
    assert str(end_of_period(name)) == end


async def test_accounts_of_old_periods_are_removed(database: str, clock: Clock) -> None:
    """Seventy days after their end, unless something is still reserved on them."""
    storage = SqlStorage(database, True, migrate=True, wall=clock)
    await storage.open()
    day, month = Account("user", 1, "2023-11-14"), Account("group", "a b", "2023-11")
    held = reservation(10, accounts=(USER, month))
    await storage.ledger.grant(USER, 100)
    await storage.ledger.reserve(held, {month: 50})
    spent = reservation(10, accounts=(USER, day))
    await storage.ledger.reserve(spent, {day: 50})
    await storage.ledger.settle(spent, settlement(10))
    clock.advance(72 * 86_400)
    await storage.ledger.renew()
    assert (await storage.ledger.balance(day)).spent == 0
    clock.advance(20 * 86_400)
    await storage.ledger.renew()
    assert (await storage.ledger.balance(month)).reserved == 10
    assert (await storage.ledger.settle(held, settlement(7))).charged == 7
    await storage.close()
