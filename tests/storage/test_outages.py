"""SQLite out of order: busy, full, gone, damaged; and verbs that cannot be written."""

import asyncio
import logging
import os
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from asgi_gateway.backends import SqlStorage
from asgi_gateway.backends.sql import sqlite as engine
from asgi_gateway.backends.sql.sqlite import SqliteConnection, is_away, prepare_file
from asgi_gateway.errors import InsufficientQuota, ServiceUnavailable
from asgi_gateway.storage.protocols import Admission, Hit, Refusal, Slot
from asgi_gateway.storage.records import Account, Outcome, User
from support.ledger_records import TOKEN, USER, Clock, outlive, reservation, settlement

DEADLINE = 30.0
"""Seconds after which a test is stuck."""


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, locked for writing by somebody else."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield other
    finally:
        other.close()


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Released whenever the writer begins to wait for the database."""
    begun = threading.Semaphore(0)
    begin = SqliteConnection.begin

    def noted(self: SqliteConnection) -> None:
        begun.release()
        begin(self)

    monkeypatch.setattr(SqliteConnection, "begin", noted)
    return begun


@pytest.fixture
async def patient(path: Path, clock: Clock) -> AsyncIterator[SqlStorage]:
    """An open storage that waits for others as long as a test lasts."""
    opened = SqlStorage(f"sqlite:///{path}", True, wait=DEADLINE, wall=clock)
    await opened.open()
    yield opened
    await opened.close()


async def happens(semaphore: threading.Semaphore) -> None:
    """Wait for the other thread."""
    assert await asyncio.to_thread(semaphore.acquire, timeout=DEADLINE)


async def fund(storage: SqlStorage, units: int = 1000) -> None:
    await storage.ledger.grant(USER, units)
    await storage.ledger.grant(TOKEN, units)


async def test_a_busy_database_is_waited_for(path: Path, attempts: threading.Semaphore) -> None:
    """A reservation that meets a lock is made when the lock goes."""
    storage = SqlStorage(f"sqlite:///{path}", wait=DEADLINE)
    await storage.open()
    await fund(storage)
    while attempts.acquire(blocking=False):
        pass
    with locked(path) as other:
        waiting = asyncio.create_task(storage.ledger.reserve(reservation(100)))
        await happens(attempts)
        assert not waiting.done()
        other.execute("COMMIT")
    await asyncio.wait_for(waiting, DEADLINE)
    assert (await storage.ledger.balance(USER)).reserved == 100
    await storage.close()


async def test_a_reservation_is_refused_when_the_wait_is_over(sqlite: SqlStorage, path: Path) -> None:
    """The caller gets `ServiceUnavailable`, nothing is reserved, and readiness says so until it works again."""
    await fund(sqlite)
    with locked(path):
        with pytest.raises(ServiceUnavailable) as caught:
            await asyncio.wait_for(sqlite.ledger.reserve(reservation(100)), DEADLINE)
        assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
        with pytest.raises(ServiceUnavailable):
            await sqlite.ping()
        with pytest.raises(ServiceUnavailable):
            await sqlite.users.add(User(name="alice"))
    assert (await sqlite.ledger.balance(USER)).reserved == 0
    await sqlite.ping()


async def test_settlements_outlast_an_outage(
    sqlite: SqlStorage, path: Path, attempts: threading.Semaphore, caplog: pytest.LogCaptureFixture
) -> None:
    """They are kept in order and tried again; the log tells the beginning and the end once."""
    await fund(sqlite)
    reserved = [reservation(100) for _ in range(5)]
    for one in reserved:
        await sqlite.ledger.reserve(one)
    admission = await sqlite.windows.acquire([Hit("a", 10, 60.0, 5)], [Slot("s", 1)])
    assert isinstance(admission, Admission)
    while attempts.acquire(blocking=False):
        pass
    with locked(path), caplog.at_level(logging.WARNING, logger="asgi_gateway.backends"):
        futures = [sqlite.ledger.settle(one, settlement(10 + n)) for n, one in enumerate(reserved)]
        futures.append(sqlite.ledger.settle(reserved[0], settlement(99)))
        await sqlite.windows.correct(admission, {"a": 2})
        await sqlite.windows.release(admission)
        for _ in range(3):
            await happens(attempts)
        assert not any(future.done() for future in futures)
    charges = await asyncio.wait_for(asyncio.gather(*futures), DEADLINE)
    assert [charge.charged for charge in charges] == [10, 11, 12, 13, 14, 10]
    assert (await sqlite.ledger.balance(USER)).spent == 60
    assert isinstance(await sqlite.windows.acquire([Hit("a", 10, 60.0, 8)], [Slot("s", 1)]), Admission)
    assert [message.split(":")[0] for message in caplog.messages] == [
        "the database is away",
        "the database is back",
    ]


async def test_too_much_waiting_work_is_refused_at_once(path: Path, attempts: threading.Semaphore) -> None:
    """New work first; what finishes earlier work is taken ten times longer, and then fails with a line in the log."""
    storage = SqlStorage(f"sqlite:///{path}", wait=DEADLINE, queue=3)
    await storage.open()
    await fund(storage)
    while attempts.acquire(blocking=False):
        pass
    with locked(path) as other:
        waiting = [asyncio.create_task(storage.ledger.balance(USER))]
        await happens(attempts)
        waiting += [asyncio.create_task(storage.ledger.balance(USER)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(ServiceUnavailable, match="Too much waits"):
            await storage.ledger.reserve(reservation(1))
        futures = [storage.ledger.settle(reservation(key=f"k{n}"), settlement()) for n in range(28)]
        assert [future.done() for future in futures] == [False] * 27 + [True]
        assert isinstance(futures[27].exception(), ServiceUnavailable)
        other.execute("COMMIT")
    assert [(await task).granted for task in waiting] == [1000] * 4
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(result) for result in results[:27]] == [KeyError] * 27
    await storage.close()


async def test_closing_gives_up_after_its_time(
    sqlite: SqlStorage, path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    """What could not be written fails with a line in the log, and is recovered later."""
    await fund(sqlite)
    reserved = reservation(100, prompt_amount=20)
    await sqlite.ledger.reserve(reserved)
    with locked(path), caplog.at_level(logging.ERROR, logger="asgi_gateway.backends"):
        future = sqlite.ledger.settle(reserved, settlement(60))
        waiting = asyncio.create_task(sqlite.ledger.balance(USER))
        await asyncio.sleep(0)
        await asyncio.wait_for(sqlite.close(), DEADLINE)
    assert isinstance(future.exception(), ServiceUnavailable)
    with pytest.raises(ServiceUnavailable):
        await waiting
    assert caplog.messages[-1] == "the database is away at the end; given up: 1 settlements"
    heir = SqlStorage(f"sqlite:///{path}", wall=clock)
    await heir.open()
    await outlive(clock, heir.ledger)
    assert [charge.charged for charge in await heir.ledger.recover()] == [20]
    await heir.close()


async def test_a_vanished_file_is_noticed(sqlite: SqlStorage, path: Path) -> None:
    """Nothing is written where nobody would find it; when the file is back, work goes on."""
    await fund(sqlite)
    reserved = reservation(100)
    await sqlite.ledger.reserve(reserved)
    aside = path.with_name("aside.db")
    os.replace(path, aside)
    with pytest.raises(ServiceUnavailable) as caught:
        await sqlite.ledger.reserve(reservation(100))
    assert isinstance(caught.value.__cause__, FileNotFoundError)
    os.replace(aside, path)
    charge = await asyncio.wait_for(sqlite.ledger.settle(reserved, settlement(60)), DEADLINE)
    assert charge.charged == 60
    assert (await sqlite.ledger.balance(USER)).reserved == 0


async def test_a_replaced_file_is_noticed(sqlite: SqlStorage, path: Path) -> None:
    """The connection to what was there before is not written to."""
    await fund(sqlite)
    aside = path.with_name("aside.db")
    os.replace(path, aside)
    os.close(os.open(path, os.O_CREAT))
    with pytest.raises(ServiceUnavailable) as caught:
        await sqlite.ledger.reserve(reservation(100))
    assert "was replaced" in str(caught.value.__cause__)
    os.replace(aside, path)


async def test_a_full_disk_refuses_and_loses_nothing(
    sqlite: SqlStorage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reservations are refused, settlements wait for space, and the sums are exact afterwards."""
    await fund(sqlite, 100_000)
    reserved = [reservation(10) for _ in range(40)]
    await asyncio.gather(*map(sqlite.ledger.reserve, reserved))
    aside = path.with_name("aside.db")
    os.replace(path, aside)  # so that the writer connects anew, with a limit
    monkeypatch.setattr(engine, "PRAGMAS", (*engine.PRAGMAS, "PRAGMA max_page_count = 1"))
    with pytest.raises(ServiceUnavailable):
        await sqlite.ledger.balance(USER)
    os.replace(aside, path)
    made: list[str] = []
    with suppress(ServiceUnavailable):
        while True:
            batch = [reservation(1, model="m" * 2000) for _ in range(20)]
            await asyncio.gather(*map(sqlite.ledger.reserve, batch))
            made += [one.key for one in batch]
    futures = [sqlite.ledger.settle(one, settlement(7, error="e" * 2000)) for one in reserved]
    with pytest.raises(ServiceUnavailable):
        await sqlite.ledger.reserve(reservation(1))
    assert not any(future.done() for future in futures)
    monkeypatch.setattr(engine, "PRAGMAS", engine.PRAGMAS[:-1])
    await asyncio.wait_for(asyncio.gather(*futures), DEADLINE)
    balance = await sqlite.ledger.balance(USER)
    assert (balance.spent, balance.reserved) == (280, len(made))
    assert await sqlite.ledger.open_reservations() == len(made)


