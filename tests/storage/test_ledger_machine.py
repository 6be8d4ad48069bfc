"""The ledger against a model: whatever comes in whatever order, no unit is lost, invented or charged twice."""

import asyncio
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asgi_gateway.backends import MemoryStorage, SqlStorage
from asgi_gateway.errors import InsufficientQuota
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import Account, Charge, Outcome, Reservation
from support.ledger_records import Clock, reservation, settlement

ACCOUNTS = (Account("user", 1), Account("user", 2), Account("token", 1))
HOUSE = Account("user", 9)
"""An unlimited account."""

units = st.integers(0, 300)
chosen = st.lists(st.sampled_from([*ACCOUNTS, HOUSE]), min_size=1, max_size=2, unique=True).map(tuple)


@dataclass
class Sums:
    """What the model knows of an account."""

    granted: int = 0
    spent: int = 0
    reserved: int = 0
    declared: int | None = None
    unlimited: bool = False

    @property
    def available(self) -> int:
        return self.granted - self.spent - self.reserved


class LedgerMachine(RuleBasedStateMachine):
    """Rules for any storage. The model knows the sums, what is open, and what every key was charged."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.runner = asyncio.Runner()
        self.model = {account: Sums() for account in ACCOUNTS}
        self.model[HOUSE] = Sums(unlimited=True, declared=0)
        self.open: dict[str, Reservation] = {}
        self.charges: dict[str, Charge] = {}
        self.storage = self.make()
        self.run(self.storage.open())
        self.run(self.storage.ledger.declare(HOUSE, 0, unlimited=True))

    def make(self) -> Storage:
        raise NotImplementedError

    def run(self, coroutine: Any) -> Any:
        return self.runner.run(coroutine)

    def teardown(self) -> None:
        self.run(self.storage.close())
        self.runner.close()

    def pick(self, data: st.DataObject, pool: dict[str, Any]) -> str:
        return data.draw(st.sampled_from(sorted(pool)))

    def fits(self, accounts: tuple[Account, ...], amount: int) -> bool:
        return all(self.model[one].unlimited or self.model[one].available >= amount for one in accounts)

    def book(self, accounts: tuple[Account, ...], amount: int) -> None:
        for account in accounts:
            self.model[account].reserved += amount

    def close_in_model(self, stored: Reservation, charge: Charge, cost: int) -> None:
        """Compute what a settlement must take, and compare."""
        self.book(stored.accounts, -stored.amount)
        limited = [self.model[one].available for one in stored.accounts if not self.model[one].unlimited]
        expected = min([cost, *(max(0, available) for available in limited)])
        for account in stored.accounts:
            self.model[account].spent += expected
        assert (charge.charged, charge.shortfall) == (expected, cost - expected)
        assert charge.reservation == stored
        self.charges[stored.key] = charge

    @rule(account=st.sampled_from(ACCOUNTS), amount=st.integers(-200, 500))
    def grant(self, account: Account, amount: int) -> None:
        self.run(self.storage.ledger.grant(account, amount))
        self.model[account].granted += amount

    @rule(account=st.sampled_from(ACCOUNTS), amount=units)
    def declare(self, account: Account, amount: int) -> None:
        self.run(self.storage.ledger.declare(account, amount))
        sums = self.model[account]
        sums.granted = amount if sums.declared is None else sums.granted + amount - sums.declared
        sums.declared = amount

    @rule(accounts=chosen, amount=units)
    def reserve(self, accounts: tuple[Account, ...], amount: int) -> None:
        wanted = reservation(amount, accounts=accounts)
        if self.fits(accounts, amount):
            self.run(self.storage.ledger.reserve(wanted))
            self.book(accounts, amount)
            self.open[wanted.key] = wanted
        else:
            with pytest.raises(InsufficientQuota):
                self.run(self.storage.ledger.reserve(wanted))

    @rule(accounts=chosen, amount=st.integers(1, 100), callers=st.integers(2, 20))
    def reserve_at_once(self, accounts: tuple[Account, ...], amount: int, callers: int) -> None:
        wanted = [reservation(amount, accounts=accounts) for _ in range(callers)]

        async def together() -> list[BaseException | None]:
            return await asyncio.gather(*map(self.storage.ledger.reserve, wanted), return_exceptions=True)

        for one, result in zip(wanted, self.run(together()), strict=True):
            assert result is None or isinstance(result, InsufficientQuota)
            assert (result is None) == self.fits(accounts, amount)
            if result is None:
                self.book(accounts, amount)
                self.open[one.key] = one

    @precondition(lambda self: self.open)
    @rule(data=st.data(), amount=units)
    def extend(self, data: st.DataObject, amount: int) -> None:
        stored = self.open[self.pick(data, self.open)]
        if self.fits(stored.accounts, amount):
            self.open[stored.key] = self.run(self.storage.ledger.extend(stored, amount))
            self.book(stored.accounts, amount)
            assert self.open[stored.key].amount == stored.amount + amount
        else:
            with pytest.raises(InsufficientQuota):
                self.run(self.storage.ledger.extend(stored, amount))

    @precondition(lambda self: self.open)
    @rule(data=st.data(), cost=units)
    def settle(self, data: st.DataObject, cost: int) -> None:
        stored = self.open.pop(self.pick(data, self.open))
        self.close_in_model(stored, self.run(self.settled(stored, cost)), cost)

    @precondition(lambda self: self.open)
    @rule(cost=units)
    def settle_all_at_once(self, cost: int) -> None:
        stored = [self.open[key] for key in sorted(self.open)]
        self.open = {}

        async def together() -> list[Charge]:
            return await asyncio.gather(*[self.settled(one, cost) for one in stored])

        for one, charge in zip(stored, self.run(together()), strict=True):
            self.close_in_model(one, charge, cost)

    @precondition(lambda self: self.charges)
    @rule(data=st.data(), cost=units)
    def settle_again(self, data: st.DataObject, cost: int) -> None:
        before = self.charges[self.pick(data, self.charges)]
        assert self.run(self.settled(before.reservation, cost)) == before

    @precondition(lambda self: self.charges)
    @rule(data=st.data())
    def reserve_again(self, data: st.DataObject) -> None:
        known = self.charges[self.pick(data, self.charges)].reservation
        with pytest.raises(ValueError, match="already known"):
            self.run(self.storage.ledger.reserve(known))

    async def settled(self, stored: Reservation, cost: int) -> Charge:
        return await self.storage.ledger.settle(stored, settlement(cost))

    @invariant()
    def nothing_is_lost_or_invented(self) -> None:
        for account, sums in self.model.items():
            balance = self.run(self.storage.ledger.balance(account))
            assert (balance.granted, balance.spent, balance.reserved, balance.available) == (
                sums.granted,
                sums.spent,
                sums.reserved,
                sums.available,
            )
        assert self.run(self.storage.ledger.open_reservations()) == len(self.open)
        assert len(self.run(self.storage.usage_log.recent(10**6))) == len(self.charges)


class MemoryMachine(LedgerMachine):
    def make(self) -> Storage:
        return MemoryStorage(wall=self.clock, clock=self.clock)


class SqliteMachine(LedgerMachine):
    """On SQLite a process may also stop at any time, and another one takes over."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        super().__init__()

    def make(self) -> Storage:
        return SqlStorage(f"sqlite:///{self.folder / 'gateway.db'}", wall=self.clock, clock=self.clock)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)

    @rule(lost=st.sampled_from(["prompt", "all", "none"]), silent=st.booleans())
    def crash_and_recover(self, lost: Literal["prompt", "all", "none"], *, silent: bool) -> None:
        """A storage that is silent for too long, or closed with reservations open, is recovered by two at once."""
        gone, heirs = self.storage, [self.make(), self.make()]
        if not silent:
            self.run(gone.close())
        for heir in heirs:
            self.run(heir.open())
        if silent:
            assert self.run(heirs[0].ledger.recover(lost)) == []
            self.clock.advance(30.5)
            self.run(heirs[0].ledger.renew())
            self.run(heirs[1].ledger.renew())

        async def together() -> list[Any]:
            return await asyncio.gather(*[heir.ledger.recover(lost) for heir in heirs])

        charges = [charge for found in self.run(together()) for charge in found]
        assert sorted(charge.reservation.key for charge in charges) == sorted(self.open)
        for charge in charges:
            stored = self.open.pop(charge.reservation.key)
            cost = {"prompt": stored.prompt_amount, "all": stored.amount, "none": 0}[lost]
            assert charge.settlement.outcome is Outcome.LOST
            self.close_in_model(stored, charge, cost)
        for ended in (gone, heirs[1]):
            self.run(ended.close())
        self.storage = heirs[0]


everyday = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
thorough = settings(everyday, max_examples=400, stateful_step_count=60)


def case(machine: type[LedgerMachine], size: settings) -> Any:
    """A test case of a machine, of a size."""
    sized = type(f"{machine.__name__}Case", (machine.TestCase,), {"settings": size})
    sized.__module__ = __name__
    return sized


TestMemoryLedger = case(MemoryMachine, settings(everyday, max_examples=60))
TestSqliteLedger = case(SqliteMachine, everyday)
TestMemoryLedgerThoroughly = pytest.mark.proof(case(MemoryMachine, thorough))
TestSqliteLedgerThoroughly = pytest.mark.proof(
    pytest.mark.timeout(1200)(case(SqliteMachine, settings(thorough, max_examples=150)))
)
