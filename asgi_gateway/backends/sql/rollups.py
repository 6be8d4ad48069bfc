"""Sums of charges by hour and by day, so that nobody need scan the log.

Charges are added in the order of their numbers, a bounded number of them at a time, by any process: the row of
`gateway_log_state` says up to which number, and changes in the transaction that adds. Numbers that are given by a
server become visible in another order than they were given; so there a charge is added only when it is older than
`DISORDER`: the transaction that was given a smaller number has ended by then, and its charges are seen or never will
be.

A charge that changes afterwards (see `Ledger.settle` on those that were lost) is corrected in its own transaction.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Protocol

from sqlalchemy import BigInteger, ColumnElement, Connection, Integer, cast, func, literal_column, select, update

from asgi_gateway.backends.sql.address import Kind
from asgi_gateway.backends.sql.numbers import charge_number, charge_time, settled_before
from asgi_gateway.backends.sql.schema import charges, hours, log_state
from asgi_gateway.backends.sql.upsert import upsert
from asgi_gateway.backends.tallies import DAY, HOUR, KINDS, Tallies, counted, floor, name_in
from asgi_gateway.storage.protocols import SumKey
from asgi_gateway.storage.records import Charge

__all__ = [
    "COLUMNS",
    "SUMS",
    "Batch",
    "Statements",
    "correct",
    "digest_of",
    "enter",
    "gather",
    "hour_of",
    "kind_of",
    "tally",
]

CHARGES = charges.c

COLUMNS: Mapping[SumKey, ColumnElement[str]] = {
    "user": CHARGES.user_name,
    "token": CHARGES.token_name,
    "model": CHARGES.model,
    "channel": CHARGES.channel,
    "group": func.coalesce(func.nullif(CHARGES.charged_group, literal_column("''")), CHARGES.group_name),
}
"""By what is summed, as `tallies.name_in` says it."""

INPUT = (
    CHARGES.input_tokens
    + CHARGES.cache_read_tokens
    + CHARGES.cache_write_tokens
    + CHARGES.cache_write_1h_tokens
    + CHARGES.audio_input_tokens
    + CHARGES.image_input_tokens
)
OUTPUT = CHARGES.output_tokens + CHARGES.reasoning_tokens + CHARGES.audio_output_tokens + CHARGES.image_output_tokens

SUMS = (func.count(), func.sum(INPUT), func.sum(OUTPUT), func.sum(CHARGES.charged))

SPANS = (HOUR, DAY)

LOCK = "UPDATE gateway_log_state SET turn = turn + 1 WHERE id = 1"
SELECT_STATE = "SELECT rolled, copying FROM gateway_log_state WHERE id = 1"
SELECT_SUM = "SELECT requests FROM gateway_hours WHERE span = ? AND kind = ? AND start = ? AND digest = ?"
UPDATE_SUM = (
    "UPDATE gateway_hours SET requests = requests + ?, input_tokens = input_tokens + ?, "
    "output_tokens = output_tokens + ?, charged = charged + ? "
    "WHERE span = ? AND kind = ? AND start = ? AND digest = ?"
)
INSERT_SUM = (
    "INSERT INTO gateway_hours (name, requests, input_tokens, output_tokens, charged, span, kind, start, digest) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
INSERT_OUTBOX = "INSERT INTO gateway_outbox (ledger_key) VALUES (?)"


class Statements(Protocol):
    """A connection of the ledger, in a transaction. Parameters are marked by "?"."""

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int: ...

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]: ...


@dataclass(frozen=True, slots=True)
class Batch:
    """Charges that are to be added: those after `rolled`, up to `last`; what was read holds while `turn` stays."""

    rolled: int
    turn: int
    last: int
    sums: Mapping[SumKey, Tallies]
    more: bool


def gather(connection: Connection, limit: int, wall: Callable[[], float] | None) -> Batch | None:
    """Sum up at most `limit` charges that are to be added next; None when there are none. Sees one state.

    `wall` gives seconds since the epoch, None for the server's.
    """
    settled = settled_before(connection, wall)
    rolled, turn = connection.execute(select(log_state.c.rolled, log_state.c.turn)).one()
    first = _next(connection, rolled, settled)
    if first is None:
        return None
    within = (charge_number >= first) & (charge_number < first + limit)
    if settled is not None:
        young = connection.execute(select(func.min(charge_number)).where(within, charge_time > settled)).scalar()
        if young is not None:
            within &= charge_number < young
    last: int = connection.execute(select(func.max(charge_number)).where(within)).scalar_one()
    return Batch(rolled, turn, last, _sums(connection, within), _next(connection, last, settled) is not None)


def enter(connection: Connection, batch: Batch) -> bool:
    """Add a batch to the sums; False, and nothing is changed, when another process was faster."""
    state = log_state.c
    fresh = (state.rolled == batch.rolled) & (state.turn == batch.turn)
    step = update(log_state).where(fresh).values(rolled=batch.last, turn=state.turn + 1)
    if not connection.execute(step).rowcount:
        return False
    rows = [
        dict(zip(_SUM_COLUMNS, (span, kind, start, digest_of(name), name, *counts), strict=True))
        for span in SPANS
        for kind, tallies in batch.sums.items()
        for (start, name), counts in sorted(_by_span(tallies, span).items())
    ]
    changes = dict.fromkeys(_COUNTS, lambda present, added: present + added)
    connection.execute(upsert(kind_of(connection), hours, _COUNTS, changes), rows)
    return True


def correct(db: Statements, number: int, before: Charge, after: Charge) -> None:
    """Say that the stored charge `before` of this number was replaced by `after`, under the same key.

    In the transaction that replaces it, as late in it as possible: it locks the row that all roll-ups lock first.
    """
    db.execute(LOCK)
    ((rolled, copying),) = db.rows(SELECT_STATE)
    if copying:
        db.execute(INSERT_OUTBOX, (after.reservation.key,))
    if number > rolled:
        return
    for kind in KINDS:
        change = Tallies()
        change.add(floor(before.time), name_in(before, kind), [-count for count in counted(before)])
        change.add(floor(after.time), name_in(after, kind), counted(after))
        for span in SPANS:
            for (start, name), counts in sorted(_by_span(change, span).items()):
                _change(db, (span, kind, start, digest_of(name)), name, counts)


def tally(connection: Connection, tallies: Tallies, kind: SumKey, condition: ColumnElement[bool]) -> None:
    """Add the charges of a condition to sums by hour."""
    hour = hour_of(kind_of(connection)).label("hour")
    query = select(hour, COLUMNS[kind], *SUMS).where(condition).group_by(hour, COLUMNS[kind])
    for start, name, *counts in connection.execute(query):
        tallies.add(int(start), name, [int(count) for count in counts])


def _sums(connection: Connection, condition: ColumnElement[bool]) -> Mapping[SumKey, Tallies]:
    """The charges of a condition by hour and each kind of name; they are looked at once for all kinds."""
    hour = hour_of(kind_of(connection)).label("hour")
    names = [COLUMNS[kind] for kind in KINDS]
    sums = {kind: Tallies() for kind in KINDS}
    query = select(hour, *names, *SUMS).where(condition).group_by(hour, *names)
    for start, *row in connection.execute(query):
        counts = [int(count) for count in row[len(KINDS) :]]
        for kind, name in zip(KINDS, row, strict=False):
            sums[kind].add(int(start), name, counts)
    return sums


def hour_of(kind: Kind) -> ColumnElement[int]:
    """When the hour of a charge begins. Casts to integers cut in SQLite, and round elsewhere."""
    hours_since = charge_time / literal_column(f"{HOUR}.0")
    number = cast(hours_since, Integer) if kind == "sqlite" else cast(func.floor(hours_since), BigInteger)
    return number * literal_column(str(HOUR))


def kind_of(connection: Connection) -> Kind:
    """The kind of database behind a connection."""
    name = connection.dialect.name
    return "sqlite" if name == "sqlite" else "postgresql" if name == "postgresql" else "mysql"


def digest_of(name: str) -> str:
    """A name as it stands in the keys of `gateway_hours`."""
    return sha256(name.encode()).hexdigest()[:32]


_SUM_COLUMNS = tuple(column.name for column in hours.columns)
_COUNTS = ("requests", "input_tokens", "output_tokens", "charged")


def _next(connection: Connection, number: int, settled: float | None) -> int | None:
    """The number of the next charge, if it is old enough."""
    query = select(charge_number, charge_time).where(charge_number > number).order_by(charge_number).limit(1)
    found = connection.execute(query).first()
    if found is None or (settled is not None and found.time > settled):
        return None
    following: int = found.number
    return following


def _by_span(tallies: Tallies, span: int) -> Tallies:
    if span == HOUR:
        return tallies
    longer = Tallies()
    for (start, name), counts in tallies.items():
        longer.add(floor(start, span), name, counts)
    return longer


def _change(db: Statements, key: tuple[object, ...], name: str, counts: Sequence[int]) -> None:
    if db.rows(SELECT_SUM, key):
        db.execute(UPDATE_SUM, (*counts, *key))
    else:
        db.execute(INSERT_SUM, (name, *counts, *key))
