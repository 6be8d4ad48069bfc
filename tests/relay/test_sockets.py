"""A WebSocket is accepted only after the upstream did; both closes are passed on; every ending is told."""

import asyncio
import gc
from typing import Any

import pytest

from asgi_gateway.errors import CallerLeft, GatewayError, ServiceUnavailable, UpstreamError, UpstreamUnreachable
from asgi_gateway.exchange import Exchange, Route
from asgi_gateway.middleware import ErrorMiddleware
from asgi_gateway.providers.contract import Endpoint, Origin
from asgi_gateway.relay import Relay
from asgi_gateway.storage.records import Outcome
from asgi_gateway.types import Message
from support.asgi import Connection, SlowEnd, ask, settled, socket_scope
from support.exchanges import begun, channel
from support.upstream import HANG, ScriptedSocket, ScriptedSockets, ScriptedTransport


class Live:
    """A provider that offers realtime."""

    name, base_url, dialects, needs_key = "live", "", ("openai_chat",), False

    def endpoint(self, *_: Any, **__: Any) -> Endpoint:
        return Endpoint("GET", Origin("wss", "upstream.test", 443), b"/v1/realtime?model=live", ())

    def read_error(self, *_: Any) -> UpstreamError:
        raise AssertionError


OF = channel(id=1, models=("live",))
ROUTE = Route(channel=OF, key=OF.keys[0], upstream_model="live", provider=Live(), dialect="openai_chat")


class Line:
    """A relay over scripted upstream sockets."""

    def __init__(self, *script: Any, render: bool = False) -> None:
        self.sockets = ScriptedSockets(*script)
        self.relay = Relay(transport=ScriptedTransport(), socket_transport=self.sockets, route=ROUTE)
        self.app = ErrorMiddleware(self.relay) if render else self.relay
        self.exchange: Exchange | None = None

    def call(self, *, connected: bool = True, **options: Any) -> Connection:
        """A caller; `connected`: somebody outside took `websocket.connect` already, as Gateway does."""
        scope, self.exchange = begun(socket_scope(**options))
        caller = Connection(self.app, scope)
        if connected:
            caller._incoming.get_nowait()
        return caller

    @property
    def outcome(self) -> Outcome | None:
        assert self.exchange is not None
        return self.exchange.outcome


async def accepted(caller: Connection) -> Message:
    message = await caller.next()
    assert message["type"] == "websocket.accept"
    return message


async def test_messages_pass_both_ways() -> None:
    """Texts and bytes, in their order."""
    go = asyncio.Event()
    upstream = ScriptedSocket("hello", b"\x00\x01", go, "bye")
    line = Line(upstream)
    async with line.call() as caller:
        await accepted(caller)
        assert await caller.next() == {"type": "websocket.send", "text": "hello"}
        assert await caller.next() == {"type": "websocket.send", "bytes": b"\x00\x01"}
        caller.say("one")
        await upstream.hears()
        caller.say(b"\x02")
        await upstream.hears()
        assert upstream.heard == ["one", b"\x02"]
        go.set()
        assert await caller.next() == {"type": "websocket.send", "text": "bye"}
        await caller.ended()
    assert line.outcome is Outcome.COMPLETED


async def test_nothing_is_accepted_before_the_upstream_did() -> None:
    """While it has not answered, the caller has no answer either."""
    line = Line(HANG)
    async with line.call() as caller:
        await settled()
        assert caller.messages == []
        assert line.exchange is not None
        assert line.exchange.reached_upstream


async def test_an_upstream_that_refuses_is_an_error_before_anything_was_accepted() -> None:
    """It can be tried elsewhere, and else is rendered as a denial or a close."""
    for denial, kind in ((True, "websocket.http.response.start"), (False, "websocket.close")):
        line = Line(UpstreamError("no", status=503), render=True)
        async with line.call(denial=denial) as caller:
            assert (await caller.next())["type"] == kind
            await caller.ended()
        assert line.outcome is Outcome.UPSTREAM_FAILED
    line = Line(UpstreamError("no", status=503))
    async with line.call() as caller:
        with pytest.raises(UpstreamError):
            await caller.ended()
        assert caller.messages == []


async def test_without_a_transport_for_sockets_they_are_refused() -> None:
    """501, and not a failure of any channel."""
    relay = Relay(transport=ScriptedTransport(), route=ROUTE)
    scope, _ = begun(socket_scope())
    seen = await ask(ErrorMiddleware(relay), scope)
    assert (seen.status, seen.json()["error"]["code"]) == (501, "not_offered")
    scope, _ = begun(socket_scope())
    async with Connection(relay, scope) as caller:
        await caller.over()
        assert caller.task is not None
        assert type(caller.task.exception()) is GatewayError


async def test_the_subprotocol_is_the_upstreams_choice_and_the_key_stays_here() -> None:
    """Offered is what the caller offered, without its key."""
    line = Line(ScriptedSocket(subprotocol="realtime"))
    async with line.call(subprotocols=["realtime", "openai-insecure-api-key.sk-x", "openai-beta.v1"]) as caller:
        assert (await accepted(caller))["subprotocol"] == "realtime"
        await caller.over()
    assert line.sockets.offered == [["realtime", "openai-beta.v1"]]


@pytest.mark.parametrize(("code", "shown"), [(1000, 1000), (1001, 1001), (4321, 4321), (1005, 1000)])
async def test_the_upstreams_close_is_passed_on(code: int, shown: int) -> None:
    """Code and reason; a close without a code is a normal one."""
    line = Line(ScriptedSocket(close_code=code, close_reason="enough"))
    async with line.call() as caller:
        await accepted(caller)
        assert await caller.next() == {"type": "websocket.close", "code": shown, "reason": "enough"}
        await caller.ended()
    assert line.outcome is Outcome.COMPLETED


