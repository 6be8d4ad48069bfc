"""The usage log with many charges: how fast the ledger writes, how long reading takes, who waits for whom.

Charges are made by the database itself (`tests/support/log_filling.py`), and summed up as the upkeep does it.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median, quantiles

from sqlalchemy import create_engine

from asgi_gateway.backends import SqlStorage
from asgi_gateway.backends.sql.address import address_of
from asgi_gateway.backends.sql.numbers import greatest
from asgi_gateway.storage.ids import ledger_key, new_request_id
from asgi_gateway.storage.protocols import ChargeFilter
from asgi_gateway.storage.records import Account, Outcome, Reservation, Settlement, Usage
from asgi_gateway.upkeep import LOG_INTERVAL, LOG_STEPS, REMOVED
from benchmarks.database_servers import serving
from benchmarks.machine import ROOT, choose_cores, facts
from benchmarks.results import now

__all__ = ["LogResults", "measure_log", "write_log"]

Say = Callable[[str], None]

HOUSE = Account("user", 1)
WRITERS = 16
SECONDS = 4.0
REPEATED = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class LogResults:
    """Figures by how many charges there were: milliseconds (`_ms`), and charges a second (`_per_second`)."""

    what: str
    time: str
    machine: dict[str, str]
    rows: int
    figures: dict[str, dict[str, float]] = field(default_factory=dict)


class Clock:
    """The time of the log: where its filling ended, and going on from there."""

    def __init__(self, end: float) -> None:
        self._offset = end - time.time()

    def __call__(self) -> float:
        return time.time() + self._offset

    def move(self, end: float) -> None:
        """Go on from another moment."""
        self._offset = end - time.time()


def measure_log(kind: str, rows: int, say: Say) -> LogResults:
    """Fill a log in a fresh database with half of the charges, then with all; measure before, between and after."""
    results = LogResults(what=f"log-{kind}", time=now(), machine=facts(), rows=rows)
    with _database(kind) as url:
        asyncio.run(_measure(url, rows, results, say))
    return results


def write_log(results: LogResults, folder: Path) -> Path:
    """Write as `<date>-log-<database>.json`, replacing an earlier result of the same day."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{results.time[:10]}-{results.what}.json"
    file.write_text(json.dumps(asdict(results), indent=1) + "\n")
    return file


