"""Set aside before anything is sent, settled once whatever happens, and never more than there is."""

import asyncio
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from asgi_gateway.errors import CallerLeft, NoChannelAvailable, ServiceUnavailable, UpstreamError
from asgi_gateway.exchange import Caller, Exchange, ModelChoice
from asgi_gateway.middleware import QuotaMiddleware
from asgi_gateway.storage.protocols import NO_BUDGETS
from asgi_gateway.storage.records import Account, Charge, Group, Outcome, Reservation, Settlement, Usage
from asgi_gateway.types import Receive, Scope, Send
from support.asgi import Connection, settled, socket_scope
from support.exchanges import PRICES, Inner, answer, begun, channel, chat, make_world
from support.till import BODY, PROMPT, RESERVED, served, till


async def test_it_is_set_aside_before_the_inside_is_called() -> None:
    """Prompt bytes / 3 at the price of input, and what the caller lets the answer have at the price of output."""
    open_inside: list[tuple[int, int]] = []

    async def step(scope: Scope) -> None:
        reservation = Exchange.of(scope).reservation
        assert reservation is not None
        balance = await at.world.balance()
        open_inside.append((reservation.amount, balance.reserved))
        assert reservation.prompt_amount == PROMPT

    at = await till(step)
    await at.ask()
    assert open_inside == [(RESERVED, RESERVED)]
    assert await at.world.storage.ledger.open_reservations() == 0


async def test_it_is_settled_by_the_real_usage() -> None:
    """The rest comes back, on the user's and on the token's account, and the record says it all."""
    at = await till(served(), world=await make_world(channel(), quota=1000, group="vip", show_route=True))
    await at.ask(headers={"x-request-id": "mine"})
    charge = await at.only()
    assert (charge.charged, charge.shortfall) == (20, 0)
    for kind in ("user", "token"):
        balance = await at.world.balance(kind)
        assert (balance.spent, balance.reserved) == (20, 0)
    reservation, settlement = charge.reservation, charge.settlement
    assert (reservation.user, reservation.token, reservation.group, reservation.model) == (
        "alice",
        "dev",
        "default",
        "m-1",
    )
    assert (reservation.operation, reservation.client_id) == ("chat", "mine")
    assert reservation.request_id.startswith("req_")
    assert reservation.price_version
    assert (settlement.outcome, settlement.status, settlement.error) == (Outcome.COMPLETED, 200, "")
    assert (settlement.channel, settlement.upstream_model, settlement.ratio) == ("first", "m-1-up", "1")
    assert 0 < settlement.first_byte <= settlement.duration


