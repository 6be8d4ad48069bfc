"""MySQL and MariaDB for the writer thread: one connection, and several statements to a request.

PyMySQL writes parameters into the statement, which for the forty columns of a charge costs more than all the rest; so
that is done here, in the two ways that need no escaping whatever the server's settings: texts of harmless characters
between quotes, all others as hexadecimal literals. A row that has only the first kind is written in one go.

From MySQL 5.7 and MariaDB 10.3 on, with READ COMMITTED: no gaps are locked, and rows that do not match are let go.
Texts longer than their column are cut, but for keys: strict servers refuse the whole row.
"""

import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from operator import gt
from typing import Any

import pymysql
from pymysql.constants import CLIENT
from sqlalchemy import Column, Double, LargeBinary, String
from sqlalchemy.types import TypeEngine

from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.address import DatabaseAddress
from asgi_gateway.backends.sql.drivers import Session, connect, is_conflict
from asgi_gateway.backends.sql.writer import Fields, Query, WriterConnection

__all__ = ["MySQLConnection", "MySQLWriter"]

ROWS = 64
"""Rows of one statement, at most."""

REQUEST = 512 * 1024
"""Characters of one request, about; MySQL 5.7 takes 4 MiB unless it is told otherwise."""

IDLE = 30
"""Seconds after which MySQL gives a silent connection up."""

LOCK_WAIT_TIMEOUT = 1205
"""https://dev.mysql.com/doc/mysql-errors/8.0/en/server-error-reference.html"""

HARMLESS = re.compile(r"[ -&(-\[\]-~]*").fullmatch
"""Matches what is printable ASCII without quote and backslash: between quotes it means itself in every mode."""

PRIMARY = {(table.name, next(iter(table.primary_key)).name) for table in schema.metadata.tables.values()}
"""Tables, each with the first column of its primary key."""


class MySQLWriter:
    """`Writer` on MySQL. `wait` is both how long a lock is waited for and a statement may take, in seconds."""

    def __init__(self, address: DatabaseAddress, wait: float) -> None:
        self._address = address
        self._wait = wait

    def connect(self) -> WriterConnection:
        """See `Writer.connect`."""
        session = Session(limit=self._wait, wait=self._wait)
        raw = connect(self._address, session, autocommit=True, client_flag=CLIENT.MULTI_STATEMENTS)
        try:
            return MySQLConnection(raw, max(1, round(self._wait)))
        except BaseException:  # whatever it is goes on, and leaves no connection behind
            raw.close()
            raise

    def is_away(self, error: Exception) -> bool:
        """See `Writer.is_away`: all but what the data are to blame for."""
        return isinstance(error, pymysql.MySQLError | OSError) and not isinstance(
            error, pymysql.DataError | pymysql.IntegrityError
        )

    def is_conflict(self, error: Exception) -> bool:
        """See `Writer.is_conflict`. A lock that did not come in time would hardly come at once."""
        return is_conflict(error, "mysql") and error.args[0] != LOCK_WAIT_TIMEOUT


