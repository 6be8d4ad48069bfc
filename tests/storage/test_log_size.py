"""The work for a page, a sum and a removal does not grow with the log: counted, not timed."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, text

from asgi_gateway.backends import SqlStorage
from asgi_gateway.backends.sql.log_pages import place, scan, told_hours
from asgi_gateway.backends.sql.retention import announce, remove
from asgi_gateway.backends.sql.rollups import enter, gather
from asgi_gateway.backends.sql.sums import Span, collect
from asgi_gateway.storage.protocols import ChargeFilter
from support.log_filling import PER_HOUR, RARE, fill

SMALL, LARGE = 20_000, 200_000
END = 1_750_000_000 // 86_400 * 86_400 + 73_800
"""When the last charge was settled: half past eight in the evening, so that days and hours are divided."""

ROOT = Path(__file__).resolve().parents[2]
GRAIN = 100
"""Instructions of SQLite's machine that are counted as one unit of work."""

ALLOWANCE = 2_500
"""Units that a step may do beyond what it does in the small log; a scan of the large one does many times more."""


@pytest.fixture
async def engine(path: Path) -> AsyncIterator[Engine]:
    """Connects to a log without charges."""
    storage = SqlStorage(f"sqlite:///{path}")
    await storage.open()
    await storage.close()
    made = create_engine(f"sqlite:///{path}")

    @event.listens_for(made, "connect")
    def fast(raw: object, entry: object) -> None:
        raw.execute("PRAGMA synchronous = OFF")  # type: ignore[attr-defined]  # the driver's own

    yield made
    made.dispose()


def work_of(connection: Connection, step: Callable[[Connection], object]) -> int:
    """The units of work that SQLite does for a step."""
    count = 0

    def counted() -> None:
        nonlocal count
        count += 1

    raw = connection.connection.driver_connection
    assert raw is not None
    raw.set_progress_handler(counted, GRAIN)
    step(connection)
    raw.set_progress_handler(None, GRAIN)
    return count


def page(wanted: ChargeFilter, cursor: int | None = None) -> Callable[[Connection], object]:
    """A page of a hundred."""

    def step(connection: Connection) -> object:
        newest = place(connection, cursor)
        assert newest is not None
        found = scan(connection, wanted, cursor, 100, told_hours(connection, wanted, newest[1]))
        assert found.charges or found.next is not None
        return found

    return step


def steps(end: float) -> dict[str, Callable[[Connection], object]]:
    """What is asked of a log."""
    return {
        "first page": page(ChargeFilter()),
        "deep page": page(ChargeFilter(), SMALL // 2),
        "page of a user": page(ChargeFilter(user="user7")),
        "page of a rare user": page(ChargeFilter(user="rare")),
        "page of a user and a model": page(ChargeFilter(user="user7", model="model-5")),
        "sums of a day": lambda connection: collect(connection, Span(by="user", since=end - 86_400, whole=True)),
        "hours of a user": lambda connection: collect(connection, Span(by="user", since=end - 30_000, name="user7")),
    }


def roll_up(connection: Connection) -> None:
    """Sum everything up."""
    more = True
    while more:
        batch = gather(connection, 5_000, None)
        more = batch is not None and enter(connection, batch)
        connection.commit()


def all_rare(connection: Connection) -> tuple[int, int]:
    """How many charges of the rare user there are, and in how many pages they are found."""
    wanted, cursor = ChargeFilter(user="rare"), None
    count = pages = 0
    while pages == 0 or cursor is not None:
        newest = place(connection, cursor)
        assert newest is not None
        found = scan(connection, wanted, cursor, 100, told_hours(connection, wanted, newest[1]))
        count += len(found.charges)
        cursor = found.next
        pages += 1
    return count, pages


def test_the_work_does_not_grow_with_the_log(engine: Engine) -> None:
    """With ten times as many charges each step does about as much as before.

    The small log is one of ten hours, so that it has less than a day, and than a page asks for.
    """
    with engine.connect() as connection:
        early = END - (LARGE - SMALL) / PER_HOUR * 3600
        fill(connection, 1, SMALL, early)
        roll_up(connection)
        before = {name: work_of(connection, step) for name, step in steps(early).items()}
        connection.commit()
        fill(connection, SMALL + 1, LARGE, END)
        roll_up(connection)
        after = {name: work_of(connection, step) for name, step in steps(END).items()}
        connection.commit()
        more = {name: (before[name], work) for name, work in after.items() if work > 1.5 * before[name] + ALLOWANCE}
        assert more == {}
        count, pages = all_rare(connection)
        assert count == LARGE // RARE
        assert pages <= 3

        announce(connection, END - 3600)
        first = work_of(connection, lambda one: remove(one, END - 3600, 1_000, None))
        later = work_of(connection, lambda one: remove(one, END - 3600, 1_000, None))
        connection.commit()
        assert later < 1.5 * first + 20
        assert connection.execute(text("SELECT count(*) FROM gateway_charges")).scalar() == LARGE - 2_000


@pytest.mark.proof
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_ten_million_charges(kind: str) -> None:
    """The whole size; what it measured lies among the results of the benchmarks."""
    command = [sys.executable, "-m", "benchmarks", "log", "--rows", "10000000", "--on", kind]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
