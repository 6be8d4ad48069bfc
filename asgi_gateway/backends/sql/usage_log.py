"""The charges as a log, read beside the ledger and never through it.

With a log database of its own, charges are copied there, and may then be removed here: the newest are read here, older
ones there. Sums stay here, so that they need no other database.
"""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, select
from sqlalchemy.exc import IntegrityError

from asgi_gateway.backends.sql.database import Database
from asgi_gateway.backends.sql.log_copies import begin_state, copied, deliver, forget, owner_of, pack, prepare_copies
from asgi_gateway.backends.sql.log_pages import SCANNED, Hours, Scan, place, scan, told_hours
from asgi_gateway.backends.sql.migration import prepare, status
from asgi_gateway.backends.sql.numbers import charge_number, greatest
from asgi_gateway.backends.sql.retention import announce, is_due, remove
from asgi_gateway.backends.sql.rollups import enter, gather
from asgi_gateway.backends.sql.rows import charge_of
from asgi_gateway.backends.sql.schema import charge_columns, charges
from asgi_gateway.backends.sql.sums import Span, collect
from asgi_gateway.backends.tallies import hour_sums, number_in, seconds_of, usage_sums
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.ids import ledger_key
from asgi_gateway.storage.protocols import ChargeFilter, ChargePage, HourSum, SumKey, UsageSum
from asgi_gateway.storage.records import Charge

__all__ = ["SqlUsageLog"]

ROLLED_UP = 1_000
"""Charges that are added to the sums in one transaction."""

ALL = ChargeFilter()


