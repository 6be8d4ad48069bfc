"""SQLite for the writer thread: one connection, few statements per batch, each for many rows.

A statement releases the interpreter lock at every step, and each return to it may wait for the event loop's thread.
So rows go in by multi-row inserts and are read by `IN` lists, with some fixed lengths that stay prepared.

Write-ahead log (https://www.sqlite.org/wal.html) with `synchronous=FULL`: what is committed survives a power cut.
"""

import os
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

from asgi_gateway.backends.sql.writer import Fields, Query, WriterConnection

__all__ = ["SqliteConnection", "SqliteWriter", "is_away", "prepare_file"]

PRAGMAS = (
    "PRAGMA synchronous = FULL",
    "PRAGMA cache_size = -16000",  # KiB
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA temp_store = MEMORY",
)

LONGEST = 64
STEP = 8
"""Rows of an insert and keys of a list: at most the longest, and above one step whole steps, so that few are prepared.
"""

RETRY = 0.01
"""Seconds between attempts to set the journal mode, for which SQLite does not wait by itself."""


def prepare_file(path: Path, wait: float) -> None:
    """Create the database, readable by its owner alone, and set its journal mode, waiting up to `wait` seconds."""
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite gives its side files the same rights
    deadline = time.monotonic() + wait
    with closing(sqlite3.connect(path, timeout=wait, isolation_level=None)) as db:
        while not _set_journal_mode(db, final=time.monotonic() > deadline):
            time.sleep(RETRY)  # SQLite does not wait for this lock by itself, and tells nobody when it is free


def _set_journal_mode(db: sqlite3.Connection, *, final: bool) -> bool:
    """Try; False when another connection is in the way and this was not the `final` attempt."""
    try:
        db.execute("PRAGMA journal_mode = WAL")
    except sqlite3.OperationalError:
        if final:
            raise
        return False
    return True


def is_away(error: Exception) -> bool:
    """Whether the database as a whole failed (locked, full, gone, damaged), and not what was to be written."""
    return isinstance(error, sqlite3.OperationalError | OSError) or type(error) in (
        sqlite3.DatabaseError,
        sqlite3.InternalError,
    )


class SqliteWriter:
    """`Writer` on a SQLite file; see `SqliteConnection`."""

    def __init__(self, path: Path, wait: float) -> None:
        self._path = path
        self._wait = wait

    def connect(self) -> WriterConnection:
        """See `Writer.connect`."""
        return SqliteConnection(self._path, self._wait)

    def is_away(self, error: Exception) -> bool:
        """See `Writer.is_away`."""
        return is_away(error)

    def is_conflict(self, error: Exception) -> bool:
        """None: there is one writer at a time."""
        return False


class SqliteConnection:
    """A connection to an existing file, for one thread.

    `begin` waits up to `wait` seconds for other writers.
    Raises `sqlite3.Error`, or `OSError` when the file is no longer where it was.
    """

    alone = True

    def __init__(self, path: Path, wait: float) -> None:
        self._path = path
        self._texts: dict[tuple[object, ...], str] = {}
        self._file = self._place()
        uri = f"file:{quote(str(path.absolute()))}?mode=rw"
        self._db = sqlite3.connect(uri, uri=True, timeout=wait, isolation_level=None, cached_statements=256)
        try:
            for pragma in PRAGMAS:
                self._db.execute(pragma)
        except sqlite3.Error:
            self._db.close()
            raise

    def begin(self) -> None:
        """Begin a transaction that may write."""
        if self._place() != self._file:
            raise FileNotFoundError(f"{self._path.name} was replaced")
        self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make it durable."""
        self._db.execute("COMMIT")

    def rollback(self) -> None:
        """Undo what the transaction did, if one is open."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Disconnect; an open transaction is undone."""
        self._db.close()

    def version(self) -> int:
        """See `WriterConnection.version`."""
        number: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        return number

    def seconds(self) -> float:
        """See `WriterConnection.seconds`: this machine's clock."""
        return time.time()

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run a statement; return how many rows it changed."""
        return self._db.execute(sql, parameters).rowcount

    def execute_many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run a statement for each row."""
        self._db.executemany(sql, rows)

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query."""
        return self._db.execute(sql, parameters).fetchall()

    def insert(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """See `WriterConnection.insert`."""
        start = 0
        for length in _cut(len(rows)):
            values: list[object] = []
            for row in rows[start : start + length]:
                values += row
            start += length
            text = self._texts.get((fields, length))
            if text is None:
                row_text = f"({', '.join('?' * len(rows[0]))})"
                head = f"INSERT INTO {fields.name} ({', '.join(fields.names)})"
                text = self._texts[fields, length] = f"{head} VALUES {', '.join([row_text] * length)}"
            self._db.execute(text, values)

    def supply(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """See `WriterConnection.supply`."""
        raise NotImplementedError("nothing is missing where a transaction locks the whole database")

    def update(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """See `WriterConnection.update`."""
        text = self._texts.get((fields, "update"))
        if text is None:
            values = ", ".join(f"{name} = ?" for name in fields.values)
            keys = " AND ".join(f"{name} = ?" for name in fields.keys)
            text = self._texts[fields, "update"] = f"UPDATE {fields.name} SET {values} WHERE {keys}"
        self._db.executemany(text, rows)

    def upsert(self, fields: Fields, rows: Sequence[tuple[object, ...]]) -> None:
        """See `WriterConnection.upsert`."""
        text = self._texts.get((fields, "upsert"))
        if text is None:
            values = ", ".join(f"{name} = excluded.{name}" for name in fields.values)
            text = self._texts[fields, "upsert"] = (
                f"INSERT INTO {fields.name} ({', '.join(fields.names)}) VALUES ({', '.join('?' * len(fields.names))}) "
                f"ON CONFLICT ({', '.join(fields.keys)}) DO UPDATE SET {values}"
            )
        self._db.executemany(text, rows)

    def select(self, *queries: Query) -> list[list[tuple[Any, ...]]]:
        """See `WriterConnection.select`."""
        results = []
        for query in queries:
            found: list[tuple[Any, ...]] = []
            for listed in _lists(query.among):
                text = self._listed(query.head, query.key, len(listed), query.also)
                found += self._db.execute(text, [*listed, *query.more] if query.more else listed).fetchall()
            results.append(found)
        return results

    def delete(self, fields: Fields, key: str, among: Sequence[str]) -> None:
        """See `WriterConnection.delete`."""
        for listed in _lists(among):
            self._db.execute(self._listed(f"DELETE FROM {fields.name}", key, len(listed)), listed)

    def _listed(self, head: str, key: str, length: int, also: str = "") -> str:
        text = self._texts.get((head, key, also, length))
        if text is None:
            text = f"{head} WHERE {key} IN ({', '.join('?' * length)}){also}"
            self._texts[head, key, also, length] = text
        return text

    def _place(self) -> tuple[int, int]:
        status = os.stat(self._path)
        return status.st_dev, status.st_ino


def _cut(count: int) -> list[int]:
    """A number as a sum of few of the fixed lengths."""
    times, count = divmod(count, LONGEST)
    rest = count % STEP
    return [LONGEST] * times + [length for length in (count - rest, rest) if length]


def _lists(keys: Sequence[str]) -> list[Sequence[str]]:
    """Keys in lists of fixed lengths; the last key is repeated where one of them would be shorter."""
    if len(keys) > 1:
        keys = [*keys, *[keys[-1]] * (-len(keys) % STEP)]
    return [keys[start : start + LONGEST] for start in range(0, len(keys), LONGEST)]
