"""PostgreSQL for the writer thread: one connection in pipeline mode, so that what only writes waits for no answer.

Spoken through libpq as psycopg wraps it (https://www.postgresql.org/docs/current/libpq-pipeline-mode.html): a cursor
costs several times as much, and a client's time-out is not to be had with it. Rows go in as one JSON text for each
statement, which the server takes apart; texts longer than their column are cut there, and only those outside of keys.
"""

import select
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from msgspec import json
from psycopg import pq
from psycopg.errors import lookup
from sqlalchemy import BigInteger, Boolean, Column, Double, Integer, LargeBinary, SmallInteger, String

from asgi_gateway.backends.sql.address import DatabaseAddress
from asgi_gateway.backends.sql.drivers import Session, connect, is_conflict
from asgi_gateway.backends.sql.writer import Fields, Query, WriterConnection

__all__ = ["PostgreSQLConnection", "PostgreSQLWriter"]

SLACK = 1.0
"""Seconds that the answer is waited for beyond the server's own limit for a statement."""

_Statement = tuple[str, list[bytes | None]]

READERS: Mapping[int, Callable[[bytes], Any]] = {
    16: lambda text: text == b"t",
    17: lambda text: bytes.fromhex(text[2:].decode()),
    20: int,
    21: int,
    23: int,
    700: float,
    701: float,
    1700: float,
}
"""By the object id of a type: what makes a value of its text. Others are texts."""

OK = frozenset({pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK})


class PostgreSQLWriter:
    """`Writer` on PostgreSQL. `wait` is both how long a lock is waited for and a statement may take, in seconds.

    What is not `durable` may be lost with the last moments before a crash of the server, and is never half there.
    """

    def __init__(self, address: DatabaseAddress, wait: float, *, durable: bool = True) -> None:
        self._address = address
        self._wait = wait
        self._durable = durable

    def connect(self) -> WriterConnection:
        """See `Writer.connect`."""
        raw = connect(self._address, Session(limit=self._wait, wait=self._wait))
        try:
            # A process that stands still, or whose host vanished, must not keep its locks from all others.
            raw.execute(f"SET idle_in_transaction_session_timeout = {round(self._wait * 1000)}")
            # Every statement here looks rows up by their keys. One that was planned while its table was small would go
            # on reading all of it, for plans of prepared statements are kept.
            raw.execute("SET enable_seqscan = off")
            # Rows of slots live for a moment: this kind of scan would visit the dead ones again and again.
            raw.execute("SET enable_bitmapscan = off")
            if not self._durable:
                raw.execute("SET synchronous_commit = off")
            raw.commit()
            return PostgreSQLConnection(raw, self._wait + SLACK)
        except BaseException:  # whatever it is goes on, and leaves no connection behind
            raw.close()
            raise

    def is_away(self, error: Exception) -> bool:
        """See `Writer.is_away`: all but what the data are to blame for."""
        return isinstance(error, psycopg.Error | OSError) and not isinstance(
            error, psycopg.DataError | psycopg.IntegrityError
        )

    def is_conflict(self, error: Exception) -> bool:
        """See `Writer.is_conflict`."""
        return is_conflict(error, "postgresql")