class SqlUsageLog:
    """`UsageLog` on SQL. `copies` is the log database, if there is one.

    `wall` gives seconds since the epoch, as for the ledger; None for the clock of the database's server.
    """

    def __init__(
        self, database: Database, wall: Callable[[], float] | None = None, copies: Database | None = None
    ) -> None:
        self._database = database
        self._copies = copies
        self._wall = wall
        self._owner = ""
        self._prepared = False

    async def open(self) -> None:
        """Begin the log, once the database has its tables. The log database is not connected to yet."""
        copying = self._copies is not None
        owner: str | None = await self._database.read(partial(owner_of, copying=copying))
        self._owner = owner or await self._begin(copying)
        if self._copies is not None:
            self._copies.open()

    async def close(self) -> None:
        """Disconnect from the log database."""
        self._prepared = False
        if self._copies is not None:
            await self._copies.close()

    async def find(self, request_id: str) -> Charge | None:
        """The newest charge of a request.

        Found by its ledger key, which begins with the request's id, as the keys of the stack do. Charges under other
        keys are found only among the newest ones.
        """
        row = await self._database.read(partial(_find, request_id=request_id))
        if row is None and self._copies is not None:
            row = await (await self._log_database(self._copies)).read(partial(_find, request_id=request_id))
        return None if row is None else charge_of(row)

    async def page(
        self, filter: ChargeFilter | None = None, *, cursor: str | None = None, limit: int = 100
    ) -> ChargePage:
        """See `UsageLog.page`."""
        if limit < 1:
            raise ValueError("a page has at least one charge")
        wanted = filter or ALL
        start = None if cursor is None else number_in(cursor)
        here = await self._database.report(partial(_page, wanted=wanted, cursor=start, limit=limit))
        found, following = list(here.charges), here.next
        if following is None and self._copies is not None and len(found) < limit:
            there = await self._older(self._copies, wanted, start, limit - len(found))
            found += there.charges
            following = there.next
        return ChargePage(tuple(found), None if following is None else str(following))

    async def hours(
        self, by: SumKey, since: datetime, until: datetime | None = None, *, name: str | None = None
    ) -> Sequence[HourSum]:
        """See `UsageLog.hours`. The first and the last hour are counted from `since`, and up to `until`."""
        span = Span(by=by, since=seconds_of(since), until=seconds_of(until), name=name)
        return hour_sums(await self._database.report(lambda connection: collect(connection, span)))

    async def roll_up(self) -> bool:
        """See `UsageLog.roll_up`. Charges are copied to the log database too, if there is one."""
        batch = await self._database.report(lambda connection: gather(connection, ROLLED_UP, self._wall))
        if batch is not None:
            await self._database.write(partial(enter, batch=batch))
        more = batch is not None and batch.more
        if self._copies is not None:
            try:
                more |= await self._copy(self._copies)
            except ServiceUnavailable:
                if not more:
                    raise  # once the sums are up to date: they need no log database
        return more

    async def prune(self, before: datetime, limit: int = 1000) -> int:
        """See `UsageLog.prune`. Whole hours are removed; with a log database, only what was copied to it."""
        time = before.timestamp()
        if not await self._database.read(partial(is_due, before=time)):
            return 0
        most = None if self._copies is None else await (await self._log_database(self._copies)).read(copied)
        await self._database.write(partial(announce, before=time))
        return await self._database.write(partial(remove, before=time, limit=limit, most=most))

    async def recent(self, limit: int = 100) -> Sequence[Charge]:
        """See `UsageLog.recent`. Of those in the gateway's own database."""
        query = select(*charge_columns).order_by(charge_number.desc()).limit(limit)
        return await self._database.report(lambda connection: [charge_of(row) for row in connection.execute(query)])

    async def sums(self, by: SumKey, since: datetime | None = None) -> Sequence[UsageSum]:
        """See `UsageLog.sums`."""
        span = Span(by=by, since=seconds_of(since), whole=True)
        return usage_sums(await self._database.report(lambda connection: collect(connection, span)))

    async def _begin(self, copying: bool) -> str:
        begin = partial(begin_state, copying=copying)
        try:
            return await self._database.write(begin)
        except IntegrityError:  # another process was faster
            return await self._database.write(begin)

    async def _copy(self, copies: Database) -> bool:
        """Copy some charges to the log database. True when there may be more."""
        database = await self._log_database(copies)
        after = await database.read(copied)
        parcel = await self._database.report(lambda connection: pack(connection, after, self._wall))
        if parcel is None:
            return False
        await database.write(partial(deliver, parcel=parcel))
        if parcel.handled:
            await self._database.write(partial(forget, parcel=parcel))
        return parcel.more

    async def _older(self, copies: Database, wanted: ChargeFilter, cursor: int | None, limit: int) -> Scan:
        """Charges that are no longer in the gateway's own database."""
        database = await self._log_database(copies)
        oldest = await self._database.read(_oldest)
        start = oldest if cursor is None or (oldest is not None and oldest < cursor) else cursor
        newest = await database.report(lambda connection: place(connection, start))
        told = None if newest is None else await self._told(wanted, newest[1])
        return await database.report(lambda connection: scan(connection, wanted, start, limit, told))

    async def _told(self, wanted: ChargeFilter, time: float) -> Hours | None:
        return await self._database.report(lambda connection: told_hours(connection, wanted, time))

    async def _log_database(self, copies: Database) -> Database:
        """The log database, with its tables."""
        if not self._prepared:
            try:
                await prepare(copies, allowed=copies.kind == "sqlite" or await status(copies) is None)
            except ValueError as reason:
                raise ServiceUnavailable(f"The log database: {reason}.") from reason
            except (OSError, sqlite3.Error) as reason:
                raise ServiceUnavailable("The log database cannot be opened.") from reason
            await copies.write(partial(prepare_copies, owner=self._owner))
            self._prepared = True
        return copies


def _find(connection: Connection, request_id: str) -> Row[Any] | None:
    newest = select(*charge_columns).where(charges.c.request_id == request_id).order_by(charge_number.desc()).limit(1)
    key = ledger_key(request_id)  # further ones have "-" and hexadecimal digits behind it, in whatever order texts are
    by_key = newest.where(charges.c.ledger_key >= key, charges.c.ledger_key < key + "-g")
    found = connection.execute(by_key).first()
    if found is None:
        found = connection.execute(newest.where(charge_number > greatest(connection) - SCANNED)).first()
    return found


def _page(connection: Connection, wanted: ChargeFilter, cursor: int | None, limit: int) -> Scan:
    newest = place(connection, cursor)
    told = None if newest is None else told_hours(connection, wanted, newest[1])
    return scan(connection, wanted, cursor, limit, told)


def _oldest(connection: Connection) -> int | None:
    number: int | None = connection.execute(select(charge_number).order_by(charge_number).limit(1)).scalar()
    return number
