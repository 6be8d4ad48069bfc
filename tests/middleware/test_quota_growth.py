"""An answer without a limit keeps what is set aside ahead of itself, and ends where nothing more can be."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from asgi_gateway.backends import SqlStorage
from asgi_gateway.errors import InsufficientQuota, ServiceUnavailable
from asgi_gateway.exchange import Caller, Exchange, ModelChoice
from asgi_gateway.middleware import QuotaMiddleware, growth
from asgi_gateway.storage.protocols import NO_BUDGETS
from asgi_gateway.storage.records import Account, Budget, Outcome, Price, Reservation, Settlement, Usage
from asgi_gateway.types import Receive, Scope, Send
from support.asgi import Connection, socket_scope
from support.exchanges import a_route, begun, channel, chat, make_world
from support.till import Till, till

BODY = chat(stream=True)
PROMPT = -(-len(BODY) // 3)
COUNTED = -(-len(BODY) // 4)
OUTPUT = 100
"""Tokens of output that are set aside, each of two units."""

RESERVED = PROMPT + 2 * OUTPUT
PIECE = b"data: " + b"x" * 5000 + b"\n\n"
"""More than the least step: what has come is looked at after each."""


class Meter:
    """What has come so far, as a test says."""

    def __init__(self) -> None:
        self.usage: Usage | None = None
        self.output_estimate = 0
        self.looks = 0


class Talk:
    """An inside that streams: after each piece as many tokens have come as the plan says, or a usage was reported."""

    def __init__(self, *plan: int | Usage, piece: bytes = PIECE, socket: bool = False) -> None:
        self.plan = plan
        self.piece = piece
        self.meter = Meter()
        self.reserved: list[int] = []
        """What is set aside after each piece."""
        self._socket = socket

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange.of(scope)
        exchange.meter, exchange.route, exchange.reached_upstream = self.meter, a_route(), True
        await send(self._start())
        try:
            for come in self.plan:
                if isinstance(come, Usage):
                    self.meter.usage = come
                else:
                    self.meter.output_estimate = come
                await send(self._message())
                assert exchange.reservation is not None
                self.reserved.append(exchange.reservation.amount)
        except BaseException:
            exchange.outcome = Outcome.TRUNCATED
            raise
        finally:
            exchange.usage, exchange.output_estimate = self.meter.usage, self.meter.output_estimate
        exchange.outcome = Outcome.COMPLETED
        end = {"type": "http.response.body", "body": b"", "more_body": False}
        await send({"type": "websocket.close", "code": 1000, "reason": ""} if self._socket else end)

    def _start(self) -> dict[str, Any]:
        if self._socket:
            return {"type": "websocket.accept", "subprotocol": None, "headers": []}
        headers = [(b"content-type", b"text/event-stream")]
        return {"type": "http.response.start", "status": 200, "headers": headers}

    def _message(self) -> dict[str, Any]:
        if self._socket:
            return {"type": "websocket.send", "text": self.piece.decode()}
        return {"type": "http.response.body", "body": self.piece, "more_body": True}


async def talking(talk: Talk, quota: int = 1_000_000, **world: Any) -> Till:
    return await till(inner=talk, world=await make_world(channel(), quota=quota, **world), default_output=OUTPUT)


async def test_more_is_set_aside_at_three_quarters() -> None:
    """As much again, each time; and settled is what came."""
    talk = Talk(10, 60, 80, 130, 160, 220)
    at = await talking(talk)
    assert (await at.ask(body=BODY)).status == 200
    assert talk.reserved == [RESERVED, RESERVED, 2 * RESERVED, 2 * RESERVED, 4 * RESERVED, 4 * RESERVED]
    charge = await at.only()
    assert (charge.charged, charge.shortfall) == (COUNTED + 440, 0)
    assert charge.reservation.amount == 4 * RESERVED
    assert charge.settlement.outcome is Outcome.COMPLETED
    balance = await at.world.balance()
    assert (balance.spent, balance.reserved) == (COUNTED + 440, 0)


async def test_one_leap_is_covered_at_once() -> None:
    """However much came since the last look, a quarter of what is set aside then is still left."""
    talk = Talk(5000)
    at = await talking(talk)
    await at.ask(body=BODY)
    assert talk.reserved[0] * 3 // 4 > COUNTED + 10_000
    assert (await at.only()).shortfall == 0


async def test_a_usage_that_was_reported_counts_before_the_count() -> None:
    """A prompt that cost more than it seemed, output as long as we counted it at least."""
    talk = Talk(Usage(input=160, output=1), 10, 60)
    at = await talking(talk)
    await at.ask(body=BODY)
    assert talk.reserved == [RESERVED, 2 * RESERVED, 2 * RESERVED]


async def test_where_nothing_more_is_left_it_goes_on_to_the_end_of_what_is_set_aside() -> None:
    """An answer that needs no more is whole; what came of one that does is charged, and never more than is there."""
    whole = Talk(80, 99)
    at = await talking(whole, quota=RESERVED)
    seen = await at.ask(body=BODY)
    assert (seen.status, seen.body) == (200, 2 * PIECE)
    assert (await at.only()).settlement.outcome is Outcome.COMPLETED

    cut = Talk(80, 99, 130, 140)
    at = await talking(cut, quota=RESERVED + 3)
    seen = await at.ask(body=BODY)
    assert seen.body.startswith(3 * PIECE)
    assert b"insufficient_quota" in seen.body
    assert seen.body.count(PIECE) == 3
    charge = await at.only()
    assert (charge.settlement.outcome, charge.settlement.error) == (Outcome.EXHAUSTED, "insufficient_quota")
    assert (charge.settlement.charge, charge.charged) == (COUNTED + 260, RESERVED + 3)
    assert (await at.world.balance()).available == 0


async def test_a_smaller_part_is_taken_where_the_whole_is_not_there() -> None:
    """The last eighths of a balance are used, too."""
    eighth = RESERVED // 8
    talk = Talk(80, 99, 105, 110, 150)
    at = await talking(talk, quota=RESERVED + 2 * eighth)
    seen = await at.ask(body=BODY)
    assert talk.reserved[0] == RESERVED + eighth
    assert max(talk.reserved) <= RESERVED + 2 * eighth
    assert b"insufficient_quota" in seen.body
    charge = await at.only()
    assert charge.charged == min(charge.settlement.charge, RESERVED + 2 * eighth)
    assert (await at.world.balance()).reserved == 0


async def test_a_budget_ends_an_answer_by_its_name() -> None:
    """The error event says when it starts anew."""
    talk = Talk(80, 300)
    at = await talking(talk, user={"unlimited": True}, budget=Budget(month=RESERVED))
    seen = await at.ask(body=BODY)
    assert b"The token's budget for the month" in seen.body
    assert b"It starts anew at" in seen.body
    assert (await at.only()).charged == RESERVED


@pytest.mark.parametrize("body", [chat(stream=True, max_tokens=100), chat()], ids=["limited", "plain"])
async def test_nothing_is_watched_that_cannot_pass(body: bytes) -> None:
    """The caller set a limit, or the answer does not come in pieces: `send` is the one that it was."""
    sends: list[Any] = []

    class Looked(Talk):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            sends.append(send)
            await super().__call__(scope, receive, send)

    at = await talking(Looked(5000))
    await at.ask(body=body)
    assert not isinstance(sends[0], growth.GrowingAnswer)


async def test_what_costs_nothing_is_not_watched() -> None:
    """A model that is free sets nothing aside, so nothing can be used up."""
    at = await till(inner=Talk(5000), world=await make_world(channel(), quota=0), unpriced="free")
    assert (await at.ask(model="m-2", body=chat("m-2", stream=True))).status == 200
    assert (await at.only()).reservation.amount == 0


async def test_without_a_meter_nothing_is_known() -> None:
    """A stack that does not read answers charges the prompt, and is not cut."""

    class Blind(Talk):
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def unmetered(message: Any) -> None:
                Exchange.of(scope).meter = None
                await send(message)

            await super().__call__(scope, receive, unmetered)

    talk = Blind(10, 5000)
    at = await talking(talk, quota=RESERVED)
    await at.ask(body=BODY)
    assert talk.reserved == [RESERVED] * 2


class Away:
    """A ledger whose `extend` fails in some way."""

    def __init__(self, ledger: Any, fail: Callable[[], Any]) -> None:
        self._ledger, self._fail = ledger, fail
        self.calls = 0

    async def reserve(self, reservation: Reservation, budgets: Any = NO_BUDGETS) -> None:
        await self._ledger.reserve(reservation, budgets)

    def settle(self, reservation: Reservation, settlement: Settlement) -> Any:
        return self._ledger.settle(reservation, settlement)

    async def extend(self, reservation: Reservation, amount: int) -> Reservation:
        self.calls += 1
        failing = self._fail()
        if isinstance(failing, BaseException):
            raise failing
        await failing
        raise AssertionError("it waits for ever")


@pytest.mark.parametrize(
    "fail",
    [
        lambda: ServiceUnavailable("away"),
        lambda: KeyError("closed"),
        lambda: asyncio.get_running_loop().create_future(),
    ],
    ids=["away", "closed by recovery", "silent"],
)
@pytest.mark.parametrize(("pause", "asked"), [(30.0, 1), (0.0, 3)], ids=["once", "again"])
async def test_a_ledger_that_is_away_stops_no_answer(
    fail: Any, pause: float, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes on, and is settled by what came; a ledger that does not answer is not waited for long, nor often."""
    monkeypatch.setattr(growth, "PATIENCE", 0.01)
    monkeypatch.setattr(growth, "PAUSE", pause)
    talk = Talk(80, 300, 600)
    at = await talking(talk)
    ledger = at.layer.ledger = Away(at.world.storage.ledger, fail)
    seen = await at.ask(body=BODY)
    assert (seen.status, seen.body) == (200, 3 * PIECE)
    assert ledger.calls == asked
    charge = await at.only()
    assert (charge.charged, charge.settlement.outcome) == (COUNTED + 1200, Outcome.COMPLETED)


