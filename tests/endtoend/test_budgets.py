"""A day's budget over real processes: no more is served than it covers, and the next day begins anew."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from support.caller import Caller
from support.gateway_process import GatewayProcess, run_command
from support.gateway_settings import OUTPUT, PLENTY, Payer, reserved, settings
from support.scripted_upstream import Gate, ScriptedServer, answer, gated
from support.waiting import eventually

MODEL = "mm"
MAX_TOKENS = 20
CALLERS = 80
COVERED = 13
AMOUNT = reserved(Caller(0, "", model=MODEL, max_tokens=MAX_TOKENS).request("call-000"), MAX_TOKENS)
LIMIT = COVERED * AMOUNT + AMOUNT // 2
COST = (AMOUNT - OUTPUT, 1)
"""A usage that costs what is set aside: tokens in, one out."""

PAYER = Payer("dev", user_quota=PLENTY)


def zones() -> tuple[str, str]:
    """One where it is noon, so that no midnight comes in between, and one where it is another day."""
    now = datetime.now(UTC)
    noon = now.hour - 12  # these names count westward
    other = "Etc/GMT+12" if now.hour < 12 else "Etc/GMT-14"
    here = f"Etc/GMT{noon:+}"
    assert now.astimezone(ZoneInfo(here)).date() != now.astimezone(ZoneInfo(other)).date()
    return here, other


def text(port: int, zone: str, owner: str) -> str:
    """A budget for a day of the token, of the user or of the group."""
    budget = f"budget = {{ day = {LIMIT} }}"
    written = settings(port, [MODEL], payers=[PAYER])
    if owner == "token":
        written = written.replace("unlimited = true", f"unlimited = true\n{budget}")
    elif owner == "user":
        written = written.replace(f"quota = {PLENTY}", f"quota = {PLENTY}\n{budget}")
    else:
        written += f"\n[groups.default]\n{budget}"
    return f'{written}\n[billing]\ntimezone = "{zone}"\n'


@pytest.mark.parametrize("owner", ["token", "user", "group"])
async def test_two_processes_pass_no_budget_and_the_next_day_begins_anew(
    tmp_path: Path, upstream: ScriptedServer, owner: str
) -> None:
    """As many of eighty at once as it covers, whichever process they come to; on another day as many again."""
    for round, zone in enumerate(zones(), 1):
        gate = Gate()
        upstream.scripts[MODEL] = gated(gate, answer(tokens=COST))
        with GatewayProcess(tmp_path, text(upstream.port, zone, owner), workers=2) as gateway:
            await gateway.ready()
            caller = Caller(gateway.port, PAYER.key, model=MODEL, max_tokens=MAX_TOKENS)
            opened = await gateway.spread(CALLERS)
            sent = [caller.send(call, f"call-{number:03}") for number, call in enumerate(opened)]
            await asyncio.gather(*sent)
            calls = [asyncio.create_task(call.ended()) for call in opened]
            await eventually(
                lambda calls=calls: sum(call.done() for call in calls) >= CALLERS - COVERED, 30, "refusals"
            )
            await eventually(lambda round=round: len(upstream.visits) >= COVERED * round, 10, "arrivals")
            gate.open()
            answers = await asyncio.gather(*calls)
            assert sorted(call.status for call in answers) == [200] * COVERED + [429] * (CALLERS - COVERED)
            messages = {call.error["message"] for call in answers if call.status == 429}
            today = datetime.now(ZoneInfo(zone)).date().isoformat()
            assert all(f"The {owner}'s budget for the day {today} does not" in message for message in messages)
            assert all("It starts anew at " in message for message in messages)
            assert len(upstream.visits) == COVERED * round
            await eventually(lambda gateway=gateway: gateway.books.open_reservations == 0, 10, "settlement")
            user, token = gateway.books.accounts(PAYER.name)
            assert user["spent"] == token["spent"] == COVERED * AMOUNT * round
            assert await gateway.terminate() == 0


async def test_a_budget_of_run_time_holds_at_once_and_is_lifted_at_once(
    tmp_path: Path, upstream: ScriptedServer
) -> None:
    """Set, raised and taken away by the command line while the server runs: what was used already counts."""
    upstream.scripts[MODEL] = answer(tokens=COST)
    with GatewayProcess(tmp_path, settings(upstream.port, [MODEL])) as gateway:
        await gateway.ready()
        run_command(gateway.config, "user", "add", "eve", "--unlimited", "--daily", str(AMOUNT))
        key = run_command(gateway.config, "token", "add", "eves", "--user", "eve", "--unlimited").strip()
        caller = Caller(gateway.port, key, model=MODEL, max_tokens=MAX_TOKENS)

        async def status() -> int:
            return (await caller.call("call-000")).status

        assert [await status() for _ in range(2)] == [200, 429]
        shown = run_command(gateway.config, "user", "show", "eve")
        assert f"0 of {AMOUNT} left ({AMOUNT} spent, 0 reserved), until " in shown
        for budget, following in ((str(2 * AMOUNT), 429), ("none", 200)):
            run_command(gateway.config, "user", "set", "eve", "--daily", budget)
            while await status() == 429:  # a change made elsewhere is seen within a second
                pass
            assert await status() == following
        assert await gateway.terminate() == 0
