"""The ledger on SQL: each method queues one verb of the group commit."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, Literal, cast

from asgi_gateway.backends.accounts import check_amount, check_settlement
from asgi_gateway.backends.failures import fail
from asgi_gateway.backends.sql.commit import GroupCommit
from asgi_gateway.backends.sql.leases import dead_leases, leave, remove
from asgi_gateway.backends.sql.rows import account_name
from asgi_gateway.backends.sql.transaction import Transaction, Verb
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.protocols import NO_BUDGETS
from asgi_gateway.storage.records import Account, Balance, Charge, Outcome, Reservation, Settlement

__all__ = ["Abandon", "Change", "CountOpen", "Extend", "Leave", "Recover", "Renew", "Reserve", "Settle", "SqlLedger"]


class Reserve(Verb):
    """Set an amount aside."""

    __slots__ = ("accounts", "budgets", "reservation")

    def __init__(self, reservation: Reservation, budgets: Mapping[Account, int]) -> None:
        self.future = None
        self.reservation = reservation
        self.budgets = {account_name(account): limit for account, limit in budgets.items()} if budgets else None
        self.accounts = [account_name(account) for account in reservation.accounts]

    def announce(self, work: Transaction) -> None:
        work.fresh.append(self.reservation.key)
        work.accounts.update(self.accounts)

    def apply(self, work: Transaction) -> None:
        work.books.reserve(self.reservation, self.accounts, self.budgets)

    def undo(self) -> Verb:
        return Abandon(self.reservation)


class Extend(Verb):
    """Set more aside."""

    __slots__ = ("amount", "reservation")

    def __init__(self, reservation: Reservation, amount: int) -> None:
        super().__init__()
        self.reservation = reservation
        self.amount = amount

    def announce(self, work: Transaction) -> None:
        work.known.append(self.reservation)
        work.extended.add(self.reservation.key)

    def apply(self, work: Transaction) -> Reservation:
        return work.books.extend(self.reservation, self.amount)


class Settle(Verb):
    """Close a reservation. Done whatever happens, whether anybody waits or not."""

    __slots__ = ("reservation", "settlement")

    patient: ClassVar[bool] = True

    def __init__(self, reservation: Reservation, settlement: Settlement) -> None:
        self.future = None
        self.reservation = reservation
        self.settlement = settlement

    def __str__(self) -> str:
        return f"settlement of {self.reservation.key}"

    def lasting(self) -> tuple[Reservation, Settlement]:
        return self.reservation, self.settlement

    def announce(self, work: Transaction) -> None:
        work.known.append(self.reservation)

    def apply(self, work: Transaction) -> Charge:
        return work.books.settle(self.reservation, self.settlement)


class Abandon(Settle):
    """Close a reservation whose caller left while it was being made; perhaps it was refused."""

    __slots__ = ()

    def __init__(self, reservation: Reservation) -> None:
        super().__init__(reservation, Settlement(charge=0, outcome=Outcome.CALLER_LEFT))

    def apply(self, work: Transaction) -> Any:
        with suppress(KeyError):
            return super().apply(work)


class Change(Verb):
    """Change an account's sums, or read them."""

    __slots__ = ("account", "declared", "units", "unlimited")

    def __init__(
        self, account: Account, units: int = 0, declared: int | None = None, *, unlimited: bool = False
    ) -> None:
        super().__init__()
        self.account = account
        self.units = units
        self.declared = declared
        self.unlimited = unlimited

    def announce(self, work: Transaction) -> None:
        changes = self.units or self.declared is not None
        (work.accounts if changes else work.viewed).add(account_name(self.account))

    def apply(self, work: Transaction) -> Balance:
        state = work.books.account(account_name(self.account))
        if self.units:
            state.grant(self.units)
        if self.declared is not None:
            state.declare(self.declared, unlimited=self.unlimited)
        return state.balance(self.account)


class CountOpen(Verb):
    """Count what is reserved."""

    __slots__ = ()

    def apply(self, work: Transaction) -> int:
        return work.books.count_open()


class Renew(Verb):
    """Renew the own lease, which every batch does when it is due."""

    __slots__ = ()

    def apply(self, work: Transaction) -> None:
        """Nothing more to do but to be a batch."""


