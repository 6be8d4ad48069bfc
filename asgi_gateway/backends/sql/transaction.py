"""One transaction of the writer thread, and the verbs that are applied in it."""

from asyncio import Future
from typing import Any, ClassVar

from asgi_gateway.backends.sql.books import Books
from asgi_gateway.backends.sql.leases import Lease
from asgi_gateway.backends.sql.window_pages import WindowPages
from asgi_gateway.backends.sql.writer import WriterConnection
from asgi_gateway.storage.protocols import Admission
from asgi_gateway.storage.records import Reservation, Settlement

__all__ = ["Barrier", "Transaction", "Verb"]


class Transaction:
    """What a batch works on. `now` is seconds since the epoch, `lease` this process's.

    `steady` says that the lease has been renewed without a gap for longer than another one may be silent.
    Verbs first announce what they will read, so that it is read at once for all of them.
    """

    __slots__ = (
        *("accounts", "books", "db", "extended", "fresh", "known", "lease", "now", "pages"),
        *("released", "slots", "steady", "viewed", "windows"),
    )

    def __init__(self, db: WriterConnection, books: Books, lease: Lease, now: float, *, steady: bool) -> None:
        self.db = db
        self.steady = steady
        self.lease = lease
        self.now = now
        self.books = books
        self.pages = WindowPages(db, now)
        self.fresh: list[str] = []
        self.known: list[Reservation] = []
        self.accounts: set[str] = set()
        self.extended: set[str] = set()
        self.viewed: set[str] = set()
        self.windows: dict[str, float] = {}
        self.slots: set[str] = set()
        self.released: list[Admission] = []

    def read(self) -> None:
        """Read what was announced."""
        self.books.read(self.fresh, self.known, self.accounts, self.viewed, self.extended)
        if self.windows or self.slots or self.released:
            self.pages.read(self.windows, self.slots, self.released)

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

    def lasting(self) -> tuple[Reservation, Settlement] | None:
        """What must be done even by another process, should this one end before the database is back."""
        return None

    def undo(self) -> "Verb | None":
        """A patient verb that undoes this one if it was done, though whoever asked was told that it was not."""
        return None


class Barrier(Verb):
    """Done when everything queued before it is durable."""

    __slots__ = ()

    patient = True

    def apply(self, work: Transaction) -> None:
        """Nothing to do but to have come this far."""
