"""Budgets: whoever sets one and for which period, no interleaving of requests passes it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_gateway.backends import MemoryStorage, SqlStorage
from asgi_gateway.exchange import Caller, Exchange
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import Account, Balance, Budget, Group, Outcome, Usage
from asgi_gateway.types import Receive, Scope, Send
from support.asgi import Connection, settled
from support.exchanges import answer, channel, make_world
from support.till import PROMPT, RESERVED, Till, served, till

WEDNESDAY = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()
DAY = 86_400.0


class Wall:
    """A clock on the wall that a test sets."""

    def __init__(self, now: float = WEDNESDAY) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """Each kind of ledger that needs no server."""
    kind: str = request.param
    made = MemoryStorage() if kind == "memory" else SqlStorage(f"sqlite:///{tmp_path / 'gateway.db'}", False)
    await made.open()
    yield made
    await made.close()


async def limited(storage: Storage, wall: Wall, *steps: Any, inner: Any = None, **world: Any) -> Till:
    """A quota over a user and a token without end, but for their budgets."""
    user = {"unlimited": True, **world.pop("user", {})}
    made = await make_world(channel(), storage=storage, user=user, **world)
    return await till(*(steps or (served(),)), inner=inner, world=made, wall=wall, zone=UTC)


async def used(at: Till, kind: Any, id: int | str, period: str) -> Balance:
    await at.world.storage.ledger.drain()
    return await at.world.storage.ledger.balance(Account(kind, id, period))


OWNERS = ("token", "user", "group")
PERIODS = {"day": "2026-11-25", "week": "2026-W48", "month": "2026-11"}
ENDS = {"day": "2026-11-26", "week": "2026-11-30", "month": "2026-12-01"}


@pytest.mark.parametrize("period", PERIODS)
@pytest.mark.parametrize("owner", OWNERS)
async def test_a_budget_bounds_who_is_unlimited(storage: Storage, owner: str, period: str) -> None:
    """The one call fits in, the next is refused: the message says whose budget, its sums, and when it starts anew."""
    budget = Budget(**{period: RESERVED + 10})
    given: dict[str, Any] = {
        "token": {"budget": budget},
        "user": {"user": {"budget": budget}},
        "group": {"groups": {"default": Group(name="default", budget=budget)}},
    }[owner]
    at = await limited(storage, Wall(), **given)
    assert (await at.ask()).status == 200
    refused = await at.ask()
    error = refused.json()["error"]
    assert (refused.status, error["code"], error["type"]) == (429, "insufficient_quota", "insufficient_quota")
    assert refused.header("x-should-retry") == "false"
    assert error["message"] == (
        f"The {owner}'s budget for the {period} {PERIODS[period]} does not cover this request: "
        f"{RESERVED} units needed, {RESERVED - 10} of {RESERVED + 10} available (20 spent, 0 reserved). "
        f"It starts anew at {ENDS[period]}T00:00:00+00:00."
    )
    id = {"token": at.world.token.id, "user": at.world.user.id, "group": "default"}[owner]
    balance = await used(at, owner, id, PERIODS[period])
    assert (balance.granted, balance.spent, balance.reserved) == (RESERVED + 10, 20, 0)
    assert at.inner.calls == 1


async def test_a_refusal_by_a_balance_names_no_period(storage: Storage) -> None:
    """And leaves nothing reserved in the budgets of the others."""
    world = await make_world(channel(), storage=storage, quota=5, budget=Budget(day=1000))
    at = await till(served(), world=world, wall=Wall())
    message = (await at.ask()).json()["error"]["message"]
    assert message.startswith("The user's quota does not cover this request")
    assert "anew" not in message
    assert (await used(at, "token", world.token.id, "2026-11-25")).reserved == 0


async def test_a_new_period_begins_with_nothing_used(storage: Storage) -> None:
    """The next day has all of its budget, while the week goes on counting."""
    wall = Wall()
    at = await limited(storage, wall, budget=Budget(day=RESERVED, week=3 * RESERVED))
    statuses = []
    for _ in range(4):
        statuses.append([(await at.ask()).status for _ in range(2)])
        wall.now += DAY
    assert statuses == [[200, 429]] * 4
    token = at.world.token.id
    assert [(await used(at, "token", token, f"2026-11-{day}")).spent for day in (25, 26, 27, 28)] == [20] * 4
    assert (await used(at, "token", token, "2026-W48")).spent == 80


async def test_what_ends_on_another_day_counts_on_the_day_it_began(storage: Storage) -> None:
    """A stream over midnight: its day is the one of its reservation."""
    wall = Wall()

    async def step(scope: Scope) -> None:
        wall.now += DAY
        await served()(scope)

    at = await limited(storage, wall, step, budget=Budget(day=1000))
    assert (await at.ask()).status == 200
    token = at.world.token.id
    assert (await used(at, "token", token, "2026-11-25")).spent == 20
    assert (await used(at, "token", token, "2026-11-26")).spent == 0


async def test_days_begin_at_midnight_of_the_zone(storage: Storage) -> None:
    """23:30 in London is the next day in Vienna, and the message says its offset."""
    wall = Wall(datetime(2026, 11, 25, 23, 30, tzinfo=UTC).timestamp())
    world = await make_world(channel(), storage=storage, user={"unlimited": True}, budget=Budget(day=RESERVED))
    at = await till(served(), world=world, wall=wall, zone=ZoneInfo("Europe/Vienna"))
    await at.ask()
    assert "It starts anew at 2026-11-27T00:00:00+01:00." in (await at.ask()).json()["error"]["message"]
    assert (await used(at, "token", world.token.id, "2026-11-26")).spent == 20


async def test_a_changed_budget_counts_what_was_used(storage: Storage) -> None:
    """Raised, lowered and taken away: it holds from the next request on."""
    wall = Wall()
    at = await limited(storage, wall, budget=Budget(day=RESERVED))
    seen = []
    for budget in (Budget(day=RESERVED), Budget(day=RESERVED), Budget(day=RESERVED + 20), Budget(day=10), Budget()):
        token = replace(at.world.token, budget=budget)
        caller = Caller(user=at.world.user, token=token, group="default")
        seen.append(((await at.ask(caller=caller)).status, (await used(at, "token", token.id, "2026-11-25")).spent))
    assert seen == [(200, 20), (429, 20), (200, 40), (429, 40), (200, 40)]


async def test_the_budget_is_that_of_the_users_own_group(storage: Storage) -> None:
    """Whichever group a token uses."""
    groups = {"default": Group(name="default", budget=Budget(day=RESERVED)), "vip": Group(name="vip")}
    at = await limited(storage, Wall(), groups=groups)
    caller = Caller(user=at.world.user, token=at.world.token, group="vip", own_group="default")
    assert [(await at.ask(caller=caller)).status for _ in range(2)] == [200, 429]
    assert (await used(at, "group", "vip", "2026-11-25")).spent == 0


async def test_a_group_is_bounded_over_all_its_users(storage: Storage) -> None:
    """Two users share one budget."""
    groups = {"default": Group(name="default", budget=Budget(month=RESERVED + 20))}
    at = await limited(storage, Wall(), groups=groups)
    bob = replace(at.world.user, id=at.world.user.id + 1000, name="bob")
    await storage.ledger.declare(Account("user", bob.id), 0, unlimited=True)
    callers = [Caller(user=user, group="default") for user in (at.world.user, bob, at.world.user)]
    assert [(await at.ask(caller=caller)).status for caller in callers] == [200, 200, 429]
    assert (await used(at, "group", "default", "2026-11")).spent == 40


async def test_two_hundred_at_once_pass_no_budget(storage: Storage) -> None:
    """On a day for seven, two hundred at once: seven are served, and nobody's sums are off."""
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await served(Usage(input=PROMPT, output=10))(scope)
        for message in answer():
            await send(message)

    at = await limited(
        storage, Wall(), inner=app, user={"budget": Budget(day=7 * RESERVED + 1)}, budget=Budget(week=10**9)
    )
    callers = [Connection(at.app, at.scope()).start() for _ in range(200)]
    account = Account("user", at.world.user.id, "2026-11-25")
    while (await storage.ledger.balance(account)).reserved < 7 * RESERVED:
        await settled(1)
    go.set()
    statuses = [(await caller.answer()).status for caller in callers]
    assert (statuses.count(200), statuses.count(429)) == (7, 193)
    balance = await used(at, "user", at.world.user.id, "2026-11-25")
    assert (balance.spent, balance.reserved, balance.available) == (7 * RESERVED, 0, 1)
    week = await used(at, "token", at.world.token.id, "2026-W48")
    assert (week.spent, week.reserved) == (7 * RESERVED, 0)


