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
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from asgi_gateway.backends import MemoryStorage, SqlStorage
from asgi_gateway.errors import InsufficientQuota
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import Account, Balance, Charge, Outcome, Reservation
from support.emptied import empty
from support.ledger_records import Clock, outlive, reservation, settlement

ACCOUNTS = (Account("user", 1), Account("user", 2), Account("token", 1))
HOUSE = Account("user", 9)
"""An unlimited account."""
PERIODS = (Account("user", 1, "2026-11-25"), Account("token", 1, "2026-W48"), Account("group", "v i/p", "2026-11"))
"""What may be used in a period: granted anew with each reservation."""

units = st.integers(0, 300)
budgets = st.dictionaries(st.sampled_from(PERIODS), st.integers(0, 900), min_size=1)
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
        self.model = {account: Sums() for account in (*ACCOUNTS, *PERIODS)}
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

    @rule(accounts=chosen, amount=units, limits=budgets)
    def reserve_within_budgets(self, accounts: tuple[Account, ...], amount: int, limits: dict[Account, int]) -> None:
        """A budget may change in its period, and what was used before counts."""
        wanted = reservation(amount, accounts=(*accounts, *limits))
        for account, limit in limits.items():
            self.model[account].granted = limit
        if self.fits(wanted.accounts, amount):
            self.run(self.storage.ledger.reserve(wanted, limits))
            self.book(wanted.accounts, amount)
            self.open[wanted.key] = wanted
            assert all(self.model[one].spent + self.model[one].reserved <= limits[one] for one in limits)
        else:
            with pytest.raises(InsufficientQuota):
                self.run(self.storage.ledger.reserve(wanted, limits))

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
    @rule(data=st.data(), cost=units, outcome=st.sampled_from([Outcome.COMPLETED, Outcome.LOST]))
    def settle(self, data: st.DataObject, cost: int, outcome: Outcome) -> None:
        stored = self.open.pop(self.pick(data, self.open))
        self.close_in_model(stored, self.run(self.settled(stored, cost, outcome)), cost)

    @precondition(lambda self: self.open)
    @rule(cost=units)
    def settle_all_at_once(self, cost: int) -> None:
        stored = [self.open[key] for key in sorted(self.open)]
        self.open = {}

        async def together() -> list[Charge]:
            return await asyncio.gather(*[self.settled(one, cost) for one in stored])

        for one, charge in zip(stored, self.run(together()), strict=True):
            self.close_in_model(one, charge, cost)

    def closed(self, *, lost: bool) -> dict[str, Charge]:
        """The charges that are lost, or the others."""
        return {key: one for key, one in self.charges.items() if (one.settlement.outcome is Outcome.LOST) == lost}

    @precondition(lambda self: self.closed(lost=False))
    @rule(data=st.data(), cost=units, outcome=st.sampled_from([Outcome.COMPLETED, Outcome.LOST]))
    def settle_again(self, data: st.DataObject, cost: int, outcome: Outcome) -> None:
        before = self.charges[self.pick(data, self.closed(lost=False))]
        assert self.run(self.settled(before.reservation, cost, outcome)) == before

    @precondition(lambda self: self.closed(lost=True))
    @rule(data=st.data(), cost=units, further=units)
    def settle_late(self, data: st.DataObject, cost: int, further: int) -> None:
        """What was taken for lost is settled after all, by two at once: the first one counts, in place of the loss."""
        before = self.charges[self.pick(data, self.closed(lost=True))]
        stored = before.reservation
        assert self.run(self.settled(stored, further, Outcome.LOST)) == before

        async def together() -> list[Charge]:
            return await asyncio.gather(self.settled(stored, cost), self.settled(stored, further))

        charge, second = self.run(together())
        assert second == charge
        assert charge.time == before.time
        for account in stored.accounts:
            self.model[account].spent -= before.charged
        self.book(stored.accounts, stored.amount)
        self.close_in_model(stored, charge, cost)

    @precondition(lambda self: self.charges)
    @rule(data=st.data())
    def reserve_again(self, data: st.DataObject) -> None:
        known = self.charges[self.pick(data, self.charges)].reservation
        with pytest.raises(ValueError, match="already known"):
            self.run(self.storage.ledger.reserve(known))

    async def settled(self, stored: Reservation, cost: int, outcome: Outcome = Outcome.COMPLETED) -> Charge:
        return await self.storage.ledger.settle(stored, settlement(cost, outcome=outcome))

    @invariant()
    def nothing_is_lost_or_invented(self) -> None:
        async def together() -> tuple[int, list[Balance]]:
            ledger = self.storage.ledger
            return await asyncio.gather(
                ledger.open_reservations(), asyncio.gather(*[ledger.balance(account) for account in self.model])
            )

        open_reservations, balances = self.run(together())
        for balance, sums in zip(balances, self.model.values(), strict=True):
            assert (balance.granted, balance.spent, balance.reserved, balance.available) == (
                sums.granted,
                sums.spent,
                sums.reserved,
                sums.available,
            )
        assert open_reservations == len(self.open)
        written = self.run(self.storage.usage_log.recent(10**6))
        assert {charge.reservation.key: charge for charge in written} == self.charges
        assert len(written) == len(self.charges)


class MemoryMachine(LedgerMachine):
    def make(self) -> Storage:
        return MemoryStorage(wall=self.clock, clock=self.clock)


class SqlMachine(LedgerMachine):
    """On SQL a process may also stop at any time, and another one takes over."""

    url: str

    def make(self) -> Storage:
        return SqlStorage(self.url, migrate=True, wall=self.clock, clock=self.clock)

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
            self.run(outlive(self.clock, *[heir.ledger for heir in heirs]))

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


class SqliteMachine(SqlMachine):
    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.url = f"sqlite:///{self.folder / 'gateway.db'}"
        super().__init__()

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


class ServerMachine(SqlMachine):
    """On a server that all examples share."""

    def __init__(self, url: str) -> None:
        self.url = url
        empty(url)
        super().__init__()


everyday = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
thorough = settings(everyday, max_examples=400, stateful_step_count=60)
slow = [pytest.mark.proof, pytest.mark.timeout(1200)]
sizes = pytest.mark.parametrize(
    "size",
    [everyday, pytest.param(settings(thorough, max_examples=150), marks=slow)],
    ids=["everyday", "thorough"],
)
sizes_on_servers = pytest.mark.parametrize(
    "size",
    [settings(everyday, max_examples=6), pytest.param(settings(thorough, max_examples=60), marks=slow)],
    ids=["everyday", "thorough"],
)


@pytest.mark.parametrize(
    "size",
    [settings(everyday, max_examples=60), pytest.param(thorough, marks=pytest.mark.proof)],
    ids=["everyday", "thorough"],
)
def test_the_ledger_in_memory_agrees_with_the_model(size: settings) -> None:
    """Whatever comes in whatever order."""
    run_state_machine_as_test(MemoryMachine, settings=size)


@sizes
def test_the_ledger_on_sqlite_agrees_with_the_model(size: settings) -> None:
    """And whoever dies meanwhile."""
    run_state_machine_as_test(SqliteMachine, settings=size)


@sizes_on_servers
def test_the_ledger_on_postgresql_agrees_with_the_model(size: settings, postgresql: str) -> None:
    """And whoever dies meanwhile."""
    run_state_machine_as_test(lambda: ServerMachine(postgresql), settings=size)


@sizes_on_servers
def test_the_ledger_on_mariadb_agrees_with_the_model(size: settings, mariadb: str) -> None:
    """And whoever dies meanwhile."""
    run_state_machine_as_test(lambda: ServerMachine(mariadb), settings=size)
