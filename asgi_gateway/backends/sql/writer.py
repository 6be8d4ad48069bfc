"""The writer's connection, as books and pages use it: the same few verbs on every database.

Statements are written with `?` for parameters and without any other `?`. Those that only write may be sent later,
together with the next query or the end of the transaction: on a server each answer that is waited for costs a way
there and back, and another wait for the interpreter. Their errors come then.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from sqlalchemy import Column, Table

from asgi_gateway.backends.sql.address import DatabaseAddress

__all__ = ["Fields", "MissingRows", "Query", "Writer", "WriterConnection", "open_writer"]


@dataclass(frozen=True, eq=False)
class Fields:
    """Columns of a table, in the order of the rows that the hot path gives. `keys` are those of its primary key."""

    table: Table
    columns: tuple[Column[Any], ...]

    @property
    def name(self) -> str:
        """Of the table."""
        return self.table.name

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Of the columns that identify a row."""
        return tuple(column.name for column in self.columns if column.primary_key)

    @cached_property
    def values(self) -> tuple[str, ...]:
        """Of the other columns."""
        return tuple(column.name for column in self.columns if not column.primary_key)

    @classmethod
    def of(cls, table: Table, *names: str) -> "Fields":
        """Some columns of a table, or all."""
        return cls(table, tuple(table.columns[name] for name in names or table.columns.keys()))


@dataclass(slots=True)
class Query:
    """Rows by `head`, such as "SELECT a, b FROM t", whose column `key` is one of `among`.

    By `lock` they are locked, in the order of that column. `also` is what follows the condition, such as " AND c = ?",
    with `more` as its parameters.
    """

    head: str
    key: str
    among: Sequence[str]
    lock: bool = False
    also: str = ""
    more: Sequence[Any] = ()


class MissingRows(Exception):
    """Rows that a transaction must lock are not there: it is undone, they are made, and it begins again."""

    def __init__(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        super().__init__(f"{len(rows)} rows of {fields.name}")
        self.fields = fields
        self.rows = rows


class WriterConnection(Protocol):
    """A connection for one thread. Raises its driver's errors; which mean what, its `Writer` tells.

    `alone` says that a transaction locks the whole database: what it read stays true until it ends.
    """

    alone: bool

    def begin(self) -> None:
        """Begin a transaction that may write."""
        ...

    def commit(self) -> None:
        """Make it durable."""
        ...

    def rollback(self) -> None:
        """Undo what the transaction did, if one is open."""
        ...

    def close(self) -> None:
        """Disconnect; an open transaction is undone."""
        ...

    def version(self) -> int:
        """A number that changes when another connection wrote. Only where a transaction is `alone`."""
        ...

    def seconds(self) -> float:
        """The database's clock, in seconds since the epoch."""
        ...

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement; return how many rows it changed."""
        ...

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each row."""
        ...

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query."""
        ...

    def insert(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert rows."""
        ...

    def supply(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert those rows that are not there, each in a transaction of its own, in their order."""
        ...

    def update(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """Set the other columns of rows that are there and locked, by their primary key."""
        ...

    def upsert(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """Insert rows, or set the other columns of those that are there."""
        ...

    def select(self, *queries: Query) -> list[list[tuple[Any, ...]]]:
        """Run queries in their order, where possible at once."""
        ...

    def delete(self, fields: Fields, key: str, among: Sequence[str]) -> None:
        """Delete the rows whose column `key` is one of these."""
        ...


class Writer(Protocol):
    """Where the writer's connections come from."""

    def connect(self) -> WriterConnection:
        """Connect anew. Raises the driver's errors."""
        ...

    def is_away(self, error: Exception) -> bool:
        """Whether the database as a whole failed, and not what was to be written."""
        ...

    def is_conflict(self, error: Exception) -> bool:
        """Whether the transaction was undone for the sake of another one, and would do when tried again."""
        ...


def open_writer(address: DatabaseAddress, wait: float, *, durable: bool = True) -> Writer:
    """The writer of a database. `wait` is how long others are waited for, in seconds. Loads that driver alone.

    What need not be `durable` may be lost in a crash of the server's, where it can do without.
    """
    match address.kind:
        case "sqlite":
            from asgi_gateway.backends.sql.sqlite import SqliteWriter

            assert address.path is not None
            return SqliteWriter(address.path, wait)
        case "postgresql":
            from asgi_gateway.backends.sql.postgresql import PostgreSQLWriter

            return PostgreSQLWriter(address, wait, durable=durable)
        case "mysql":
            from asgi_gateway.backends.sql.mysql import MySQLWriter

            return MySQLWriter(address, wait)
