"""A WebSocket through the whole stack: refused before it is accepted, retried until then, settled in every ending."""

from types import MappingProxyType
from typing import Any

import pytest

from asgi_gateway.errors import UpstreamError
from asgi_gateway.middleware import QuotaMiddleware, growth, routing
from asgi_gateway.providers import PROVIDERS
from asgi_gateway.providers.contract import Endpoint, Origin
from asgi_gateway.storage.records import Outcome
from support.asgi import Connection, ask, settled, socket_scope
from support.exchanges import KEY
from support.gateways import House, house
from support.upstream import HANG, ScriptedSocket, ScriptedSockets

CHANNELS = [
    {"name": "first", "provider": "openai", "keys": ["sk-upstream-1"], "models": ["live"], "priority": 2},
    {"name": "second", "provider": "openai", "keys": ["sk-upstream-2"], "models": ["live"], "priority": 1},
]


class Live:
    """OpenAI's provider, with realtime."""

    name, base_url, dialects, needs_key = "openai", "", ("openai_chat",), True

    def dialects_for(self, model: str) -> tuple[str, ...]:
        return self.dialects

    def endpoint(self, channel: Any, key: Any, operation: Any, dialect: str, model: str, **_: Any) -> Endpoint:
        headers = ((b"authorization", b"Bearer " + key.reveal().encode()),)
        return Endpoint("GET", Origin("wss", "upstream.test", 443), b"/v1/realtime?model=" + model.encode(), headers)

    def read_error(self, *_: Any) -> UpstreamError:
        raise AssertionError


@pytest.fixture(autouse=True)
def _realtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "PROVIDERS", MappingProxyType({**PROVIDERS, "openai": Live()}))


def line(*script: Any, **options: Any) -> tuple[House, ScriptedSockets]:
    sockets = ScriptedSockets(*script)
    return house(channels=CHANNELS, socket_transport=sockets, **options), sockets


def call(at: House, **options: Any) -> Connection:
    return Connection(at.gateway, socket_scope(**{"key": KEY, **options}))


async def settled_once(at: House) -> tuple[Outcome, int, str]:
    (charge,) = await at.charges()
    assert (await at.balance()).reserved == 0
    return charge.settlement.outcome, charge.settlement.attempts, charge.settlement.channel


async def test_it_is_retried_until_an_upstream_accepts() -> None:
    """The first refuses, the second accepts: the caller is accepted once, after that, and messages flow."""
    upstream = ScriptedSocket("hello", close_code=4001, close_reason="enough", subprotocol="realtime")
    at, sockets = line(UpstreamError("busy", status=503), upstream)
    async with call(at, subprotocols=["realtime"]) as caller:
        accept = await caller.next()
        assert (accept["type"], accept["subprotocol"]) == ("websocket.accept", "realtime")
        assert dict(accept["headers"])[b"x-request-id"]
        assert await caller.next() == {"type": "websocket.send", "text": "hello"}
        assert await caller.next() == {"type": "websocket.close", "code": 4001, "reason": "enough"}
        await caller.ended()
    keys = [dict(request.headers)[b"authorization"] for request in sockets.requests]
    assert keys == [b"Bearer sk-upstream-1", b"Bearer sk-upstream-2"]
    assert await settled_once(at) == (Outcome.COMPLETED, 2, "second")
    assert (at.records[0]["status"], at.records[0]["model"], at.records[0]["method"]) == (101, "live", "WEBSOCKET")


async def test_the_callers_close_is_passed_on_and_settled() -> None:
    """Code and reason."""
    upstream = ScriptedSocket(close_code=None)
    at, _ = line(upstream)
    async with call(at) as caller:
        await caller.next()
        caller.say("one")
        await upstream.hears()
        caller.leave(4000, "done")
        await caller.ended()
    assert upstream.closes[0] == (4000, "done")
    assert await settled_once(at) == (Outcome.CALLER_LEFT, 1, "first")


async def test_an_upstream_that_breaks_is_settled() -> None:
    """1011, and no second attempt after the accept."""
    at, sockets = line(ScriptedSocket("x", close_code=1006))
    async with call(at) as caller:
        for _ in range(2):
            await caller.next()
        assert (await caller.next())["code"] == 1011
        await caller.ended()
    assert len(sockets.requests) == 1
    assert await settled_once(at) == (Outcome.TRUNCATED, 1, "first")


