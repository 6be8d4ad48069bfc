"""The ledger of one process. No verb waits, so each is atomic on its event loop."""

from asyncio import Future, get_running_loop
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec.structs import replace

from asgi_gateway.backends.accounts import AccountState, check_amount, check_settlement, close, correct, set_aside
from asgi_gateway.backends.failures import fail
from asgi_gateway.backends.memory.usage_log import MemoryUsageLog
from asgi_gateway.storage.protocols import NO_BUDGETS
from asgi_gateway.storage.records import Account, Balance, Charge, Outcome, Reservation, Settlement

__all__ = ["MemoryLedger"]


class MemoryLedger:
    """`Ledger` in memory. Balances are exact for ever.

    A settled key is known, and settling it again harmless, while its charge is among those the log remembers;
    after that it counts as never reserved, and its settlement fails with `KeyError` and moves nothing.
    """

    def __init__(self, log: MemoryUsageLog, wall: Callable[[], float]) -> None:
        self._log = log
        self._wall = wall
        self._accounts: dict[Account, AccountState] = {}
        self._open: dict[str, Reservation] = {}

    async def reserve(self, reservation: Reservation, budgets: Mapping[Account, int] = NO_BUDGETS) -> None:
        """See `Ledger.reserve`."""
        check_amount(reservation)
        key = reservation.key
        if key in self._open or self._log.settled(key) is not None:
            raise ValueError(f"ledger key {key!r} is already known")
        for account, limit in budgets.items():
            self._state(account).limit(limit)
        set_aside(self._states(reservation.accounts), reservation.amount)
        self._open[key] = reservation

    async def extend(self, reservation: Reservation, amount: int) -> Reservation:
        """See `Ledger.extend`."""
        if amount < 0:
            raise ValueError(f"a reservation is not extended by {amount}")
        stored = self._open[reservation.key]
        set_aside(self._states(stored.accounts), amount)
        extended = self._open[reservation.key] = replace(stored, amount=stored.amount + amount)
        return extended

    def settle(self, reservation: Reservation, settlement: Settlement) -> "Future[Charge]":
        """See `Ledger.settle`."""
        check_settlement(settlement)
        future: Future[Charge] = get_running_loop().create_future()
        stored = self._open.pop(reservation.key, None)
        if stored is not None:
            charged = close(self._states(stored.accounts), stored.amount, settlement.charge)
            charge = Charge(
                reservation=stored,
                settlement=settlement,
                charged=charged,
                shortfall=settlement.charge - charged,
                time=self._wall(),
            )
            self._log.add(charge)
            future.set_result(charge)
        elif (known := self._log.settled(reservation.key)) is not None:
            future.set_result(self._settle_again(known, settlement))
        else:
            fail(future, KeyError(reservation.key), f"settlement of {reservation.key}")
        return future

    def begin(self, account: Account, granted: int, *, unlimited: bool) -> None:
        """Give a new user's account what it starts with, added to what somebody granted to its id before."""
        state = self._state(account)
        state.grant(granted)
        state.unlimited = unlimited

    async def grant(self, account: Account, units: int) -> Balance:
        """See `Ledger.grant`."""
        state = self._state(account)
        state.grant(units)
        return state.balance(account)

    async def declare(self, account: Account, granted: int, *, unlimited: bool = False) -> Balance:
        """See `Ledger.declare`."""
        state = self._state(account)
        state.declare(granted, unlimited=unlimited)
        return state.balance(account)

    async def balance(self, account: Account) -> Balance:
        """See `Ledger.balance`."""
        state = self._accounts.get(account)
        return (state or AccountState(account.kind, period=account.period)).balance(account)

    async def open_reservations(self) -> int:
        """See `Ledger.open_reservations`."""
        return len(self._open)

    async def renew(self) -> None:
        """Nothing to renew: what this process holds ends with it."""

    async def recover(self, lost: Literal["prompt", "all", "none"] = "prompt") -> Sequence[Charge]:
        """Nothing to recover: no other process has reservations here."""
        return ()

    async def drain(self) -> None:
        """Nothing is queued."""

    def _settle_again(self, known: Charge, settlement: Settlement) -> Charge:
        """The stored charge; or, in place of one that is lost, what this settlement says."""
        if known.settlement.outcome is not Outcome.LOST or settlement.outcome is Outcome.LOST:
            return known
        charged = correct(self._states(known.reservation.accounts), known.charged, settlement.charge)
        charge = replace(known, settlement=settlement, charged=charged, shortfall=settlement.charge - charged)
        self._log.replace(charge)
        return charge

    def _state(self, account: Account) -> AccountState:
        state = self._accounts.get(account)
        if state is None:
            state = self._accounts[account] = AccountState(account.kind, period=account.period)
        return state

    def _states(self, accounts: Sequence[Account]) -> list[AccountState]:
        return [self._state(account) for account in accounts]
