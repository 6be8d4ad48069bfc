"""Empties a database between tests, which is a hundred times faster than to make a new one."""

from functools import cache

from sqlalchemy import Engine, create_engine, delete, inspect, update
from sqlalchemy.pool import NullPool

from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.address import address_of

__all__ = ["empty"]


def empty(url: str) -> None:
    """Remove what tests stored, if the tables are there at all. Numbers that the database gives go on."""
    with _engine(url).begin() as connection:
        there = set(inspect(connection).get_table_names())
        for table in schema.metadata.sorted_tables:
            if table is not schema.revision and table.name in there:
                connection.execute(delete(table))
        if schema.revision.name in there:
            connection.execute(update(schema.revision).values(number=1))


@cache
def _engine(url: str) -> Engine:
    return create_engine(address_of(url).url, poolclass=NullPool)
