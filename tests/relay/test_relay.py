"""One upstream exchange: nothing is released before it is good, and nobody waits for what nobody wants."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from asgi_gateway.errors import (
    CallerLeft,
    EmptyUpstream,
    Fault,
    GatewayError,
    MalformedUpstream,
    ServiceUnavailable,
    UpstreamError,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from asgi_gateway.exchange import Exchange
from asgi_gateway.relay import Relay
from asgi_gateway.storage.records import Channel, Outcome, Timeouts
from asgi_gateway.types import Scope
from support.asgi import Connection, SlowEnd, ask, http_scope, settled
from support.exchanges import a_route, begun, channel, chat
from support.upstream import DONE, HANG, Reply, ScriptedTransport, Step, chunk, completion, stream

PATIENT = Timeouts()


class Wire:
    """A relay over a scripted upstream, and what it leaves behind."""

    def __init__(self, *replies: Reply, of: Channel | None = None, **options: Any) -> None:
        self.transport = ScriptedTransport(*replies)
        self.relay = Relay(transport=self.transport, route=a_route(of), **options)
        self.exchange: Exchange | None = None

    def scope(self, body: bytes = chat()) -> Scope:
        scope, exchange = begun(http_scope())
        exchange.outline = exchange.dialect.outline(body)
        self.exchange = exchange
        return scope

    def call(self, body: bytes = chat()) -> Connection:
        return Connection(self.relay, self.scope(body), body)

    async def fails(self, body: bytes = chat()) -> GatewayError:
        """The error of a request to which nothing was released."""
        async with self.call(body) as caller:
            with pytest.raises(GatewayError) as failed:
                await caller.ended()
            assert caller.messages == []
        assert self.transport.open == 0
        empty = isinstance(failed.value, EmptyUpstream)
        assert self.outcome is (Outcome.EMPTY if empty else Outcome.UPSTREAM_FAILED)
        return failed.value

    @property
    def outcome(self) -> Outcome | None:
        assert self.exchange is not None
        return self.exchange.outcome


STREAM = chat(stream=True)


async def test_a_request_is_sent_as_the_route_says() -> None:
    """Address, authentication, body, deadlines and proxy of the channel; the stream's flag of the request."""
    of = channel(id=3, base_url="http://upstream.test:9100", proxy="http://proxy.test", timeouts=Timeouts(idle=7))
    wire = Wire(Reply.json(completion()), of=of)
    async with wire.call() as caller:
        seen = await caller.answer()
    (request,) = wire.transport.requests
    assert (request.origin.host, request.origin.port, request.target) == (
        "upstream.test",
        9100,
        b"/v1/chat/completions",
    )
    assert dict(request.headers)[b"authorization"] == b"Bearer sk-upstream-first"
    assert (request.method, request.body, request.stream) == ("POST", chat(), False)
    assert (request.timeouts.idle, request.proxy) == (7, "http://proxy.test")
    assert seen.json() == completion()
    assert wire.outcome is Outcome.COMPLETED
    assert wire.transport.open == 0


async def test_the_caller_sees_few_of_the_upstreams_headers() -> None:
    """Type and length; its rate limits, cookies, ids and server are the channel's own affair."""
    wire = Wire(
        Reply.json(completion(), set_cookie="a=b", x_ratelimit_remaining_requests="1", openai_processing_ms="5")
    )
    async with wire.call() as caller:
        seen = await caller.answer()
    assert {name for name, _ in seen.headers} == {b"content-type", b"content-length", b"openai-processing-ms"}


async def test_a_stream_passes_as_it_comes() -> None:
    """Each chunk is forwarded when it was read, as a message of its own, under headers that stop proxies holding it."""
    first, second = asyncio.Event(), asyncio.Event()
    wire = Wire(Reply.stream(chunk("a"), first, chunk("b"), second, chunk(finish="stop"), DONE))
    async with wire.call(STREAM) as caller:
        start = await caller.next()
        headers = dict(start["headers"])
        assert headers[b"cache-control"] == b"no-cache, no-transform"
        assert headers[b"x-accel-buffering"] == b"no"
        assert (await caller.next())["body"] == chunk("a")
        await settled()
        assert len(caller.messages) == 2
        first.set()
        assert (await caller.next())["body"] == chunk("b")
        second.set()
        await caller.ended()
    assert [message["body"] for message in caller.messages[3:]] == [chunk(finish="stop"), DONE, b""]
    assert wire.outcome is Outcome.COMPLETED