async def test_what_cannot_be_written_fails_alone(sqlite: SqlStorage, caplog: pytest.LogCaptureFixture) -> None:
    """A text that is no Unicode, a number that no column holds: the others of the batch are written."""
    house = Account("user", 9)
    await sqlite.ledger.declare(house, 0, unlimited=True)
    await fund(sqlite)
    wanted = [
        reservation(10),
        reservation(10, model="\ud800"),
        reservation(10),
        reservation(2**63, accounts=(house,)),
        reservation(10),
    ]
    results = await asyncio.gather(*map(sqlite.ledger.reserve, wanted), return_exceptions=True)
    assert [type(result) for result in results] == [
        type(None),
        UnicodeEncodeError,
        type(None),
        OverflowError,
        type(None),
    ]
    assert (await sqlite.ledger.balance(USER)).reserved == 30
    futures = [
        sqlite.ledger.settle(wanted[0], settlement(1, error="\udfff")),
        sqlite.ledger.settle(wanted[2], settlement(2)),
    ]
    results = await asyncio.gather(*futures, return_exceptions=True)
    assert isinstance(results[0], UnicodeEncodeError)
    assert (await sqlite.ledger.balance(USER)).spent == 2
    assert "settlement of" in caplog.text


async def test_an_outage_among_verbs_tried_alone(
    sqlite: SqlStorage, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was done is told, what was not is refused or kept."""
    await fund(sqlite)
    first, poison, late = reservation(10), reservation(10, model="\ud800"), reservation(10)
    begin, begun = SqliteConnection.begin, 0

    def failing(self: SqliteConnection) -> None:
        nonlocal begun
        begun += 1
        if begun == 4:  # after the whole batch, the first, and the poisonous one
            raise sqlite3.OperationalError("disk I/O error")
        begin(self)

    monkeypatch.setattr(SqliteConnection, "begin", failing)
    reserves = [asyncio.ensure_future(sqlite.ledger.reserve(one)) for one in (first, poison, late)]
    await asyncio.sleep(0)
    future = sqlite.ledger.settle(first, settlement(5))
    results = await asyncio.gather(*reserves, return_exceptions=True)
    assert [type(result) for result in results] == [type(None), UnicodeEncodeError, ServiceUnavailable]
    assert (await asyncio.wait_for(future, DEADLINE)).charged == 5
    assert (await sqlite.ledger.balance(USER)).reserved == 0


async def test_a_caller_who_leaves_while_reserving_holds_nothing(
    patient: SqlStorage, path: Path, attempts: threading.Semaphore
) -> None:
    """Whether the reservation was already under way or still queued, granted or refused."""
    await fund(patient)
    while attempts.acquire(blocking=False):
        pass
    with locked(path) as other:
        under_way = asyncio.create_task(patient.ledger.reserve(reservation(100)))
        await happens(attempts)
        queued = asyncio.create_task(patient.ledger.reserve(reservation(100)))
        refused = asyncio.create_task(patient.ledger.reserve(reservation(5000)))
        await asyncio.sleep(0)
        for task in (under_way, queued, refused):
            task.cancel()
        await asyncio.wait((under_way, queued, refused))
        other.execute("COMMIT")
    await patient.ledger.drain()
    assert all(task.cancelled() for task in (under_way, queued, refused))
    assert await patient.ledger.open_reservations() == 0
    assert (await patient.ledger.balance(USER)).available == 1000
    assert {charge.settlement.outcome for charge in await patient.usage_log.recent()} == {Outcome.CALLER_LEFT}


async def test_a_caller_who_leaves_while_acquiring_has_taken_nothing(
    patient: SqlStorage, path: Path, attempts: threading.Semaphore
) -> None:
    """Neither hits nor slots stay, and one who was refused or met an outage gets no credit for it."""
    hits, slots = [Hit("a", 10, 60.0, 4)], [Slot("s", 3)]
    for _ in range(2):
        while attempts.acquire(blocking=False):
            pass
        with locked(path) as other:
            under_way = asyncio.create_task(patient.windows.acquire(hits, slots))
            await happens(attempts)
            queued = [asyncio.create_task(patient.windows.acquire(hits, slots)) for _ in range(3)]
            await asyncio.sleep(0)
            for task in (under_way, *queued):
                task.cancel()
            await asyncio.wait((under_way, *queued))
            other.execute("COMMIT")
        await patient.ledger.drain()
    assert isinstance(await patient.windows.acquire([Hit("a", 10, 60.0, 10)], slots), Admission)
    held = [await patient.windows.acquire([], slots) for _ in range(3)]
    assert [isinstance(one, Admission) for one in held] == [True, True, False]


async def test_a_caller_who_leaves_while_a_commit_fails_gets_no_credit(
    sqlite: SqlStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decided and undone is not given back."""
    hits = [Hit("a", 10, 60.0, 4)]
    assert isinstance(await sqlite.windows.acquire(hits), Admission)
    committing, leave = threading.Semaphore(0), threading.Event()

    def fail(self: SqliteConnection) -> None:
        committing.release()
        leave.wait(DEADLINE)
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteConnection, "commit", fail)
        leaving = asyncio.create_task(sqlite.windows.acquire(hits))
        await happens(committing)
        leaving.cancel()
        await asyncio.wait([leaving])
    leave.set()
    await sqlite.ledger.drain()
    assert isinstance(await sqlite.windows.acquire([Hit("a", 10, 60.0, 7)]), Refusal)
    assert isinstance(await sqlite.windows.acquire([Hit("a", 10, 60.0, 6)]), Admission)


