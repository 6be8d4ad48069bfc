"""What was charged in a time: whole days and hours from their sums, the rest from the log."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, and_, func, select

from asgi_gateway.backends.sql.numbers import above, below, charge_number, charge_time
from asgi_gateway.backends.sql.rollups import COLUMNS, digest_of, tally
from asgi_gateway.backends.sql.schema import hours, log_state
from asgi_gateway.backends.tallies import DAY, HOUR, Tallies, floor
from asgi_gateway.storage.protocols import SumKey

__all__ = ["Span", "collect"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which charges are summed: by what, from when and until when (seconds since the epoch), and of whom.

    `whole` when hours need not be told apart, which is so only up to the present.
    """

    by: SumKey
    since: float | None = None
    until: float | None = None
    name: str | None = None
    whole: bool = False


def collect(connection: Connection, span: Span) -> Tallies:
    """The sums of a span, by hour, or of any times within it when it is `whole`. Sees one state.

    From the log come only charges that are in no sum yet, and of an hour that is divided. An hour that charges were
    removed from counts as a whole.
    """
    state = connection.execute(select(log_state.c.rolled, log_state.c.pruned)).one()
    since, until = span.since, span.until
    if since is not None and since < state.pruned:
        since = floor(since)
    if until is not None and until < state.pruned:
        until = -floor(-until)
    tallies = Tallies()
    for start, end in _divided(since, until):
        low, high = above(connection, start), below(connection, end)
        numbers = and_(charge_number >= low, charge_number < high, charge_number <= state.rolled)
        within = and_(numbers, charge_time >= start, charge_time < end)
        tally(connection, tallies, span.by, _named(within, span))
    for length, first, last in _whole(since, until, days=span.whole):
        _add_sums(connection, tallies, span, length, first, last)
    fresh = charge_number > state.rolled
    if since is not None:
        fresh = and_(fresh, charge_time >= since)
    if until is not None:
        fresh = and_(fresh, charge_time < until)
    tally(connection, tallies, span.by, _named(fresh, span))
    return tallies


def _divided(since: float | None, until: float | None) -> list[tuple[float, float]]:
    """The parts of a span that are parts of hours."""
    if since is not None and until is not None and floor(since) == floor(until):
        return [(since, until)] if since < until else []
    parts = []
    if since is not None and since > floor(since):
        parts.append((since, float(floor(since) + HOUR)))
    if until is not None and until > floor(until):
        parts.append((float(floor(until)), until))
    return parts


def _whole(since: float | None, until: float | None, *, days: bool) -> list[tuple[int, int | None, int | None]]:
    """The whole hours of a span: how long the sums are, from when and until when they begin."""
    first = None if since is None else -floor(-since)
    last = None if until is None else floor(until)
    if not days:
        return [(HOUR, first, last)]
    first_day = None if first is None else -floor(-first, DAY)
    parts: list[tuple[int, int | None, int | None]] = [(DAY, first_day, None)]
    if first != first_day:
        parts.append((HOUR, first, first_day))
    return parts


def _add_sums(
    connection: Connection, tallies: Tallies, span: Span, length: int, first: int | None, last: int | None
) -> None:
    columns = hours.c
    where = [columns.span == length, columns.kind == span.by]
    if span.name is not None:
        where.append(columns.digest == digest_of(span.name))
    if first is not None:
        where.append(columns.start >= first)
    if last is not None:
        where.append(columns.start < last)
    counts = (columns.requests, columns.input_tokens, columns.output_tokens, columns.charged)
    if span.whole:
        query = select(columns.name, *[func.sum(count) for count in counts]).where(*where).group_by(columns.name)
        for name, *sums in connection.execute(query):
            tallies.add(0, name, [int(value) for value in sums])
    else:
        for start, name, *sums in connection.execute(select(columns.start, columns.name, *counts).where(*where)):
            tallies.add(start, name, sums)


def _named(condition: ColumnElement[bool], span: Span) -> ColumnElement[bool]:
    return condition if span.name is None else and_(condition, COLUMNS[span.by] == span.name)