async def test_small_pieces_are_looked_at_by_steps() -> None:
    """Not each of them: only once so many bytes passed that they could hold what is left."""

    class Counting(Meter):
        @property
        def looked(self) -> int:
            return self.looks

        def __getattribute__(self, name: str) -> Any:
            if name == "output_estimate":
                object.__setattr__(self, "looks", object.__getattribute__(self, "looks") + 1)
            return object.__getattribute__(self, name)

    talk = Talk(*range(1, 301), piece=b"data: " + b"y" * 92 + b"\n\n")
    talk.meter = Counting()
    at = await talking(talk)
    await at.ask(body=BODY)
    assert talk.reserved[-1] * 3 // 4 >= 2 * 300
    assert 3 <= talk.meter.looks <= 300 * 100 // growth.LEAST_STEP + 2


async def test_a_socket_grows_by_its_frames() -> None:
    """And is closed with 1008 where nothing is left."""
    for quota, code in ((1_000_000, 1000), (2 * OUTPUT, 1008)):
        talk = Talk(60, 90, 500, socket=True)
        at = await talking(talk, quota=quota)
        scope, exchange = begun(socket_scope())
        exchange.caller = Caller(user=at.world.user, token=at.world.token, group="default")
        exchange.model = ModelChoice("live", "live")
        async with Connection(at.app, scope) as caller:
            await caller.over()
        assert caller.messages[-1]["code"] == code
        charge = await at.only()
        assert charge.charged == min(1000, quota)
        assert charge.settlement.outcome is (Outcome.COMPLETED if code == 1000 else Outcome.EXHAUSTED)


