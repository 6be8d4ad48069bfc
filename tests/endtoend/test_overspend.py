"""Nobody spends more than a balance holds, however many call at once and whichever process serves them."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from support.caller import Call, Caller, get
from support.gateway_process import GatewayProcess
from support.gateway_settings import INPUT, OUTPUT, Payer, reserved, settings
from support.scripted_upstream import Gate, ScriptedServer, answer, gated
from support.waiting import eventually

CALLERS = 200
REPEATS = 100
MAX_TOKENS = 20
COVERED = 37
"""Calls that the balance covers while all of them are open."""

MODEL = "mm"
AMOUNT = reserved(Caller(0, "", model=MODEL, max_tokens=MAX_TOKENS).request("call-000"), MAX_TOKENS)
"""Units that one call sets aside: all ids have the same length."""

BALANCE = COVERED * AMOUNT + AMOUNT // 2

POOR = ("user", "token")


def payer(case: str, poor: str) -> Payer:
    """A payer for one test: the token's balance or the user's is nearly empty."""
    name = f"{case}-{poor}"
    return Payer(name, token_quota=BALANCE) if poor == "token" else Payer(name, user_quota=BALANCE)


HELD, EXACT, OVER, AGAIN = ({poor: payer(case, poor) for poor in POOR} for case in ("held", "exact", "over", "again"))
SAME_ID = Payer("same-id")
PAYERS = [*HELD.values(), *EXACT.values(), *OVER.values(), *AGAIN.values(), SAME_ID]


def costing(units: int) -> tuple[int, int]:
    """A usage that costs so many units: a token of output, the rest is input."""
    return (units - OUTPUT) // INPUT, 1


@dataclass(frozen=True)
class Sums:
    """A balance as it is seen from outside."""

    spent: int
    available: int
    reserved: int


@dataclass(frozen=True)
class Deployment:
    """A gateway and its upstream; `memory`: its ledger lies in the process."""

    gateway: GatewayProcess
    upstream: ScriptedServer
    memory: bool

    async def at_once(self, payer: Payer, ids: list[str]) -> list["asyncio.Task[Call]"]:
        """A call for each id, each over a connection of its own, all under way before any answer is read."""
        caller = Caller(self.gateway.port, payer.key, model=MODEL, max_tokens=MAX_TOKENS)
        calls = await self.gateway.spread(len(ids))
        await asyncio.gather(*(caller.send(call, id) for call, id in zip(calls, ids, strict=True)))
        return [asyncio.create_task(call.ended()) for call in calls]

    async def sums(self, payer: Payer) -> Sums:
        """The balance of whichever is poor, the token or the user, which both have the same turnover."""
        if self.memory:
            data = json.loads((await get(self.gateway.port, "/api/usage/token/", payer.key))[1])["data"]
            reserved = data["total_granted"] - data["total_used"] - data["total_available"]
            return Sums(data["total_used"], BALANCE - data["total_used"] - reserved, reserved)
        user, token = self.gateway.books.accounts(payer.name)
        assert (token["spent"], token["reserved"]) == (user["spent"], user["reserved"])
        poor = user if payer.token_quota is None else token
        assert poor["granted"] == poor["spent"] + poor["reserved"] + poor["available"]
        return Sums(poor["spent"], poor["available"], poor["reserved"])

    def charged(self, payer: Payer) -> list[int]:
        """What each charge record of a payer took, where they can be read."""
        return [charge["charged"] for charge in self.gateway.books.charges() if charge["token_name"] == payer.name]


IDS = [f"call-{number:03}" for number in range(CALLERS)]
STORAGES = {"memory": ("memory://", 1), "sqlite": (None, 1), "four-workers": (None, 4)}

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=STORAGES)
async def deployment(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Deployment]:
    """One of the storages that stand."""
    storage, workers = STORAGES[request.param]
    with ScriptedServer({}) as upstream:
        text = settings(upstream.port, [MODEL], payers=PAYERS)
        directory = tmp_path_factory.mktemp("overspend")
        with GatewayProcess(directory, text, storage=storage, workers=workers) as gateway:
            await gateway.ready()
            yield Deployment(gateway, upstream, memory=storage is not None)
            assert await gateway.terminate() == 0


def refusals(answers: list[Call]) -> list[Call]:
    """The answers that are none: each is a refusal for want of quota, which no client tries again."""
    refused = [call for call in answers if call.status != 200]
    for call in refused:
        assert call.whole, call.cut
        assert (call.status, call.error["code"], call.error["type"]) == (429, *["insufficient_quota"] * 2)
        assert call.headers["x-should-retry"] == "false"
    return refused


@pytest.mark.parametrize("poor", POOR)
async def test_open_calls_never_reserve_more_than_there_is(deployment: Deployment, poor: str) -> None:
    """While all answers are held back, exactly as many calls reach the upstream as the balance covers."""
    gate, upstream, cost = Gate(), deployment.upstream, AMOUNT // 3
    before = len(upstream.visits)
    upstream.scripts[MODEL] = gated(gate, answer(tokens=costing(cost)))
    calls = await deployment.at_once(HELD[poor], IDS)
    await eventually(lambda: sum(call.done() for call in calls) >= CALLERS - COVERED, 30, "refusal of all others")
    assert len(refusals([call.result() for call in calls if call.done()])) == CALLERS - COVERED
    await eventually(lambda: len(upstream.visits) - before >= COVERED, 10, "arrival of the others")
    assert len(upstream.visits) - before == COVERED
    assert (await deployment.sums(HELD[poor])).reserved == COVERED * AMOUNT
    gate.open()
    assert len(refusals(list(await asyncio.gather(*calls)))) == CALLERS - COVERED
    spent = COVERED * cost
    await settled(deployment, HELD[poor])
    assert await deployment.sums(HELD[poor]) == Sums(spent, BALANCE - spent, 0)
    if not deployment.memory:
        assert deployment.charged(HELD[poor]) == [cost] * COVERED


@pytest.mark.parametrize("poor", POOR)
async def test_a_balance_is_spent_to_the_last_call_that_it_covers(deployment: Deployment, poor: str) -> None:
    """Calls that cost what they set aside are served as often as the balance covers, in whatever order they come."""
    deployment.upstream.scripts[MODEL] = answer(tokens=costing(AMOUNT))
    answers = list(await asyncio.gather(*await deployment.at_once(EXACT[poor], IDS)))
    assert len(refusals(answers)) == CALLERS - COVERED
    await settled(deployment, EXACT[poor])
    assert await deployment.sums(EXACT[poor]) == Sums(COVERED * AMOUNT, AMOUNT // 2, 0)


@pytest.mark.parametrize("poor", POOR)
async def test_an_upstream_that_reports_more_than_was_set_aside_takes_no_more_than_there_is(
    deployment: Deployment, poor: str
) -> None:
    """A charge is bounded by what was reserved and what is left: the rest is a shortfall on the record."""
    cost = 5 * AMOUNT
    deployment.upstream.scripts[MODEL] = answer(tokens=costing(cost))
    answers = list(await asyncio.gather(*await deployment.at_once(OVER[poor], IDS)))
    served = CALLERS - len(refusals(answers))
    await settled(deployment, OVER[poor])
    sums = await deployment.sums(OVER[poor])
    assert sums.reserved == 0
    assert sums.spent + sums.available == BALANCE
    assert 0 <= sums.available < AMOUNT
    if not deployment.memory:
        charged = deployment.charged(OVER[poor])
        assert len(charged) == served
        assert sum(charged) == sums.spent
        assert min(charged) >= AMOUNT
        records = [row for row in deployment.gateway.books.charges() if row["token_name"] == OVER[poor].name]
        assert all(record["cost"] == record["charged"] + record["shortfall"] == cost for record in records)


async def test_calls_with_one_and_the_same_id_are_all_charged(deployment: Deployment) -> None:
    """A caller's own request id correlates and is never a key."""
    deployment.upstream.scripts[MODEL] = answer(tokens=costing(11))
    answers = await asyncio.gather(*await deployment.at_once(SAME_ID, ["the same"] * REPEATS))
    assert [call.status for call in answers] == [200] * REPEATS
    assert {call.headers["x-client-request-id"] for call in answers} == {"the same"}
    assert len({call.headers["x-request-id"] for call in answers}) == REPEATS
    await settled(deployment, SAME_ID)
    data = json.loads((await get(deployment.gateway.port, "/api/usage/token/", SAME_ID.key))[1])["data"]
    assert data["total_used"] == 11 * REPEATS
    if not deployment.memory:
        assert len(deployment.gateway.books.charges("the same")) == REPEATS


