"""`kill -9` at any moment: what the upstream served is charged exactly once, and nothing is left open.

The upstream appends the id of each request that it serves to a file, and syncs it, before it answers.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from support.caller import Caller
from support.gateway_process import GatewayProcess
from support.gateway_settings import DEV, PLENTY, settings
from support.scripted_upstream import ScriptedServer, answer, recorded, stream
from support.waiting import eventually

CALLERS = 80
IN_FLIGHT = 50
"""Requests that the upstream has and has not answered to the end, at the moment of a kill."""

MODELS = {"served-late": (0.15, 0.0), "served-early": (0.0, 0.15)}
"""Seconds until the upstream serves, and from there to the end of its answer."""

EVENTS = 5
TOKENS = (10, 5)
COST = 25


@dataclass
class Trial:
    """A gateway that is killed again and again, and what the upstream wrote down meanwhile."""

    directory: Path
    upstream: ScriptedServer
    lost: str
    seed: int
    ids: Iterator[int] = field(default_factory=itertools.count)
    whole: set[str] = field(default_factory=set)
    """Ids of calls whose caller has seen the end of a good answer."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.served = self.directory / "served"
        self.served.touch()
        for name, (before, after) in MODELS.items():
            plain = answer(tokens=TOKENS, delay=after)
            events = stream(EVENTS, pace=after / EVENTS, tokens=TOKENS)
            self.upstream.scripts[f"{name}-plain"] = recorded(self.served, plain, after=before)
            self.upstream.scripts[f"{name}-stream"] = recorded(self.served, events, after=before)

    def gateway(self, workers: int = 1) -> GatewayProcess:
        """One more process on the same database."""
        more = f'[billing]\nlost = "{self.lost}"\n'
        text = settings(self.upstream.port, list(self.upstream.scripts), more=more)
        return GatewayProcess(self.directory, text, workers=workers, measured=False)

    async def kill_under_load(self, gateway: GatewayProcess) -> int:
        """Call from all sides, and kill at a random moment; how many exchanges were in flight then."""
        callers = [asyncio.create_task(self._keep_calling(gateway.port)) for _ in range(CALLERS)]
        before = len(self.whole)
        await eventually(lambda: len(self.whole) > before, 20, "answer")
        moment = time.monotonic() + self.random.uniform(0.0, 0.6)
        await eventually(
            lambda: time.monotonic() >= moment and self.upstream.in_flight >= IN_FLIGHT, 20, "load at the upstream"
        )
        in_flight = self.upstream.in_flight
        gateway.kill()
        await asyncio.gather(*callers)
        await eventually(lambda: all(visit.over for visit in self.upstream.visits), 10, "end of the upstream's work")
        return in_flight

    async def _keep_calling(self, port: int) -> None:
        """Call until the gateway is no more."""
        caller = Caller(port, DEV.key)
        while True:
            id = f"id-{next(self.ids)}"
            model = self.random.choice(list(self.upstream.scripts))
            try:
                call = await caller.call(id, model=model, stream=model.endswith("stream"))
            except OSError:
                return
            if not call.whole:
                return
            assert call.status == 200
            self.whole.add(id)

    def check(self, gateway: GatewayProcess) -> None:
        """What must hold once the gateway has started again."""
        books = gateway.books
        charges: dict[str, list[dict[str, Any]]] = {}
        for charge in books.charges():
            charges.setdefault(charge["client_id"], []).append(charge)
        served = set(self.served.read_text().split())
        assert self.whole <= served
        assert {id for id in served if len(charges.get(id, [])) != 1} == set()
        assert {id for id, records in charges.items() if len(records) != 1} == set()
        records = {id: records[0] for id, records in charges.items()}
        assert {id for id, record in records.items() if record["charged"] > self._most(record, id in served)} == set()
        assert books.open_reservations == 0
        spent = sum(record["charged"] for record in records.values())
        for account in books.accounts(DEV.name):
            assert (account["spent"], account["reserved"]) == (spent, 0)
        assert books.accounts(DEV.name)[0]["available"] == PLENTY - spent

    def _most(self, record: dict[str, Any], served: bool) -> int:
        """What a record may have charged at most."""
        if record["outcome"] == "lost":
            assert record["charged"] == (record["prompt_amount"] if self.lost == "prompt" else 0)
            return int(record["charged"])
        return COST if served else 0


async def kill_again_and_again(trial: Trial, kills: int) -> None:
    """Kill so many times under load, each time followed by a check, and each second time also while starting."""
    for number in range(kills):
        with trial.gateway() as gateway:
            await gateway.ready()
            trial.check(gateway)
            assert await trial.kill_under_load(gateway) >= IN_FLIGHT
        if number % 2:
            with trial.gateway():
                await asyncio.sleep(trial.random.uniform(0.2, 1.0))  # a random moment of the start
    with trial.gateway() as gateway:
        await gateway.ready()
        trial.check(gateway)
        lost = [charge for charge in gateway.books.charges() if charge["outcome"] == "lost"]
        assert len(lost) >= kills * IN_FLIGHT // 2
        assert await gateway.terminate() == 0


@pytest.mark.parametrize(
    ("lost", "kills"),
    [
        pytest.param("none", 5, id="five"),
        pytest.param("prompt", 1, id="one, the prompt charged"),
        pytest.param("none", 10, id="ten", marks=pytest.mark.proof),
        pytest.param("prompt", 10, id="ten, the prompt charged", marks=pytest.mark.proof),
    ],
)
async def test_what_was_served_is_charged_once_whenever_the_process_is_killed(
    tmp_path: Path, upstream: ScriptedServer, lost: str, kills: int
) -> None:
    """Each id that the upstream served has exactly one charge record, others none above zero, and nothing stays open.

    Where the deployment wants it so, what was lost costs its prompt, whether the upstream came to serve it or not.
    """
    await kill_again_and_again(Trial(tmp_path, upstream, lost, seed=20 + kills), kills)


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.proof)])
async def test_workers_that_are_killed_all_at_once_leave_nothing_open(
    tmp_path: Path, upstream: ScriptedServer, kills: int
) -> None:
    """It is the same with several processes on one database."""
    trial = Trial(tmp_path, upstream, "none", seed=kills)
    for _ in range(kills):
        with trial.gateway(workers=2) as gateway:
            await gateway.ready()
            assert await trial.kill_under_load(gateway) >= IN_FLIGHT
        with trial.gateway(workers=2) as gateway:
            await gateway.ready()
            trial.check(gateway)
