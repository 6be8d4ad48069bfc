"""A gateway and its database that are killed again and again under load, and an upstream that writes down what it did.

The upstream appends the id of each request that it serves to a file, and syncs it, before it answers.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.caller import Call, Caller
from support.databases import Server
from support.gateway_process import GatewayProcess
from support.gateway_settings import DEV, PLENTY, settings
from support.ledger_file import LedgerFile
from support.scripted_upstream import ScriptedServer, answer, recorded, stream
from support.waiting import eventually

__all__ = ["COST", "IN_FLIGHT", "Trial"]

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
    """`lost` is what the deployment charges for an exchange lost in a crash; `database` None: a SQLite file."""

    directory: Path
    upstream: ScriptedServer
    lost: str
    seed: int
    database: str | None = None
    ids: Iterator[int] = field(default_factory=itertools.count)
    whole: set[str] = field(default_factory=set)
    """Ids of calls whose caller has seen the end of a good answer."""
    refused: list[Call] = field(default_factory=list)
    """Calls that were answered with an error."""

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
        program = ("-m", "asgi_gateway", "serve", *(["--migrate"] if self.database else []))
        return GatewayProcess(
            self.directory, text, storage=self.database, workers=workers, program=program, measured=False
        )

    async def kill_under_load(self, gateway: GatewayProcess) -> int:
        """Call from all sides, and kill the gateway at a random moment; how many exchanges were in flight then."""
        callers = [asyncio.create_task(self._call_until_the_end(gateway.port)) for _ in range(CALLERS)]
        in_flight = await self._kill(gateway.kill)
        await asyncio.gather(*callers)
        await eventually(lambda: all(visit.over for visit in self.upstream.visits), 10, "end of the upstream's work")
        return in_flight

    async def kill_database_under_load(self, gateway: GatewayProcess, server: Server, kills: int) -> None:
        """Call from all sides, and again and again kill the database, leave it away for a moment, and start it.

        Returns when the upstream is done and nobody calls any more. The gateway is not touched.
        """
        stop = asyncio.Event()
        callers = [asyncio.create_task(self._keep_calling(gateway.port, stop)) for _ in range(CALLERS)]
        for _ in range(kills):
            assert await self._kill(server.kill) >= IN_FLIGHT
            # The database stays away for a while; how long is what varies.
            await asyncio.sleep(self.random.uniform(0.1, 0.8))
            await asyncio.to_thread(server.start)
        before = len(self.whole)
        await eventually(lambda: len(self.whole) > before, 20, "recovery without a hand")
        stop.set()
        await asyncio.gather(*callers)
        await eventually(lambda: all(visit.over for visit in self.upstream.visits), 10, "end of the upstream's work")

    async def end_while_the_database_is_away(self, gateway: GatewayProcess, server: Server) -> None:
        """Kill the database under load, let the callers have their answers, and end the gateway in good order."""
        stop = asyncio.Event()
        callers = [asyncio.create_task(self._keep_calling(gateway.port, stop)) for _ in range(CALLERS)]
        await self._kill(server.kill)
        stop.set()
        await asyncio.gather(*callers)
        assert await gateway.terminate() == 0
        await eventually(lambda: all(visit.over for visit in self.upstream.visits), 10, "end of the upstream's work")

    async def _kill(self, kill: Callable[[], None]) -> int:
        """Kill at a random moment with enough in flight."""
        before = len(self.whole)
        await eventually(lambda: len(self.whole) > before, 20, "answer")
        moment = time.monotonic() + self.random.uniform(0.0, 0.6)
        await eventually(
            lambda: time.monotonic() >= moment and self.upstream.in_flight >= IN_FLIGHT, 20, "load at the upstream"
        )
        in_flight = self.upstream.in_flight
        kill()
        return in_flight

    async def _call_until_the_end(self, port: int) -> None:
        """Call until the gateway is no more."""
        caller = Caller(port, DEV.key)
        while True:
            try:
                id, call = await self._call(caller)
            except OSError:
                return
            if not call.whole:
                return
            assert call.status == 200
            self.whole.add(id)

    async def _keep_calling(self, port: int, stop: asyncio.Event) -> None:
        """Call until told to stop, whatever is answered; with a pause behind an error."""
        caller = Caller(port, DEV.key)
        while not stop.is_set():
            id, call = await self._call(caller)
            assert call.whole, call.cut
            if call.status == 200:
                self.whole.add(id)
            else:
                self.refused.append(call)
                await asyncio.sleep(0.05)  # as a client does

    async def _call(self, caller: Caller) -> tuple[str, Call]:
        id = f"id-{next(self.ids)}"
        model = self.random.choice(list(self.upstream.scripts))
        return id, await caller.call(id, model=model, stream=model.endswith("stream"))

    def check(self, books: LedgerFile) -> dict[str, dict[str, Any]]:
        """What must hold once everything is settled; the charges by the caller's id."""
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
        return records

    def _most(self, record: dict[str, Any], served: bool) -> int:
        """What a record may have charged at most."""
        if record["outcome"] == "lost":
            assert record["charged"] == (record["prompt_amount"] if self.lost == "prompt" else 0)
            return int(record["charged"])
        return COST if served else 0
