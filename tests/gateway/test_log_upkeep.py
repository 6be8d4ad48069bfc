"""The usage log is kept beside the requests: summed up, and old charges removed where the settings say so."""

import asyncio
import logging
from datetime import datetime
from typing import Any

import pytest

from asgi_gateway import upkeep as module
from asgi_gateway.backends.memory import MemoryStorage
from asgi_gateway.config import LogSettings, Settings
from asgi_gateway.directory import Catalogue, Directory
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.upkeep import Upkeep


class Log:
    """A usage log with some steps to do, which fails on demand."""

    def __init__(self, charges: int = 0) -> None:
        self.charges = charges
        self.steps = 0
        self.limits: list[int] = []
        self.before: datetime | None = None
        self.fail: Exception | None = None
        self.again = asyncio.Event()

    async def roll_up(self) -> bool:
        self.steps += 1
        self.again.set()
        if self.fail is not None:
            raise self.fail
        return self.steps < 4

    async def prune(self, before: datetime, limit: int) -> int:
        self.before = before
        count = min(limit, self.charges)
        self.charges -= count
        self.limits.append(count)
        return count

    async def next(self) -> None:
        """Wait for two further steps: what the one before them said is then in the log."""
        for _ in range(2):
            self.again.clear()
            await asyncio.wait_for(self.again.wait(), 5)


def upkeep(log: Any, keep_days: int = 0) -> Upkeep:
    storage = MemoryStorage()
    storage.usage_log = log
    return Upkeep(Directory(storage, Catalogue()), storage, Settings(log=LogSettings(keep_days=keep_days)))


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOG_INTERVAL", 0.001)


async def test_charges_are_summed_up_as_long_as_there_are_some() -> None:
    """Step after step, until there is nothing more to do; and nothing is removed unless it is asked for."""
    log = Log(charges=5)
    work = upkeep(log)
    await work.start()
    await log.next()
    await log.next()
    await work.stop()
    assert log.steps >= 4
    assert log.limits == []


async def test_old_charges_are_removed_in_small_steps() -> None:
    """At most ten of them at once."""
    log = Log(charges=12 * module.REMOVED + 3)
    work = upkeep(log, keep_days=3)
    await work.start()
    while log.charges:
        await log.next()
    await work.stop()
    assert log.limits[:12] == [module.REMOVED] * 12
    assert log.limits[12] == 3
    assert log.before is not None
    age = datetime.now(log.before.tzinfo) - log.before
    assert 3 <= age.total_seconds() / 86_400 < 3.01


async def test_a_log_that_cannot_be_kept_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """And when it can be again."""
    caplog.set_level(logging.WARNING)
    log = Log()
    work = upkeep(log)
    log.fail = ServiceUnavailable("the log database is away")
    await work.start()
    await log.next()
    await log.next()
    log.fail = None
    await log.next()
    await work.stop()
    assert [record.message for record in caplog.records] == [
        "could not sum up the usage log, trying again: the log database is away",
        "could sum up the usage log again",
    ]