steps = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 60), st.sampled_from(["go", "go", "end", "day"])), max_size=25
)


@settings(deadline=None)
@given(plan=steps, limits=st.lists(st.none() | st.integers(0, 200), min_size=3, max_size=3))
async def test_no_interleaving_passes_a_budget(plan: Sequence[tuple[int, int, str]], limits: list[int | None]) -> None:
    """Whatever begins, ends, costs more than it set aside, and whichever midnight comes in between."""
    wall, storage = Wall(), MemoryStorage()
    waiting: list[tuple[asyncio.Event, list[int]]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        gate, cost = asyncio.Event(), [0]
        waiting.append((gate, cost))
        await gate.wait()
        exchange = Exchange.of(scope)
        exchange.usage, exchange.outcome, exchange.reached_upstream = Usage(input=cost[0]), Outcome.COMPLETED, True
        for message in answer():
            await send(message)

    at = await limited(storage, wall, inner=app)
    budgets = [Budget(day=limits[0]), Budget(week=limits[1]), Budget(month=limits[2])]
    names = {"2026-11-25", "2026-W48", "2026-11"}
    callers = []
    for who, cost, what in plan:
        if what == "go":
            token = replace(at.world.token, budget=budgets[who])
            caller = Caller(user=at.world.user, token=token, group="default")
            callers.append(Connection(at.app, at.scope(caller=caller)).start())
        elif what == "end" and waiting:
            gate, costs = waiting.pop(who % len(waiting))
            costs[0] = cost
            gate.set()
        elif what == "day":
            wall.now += DAY
            periods = at.layer.calendar.periods(wall.now)
            names |= set(periods)
        await settled(3)
        for name in names:
            balance = await used(at, "token", at.world.token.id, name)
            limit = balance.granted
            assert 0 <= balance.spent + balance.reserved <= max(limit, 0)
            assert balance.available == limit - balance.spent - balance.reserved
    for gate, _ in waiting:
        gate.set()
    for connection in callers:
        await connection.answer()
    assert await storage.ledger.open_reservations() == 0
