"""Keep-alive comments in silent streams: off by default, between events only, and the end of every retry."""

import asyncio
import gc
from typing import Any

import pytest

from asgi_gateway.compose import compose
from asgi_gateway.errors import UpstreamUnreachable
from asgi_gateway.exchange import Exchange
from asgi_gateway.middleware import (
    ChannelRoutingMiddleware,
    ErrorMiddleware,
    FormatConversionMiddleware,
    ModelMappingMiddleware,
    RequestBodyMiddleware,
    RetryMiddleware,
)
from asgi_gateway.relay import Relay
from asgi_gateway.storage.records import Outcome, Timeouts
from asgi_gateway.types import ASGIApp
from support.asgi import Connection, ask, http_scope, settled
from support.exchanges import a_route, begun, channel, chat
from support.upstream import HANG, Reply, ScriptedTransport, chunk, completion, stream

PING = b": ping\n\n"
SOON = 0.02
STREAM = chat(stream=True)


def relay(*replies: Reply, ping: float = SOON) -> tuple[Relay, ScriptedTransport]:
    transport = ScriptedTransport(*replies)
    return Relay(transport=transport, route=a_route(), ping=ping), transport


def stack(app: ASGIApp) -> ASGIApp:
    """What makes attempts visible: two channels, retry, and the tap."""
    return compose(
        app,
        [
            (ErrorMiddleware, {}),
            (RequestBodyMiddleware, {}),
            (ModelMappingMiddleware, {}),
            (RetryMiddleware, {}),
            (ChannelRoutingMiddleware, {"channels": [channel("a", priority=1), channel("b")]}),
            (FormatConversionMiddleware, {}),
        ],
    )


async def pings(caller: Connection, count: int) -> None:
    """Wait for so many pings in a row."""
    for _ in range(count):
        message = await caller.next()
        assert message == {"type": "http.response.body", "body": PING, "more_body": True}


async def test_without_pings_silence_is_silence() -> None:
    """The default."""
    app, _ = relay(Reply.stream(HANG), ping=0.0)
    async with Connection(app, http_scope(), STREAM) as caller:
        await asyncio.sleep(3 * SOON)
        assert caller.messages == []


async def test_a_held_head_is_bridged() -> None:
    """While nothing good was said the answer starts with pings; what was held comes when it may be released."""
    late = asyncio.Event()
    app, transport = relay(Reply.stream(chunk(role=True), late, *stream("a")))
    async with Connection(app, http_scope(), STREAM) as caller:
        start = await caller.next()
        assert (start["type"], start["status"]) == ("http.response.start", 200)
        assert dict(start["headers"])[b"content-type"].startswith(b"text/event-stream")
        await pings(caller, 2)
        late.set()
        await caller.ended()
    body = caller.seen().body
    assert body.replace(PING, b"") == chunk(role=True) + b"".join(stream("a"))
    assert transport.open == 0


async def test_a_stream_that_falls_silent_is_bridged() -> None:
    """A ping for each stretch of silence, and none while it speaks."""
    late = asyncio.Event()
    app, _ = relay(Reply.stream(chunk("a"), chunk("b"), late, *stream("c")))
    async with Connection(app, http_scope(), STREAM) as caller:
        assert (await caller.next())["type"] == "http.response.start"
        assert (await caller.next())["body"] == chunk("a")
        assert (await caller.next())["body"] == chunk("b")
        await pings(caller, 3)
        late.set()
        await caller.ended()
    assert caller.seen().body.replace(PING, b"") == chunk("a") + chunk("b") + b"".join(stream("c"))


async def test_an_event_is_never_broken_by_a_ping() -> None:
    """An upstream that falls silent inside an event gets none; LF and CRLF both end an event."""
    late, later = asyncio.Event(), asyncio.Event()
    event = chunk("b").replace(b"\n\n", b"\r\n\r\n")
    app, _ = relay(Reply.stream(chunk("a"), event[:-2], late, event[-2:], later, *stream("c")))
    async with Connection(app, http_scope(), STREAM) as caller:
        for _ in range(3):
            await caller.next()
        await asyncio.sleep(4 * SOON)
        assert len(caller.messages) == 3
        late.set()
        assert (await caller.next())["body"] == event[-2:]
        await pings(caller, 1)
        later.set()
        await caller.ended()


