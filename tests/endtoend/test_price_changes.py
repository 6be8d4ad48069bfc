"""Prices changed beside a running gateway: seen by every process soon, while old charges keep their numbers."""

import asyncio
import json
import time
from itertools import count
from pathlib import Path
from typing import Any

from support.caller import Caller
from support.gateway_process import GatewayProcess, run_command
from support.gateway_settings import DEV, settings
from support.scripted_upstream import ScriptedServer, answer
from support.waiting import eventually

WORKERS = 2
TOKENS = (1000, 100)
RUNTIME = 1000 * 4 + 100 * 12
"""What they cost at 8 and 24 USD for a million: 4 and 12 units for each."""

SECONDS = 2.0
"""Until every process knows what another one changed: `storage.sync` is 1 s, and asking takes its time."""


class Watcher:
    """Calls every worker, and tells what it was charged."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.gateway = gateway
        self._ids = count()

    async def command(self, *arguments: str) -> str:
        """Run a command beside the gateway."""
        return await asyncio.to_thread(run_command, self.gateway.config, *arguments)

    async def charges(self) -> dict[str, int]:
        """What each worker charges for a call, by the request's id."""
        caller, name = Caller(self.gateway.port, DEV.key, model="gpt-4o"), f"round-{next(self._ids)}"
        calls = [await caller.send(call, name) for call in await self.gateway.spread(4 * WORKERS)]
        ended = await asyncio.gather(*(call.ended() for call in calls))
        assert {call.status for call in ended} == {200}
        await eventually(lambda: len(self.gateway.books.charges(name)) == len(calls), 10, "all charges")
        return {row["request_id"]: row["charged"] for row in self.gateway.books.charges(name)}

    async def sees(self, expected: int) -> None:
        """Return when every worker charges so much; fail when that takes longer than two seconds."""
        deadline = time.monotonic() + SECONDS
        while (found := set((await self.charges()).values())) != {expected}:
            assert time.monotonic() < deadline, f"charged {found}, not {expected}"

    async def explained(self, id: str) -> Any:
        """The explanation of a charge, which agrees: else the command fails."""
        return json.loads(await self.command("explain", id, "--json"))


async def test_a_price_set_at_run_time_is_used_everywhere_soon_and_old_charges_keep_theirs(
    tmp_path: Path, upstream: ScriptedServer
) -> None:
    """Set and unset by the command line beside two workers on one database; nothing is restarted."""
    upstream.scripts["gpt-4o"] = answer(tokens=TOKENS)
    text = settings(upstream.port, ["gpt-4o"])
    with GatewayProcess(tmp_path, text[: text.index("[models.")], workers=WORKERS) as gateway:
        await gateway.ready()
        watcher = Watcher(gateway)
        library = await watcher.charges()
        assert len(set(library.values())) == 1
        old = next(iter(library))

        await watcher.command("price", "set", "gpt-4o", "--input", "8", "--output", "24")
        await watcher.sees(RUNTIME)
        assert (await watcher.explained(old))["charged"] == library[old] != RUNTIME
        new = next(iter(await watcher.charges()))
        assert (await watcher.explained(new))["charged"] == RUNTIME

        await watcher.command("price", "unset", "gpt-4o")
        await watcher.sees(library[old])
        assert (await watcher.explained(new))["charged"] == RUNTIME
