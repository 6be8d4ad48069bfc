"""Several processes on one SQLite file: exact together, and nothing is left when one of them dies."""

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from asgi_gateway.backends import SqlStorage
from asgi_gateway.storage.protocols import Admission, Slot
from asgi_gateway.storage.records import Outcome
from support import storage_process
from support.ledger_records import TOKEN, USER

DEADLINE = 60.0

Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(path: Path) -> AsyncIterator[Start]:
    """Starts processes on the file; they are ready when it returns, and gone after the test."""
    started: list[Process] = []
    script = Path(storage_process.__file__)
    places = [str(script.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}

    async def begin(command: str, number: int = 0) -> Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(script), f"sqlite:///{path}", command, str(number)),
            stdin=PIPE,
            stdout=PIPE,
            env=environment,
        )
        started.append(process)
        assert await line_of(process) == b"ready\n"
        return process

    yield begin
    for process in started:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_of(process: Process) -> bytes:
    """What the process says next."""
    assert process.stdout is not None
    return await asyncio.wait_for(process.stdout.readline(), DEADLINE)


def go(process: Process) -> None:
    """Let it begin."""
    assert process.stdin is not None
    process.stdin.write(b"go\n")


async def end(process: Process) -> int:
    """Let it close its storage and end."""
    assert process.stdin is not None
    process.stdin.close()
    return await asyncio.wait_for(process.wait(), DEADLINE)


async def all_at_once(processes: list[Process]) -> list[Any]:
    """Let them begin together, and collect what they say."""
    for process in processes:
        go(process)
    return [json.loads(await line_of(process)) for process in processes]


@pytest.fixture
async def real(path: Path) -> AsyncIterator[SqlStorage]:
    """A storage in this process, by the real clock, like those of the others."""
    storage = SqlStorage(f"sqlite:///{path}", True, wait=DEADLINE)
    await storage.open()
    yield storage
    await storage.close()


@pytest.mark.parametrize(
    ("processes", "callers"), [(2, 150), pytest.param(4, 3000, marks=pytest.mark.proof)], ids=["two", "four"]
)
async def test_processes_share_one_balance(real: SqlStorage, start: Start, processes: int, callers: int) -> None:
    """Whoever comes first, together they spend what there is, to the unit."""
    granted = callers * processes * 50 + 30
    await real.ledger.grant(USER, granted)
    await real.ledger.grant(TOKEN, 10 * granted)
    started = [await start("spend", callers) for _ in range(processes)]
    charged = [charge for part in await all_at_once(started) for charge in part]
    balance = await real.ledger.balance(USER)
    assert (balance.spent, balance.reserved, balance.available) == (sum(charged), 0, 30)
    assert set(charged) == {100}
    assert (await real.ledger.balance(TOKEN)).spent == balance.spent
    assert [await end(process) for process in started] == [0] * processes


async def test_processes_share_one_limit(real: SqlStorage, start: Start) -> None:
    """A window of 100 takes 33 hits of 3, whoever makes them."""
    started = [await start("hit", 60) for _ in range(2)]
    assert sum(await all_at_once(started)) == 33


async def test_what_is_made_once_is_made_once(start: Start) -> None:
    """Tables, options and users, by processes that all find an empty folder."""
    started = await asyncio.gather(*[start("create", number) for number in range(1, 5)])
    answers = await all_at_once(list(started))
    assert answers == [answers[0]] * 4
    assert answers[0][0] in (1, 2, 3, 4)


async def test_a_killed_process_leaves_nothing_reserved(real: SqlStorage, start: Start) -> None:
    """Its reservations are closed at the next recovery, each once, although its lease is young."""
    await real.ledger.grant(USER, 10_000)
    await real.ledger.grant(TOKEN, 10_000)
    victim = await start("hold", 50)
    go(victim)
    await line_of(victim)
    assert await real.ledger.recover() == []
    assert await real.ledger.open_reservations() == 50
    heirs = [await start("recover") for _ in range(2)]
    os.kill(victim.pid, signal.SIGKILL)
    await victim.wait()
    found = await all_at_once(heirs)
    assert sorted(key for keys in found for key in keys) == sorted(f"held-{index}" for index in range(50))
    assert await real.ledger.recover() == []
    assert await real.ledger.open_reservations() == 0
    charges = {charge.reservation.key: charge for charge in await real.usage_log.recent()}
    assert len(charges) == 50
    assert all(charges[f"held-{index}"].charged == index for index in range(50))
    assert {charge.settlement.outcome for charge in charges.values()} == {Outcome.LOST}
    balance = await real.ledger.balance(USER)
    assert (balance.spent, balance.reserved) == (sum(range(50)), 0)
    assert isinstance(await real.windows.acquire([], [Slot("slot", 1)]), Admission)


