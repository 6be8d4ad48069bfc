"""What a gateway does beside its requests goes on whatever fails, and tells of it once."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from asgi_gateway import upkeep as module
from asgi_gateway.backends.memory import MemoryStorage
from asgi_gateway.config import BillingSettings, Settings, StorageSettings
from asgi_gateway.directory import Catalogue, Directory
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.upkeep import Upkeep

SETTINGS = Settings(storage=StorageSettings(sync=0.001), billing=BillingSettings(lost="all"))


class Books:
    """A ledger that counts, and fails on demand."""

    def __init__(self) -> None:
        self.renewed = self.recovered = 0
        self.lost: list[str] = []
        self.found = 0
        self.fail: Exception | None = None
        self.again = asyncio.Event()

    async def renew(self) -> None:
        self.renewed += 1
        self.again.set()
        if self.fail is not None:
            raise self.fail

    async def recover(self, lost: str) -> list[object]:
        self.recovered += 1
        self.lost.append(lost)
        return [object()] * self.found

    async def next(self) -> None:
        """Wait for two further renewals: what the one before them said is then in the log."""
        for _ in range(2):
            self.again.clear()
            await asyncio.wait_for(self.again.wait(), 5)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEASE_INTERVAL", 0.002)
    monkeypatch.setattr(module, "RECOVERY_INTERVAL", 0.002)


def upkeep(flush: Callable[[], None] | None = None) -> tuple[Upkeep, Books]:
    storage = MemoryStorage()
    books: Any = Books()
    storage.ledger = books
    return Upkeep(Directory(storage, Catalogue()), storage, SETTINGS, flush), books


async def test_everything_is_done_once_before_the_first_request() -> None:
    """Lease, recovery, and what the storage holds."""
    work, books = upkeep()
    await work.start()
    assert (books.renewed, books.recovered, books.lost) == (1, 1, ["all"])
    assert not await work.directory.refresh()
    await work.stop()
    await work.stop()


@pytest.mark.usefixtures("_quick")
async def test_it_goes_on_in_the_background() -> None:
    """Until it is stopped."""
    work, books = upkeep()
    await work.start()
    await books.next()
    assert books.recovered >= 2
    await work.stop()
    done = books.renewed
    await asyncio.sleep(0.01)
    assert books.renewed == done


async def test_a_start_that_fails_starts_nothing() -> None:
    """The error is its caller's."""
    work, books = upkeep()
    books.fail = ServiceUnavailable("the database is away")
    with pytest.raises(ServiceUnavailable):
        await work.start()
    await work.stop()


@pytest.mark.usefixtures("_quick")
async def test_what_fails_is_told_when_it_begins_and_when_it_is_over(caplog: pytest.LogCaptureFixture) -> None:
    """Not each time."""
    caplog.set_level(logging.WARNING)
    work, books = upkeep()
    await work.start()
    books.fail = ServiceUnavailable("the database is away")
    await books.next()
    await books.next()
    books.fail = None
    await books.next()
    await work.stop()
    assert [record.message for record in caplog.records] == [
        "could not renew the lease, trying again: the database is away",
        "could renew the lease again",
    ]


@pytest.mark.usefixtures("_quick")
async def test_a_fault_of_ours_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    """It is logged with its traceback, and the rest goes on."""
    work, books = upkeep()
    await work.start()
    books.fail = ZeroDivisionError()
    await books.next()
    await books.next()
    await work.stop()
    assert {record.message for record in caplog.records} == {"could not renew the lease"}
    assert caplog.records[0].exc_info is not None


async def test_what_was_recovered_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """How many reservations of dead processes were closed."""
    work, books = upkeep()
    books.found = 3
    await work.start()
    await work.stop()
    assert "closed 3 reservations of processes that died" in caplog.text


async def test_each_thing_has_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lease is renewed each 5 s, lost reservations are looked for each 15 s, changes each time."""
    now = 1000.0
    looked = asyncio.Event()

    def clock() -> float:
        looked.set()
        return now

    async def looks(times: int) -> None:
        for _ in range(times):
            looked.clear()
            await asyncio.wait_for(looked.wait(), 5)

    monkeypatch.setattr(module, "monotonic", clock)
    work, books = upkeep()
    await work.start()
    await looks(2)
    seen: list[tuple[float, int, int]] = []
    for now in (1004.9, 1005.0, 1014.9, 1015.0):
        await looks(3)
        seen.append((now, books.renewed, books.recovered))
    await work.stop()
    assert seen == [(1004.9, 1, 1), (1005.0, 2, 1), (1014.9, 3, 1), (1015.0, 3, 2)]


async def test_metrics_are_flushed_each_time_and_at_the_end() -> None:
    """What was counted last is not lost."""
    flushed: list[int] = []
    further = asyncio.Event()

    def flush() -> None:
        flushed.append(len(flushed))
        further.set()

    work, _ = upkeep(flush)
    await work.start()
    for _ in range(3):
        further.clear()
        await asyncio.wait_for(further.wait(), 5)
    before = len(flushed)
    await work.stop()
    assert len(flushed) == before + 1


@pytest.mark.usefixtures("_quick")
async def test_metrics_that_cannot_be_flushed_end_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """A disk that is full must not cost the lease."""

    def flush() -> None:
        raise OSError("no space left on device")

    work, books = upkeep(flush)
    await work.start()
    await books.next()
    await work.stop()
    assert {record.message for record in caplog.records} == {"could not flush the metrics"}
