"""What the writer thread does with a batch: one transaction, decided and written in the order of the verbs."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import uniform
from typing import Literal

from asgi_gateway.backends.sql.books import Books, Corrected
from asgi_gateway.backends.sql.leases import Lease, Tenure, renew, renew_slots
from asgi_gateway.backends.sql.periods import OldPeriods
from asgi_gateway.backends.sql.transaction import Transaction, Verb
from asgi_gateway.backends.sql.window_pages import sweep
from asgi_gateway.backends.sql.writer import MissingRows, Writer, WriterConnection
from asgi_gateway.errors import GatewayError

__all__ = ["Journal", "Writes"]

SWEEP_EVERY = 60.0
"""Seconds between removals of what is over: windows, slots, the accounts of old periods."""

ATTEMPTS = 6
"""How often a batch is tried that the database undoes for the sake of another one."""

PAUSE = 0.005
"""Seconds before the second attempt, at most; twice as many before each further one."""

MAKINGS = 10
"""How often a transaction begins again because rows must be made first that it locks."""

Writes = Literal["all", "ledger", "windows"]


class Journal:
    """The writer's connection, made anew after a failure. Used by one thread.

    `wall` gives seconds since the epoch; None: the database's clock, which on a server all processes share.
    `corrected` is told of charges that took the place of others.
    `conflicts` counts transactions that the database undid for the sake of others.
    `unsure` says of the last failure that the batch may have become durable all the same.
    Of the house it keeps what it `writes`: the ledger's part is the lease and old periods, the windows' what is over.
    """

    def __init__(
        self,
        writer: Writer,
        lease: Lease,
        *,
        wall: Callable[[], float] | None = None,
        corrected: Corrected,
        writes: Writes = "all",
    ) -> None:
        self._writer = writer
        self._lease = lease
        self._tenure = Tenure(lease)
        self._wall = wall
        self._ahead = 0.0  # the database's clock, of the monotonic one here
        self._corrected = corrected
        self._ledger, self._windows = writes != "windows", writes != "ledger"
        self._db: WriterConnection | None = None
        self._books: Books | None = None
        self._periods = OldPeriods()
        self._swept = 0.0
        self._committing = False
        self.conflicts = 0
        self.unsure = False

    def perform(self, verbs: Sequence[Verb], *, careful: bool = False) -> tuple[int, Exception | None]:
        """Apply verbs. Returns how many are done, and why the rest is not: the database is away.

        A verb that cannot be written does not harm the others: each is then tried alone, and that one fails.
        """
        try:
            self._attempt(verbs, careful=careful)
            return len(verbs), None
        except Exception as error:  # noqa: BLE001 - the thread must live on; whatever it is reaches the callers
            optimistic = not careful and self._db is not None and not self._db.alone
            self._undo()
            for verb in verbs:
                verb.result = None
            if self._writer.is_away(error):
                self.unsure = self._committing and optimistic
                self.close()
                return 0, error
            if len(verbs) == 1 and not optimistic:
                verbs[0].error = error
                return 1, None
        for done, verb in enumerate(verbs):
            _, failure = self.perform([verb], careful=True)
            if failure is not None:
                return done, failure
        return len(verbs), None

    def close(self) -> None:
        """Disconnect."""
        db, self._db, self._books = self._db, None, None
        if db is not None:
            with suppress(Exception):  # whatever the driver says: it is given up anyway
                db.close()

    def _attempt(self, verbs: Sequence[Verb], *, careful: bool) -> None:
        """Apply verbs, again where that is all it takes."""
        for attempt in range(ATTEMPTS - 1):
            try:
                self._transact(verbs, careful=careful)
                return
            except Exception as error:
                if not self._writer.is_conflict(error):
                    raise
                self.conflicts += 1
                self._undo()
                time.sleep(uniform(0, PAUSE * 2**attempt))  # so that the two do not meet again
        self._transact(verbs, careful=careful)

    def _transact(self, verbs: Sequence[Verb], *, careful: bool) -> None:
        self._committing = False
        db, books = self._connected()
        if db.alone:
            db.begin()
            now = self._now()
            renewed, swept = self._keep_house(db, now)
        else:
            # In transactions of their own: nobody holds these rows and waits for others.
            now = self._now()
            renewed, swept = self._keep_house(db, now)
            self._kept_house(now, renewed=renewed, swept=swept)
            now = self._now()
            db.begin()
        work = self._read(db, books, verbs, now, careful=careful)
        for verb in verbs:
            verb.error = None
            try:
                verb.result = verb.apply(work)
            except (GatewayError, ValueError, KeyError) as error:
                verb.error = error
        work.write()
        self._committing = True
        db.commit()
        books.committed()
        if db.alone:
            self._kept_house(now, renewed=renewed, swept=swept)

    def _read(
        self, db: WriterConnection, books: Books, verbs: Sequence[Verb], now: float, *, careful: bool
    ) -> Transaction:
        """Read what the verbs need, in the transaction that has begun, or in the next one that finds all of it."""
        for _ in range(MAKINGS):
            books.begin(now, careful=careful)
            work = Transaction(db, books, self._lease, now, steady=self._tenure.is_steady(now))
            for verb in verbs:
                verb.announce(work)
            try:
                work.read()
            except MissingRows as missing:
                db.rollback()
                db.supply(missing.fields, missing.rows)
                db.begin()
            else:
                return work
        raise RuntimeError("rows that were made are missing again and again")

    def _connected(self) -> tuple[WriterConnection, Books]:
        if self._db is None or self._books is None:
            self._db = self._writer.connect()
            self._books = Books(self._db, self._lease.id, self._corrected)
            self._set_clock(self._db)
        return self._db, self._books

    def _set_clock(self, db: WriterConnection) -> None:
        if self._wall is None:
            before = time.monotonic()
            seconds = db.seconds()
            self._ahead = seconds - (before + time.monotonic()) / 2

    def _now(self) -> float:
        return time.monotonic() + self._ahead if self._wall is None else self._wall()

    def _keep_house(self, db: WriterConnection, now: float) -> tuple[bool, bool]:
        """Renew the lease before anything is reserved under one that is old, and remove what is over."""
        renewed = self._tenure.is_due(now)
        if renewed:
            if not db.alone:
                self._set_clock(db)
            if self._ledger:
                renew(db, self._lease, now)
            if self._windows:
                renew_slots(db, self._lease, now)
        swept = abs(now - self._swept) >= SWEEP_EVERY
        if swept and self._windows:
            sweep(db, now)
        if swept and self._ledger and self._periods.remove(db, now) and self._books is not None:
            self._books.forget()
        return renewed, swept

    def _kept_house(self, now: float, *, renewed: bool, swept: bool) -> None:
        if renewed:
            self._tenure.renewed(now)
        if swept:
            self._swept = now

    def _undo(self) -> None:
        if self._db is not None and self._books is not None:
            self._books.forget()
            try:
                self._db.rollback()
            except Exception:  # noqa: BLE001 - whatever the driver says: a new connection will do
                self.close()