async def test_a_close_that_takes_long_to_be_sent_is_no_leaving() -> None:
    """The server may tell of the disconnect that answers our close before the close is out."""
    upstream = ScriptedSocket(close_code=4000)
    line = Line(upstream)
    quick = line.call()
    caller = SlowEnd(line.app, quick.scope)
    caller._incoming.get_nowait()
    async with caller:
        await accepted(caller)
        await settled()
        assert caller.complete
        assert not caller.done
        caller.gate.set()
        await caller.ended()
    assert line.outcome is Outcome.COMPLETED
    assert upstream.closes == [(1000, "")]


@pytest.mark.parametrize("how", [ScriptedSocket(close_code=1006), ScriptedSocket(UpstreamUnreachable("broken"))])
async def test_an_upstream_that_breaks_is_told_as_such(how: ScriptedSocket) -> None:
    """1011 for the caller, and no normal end on the record."""
    line = Line(how, render=True)
    async with line.call() as caller:
        await accepted(caller)
        assert (await caller.next())["code"] == 1011
        await caller.ended()
    assert line.outcome is Outcome.TRUNCATED
    assert how.closes


@pytest.mark.parametrize(("code", "passed"), [(1000, 1000), (4000, 4000), (1005, 1000), (1006, 1001)])
async def test_the_callers_close_is_passed_on(code: int, passed: int) -> None:
    """Code and reason; what may not be sent becomes what it means."""
    upstream = ScriptedSocket(close_code=None)
    line = Line(upstream)
    async with line.call() as caller:
        await accepted(caller)
        caller.leave(code, "done")
        with pytest.raises(CallerLeft):
            await caller.ended()
        assert caller.waiting == 0
    assert upstream.closes[0] == (passed, "done")
    assert line.outcome is Outcome.CALLER_LEFT


async def test_a_close_without_code_or_reason() -> None:
    """Both are optional in ASGI."""
    upstream = ScriptedSocket(close_code=None)
    line = Line(upstream)
    async with line.call() as caller:
        await accepted(caller)
        caller._incoming.put_nowait({"type": "websocket.disconnect"})
        await caller.over()
    assert upstream.closes[0] == (1000, "")


async def test_leaving_before_the_upstream_answered() -> None:
    """The connection attempt is cancelled within a second."""
    line = Line(HANG)
    async with line.call() as caller:
        await settled()
        caller.leave()
        async with asyncio.timeout(1):
            await caller.over()
        assert caller.messages == []
        assert caller.waiting == 0
    assert line.sockets.cancelled == 1
    assert line.outcome is Outcome.CALLER_LEFT


async def test_a_connect_that_nobody_took_is_no_message() -> None:
    """In a composition without Gateway it is still in the queue: it is passed over."""
    upstream = ScriptedSocket(close_code=None)
    line = Line(upstream)
    async with line.call(connected=False) as caller:
        await accepted(caller)
        caller.say("hello")
        await upstream.hears()
    assert upstream.heard == ["hello"]


async def test_a_slow_caller_slows_the_upstream() -> None:
    """The next message is read when the one before it was sent on."""
    upstream = ScriptedSocket(*["x"] * 50)
    line = Line(upstream)
    async with line.call() as caller:
        caller.gate.clear()
        await settled()
        caller.gate.set()
        await accepted(caller)
        caller.gate.clear()
        await settled()
        assert len(upstream._steps) >= 48
        caller.gate.set()
        await caller.ended()
    assert upstream._steps == []


async def test_a_caller_that_only_send_tells_of() -> None:
    """A server whose `send` raises."""
    go = asyncio.Event()
    line = Line(ScriptedSocket(go, "x", close_code=None))
    async with line.call() as caller:
        await accepted(caller)
        caller.send_error = OSError("gone")
        go.set()
        with pytest.raises(CallerLeft):
            await caller.ended()
    assert line.outcome is Outcome.CALLER_LEFT


async def test_an_interrupt_ends_open_sockets() -> None:
    """Before the upstream answered and after: refused, or closed with the reason."""
    line = Line(HANG, ScriptedSocket(close_code=None), render=True)
    first, second = line.call(), line.call()
    async with first, second:
        await settled()
        assert line.relay.interrupt(ServiceUnavailable("closing")) == 2
        await first.ended()
        await second.ended()
    assert first.seen().status == 503
    assert second.messages[-1] == {"type": "websocket.close", "code": 1011, "reason": "closing"}
    assert line.outcome is Outcome.TRUNCATED
    assert line.relay.interrupt(ServiceUnavailable("closing")) == 0


async def test_a_cancellation_closes_the_upstream_even_if_it_comes_twice() -> None:
    """A host that cancels again and again does not cut the close."""
    upstream = ScriptedSocket(close_code=None)
    line = Line(upstream)
    async with line.call() as caller:
        await accepted(caller)
        for _ in range(4):
            caller.cancel()
            await settled(1)
        await caller.over()
        await settled()
    assert upstream.closes == [(1000, "")]
    assert line.outcome is Outcome.CALLER_LEFT


async def test_both_sides_failing_at_once_is_one_failure(caplog: pytest.LogCaptureFixture) -> None:
    """The second is nobody's concern any more, and no line in the log."""

    class Failing(ScriptedSocket):
        async def send(self, message: str | bytes) -> None:
            go.set()
            raise UpstreamUnreachable("broken")

    go = asyncio.Event()
    line = Line(Failing(go, UpstreamUnreachable("broken"), close_code=None), render=True)
    async with line.call() as caller:
        await accepted(caller)
        caller.say("x")
        assert (await caller.next())["code"] == 1011
        await caller.ended()
    await settled()
    gc.collect()
    assert [record for record in caplog.records if record.name == "asyncio"] == []
