"""Another channel, until something was released; then never again."""

import asyncio
from typing import Any

import pytest

from asgi_gateway.errors import (
    CallerLeft,
    Fault,
    GatewayError,
    InvalidRequest,
    NoChannelAvailable,
    UpstreamError,
    UpstreamTimeout,
)
from asgi_gateway.exchange import Body, Exchange, ModelChoice
from asgi_gateway.middleware import ChannelRoutingMiddleware, ErrorMiddleware, RetryMiddleware
from asgi_gateway.policies.retry import RetryPolicy
from asgi_gateway.storage.records import Channel
from asgi_gateway.types import Receive, Scope, Send
from support.asgi import Answer, Connection, ask, http_scope, settled, socket_scope
from support.exchanges import Inner, answer, begun, channel

A, B, C = channel("a", priority=3), channel("b", priority=2), channel("c", priority=1)
BUSY = UpstreamError("busy", status=503, original_status=503, code="overloaded")


class Lines:
    """A retry over three channels; the inside does what its steps say, one for each attempt."""

    def __init__(
        self,
        *steps: Any,
        channels: tuple[Channel, ...] = (A, B, C),
        inner: Any = None,
        body: bytes | None = b"{}",
        **options: Any,
    ) -> None:
        self.inner = inner if inner is not None else Inner(*steps)
        routing = ChannelRoutingMiddleware(self.inner, channels=channels, draw=lambda: 0.0)
        self.app = ErrorMiddleware(RetryMiddleware(routing, **options))
        self.body = body
        self.exchange: Exchange | None = None

    def scope(self, scope: Scope | None = None) -> Scope:
        entered, exchange = begun(scope if scope is not None else http_scope())
        exchange.model = ModelChoice("m-1", "m-1")
        exchange.body = Body(self.body) if self.body is not None else None
        self.exchange = exchange
        return entered

    async def ask(self) -> Answer:
        return await ask(self.app, self.scope(), b"{}")

    @property
    def attempts(self) -> list[tuple[str, str, int]]:
        assert self.exchange is not None
        return [(attempt.channel.name, attempt.error, attempt.status) for attempt in self.exchange.attempts]


async def test_the_first_good_answer_is_the_callers() -> None:
    """No failure: one attempt, noted as good."""
    lines = Lines(answer(b"good"))
    assert (await lines.ask()).body == b"good"
    assert lines.attempts == [("a", "", 0)]


async def test_a_failure_is_tried_on_another_channel() -> None:
    """Each attempt picks anew, tried channels are left out, and all of it is noted."""
    lines = Lines(BUSY, UpstreamTimeout("late", phase="headers"), answer(b"good"), policy=RetryPolicy(base=0))
    assert (await lines.ask()).body == b"good"
    assert lines.attempts == [("a", "overloaded", 503), ("b", "upstream_timeout", 504), ("c", "", 0)]
    assert lines.exchange is not None
    assert all(attempt.duration > 0 for attempt in lines.exchange.attempts)
    assert lines.exchange.route is not None
    assert lines.exchange.route.channel.name == "c"


async def test_each_attempt_gets_the_whole_body() -> None:
    """Also where nothing inside replays it, and where it lies in a file."""
    lines = Lines(BUSY, BUSY, answer(), body=b'{"all": "of it"}', policy=RetryPolicy(base=0))
    await lines.ask()
    assert lines.inner.bodies == [b'{"all": "of it"}'] * 3


async def test_the_last_real_error_is_told_when_nothing_is_left() -> None:
    """Not that no channel is left; the channel that failed last stays on the exchange."""
    lines = Lines(BUSY, UpstreamError("worse", code="worse"), channels=(A, B), attempts=5)
    seen = await lines.ask()
    assert (seen.status, seen.json()["error"]["code"]) == (502, "worse")
    assert [name for name, _, _ in lines.attempts] == ["a", "b"]
    assert lines.exchange is not None
    assert lines.exchange.route is not None
    assert lines.exchange.route.channel.name == "b"


async def test_no_channel_at_all_is_told_as_such() -> None:
    """Where nothing was tried there is no better error."""
    lines = Lines(channels=())
    seen = await lines.ask()
    assert (seen.status, seen.json()["error"]["code"]) == (503, "no_channel_available")
    assert lines.attempts == []


async def test_no_more_channels_are_tried_than_allowed() -> None:
    """`attempts` counts them all."""
    lines = Lines(BUSY, attempts=2)
    assert (await lines.ask()).status == 503
    assert lines.inner.calls == 2
    lines = Lines(BUSY, attempts=1)
    assert (await lines.ask()).status == 503
    assert lines.inner.calls == 1


@pytest.mark.parametrize(
    "error",
    [
        UpstreamError("your fault", fault=Fault.CALLER, status=400, original_status=400),
        UpstreamTimeout("over", phase="total"),
        InvalidRequest("ours"),
    ],
)
async def test_what_no_other_channel_would_take_is_not_tried_again(error: GatewayError) -> None:
    """The caller's own fault, a time that is over, a refusal of ours."""
    lines = Lines(error)
    assert (await lines.ask()).status == error.status
    assert lines.inner.calls == 1


