"""The accounts, reservations and charges that transactions touch.

Verbs are decided in Python, in their order; the differences are written at the end of a transaction. The database is
locked for writing meanwhile, so what was read stays true. It stays true after it, too, until another connection
writes, which SQLite tells (`PRAGMA data_version`): where one process serves, an exchange reads nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from asgi_gateway.backends.accounts import AccountState, close, set_aside
from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.rows import charge_of, charge_row, reservation_of, reservation_row
from asgi_gateway.backends.sql.sqlite import SqliteConnection
from asgi_gateway.storage.records import Charge, Reservation, Settlement

__all__ = ["Books"]

KEPT_ACCOUNTS = 10_000
"""Accounts that are remembered from one transaction to the next."""

RESERVATION_COLUMNS = ", ".join(schema.reservations.columns.keys())
CHARGE_COLUMNS = ", ".join(column.name for column in schema.charge_columns)

SELECT_VERSION = "PRAGMA data_version"
SELECT_ACCOUNTS = "SELECT account, granted, spent, reserved, unlimited, declared FROM gateway_accounts WHERE account"
INSERT_ACCOUNTS = "INSERT INTO gateway_accounts (granted, spent, reserved, unlimited, declared, account)"
UPDATE_ACCOUNT = (
    "UPDATE gateway_accounts SET granted = ?, spent = ?, reserved = ?, unlimited = ?, declared = ? WHERE account = ?"
)
SELECT_OPEN = "SELECT ledger_key, amount, accounts FROM gateway_reservations WHERE ledger_key"
SELECT_OPEN_ROWS = f"SELECT {RESERVATION_COLUMNS} FROM gateway_reservations WHERE lease"
INSERT_RESERVATIONS = f"INSERT INTO gateway_reservations ({RESERVATION_COLUMNS})"
UPDATE_RESERVATION = "UPDATE gateway_reservations SET amount = ? WHERE ledger_key = ?"
DELETE_RESERVATIONS = "DELETE FROM gateway_reservations WHERE ledger_key"
SELECT_SETTLED = "SELECT ledger_key FROM gateway_charges WHERE ledger_key"
SELECT_GREATEST = (
    "SELECT max(coalesce((SELECT max(ledger_key) FROM gateway_charges), ''), "
    "coalesce((SELECT max(ledger_key) FROM gateway_reservations), ''))"
)
SELECT_CHARGE = f"SELECT {CHARGE_COLUMNS} FROM gateway_charges WHERE ledger_key"
INSERT_CHARGES = f"INSERT INTO gateway_charges ({CHARGE_COLUMNS})"


_Open = tuple[int, Sequence[str], Sequence[AccountState]]
"""An open reservation: its amount, and the names and sums of its accounts."""


class Books:
    """The ledger as one connection knows it, from transaction to transaction. `lease` is this process's."""

    def __init__(self, db: SqliteConnection, lease: str) -> None:
        self._db = db
        self._lease = lease
        self._now = 0.0
        self._settled: dict[str, Charge | None] = {}  # None: not read yet
        self._touched: set[str] = set()  # accounts that may have changed
        self._added: dict[str, Reservation] = {}
        self._extended: dict[str, int] = {}
        self._closed: list[str] = []
        self._charges: list[tuple[object, ...]] = []
        # What outlives a transaction, unless others wrote.
        self._version = -1
        self._states: dict[str, AccountState] = {}
        self._stored: set[str] = set()  # accounts that have a row
        self._open: dict[str, _Open] = {}
        self._greatest: str | None = None  # no key in the tables is greater but those in `_open`; None: not read yet

    def begin(self, now: float) -> None:
        """A transaction has begun. `now` is the time of what is settled in it."""
        self._now = now
        self._settled.clear()
        version: int = self._db.rows(SELECT_VERSION)[0][0]
        if version != self._version or len(self._states) > KEPT_ACCOUNTS:
            self.forget()
            self._version = version

    def forget(self) -> None:
        """Nothing that was read or decided is true any more: the transaction was undone, or others wrote."""
        self._version = -1
        self._greatest = None
        self._closed = []
        self._charges = []
        for kept in (self._settled, self._touched, self._added, self._extended, self._states, self._stored, self._open):
            kept.clear()

    def read(self, fresh: Sequence[str], known: Sequence[str], accounts: Iterable[str]) -> None:
        """Read what verbs will ask for: keys to be reserved, keys that are reserved, and accounts."""
        if fresh:
            if self._greatest is None:
                self._greatest = self._db.rows(SELECT_GREATEST)[0][0]
            # Keys begin with the time: hardly ever is a new one not the greatest.
            greatest = self._greatest
            fresh = [key for key in fresh if key <= greatest and key not in self._open]
            for (key,) in self._db.select(SELECT_SETTLED, fresh):
                self._settled[key] = None
        unread = [*fresh, *[key for key in known if key not in self._open]]
        rows = [(key, amount, names.split()) for key, amount, names in self._db.select(SELECT_OPEN, unread)]
        self._read_accounts({*accounts, *[name for _, _, names in rows for name in names]})
        for key, amount, names in rows:
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
        return extended

    def settle(self, reservation: Reservation, settlement: Settlement) -> Charge:
        """See `Ledger.settle`; the key was announced as known."""
        key = reservation.key
        stored = self._open.pop(key, None)
        if stored is None:
            return self._settled_charge(key)
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
        if self._added.pop(key, None) is None:
            self._extended.pop(key, None)
            self._closed.append(key)
        return charge

    def account(self, name: str) -> AccountState:
        """An account's sums, to read or to change; it was announced."""
        self._touched.add(name)
        return self._states[name]

    def count_open(self) -> int:
        """How many reservations are open, of all processes."""
        self.write()
        count: int = self._db.rows("SELECT count(*) FROM gateway_reservations")[0][0]
        return count

    def open_of(self, leases: Sequence[str]) -> list[Reservation]:
        """The open reservations of some leases, ready to be settled."""
        self.write()
        reservations = [reservation_of(row) for row in self._db.select(SELECT_OPEN_ROWS, leases)]
        self.read((), [reservation.key for reservation in reservations], ())
        return reservations

    def write(self) -> None:
        """Write what differs from the tables."""
        if self._added:
            self._db.insert(
                INSERT_RESERVATIONS,
                [
                    reservation_row(reservation, " ".join(self._open[key][1]), self._lease)
                    for key, reservation in self._added.items()
                ],
            )
            self._added.clear()
        if self._extended:
            self._db.execute_many(UPDATE_RESERVATION, [(amount, key) for key, amount in self._extended.items()])
            self._extended.clear()
        if self._closed:
            self._db.delete(DELETE_RESERVATIONS, self._closed)
            self._closed = []
        if self._charges:
            self._db.insert(INSERT_CHARGES, self._charges)
            self._charges = []
            if self._greatest is not None:
                self._greatest = max(self._greatest, *self._settled)
        self._write_accounts()

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
            self._db.execute_many(UPDATE_ACCOUNT, updated)
        if added:
            self._db.insert(INSERT_ACCOUNTS, added)

    def _read_accounts(self, wanted: Iterable[str]) -> None:
        names = [name for name in wanted if name not in self._states]
        for name, granted, spent, reserved, unlimited, declared in self._db.select(SELECT_ACCOUNTS, names):
            self._states[name] = _state_of(name, granted, spent, reserved, bool(unlimited), declared)
            self._stored.add(name)
        for name in names:
            if name not in self._states:
                self._states[name] = _state_of(name)

    def _of(self, names: Sequence[str]) -> list[AccountState]:
        return [self._states[name] for name in names]

    def _settled_charge(self, key: str) -> Charge:
        charge = self._settled.get(key)
        if charge is None:
            rows: list[tuple[Any, ...]] = self._db.select(SELECT_CHARGE, [key])
            if not rows:
                raise KeyError(key)
            charge = self._settled[key] = charge_of(rows[0])
        return charge


def _state_of(name: str, *sums: Any) -> AccountState:
    kind, _, rest = name.partition(":")
    return AccountState(kind, *sums, period=rest.partition("/")[2])