class PostgreSQLConnection:
    """A connection to a server, for one thread. `patience` is how long it waits for an answer, in seconds."""

    alone = False

    def __init__(self, raw: "psycopg.Connection[Any]", patience: float) -> None:
        raw.autocommit = True
        self._raw = raw
        self._patience = round(patience * 1000)
        self._pq = raw.pgconn
        self._pq.enter_pipeline_mode()
        self._poll = select.poll()
        self._queue: list[_Statement] = []
        self._prepared: dict[str, bytes] = {}
        self._texts: dict[tuple[object, ...], str] = {}

    def begin(self) -> None:
        """See `WriterConnection.begin`. It is sent with what comes next."""
        self._queue.append(("BEGIN", []))

    def commit(self) -> None:
        """See `WriterConnection.commit`."""
        self._queue.append(("COMMIT", []))
        self._run()

    def rollback(self) -> None:
        """See `WriterConnection.rollback`."""
        self._queue = []
        if self._pq.transaction_status != pq.TransactionStatus.IDLE:
            self._queue.append(("ROLLBACK", []))
            self._run()

    def close(self) -> None:
        """See `WriterConnection.close`."""
        self._raw.close()

    def version(self) -> int:
        """Others may write at any time."""
        raise NotImplementedError("only where a transaction locks the whole database")

    def seconds(self) -> float:
        """See `WriterConnection.seconds`."""
        seconds: float = self.rows("SELECT extract(epoch FROM clock_timestamp())::float8")[0][0]
        return seconds

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """See `WriterConnection.execute`."""
        self._add(sql, parameters)
        return self._run()[-1].command_tuples or 0

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """See `WriterConnection.execute_many`."""
        for row in rows:
            self._add(sql, row)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See `WriterConnection.rows`."""
        self._add(sql, parameters)
        return _read(self._run()[-1])

    def insert(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """See `WriterConnection.insert`."""
        self._queue.append((self._text(fields, _insert), [_packed(fields, rows)]))

    def supply(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """See `WriterConnection.supply`."""
        for row in rows:
            self._queue.append((self._text(fields, _supply), [_packed(fields, [row])]))
            self._run()

    def update(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """See `WriterConnection.update`."""
        self._queue.append((self._text(fields, _update), [_packed(fields, rows)]))

    def upsert(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """See `WriterConnection.upsert`."""
        self._queue.append((self._text(fields, _upsert), [_packed(fields, rows)]))

    def select(self, *queries: Query) -> list[list[tuple[Any, ...]]]:
        """See `WriterConnection.select`."""
        asked = [query for query in queries if query.among]
        if not asked:
            return [[] for _ in queries]
        for query in asked:
            place = (query.head, query.key, query.also, query.lock)
            text = self._texts.get(place)
            if text is None:
                order = f" ORDER BY {query.key} FOR UPDATE" if query.lock else ""
                text = self._texts[place] = _numbered(f"{query.head} WHERE {query.key} = ANY(?){query.also}{order}")
            self._queue.append((text, [_array(query.among), *map(_parameter, query.more)]))
        found = iter(self._run()[-len(asked) :])
        return [_read(next(found)) if query.among else [] for query in queries]

    def delete(self, fields: Fields, key: str, among: Sequence[str]) -> None:
        """See `WriterConnection.delete`."""
        if among:
            self._queue.append((f"DELETE FROM {fields.name} WHERE {key} = ANY($1)", [_array(among)]))

    def _add(self, sql: str, parameters: Sequence[Any]) -> None:
        text = self._texts.get((sql,))
        if text is None:
            text = self._texts[sql,] = _numbered(sql)
        self._queue.append((text, [_parameter(value) for value in parameters]))

    def _text(self, fields: Fields, write: Callable[[Fields], str]) -> str:
        text = self._texts.get((fields, write))
        if text is None:
            text = self._texts[fields, write] = write(fields)
        return text

    def _run(self) -> list[pq.abc.PGresult]:
        """Send what is queued, and return the result of each statement. Raises the first error of them."""
        connection, queue, prepared = self._pq, self._queue, self._prepared
        self._queue = []
        fresh: list[str | None] = []  # by result: the statement that it prepared
        for text, parameters in queue:
            name = prepared.get(text)
            if name is None:
                name = prepared[text] = f"w{len(prepared)}".encode()
                connection.send_prepare(name, text.encode())
                fresh.append(text)
            connection.send_query_prepared(name, parameters)
            fresh.append(None)
        connection.pipeline_sync()
        results: list[pq.abc.PGresult] = []
        failed: Exception | None = None
        for text_or_none, result in zip(fresh, self._results(), strict=True):
            if result.status not in OK:
                if text_or_none is not None:
                    del prepared[text_or_none]
                if failed is None:
                    failed = _error(result)
            elif text_or_none is None:
                results.append(result)
        if failed is not None:
            raise failed
        return results

    def _results(self) -> list[pq.abc.PGresult]:
        """Send, and take the results of all statements up to the end of the pipeline."""
        connection = self._pq
        socket = connection.socket
        self._poll.register(socket, select.POLLIN | select.POLLOUT)
        unsent = True
        results: list[pq.abc.PGresult] = []
        while True:
            if unsent:
                unsent = connection.flush() == 1
                self._poll.modify(socket, select.POLLIN | (select.POLLOUT if unsent else 0))
            ready = self._poll.poll(self._patience)
            if not ready:
                raise psycopg.OperationalError("the server does not answer in time")
            if ready[0][1] & ~select.POLLOUT:
                connection.consume_input()
            while not connection.is_busy():
                result = connection.get_result()
                if result is None:
                    continue
                if result.status == pq.ExecStatus.PIPELINE_SYNC:
                    return results
                results.append(result)


def _error(result: pq.abc.PGresult) -> psycopg.Error:
    """What a server says, without the detail that may repeat what was to be written."""
    code = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode()
    text = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"the connection was lost").decode(
        errors="replace"
    )
    try:
        return lookup(code)(text)
    except KeyError:
        return psycopg.OperationalError(text)


def _read(result: pq.abc.PGresult) -> list[tuple[Any, ...]]:
    columns = range(result.nfields)
    readers = [READERS.get(result.ftype(column), bytes.decode) for column in columns]
    get = result.get_value
    return [
        tuple(None if (text := get(row, column)) is None else readers[column](text) for column in columns)
        for row in range(result.ntuples)
    ]


def _numbered(sql: str) -> str:
    """A statement with "$1" in place of its first "?", and so on."""
    first, *others = sql.split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(others, 1))


def _parameter(value: object) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return b"\\x" + value.hex().encode()
    return str(value).encode()


def _array(texts: Sequence[str]) -> bytes:
    """https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO"""
    quoted = [text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    return ('{"' + '","'.join(quoted) + '"}').encode()


def _packed(fields: Fields, rows: Sequence[tuple[object, ...]]) -> bytes:
    names = fields.names
    packed = json.encode([dict(zip(names, row, strict=True)) for row in rows])
    if b"\\u0000" in packed:  # which PostgreSQL has no texts with
        clean = [[value.replace("\0", "�") if isinstance(value, str) else value for value in row] for row in rows]
        packed = json.encode([dict(zip(names, row, strict=True)) for row in clean])
    return packed


def _source(fields: Fields) -> str:
    """The rows of a JSON text, as a query."""
    values = ", ".join(_value(column) for column in fields.columns)
    types = ", ".join(f"{column.name} {_type(column)}" for column in fields.columns)
    return f"SELECT {values} FROM json_to_recordset($1) AS r({types})"


def _value(column: Column[Any]) -> str:
    kind = column.type
    if isinstance(kind, LargeBinary):
        return f"decode(r.{column.name}, 'base64') AS {column.name}"
    if isinstance(kind, String) and kind.length and not (column.primary_key or column.unique):
        return f"left(r.{column.name}, {kind.length}) AS {column.name}"
    return f"r.{column.name}"


def _type(column: Column[Any]) -> str:
    kind = column.type
    if isinstance(kind, SmallInteger):
        return "smallint"
    if isinstance(kind, BigInteger):
        return "bigint"
    if isinstance(kind, Integer):
        return "integer"
    if isinstance(kind, Double):
        return "double precision"
    return "boolean" if isinstance(kind, Boolean) else "text"


def _insert(fields: Fields) -> str:
    return f"INSERT INTO {fields.name} ({', '.join(fields.names)}) {_source(fields)}"


def _supply(fields: Fields) -> str:
    return f"{_insert(fields)} ON CONFLICT DO NOTHING"


def _update(fields: Fields) -> str:
    values = ", ".join(f"{name} = s.{name}" for name in fields.values)
    keys = " AND ".join(f"t.{name} = s.{name}" for name in fields.keys)
    return f"UPDATE {fields.name} AS t SET {values} FROM ({_source(fields)}) AS s WHERE {keys}"


def _upsert(fields: Fields) -> str:
    values = ", ".join(f"{name} = excluded.{name}" for name in fields.values)
    return f"{_insert(fields)} ON CONFLICT ({', '.join(fields.keys)}) DO UPDATE SET {values}"
