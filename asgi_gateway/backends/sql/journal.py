"""What the writer thread does with a batch: one transaction, decided and written in the order of the verbs."""

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from asgi_gateway.backends.sql.books import Books
from asgi_gateway.backends.sql.leases import Lease, renew
from asgi_gateway.backends.sql.sqlite import SqliteConnection, is_away
from asgi_gateway.backends.sql.transaction import Transaction, Verb
from asgi_gateway.backends.sql.window_pages import sweep
from asgi_gateway.errors import GatewayError

__all__ = ["Journal"]

SWEEP_EVERY = 60.0
"""Seconds between removals of what windows and slots left behind."""


class Journal:
    """The writer's connection, made anew after a failure. Used by one thread.

    `wait` is how long a busy database is waited for, in seconds; `wall` gives seconds since the epoch.
    """

    def __init__(self, path: Path, lease: Lease, *, wait: float, wall: Callable[[], float]) -> None:
        self._path = path
        self._lease = lease
        self._wait = wait
        self._wall = wall
        self._db: SqliteConnection | None = None
        self._books: Books | None = None
        self._renewed = 0.0
        self._swept = 0.0

    def perform(self, verbs: Sequence[Verb]) -> tuple[int, Exception | None]:
        """Apply verbs. Returns how many are done, and why the rest is not: the database is away.

        A verb that cannot be written does not harm the others: each is then tried alone, and that one fails.
        """
        try:
            self._transact(verbs)
            return len(verbs), None
        except Exception as error:  # noqa: BLE001 - the thread must live on; whatever it is reaches the callers
            self._rollback()
            for verb in verbs:
                verb.result = None
            if is_away(error):
                self.close()
                return 0, error
            if len(verbs) == 1:
                verbs[0].error = error
                return 1, None
        for done, verb in enumerate(verbs):
            _, failure = self.perform([verb])
            if failure is not None:
                return done, failure
        return len(verbs), None

    def close(self) -> None:
        """Disconnect."""
        db, self._db, self._books = self._db, None, None
        if db is not None:
            with suppress(sqlite3.Error):  # it is given up anyway
                db.close()

    def _transact(self, verbs: Sequence[Verb]) -> None:
        db, books = self._connected()
        db.begin()
        now = self._wall()
        books.begin(now)
        renewed, swept = self._keep_house(db, now)
        work = Transaction(db, books, self._lease, now)
        for verb in verbs:
            verb.announce(work)
        work.read()
        for verb in verbs:
            verb.error = None
            try:
                verb.result = verb.apply(work)
            except (GatewayError, ValueError, KeyError) as error:
                verb.error = error
        work.write()
        db.commit()
        self._renewed, self._swept = renewed, swept

    def _connected(self) -> tuple[SqliteConnection, Books]:
        if self._db is None or self._books is None:
            self._db = SqliteConnection(self._path, self._wait)
            self._books = Books(self._db, self._lease.id)
        return self._db, self._books

    def _keep_house(self, db: SqliteConnection, now: float) -> tuple[float, float]:
        """Renew the lease before anything is reserved under one that is old, and remove what is over."""
        renewed, swept = self._renewed, self._swept
        if abs(now - renewed) >= self._lease.seconds / 3:
            renew(db, self._lease, now)
            renewed = now
        if abs(now - swept) >= SWEEP_EVERY:
            sweep(db, now)
            swept = now
        return renewed, swept

    def _rollback(self) -> None:
        if self._db is not None and self._books is not None:
            self._books.forget()
            try:
                self._db.rollback()
            except sqlite3.Error:
                self.close()