async def _measure(url: str, rows: int, results: LogResults, say: Say) -> None:
    end = time.time() - 86_400
    clock = Clock(end - rows * 1.8 - 60)  # an hour has 2 000 charges, see `log_filling`

    def note(when: str, figures: dict[str, float]) -> None:
        results.figures.setdefault(when, {}).update(figures)
        for name, value in figures.items():
            say(f"{when:>12} {name:<40} {value:12.2f}")

    async with _opened(url, clock) as storage:
        note("0", await _writing(storage))
    for part in (1, 2):
        high = rows * part // 2
        last = end - (rows - high) * 1.8
        filled = await asyncio.to_thread(_fill, url, high - rows * (part - 1) // 2, last)
        clock.move(last + 60)
        async with _opened(url, clock) as storage:
            summed = await _summing(storage)
            clock.move(last)
            note(str(high), {"filled_per_second": filled, "summed_per_second": summed})
            note(str(high), await _reading(storage, last, high))
            note(str(high), await _writing(storage))
    async with _opened(url, clock) as storage:
        before = datetime.fromtimestamp(end - rows * 0.9, UTC)
        removal = asyncio.create_task(_remove(storage, before))
        beside = await _writing(storage)
        removal.cancel()
        await asyncio.wait([removal])
        note(str(rows), {f"while_removing_{name}": value for name, value in beside.items()})
        note(str(rows), await _removing(storage, before))


async def _writing(storage: SqlStorage) -> dict[str, float]:
    """Reservation and settlement, by some callers at once."""
    await storage.ledger.declare(HOUSE, 0, unlimited=True)
    stop = time.perf_counter() + SECONDS
    taken: list[float] = []

    async def caller() -> None:
        while time.perf_counter() < stop:
            id = new_request_id()
            held = Reservation(
                key=ledger_key(id),
                amount=10,
                prompt_amount=5,
                accounts=(HOUSE,),
                request_id=id,
                user="user7",
                token="token7",
                group="group1",
                model="model-7",
                operation="chat",
                created=time.time(),
            )
            said = Settlement(charge=7, outcome=Outcome.COMPLETED, usage=Usage(input=5, output=9), channel="channel1")
            start = time.perf_counter()
            await storage.ledger.reserve(held)
            await storage.ledger.settle(held, said)
            taken.append(time.perf_counter() - start)

    await asyncio.gather(*[caller() for _ in range(WRITERS)])
    cuts = quantiles(taken, n=100)
    return {
        "exchanges_per_second": len(taken) / SECONDS,
        "exchange_p50_ms": 1000 * median(taken),
        "exchange_p99_ms": 1000 * cuts[98],
        "exchange_longest_ms": 1000 * max(taken),
    }


async def _reading(storage: SqlStorage, end: float, rows: int) -> dict[str, float]:
    log = storage.usage_log
    day = datetime.fromtimestamp(end, UTC) - timedelta(days=1)
    steps: dict[str, Callable[[], Awaitable[object]]] = {
        "page_first": log.page,
        "page_deep": lambda: log.page(cursor=str(rows // 2)),
        "page_of_user": lambda: log.page(ChargeFilter(user="user7")),
        "page_of_user_and_model": lambda: log.page(ChargeFilter(user="user7", model="model-5")),
        "page_of_rare_user": lambda: log.page(ChargeFilter(user="rare")),
        "page_since": lambda: log.page(ChargeFilter(since=day, until=day + timedelta(hours=1))),
        "sums_by_user": lambda: log.sums("user"),
        "sums_by_user_of_a_week": lambda: log.sums("user", day - timedelta(days=6)),
        "hours_by_model_of_a_day": lambda: log.hours("model", day),
        "hours_of_user_of_a_week": lambda: log.hours("user", day - timedelta(days=6), name="user7"),
    }
    figures = {}
    for name, step in steps.items():
        taken = []
        for _ in range(REPEATED):
            start = time.perf_counter()
            await step()
            taken.append(time.perf_counter() - start)
        figures[f"{name}_ms"] = 1000 * median(taken)
    return figures


async def _summing(storage: SqlStorage) -> float:
    """Charges a second that one task adds to the sums."""
    before = sum(row.requests for row in await storage.usage_log.sums("group"))
    start = time.perf_counter()
    steps = 0
    while await storage.usage_log.roll_up():
        steps += 1
    assert sum(row.requests for row in await storage.usage_log.sums("group")) == before
    return 1000 * steps / (time.perf_counter() - start)


async def _remove(storage: SqlStorage, before: datetime) -> None:
    """As the upkeep does."""
    while True:
        for _ in range(LOG_STEPS):
            await storage.usage_log.prune(before, REMOVED)
        await asyncio.sleep(LOG_INTERVAL)


async def _removing(storage: SqlStorage, before: datetime) -> dict[str, float]:
    """Removal, with nobody beside it."""
    start = time.perf_counter()
    removed, longest = 0, 0.0
    while time.perf_counter() < start + SECONDS:
        began = time.perf_counter()
        removed += await storage.usage_log.prune(before, REMOVED)
        longest = max(longest, time.perf_counter() - began)
    return {"removed_per_second": removed / SECONDS, "removal_longest_step_ms": 1000 * longest}


def _fill(url: str, count: int, end: float) -> float:
    """Add charges; return how many a second."""
    from support.log_filling import fill

    engine = create_engine(address_of(url).url)
    start = time.perf_counter()
    with engine.connect() as connection:
        low = greatest(connection) + 1
        fill(connection, low, low + count - 1, end)
    engine.dispose()
    return count / (time.perf_counter() - start)


@asynccontextmanager
async def _opened(url: str, clock: Clock) -> AsyncIterator[SqlStorage]:
    storage = SqlStorage(url, migrate=True, wall=clock)
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


@contextmanager
def _database(kind: str) -> Iterator[str]:
    sys.path.append(str(ROOT / "tests"))
    if kind == "sqlite":
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/gateway.db"
    else:
        with serving(kind, choose_cores().load) as url:
            yield url