async def test_a_refusal_after_the_last_look_is_raised_once() -> None:
    """The error is the ledger's own, whoever asks."""
    world = await make_world(channel(), quota=RESERVED)
    at = await till(inner=Talk(80, 500), world=world, default_output=OUTPUT)
    scope = at.scope(body=BODY)
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    with pytest.raises(InsufficientQuota, match="The user's quota does not cover"):
        await at.layer(scope, receive, send)
    assert len(sent) == 3


async def test_answers_that_grow_at_once_never_pass_a_budget_together() -> None:
    """Thirty streams on a budget for ten: each is served or cut, and the sums hold at every step."""
    limit = 10 * RESERVED
    plan = (60, 90, 150, 200, 300)
    world = await make_world(channel(), user={"unlimited": True}, budget=Budget(month=limit))
    at = await till(inner=Talk(), world=world, default_output=OUTPUT)
    talks = [Talk(*plan) for _ in range(30)]

    async def one(talk: Talk) -> None:
        layer = QuotaMiddleware(
            talk, ledger=world.storage.ledger, directory=world.directory, default_output=OUTPUT, wall=lambda: 0.0
        )

        async def send(message: Any) -> None:
            await asyncio.sleep(0)
            balance = await world.storage.ledger.balance(Account("token", world.token.id, "1970-01"))
            assert 0 <= balance.spent + balance.reserved <= limit

        async def receive() -> Any:
            return {"type": "http.request", "body": b""}

        with suppress(InsufficientQuota):
            await layer(at.scope(body=BODY), receive, send)

    await asyncio.gather(*(one(talk) for talk in talks))
    balance = await world.storage.ledger.balance(Account("token", world.token.id, "1970-01"))
    assert (balance.granted, balance.reserved) == (limit, 0)
    assert limit - RESERVED < balance.spent <= limit
    charges = await at.charges()
    assert sum(charge.charged for charge in charges) == balance.spent
    assert Outcome.EXHAUSTED in {charge.settlement.outcome for charge in charges}


