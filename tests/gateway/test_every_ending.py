"""Whatever an upstream does and whenever the caller goes: settled once, nothing left open, nothing said twice."""

import asyncio
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asgi_gateway.departure import Departure
from asgi_gateway.errors import ResponseAborted, ServiceUnavailable, UpstreamTimeout, UpstreamUnreachable
from asgi_gateway.middleware import RetryMiddleware
from asgi_gateway.policies.retry import RetryPolicy
from asgi_gateway.relay import relay
from asgi_gateway.storage.records import Charge, Outcome
from support.asgi import Connection, settled
from support.exchanges import chat
from support.gateways import House, house
from support.upstream import DONE, HANG, Reply, chunk, usage_chunk

PIECES: dict[str, Any] = {
    "role": chunk(role=True),
    "text": chunk("word " * 8),
    "half": chunk("text")[:20],
    "comment": b": ping\n\n",
    "usage": usage_chunk(7, 3),
    "finish": chunk(finish="stop"),
    "done": DONE,
    "error": b'data: {"error": {"message": "overloaded"}}\n\n',
    "broken": UpstreamUnreachable("broken"),
    "late": UpstreamTimeout("late", phase="idle"),
    "silence": HANG,
    "json": b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}\n',
    "pause": None,
}
GOOD = ["role", "text", "pause", "text", "finish", "usage", "done"]

scripts = st.one_of(st.just(GOOD), st.lists(st.sampled_from(sorted(PIECES)), max_size=7))
heads = st.sampled_from(["stream", "stream", "stream", "plain", "400", "401", "429", "500", "refused", "hangs"])
replies = st.tuples(heads, scripts)
actions = st.sampled_from(["leave", "cancel", "interrupt", "send fails", "block", "none"])


@pytest.fixture(autouse=True, scope="module")
def _at_once() -> Iterator[None]:
    """The caller is watched from the first moment, so that every order of events can happen without waiting."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relay, "Departure", partial(Departure, patience=0))
        yield


def reply(head: str, script: list[str], gate: asyncio.Event) -> Reply:
    steps = [gate if name == "pause" else PIECES[name] for name in script]
    if head.isdigit():
        return Reply.error(int(head))
    if head == "refused":
        return Reply(before=[UpstreamUnreachable("refused")])
    if head == "hangs":
        return Reply(before=[HANG])
    return Reply.stream(*steps) if head == "stream" else Reply(steps)


async def act(at: House, caller: Connection, action: str) -> None:
    if action == "leave":
        caller.leave()
    elif action == "cancel":
        caller.cancel()
    elif action == "interrupt":
        at.gateway.relay.interrupt(ServiceUnavailable("closing"))
    elif action == "send fails":
        caller.send_error = OSError("gone")
    elif action == "block":
        caller.gate.clear()


async def scenario(stream: bool, given_replies: list[tuple[str, list[str]]], action: str, turn: int) -> None:
    gates = [asyncio.Event() for _ in given_replies]
    made = [reply(head, script, gate) for (head, script), gate in zip(given_replies, gates, strict=True)]
    at = house(*made, layers={RetryMiddleware: {"policy": RetryPolicy(base=0)}})
    await at.gateway.open()
    async with at.call(chat(stream=stream, max_tokens=10)) as caller:
        await settled(1 + turn)
        await act(at, caller, action)
        await settled(turn % 7)
        for gate in gates:
            gate.set()
        await settled(30)
        caller.leave()
        await settled(5)
        caller.gate.set()  # a server's `send` does not wait for a caller who has gone
        await caller.over()
        assert caller.task is not None
        error = None if caller.task.cancelled() else caller.task.exception()
        assert error is None or isinstance(error, ResponseAborted)
        assert caller.waiting == 0
    await settled()
    assert at.transport.open == 0
    assert not any(response.reading for response in at.transport.responses)
    assert (await at.balance()).reserved == 0
    assert len(at.records) == 1
    charges = await at.charges()
    assert len(charges) == 1 if at.transport.requests else len(charges) <= 1
    for charge in charges:
        check(charge, caller, at)
    await at.gateway.close()


def check(charge: Charge, caller: Connection, at: House) -> None:
    """What is on the record is what happened."""
    settlement = charge.settlement
    assert (charge.charged, charge.shortfall) == (settlement.charge, 0)
    begun = bool(caller.messages) and caller.messages[0]["status"] == 200
    if settlement.outcome is Outcome.COMPLETED:
        assert begun
        assert caller.complete or caller.send_error is not None
        assert b'"error"' not in caller.seen().body
    if settlement.outcome in (Outcome.UPSTREAM_FAILED, Outcome.REFUSED):
        assert charge.charged == 0
        assert not begun
    if settlement.outcome is Outcome.TRUNCATED:
        assert begun
        assert charge.charged > 0
        sent = any(DONE in response.said for response in at.transport.responses)
        assert sent or b"[DONE]" not in caller.seen().body  # an end is never made up
    if not at.transport.requests:
        assert charge.charged == 0


@given(
    stream=st.booleans(),
    given_replies=st.lists(replies, min_size=2, max_size=2),
    action=actions,
    turn=st.integers(0, 60),
)
@settings(max_examples=400, deadline=None)
def test_every_ending_is_settled_once(
    *, stream: bool, given_replies: list[tuple[str, list[str]]], action: str, turn: int
) -> None:
    """Two channels with any script, and a caller who goes in any way at any moment."""
    asyncio.run(scenario(stream, given_replies, action, turn))
