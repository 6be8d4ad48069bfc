"""The connections for everything but the ledger: seldom used, on a few threads of their own.

Reading for a console or a report never waits for the ledger, and the ledger never for them; nor do look-ups of
requests wait for reports, which have their own connections, threads and limit.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, select, update
from sqlalchemy.exc import DataError, DBAPIError, DisconnectionError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import ConnectionPoolEntry

from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.address import DatabaseAddress, Kind
from asgi_gateway.backends.sql.calls import Call, Calls
from asgi_gateway.backends.sql.drivers import Session, connect_options, is_conflict, prepare_session, require
from asgi_gateway.errors import ServiceUnavailable

__all__ = ["Database", "bump", "make_engine", "revision_of"]

T = TypeVar("T")


LIMIT = 5.0
"""Seconds that a statement for a request may take."""

REPORT_LIMIT = 60.0
"""Seconds that a statement for a report or a console may take."""

LOOK_UPS = {"sqlite": 2, "postgresql": 4, "mysql": 4}
REPORTS = 2
"""Connections of a process, each with a thread."""

CHANGED = "gateway_changed"
"""In a connection's notes: its transaction was counted as a change."""

ATTEMPTS = 5
"""How often a transaction is tried that the database undoes for the sake of another one."""


class Database:
    """Runs functions over a SQLAlchemy connection, each in one transaction, off the event loop; between open and close.

    `wait` is how long another's lock is waited for, in seconds.
    A connection that broke meanwhile is replaced before it is used, so that a server may restart.
    A function may run again when the database undid its transaction because of another one.

    Raises `ServiceUnavailable` when the database is away or does not answer in time, `ValueError` for a value that it
    does not take; an `IntegrityError` is the function's own to name.
    """

    def __init__(self, address: DatabaseAddress, wait: float) -> None:
        require(address.kind)
        self.address = address
        self.wait = wait
        self.told: list[Callable[[], None]] = []
        """What is called on the event loop after each transaction that was counted as a change."""
        self._look_ups: _Pool | None = None
        self._reports: _Pool | None = None

    def __repr__(self) -> str:
        sizes = f"{LOOK_UPS[self.address.kind]} connections for look-ups, {REPORTS} for reports"
        return f"Database({str(self.address)!r}, {sizes})"

    @property
    def kind(self) -> Kind:
        """Of the database."""
        return self.address.kind

    def open(self) -> None:
        """Make what connects, which does not connect yet."""
        size = LOOK_UPS[self.kind]
        session = Session(limit=LIMIT, wait=self.wait)
        self._look_ups = _Pool(self.address, session, size, "gateway-storage", max(LIMIT, self.wait) + 1.0)
        session = Session(limit=REPORT_LIMIT, wait=self.wait, report=True)
        self._reports = _Pool(self.address, session, REPORTS, "gateway-reports", REPORT_LIMIT + 1.0)

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction. Each of its statements sees one state; where several must agree: `report`."""
        return await self._open(self._look_ups).run(work, writes=False)

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction that may write."""
        changed = False

        def noticing(connection: Connection) -> T:
            nonlocal changed
            connection.info.pop(CHANGED, None)
            done = work(connection)
            changed = connection.info.pop(CHANGED, False)
            return done

        done = await self._open(self._look_ups).run(noticing, writes=True)
        if changed:
            for tell in self.told:
                tell()
        return done

    async def report(self, work: Callable[[Connection], T]) -> T:
        """Run `work`, which only reads and may take long, in a transaction that sees one state."""
        return await self._open(self._reports).run(work, writes=False)

    async def call(self, work: Callable[[], T]) -> T:
        """Run a function on one of the threads."""
        return await self._open(self._look_ups).call(work)

    async def close(self) -> None:
        """Disconnect, and end the threads."""
        pools = [pool for pool in (self._look_ups, self._reports) if pool is not None]
        self._look_ups = self._reports = None
        for pool in pools:
            await pool.close()

    def _open(self, pool: "_Pool | None") -> "_Pool":
        if pool is None:
            raise ServiceUnavailable("The gateway's storage is not open.")
        return pool


