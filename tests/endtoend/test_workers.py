"""Four processes on one SQLite file behave as one gateway: limits, metrics, keys, and one of them killed."""

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from support.caller import Call, Caller, get
from support.gateway_process import GatewayProcess, run_command
from support.gateway_settings import DEV, Payer, reserved, settings
from support.scripted_upstream import Gate, ScriptedServer, answer, gated, stream
from support.waiting import eventually

WORKERS = 4
CALLERS = 100
REQUESTS = 23
SUCCESSES = 17
CONCURRENCY = 9
MAX_TOKENS = 20
TOKENS_COVERED = 11
TOKENS_EACH = reserved(Caller(0, "", model="tokens", max_tokens=MAX_TOKENS).request("tokens-00"), 0) + MAX_TOKENS
"""What one call is expected to use: a token for 3 bytes of it, and the output that it asks for."""

SECONDS = 2.0
"""Until every process knows what another one changed: `storage.sync` is 1 s, and asking takes its time."""

LIMITS = f"""
[limits]
failed_authentications = ""
[[rate_limits]]
per = "token"
models = ["requests"]
requests = "{REQUESTS}/hour"
[[rate_limits]]
per = "token"
models = ["successes"]
successes = "{SUCCESSES}/hour"
[[rate_limits]]
per = "token"
models = ["tokens"]
tokens = "{TOKENS_COVERED * TOKENS_EACH + TOKENS_EACH // 2}/hour"
[[rate_limits]]
per = "user"
models = ["concurrent"]
concurrency = {CONCURRENCY}
"""

MODELS = ("requests", "successes", "tokens", "concurrent", "quick", "open")
OTHER = Payer("other")

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Deployment:
    """The gateway and its upstream."""

    gateway: GatewayProcess
    upstream: ScriptedServer

    async def at_once(self, model: str, count: int = CALLERS) -> "list[asyncio.Task[Call]]":
        """So many calls for a model over connections that lie with all workers, sent at once."""
        calls = await self.gateway.spread(count)
        caller = Caller(self.gateway.port, DEV.key, model=model, max_tokens=MAX_TOKENS)
        await asyncio.gather(*(caller.send(call, f"{model}-{number:02}") for number, call in enumerate(calls)))
        return [asyncio.create_task(call.ended()) for call in calls]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def deployment(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Deployment]:
    """Four workers, started for the first time."""
    with ScriptedServer({model: answer(tokens=(10, 5)) for model in MODELS}) as upstream:
        text = settings(upstream.port, MODELS, payers=[DEV, OTHER], more=LIMITS)
        with GatewayProcess(tmp_path_factory.mktemp("workers"), text, workers=WORKERS) as gateway:
            await gateway.ready()
            yield Deployment(gateway, upstream)
            assert await gateway.terminate() == 0


def check_refused(calls: list[Call]) -> None:
    """Each was refused by a rate limit, and told when to come again."""
    for call in calls:
        assert (call.status, call.error["code"]) == (429, "rate_limit_exceeded")
        assert int(call.headers["retry-after"]) >= 1


@pytest.mark.parametrize(("model", "limit"), [("requests", REQUESTS), ("successes", SUCCESSES)])
async def test_a_limit_of_requests_is_exact_over_all_workers(deployment: Deployment, model: str, limit: int) -> None:
    """Of a hundred at once exactly as many are served as the limit says, and a token of its own has its own."""
    calls = await asyncio.gather(*await deployment.at_once(model))
    assert sum(call.status == 200 for call in calls) == limit
    check_refused([call for call in calls if call.status != 200])
    assert (await Caller(deployment.gateway.port, OTHER.key, model=model).call()).status == 200


async def test_a_limit_of_tokens_is_exact_over_all_workers(deployment: Deployment) -> None:
    """While no answer has come, as many are let in as their expected tokens fit."""
    gate, upstream = Gate(), deployment.upstream
    upstream.scripts["tokens"] = gated(gate, answer(tokens=(10, 5)))
    before = len(upstream.visits)
    tasks = await deployment.at_once("tokens")
    await eventually(lambda: sum(task.done() for task in tasks) >= CALLERS - TOKENS_COVERED, 30, "refusals")
    await eventually(lambda: len(upstream.visits) - before >= TOKENS_COVERED, 10, "arrival of the others")
    gate.open()
    calls = await asyncio.gather(*tasks)
    assert sum(call.status == 200 for call in calls) == TOKENS_COVERED
    check_refused([call for call in calls if call.status != 200])


async def test_open_requests_are_limited_over_all_workers_and_their_slots_come_back(deployment: Deployment) -> None:
    """No more than the limit are ever with the upstream; when they are done, as many again."""
    upstream = deployment.upstream
    for _ in range(2):
        gate = Gate()
        upstream.scripts["concurrent"] = gated(gate, answer(tokens=(10, 5)))
        before = len(upstream.visits)
        tasks = await deployment.at_once("concurrent")
        await eventually(lambda tasks=tasks: sum(task.done() for task in tasks) >= CALLERS - CONCURRENCY, 30, "refusal")
        await eventually(lambda before=before: len(upstream.visits) - before >= CONCURRENCY, 10, "arrival")
        assert deployment.gateway.books.slots == CONCURRENCY
        gate.open()
        calls = await asyncio.gather(*tasks)
        assert sum(call.status == 200 for call in calls) == CONCURRENCY
        check_refused([call for call in calls if call.status != 200])
        await eventually(lambda: deployment.gateway.books.slots == 0, 5, "return of the slots")