async def test_a_streams_length_is_not_promised() -> None:
    """An event may be withheld on the way: a length of the upstream's would then be wrong."""
    reply = Reply.stream(*stream("a"))
    reply.headers.append((b"content-length", b"1000"))
    wire = Wire(reply)
    async with wire.call(STREAM) as caller:
        assert (await caller.answer()).header("content-length") is None


async def test_the_type_of_a_stream_is_read_in_any_case() -> None:
    """Media types have no case (RFC 9110, 8.3.1)."""
    reply = Reply.stream(*stream("a"))
    reply.headers = [(b"content-type", b"Text/Event-Stream")]
    wire = Wire(reply)
    async with wire.call(STREAM) as caller:
        assert (await caller.answer()).header("x-accel-buffering") == "no"


# What is held.

EMPTY: dict[str, tuple[list[Step], type[UpstreamError]]] = {
    "an error event": ([b'data: {"error": {"message": "overloaded", "type": "server_error"}}\n\n'], UpstreamError),
    "an error event in two chunks": ([b'data: {"error": {"mess', b'age": "overloaded"}}\n\n'], UpstreamError),
    "an error after a role": ([chunk(role=True), b'data: {"error": {"message": "no"}}\n\n'], UpstreamError),
    "an empty stream": ([], MalformedUpstream),
    "a comment and an end": ([b": hello\n\n"], MalformedUpstream),
    "nothing but [DONE]": ([DONE], MalformedUpstream),
    "a malformed first event": ([b"data: {half\n\n"], MalformedUpstream),
    "a web page": ([b"<html>busy</html>"], UpstreamError),
    "a connection that breaks": ([UpstreamUnreachable("broken")], UpstreamUnreachable),
    "a connection that breaks after a comment": ([b": hello\n\n", UpstreamUnreachable("broken")], UpstreamUnreachable),
    "no first event in time": ([UpstreamTimeout("late", phase="first_event")], UpstreamTimeout),
}


@pytest.mark.parametrize("case", EMPTY)
async def test_a_stream_that_says_nothing_good_is_an_error_and_unseen(case: str) -> None:
    """Inside a 200, and still an exception: it can be tried elsewhere."""
    steps, kind = EMPTY[case]
    error = await Wire(Reply.stream(*steps)).fails(STREAM)
    assert isinstance(error, kind)


PLAIN: dict[str, tuple[list[Step], type[UpstreamError]]] = {
    "an error object": ([b'{"error": {"message": "overloaded"}}'], UpstreamError),
    "nothing": ([], MalformedUpstream),
    "half a JSON": ([json.dumps(completion()).encode()[:40]], MalformedUpstream),
    "half a JSON that breaks": ([b'{"id": "x", ', UpstreamUnreachable("broken")], UpstreamUnreachable),
    "a web page": ([b"<html>busy</html>"], MalformedUpstream),
    "something else": ([b'{"hello": "world"}'], MalformedUpstream),
}


@pytest.mark.parametrize("case", PLAIN)
async def test_a_plain_answer_that_is_none_is_an_error_and_unseen(case: str) -> None:
    """Half a JSON inside a 200 is no answer."""
    steps, kind = PLAIN[case]
    error = await Wire(Reply(steps)).fails()
    assert isinstance(error, kind)


async def test_a_plain_answer_in_pieces_is_released_whole() -> None:
    """Below the limit it is one message."""
    whole = json.dumps(completion("x" * 1000)).encode()
    wire = Wire(Reply([whole[:10], whole[10:500], whole[500:]]))
    async with wire.call() as caller:
        assert (await caller.answer()).body == whole
    assert len(caller.messages) == 2