class _Pool:
    """Connections of one kind of session, each with a thread. `deadline` is in seconds, for all of a function."""

    def __init__(self, address: DatabaseAddress, session: Session, size: int, name: str, deadline: float) -> None:
        self._kind = address.kind
        self._deadline = deadline
        self._executor = ThreadPoolExecutor(size, thread_name_prefix=name)
        self._engine = make_engine(address, session, size)
        self._calls = Calls()
        event.listen(self._engine, "checkout", self._checked)

    async def call(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    async def run(self, work: Callable[[Connection], T], *, writes: bool) -> T:
        engine = self._engine.execution_options(gateway_writes=writes)
        call = self._calls.call()
        loop = asyncio.get_running_loop()
        done = loop.run_in_executor(self._executor, partial(self._attempts, engine, work, call))
        try:
            await asyncio.wait([done], timeout=self._deadline)
            if not done.done():
                call.abandon()
                raise ServiceUnavailable("The gateway's database does not answer in time.")
            return done.result()
        except IntegrityError:
            raise  # the caller knows which name is taken
        except DataError:
            # Without its cause, whose text may hold what was to be stored.
            raise ValueError("the database does not take this value") from None
        except (DBAPIError, PoolTimeout) as error:
            raise ServiceUnavailable("The gateway's database cannot be reached.") from error
        finally:
            done.cancel()  # what has not begun yet never will

    async def close(self) -> None:
        await self.call(self._engine.dispose)
        self._executor.shutdown(wait=False)

    def _attempts(self, engine: Engine, work: Callable[[Connection], T], call: Call) -> T:
        for _ in range(ATTEMPTS - 1):
            try:
                return self._attempt(engine, work, call)
            except DBAPIError as error:
                if not is_conflict(error.orig, self._kind):
                    raise
        return self._attempt(engine, work, call)

    def _attempt(self, engine: Engine, work: Callable[[Connection], T], call: Call) -> T:
        with self._calls.under_way(call), engine.begin() as connection:
            call.go_on()
            return work(connection)

    def _checked(self, raw: Any, entry: ConnectionPoolEntry, fairy: object) -> None:
        """Replace a connection that broke since its last use. Its thread may be given up while this waits."""
        self._calls.connected(raw)
        fresh, entry.info["used"] = "used" not in entry.info, True
        if fresh or self._kind == "sqlite":
            return
        dialect = self._engine.dialect
        try:
            dialect.do_ping(raw)
        except dialect.loaded_dbapi.Error as error:
            raise DisconnectionError("broken since its last use") from error


def make_engine(address: DatabaseAddress, session: Session, size: int) -> Engine:
    """An engine, which does not connect yet, with at most `size` connections prepared as `session` says."""
    engine = create_engine(
        address.url,
        connect_args=connect_options(address, session),
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,  # keys of channels must reach neither a log nor an error
    )

    def connected(raw: Any, entry: ConnectionPoolEntry) -> None:
        if address.kind == "sqlite":
            raw.isolation_level = None  # transactions begin where SQLAlchemy says, see `_begun`
        prepare_session(raw, address.kind, session)

    event.listen(engine, "connect", connected)
    if address.kind == "sqlite":
        event.listen(engine, "begin", _begun)
    return engine


def _begun(connection: Connection) -> None:
    """A writer locks at once: one that reads first and locks later may find its state outdated, and fail."""
    writes = connection.get_execution_options().get("gateway_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def bump(connection: Connection) -> None:
    """Count a change to users, tokens, channels or options, in its own transaction.

    As the last statement of it, so that nobody who holds this row waits for another one.
    """
    connection.execute(update(schema.revision).values(number=schema.revision.c.number + 1))
    connection.info[CHANGED] = True


def revision_of(connection: Connection) -> int:
    """How many changes were counted."""
    number: int = connection.execute(select(schema.revision.c.number)).scalar_one()
    return number
