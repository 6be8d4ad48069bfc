"""Records that are forgotten, on SQL: shared by the processes that share the database."""

from collections.abc import Callable, Mapping, Sequence
from math import inf

from sqlalchemy import Connection, delete, select

from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.database import Database
from asgi_gateway.backends.sql.upsert import upsert

__all__ = ["SqlCache"]

INTERVAL = 1.0
"""Seconds between removals of what expired."""

SWEPT = 1000
"""Rows that are removed at once."""


class SqlCache:
    """`Cache` on SQL. Expired rows are removed by who writes, now and then, some at a time.

    `wall` gives seconds since the epoch.
    """

    def __init__(self, database: Database, wall: Callable[[], float]) -> None:
        self._database = database
        self._wall = wall
        self._swept = -inf

    async def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """See `Cache.get`."""
        if not keys:
            return {}
        table = schema.cache
        query = select(table.c.cache_key, table.c.value).where(
            table.c.cache_key.in_(keys), table.c.expires > self._wall()
        )
        rows = await self._database.read(lambda connection: list(connection.execute(query)))
        return {key: bytes(value) for key, value in rows}

    async def put(self, values: Mapping[str, bytes], seconds: float) -> None:
        """See `Cache.put`."""
        if not values:
            return
        table, now = schema.cache, self._wall()
        statement = upsert(self._database.kind, table, ("value", "expires"))
        rows = [{"cache_key": key, "value": values[key], "expires": now + seconds} for key in sorted(values)]
        expired = select(table.c.cache_key).where(table.c.expires <= now).limit(SWEPT)

        def work(connection: Connection) -> None:
            connection.execute(statement, rows)

        def sweep(connection: Connection) -> None:
            old = sorted(connection.execute(expired).scalars())
            if old:
                connection.execute(delete(table).where(table.c.cache_key.in_(old), table.c.expires <= now))

        await self._database.write(work)
        if now >= self._swept + INTERVAL:
            self._swept = now
            await self._database.write(sweep)
