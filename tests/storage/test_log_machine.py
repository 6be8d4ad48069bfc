"""The usage log against a plain list: whatever is settled, corrected, summed up, copied and removed, and when."""

import asyncio
import shutil
import tempfile
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from asgi_gateway.backends import MemoryStorage, SqlStorage
from asgi_gateway.backends.sql import log_copies, log_pages, usage_log
from asgi_gateway.storage.protocols import ChargeFilter, HourSum, Storage, SumKey, UsageSum
from asgi_gateway.storage.records import Account, Charge, Outcome, Usage
from support.emptied import empty
from support.ledger_records import Clock, reservation, settlement

HOUSE = Account("user", 9)
HOUR = 3600

names = st.sampled_from(["a", "b"])
kinds: st.SearchStrategy[SumKey] = st.sampled_from(["user", "token", "model", "channel", "group"])
waits = st.integers(-20, 40) | st.integers(0, 4 * HOUR)
usages = st.builds(Usage, input=st.integers(0, 9), cache_read=st.integers(0, 9), output=st.integers(0, 9))


def moment(seconds: float) -> datetime:
    """A time as callers say it."""
    return datetime.fromtimestamp(seconds, UTC)


def name_of(charge: Charge, kind: SumKey) -> str:
    """As a reader of the records would say it."""
    if kind == "channel":
        return charge.settlement.channel
    if kind == "group":
        return charge.settlement.group or charge.reservation.group
    return str(getattr(charge.reservation, kind))


def added(charges: list[Charge]) -> tuple[int, int, int, int]:
    """Sums by a plain scan."""
    usages = [charge.settlement.usage for charge in charges]
    return (
        len(charges),
        sum(usage.total_input for usage in usages),
        sum(usage.total_output for usage in usages),
        sum(charge.charged for charge in charges),
    )


