"""Times and numbers of charges.

Charges are numbered by the database in the order of their settlement, so that the number is all the index there is.
Nearly in that order: on a server a transaction is given its numbers some seconds before it commits, and the hosts'
clocks differ. So no time differs from the order of the numbers by more than `DISORDER`, which all bounds allow for.
"""

from sqlalchemy import Connection, func, select

from asgi_gateway.backends.sql.schema import charges

__all__ = ["DISORDER", "above", "below", "charge_number", "charge_time", "first_since", "greatest", "least"]

DISORDER = 30.0
"""Seconds: transactions of the ledger end within 5, the rest is for clocks that differ."""

charge_number, charge_time = charges.c.number, charges.c.time


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
        here = select(charge_number, charge_time).where(charge_number >= middle).order_by(charge_number).limit(1)
        found = connection.execute(here).first()
        if found is None or found.time >= start:
            high = middle
        else:
            low = found.number + 1
    return low
