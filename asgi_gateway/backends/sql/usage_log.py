"""The charges as a log, read beside the ledger and never through it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from sqlalchemy import func, select

from asgi_gateway.backends.sql.database import Database
from asgi_gateway.backends.sql.rows import charge_of
from asgi_gateway.backends.sql.schema import charges
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
        """The newest charge of a request."""
        query = select(charges).where(COLUMNS.request_id == request_id).order_by(COLUMNS.time.desc()).limit(1)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else charge_of(row)

    async def recent(self, limit: int = 100) -> Sequence[Charge]:
        """See `UsageLog.recent`."""
        query = select(charges).order_by(COLUMNS.time.desc(), COLUMNS.ledger_key.desc()).limit(limit)
        return await self._database.read(lambda connection: [charge_of(row) for row in connection.execute(query)])

    async def sums(
        self, by: Literal["user", "token", "model", "channel"], since: datetime | None = None
    ) -> Sequence[UsageSum]:
        """See `UsageLog.sums`."""
        group = GROUPS[by]
        query = select(group, func.count(), func.sum(INPUT), func.sum(OUTPUT), func.sum(COLUMNS.charged)).group_by(
            group
        )
        if since is not None:
            query = query.where(COLUMNS.time >= since.timestamp())
        rows = await self._database.read(lambda connection: list(connection.execute(query)))
        sums = [
            UsageSum(
                name=name, requests=requests, input_tokens=int(taken), output_tokens=int(given), charged=int(charged)
            )
            for name, requests, taken, given, charged in rows
        ]
        return sorted(sums, key=lambda row: (-row.charged, row.name))
