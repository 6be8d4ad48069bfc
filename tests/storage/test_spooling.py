"""Settlements of a storage whose database is away: on disk, and out of it again."""

import asyncio
import logging
import os
import sqlite3
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from asgi_gateway.backends import SqlStorage
from asgi_gateway.backends.sql.spool import Spool
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.records import Outcome, Reservation
from support.ledger_records import TOKEN, USER, Clock, reservation, settlement
from support.waiting import eventually

MakeSpooling = Callable[[], SqlStorage]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where settlements wait."""
    return tmp_path / "spool"


@pytest.fixture
def make(path: Path, folder: Path, clock: Clock) -> MakeSpooling:
    """Makes storages on one file that wait 0.1 s for others, and keep at most 2 000 bytes on disk."""
    return lambda: SqlStorage(
        f"sqlite:///{path}", wait=0.1, farewell=0.3, spool=folder, spool_limit=2000, wall=clock, clock=clock
    )


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The database, locked for writing by somebody else."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


def size(folder: Path) -> int:
    """Bytes that wait."""
    return sum(file.stat().st_size for file in folder.glob("*.spool"))


def left(folder: Path) -> list[Path]:
    """The files that are there."""
    return list(folder.iterdir())


def move(folder: Path, name: str) -> Path:
    """Give a folder another name."""
    return folder.rename(folder.with_name(name))


async def opened(make: MakeSpooling) -> SqlStorage:
    storage = make()
    await storage.open()
    return storage


async def fund(storage: SqlStorage) -> None:
    await storage.ledger.grant(USER, 1000)
    await storage.ledger.grant(TOKEN, 1000)


async def with_reservation(make: MakeSpooling) -> tuple[SqlStorage, Reservation]:
    """An open storage, and what is reserved in it."""
    storage = await opened(make)
    await fund(storage)
    reserved = reservation(100)
    await storage.ledger.reserve(reserved)
    return storage, reserved


async def test_a_settlement_waits_on_disk_until_the_database_is_back(
    make: MakeSpooling, path: Path, folder: Path
) -> None:
    """Then it is settled, and gone from there."""
    storage, reserved = await with_reservation(make)
    with locked(path):
        future = storage.ledger.settle(reserved, settlement(60))
        await eventually(lambda: size(folder) > 0, 10, "settlement on disk")
        before = size(folder)
        with pytest.raises(ServiceUnavailable):
            await storage.ledger.reserve(reservation(1))
        assert size(folder) == before  # kept once, however often it is tried
    assert (await future).charged == 60
    await eventually(lambda: size(folder) == 0, 10, "empty spool")
    await storage.close()
    assert left(folder) == []


async def test_a_settlement_outlives_the_process(make: MakeSpooling, path: Path, folder: Path, clock: Clock) -> None:
    """Whoever opens the database next settles it by its usage, and it is not taken for lost."""
    storage, reserved = await with_reservation(make)
    with locked(path):
        future = storage.ledger.settle(reserved, settlement(60))
        await storage.close()
        assert isinstance(future.exception(), ServiceUnavailable)
    assert size(folder) > 0
    clock.advance(31)
    heir = await opened(make)
    assert await heir.ledger.recover() == []
    balance = await heir.ledger.balance(USER)
    assert (balance.spent, balance.reserved) == (60, 0)
    charge = await heir.usage_log.find(reserved.request_id)
    assert charge is not None
    assert charge.settlement == settlement(60)
    await heir.close()
    assert left(folder) == []


async def test_what_was_taken_for_lost_meanwhile_is_settled_by_its_usage(
    make: MakeSpooling, path: Path, folder: Path, clock: Clock
) -> None:
    """Another machine, which does not see this disk, may have been faster."""
    storage, reserved = await with_reservation(make)
    with locked(path):
        storage.ledger.settle(reserved, settlement(60))
        await storage.close()
    kept = move(folder, "kept")
    with sqlite3.connect(path) as database:
        database.execute("UPDATE gateway_leases SET renewed = 0, started = 1, pid = 999999999")
    other = await opened(make)
    (lost,) = await other.ledger.recover()
    assert lost.settlement.outcome is Outcome.LOST
    await other.close()
    move(kept, folder.name)
    heir = await opened(make)
    balance = await heir.ledger.balance(USER)
    assert (balance.spent, balance.reserved) == (60, 0)
    await heir.close()


async def test_what_the_disk_does_not_take_is_still_settled(
    make: MakeSpooling, path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """From memory, while the process lives; that it is not on disk is said once."""
    storage = await opened(make)
    await fund(storage)
    several = [reservation(10) for _ in range(20)]
    for one in several:
        await storage.ledger.reserve(one)
    with locked(path), caplog.at_level(logging.ERROR, logger="asgi_gateway.backends"):
        futures = [storage.ledger.settle(one, settlement(10)) for one in several]
        for _ in range(2):
            with pytest.raises(ServiceUnavailable):
                await storage.ledger.reserve(reservation(1))
    assert [charge.charged for charge in await asyncio.gather(*futures)] == [10] * 20
    said = [line for line in caplog.messages if "cannot be kept on disk" in line]
    assert len(said) == 1
    assert "more than 2000 bytes" in said[0]
    await storage.close()


async def test_a_reservation_that_nobody_knows_is_told(
    make: MakeSpooling, path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in a database that was restored from an older copy: the file goes, for no later start knows more."""
    storage = await opened(make)
    await fund(storage)
    costly, free = reservation(100, request_id="costly"), reservation(100, request_id="free")
    for one in (costly, free):
        await storage.ledger.reserve(one)
    with locked(path):
        storage.ledger.settle(costly, settlement(60))
        storage.ledger.settle(free, settlement(0, outcome=Outcome.CALLER_LEFT))
        await storage.close()
    with sqlite3.connect(path) as database:
        database.execute("DELETE FROM gateway_reservations")
    with caplog.at_level(logging.ERROR, logger="asgi_gateway.backends"):
        heir = await opened(make)
    assert [line for line in caplog.messages if "does not know" in line] == [
        "the database does not know the reservation of request costly"
    ]
    await heir.close()
    assert left(folder) == []