async def test_the_channels_own_status_is_noted() -> None:
    """The caller sees 502, the attempt remembers the 401."""
    refused = UpstreamError("no key", fault=Fault.CHANNEL, original_status=401, code="upstream_auth")
    lines = Lines(refused, answer())
    assert (await lines.ask()).status == 200
    assert lines.attempts[0] == ("a", "upstream_auth", 401)


@pytest.mark.parametrize("content_type", [b"text/event-stream", b"application/json"])
async def test_once_something_was_released_nothing_is_tried_again(content_type: bytes) -> None:
    """A start alone is enough: the caller has seen it."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(scope)
        await send(answer(content_type=content_type)[0])
        raise BUSY

    calls: list[Scope] = []
    lines = Lines(inner=app)
    async with Connection(lines.app, lines.scope()) as caller:
        await caller.over()
    assert len(calls) == 1
    assert lines.attempts == [("a", "overloaded", 503)]


class Patient:
    """A policy that waits."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.asked: list[tuple[str | None, int]] = []

    def decide(self, error: GatewayError, attempt: int) -> float | None:
        self.asked.append((error.code, attempt))
        return self.delay


async def test_a_caller_who_leaves_while_we_wait_ends_it() -> None:
    """No further attempt is made for nobody, and nobody is left in `receive`."""
    lines = Lines(BUSY, policy=Patient(60))
    async with Connection(lines.app, lines.scope()) as caller:
        await settled()
        assert lines.inner.calls == 1
        assert caller.waiting == 1
        caller.leave()
        await caller.ended()
        assert caller.messages == []
        assert caller.waiting == 0
    assert lines.inner.calls == 1


async def test_a_wait_is_as_long_as_the_policy_says() -> None:
    """Then the next channel is tried; the policy hears each error and the number of the attempt."""
    policy = Patient(0.01)
    lines = Lines(BUSY, UpstreamError("worse", code="worse"), answer(), policy=policy)
    async with Connection(lines.app, lines.scope()) as caller:
        assert (await caller.answer()).status == 200
        assert caller.waiting == 0
    assert policy.asked == [("overloaded", 1), ("worse", 2)]


async def test_a_large_body_is_not_read_to_notice_a_departure() -> None:
    """While we wait, the server is asked for its next message, not the body for its first."""
    asked: list[str] = []

    class Watched(Body):
        async def bytes(self) -> bytes:
            asked.append("bytes")
            return b"{}"

    lines = Lines(BUSY, answer(), policy=Patient(0.01))
    scope = lines.scope()
    assert lines.exchange is not None
    lines.exchange.body = Watched(b"{}")
    await ask(lines.app, scope, b"{}")
    assert asked == ["bytes", "bytes"]


@pytest.mark.parametrize(("error", "noted"), [(CallerLeft(), "CallerLeft"), (ZeroDivisionError(), "ZeroDivisionError")])
async def test_what_is_no_failure_of_a_channel_passes(error: Exception, noted: str) -> None:
    """A caller who left and a fault of ours are noted by their names and tried nowhere else."""
    lines = Lines(error)
    async with Connection(lines.app.app, lines.scope()) as caller:
        with pytest.raises(type(error)):
            await caller.ended()
    assert lines.attempts == [("a", noted, 0)]


async def test_a_cancellation_is_noted_and_passes() -> None:
    """The attempt that was under way is on the record."""
    lines = Lines(asyncio.Event())
    async with Connection(lines.app, lines.scope()) as caller:
        await settled()
        caller.cancel()
        await caller.over()
        assert caller.task is not None
        assert caller.task.cancelled()
    assert lines.attempts == [("a", "CancelledError", 0)]


async def test_without_a_body_that_can_be_replayed_there_is_one_attempt() -> None:
    """A second would wait for a body that the first has read."""
    lines = Lines(BUSY, body=None)
    assert (await lines.ask()).status == 503
    assert lines.inner.calls == 1


async def test_a_socket_is_retried_until_it_is_accepted() -> None:
    """It has no body, and needs none."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append(Exchange.of(scope).route)
        if len(calls) == 1:
            raise BUSY
        await send({"type": "websocket.accept"})
        raise UpstreamError("broken")

    calls: list[Any] = []
    lines = Lines(inner=app, body=None)
    async with Connection(lines.app, lines.scope(socket_scope())) as caller:
        assert (await caller.next())["type"] == "websocket.accept"
        assert (await caller.next())["code"] == 1011
        await caller.ended()
    assert [name for name, _, _ in lines.attempts] == ["a", "b"]


async def test_a_refusal_before_any_channel_is_no_attempt() -> None:
    """What an inner layer of somebody else's refuses is not noted against a channel."""
    exchange_scope, exchange = begun(http_scope(), body=Body(b"{}"))
    app = ErrorMiddleware(RetryMiddleware(Inner(NoChannelAvailable("none"))))
    assert (await ask(app, exchange_scope)).status == 503
    assert exchange.attempts == []


def test_no_attempt_at_all_is_a_mistake() -> None:
    """At least one."""
    with pytest.raises(ValueError, match="at least one"):
        RetryMiddleware(Inner(), attempts=0)