async def test_what_is_held_is_bounded() -> None:
    """Beyond the limit it is released, and what fails then is no longer unseen."""
    whole = json.dumps(completion("x" * 3000)).encode()
    wire = Wire(Reply([whole[:1000], whole[1000:2000], whole[2000:]]), head_limit=1500)
    async with wire.call() as caller:
        assert (await caller.answer()).body == whole
    assert [len(message["body"]) for message in caller.messages[1:]] == [2000, len(whole) - 2000, 0]
    wire = Wire(Reply.stream(*[b": waiting\n\n"] * 300, UpstreamUnreachable("broken")), head_limit=1500)
    async with wire.call(STREAM) as caller:
        await caller.over()
        assert len(caller.messages) > 1
    assert wire.outcome is Outcome.TRUNCATED


async def test_a_first_event_has_a_deadline_however_much_the_upstream_pings() -> None:
    """Comments keep a connection alive and the caller waiting: the deadline is for an event, counted from the head."""
    pings = asyncio.Event()
    quick = replace(PATIENT, first_event=0.05)
    wire = Wire(Reply.stream(b": ping\n\n", pings, HANG), of=channel(id=1, timeouts=quick))
    asyncio.get_running_loop().call_later(0.01, pings.set)
    error = await wire.fails(STREAM)
    assert isinstance(error, UpstreamTimeout)
    assert (error.phase, error.status) == ("first_event", 504)


async def test_no_deadline_is_no_deadline() -> None:
    """0 means none."""
    late = asyncio.Event()
    wire = Wire(
        Reply.stream(b": ping\n\n", late, *stream("a")), of=channel(id=1, timeouts=replace(PATIENT, first_event=0))
    )
    asyncio.get_running_loop().call_later(0.02, late.set)
    async with wire.call(STREAM) as caller:
        assert (await caller.answer()).status == 200


async def test_an_answer_in_a_coding_that_was_not_asked_for_is_none() -> None:
    """Nobody could read it: the caller was promised none either. `identity` is no coding."""
    reply = Reply.json(completion())
    reply.headers.append((b"content-encoding", b"gzip"))
    assert isinstance(await Wire(reply).fails(), MalformedUpstream)
    reply = Reply.json(completion())
    reply.headers.append((b"content-encoding", b"Identity"))
    async with Wire(reply).call() as caller:
        assert (await caller.answer()).json() == completion()


# Bad statuses.


@pytest.mark.parametrize(
    ("status", "shown", "fault"),
    [
        (400, 400, Fault.CALLER),
        (401, 502, Fault.CHANNEL),
        (402, 502, Fault.CHANNEL),
        (403, 502, Fault.CHANNEL),
        (404, 503, Fault.CHANNEL),
        (422, 422, Fault.CALLER),
        (429, 429, Fault.UPSTREAM),
        (500, 500, Fault.UPSTREAM),
        (503, 503, Fault.UPSTREAM),
        (302, 502, Fault.UPSTREAM),
        (199, 502, Fault.UPSTREAM),
    ],
)
async def test_a_bad_status_never_starts_an_answer(status: int, shown: int, fault: Fault) -> None:
    """It is an error, judged by the provider; its own status is kept for the record."""
    error = await Wire(Reply.error(status)).fails()
    assert isinstance(error, UpstreamError)
    assert (error.status, error.original_status, error.fault) == (shown, status, fault)


async def test_an_error_page_is_read_to_a_limit() -> None:
    """No more than 64 KiB of whatever an upstream calls an error."""
    page = [b"<html>" + b"x" * 60_000, b"y" * 60_000, b"z" * 60_000]
    wire = Wire(Reply(page, status=500))
    await wire.fails()
    assert wire.transport.responses[0].reads == 2


async def test_an_error_whose_text_is_cut_is_still_that_error() -> None:
    """The status was read: a connection that breaks inside the text does not make it another failure."""
    wire = Wire(Reply([b'{"error": {"mess', UpstreamUnreachable("broken")], status=429))
    error = await wire.fails()
    assert error.status == 429


async def test_an_upstream_that_cannot_be_reached_is_an_error() -> None:
    """What the transport raises is what the layers see."""
    error = UpstreamUnreachable("no connection")
    assert await Wire(Reply(before=[error])).fails() is error


# Leaving.


async def leaves(wire: Wire, caller: Connection) -> None:
    """The caller leaves now: the exchange ends within a second, and nothing stays open."""
    caller.leave()
    async with asyncio.timeout(1):
        with pytest.raises(CallerLeft):
            await caller.ended()
    assert caller.waiting == 0
    assert wire.transport.open == 0
    assert wire.outcome is Outcome.CALLER_LEFT