async def test_a_plain_answer_gets_none() -> None:
    """Neither one that was not to be streamed, nor one that is no stream in spite of it."""
    for body in (chat(), STREAM):
        late = asyncio.Event()
        reply = Reply.json(completion())
        reply.steps.insert(0, late)
        app, _ = relay(reply)
        async with Connection(app, http_scope(), body) as caller:
            await asyncio.sleep(3 * SOON)
            assert caller.messages == []
            late.set()
            assert (await caller.answer()).json() == completion()
    late = asyncio.Event()
    app, _ = relay(Reply.stream(late, *stream("a")))
    async with Connection(app, http_scope(), chat()) as caller:
        await asyncio.sleep(3 * SOON)
        assert caller.messages == []
        late.set()
        await caller.ended()


async def test_a_binary_stream_gets_none() -> None:
    """A comment would stand in the middle of Amazon's frames."""
    late = asyncio.Event()
    reply = Reply.stream(chunk("a"), late, *stream("b"))
    reply.headers = [(b"content-type", b"application/vnd.amazon.eventstream")]
    app, _ = relay(reply)
    async with Connection(app, http_scope(), STREAM) as caller:
        for _ in range(2):
            await caller.next()
        await asyncio.sleep(3 * SOON)
        assert len(caller.messages) == 2
        late.set()
        await caller.ended()
    assert caller.seen().body == chunk("a") + b"".join(stream("b"))


async def test_before_the_first_ping_a_failure_is_retried_unseen() -> None:
    """A silent moment shorter than that costs nothing."""
    transport = ScriptedTransport(Reply.stream(UpstreamUnreachable("broken")), Reply.stream(*stream("good")))
    seen = await ask(stack(Relay(transport=transport, ping=60)), http_scope(), STREAM)
    assert seen.body == b"".join(stream("good"))
    assert len(transport.requests) == 2


async def test_after_the_first_ping_a_failure_is_an_error_event() -> None:
    """The answer has begun: nothing is tried elsewhere, and the error is the stream's last event."""
    late = asyncio.Event()
    transport = ScriptedTransport(Reply.stream(late, UpstreamUnreachable("broken")))
    async with Connection(stack(Relay(transport=transport, ping=SOON)), http_scope(), STREAM) as caller:
        assert (await caller.next())["status"] == 200
        await pings(caller, 1)
        late.set()
        seen = await caller.answer()
    assert len(transport.requests) == 1
    assert b'"upstream_unreachable"' in seen.body
    assert b"[DONE]" not in seen.body


async def test_the_deadline_for_the_first_event_holds_all_the_same() -> None:
    """Pings of ours are no event of the upstream's."""
    of = channel(id=1, timeouts=Timeouts(first_event=20 * SOON))
    transport = ScriptedTransport(Reply.stream(b": hello\n\n", HANG))
    app = ErrorMiddleware(Relay(transport=transport, route=a_route(of), ping=SOON))
    seen = await ask(app, http_scope(), STREAM)
    assert seen.body.startswith(PING)
    assert b'"upstream_timeout"' in seen.body
    assert transport.open == 0


@pytest.mark.parametrize("how", ["leave", "cancel", "send"])
async def test_leaving_between_pings_stops_the_upstream(how: str) -> None:
    """Whatever tells of it; nobody goes on reading."""
    app, transport = relay(Reply.stream(chunk("a"), HANG))
    scope, exchange = begun(http_scope())
    async with Connection(app, scope, STREAM) as caller:
        for _ in range(2):
            await caller.next()
        await pings(caller, 1)
        if how == "leave":
            caller.leave()
        elif how == "cancel":
            caller.cancel()
        else:
            caller.send_error = OSError("gone")
        await caller.over()
        await settled()
    assert transport.open == 0
    assert not transport.responses[0].reading
    assert isinstance(exchange, Exchange)
    assert exchange.outcome is Outcome.CALLER_LEFT


async def test_a_read_that_fails_while_it_is_given_up_disturbs_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """An upstream that breaks because the caller has left is no news, and no line in the log."""

    class Breaking:
        status = 200
        headers = [(b"content-type", b"text/event-stream")]  # noqa: RUF012 - a test double

        def __init__(self) -> None:
            self.closed = False

        async def read(self) -> bytes:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                raise UpstreamUnreachable("cancelled in the middle") from None
            raise AssertionError

        def close(self) -> None:
            self.closed = True

    class Transport:
        async def send(self, request: Any) -> Breaking:
            return response

        async def close(self) -> None: ...

    response = Breaking()
    async with Connection(Relay(transport=Transport(), route=a_route(), ping=SOON), http_scope(), STREAM) as caller:
        await caller.next()
        caller.leave()
        await caller.over()
        await settled()
    del caller
    gc.collect()
    assert response.closed
    assert [record for record in caplog.records if record.name == "asyncio"] == []


def test_a_negative_ping_is_a_mistake() -> None:
    """Told when the relay is made."""
    with pytest.raises(ValueError, match="negative"):
        Relay(transport=ScriptedTransport(), ping=-1)
