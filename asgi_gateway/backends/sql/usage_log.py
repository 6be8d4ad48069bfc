"""The charges as a log, read beside the ledger and never through it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, func, select

from asgi_gateway.backends.sql.database import Database
from asgi_gateway.backends.sql.rows import charge_of
from asgi_gateway.backends.sql.schema import charge_columns, charges
from asgi_gateway.storage.ids import ledger_key
from asgi_gateway.storage.protocols import UsageSum
from asgi_gateway.storage.records import Charge

__all__ = ["SqlUsageLog"]

COLUMNS = charges.c

GROUPS = {
    "user": COLUMNS.user_name,
    "token": COLUMNS.token_name,
    "model": COLUMNS.model,
    "channel": COLUMNS.channel,
}

INPUT = (
    COLUMNS.input_tokens
    + COLUMNS.cache_read_tokens
    + COLUMNS.cache_write_tokens
    + COLUMNS.cache_write_1h_tokens
    + COLUMNS.audio_input_tokens
    + COLUMNS.image_input_tokens
)
OUTPUT = COLUMNS.output_tokens + COLUMNS.reasoning_tokens + COLUMNS.audio_output_tokens + COLUMNS.image_output_tokens


class SqlUsageLog:
    """`UsageLog` on SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def find(self, request_id: str) -> Charge | None:
        """The newest charge of a request.

        At once where its ledger key begins with the request's id, as the keys of the stack do; else all are looked at.
        """
        of_request = select(*charge_columns).where(COLUMNS.request_id == request_id)
        newest = of_request.order_by(COLUMNS.number.desc()).limit(1)
        key = ledger_key(request_id)  # a further one has "-" behind it, and "." comes next
        by_key = newest.where(COLUMNS.ledger_key >= key, COLUMNS.ledger_key < key + ".")

        def work(connection: Connection) -> Row[Any] | None:
            return connection.execute(by_key).first() or connection.execute(newest).first()

        row = await self._database.read(work)
        return None if row is None else charge_of(row)

    async def recent(self, limit: int = 100) -> Sequence[Charge]:
        """See `UsageLog.recent`."""
        query = select(*charge_columns).order_by(COLUMNS.number.desc()).limit(limit)
        return await self._database.read(lambda connection: [charge_of(row) for row in connection.execute(query)])

    async def sums(
        self, by: Literal["user", "token", "model", "channel"], since: datetime | None = None
    ) -> Sequence[UsageSum]:
        """See `UsageLog.sums`."""
        group = GROUPS[by]
        query = select(group, func.count(), func.sum(INPUT), func.sum(OUTPUT), func.sum(COLUMNS.charged)).group_by(
            group
        )
        start = None if since is None else since.timestamp()

        def work(connection: Connection) -> list[Any]:
            if start is None:
                return list(connection.execute(query))
            first = _first_since(connection, start)
            return list(connection.execute(query.where(COLUMNS.number >= first, COLUMNS.time >= start)))

        rows = await self._database.read(work)
        sums = [
            UsageSum(
                name=name, requests=requests, input_tokens=int(taken), output_tokens=int(given), charged=int(charged)
            )
            for name, requests, taken, given, charged in rows
        ]
        return sorted(sums, key=lambda row: (-row.charged, row.name))


def _first_since(connection: Connection, start: float) -> int:
    """The number of the first charge that was settled at `start` or later.

    Charges are numbered in the order of their settlement, so the place is found by halving. After a clock was set back
    the order has a fold there, and what was counted between the two times may be left out.
    """
    low, high = 0, int(connection.execute(select(func.max(COLUMNS.number))).scalar() or 0) + 1
    while low < high:
        middle = (low + high) // 2
        here = select(COLUMNS.number, COLUMNS.time).where(COLUMNS.number >= middle).order_by(COLUMNS.number).limit(1)
        found = connection.execute(here).first()
        if found is None or found.time >= start:
            high = middle
        else:
            low = found.number + 1
    return low