async def begins(condition: Any) -> None:
    """Wait until something has begun."""
    async with asyncio.timeout(5):
        while not condition():
            await settled(1)


@pytest.mark.parametrize("body", [chat(), STREAM])
async def test_leaving_before_the_upstreams_head(body: bytes) -> None:
    """The request is cancelled."""
    wire = Wire(Reply(before=[HANG]))
    async with wire.call(body) as caller:
        await begins(lambda: wire.transport.requests)
        await leaves(wire, caller)
    assert wire.transport.cancelled == 1
    assert wire.exchange is not None
    assert wire.exchange.reached_upstream


@pytest.mark.parametrize(
    "steps", [[HANG], [b": ping\n\n", HANG], [chunk(role=True), HANG]], ids=["silent", "pinged", "role"]
)
async def test_leaving_before_the_first_event(steps: list[Step]) -> None:
    """While the head is held."""
    wire = Wire(Reply.stream(*steps))
    async with wire.call(STREAM) as caller:
        await begins(lambda: wire.transport.responses)
        await leaves(wire, caller)
        assert caller.messages == []


async def test_leaving_inside_a_plain_answer() -> None:
    """While it is collected."""
    wire = Wire(Reply([b'{"id": 1,', HANG]))
    async with wire.call() as caller:
        await begins(lambda: wire.transport.responses)
        await leaves(wire, caller)
        assert caller.messages == []


async def test_leaving_inside_a_stream() -> None:
    """After some of it was released."""
    wire = Wire(Reply.stream(chunk("a"), HANG))
    async with wire.call(STREAM) as caller:
        await caller.next()
        await caller.next()
        await leaves(wire, caller)


async def test_leaving_while_a_send_blocks() -> None:
    """A slow reader who leaves."""
    wire = Wire(Reply.stream(chunk("a"), go := asyncio.Event(), *stream(*"abcdef")))
    async with wire.call(STREAM) as caller:
        await caller.next()
        caller.gate.clear()
        go.set()
        await settled()
        assert len(caller.messages) == 2
        await leaves(wire, caller)


async def test_leaving_that_only_a_send_tells_of() -> None:
    """Servers that raise in `send` (ASGI 2.4)."""
    wire = Wire(Reply.stream(chunk("a"), go := asyncio.Event(), chunk("b"), HANG))
    async with wire.call(STREAM) as caller:
        await caller.next()
        caller.send_error = OSError("gone")
        go.set()
        with pytest.raises(CallerLeft):
            await caller.ended()
    assert wire.outcome is Outcome.CALLER_LEFT
    assert wire.transport.open == 0


async def test_leaving_inside_the_body() -> None:
    """Nothing is sent upstream for half a request."""
    wire = Wire()
    async with Connection(wire.relay, wire.scope(), None) as caller:
        caller.feed(b"half", more=True)
        await settled()
        caller.leave()
        with pytest.raises(CallerLeft):
            await caller.ended()
    assert wire.transport.requests == []
    assert wire.exchange is not None
    assert not wire.exchange.reached_upstream


async def test_leaving_with_the_last_message_is_no_leaving() -> None:
    """Servers tell of a disconnect as soon as an answer is whole, some before the last `send` returns."""
    wire = Wire(Reply.stream(chunk("a"), late := asyncio.Event(), chunk(finish="stop"), DONE))
    async with wire.call(STREAM) as caller:
        await begins(lambda: caller.waiting)
        late.set()
        await begins(lambda: len(caller.messages) == 5)
        await caller.ended()
    assert wire.outcome is Outcome.COMPLETED


async def test_a_last_message_that_takes_long_is_not_cut() -> None:
    """A server may tell of the disconnect while it still sends the end."""
    late = asyncio.Event()
    wire = Wire(Reply.stream(chunk("a"), late, chunk(finish="stop"), DONE))
    caller = SlowEnd(wire.relay, wire.scope(STREAM), STREAM)
    async with caller:
        await begins(lambda: caller.waiting)
        late.set()
        await begins(lambda: caller.complete)
        await settled()
        assert not caller.done
        caller.gate.set()
        await caller.ended()
    assert wire.outcome is Outcome.COMPLETED