class Recover(Verb):
    """Close what dead processes had reserved."""

    __slots__ = ("dead", "found", "lost")

    def __init__(self, lost: Literal["prompt", "all", "none"]) -> None:
        super().__init__()
        self.lost = lost
        self.dead: list[str] = []
        self.found: list[Reservation] = []

    def announce(self, work: Transaction) -> None:
        self.dead = dead_leases(work.db, work.lease, work.now, steady=work.steady)
        self.found = work.books.held_by(self.dead)
        work.known += self.found

    def apply(self, work: Transaction) -> list[Charge]:
        charges = [
            work.books.settle(reservation, self._settlement(reservation))
            for reservation in self.found
            if work.books.is_open(reservation.key)  # else somebody else was faster
        ]
        work.books.write()
        remove(work.db, self.dead)
        return charges

    def _settlement(self, reservation: Reservation) -> Settlement:
        cost = {"prompt": reservation.prompt_amount, "all": reservation.amount, "none": 0}[self.lost]
        return Settlement(charge=cost, outcome=Outcome.LOST)


class Leave(Verb):
    """End the own lease."""

    __slots__ = ()

    patient: ClassVar[bool] = True

    def apply(self, work: Transaction) -> None:
        work.books.write()
        leave(work.db, work.lease)


class SqlLedger:
    """`Ledger` on SQL. `beside` is the queue of what is no money, where that has one of its own."""

    def __init__(self, commit: GroupCommit, beside: GroupCommit | None = None) -> None:
        self._commit = commit
        self._queues = [commit] if beside is None else [commit, beside]

    async def reserve(self, reservation: Reservation, budgets: Mapping[Account, int] = NO_BUDGETS) -> None:
        """See `Ledger.reserve`. A caller who is cancelled meanwhile leaves nothing reserved."""
        check_amount(reservation)
        future = self._commit.submit(Reserve(reservation, budgets))
        try:
            await future
        except asyncio.CancelledError:
            with suppress(ServiceUnavailable):  # at the end the lease goes, and what was reserved is recovered
                self._commit.add(Abandon(reservation))
            raise

    async def extend(self, reservation: Reservation, amount: int) -> Reservation:
        """See `Ledger.extend`."""
        if amount < 0:
            raise ValueError(f"a reservation is not extended by {amount}")
        return cast("Reservation", await self._commit.perform(Extend(reservation, amount)))

    def settle(self, reservation: Reservation, settlement: Settlement) -> "asyncio.Future[Charge]":
        """See `Ledger.settle`."""
        check_settlement(settlement)
        verb = Settle(reservation, settlement)
        try:
            return self._commit.submit(verb)
        except ServiceUnavailable as error:
            if verb.future is None:
                raise  # not open
            fail(verb.future, error, str(verb))
            return verb.future

    async def grant(self, account: Account, units: int) -> Balance:
        """See `Ledger.grant`."""
        return cast("Balance", await self._commit.perform(Change(account, units)))

    async def declare(self, account: Account, granted: int, *, unlimited: bool = False) -> Balance:
        """See `Ledger.declare`."""
        return cast("Balance", await self._commit.perform(Change(account, declared=granted, unlimited=unlimited)))

    async def balance(self, account: Account) -> Balance:
        """See `Ledger.balance`."""
        return cast("Balance", await self._commit.perform(Change(account)))

    async def open_reservations(self) -> int:
        """See `Ledger.open_reservations`."""
        return cast("int", await self._commit.perform(CountOpen()))

    async def renew(self) -> None:
        """See `Ledger.renew`."""
        await asyncio.gather(*(queue.perform(Renew()) for queue in self._queues))

    async def recover(self, lost: Literal["prompt", "all", "none"] = "prompt") -> Sequence[Charge]:
        """See `Ledger.recover`. Closed are also those of processes that provably ended, however young their lease."""
        return cast("Sequence[Charge]", await self._commit.perform(Recover(lost)))

    async def drain(self) -> None:
        """See `Ledger.drain`. What is no money is waited for, too."""
        await asyncio.gather(*(queue.drain() for queue in self._queues))