async def test_a_file_that_cannot_be_read_is_left_for_a_human(
    make: MakeSpooling, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The gateway starts all the same."""
    await (await opened(make)).close()
    storage = make()
    spool = Spool(folder, str(storage._address), "other", 2000)
    spool.append([(reservation(1), settlement(1))])
    file = spool.path
    spool.close()
    content = b"\xc1 no MessagePack"
    file.write_bytes(len(content).to_bytes(4) + zlib.crc32(content).to_bytes(4) + content)
    with caplog.at_level(logging.ERROR, logger="asgi_gateway.backends"):
        await storage.open()
    assert [line for line in caplog.messages if "cannot be read" in line]
    assert file.exists()
    await storage.close()


async def test_what_a_busy_database_does_not_take_is_left_for_the_next_start(
    make: MakeSpooling, path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A start is not held up for ever; what was queued then is settled all the same."""
    storage, reserved = await with_reservation(make)
    with locked(path):
        storage.ledger.settle(reserved, settlement(60))
        await storage.close()
    heir = make()
    prepared = asyncio.Event()
    lock = locked(path)
    settle = heir.ledger.settle

    def settled_while_locked(*entry: object) -> object:
        if not prepared.is_set():
            prepared.set()
            lock.__enter__()
        return settle(*entry)  # type: ignore[arg-type]

    heir.ledger.settle = settled_while_locked  # type: ignore[method-assign, assignment]
    with caplog.at_level(logging.ERROR, logger="asgi_gateway.backends"):
        await heir.open()
    assert [line for line in caplog.messages if "left for the next start" in line]
    assert size(folder) > 0
    lock.__exit__(None, None, None)
    await heir.ledger.drain()
    assert (await heir.ledger.balance(USER)).spent == 60
    await heir.close()


async def test_a_disk_that_fails_to_forget_does_no_harm(
    make: MakeSpooling, path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What is settled twice is charged once."""
    storage, reserved = await with_reservation(make)
    with locked(path):
        future = storage.ledger.settle(reserved, settlement(60))
        await eventually(lambda: size(folder) > 0, 10, "settlement on disk")

    def fail(file: int, length: int) -> None:
        raise OSError("the disk fails")

    with monkeypatch.context() as broken, caplog.at_level(logging.ERROR, logger="asgi_gateway.backends"):
        broken.setattr(os, "ftruncate", fail)
        await future
        await storage.ledger.drain()
        await storage.close()
    assert [line for line in caplog.messages if "will be found done" in line]
    assert size(folder) > 0
    heir = await opened(make)
    assert (await heir.ledger.balance(USER)).spent == 60
    await heir.close()
    assert left(folder) == []
