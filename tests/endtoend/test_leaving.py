"""A caller who leaves stops the upstream exchange within a second, at whatever moment, and is charged for what came."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from support import patient_gateway
from support.caller import Call, Caller, get
from support.gateway_process import GatewayProcess
from support.gateway_settings import DEV, counted, settings
from support.scripted_upstream import CONTENT, ScriptedServer, Visit, answer, refuse, stall, stream
from support.waiting import eventually

DEADLINE = 1.0
"""Seconds until the upstream's socket is closed and the charge is stored."""

LONG = 100_000
"""Bytes of a plain answer, of which the relay does not hold all."""

SCRIPTS = {
    "quick": answer(tokens=(10, 5)),
    "no-headers": stall("headers"),
    "no-body": stall("body"),
    "only-role": stall("role"),
    "half-plain": stall("text", text="some words"),
    "long-plain": stall("text", text="x" * LONG),
    "five-events": stream(5, end_with="silence"),
    "paced": stream(100_000, pace=0.02),
    "broken": refuse(500),
}

# A limit of one open request shows a slot that is not given back.
MORE = """
[[rate_limits]]
per = "token"
concurrency = 1
[retry]
attempts = 5
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[GatewayProcess, ScriptedServer]]:
    """The real server, whose back-off after a second failure lasts half a minute, and the upstream."""
    with ScriptedServer(dict(SCRIPTS)) as upstream:
        text = settings(upstream.port, list(SCRIPTS), channels=5, more=MORE)
        program = (patient_gateway.__file__,)
        with GatewayProcess(tmp_path_factory.mktemp("leaving"), text, program=program) as gateway:
            yield await gateway.ready(), upstream
            assert await gateway.terminate() == 0


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def left(
    served: tuple[GatewayProcess, ScriptedServer], model: str, *, plain: bool, after: int = 0
) -> tuple[Visit, dict[str, object], bytes]:
    """Call, leave once the upstream fell silent and `after` bytes have come; the visit, the charge and the request."""
    gateway, upstream = served
    caller = Caller(gateway.port, DEV.key)
    id = f"{model}-{'plain' if plain else 'stream'}"
    body = {"model": model, "stream": not plain}
    call = await caller.begin(id, **body)
    await eventually(lambda: (visit := upstream.visit(id)) is not None and visit.spoke, 10, "silence of the upstream")
    await call.until(lambda: len(call.body) >= after)
    assert not call.whole
    gone = time.monotonic()
    call.leave()
    visit = upstream.visit(id)
    assert visit is not None
    await eventually(lambda: visit.closed is not None, 5 * DEADLINE, "close of the upstream's socket")
    assert visit.closed is not None
    assert visit.ended is None
    assert visit.closed - gone <= DEADLINE
    await eventually(lambda: len(gateway.books.charges(id)) == 1, DEADLINE, "charge record")
    await nothing_left(gateway)
    return visit, gateway.books.charges(id)[0], caller.request(id, **body)


async def nothing_left(gateway: GatewayProcess) -> None:
    """No reservation is open, and the only slot is free: another call is served."""
    assert gateway.books.open_reservations == 0
    account, _ = gateway.books.accounts(DEV.name)
    assert account["reserved"] == 0
    assert account["granted"] == account["spent"] + account["available"]
    assert account["spent"] == sum(charge["charged"] for charge in gateway.books.charges())
    assert (await Caller(gateway.port, DEV.key, model="quick").call()).status == 200


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "streamed"])
async def test_before_the_upstreams_headers(served: tuple[GatewayProcess, ScriptedServer], plain: bool) -> None:
    """The upstream is computing: it is stopped, and the prompt is charged."""
    _, charge, request = await left(served, "no-headers", plain=plain)
    assert charge["outcome"] == "caller_left"
    assert charge["cost"] == charge["charged"] == counted(request, 0)
    assert (charge["estimated"], charge["stream"], charge["output_tokens"]) == (1, not plain, 0)


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "streamed"])
async def test_before_the_first_of_the_answer(served: tuple[GatewayProcess, ScriptedServer], plain: bool) -> None:
    """Only headers came, of which the caller saw none: it is the same."""
    _, charge, request = await left(served, "no-body", plain=plain)
    assert charge["outcome"] == "caller_left"
    assert charge["charged"] == counted(request, 0)


async def test_before_the_first_event_that_says_something(served: tuple[GatewayProcess, ScriptedServer]) -> None:
    """An event that only names the role is held back, and is no output."""
    _, charge, request = await left(served, "only-role", plain=False)
    assert charge["outcome"] == "caller_left"
    assert charge["charged"] == counted(request, 0)


async def test_in_the_middle_of_a_silent_stream(served: tuple[GatewayProcess, ScriptedServer]) -> None:
    """What was written to the caller is counted and charged, token by token."""
    _, charge, request = await left(served, "five-events", plain=False, after=5 * len(CONTENT))
    assert charge["outcome"] == "caller_left"
    assert (charge["estimated"], charge["output_tokens"]) == (1, 5)
    assert charge["charged"] == counted(request, 5)


async def test_in_the_middle_of_a_flowing_stream(served: tuple[GatewayProcess, ScriptedServer]) -> None:
    """Events that keep coming do not keep the exchange alive."""
    gateway, upstream = served
    caller = Caller(gateway.port, DEV.key, model="paced", stream=True)
    call = await caller.begin("paced")
    await call.until(lambda: len(call.events) >= 10)
    seen = len(call.events)
    gone = time.monotonic()
    call.leave()
    await eventually(lambda: upstream.visits[-1].closed is not None, 5 * DEADLINE, "close of the upstream's socket")
    closed = upstream.visits[-1].closed
    assert closed is not None
    assert closed - gone <= DEADLINE
    await eventually(lambda: len(gateway.books.charges("paced")) == 1, DEADLINE, "charge record")
    charge = gateway.books.charges("paced")[0]
    assert charge["outcome"] == "caller_left"
    assert seen <= charge["output_tokens"] <= seen + DEADLINE / 0.02
    assert charge["charged"] == counted(caller.request("paced"), charge["output_tokens"])
    await nothing_left(gateway)


async def test_in_the_middle_of_a_plain_answer_that_is_held(served: tuple[GatewayProcess, ScriptedServer]) -> None:
    """Half a JSON came and nothing of it was released: only the prompt is charged."""
    _, charge, request = await left(served, "half-plain", plain=True)
    assert charge["outcome"] == "caller_left"
    assert charge["charged"] == counted(request, 0)


async def test_in_the_middle_of_a_long_plain_answer(served: tuple[GatewayProcess, ScriptedServer]) -> None:
    """What was released of a body that is too long to be held is charged."""
    _, charge, request = await left(served, "long-plain", plain=True, after=LONG)
    assert charge["outcome"] == "caller_left"
    assert charge["output_tokens"] == LONG // 4
    assert charge["charged"] == counted(request, LONG // 4)


@pytest.mark.parametrize("plain", [True, False], ids=["plain", "streamed"])
async def test_while_the_next_attempt_is_waited_for(served: tuple[GatewayProcess, ScriptedServer], plain: bool) -> None:
    """After two failures the back-off is left: no third attempt, and nothing to pay for answers that were none."""
    gateway, upstream = served
    id = f"back-off-{plain}"
    call = await Caller(gateway.port, DEV.key, model="broken", stream=not plain).begin(id)

    def tried() -> list[Visit]:
        return [visit for visit in upstream.visits if visit.id == id and visit.ended is not None]

    await eventually(lambda: len(tried()) == 2, 10, "second failure")
    call.leave()
    await eventually(lambda: len(gateway.books.charges(id)) == 1, DEADLINE, "charge record")
    charge = gateway.books.charges(id)[0]
    assert (charge["outcome"], charge["attempts"], charge["charged"]) == ("caller_left", 2, 0)
    assert len(tried()) == 2
    await nothing_left(gateway)


async def test_every_exchange_has_its_access_record(served: tuple[GatewayProcess, ScriptedServer]) -> None:
    """The log names the outcome, too; a caller who saw no status is told of with 499."""
    gateway, _ = served
    call = await Caller(gateway.port, DEV.key, model="no-headers").begin("logged")
    await eventually(lambda: any(visit.id == "logged" for visit in served[1].visits), 10, "visit")
    call.leave()
    await eventually(lambda: any(record["client_id"] == "logged" for record in gateway.records), 5, "access record")
    record = next(record for record in gateway.records if record["client_id"] == "logged")
    assert (record["outcome"], record["status"], record["attempts"]) == ("caller_left", 499, 1)


STORM = 400
AT_ONCE = 80


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_storm_of_callers_who_leave_at_any_moment_leaves_nothing_behind(tmp_path: Path, workers: int) -> None:
    """Before the body is whole, in the queue of the ledger, between attempts, after the end: the sums hold."""
    dice = random.Random(workers)
    limit = '[[rate_limits]]\nper = "token"\nconcurrency = 1000\nrequests = "100000/hour"\n[retry]\nattempts = 3'
    with ScriptedServer(dict(SCRIPTS)) as upstream:
        text = settings(upstream.port, list(SCRIPTS), channels=3, more=limit)
        with GatewayProcess(tmp_path, text, workers=workers) as gateway:
            await gateway.ready()
            ids = iter([f"storm-{number}" for number in range(STORM)])
            await asyncio.gather(*(pass_by(gateway.port, ids, dice) for _ in range(AT_ONCE)))
            books = gateway.books
            await eventually(lambda: upstream.in_flight == 0, DEADLINE, "close of all the upstream's sockets")
            await eventually(lambda: books.open_reservations == books.slots == 0, DEADLINE, "settlement")
            records = Counter(charge["client_id"] for charge in books.charges())
            seen = {visit.id for visit in upstream.visits}
            assert set(records.values()) == {1}
            assert seen <= set(records)
            assert len(seen) > STORM // 2
            spent = sum(charge["charged"] for charge in books.charges())
            for account in books.accounts(DEV.name):
                assert (account["spent"], account["reserved"]) == (spent, 0)
            deadline = time.monotonic() + 3
            while b"\ngateway_open_exchanges 0.0\n" not in (await get(gateway.port, "/metrics"))[1]:
                assert time.monotonic() < deadline, "something counts as open"
            assert await gateway.terminate() == 0
            assert "Traceback" not in gateway.log


async def pass_by(port: int, ids: Iterator[str], dice: random.Random) -> None:
    """Call again and again, and leave each time at a moment that the dice say."""
    for id in ids:
        model = dice.choice(list(SCRIPTS))
        caller = Caller(port, DEV.key, model=model, stream=dice.random() < 0.5)
        call = await Call.connect(port)
        moment = dice.choice([0.0, 0.003, 0.01, 0.05, 0.3]) * dice.random()
        await caller.send(call, id, whole=dice.random() < 0.9)
        try:
            async with asyncio.timeout(moment):
                await call.until(lambda: False)
        except TimeoutError:
            pass  # the moment has come
        call.leave()
