"""The accounts, reservations and charges that one transaction touches.

They are read once, for all verbs of a batch; verbs are decided in Python, in their order; the differences are written
at the end. The database is locked for writing meanwhile, so what was read stays true.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from asgi_gateway.backends.accounts import AccountState, close, set_aside
from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.rows import charge_of, charge_row, reservation_of, reservation_row
from asgi_gateway.backends.sql.sqlite import SqliteConnection
from asgi_gateway.storage.records import Charge, Reservation, Settlement

__all__ = ["Books"]

RESERVATION_COLUMNS = ", ".join(schema.reservations.columns.keys())
CHARGE_COLUMNS = ", ".join(schema.charges.columns.keys())

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
SELECT_CHARGE = f"SELECT {CHARGE_COLUMNS} FROM gateway_charges WHERE ledger_key"
INSERT_CHARGES = f"INSERT INTO gateway_charges ({CHARGE_COLUMNS})"


class Books:
    """The ledger inside one transaction. `lease` is this process's, `now` the time of what is settled."""

    def __init__(self, db: SqliteConnection, lease: str, now: float) -> None:
        self._db = db
        self._lease = lease
        self._now = now
        self._states: dict[str, AccountState] = {}
        self._stored: set[str] = set()  # accounts that have a row
        self._open: dict[str, tuple[int, Sequence[str]]] = {}  # amount and accounts of open reservations
        self._settled: dict[str, Charge | None] = {}  # None: not read yet
        self._added: dict[str, Reservation] = {}
        self._extended: dict[str, int] = {}
        self._closed: list[str] = []
        self._charges: list[tuple[object, ...]] = []

    def read(self, fresh: Sequence[str], known: Sequence[str], accounts: Iterable[str]) -> None:
        """Read what verbs will ask for: keys to be reserved, keys that are reserved, and accounts."""
        if fresh or known:
            for key, amount, names in self._db.select(SELECT_OPEN, [*fresh, *known]):
                self._open[key] = (amount, names.split())
        if fresh:
            for (key,) in self._db.select(SELECT_SETTLED, fresh):
                self._settled[key] = None
        self._read_accounts([name for name in accounts if name not in self._states])

    def reserve(self, reservation: Reservation, accounts: Sequence[str]) -> None:
        """See `Ledger.reserve`; the key was announced as fresh. `accounts` are names."""
        key = reservation.key
        if key in self._open or key in self._settled:
            raise ValueError(f"ledger key {key!r} is already known")
        set_aside(self._of(accounts), reservation.amount)
        self._open[key] = (reservation.amount, accounts)
        self._added[key] = reservation

    def extend(self, reservation: Reservation, amount: int) -> Reservation:
        """See `Ledger.extend`; the key was announced as known."""
        key = reservation.key
        before, accounts = self._open[key]
        set_aside(self._of(accounts), amount)
        self._open[key] = (before + amount, accounts)
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
        amount, accounts = stored
        charged = close(self._of(accounts), amount, settlement.charge)
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
        """An account's sums, to read or to change."""
        return self._of([name])[0]

    def count_open(self) -> int:
        """How many reservations are open, of all processes."""
        self.write()
        count: int = self._db.rows("SELECT count(*) FROM gateway_reservations")[0][0]
        return count

    def open_of(self, leases: Sequence[str]) -> list[Reservation]:
        """The open reservations of some leases, ready to be settled."""
        self.write()
        rows: list[tuple[Any, ...]] = self._db.select(SELECT_OPEN_ROWS, leases)
        reservations = [reservation_of(row) for row in rows]
        self.read((), [reservation.key for reservation in reservations], {n for row in rows for n in row[3].split()})
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
            self._added = {}
        if self._extended:
            self._db.execute_many(UPDATE_RESERVATION, [(amount, key) for key, amount in self._extended.items()])
            self._extended = {}
        if self._closed:
            self._db.delete(DELETE_RESERVATIONS, self._closed)
            self._closed = []
        if self._charges:
            self._db.insert(INSERT_CHARGES, self._charges)
            self._charges = []
        self._write_accounts()

    def _write_accounts(self) -> None:
        updated: list[tuple[object, ...]] = []
        added: list[tuple[object, ...]] = []
        for name, state in self._states.items():
            if state.changed:
                state.changed = False
                row = (state.granted, state.spent, state.reserved, state.unlimited, state.declared, name)
                (updated if name in self._stored else added).append(row)
                self._stored.add(name)
        if updated:
            self._db.execute_many(UPDATE_ACCOUNT, updated)
        if added:
            self._db.insert(INSERT_ACCOUNTS, added)

    def _read_accounts(self, names: Sequence[str]) -> None:
        if not names:
            return
        for name, granted, spent, reserved, unlimited, declared in self._db.select(SELECT_ACCOUNTS, names):
            kind = name.partition(":")[0]
            self._states[name] = AccountState(kind, granted, spent, reserved, bool(unlimited), declared)
            self._stored.add(name)
        for name in names:
            if name not in self._states:
                self._states[name] = AccountState(name.partition(":")[0])

    def _of(self, names: Sequence[str]) -> list[AccountState]:
        try:
            return [self._states[name] for name in names]
        except KeyError:
            self._read_accounts([name for name in names if name not in self._states])
            return [self._states[name] for name in names]

    def _settled_charge(self, key: str) -> Charge:
        charge = self._settled.get(key)
        if charge is None:
            rows = self._db.select(SELECT_CHARGE, [key])
            if not rows:
                raise KeyError(key)
            charge = self._settled[key] = charge_of(rows[0])
        return charge
