"""One transaction of the writer thread, and the verbs that are applied in it."""

from asyncio import Future
from typing import Any, ClassVar

from asgi_gateway.backends.sql.books import Books
from asgi_gateway.backends.sql.leases import Lease
from asgi_gateway.backends.sql.sqlite import SqliteConnection
from asgi_gateway.backends.sql.window_pages import WindowPages

__all__ = ["Barrier", "Transaction", "Verb"]


class Transaction:
    """What a batch works on. `now` is seconds since the epoch, `lease` this process's.

    Verbs first announce what they will read, so that it is read at once for all of them.
    """

    __slots__ = ("accounts", "books", "db", "fresh", "known", "lease", "now", "pages", "windows")

    def __init__(self, db: SqliteConnection, books: Books, lease: Lease, now: float) -> None:
        self.db = db
        self.lease = lease
        self.now = now
        self.books = books
        self.pages = WindowPages(db, now)
        self.fresh: list[str] = []
        self.known: list[str] = []
        self.accounts: set[str] = set()
        self.windows: dict[str, float] = {}

    def read(self) -> None:
        """Read what was announced."""
        self.books.read(self.fresh, self.known, self.accounts)
        self.pages.read(self.windows)

    def write(self) -> None:
        """Write what was changed."""
        self.books.write()
        self.pages.write()


class Verb:
    """Something to be done in a transaction, with the future of its result, if anybody wants it.

    A `patient` verb is kept and tried again while the database is away; others fail.
    """

    __slots__ = ("error", "future", "result")

    patient: ClassVar[bool] = False

    result: Any
    error: Exception | None

    def __init__(self, future: "Future[Any] | None" = None) -> None:
        self.future = future

    def announce(self, work: Transaction) -> None:
        """Tell what `apply` will read."""

    def apply(self, work: Transaction) -> Any:
        """Do it and return the result. `GatewayError`, `ValueError` and `KeyError` are told too, and undo nothing."""
        raise NotImplementedError  # each verb says what it does


class Barrier(Verb):
    """Done when everything queued before it is durable."""

    __slots__ = ()

    patient = True

    def apply(self, work: Transaction) -> None:
        """Nothing to do but to have come this far."""