@pytest.mark.parametrize("poor", POOR)
async def test_a_restart_refills_nothing(tmp_path: Path, upstream: ScriptedServer, poor: str) -> None:
    """Balances are kept, whether the process was ended or killed."""
    upstream.scripts[MODEL] = answer(tokens=costing(AMOUNT))
    text = settings(upstream.port, [MODEL], payers=[AGAIN[poor]])
    for expected in ([200] * COVERED + [429], [429], [429]):
        with GatewayProcess(tmp_path, text) as gateway:
            await gateway.ready()
            caller = Caller(gateway.port, AGAIN[poor].key, model=MODEL, max_tokens=MAX_TOKENS)
            assert [(await caller.call("call-000")).status for _ in expected] == expected
            await eventually(lambda books=gateway.books: books.open_reservations == 0, 5, "settlement")
            account = gateway.books.accounts(AGAIN[poor].name)[POOR.index(poor)]
            assert (account["granted"], account["spent"], account["reserved"]) == (BALANCE, COVERED * AMOUNT, 0)
            if expected[0] == 200:
                assert await gateway.terminate() == 0


async def settled(deployment: Deployment, payer: Payer) -> None:
    """Wait until nothing of a payer is reserved: an answer is whole a moment before it is settled."""
    deadline = asyncio.get_running_loop().time() + 5
    while (await deployment.sums(payer)).reserved:
        assert asyncio.get_running_loop().time() < deadline