@pytest.mark.parametrize("kills", [3, pytest.param(20, marks=pytest.mark.proof)])
async def test_a_kill_at_any_moment_loses_and_doubles_nothing(real: SqlStorage, start: Start, kills: int) -> None:
    """What was told as settled has its charge, what was told as reserved has one, and the sums agree."""
    await real.ledger.grant(USER, 10**9)
    await real.ledger.grant(TOKEN, 10**9)
    moments = Random(7)
    began, told = set(), {"reserved": set(), "settled": set()}
    for _ in range(kills):
        victim = await start("churn", 50)
        go(victim)
        for _ in range(moments.randrange(200, 3000)):
            await heard(victim, began, told)
        victim.kill()
        while await heard(victim, began, told):
            pass
        await victim.wait()
        await real.ledger.recover()
        assert await real.ledger.open_reservations() == 0
    charges = {charge.reservation.key: charge for charge in await real.usage_log.recent(10**6)}
    assert told["settled"] <= told["reserved"] <= set(charges) <= began
    for key, charge in charges.items():
        lost = charge.settlement.outcome is Outcome.LOST
        assert charge.charged == (10 if lost else 70)
        assert not (lost and key in told["settled"])
    balance = await real.ledger.balance(USER)
    assert (balance.spent, balance.reserved) == (sum(charge.charged for charge in charges.values()), 0)


async def heard(process: Process, began: set[str], told: dict[str, set[str]]) -> bool:
    """Note what the process says; False when it is silent for ever. A line that was cut says nothing."""
    line = await line_of(process)
    if line.endswith(b"\n"):
        what, key = line.decode().split()
        (began if what == "began" else told[what]).add(key)
    return bool(line)


async def test_a_process_that_cannot_be_judged_is_waited_for(path: Path, start: Start) -> None:
    """A lease from another machine is only taken for dead when it is 30 s old."""
    now = time.time()
    storage = SqlStorage(f"sqlite:///{path}", True, wait=DEADLINE, wall=lambda: now)
    await storage.open()
    await storage.ledger.grant(USER, 10_000)
    await storage.ledger.grant(TOKEN, 10_000)
    victim = await start("hold", 5)
    go(victim)
    await line_of(victim)
    victim.kill()
    await victim.wait()
    await asyncio.to_thread(pretend_another_machine, path)
    assert await storage.ledger.recover() == []
    assert not isinstance(await storage.windows.acquire([], [Slot("slot", 5)]), Admission)
    now += 35.0
    assert len(await storage.ledger.recover("all")) == 5
    assert (await storage.ledger.balance(USER)).spent == 500
    assert isinstance(await storage.windows.acquire([], [Slot("slot", 1)]), Admission)
    await storage.close()


def pretend_another_machine(path: Path) -> None:
    """Change what leases tell of their machine."""
    with closing(sqlite3.connect(path)) as other, other:
        other.execute("UPDATE gateway_leases SET boot = 'elsewhere'")


async def test_a_process_that_ends_in_order_leaves_no_lease(real: SqlStorage, start: Start, path: Path) -> None:
    """With open reservations it leaves them to be recovered at once."""
    await real.ledger.grant(USER, 10_000)
    await real.ledger.grant(TOKEN, 10_000)
    tidy, untidy = await start("create", 1), await start("hold", 3)
    await all_at_once([tidy, untidy])
    assert [await end(tidy), await end(untidy)] == [0, 0]
    assert isinstance(await real.windows.acquire([], [Slot("slot", 1)]), Admission)
    assert len(await real.ledger.recover()) == 3
    assert await asyncio.to_thread(leases, path) == 1


def leases(path: Path) -> int:
    """How many processes have a lease."""
    with closing(sqlite3.connect(path)) as other:
        count: int = other.execute("SELECT count(*) FROM gateway_leases").fetchone()[0]
        return count