async def test_the_groups_ratio_multiplies_the_charge() -> None:
    """Reservation and charge alike, and the ratio is kept on the record."""
    world = await make_world(channel(), groups={"vip": Group(name="vip", ratio=Decimal("0.5"))})
    at = await till(served(), world=world)
    await at.ask(group="vip")
    charge = await at.only()
    assert (charge.charged, charge.settlement.ratio) == (10, "0.5")
    assert charge.reservation.amount == -(-RESERVED // 2)


async def test_without_a_limit_the_default_output_is_set_aside() -> None:
    """Where the caller set none; operations without output set none aside."""
    at = await till(served(), quota=10_000, default_output=100)
    await at.ask(body=chat())
    assert (await at.only()).reservation.amount == -(-len(chat()) // 3) + 200
    body = b'{"model": "m-1", "input": "text"}'
    at = await till(served())
    await at.ask(path="/v1/embeddings", body=body)
    assert (await at.only()).reservation.amount == -(-len(body) // 3)


async def test_a_dearer_class_of_service_that_is_asked_for_is_set_aside() -> None:
    """A cheaper one is not counted on: the upstream may not grant it."""
    price = replace(PRICES["m-1"], service_tiers={"priority": Decimal(2), "flex": Decimal("0.5")}, version="")
    for tier, factor in (("priority", 2), ("flex", 1), ("auto", 1)):
        body = chat(max_tokens=10, service_tier=tier)
        at = await till(served(), world=await make_world(channel(), quota=1000, prices={"m-1": price}))
        await at.ask(body=body)
        assert (await at.only()).reservation.amount == (-(-len(body) // 3) + 20) * factor


async def test_what_is_not_covered_is_refused_before_anything_is_sent() -> None:
    """429 `insufficient_quota`, not to be tried again; nothing stays reserved, nothing is recorded."""
    at = await till(served(), quota=RESERVED - 1)
    seen = await at.ask()
    assert seen.status == 429
    assert seen.json()["error"]["code"] == "insufficient_quota"
    assert seen.header("x-should-retry") == "false"
    assert at.inner.calls == 0
    assert (await at.world.balance()).reserved == 0
    assert await at.charges() == []


async def test_a_token_bounds_what_it_may_take_of_its_user() -> None:
    """Both accounts must cover it."""
    world = await make_world(channel(), quota=1000, unlimited=False)
    at = await till(served(), world=world)
    assert (await at.ask()).status == 429
    await world.storage.ledger.grant(Account("token", world.token.id), 50)
    assert (await at.ask()).status == 200
    assert (await world.balance("token")).available == 30


async def test_an_identity_is_charged_without_a_token() -> None:
    """Only the user's account is touched."""
    at = await till(served())
    await at.ask(token=False)
    charge = await at.only()
    assert charge.reservation.token == ""
    assert charge.reservation.accounts == (Account("user", at.world.user.id),)


async def test_an_unlimited_caller_is_counted_and_never_refused() -> None:
    """Spent grows past anything granted."""
    at = await till(served(), world=await make_world(channel(), quota=0, user={"unlimited": True}))
    assert (await at.ask()).status == 200
    assert (await at.world.balance()).spent == 20


@pytest.mark.parametrize("unpriced", ["refuse", "free"])
async def test_a_model_without_a_price_is_refused_or_free(unpriced: Any) -> None:
    """As the deployer says; what is free is recorded all the same."""
    at = await till(served(), quota=0, unpriced=unpriced)
    seen = await at.ask(model="m-2", body=chat("m-2"))
    if unpriced == "refuse":
        assert seen.status == 400
        assert (seen.json()["error"]["code"], seen.json()["error"]["param"]) == ("model_price_missing", "model")
        assert at.inner.calls == 0
    else:
        assert seen.status == 200
        charge = await at.only()
        assert (charge.charged, charge.reservation.price_version) == (0, "free")
        assert charge.settlement.usage.total_input == 10


async def test_a_price_of_nothing_is_a_price() -> None:
    """A model that costs 0 is served with an empty balance."""
    world = await make_world(channel(), quota=0, prices={"m-1": replace_price()})
    at = await till(served(), world=world)
    assert (await at.ask()).status == 200
    assert (await at.only()).charged == 0


def replace_price() -> Any:
    from support.exchanges import PRICES

    return replace(PRICES["m-1"], input=Decimal(0), output=Decimal(0))


FULL = Usage(input=10, output=5)
ENDINGS: dict[str, tuple[Any, dict[str, Any], int, Outcome]] = {
    "answered": (None, {"outcome": Outcome.COMPLETED}, 20, Outcome.COMPLETED),
    "cut": (UpstreamError("broken"), {"outcome": Outcome.TRUNCATED}, 20, Outcome.TRUNCATED),
    "failed upstream": (
        UpstreamError("no"),
        {"outcome": Outcome.UPSTREAM_FAILED, "usage": None},
        0,
        Outcome.UPSTREAM_FAILED,
    ),
    "refused by us": (
        NoChannelAvailable("none"),
        {"outcome": None, "usage": None, "reached_upstream": False},
        0,
        Outcome.REFUSED,
    ),
    "left": (CallerLeft(), {"outcome": Outcome.CALLER_LEFT}, 20, Outcome.CALLER_LEFT),
    "left before anything was sent": (
        CallerLeft(),
        {"outcome": None, "usage": None, "reached_upstream": False},
        0,
        Outcome.CALLER_LEFT,
    ),
    "left between two attempts": (
        CallerLeft(),
        {"outcome": Outcome.UPSTREAM_FAILED, "usage": None},
        0,
        Outcome.CALLER_LEFT,
    ),
    "a fault of ours": (
        ZeroDivisionError(),
        {"outcome": Outcome.UPSTREAM_FAILED, "usage": None},
        0,
        Outcome.UPSTREAM_FAILED,
    ),
}


@pytest.mark.parametrize("ending", ENDINGS)
async def test_every_ending_is_settled_once(ending: str) -> None:
    """Each outcome has its charge, and nothing stays reserved."""
    error, fields, charged, outcome = ENDINGS[ending]

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await served(**{"usage": FULL, **fields})(scope)
        if error is not None:
            raise error
        for message in answer():
            await send(message)

    at = await till(inner=app)
    async with Connection(at.app, at.scope()) as caller:
        await caller.over()
    charge = await at.only()
    assert (charge.charged, charge.settlement.outcome) == (charged, outcome)
    assert charge.settlement.error == ("" if error is None else getattr(error, "code", type(error).__name__))
    balance = await at.world.balance()
    assert (balance.spent, balance.reserved) == (charged, 0)


async def test_a_cancelled_exchange_is_settled() -> None:
    """Whoever cancels: what came is charged, by the time the task has ended."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await served(outcome=Outcome.CALLER_LEFT, usage=None, output_estimate=3)(scope)
        await asyncio.get_running_loop().create_future()

    at = await till(inner=app)
    async with Connection(at.app, at.scope()) as caller:
        await settled()
        caller.cancel()
        await caller.over()
    charge = await at.only()
    assert charge.charged == -(-len(BODY) // 4) + 6
    assert charge.settlement.usage.estimated
    assert (charge.settlement.outcome, charge.settlement.error) == (Outcome.CALLER_LEFT, "CancelledError")


async def test_an_answer_without_usage_is_estimated() -> None:
    """Prompt bytes / 4 and what was counted of the output, marked as estimated."""
    at = await till(served(None, output_estimate=7))
    await at.ask()
    charge = await at.only()
    assert charge.settlement.usage == Usage(input=-(-len(BODY) // 4), output=7, estimated=True)


async def test_a_charge_above_the_reservation_takes_what_there_is() -> None:
    """Never more than the balance holds: the rest is the shortfall."""
    at = await till(served(Usage(input=500, output=500)), quota=RESERVED + 5)
    assert (await at.ask()).status == 200
    charge = await at.only()
    assert (charge.settlement.charge, charge.charged, charge.shortfall) == (1500, RESERVED + 5, 1500 - RESERVED - 5)
    assert (await at.world.balance()).available == 0


async def test_two_hundred_callers_never_spend_more_than_there_is() -> None:
    """On a balance for seven, two hundred at once: seven are served."""
    go = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await go.wait()
        await served(Usage(input=PROMPT, output=10))(scope)
        for message in answer():
            await send(message)

    at = await till(inner=app, quota=7 * RESERVED + RESERVED - 1)
    callers = [Connection(at.app, at.scope()).start() for _ in range(200)]
    await settled()
    assert (await at.world.balance()).reserved == 7 * RESERVED
    go.set()
    statuses = [(await caller.answer()).status for caller in callers]
    assert statuses.count(200) == 7
    assert statuses.count(429) == 193
    balance = await at.world.balance()
    assert (balance.spent, balance.reserved, balance.available) == (7 * RESERVED, 0, RESERVED - 1)


async def test_one_request_id_a_hundred_times_is_a_hundred_charges() -> None:
    """A caller's id is correlation only: each call has a key of its own."""
    at = await till(served(), quota=100_000)
    for _ in range(100):
        assert (await at.ask(headers={"x-request-id": "always-the-same"})).status == 200
    charges = await at.charges()
    assert len({charge.reservation.key for charge in charges}) == 100
    assert {charge.reservation.client_id for charge in charges} == {"always-the-same"}
    assert (await at.world.balance()).spent == 2000


async def test_a_socket_reserves_without_a_body() -> None:
    """There is no prompt yet; the output that a socket may have is set aside."""
    at = await till(served(), quota=1000, default_output=100)
    scope, exchange = begun(socket_scope())
    exchange.caller = Caller(user=at.world.user, token=at.world.token, group="default")
    exchange.model = ModelChoice("live", "live")
    async with Connection(at.app, scope) as caller:
        await caller.over()
    charge = await at.only()
    assert (charge.reservation.amount, charge.reservation.prompt_amount) == (200, 0)


class Ledger:
    """A ledger that is away at one of its verbs."""

    def __init__(self, ledger: Any, *, reserve: Exception | None = None, settle: Any = None) -> None:
        self._ledger, self._reserve, self._settle = ledger, reserve, settle

    async def reserve(self, reservation: Reservation, budgets: Any = NO_BUDGETS) -> None:
        if self._reserve is not None:
            raise self._reserve
        await self._ledger.reserve(reservation, budgets)

    def settle(self, reservation: Reservation, settlement: Settlement) -> "asyncio.Future[Charge]":
        if isinstance(self._settle, Exception):
            raise self._settle
        found: asyncio.Future[Charge] = self._settle
        return found


async def test_without_a_ledger_no_priced_work_is_taken() -> None:
    """503, and the upstream sees nothing."""
    at = await till(served())
    at.layer.ledger = Ledger(at.world.storage.ledger, reserve=ServiceUnavailable("the database is away"))
    assert (await at.ask()).status == 503
    assert at.inner.calls == 0


async def test_a_settlement_that_is_not_taken_is_told_to_the_log_and_not_to_the_caller(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The answer was given; whoever keeps the books must hear of it."""
    at = await till(served())
    at.layer.ledger = Ledger(at.world.storage.ledger, settle=ServiceUnavailable("the storage is closed"))
    assert (await at.ask()).status == 200
    assert ["the storage is closed" in record.getMessage() for record in caplog.records] == [True]


async def test_a_wrong_option_fails_at_once() -> None:
    """`unpriced` has two values."""
    world = await make_world()
    wrong: Any = "ignore"
    with pytest.raises(ValueError, match="refuse"):
        QuotaMiddleware(Inner(), ledger=world.storage.ledger, directory=world.directory, unpriced=wrong)
