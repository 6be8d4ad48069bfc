"""The connections for everything but the ledger: seldom used, on two threads of their own.

Reading for a console or a report never waits for the ledger, and the ledger never for them.
"""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from asgi_gateway.backends.sql import schema
from asgi_gateway.errors import ServiceUnavailable

__all__ = ["Database", "bump", "revision_of"]

T = TypeVar("T")

THREADS = 2


class Database:
    """Runs functions over a SQLAlchemy connection, each in one transaction, off the event loop; between open and close.

    `wait` is how long a busy database is waited for, in seconds.
    Raises `ServiceUnavailable` when the database is away; an `IntegrityError` is the function's own to name.
    """

    def __init__(self, path: Path, wait: float) -> None:
        self._path = path
        self._wait = wait
        self._executor: ThreadPoolExecutor | None = None
        self._engine: Engine | None = None

    def open(self) -> None:
        """Make what connects, which does not connect yet."""
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="gateway-storage")
        engine = self._engine = create_engine(
            URL.create("sqlite", database=str(self._path)),
            connect_args={"timeout": self._wait},
            pool_size=THREADS,
            max_overflow=0,
            hide_parameters=True,  # keys of channels must reach neither a log nor an error
        )
        event.listen(engine, "connect", _connected)
        event.listen(engine, "begin", _begun)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that sees one state."""
        return await self._run(work, writes=False)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that may write."""
        return await self._run(work, writes=True)

    async def call(self, work: Callable[[], T]) -> T:
        """Run a function on one of the threads."""
        if self._executor is None:
            raise ServiceUnavailable("The gateway's storage is not open.")
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def close(self) -> None:
        """Disconnect, and end the threads."""
        executor, engine = self._executor, self._engine
        if executor is not None and engine is not None:
            await self.call(engine.dispose)
            self._executor = self._engine = None
            executor.shutdown(wait=False)

    async def _run(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        engine = self._engine
        if engine is None:
            raise ServiceUnavailable("The gateway's storage is not open.")

        def run() -> T:
            with engine.execution_options(gateway_writes=writes).begin() as connection:
                return work(connection)

        try:
            return await self.call(run)
        except IntegrityError:
            raise  # the caller knows which name is taken
        except (DBAPIError, PoolTimeout) as error:
            raise ServiceUnavailable("The gateway's database cannot be reached.") from error


def _connected(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin where SQLAlchemy says, see `_begun`
    connection.execute("PRAGMA synchronous = FULL")


def _begun(connection: Connection) -> None:
    """A writer locks at once: one that reads first and locks later may find its state outdated, and fail."""
    writes = connection.get_execution_options().get("gateway_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def bump(connection: Connection) -> None:
    """Count a change to users, tokens, channels or options, in its own transaction."""
    connection.execute(update(schema.revision).values(number=schema.revision.c.number + 1))


def revision_of(connection: Connection) -> int:
    """How many changes were counted."""
    number: int = connection.execute(select(schema.revision.c.number)).scalar_one()
    return number