async def test_a_quota_inside_a_quota_settles_both() -> None:
    """Each its own reservation, whichever grew; a refusal of the inner one is no exhausted answer of the outer."""
    world = await make_world(channel(), quota=1_000_000)
    options: dict[str, Any] = {"ledger": world.storage.ledger, "directory": world.directory, "default_output": OUTPUT}
    inner = QuotaMiddleware(Talk(60, 90), **options)
    at = await till(inner=inner, world=world, default_output=OUTPUT)
    await at.ask(body=BODY)
    assert len(await at.charges()) == 2
    assert await world.storage.ledger.open_reservations() == 0
    poor = await make_world(channel(), quota=RESERVED + 5)
    inner = QuotaMiddleware(Talk(1), **{**options, "ledger": poor.storage.ledger, "directory": poor.directory})
    at = await till(inner=inner, world=poor, default_output=OUTPUT)
    assert (await at.ask(body=BODY)).status == 429
    assert (await at.only()).settlement.outcome is Outcome.REFUSED


async def test_output_that_costs_nothing_is_not_looked_at() -> None:
    """Only the prompt has a price: however long the answer is, it cannot pass what is set aside."""
    talk = Talk(10_000)
    price = Price(input=Decimal(2), output=Decimal(0))
    world = await make_world(channel(), quota=PROMPT, prices={"m-1": price})
    at = await till(inner=talk, world=world)
    assert (await at.ask(body=BODY)).status == 200
    assert talk.reserved == [PROMPT]
    assert (await at.only()).charged == COUNTED


async def test_a_reservation_grows_in_a_database(tmp_path: Path) -> None:
    """The stored one: what is left of it comes back when the answer ends, whole or cut."""
    storage = SqlStorage(f"sqlite:///{tmp_path / 'gateway.db'}", False)
    await storage.open()
    try:
        world = await make_world(channel(), quota=2000, storage=storage)
        for talk in (Talk(60, 90, 200), Talk(60, 90, 5000)):
            at = await till(inner=talk, world=world, default_output=OUTPUT)
            await at.ask(body=BODY)
            await storage.ledger.drain()
        balance = await at.world.balance()
        assert (balance.granted, balance.spent, balance.reserved) == (2000, 2000, 0)
        charges = await at.charges()
        assert [charge.settlement.outcome for charge in charges] == [Outcome.EXHAUSTED, Outcome.COMPLETED]
        assert charges[1].charged == COUNTED + 400
        assert charges[0].shortfall > 0
    finally:
        await storage.close()
