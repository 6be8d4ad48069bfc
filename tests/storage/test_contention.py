"""Hundreds of callers in several processes on one account that has too little: exact to the unit on every database."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asgi_gateway.backends import SqlStorage
from asgi_gateway.storage.protocols import Admission, Hit, Slot
from support import storage_process
from support.ledger_records import USER
from support.storage_process import PURSES

PROCESSES = 4
CALLERS = 125
DEADLINE = 60.0


@pytest.fixture
async def shared(database: str) -> AsyncIterator[SqlStorage]:
    """What the test itself looks through."""
    storage = SqlStorage(database, True, migrate=True, wait=30.0)
    await storage.open()
    yield storage
    await storage.close()


@pytest.mark.parametrize(
    "seconds", [10.0, pytest.param(60.0, marks=[pytest.mark.proof, pytest.mark.timeout(300)])], ids=["short", "long"]
)
async def test_nobody_overspends_and_nothing_is_lost(shared: SqlStorage, database: str, seconds: float) -> None:
    """500 callers in 4 processes, and a unit for every ten that they ask for.

    Each request sets aside on three accounts in any order; the database undoes none of them for the sake of others.
    """
    storage = shared
    for purse in PURSES:
        await storage.ledger.grant(purse, 10**9)
    processes = [await begin(database, seconds) for _ in range(PROCESSES)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
    tallies = [await tally_of(process, seconds) for process in processes]
    total = sum(map(Counter, tallies), Counter())
    balance = await storage.ledger.balance(USER)
    assert (balance.granted, balance.spent, balance.reserved) == (total["granted"], total["charged"], 0)
    assert balance.available >= 0
    assert total["refused"] > total["charged"] > 0
    spent = [(await storage.ledger.balance(purse)).spent for purse in PURSES]
    assert sum(spent) == 2 * total["charged"]
    assert await storage.ledger.open_reservations() == 0
    (sums,) = await storage.usage_log.sums("user")
    assert (sums.requests, sums.charged) == (total["charged"], total["charged"])
    assert total["hits"] == 100
    assert all(tally["held"] <= 20 for tally in tallies)
    free = [await storage.windows.acquire([], [Slot("s", 20)]) for _ in range(21)]
    assert [isinstance(verdict, Admission) for verdict in free] == [True] * 20 + [False]
    assert not isinstance(await storage.windows.acquire([Hit("w", 100, 3600.0)]), Admission)
    assert total["conflicts"] == 0


async def begin(database: str, seconds: float) -> Process:
    """A process that waits for its sign."""
    script = Path(storage_process.__file__)
    places = [str(script.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "CONTEND_SECONDS": str(seconds)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(script), database, "contend", str(CALLERS)), stdin=PIPE, stdout=PIPE, env=environment
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), DEADLINE) == b"ready\n"
    return process


async def tally_of(process: Process, seconds: float) -> dict[str, Any]:
    """What it says at its end."""
    said, _ = await asyncio.wait_for(process.communicate(b""), seconds + DEADLINE)
    assert process.returncode == 0
    tally: dict[str, Any] = json.loads(said)
    return tally
