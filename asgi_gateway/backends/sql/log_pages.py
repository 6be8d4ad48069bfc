"""The log page by page, newest first, by numbers: the work for a page does not grow with the log.

A page looks at no more than `SCANNED` charges. Hours of which the sums say that nothing in them is of the user, token,
model, channel or group that is asked for are passed over.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, select

from asgi_gateway.backends.sql.numbers import DISORDER, above, below, charge_number, charge_time, first_since, greatest
from asgi_gateway.backends.sql.rollups import COLUMNS, digest_of
from asgi_gateway.backends.sql.rows import charge_of
from asgi_gateway.backends.sql.schema import charge_columns, charges, hours, log_state
from asgi_gateway.backends.tallies import HOUR, KINDS, floor, seconds_of
from asgi_gateway.storage.protocols import ChargeFilter
from asgi_gateway.storage.records import Charge

__all__ = ["SCANNED", "Hours", "Scan", "place", "scan", "told_hours"]

SCANNED = 5_000
"""Charges that are looked at for a page."""

STEP = 1_000
"""Charges that are looked at by one statement."""

JUMPS = 32
"""Stretches of the log that are passed over for a page."""

LISTED = 200
"""Hours with something of a name that are looked up for a page."""


@dataclass(frozen=True, slots=True)
class Hours:
    """What the sums say of a filter's names: the hours that may hold charges of all of them, newest first.

    Nothing is said of charges numbered above `rolled`, nor of hours before `known`.
    """

    starts: Sequence[int]
    known: int
    rolled: int

    def at(self, time: float) -> float | None:
        """The end of the newest hour, at `time` or before, that may hold something; None for none that is known."""
        for start in self.starts:
            if start <= time:
                return float(start + HOUR)
        return None


@dataclass(frozen=True, slots=True)
class Scan:
    """Some charges of a filter, and above which number to go on: None at the end of this log."""

    charges: Sequence[Charge]
    next: int | None


def place(connection: Connection, cursor: int | None) -> tuple[int, float] | None:
    """Number and time of the newest charge below a cursor, or of all."""
    query = select(charge_number, charge_time).order_by(charge_number.desc()).limit(1)
    found = connection.execute(query if cursor is None else query.where(charge_number < cursor)).first()
    return None if found is None else (found.number, found.time)


def told_hours(connection: Connection, filter: ChargeFilter, time: float) -> Hours | None:
    """What the sums say of the hours up to a time; None when the filter has no name that is summed by."""
    lists: list[list[int]] = []
    columns = hours.c
    for kind in KINDS:
        name = getattr(filter, kind)
        if name is not None:
            named = (columns.span == HOUR) & (columns.kind == kind) & (columns.digest == digest_of(name))
            query = select(columns.start).where(named, columns.requests > 0, columns.start <= floor(time + DISORDER))
            lists.append(list(connection.execute(query.order_by(columns.start.desc()).limit(LISTED)).scalars()))
    if not lists:
        return None
    known = max((starts[-1] for starts in lists if len(starts) == LISTED), default=0)
    common = set(lists[0]).intersection(*lists[1:])
    rolled: int = connection.execute(select(log_state.c.rolled)).scalar_one()
    return Hours(sorted((start for start in common if start >= known), reverse=True), known, rolled)


def scan(connection: Connection, filter: ChargeFilter, cursor: int | None, limit: int, told: Hours | None) -> Scan:
    """Charges of a filter below a cursor, at most `limit`."""
    where = _conditions(filter)
    since, until = seconds_of(filter.since), seconds_of(filter.until)
    lowest = 0 if since is None else above(connection, since)
    upper = greatest(connection) + 1 if cursor is None else cursor
    if until is not None:
        upper = min(upper, below(connection, until))
    found: list[Charge] = []
    budget = SCANNED
    for _ in range(JUMPS):
        newest = place(connection, upper)
        if newest is None or newest[0] < lowest:
            return Scan(found, None)
        top, time = newest
        if told is not None and top <= told.rolled:
            end = told.at(time + DISORDER)
            if end is None:
                return Scan(found, min(top, first_since(connection, told.known + DISORDER)) if told.known else None)
            if end + DISORDER < time:
                upper = min(top, first_since(connection, end + DISORDER))
                continue
        low = max(lowest, top - min(STEP, budget) + 1)
        query = select(charge_number, *charge_columns).where(charge_number >= low, charge_number <= top, *where)
        rows = connection.execute(query.order_by(charge_number.desc()).limit(limit - len(found))).all()
        found += [charge_of(row[1:]) for row in rows]
        if len(found) == limit:
            return Scan(found, rows[-1].number)
        budget -= top - low + 1
        upper = low
        if budget <= 0:
            break
    return Scan(found, upper)


def _conditions(filter: ChargeFilter) -> list[ColumnElement[bool]]:
    where = [COLUMNS[kind] == name for kind in KINDS if (name := getattr(filter, kind)) is not None]
    if filter.outcome is not None:
        where.append(charges.c.outcome == filter.outcome.value)
    if filter.since is not None:
        where.append(charge_time >= filter.since.timestamp())
    if filter.until is not None:
        where.append(charge_time < filter.until.timestamp())
    return where
