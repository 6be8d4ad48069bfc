"""The accounts, reservations and charges that transactions touch.

Verbs are decided in Python, in their order; the differences are written at the end of a transaction.

SQLite is locked as a whole meanwhile, so what was read stays true. It stays true after it, too, until another
connection writes, which SQLite tells: where one process serves, an exchange reads nothing.

On a server everything that is decided on is locked first, always in this order: accounts by name, open reservations by
key, windows by name (see `window_pages`); nothing is taken for true that was read in an earlier transaction. But for
this: what the own lease has reserved nobody else closes, unless he takes this process for dead; and then there is a
charge with that key, and writing a second one fails. Likewise a key that is there twice. Whatever failed is tried again
`careful`ly, which reads all of it.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from asgi_gateway.backends.accounts import AccountState, close, correct, set_aside
from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.rows import account_name, charge_of, charge_row, reservation_of, reservation_row
from asgi_gateway.backends.sql.writer import Fields, MissingRows, Query, WriterConnection
from asgi_gateway.storage.records import Charge, Outcome, Reservation, Settlement

__all__ = ["Books", "Corrected"]

KEPT_ACCOUNTS = 10_000
"""Accounts that are remembered from one transaction to the next."""

ACCOUNTS = Fields.of(schema.accounts, "granted", "spent", "reserved", "unlimited", "declared", "account")
RESERVATIONS = Fields.of(schema.reservations)
AMOUNTS = Fields.of(schema.reservations, "amount", "ledger_key")
CHARGES = Fields(schema.charges, tuple(schema.charge_columns))
NUMBERED_CHARGES = Fields(schema.charges, (*schema.charge_columns, schema.charges.c.number))

SELECT_ACCOUNTS = "SELECT account, granted, spent, reserved, unlimited, declared FROM gateway_accounts"
SELECT_OPEN = "SELECT ledger_key, amount, accounts FROM gateway_reservations"
SELECT_OPEN_ROWS = f"SELECT {', '.join(RESERVATIONS.names)} FROM gateway_reservations"
SELECT_SETTLED = "SELECT ledger_key FROM gateway_charges"
SELECT_GREATEST = (
    "SELECT max(coalesce((SELECT max(ledger_key) FROM gateway_charges), ''), "
    "coalesce((SELECT max(ledger_key) FROM gateway_reservations), ''))"
)
SELECT_CHARGE = f"SELECT number, {', '.join(CHARGES.names)} FROM gateway_charges"

Corrected = Callable[[WriterConnection, int, Charge, Charge], None]
"""Told, in the transaction, of a charge that took the place of another one: its number, what was, what is."""

_Open = tuple[int, Sequence[str], Sequence[AccountState]]
"""An open reservation: its amount, and the names and sums of its accounts."""


class Books:
    """The ledger as one connection knows it, from transaction to transaction. `lease` is this process's."""

    def __init__(self, db: WriterConnection, lease: str, corrected: Corrected) -> None:
        self._db = db
        self._lease = lease
        self._corrected = corrected
        self._now = 0.0
        self._careful = False
        self._settled: dict[str, Charge | None] = {}  # None: not read yet
        self._numbers: dict[str, int] = {}  # of charges that were read
        self._touched: set[str] = set()  # accounts that may have changed
        self._added: dict[str, Reservation] = {}
        self._extended: dict[str, int] = {}
        self._closed: list[str] = []
        self._charges: list[tuple[object, ...]] = []
        self._replaced: list[tuple[int, Charge, Charge]] = []
        # What outlives a transaction, unless others wrote.
        self._version = -1
        self._states: dict[str, AccountState] = {}
        self._stored: set[str] = set()  # accounts that have a row
        self._open: dict[str, _Open] = {}
        self._greatest: str | None = None  # no key in the tables is greater but those in `_open`; None: not read yet
        # On a server: what this lease holds, and what the transaction changes of that. None: closed.
        self._mine: dict[str, tuple[int, Sequence[str]]] = {}
        self._changes: dict[str, tuple[int, Sequence[str]] | None] = {}

    def begin(self, now: float, *, careful: bool = False) -> None:
        """A transaction has begun. `now` is the time of what is settled in it."""
        self._now = now
        self._careful = careful
        self._settled.clear()
        if not self._db.alone:
            self.forget()
            return
        version = self._db.version()
        if version != self._version or len(self._states) > KEPT_ACCOUNTS:
            self.forget()
            self._version = version

    def committed(self) -> None:
        """The transaction is durable."""
        for key, held in self._changes.items():
            if held is None:
                self._mine.pop(key, None)
            else:
                self._mine[key] = held
        self._changes.clear()

    def forget(self) -> None:
        """Nothing that was read or decided is true any more: the transaction was undone, or others wrote."""
        self._version = -1
        self._greatest = None
        self._closed = []
        self._charges = []
        self._replaced = []
        for kept in (self._settled, self._numbers, self._touched, self._added, self._extended, self._changes):
            kept.clear()
        for outlived in (self._states, self._stored, self._open):
            outlived.clear()

    def read(
        self,
        fresh: Sequence[str],
        known: Sequence[Reservation],
        accounts: set[str],
        viewed: Iterable[str] = (),
        extended: Collection[str] = (),
    ) -> None:
        """Read what verbs will ask for: keys to be reserved, what is reserved, accounts, and accounts only to look at.

        `extended` are keys of those reserved ones that are to be extended.
        Raises `MissingRows` where accounts must be made first.
        """
        if not self._db.alone:
            self._lock(fresh, known, accounts, viewed, extended)
            return
        if fresh:
            if self._greatest is None:
                self._greatest = self._db.rows(SELECT_GREATEST)[0][0]
            # Keys begin with the time: hardly ever is a new one not the greatest.
            greatest = self._greatest
            fresh = [key for key in fresh if key <= greatest and key not in self._open]
            if fresh:
                self._note_settled(self._db.select(Query(SELECT_SETTLED, "ledger_key", fresh))[0])
        unread = [*fresh, *[reservation.key for reservation in known if reservation.key not in self._open]]
        rows = self._db.select(Query(SELECT_OPEN, "ledger_key", unread))[0] if unread else ()
        opened = [(key, amount, names.split()) for key, amount, names in rows]
        self._read_accounts({*accounts, *viewed, *[name for _, _, names in opened for name in names]})
        for key, amount, names in opened:
            self._open[key] = (amount, names, self._of(names))

    def reserve(
        self, reservation: Reservation, accounts: Sequence[str], budgets: Mapping[str, int] | None = None
    ) -> None:
        """See `Ledger.reserve`; the key was announced as fresh. `accounts` are names, as in `budgets`."""
        key = reservation.key
        if key in self._open or key in self._settled:
            raise ValueError(f"ledger key {key!r} is already known")
        states = self._of(accounts)
        if budgets:
            for name, limit in budgets.items():
                self._states[name].limit(limit)
        self._touched.update(accounts)
        set_aside(states, reservation.amount)
        self._open[key] = (reservation.amount, accounts, states)
        self._added[key] = reservation
        self._changes[key] = (reservation.amount, accounts)

    def extend(self, reservation: Reservation, amount: int) -> Reservation:
        """See `Ledger.extend`; the key was announced as known."""
        key = reservation.key
        before, accounts, states = self._open[key]
        set_aside(states, amount)
        self._touched.update(accounts)
        self._open[key] = (before + amount, accounts, states)
        extended = replace(reservation, amount=before + amount)
        if key in self._added:
            self._added[key] = extended
        else:
            self._extended[key] = before + amount
        if key in self._changes or key in self._mine:
            self._changes[key] = (before + amount, accounts)
        return extended

    def settle(self, reservation: Reservation, settlement: Settlement) -> Charge:
        """See `Ledger.settle`; the key was announced as known."""
        key = reservation.key
        stored = self._open.pop(key, None)
        if stored is None:
            return self._settle_again(key, settlement)
        amount, accounts, states = stored
        charged = close(states, amount, settlement.charge)
        self._touched.update(accounts)
        charge = Charge(
            reservation=reservation if reservation.amount == amount else replace(reservation, amount=amount),
            settlement=settlement,
            charged=charged,
            shortfall=settlement.charge - charged,
            time=self._now,
        )
        self._settled[key] = charge
        self._charges.append(charge_row(charge, " ".join(accounts)))
        self._changes[key] = None
        if self._added.pop(key, None) is None:
            self._extended.pop(key, None)
            self._closed.append(key)
        return charge

    def is_open(self, key: str) -> bool:
        """Whether a key that was announced as known is reserved."""
        return key in self._open

    def account(self, name: str) -> AccountState:
        """An account's sums, to read or to change; it was announced."""
        self._touched.add(name)
        return self._states[name]

    def count_open(self) -> int:
        """How many reservations are open, of all processes."""
        self.write()
        count: int = self._db.rows("SELECT count(*) FROM gateway_reservations")[0][0]
        return count

    def held_by(self, leases: Sequence[str]) -> list[Reservation]:
        """The open reservations of some leases, before anything was decided; they are still to be announced."""
        rows = self._db.select(Query(SELECT_OPEN_ROWS, "lease", leases))[0] if leases else ()
        return [reservation_of(row) for row in rows]

    def write(self) -> None:
        """Write what differs from the tables."""
        if self._added:
            self._db.insert(
                RESERVATIONS,
                [
                    reservation_row(reservation, " ".join(self._open[key][1]), self._lease)
                    for key, reservation in self._added.items()
                ],
            )
            self._added.clear()
        if self._extended:
            self._db.update(AMOUNTS, [(amount, key) for key, amount in self._extended.items()])
            self._extended.clear()
        if self._closed:
            self._db.delete(RESERVATIONS, "ledger_key", self._closed)
            self._closed = []
        if self._charges:
            self._db.insert(CHARGES, self._charges)
            self._charges = []
            if self._greatest is not None:
                self._greatest = max(self._greatest, *self._settled)
        self._write_accounts()
        if self._replaced:
            for number, before, after in self._replaced:
                self._corrected(self._db, number, before, after)
            self._replaced = []

    def _write_accounts(self) -> None:
        updated: list[tuple[object, ...]] = []
        added: list[tuple[object, ...]] = []
        for name in self._touched:
            state = self._states[name]
            if state.changed:
                state.changed = False
                row = (state.granted, state.spent, state.reserved, state.unlimited, state.declared, name)
                (updated if name in self._stored else added).append(row)
                self._stored.add(name)
        self._touched.clear()
        if updated:
            self._db.update(ACCOUNTS, updated)
        if added:
            self._db.insert(ACCOUNTS, added)

    def _lock(
        self,
        fresh: Sequence[str],
        known: Sequence[Reservation],
        accounts: set[str],
        viewed: Iterable[str],
        extended: Collection[str],
    ) -> None:
        """Read and lock, in the order that all processes keep."""
        mine = {} if self._careful else self._mine
        unread = list(fresh) if self._careful else []
        held: list[tuple[str, int, Sequence[str]]] = []
        names = set(accounts)
        for reservation in known:
            kept = mine.get(reservation.key)
            if kept is None or reservation.key in extended:  # which writes nothing that would fail if it were closed
                unread.append(reservation.key)
                names.update(map(account_name, reservation.accounts))
            else:
                held.append((reservation.key, *kept))
                names.update(kept[1])
        locked, settled, opened, looked_at = self._db.select(
            Query(SELECT_ACCOUNTS, "account", sorted(names), lock=True),
            Query(SELECT_SETTLED, "ledger_key", fresh),
            Query(SELECT_OPEN, "ledger_key", unread, lock=True),
            Query(SELECT_ACCOUNTS, "account", [name for name in viewed if name not in names]),
        )
        self._note_accounts(locked)
        missing = sorted(names - self._stored)
        if missing:
            raise MissingRows(ACCOUNTS, [(0, 0, 0, False, None, name) for name in missing])
        self._note_accounts(looked_at)
        for name in viewed:
            if name not in self._states:
                self._states[name] = _state_of(name)
        self._note_settled(settled)
        held += [(key, amount, text.split()) for key, amount, text in opened]
        for key, amount, its in held:
            self._read_accounts(its)  # nearly always they are there
            self._open[key] = (amount, its, self._of(its))

    def _read_accounts(self, wanted: Iterable[str]) -> None:
        names = [name for name in wanted if name not in self._states]
        if not names:
            return
        self._note_accounts(self._db.select(Query(SELECT_ACCOUNTS, "account", names, lock=True))[0])
        for name in names:
            if name not in self._states:
                self._states[name] = _state_of(name)

    def _note_accounts(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for name, granted, spent, reserved, unlimited, declared in rows:
            self._states[name] = _state_of(name, granted, spent, reserved, bool(unlimited), declared)
            self._stored.add(name)

    def _note_settled(self, rows: Iterable[tuple[Any, ...]]) -> None:
        for (key,) in rows:
            self._settled[key] = None

    def _of(self, names: Sequence[str]) -> list[AccountState]:
        return [self._states[name] for name in names]

    def _settle_again(self, key: str, settlement: Settlement) -> Charge:
        """The stored charge; or, where that came of taking a living process for dead, what it says itself."""
        self._changes[key] = None
        charge = self._settled.get(key)
        if charge is None:
            charge = self._read_charge(key)
        if charge.settlement.outcome is not Outcome.LOST or settlement.outcome is Outcome.LOST:
            return charge
        if key not in self._numbers:  # it was lost in this very transaction
            self.write()
            self._read_charge(key)
        names = [account_name(account) for account in charge.reservation.accounts]
        self._read_accounts(names)
        charged = correct(self._of(names), charge.charged, settlement.charge)
        self._touched.update(names)
        corrected = replace(charge, settlement=settlement, charged=charged, shortfall=settlement.charge - charged)
        number = self._numbers[key]
        self._db.update(NUMBERED_CHARGES, [(*charge_row(corrected, " ".join(names)), number)])
        self._replaced.append((number, charge, corrected))
        self._settled[key] = corrected
        return corrected

    def _read_charge(self, key: str) -> Charge:
        rows = self._db.select(Query(SELECT_CHARGE, "ledger_key", [key], lock=True))[0]
        if not rows:
            raise KeyError(key)
        number, *row = rows[0]
        charge = self._settled[key] = charge_of(row)
        self._numbers[key] = number
        return charge


def _state_of(name: str, *sums: Any) -> AccountState:
    kind, _, rest = name.partition(":")
    return AccountState(kind, *sums, period=rest.partition("/")[2])
