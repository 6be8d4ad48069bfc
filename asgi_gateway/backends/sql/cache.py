"""Records that are forgotten, on SQL: shared by the processes that share the database."""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import Connection, delete, insert, select

from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.database import Database

__all__ = ["SqlCache"]


class SqlCache:
    """`Cache` on SQL. Expired rows are removed by whoever writes next. `wall` gives seconds since the epoch."""

    def __init__(self, database: Database, wall: Callable[[], float]) -> None:
        self._database = database
        self._wall = wall

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
        rows = [{"cache_key": key, "value": value, "expires": now + seconds} for key, value in values.items()]

        def work(connection: Connection) -> None:
            connection.execute(delete(table).where(table.c.expires <= now))
            connection.execute(delete(table).where(table.c.cache_key.in_(list(values))))
            connection.execute(insert(table), rows)

        await self._database.write(work)
