"""SIGTERM with exchanges under way: no new work, a bounded time for what is open, an honest end, everything settled."""

import asyncio
import json
from pathlib import Path

import pytest

from support.caller import Call, Caller, get
from support.gateway_process import GatewayProcess
from support.gateway_settings import DEV, PLENTY, counted, settings
from support.scripted_upstream import Gate, ScriptedServer, answer, gated, stall, stream
from support.waiting import eventually

GRACE = 3
EVENTS = 6
TOKENS = (10, 5)
COST = 25
EACH = 3
"""Calls of each kind."""

KINDS = ("finishing-stream", "finishing-plain", "silent-stream", "held-stream", "held-plain")


def is_stream(kind: str) -> bool:
    return kind.endswith("stream")


async def open_all(gateway: GatewayProcess, upstream: ScriptedServer) -> dict[str, Call]:
    """Some calls of each kind, over all workers, that have all come as far as they come before the end; by id."""
    caller = Caller(gateway.port, DEV.key)
    ids = [f"{kind}-{number}" for number in range(EACH) for kind in KINDS]
    calls: dict[str, Call] = {}
    for id, call in zip(ids, await gateway.spread(len(ids)), strict=True):
        kind = id.rpartition("-")[0]
        calls[id] = await caller.send(call, id, model=kind, stream=is_stream(kind))
    await eventually(lambda: upstream.in_flight == len(calls), 10, "arrival of all calls")
    for id, call in calls.items():
        if id.startswith("finishing-stream"):
            await call.until(lambda call=call: len(call.events) == EVENTS // 2)
        elif id.startswith("silent-stream"):
            await call.until(lambda call=call: len(call.events) == EVENTS)
    return calls


def check_answer(id: str, call: Call) -> None:
    """What the caller of each kind got: a proper end, or the dialect's own error."""
    assert call.whole, id
    if id.startswith("finishing"):
        assert call.status == 200
        assert (call.events[-1] if "stream" in id else call.json()["usage"]["prompt_tokens"]) in ("[DONE]", TOKENS[0])
    elif id.startswith("silent"):
        assert (call.status, len(call.events)) == (200, EVENTS + 1)
        assert json.loads(call.events[-1])["error"]["code"] == "shutting_down"
    else:
        assert (call.status, call.error["code"]) == (503, "shutting_down")
        assert "retry-after" in call.headers


@pytest.mark.parametrize("workers", [1, 2])
async def test_everything_that_is_open_at_sigterm_ends_well_and_is_settled(
    tmp_path: Path, upstream: ScriptedServer, workers: int
) -> None:
    """What ends in time does; a stream that does not gets an error event, what had not begun a 503; each is charged."""
    gate = Gate()
    upstream.scripts = {
        "finishing-stream": stream(EVENTS, tokens=TOKENS, between=gate),
        "finishing-plain": gated(gate, answer(tokens=TOKENS)),
        "silent-stream": stream(EVENTS, end_with="silence"),
        "held-stream": stall("role"),
        "held-plain": stall("headers"),
    }
    text = settings(upstream.port, KINDS, more=f"grace = {GRACE}")
    with GatewayProcess(tmp_path, text, workers=workers) as gateway:
        await gateway.ready()
        calls = await open_all(gateway, upstream)
        gateway.signal()
        await eventually(lambda: gateway.log.count("draining") == workers, 5, "beginning of the end")

        assert (await get(gateway.port, "/readyz"))[0] == 503
        assert (await get(gateway.port, "/healthz"))[0] == 200
        late = await Caller(gateway.port, DEV.key).call("late", model="finishing-plain")
        assert (late.status, late.error["code"]) == (503, "shutting_down")
        assert upstream.visit("late") is None

        gate.open()
        finishing = [call for id, call in calls.items() if id.startswith("finishing")]
        await asyncio.gather(*(call.ended() for call in finishing))
        assert gateway.code is None, "the others still have some of their time"
        await asyncio.gather(*(call.ended() for call in calls.values()))
        assert await gateway.ended(GRACE + 15) == 0

    for id, call in calls.items():
        check_answer(id, call)
    await eventually(lambda: upstream.in_flight == 0, 5, "close of the upstream's sockets")
    check_books(gateway, calls)
    logged = {record["client_id"] for record in gateway.records}
    assert logged >= {*calls, "late"}
    assert "Traceback" not in gateway.log


def check_books(gateway: GatewayProcess, calls: dict[str, Call]) -> None:
    """Each exchange has one charge record that names its outcome; nothing stays reserved."""
    caller = Caller(0, DEV.key)
    for id in calls:
        kind = id.rpartition("-")[0]
        (charge,) = gateway.books.charges(id)
        request = caller.request(id, model=kind, stream=is_stream(kind))
        expected = {
            "finishing": ("completed", COST),
            "silent": ("truncated", counted(request, EVENTS)),
            "held": ("upstream_failed", 0),
        }[kind.partition("-")[0]]
        assert (charge["outcome"], charge["charged"]) == expected, id
    assert gateway.books.charges("late") == []
    assert gateway.books.open_reservations == gateway.books.slots == 0
    spent = sum(charge["charged"] for charge in gateway.books.charges())
    for account in gateway.books.accounts(DEV.name):
        assert (account["spent"], account["reserved"]) == (spent, 0)
    assert gateway.books.accounts(DEV.name)[0]["available"] == PLENTY - spent
