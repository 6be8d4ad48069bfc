"""A day's budget over real processes: no more is served than it covers, and the next day begins anew."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from support.caller import Caller
from support.gateway_process import GatewayProcess, run_command
from support.gateway_settings import OUTPUT, PLENTY, Payer, reserved, settings
from support.scripted_upstream import Gate, ScriptedServer, answer, gated
from support.waiting import eventually

MODEL = "mm"
MAX_TOKENS = 20
CALLERS = 40
COVERED = 13
AMOUNT = reserved(Caller(0, "", model=MODEL, max_tokens=MAX_TOKENS).request("call-000"), MAX_TOKENS)
LIMIT = COVERED * AMOUNT + AMOUNT // 2
COST = (AMOUNT - OUTPUT, 1)
"""A usage that costs what is set aside: tokens in, one out."""

OWNERS = ("token", "user", "group")
PAYERS = [Payer(owner, user_quota=PLENTY) for owner in OWNERS]
"""Each bounded by a budget of another kind."""


def zones() -> tuple[str, str]:
    """One where it is noon, so that no midnight comes in between, and one where it is another day."""
    now = datetime.now(UTC)
    noon = now.hour - 12  # these names count westward
    other = "Etc/GMT+12" if now.hour < 12 else "Etc/GMT-14"
    here = f"Etc/GMT{noon:+}"
    assert now.astimezone(ZoneInfo(here)).date() != now.astimezone(ZoneInfo(other)).date()
    return here, other


def text(port: int, zone: str) -> str:
    """A budget for a day of a token, of another's user, and of the group of a third."""
    budget = f"budget = {{ day = {LIMIT} }}"
    written = settings(port, [MODEL], payers=PAYERS).replace(
        'models = ["mm"]', 'models = ["mm"]\ngroups = ["default", "few"]'
    )
    token, user, group = (f'name = "{owner}"' for owner in OWNERS)
    written = written.replace(f"{token}\nkey", f"{token}\n{budget}\nkey")
    written = written.replace(f"{user}\nquota", f"{user}\n{budget}\nquota")
    written = written.replace(f"{group}\nquota", f'{group}\ngroup = "few"\nquota')
    return f'{written}\n[groups.few]\n{budget}\n[billing]\ntimezone = "{zone}"\n'


async def test_two_processes_pass_no_budget_and_the_next_day_begins_anew(
    tmp_path: Path, upstream: ScriptedServer
) -> None:
    """As many of forty at once as it covers, whichever process they come to; on another day as many again."""
    for round, zone in enumerate(zones(), 1):
        with GatewayProcess(tmp_path, text(upstream.port, zone), workers=2) as gateway:
            await gateway.ready()
            for payer in PAYERS:
                today = datetime.now(ZoneInfo(zone)).date().isoformat()
                messages = await exhausted(gateway, upstream, payer)
                assert all(f"The {payer.name}'s budget for the day {today} does not" in text for text in messages)
                assert all("It starts anew at " in text for text in messages)
                await eventually(lambda gateway=gateway: gateway.books.open_reservations == 0, 10, "settlement")
                user, token = gateway.books.accounts(payer.name)
                assert user["spent"] == token["spent"] == COVERED * AMOUNT * round
            assert await gateway.terminate() == 0


async def exhausted(gateway: GatewayProcess, upstream: ScriptedServer, payer: Payer) -> set[str]:
    """Call all at once, and hold the answers back until all refusals are there; what those say."""
    gate, before = Gate(), len(upstream.visits)
    upstream.scripts[MODEL] = gated(gate, answer(tokens=COST))
    caller = Caller(gateway.port, payer.key, model=MODEL, max_tokens=MAX_TOKENS)
    opened = await gateway.spread(CALLERS)
    await asyncio.gather(*(caller.send(call, f"call-{number:03}") for number, call in enumerate(opened)))
    calls = [asyncio.create_task(call.ended()) for call in opened]
    await eventually(lambda: sum(call.done() for call in calls) >= CALLERS - COVERED, 30, "refusals")
    await eventually(lambda: len(upstream.visits) - before >= COVERED, 10, "arrivals")
    gate.open()
    answers = await asyncio.gather(*calls)
    assert sorted(call.status for call in answers) == [200] * COVERED + [429] * (CALLERS - COVERED)
    assert len(upstream.visits) - before == COVERED
    return {call.error["message"] for call in answers if call.status == 429}


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
