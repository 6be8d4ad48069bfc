"""Removal of old charges, in batches so small that nobody waits for one.

Always the oldest ones by number, and whole hours: what stays is the newest part of the log without a gap, and of no
hour is a part missing that the sums would have to tell apart. The newest charge stays too, because some databases
number anew from the greatest number that is there.
"""

from sqlalchemy import Connection, delete, select, update

from asgi_gateway.backends.sql.numbers import charge_number, charge_time, greatest
from asgi_gateway.backends.sql.schema import charges, log_state
from asgi_gateway.backends.tallies import floor

__all__ = ["announce", "is_due", "remove"]


def is_due(connection: Connection, before: float) -> bool:
    """Whether there are charges of whole hours before a time."""
    oldest = connection.execute(select(charge_time).order_by(charge_number).limit(1)).scalar()
    return oldest is not None and oldest < floor(before)


def announce(connection: Connection, before: float) -> bool:
    """Say that the hours before a time may miss charges from now on. False when that was said already."""
    boundary = floor(before)
    step = update(log_state).where(log_state.c.pruned < boundary).values(pruned=boundary)
    return connection.execute(step).rowcount > 0


def remove(connection: Connection, before: float, limit: int, most: int | None) -> int:
    """Remove at most `limit` charges of the hours that were announced, up to the number `most`; return how many."""
    rolled, pruned = connection.execute(select(log_state.c.rolled, log_state.c.pruned)).one()
    boundary = min(floor(before), pruned)
    last = min(rolled, greatest(connection) - 1, *([] if most is None else [most]))
    oldest = select(charge_number, charge_time).where(charge_number <= last).order_by(charge_number).limit(limit)
    numbers: list[int] = []
    for number, time in connection.execute(oldest):
        if time >= boundary:
            break
        numbers.append(number)
    if not numbers:
        return 0
    old = (charge_number >= numbers[0]) & (charge_number <= numbers[-1])
    return connection.execute(delete(charges).where(old)).rowcount
