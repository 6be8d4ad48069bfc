"""A process of its own on a database: `python storage_process.py URL COMMAND [NUMBER]`.

It says "ready" when its storage is open, begins at a line on its standard input, prints one line of JSON,
and ends at the end of its input.
"""

import asyncio
import json
import os
import sys
import time
from collections import Counter
from itertools import count
from random import Random
from typing import Any

from asgi_gateway.backends import SqlStorage
from asgi_gateway.errors import InsufficientQuota
from asgi_gateway.storage.protocols import Admission, Hit, Slot
from asgi_gateway.storage.records import Account, User
from support.ledger_records import USER, reservation, settlement

PURSES = [Account("token", number) for number in range(1, 6)]
"""Accounts that several callers share, and that have enough."""


async def spend(storage: SqlStorage, number: int) -> Any:
    """So many calls by ten callers at once; each reserves 100 and spends it."""

    async def call(index: int) -> int | None:
        wanted = reservation(100, key=f"{os.getpid()}-{index}")
        try:
            await storage.ledger.reserve(wanted)
        except InsufficientQuota:
            return None
        return (await storage.ledger.settle(wanted, settlement(100))).charged

    async def caller(first: int) -> list[int | None]:
        return [await call(index) for index in range(first, number, 10)]

    parts = await asyncio.gather(*map(caller, range(10)))
    return [charged for part in parts for charged in part if charged is not None]


async def hold(storage: SqlStorage, number: int) -> Any:
    """So many reservations that stay open, and as many slots."""
    now = time.time()
    wanted = [reservation(100, key=f"held-{index}", prompt_amount=index, created=now) for index in range(number)]
    await asyncio.gather(*map(storage.ledger.reserve, wanted))
    await asyncio.gather(*[storage.windows.acquire([], [Slot("slot", number)]) for _ in range(number)])
    return number


async def churn(storage: SqlStorage, number: int) -> Any:
    """So many callers that reserve and settle for ever, and tell what they did of each key."""

    async def call(caller: int) -> None:
        for index in count():
            wanted = reservation(100, key=f"{os.getpid()}-{caller}-{index}", prompt_amount=10)
            say(f"began {wanted.key}")
            await storage.ledger.reserve(wanted)
            say(f"reserved {wanted.key}")
            await storage.ledger.settle(wanted, settlement(70))
            say(f"settled {wanted.key}")

    await asyncio.gather(*map(call, range(number)))


async def hit(storage: SqlStorage, number: int) -> Any:
    """So many hits of cost 3 and slots at once; how many came in."""
    calls = [storage.windows.acquire([Hit("a", 100, 3600.0, 3)], [Slot("s", 1000)]) for _ in range(number)]
    return sum(isinstance(verdict, Admission) for verdict in await asyncio.gather(*calls))


async def recover(storage: SqlStorage, number: int) -> Any:
    """The keys that this process recovered."""
    return [charge.reservation.key for charge in await storage.ledger.recover()]


async def create(storage: SqlStorage, number: int) -> Any:
    """An option and a user that are made once, and the version after it."""
    value = await storage.options.create("secret", number)
    user = await storage.ensure_user(User(name="guest"), 500)
    return [value, user.id]


async def contend(storage: SqlStorage, number: int) -> Any:
    """So many callers that want a unit each, again and again for some seconds, while every tenth brings one.

    Each also asks a window that takes 100 hits in all, and holds one of 20 slots meanwhile. What came of it.
    """
    seconds = float(os.environ["CONTEND_SECONDS"])
    dice = Random(os.getpid())
    end = time.monotonic() + seconds
    tally = Counter[str]()

    async def ask(key: str) -> None:
        others = dice.sample(PURSES, 2)
        wanted = reservation(1, key=key, accounts=tuple(dice.sample([USER, *others], 3)))
        try:
            await storage.ledger.reserve(wanted)
        except InsufficientQuota:
            tally["refused"] += 1
            return
        charge = await storage.ledger.settle(wanted, settlement(1))
        tally["charged"] += charge.charged

    async def call(caller: int) -> None:
        for index in count():
            if time.monotonic() > end:
                break
            if index % 10 == 0:
                await storage.ledger.grant(USER, 1)
                tally["granted"] += 1
            verdict = await storage.windows.acquire([Hit("w", 100, 3600.0)], [Slot("s", 20)])
            admitted = isinstance(verdict, Admission)
            tally["hits"] += admitted
            tally["held"] = max(tally["held"], tally["holding"] + admitted)
            tally["holding"] += admitted
            await ask(f"{os.getpid()}-{caller}-{index}")
            if isinstance(verdict, Admission):
                tally["holding"] -= 1
                await storage.windows.release(verdict)

    await asyncio.gather(*map(call, range(number)))
    await storage.ledger.drain()
    return {**tally, "conflicts": storage.conflicts}


COMMANDS = {
    "contend": contend,
    "spend": spend,
    "hold": hold,
    "churn": churn,
    "hit": hit,
    "recover": recover,
    "create": create,
}


def say(line: str) -> None:
    """Tell whoever started us."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(url: str, command: str, number: str = "0") -> None:
    """Run one command."""
    storage = SqlStorage(url, True, migrate=True, wait=30.0)
    await storage.open()
    say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    say(json.dumps(await COMMANDS[command](storage, int(number))))
    await asyncio.to_thread(sys.stdin.read)
    await storage.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