async def counted(deployment: Deployment, model: str) -> int:
    """The requests for a model by `/metrics` of whichever worker answers."""
    text = (await get(deployment.gateway.port, "/metrics"))[1].decode()
    lines = re.findall(rf'^gateway_requests_total{{[^}}]*model="{model}"[^}}]*}} (\S+)$', text, re.MULTILINE)
    return round(sum(map(float, lines)))


async def test_any_worker_shows_the_metrics_of_all(deployment: Deployment) -> None:
    """Wherever `/metrics` is asked for, the number soon is that of all requests: each process writes once a second."""
    calls = await asyncio.gather(*await deployment.at_once("quick"))
    assert {call.status for call in calls} == {200}
    deadline = time.monotonic() + SECONDS
    while (seen := [await counted(deployment, "quick") for _ in range(5 * WORKERS)]) != [CALLERS] * 5 * WORKERS:
        assert max(seen) <= CALLERS
        assert time.monotonic() < deadline, f"seen at last: {seen}"


async def test_the_root_token_is_printed_once_by_one_process(deployment: Deployment) -> None:
    """And it works."""
    keys = re.findall(r"root token, shown this once: (sk-\S+)", deployment.gateway.output)
    assert len(keys) == 1
    assert "root token" not in deployment.gateway.log
    assert (await Caller(deployment.gateway.port, keys[0], model="quick").call()).status == 200


async def statuses(gateway: GatewayProcess, key: str) -> set[int]:
    """What callers with a key get from all workers."""
    caller = Caller(gateway.port, key, model="quick")
    calls = [await caller.send(call) for call in await gateway.spread(5 * WORKERS)]
    return {call.status for call in await asyncio.gather(*(call.ended() for call in calls))}


async def test_a_token_that_is_disabled_from_outside_stops_everywhere_soon(deployment: Deployment) -> None:
    """Made, disabled and enabled by the command line beside the running workers: each of them obeys within 2 s."""
    gateway = deployment.gateway
    key = await asyncio.to_thread(run_command, gateway.config, "token", "add", "guest", "--unlimited")
    assert await statuses(gateway, key.strip()) == {200}
    for command, expected in (("disable", 401), ("enable", 200)):
        await asyncio.to_thread(run_command, gateway.config, "token", command, "guest")
        deadline = time.monotonic() + SECONDS
        while await statuses(gateway, key.strip()) != {expected}:
            assert time.monotonic() < deadline, f"not every worker knows of {command}"


async def test_a_worker_that_is_killed_leaves_nothing_open_and_disturbs_nobody(deployment: Deployment) -> None:
    """Streams of the others go on; what it had reserved is closed once, as lost; another one takes its place."""
    gateway, upstream, gate = deployment.gateway, deployment.upstream, Gate()
    upstream.scripts["open"] = stream(6, tokens=(10, 5), between=gate)
    caller = Caller(gateway.port, DEV.key, model="open", stream=True)
    calls = [await caller.send(call, f"open-{index}") for index, call in enumerate(await gateway.spread(40))]
    await asyncio.gather(*(call.until(lambda call=call: len(call.events) == 3) for call in calls))
    victim, held = max((len(ports), pid) for pid, ports in gateway.connections.items())[::-1]
    os.kill(victim, signal.SIGKILL)
    await eventually(lambda: f"worker {victim} ended with -9" in gateway.log, 10, "notice of its death")
    await eventually(lambda: len(set(gateway.workers) - {victim}) == WORKERS, 30, "another worker")
    await eventually(lambda: gateway.books.open_reservations == len(calls) - held, 20, "recovery of what was lost")
    gate.open()
    await asyncio.gather(*(call.ended() for call in calls))
    await eventually(lambda: gateway.books.open_reservations == 0, 5, "settlement of the others")
    assert sum(call.whole for call in calls) == len(calls) - held
    for index, call in enumerate(calls):
        (charge,) = gateway.books.charges(f"open-{index}")
        if call.whole:
            assert (call.events[-1], charge["outcome"], charge["charged"]) == ("[DONE]", "completed", 25)
        else:
            assert (charge["outcome"], charge["charged"]) == ("lost", charge["prompt_amount"])
    assert await statuses(gateway, DEV.key) == {200}


async def test_the_second_start_prints_no_token_and_finds_the_limits_used_up(tmp_path: Path) -> None:
    """What is remembered is remembered by all: no root token again, and a full window stays full."""
    with ScriptedServer({model: answer() for model in MODELS}) as upstream:
        text = settings(upstream.port, MODELS, more=LIMITS)
        for served in (REQUESTS, 0):
            with GatewayProcess(tmp_path, text, workers=2) as gateway:
                await gateway.ready()
                caller = Caller(gateway.port, DEV.key, model="requests")
                calls = [await caller.call() for _ in range(REQUESTS + 2)]
                assert sum(call.status == 200 for call in calls) == served
                assert gateway.output.count("root token") == bool(served)
                assert await gateway.terminate() == 0
