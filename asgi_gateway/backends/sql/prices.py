"""The numbers of every price that ever charged anything, on SQL."""

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.database import Database
from asgi_gateway.storage.price_text import price_of, price_text
from asgi_gateway.storage.records import Price

__all__ = ["SqlPrices"]


class SqlPrices:
    """`PriceStore` on SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def keep(self, price: Price) -> None:
        """See `PriceStore.keep`."""
        query = select(schema.prices.c.version).where(schema.prices.c.version == price.version)

        def work(connection: Connection) -> None:
            if connection.execute(query).first() is None:
                values = {"version": price.version, "content": price_text(price)}
                connection.execute(insert(schema.prices).values(values))

        try:
            await self._database.write(work)
        except IntegrityError:
            return  # another process was faster, with the same numbers

    async def find(self, version: str) -> Price | None:
        """See `PriceStore.find`."""
        query = select(schema.prices.c.content).where(schema.prices.c.version == version)
        text = await self._database.read(lambda connection: connection.execute(query).scalar())
        return None if text is None else price_of(text)
