"""Times and numbers of charges.

Charges are numbered by the database in the order of their settlement, so that the number is all the index there is.
Nearly in that order: on a server a transaction is given its numbers some seconds before it commits, and the hosts'
clocks differ. So no time differs from the order of the numbers by more than `DISORDER`, which all bounds allow for.
"""

from collections.abc import Callable

from sqlalchemy import Connection, func, select, text

from asgi_gateway.backends.sql.schema import charges

__all__ = [
    "DISORDER",
    "above",
    "below",
    "charge_number",
    "charge_time",
    "first_since",
    "greatest",
    "least",
    "settled_before",
]

DISORDER = 30.0
"""Seconds: transactions of the ledger end within 5, the rest is for clocks that differ."""

CLOCKS = {
    "postgresql": "SELECT EXTRACT(EPOCH FROM now())",
    "mysql": "SELECT UNIX_TIMESTAMP(NOW(6))",
    "mariadb": "SELECT UNIX_TIMESTAMP(NOW(6))",
}
"""What asks a server for its time, in seconds since the epoch."""

HERE = "SELECT number, time FROM gateway_charges WHERE number >= {:d} ORDER BY number LIMIT 1"

charge_number, charge_time = charges.c.number, charges.c.time


def settled_before(connection: Connection, wall: Callable[[], float] | None) -> float | None:
    """Charges up to this time can be counted on to be seen all, if those of smaller numbers are: None for all of them.

    The first that a transaction asks: what it sees is no older than this. SQLite commits one after the other, in the
    order of the numbers. On a server a number may be given before a smaller one is seen, but not by more than the time
    that a transaction may take.
    """
    if connection.dialect.name == "sqlite":
        return None
    if wall is not None:
        return wall() - DISORDER
    return float(connection.execute(text(CLOCKS[connection.dialect.name])).scalar_one()) - DISORDER


def greatest(connection: Connection) -> int:
    """The number of the newest charge; 0 when there is none."""
    return int(connection.execute(select(func.max(charge_number))).scalar() or 0)


def least(connection: Connection) -> int:
    """The number of the oldest charge; 0 when there is none."""
    return int(connection.execute(select(func.min(charge_number))).scalar() or 0)


def above(connection: Connection, start: float) -> int:
    """No charge settled at `start` or later has a smaller number."""
    return first_since(connection, start - DISORDER)


def below(connection: Connection, end: float) -> int:
    """No charge settled before `end` has this number or a greater one."""
    return first_since(connection, end + DISORDER)


def first_since(connection: Connection, start: float) -> int:
    """Where the charges settled at `start` or later begin, found by halving; one past the last if there are none.

    The charge of this number is such a one, the one before it is not.
    """
    low, high = least(connection), greatest(connection) + 1
    while low < high:
        middle = (low + high) // 2
        found = connection.exec_driver_sql(HERE.format(middle)).first()  # a built statement costs several times as much
        if found is None or found.time >= start:
            high = middle
        else:
            low = found.number + 1
    return low