class MySQLConnection:
    """A connection to a server, for one thread. `idle` is how long it may do nothing in a transaction, in seconds."""

    alone = False

    def __init__(self, raw: "pymysql.connections.Connection[Any]", idle: int) -> None:
        self._raw = raw
        self._cursor = raw.cursor()
        self._queue: list[str] = []
        self._size = 0
        self._begun = False
        self._shapes: dict[Fields, _Shape] = {}
        self._heads: dict[tuple[object, ...], tuple[str, str]] = {}
        # A process that stands still, or whose host vanished, must not keep its locks from all others. MySQL only knows
        # how long a connection may do nothing at all; the lease is renewed more often than that.
        version: str = self.rows("SELECT VERSION()")[0][0]
        limit = "idle_transaction_timeout" if "mariadb" in version.lower() else "wait_timeout"
        seconds = idle if limit != "wait_timeout" else max(idle, IDLE)
        self._cursor.execute(f"SET SESSION time_zone = '+00:00', SESSION {limit} = {seconds}")

    def begin(self) -> None:
        """See `WriterConnection.begin`. It is sent with what comes next."""
        self._begun = True
        self._add("START TRANSACTION")

    def commit(self) -> None:
        """See `WriterConnection.commit`."""
        self._add("COMMIT")
        self._run()
        self._begun = False

    def rollback(self) -> None:
        """See `WriterConnection.rollback`."""
        self._queue = []
        self._size = 0
        if self._begun:
            self._add("ROLLBACK")
            self._run()
            self._begun = False

    def close(self) -> None:
        """See `WriterConnection.close`."""
        self._raw.close()

    def version(self) -> int:
        """Others may write at any time."""
        raise NotImplementedError("only where a transaction locks the whole database")

    def seconds(self) -> float:
        """See `WriterConnection.seconds`."""
        return float(self.rows("SELECT UNIX_TIMESTAMP(SYSDATE(6))")[0][0])

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """See `WriterConnection.execute`."""
        self._add(_filled(sql, parameters))
        self._run()
        changed: int = self._cursor.rowcount
        return changed

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """See `WriterConnection.execute_many`."""
        for row in rows:
            self._add(_filled(sql, row))

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `WriterConnection.rows`."""
        self._add(_filled(sql, parameters))
        return self._run()[-1]

    def insert(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """See `WriterConnection.insert`."""
        self._put(fields, rows, "")

    def supply(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """See `WriterConnection.supply`."""
        key = fields.keys[0]
        for row in rows:
            self._put(fields, [row], f" ON DUPLICATE KEY UPDATE {key} = {key}")
            self._run()

    def update(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """See `WriterConnection.update`."""
        if len(fields.columns) == len(fields.table.columns) and not any(column.unique for column in fields.columns):
            self.upsert(fields, rows)  # it is there and locked, and one statement does for all rows
            return
        values = ", ".join(f"{name} = ?" for name in fields.values)
        keys = " AND ".join(f"{name} = ?" for name in fields.keys)
        lengths = self._shape(fields).lengths
        for row in rows:
            cut = [
                value[:length] if length and isinstance(value, str) else value
                for value, length in zip(row, lengths, strict=True)
            ]
            self._add(_filled(f"UPDATE {fields.name} SET {values} WHERE {keys}", cut))

    def upsert(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """See `WriterConnection.upsert`."""
        values = ", ".join(f"{name} = VALUES({name})" for name in fields.values)
        self._put(fields, rows, f" ON DUPLICATE KEY UPDATE {values}")

    def select(self, *queries: Query) -> list[list[tuple[Any, ...]]]:
        """See `WriterConnection.select`."""
        asked = [query for query in queries if query.among]
        if not asked:
            return [[] for _ in queries]
        for query in asked:
            place = (query.head, query.key, query.also, query.lock)
            parts = self._heads.get(place)
            if parts is None:
                parts = self._heads[place] = _select(query)
            head, tail = parts
            self._add(f"{head}{','.join(map(_text, query.among))}{_filled(tail, query.more) if query.more else tail}")
        found = iter(self._run()[-len(asked) :])
        return [next(found) if query.among else [] for query in queries]

    def delete(self, fields: Fields, key: str, among: Sequence[str]) -> None:
        """See `WriterConnection.delete`."""
        if among:
            self._add(f"DELETE FROM {fields.name} WHERE {key} IN ({','.join(map(_text, among))})")

    def _put(self, fields: Fields, rows: Sequence[tuple[object, ...]], tail: str) -> None:
        """Queue an insert."""
        shape = self._shape(fields)
        for start in range(0, len(rows), ROWS):
            values = ",".join(map(shape.row, rows[start : start + ROWS]))
            self._add(f"{shape.head}{values}{tail}")

    def _shape(self, fields: Fields) -> "_Shape":
        shape = self._shapes.get(fields)
        if shape is None:
            shape = self._shapes[fields] = _Shape(fields)
        return shape

    def _add(self, statement: str) -> None:
        if self._size > REQUEST:
            self._run()
        self._queue.append(statement)
        self._size += len(statement)

    def _run(self) -> list[list[tuple[Any, ...]]]:
        """Send what is queued, and return the rows of each statement. Raises the first error; the rest is not done."""
        cursor, text = self._cursor, ";".join(self._queue)
        self._queue = []
        self._size = 0
        cursor.execute(text)
        results = [list(cursor.fetchall())]
        while cursor.nextset():
            results.append(list(cursor.fetchall()))
        return results


def _select(query: Query) -> tuple[str, str]:
    """What stands before and behind the keys. An index is forced so that no more rows are locked than are asked for."""
    table = query.head.rpartition(" ")[2]
    index = " FORCE INDEX (PRIMARY)" if (table, query.key) in PRIMARY else ""
    order = f" ORDER BY {query.key} FOR UPDATE" if query.lock else ""
    return f"{query.head}{index} WHERE {query.key} IN (", f"){query.also}{order}"


def _filled(sql: str, parameters: Sequence[object]) -> str:
    if not parameters:
        return sql
    first, *others = sql.split("?")
    return first + "".join(f"{_literal(value)}{part}" for value, part in zip(parameters, others, strict=True))


class _Shape:
    """How rows of some columns are written. `lengths`: after how many characters a text is cut; 0: never."""

    def __init__(self, fields: Fields) -> None:
        self.head = f"INSERT INTO {fields.name} ({', '.join(fields.names)}) VALUES "
        self.lengths = [_length(column) for column in fields.columns]
        kinds = [column.type for column in fields.columns]
        self._texts = [index for index, kind in enumerate(kinds) if isinstance(kind, String)]
        self._limits = [self.lengths[index] or sys.maxsize for index in self._texts]
        self._floats = [index for index, kind in enumerate(kinds) if isinstance(kind, Double)]
        plain = not any(column.nullable or isinstance(column.type, LargeBinary) for column in fields.columns)
        self._template = f"({','.join(map(_place, kinds))})" if plain else None

    def row(self, row: Sequence[Any]) -> str:
        """A row in parentheses."""
        if self._template is not None:
            texts = [row[index] for index in self._texts]
            if (
                HARMLESS("".join(texts))
                and not any(map(gt, map(len, texts), self._limits))
                and math.isfinite(sum(map(row.__getitem__, self._floats)))
            ):
                return self._template % row
        literals = [
            _literal(value[:length] if length and isinstance(value, str) else value)
            for value, length in zip(row, self.lengths, strict=True)
        ]
        return f"({','.join(literals)})"


def _length(column: Column[Any]) -> int:
    if isinstance(column.type, String) and not (column.primary_key or column.unique):
        return column.type.length or 0
    return 0


def _place(kind: TypeEngine[Any]) -> str:
    """Where a value stands that needs no escaping."""
    if isinstance(kind, String):
        return "'%s'"
    return "%r" if isinstance(kind, Double) else "%d"


def _literal(value: object) -> str:
    write = WRITERS.get(type(value))
    if write is None:  # an enumeration of numbers, say
        write = next(write for kind, write in WRITERS.items() if isinstance(value, kind))
    return write(value)


def _text(value: str) -> str:
    return f"'{value}'" if HARMLESS(value) else f"_utf8mb4 x'{value.encode().hex()}'"


def _float(value: float) -> str:
    """As an approximate literal: an exact one would be converted."""
    if not math.isfinite(value):
        raise ValueError(f"{value} cannot be stored")
    text = repr(value)
    return text if "e" in text else f"{text}e0"


WRITERS: Mapping[type, Callable[[Any], str]] = {
    bool: lambda value: "1" if value else "0",
    str: _text,
    int: int.__repr__,
    float: _float,
    bytes: lambda value: f"x'{value.hex()}'",
    type(None): lambda _: "NULL",
}
"""By the type of a value: what writes it as a literal."""