class LogMachine(RuleBasedStateMachine):
    """Rules for any storage. The model is the list of all charges ever, by key in the order of their settlement."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.latest = self.clock()
        self.runner = asyncio.Runner()
        self.charges: dict[str, Charge] = {}
        self.removed = 0
        self.boundary = 0  # hours before this one need not be divided
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

    async def settle(self, held: Any, said: Any) -> Charge:
        return await self.storage.ledger.settle(held, said)

    def wait(self, seconds: int) -> None:
        """Let time pass, or clocks differ a little."""
        self.latest = max(self.latest, self.clock() + seconds)
        self.clock.now = max(self.clock() + seconds, self.latest - 20)

    def listed(self) -> list[Charge]:
        """What is still in the log, oldest first."""
        return list(self.charges.values())[self.removed :]

    @rule(user=names, token=names, channel=names, group=st.sampled_from(["", "auto"]), usage=usages, wait=waits)
    def spend(self, user: str, token: str, channel: str, group: str, usage: Usage, wait: int) -> None:
        """An exchange, settled after some time."""
        self.wait(wait)
        held = reservation(10, accounts=(HOUSE,), user=user, token=token, model=f"{user}{token}")
        self.run(self.storage.ledger.reserve(held))
        said = settlement(len(self.charges) + 1, usage=usage, channel=channel, group=group)
        self.charges[held.key] = self.run(self.settle(held, said))

    @rule(count=st.integers(1, 3), wait=waits)
    def lose(self, count: int, wait: int) -> None:
        """Exchanges that count as lost."""
        self.wait(wait)
        for _ in range(count):
            held = reservation(10, accounts=(HOUSE,))
            self.run(self.storage.ledger.reserve(held))
            said = settlement(3, outcome=Outcome.LOST, usage=Usage(), channel="")
            self.charges[held.key] = self.run(self.settle(held, said))

    @precondition(lambda self: self.late())
    @rule(data=st.data(), channel=names, usage=usages)
    def settle_late(self, data: st.DataObject, channel: str, usage: Usage) -> None:
        """What counted as lost is settled after all, and takes the place of that charge."""
        key = data.draw(st.sampled_from(self.late()))
        said = settlement(len(self.charges) + 100, usage=usage, channel=channel)
        self.charges[key] = self.run(self.settle(self.charges[key].reservation, said))

    def late(self) -> list[str]:
        """What may be settled late."""
        return [one.reservation.key for one in self.listed() if one.settlement.outcome is Outcome.LOST]

    @rule()
    def roll_up(self) -> None:
        """A step of the background."""
        self.run(self.storage.usage_log.roll_up())

    @rule(back=st.integers(-HOUR, 3 * HOUR), limit=st.integers(1, 5))
    def prune(self, back: int, limit: int) -> None:
        """Only the oldest ones go, and only of whole hours."""
        before = self.clock() - back
        count = self.run(self.storage.usage_log.prune(moment(before), limit))
        gone = self.listed()[:count]
        assert count <= limit
        assert all(charge.time < before // HOUR * HOUR for charge in gone)
        self.removed += count
        self.boundary = max(self.boundary, int(before // HOUR * HOUR))

    @rule(by=kinds, back=st.none() | st.integers(0, 30 * HOUR))
    def sums(self, by: SumKey, back: int | None) -> None:
        """As a plain scan gives them."""
        since = None if back is None else self.start(self.clock() - back)
        groups: dict[str, list[Charge]] = defaultdict(list)
        for charge in self.charges.values():
            if since is None or charge.time >= since:
                groups[name_of(charge, by)].append(charge)
        expected = [
            UsageSum(name=name, requests=count, input_tokens=taken, output_tokens=given, charged=charged)
            for name, charges in groups.items()
            for count, taken, given, charged in [added(charges)]
        ]
        found = self.run(self.storage.usage_log.sums(by, None if since is None else moment(since)))
        assert found == sorted(expected, key=lambda row: (-row.charged, row.name))

    @rule(by=kinds, back=st.integers(0, 9 * HOUR), length=st.none() | st.integers(0, 5 * HOUR), name=st.none() | names)
    def hours(self, by: SumKey, back: int, length: int | None, name: str | None) -> None:
        """As a plain scan gives them, oldest hour first."""
        since = self.start(self.clock() - back)
        until = None if length is None else self.start(since + length)
        groups: dict[tuple[int, str], list[Charge]] = defaultdict(list)
        for charge in self.charges.values():
            own = name_of(charge, by)
            if charge.time >= since and (until is None or charge.time < until) and name in (None, own):
                groups[int(charge.time // HOUR * HOUR), own].append(charge)
        expected = [
            HourSum(hour=moment(hour), name=own, requests=count, input_tokens=taken, output_tokens=given, charged=paid)
            for (hour, own), charges in sorted(groups.items())
            for count, taken, given, paid in [added(charges)]
        ]
        end = None if until is None else moment(until)
        assert self.run(self.storage.usage_log.hours(by, moment(since), end, name=name)) == expected

    @rule(
        by=st.sets(kinds, max_size=2), name=names, lost=st.booleans(), back=st.none() | waits, limit=st.integers(1, 4)
    )
    def pages(self, by: set[SumKey], name: str, lost: bool, back: int | None, limit: int) -> None:
        """All pages together are what a plain scan finds, newest first, in bounded steps."""
        since = None if back is None else self.clock() - back
        chosen: dict[str, Any] = dict.fromkeys(by, name)
        wanted = ChargeFilter(
            **chosen,
            outcome=Outcome.LOST if lost else None,
            since=None if since is None else moment(since),
            until=moment(self.latest),
        )
        expected = [
            charge
            for charge in reversed(self.kept())
            if all(name_of(charge, kind) == name for kind in by)
            and (not lost or charge.settlement.outcome is Outcome.LOST)
            and (since is None or charge.time >= since)
            and charge.time < self.latest
        ]
        found: list[Charge] = []
        cursor: str | None = None
        for _ in range(3 * len(self.charges) + 9):
            page = self.run(self.storage.usage_log.page(wanted, cursor=cursor, limit=limit))
            assert len(page.charges) <= limit
            found += page.charges
            cursor = page.next
            if cursor is None:
                break
        assert cursor is None
        assert found == expected

    def kept(self) -> list[Charge]:
        """What pages show, oldest first."""
        return self.listed()

    def start(self, since: float) -> float:
        """A time that sums can begin at: a whole hour where charges were removed."""
        return since // HOUR * HOUR if since < self.boundary else since

    @invariant()
    def the_newest_come_first(self) -> None:
        """Without any that were removed."""
        assert list(self.run(self.storage.usage_log.recent(3))) == self.listed()[:-4:-1]


class MemoryMachine(LogMachine):
    """In memory."""

    def make(self) -> Storage:
        return MemoryStorage(wall=self.clock, clock=self.clock)

    def late(self) -> list[str]:
        """No process ever died here."""
        return []


class SqliteMachine(LogMachine):
    """On SQLite."""

    def make(self) -> Storage:
        self.folder = Path(tempfile.mkdtemp())
        log_url = f"sqlite:///{self.folder}/log.db" if self.copying else ""
        return SqlStorage(f"sqlite:///{self.folder}/main.db", wall=self.clock, clock=self.clock, log_url=log_url)

    copying = False

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


class CopyMachine(SqliteMachine):
    """On SQLite, with a log database: what is removed is still shown from there."""

    copying = True

    def kept(self) -> list[Charge]:
        """Everything ever."""
        return list(self.charges.values())


class ServerMachine(LogMachine):
    """On a server, which the test names."""

    url: ClassVar[str]

    def make(self) -> Storage:
        empty(self.url)
        return SqlStorage(self.url, migrate=True, wall=self.clock, clock=self.clock)


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So small that each of their ends is met."""
    for place, name, value in (
        (usage_log, "ROLLED_UP", 2),
        (log_copies, "COPIED", 2),
        (log_pages, "SCANNED", 5),
        (log_pages, "STEP", 2),
        (log_pages, "JUMPS", 3),
        (log_pages, "LISTED", 2),
    ):
        monkeypatch.setattr(place, name, value)


def check(machine: type[LogMachine], examples: int) -> None:
    """Run some sequences of rules."""
    case = machine.TestCase
    case.settings = settings(
        max_examples=examples, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case("runTest").runTest()


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("machine", [MemoryMachine, SqliteMachine, CopyMachine])
def test_the_log_is_a_plain_scan_at_every_moment(machine: type[LogMachine]) -> None:
    """Sums, hours and pages; by any name, from any time."""
    check(machine, 15)


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_the_log_of_a_server_is_a_plain_scan_at_every_moment(kind: str, request: pytest.FixtureRequest) -> None:
    """Though only what is some seconds old is summed up there."""

    class OfThisServer(ServerMachine):
        url = request.getfixturevalue(kind)

    check(OfThisServer, 4)