@pytest.mark.parametrize("when", ["before open", "after close"])
async def test_a_storage_that_is_not_open_refuses(path: Path, when: str) -> None:
    """Every role says so; what ends a request does not fail it."""
    storage = SqlStorage(f"sqlite:///{path}", True)
    admission = Admission("1", 0.0, (Hit("a", 1, 60.0),), (Slot("s", 1),))
    if when == "after close":
        await storage.open()
        await storage.close()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: storage.ledger.reserve(reservation(1)),
        storage.ledger.drain,
        storage.users.list,
        lambda: storage.windows.acquire([Hit("a", 1, 60.0)]),
        storage.ping,
        storage.version,
    ]
    for call in calls:
        with pytest.raises(ServiceUnavailable, match="not open"):
            await call()
    await storage.windows.correct(admission, {"a": 0})
    await storage.windows.release(admission)
    await storage.close()


def test_a_loop_that_ends_without_closing_ends_the_thread(path: Path, clock: Clock) -> None:
    """The writer finishes what it has; what was reserved is recovered from the next loop on."""
    before, writers = set(threading.enumerate()), []
    prepare_file(path, 1.0)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:

        async def leave() -> None:
            storage = SqlStorage(f"sqlite:///{path}", wait=DEADLINE, wall=clock)
            await storage.open()
            started = set(threading.enumerate()) - before
            writers.extend(thread for thread in started if thread.name == "gateway-ledger")
            await storage.ledger.grant(USER, 1000)
            await storage.ledger.reserve(reservation(100, accounts=(USER,)))
            other.execute("BEGIN IMMEDIATE")
            storage.ledger.settle(reservation(key="x"), settlement())
            await asyncio.sleep(0)  # the settlement is handed to the thread, which waits for us

        asyncio.run(leave())
    for thread in writers:
        thread.join(DEADLINE)
    assert [thread.is_alive() for thread in writers] == [False]

    async def take_over() -> int:
        heir = SqlStorage(f"sqlite:///{path}", wall=clock)
        await heir.open()
        await outlive(clock, heir.ledger)
        recovered = await heir.ledger.recover()
        await heir.close()
        return len(recovered)

    assert asyncio.run(take_over()) == 1