async def test_a_cancellation_from_outside_closes_everything() -> None:
    """Whoever cancels the task: the upstream's answer is closed and the outcome known."""
    for reply in (Reply(before=[HANG]), Reply.stream(chunk("a"), HANG)):
        wire = Wire(reply)
        async with wire.call(STREAM) as caller:
            await begins(lambda wire=wire: wire.transport.requests)
            await settled()
            caller.cancel()
            await caller.over()
            assert caller.task is not None
            assert caller.task.cancelled()
        assert wire.transport.open == 0
        assert wire.outcome is Outcome.CALLER_LEFT


# Interrupting.


async def test_an_interrupt_ends_open_exchanges_with_its_error() -> None:
    """Before anything was released and inside a stream; those that are over are left alone."""
    wire = Wire(Reply.json(completion()), Reply(before=[HANG]), Reply.stream(chunk("a"), HANG))
    async with wire.call() as over:
        await over.answer()
    exchanges = []
    async with wire.call() as held:
        await settled()
        exchanges.append(wire.exchange)
        async with wire.call(STREAM) as streaming:
            await streaming.next()
            exchanges.append(wire.exchange)
            assert wire.relay.interrupt(ServiceUnavailable("closing")) == 2
            await held.over()
            await streaming.over()
            for caller in (held, streaming):
                assert caller.task is not None
                assert isinstance(caller.task.exception(), ServiceUnavailable)
    assert [exchange.outcome for exchange in exchanges if exchange] == [Outcome.UPSTREAM_FAILED, Outcome.TRUNCATED]
    assert wire.transport.open == 0
    assert wire.relay.interrupt(ServiceUnavailable("closing")) == 0


async def test_closing_drops_idle_connections() -> None:
    """The transport is told."""
    wire = Wire()
    await wire.relay.close()
    assert wire.transport.closed == 1


# Endings.


async def test_a_stream_that_breaks_is_truncated() -> None:
    """What the transport raised goes on to whoever renders it."""
    wire = Wire(Reply.stream(chunk("a"), UpstreamUnreachable("broken")))
    async with wire.call(STREAM) as caller:
        with pytest.raises(UpstreamUnreachable):
            await caller.ended()
        assert not caller.complete
    assert wire.outcome is Outcome.TRUNCATED
    assert wire.transport.open == 0


async def test_a_body_in_pieces_is_sent_whole() -> None:
    """A lone relay reads what no layer outside it has read."""
    wire = Wire(Reply.json(completion()))
    body = chat()
    scope = http_scope()
    seen = await ask(wire.relay, scope, [body[:5], body[5:9], body[9:]])
    assert seen.status == 200
    assert wire.transport.requests[0].body == body


async def test_a_lone_relay_learns_from_the_body_whether_it_streams() -> None:
    """Deadlines depend on it."""
    wire = Wire(Reply.stream(*stream("a")))
    await ask(wire.relay, http_scope(), STREAM)
    assert wire.transport.requests[0].stream


async def test_an_address_is_made_once_for_many_requests() -> None:
    """And anew for a channel that changed."""
    wire = Wire(*[Reply.json(completion()) for _ in range(4)])
    made: list[Channel] = []
    provider = wire.relay.route.provider if wire.relay.route else None
    assert provider is not None

    class Counting:
        name, base_url, dialects, needs_key = "counting", "", ("openai_chat",), False

        def endpoint(self, of: Channel, *rest: Any, **options: Any) -> Any:
            made.append(of)
            return provider.endpoint(of, *rest, **options)

    for of in (channel(id=1), channel(id=1, priority=2)):
        wire.relay.route = replace(a_route(of), provider=Counting())
        for _ in range(2):
            async with wire.call() as caller:
                await caller.answer()
    assert len(made) == 2


async def test_other_scopes_are_a_mistake() -> None:
    """The relay is the last app: what nobody took is told."""

    async def unused(*_: Any) -> Any:
        raise AssertionError

    with pytest.raises(RuntimeError, match="lifespan"):
        await Wire().relay({"type": "lifespan"}, unused, unused)
