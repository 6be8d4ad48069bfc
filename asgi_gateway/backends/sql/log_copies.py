"""Copies of charges in a log database of its own, at least once and each under its own number.

The log database itself says up to which number it has them, in the transaction that writes them. A charge that was
corrected afterwards comes through `gateway_outbox`. Whichever process copies, and however often: a charge that is there
is replaced only where it was closed as lost, which is what is corrected, and never by a lost one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from asgi_gateway.backends.sql.numbers import charge_number, settled_before
from asgi_gateway.backends.sql.rollups import kind_of
from asgi_gateway.backends.sql.schema import charges, log_state, outbox
from asgi_gateway.backends.sql.upsert import upsert
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.records import Outcome

__all__ = ["Parcel", "begin_state", "copied", "deliver", "forget", "owner_of", "pack", "prepare_copies"]

COPIED = 500
"""Charges that are copied in one transaction."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """Rows for the log database: what follows `copied`, up to `last`; and corrected ones with their outbox numbers."""

    copied: int
    last: int
    rows: Sequence[Any]
    corrected: Sequence[Any]
    handled: Sequence[int]
    more: bool


def owner_of(connection: Connection, *, copying: bool) -> str | None:
    """The name of this database, when the row that says how far the log is need not be made or changed."""
    query = select(log_state.c.owner, log_state.c.copying)
    found = connection.execute(query).first()
    return None if found is None or (copying and not found.copying) else str(found.owner)


def begin_state(connection: Connection, *, copying: bool) -> str:
    """Make the row that says how far the log is, unless it is there. Returns the name of this database."""
    found = connection.execute(select(log_state.c.owner)).scalar()
    if found is None:
        found = token_hex(8)
        fresh = {"rolled": 0, "pruned": 0, "copied": 0, "turn": 0}
        connection.execute(insert(log_state).values(id=1, owner=found, copying=copying, **fresh))
    elif copying:
        connection.execute(update(log_state).values(copying=True))
    return found


def prepare_copies(connection: Connection, owner: str) -> None:
    """Take a log database, which has all tables, for its owner. Raises `ServiceUnavailable` when it is another's."""
    found = connection.execute(select(log_state.c.owner)).scalar()
    if found is None:
        fresh = {"rolled": 0, "pruned": 0, "copied": 0, "turn": 0, "copying": False}
        connection.execute(insert(log_state).values(id=1, owner=owner, **fresh))
    elif found != owner:
        raise ServiceUnavailable("The log database holds the log of another gateway's database.")


def copied(connection: Connection) -> int:
    """Up to which number a log database has the charges."""
    number: int = connection.execute(select(log_state.c.copied)).scalar_one()
    return number


def pack(connection: Connection, after: int, wall: Callable[[], float] | None) -> Parcel | None:
    """What is to be copied next; None when there is nothing. Of the gateway's own database; sees one state.

    As with sums, charges on servers are copied when they are `DISORDER` old.
    """
    settled = settled_before(connection, wall)
    query = select(*charges.columns).where(charge_number > after).order_by(charge_number).limit(COPIED)
    rows = list(connection.execute(query))
    full = len(rows) == COPIED
    if settled is not None:
        young = [index for index, row in enumerate(rows) if row.time > settled]
        if young:
            rows, full = rows[: young[0]], False
    waiting = connection.execute(select(outbox.c.number, outbox.c.ledger_key).order_by(outbox.c.number).limit(COPIED))
    numbers, keys = [], []
    for number, key in waiting:
        numbers.append(number)
        keys.append(key)
    corrected = list(connection.execute(select(*charges.columns).where(charges.c.ledger_key.in_(keys)))) if keys else []
    if not rows and not numbers:
        return None
    return Parcel(after, rows[-1].number if rows else after, rows, corrected, numbers, full or len(numbers) == COPIED)


def deliver(connection: Connection, parcel: Parcel) -> None:
    """Write rows into the log database."""
    state = log_state.c
    connection.execute(update(log_state).values(turn=state.turn + 1))  # one process after the other
    rows = [row._asdict() for row in (*parcel.rows, *parcel.corrected)]
    unchanged = {"ledger_key": lambda present, new: present}
    connection.execute(upsert(kind_of(connection), charges, unchanged, unchanged), rows)
    final = [row._asdict() for row in parcel.corrected if row.outcome != Outcome.LOST.value]
    if final:
        values: dict[str, Any] = {
            column.name: bindparam(column.name) for column in charges.columns if column is not charge_number
        }
        is_lost = (charge_number == bindparam("of_number")) & (charges.c.outcome == Outcome.LOST.value)
        rows = [{"of_number": row.pop("number"), **row} for row in final]
        connection.execute(update(charges).where(is_lost).values(values), rows)
    connection.execute(update(log_state).where(state.copied < parcel.last).values(copied=parcel.last))


def forget(connection: Connection, parcel: Parcel) -> None:
    """Remove what was delivered from the outbox."""
    connection.execute(delete(outbox).where(outbox.c.number.in_(parcel.handled)))