async def test_when_all_refuse_the_last_error_is_the_denial() -> None:
    """With our id, before anything was accepted."""
    at, _ = line(UpstreamError("busy", status=503), UpstreamError("worse", status=502))
    seen = await ask(at.gateway, socket_scope(key=KEY))
    assert (seen.status, seen.json()["error"]["message"]) == (502, "worse")
    assert seen.header("x-request-id") == at.records[0]["request_id"]
    assert await settled_once(at) == (Outcome.UPSTREAM_FAILED, 2, "second")


@pytest.mark.parametrize(
    ("options", "status"),
    [({"key": None}, 401), ({"key": "sk-wrong"}, 401), ({"query": b"model=nobody"}, 404), ({"query": b""}, 400)],
)
async def test_refusals_before_the_accept(options: dict[str, Any], status: int) -> None:
    """A denial where the server has it, else a close with 1008; nothing is sent upstream."""
    at, sockets = line()
    assert (await ask(at.gateway, socket_scope(**{"key": KEY, **options}))).status == status
    async with call(at, denial=False, **options) as caller:
        assert (await caller.next())["code"] == 1008
        await caller.ended()
    assert sockets.requests == []
    assert [record["status"] for record in at.records] == [status, 403]
    assert await at.charges() == []


async def test_leaving_while_the_upstream_is_asked() -> None:
    """Cancelled, and settled."""
    at, sockets = line(HANG)
    async with call(at) as caller:
        while not sockets.requests:
            await settled(1)
        caller.leave()
        await caller.ended()
        assert caller.messages == []
    assert sockets.cancelled == 1
    assert (await settled_once(at))[0] is Outcome.CALLER_LEFT


async def test_a_cancellation_is_settled() -> None:
    """A server that cancels its tasks at shutdown."""
    upstream = ScriptedSocket(close_code=None)
    at, _ = line(upstream)
    async with call(at) as caller:
        await caller.next()
        caller.cancel()
        await caller.over()
    assert upstream.closes
    assert (await settled_once(at))[0] is Outcome.CALLER_LEFT


async def test_a_drain_ends_open_sockets() -> None:
    """With 1011 and the reason, settled."""
    upstream = ScriptedSocket(close_code=None)
    at, _ = line(upstream)
    async with at.gateway, call(at) as caller:
        await caller.next()
        await at.gateway.drain(0.0)
        assert (await caller.next())["code"] == 1011
        await caller.ended()
        assert (await settled_once(at))[0] is Outcome.TRUNCATED
    assert upstream.closes


async def test_without_a_transport_for_sockets_none_is_offered() -> None:
    """501; nothing is charged."""
    at = house(channels=CHANNELS)
    assert (await ask(at.gateway, socket_scope(key=KEY))).status == 501
    (charge,) = await at.charges()
    assert charge.charged == 0


async def test_a_socket_that_outgrows_its_reservation_is_closed_where_the_quota_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """1008, the upstream's closed; its frames are charged as output, four bytes a token, never more than there is."""
    monkeypatch.setattr(growth, "LEAST_STEP", 400)
    upstream = ScriptedSocket(*["x" * 400] * 9, close_code=None)
    at, _ = line(upstream, quota=900, layers={QuotaMiddleware: {"default_output": 200}})
    async with call(at) as caller:
        await caller.over()
    assert caller.messages[-1]["code"] == 1008
    assert "quota" in caller.messages[-1]["reason"]
    assert upstream.closes
    assert await settled_once(at) == (Outcome.EXHAUSTED, 1, "first")
    (charge,) = await at.charges()
    assert 400 < charge.charged <= 900
    assert charge.settlement.usage.estimated


async def test_a_sockets_frames_are_counted() -> None:
    """Text and bytes to the caller; what the caller said is the prompt's affair."""
    at, _ = line(ScriptedSocket("x" * 40, b"y" * 41, close_code=1000))
    async with call(at) as caller:
        await caller.over()
    (charge,) = await at.charges()
    assert (charge.settlement.usage.output, charge.charged) == (21, 42)