def test_only_failures_of_the_whole_database_count_as_away() -> None:
    """What concerns one value does not."""
    for error in (
        sqlite3.OperationalError("locked"),
        sqlite3.DatabaseError("malformed"),
        sqlite3.InternalError("?"),
        FileNotFoundError(),
    ):
        assert is_away(error)
    for error in (
        sqlite3.IntegrityError(),
        sqlite3.InterfaceError(),
        OverflowError(),
        UnicodeEncodeError("a", "b", 0, 1, "c"),
    ):
        assert not is_away(error)


async def test_a_journal_mode_that_cannot_be_set_in_time_is_an_error(path: Path) -> None:
    """Another connection that is in the middle of something keeps the mode; after the wait we say so."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE a (b)")
    other.execute("BEGIN EXCLUSIVE")
    storage = SqlStorage(f"sqlite:///{path}", wait=0.05)
    with pytest.raises(ServiceUnavailable) as caught:
        await storage.open()
    assert isinstance(caught.value.__cause__, sqlite3.OperationalError)
    other.close()
    await storage.open()
    await storage.close()


async def test_insufficient_quota_is_no_outage(sqlite: SqlStorage) -> None:
    """A refusal leaves readiness alone."""
    with pytest.raises(InsufficientQuota):
        await sqlite.ledger.reserve(reservation(1))
    await sqlite.ping()
