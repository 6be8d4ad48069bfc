"""Every answer carries our id, every exchange leaves one record, and neither says more than it should."""

import asyncio
import logging
import re
from dataclasses import replace

import pytest
from msgspec import structs
from prometheus_client import CollectorRegistry, generate_latest

from asgi_gateway.canonical import Loss
from asgi_gateway.errors import CallerLeft, InvalidRequest, UpstreamError
from asgi_gateway.exchange import Attempt, Caller, Exchange, ModelChoice
from asgi_gateway.middleware import ErrorMiddleware, TelemetryMiddleware
from asgi_gateway.middleware.metrics import Metrics
from asgi_gateway.middleware.telemetry import log_access
from asgi_gateway.storage.records import Outcome, Settlement, Token, Usage, User
from asgi_gateway.types import ASGIApp, Receive, Scope, Send
from support.asgi import Connection, ask, http_scope, settled, socket_scope
from support.exchanges import Inner, a_route, answer, begun, chat

TOKEN = Token(id=1, name="dev", user_id=1, digest=b"")
CALLER = Caller(user=User(id=1, name="alice"), token=TOKEN, group="default")
Record = dict[str, object]


def recorded(app: ASGIApp, records: list[Record]) -> TelemetryMiddleware:
    return TelemetryMiddleware(ErrorMiddleware(app), access_log=lambda record: records.append(dict(record)))


async def test_every_answer_carries_an_id_of_ours() -> None:
    """Answers and errors have `x-request-id`, also under New API's name; no two are alike."""
    ids = set()
    for inner in (Inner(), Inner(), Inner(InvalidRequest("bad"))):
        seen = await ask(recorded(inner, []), http_scope())
        own = seen.header("x-request-id")
        assert own is not None
        assert re.fullmatch("req_[0-9a-f]{32}", own)
        assert seen.header("x-oneapi-request-id") == own
        assert seen.header("x-client-request-id") is None
        ids.add(own)
    assert len(ids) == 3


async def test_the_callers_id_is_echoed_and_never_used() -> None:
    """A caller's `x-request-id` comes back as `x-client-request-id`, is on the record, and is not our id."""
    records: list[Record] = []
    seen = await ask(recorded(Inner(), records), http_scope(headers={"x-request-id": "mine-1"}))
    assert seen.header("x-client-request-id") == "mine-1"
    assert seen.header("x-request-id") == records[0]["request_id"] != "mine-1"
    assert records[0]["client_id"] == "mine-1"


@pytest.mark.parametrize("bad", [b"x" * 129, b"\xff", b"a\r\nset-cookie: b", b"tab\t", "ü".encode()])
async def test_an_id_that_cannot_be_echoed_is_ignored(bad: bytes) -> None:
    """Too long, not ASCII, or with control characters: it is neither echoed nor recorded."""
    records: list[Record] = []
    seen = await ask(recorded(Inner(), records), http_scope(headers=[(b"x-request-id", bad)]))
    assert seen.header("x-client-request-id") is None
    assert records[0]["client_id"] == ""


async def test_the_longest_id_is_echoed() -> None:
    """128 characters are still an id."""
    seen = await ask(recorded(Inner(), []), http_scope(headers={"x-request-id": "x" * 128}))
    assert seen.header("x-client-request-id") == "x" * 128


@pytest.mark.parametrize("show", [True, False])
async def test_the_route_is_shown_to_tokens_that_may_see_it(*, show: bool) -> None:
    """`x-gateway-channel` and `x-gateway-attempts` only for `show_route`, never for identities without a token."""

    async def routed(scope: Scope) -> None:
        exchange = Exchange.of(scope)
        exchange.route = a_route()
        exchange.attempts.append(Attempt(channel=exchange.route.channel, started=0.0, error="upstream_error"))

    for caller, shown in (
        (structs.replace(CALLER, token=replace(TOKEN, show_route=show)), show),
        (structs.replace(CALLER, token=None), False),
    ):
        scope, exchange = begun(http_scope())
        exchange.caller = caller
        seen = await ask(recorded(Inner(routed), []), scope)
        assert seen.header("x-gateway-channel") == ("first" if shown else None)
        assert seen.header("x-gateway-attempts") == ("2" if shown else None)


async def test_an_error_counts_only_the_attempts_that_were_made() -> None:
    """An error is answered behind its attempts, an answer inside its own."""

    async def failing(scope: Scope) -> None:
        exchange = Exchange.of(scope)
        exchange.route = a_route()
        exchange.attempts.append(Attempt(channel=exchange.route.channel, started=0.0, error="upstream_error"))
        raise UpstreamError("no")

    scope, exchange = begun(http_scope())
    exchange.caller = structs.replace(CALLER, token=replace(TOKEN, show_route=True))
    seen = await ask(recorded(Inner(failing), []), scope)
    assert seen.status == 502
    assert seen.header("x-gateway-attempts") == "1"


async def test_a_record_says_what_happened() -> None:
    """Caller, model, channel, tokens, charge and times are on the record, whatever layer wrote them."""

    async def served(scope: Scope) -> None:
        exchange = Exchange.of(scope)
        exchange.caller = CALLER
        exchange.model = ModelChoice("fast", "m-1")
        exchange.route = a_route(model="m-1-upstream")
        exchange.losses = (Loss("dropped", "request", "seed"),)
        exchange.outline = exchange.dialect.outline(chat(stream=True))
        exchange.attempts += [
            Attempt(channel=exchange.route.channel, started=0.0, error="upstream_timeout"),
            Attempt(channel=exchange.route.channel, started=0.0),
        ]
        usage = Usage(input=7, cache_read=3, output=4, reasoning=1, estimated=True)
        exchange.settlement = Settlement(charge=42, outcome=Outcome.COMPLETED, usage=usage)

    records: list[Record] = []
    await ask(recorded(Inner(served), records), http_scope(query=b"key=sk-secret"))
    record = records[0]
    times = {name: record.pop(name) for name in ("first_byte_ms", "duration_ms")}
    assert all(isinstance(time, float) and 0 < time < 5000 for time in times.values())
    assert isinstance(record.pop("request_id"), str)
    assert record == {
        "client_id": "",
        "method": "POST",
        "path": "/v1/chat/completions",
        "operation": "chat",
        "dialect": "openai_chat",
        "status": 200,
        "outcome": "completed",
        "address": "192.0.2.1",
        "user": "alice",
        "token": "dev",
        "group": "default",
        "model": "fast",
        "channel": "first",
        "upstream_model": "m-1-upstream",
        "upstream_dialect": "openai_chat",
        "losses": ["request:dropped:seed"],
        "attempts": 2,
        "errors": ["upstream_timeout"],
        "stream": True,
        "input_tokens": 10,
        "cached_tokens": 3,
        "output_tokens": 5,
        "estimated": True,
        "inconsistent": False,
        "charge": 42,
    }


async def test_a_record_without_a_settlement_takes_usage_and_outcome_of_the_exchange() -> None:
    """Where no quota is kept, what the relay and the conversion saw is recorded."""

    async def served(scope: Scope) -> None:
        exchange = Exchange.of(scope)
        exchange.usage = Usage(input=1, output=2)
        exchange.outcome = Outcome.COMPLETED

    records: list[Record] = []
    await ask(recorded(Inner(served), records), http_scope())
    assert (records[0]["input_tokens"], records[0]["output_tokens"], records[0]["outcome"]) == (1, 2, "completed")
    assert records[0]["charge"] == 0


async def test_what_a_caller_names_cannot_forge_a_line() -> None:
    """Line breaks and escapes in a path or a model's name are written out."""

    async def named(scope: Scope) -> None:
        Exchange.of(scope).model = ModelChoice("a\nINFO forged", "a")

    records: list[Record] = []
    await ask(recorded(Inner(named), records), http_scope("GET", "/v1/models/x\n\x1b[31mforged"))
    assert records[0]["path"] == "/v1/models/x\\n\\x1b[31mforged"
    assert records[0]["model"] == "a\\nINFO forged"


async def test_a_caller_who_left_is_recorded_as_499() -> None:
    """Whoever left before an answer began: while its body was read, while we waited, or by a cancellation."""

    async def leaves(scope: Scope, receive: Receive, send: Send) -> None:
        raise CallerLeft

    for app in (leaves, ErrorMiddleware(leaves)):
        records: list[Record] = []
        layer = TelemetryMiddleware(app, access_log=records.append)
        async with Connection(layer, http_scope()) as caller:
            await caller.over()
        assert records[0]["status"] == 499
    records = []
    async with Connection(recorded(Inner(asyncio.Event()), records), http_scope()) as caller:
        await settled()
        caller.cancel()
        await caller.over()
        assert caller.task is not None
        assert caller.task.cancelled()
    assert records[0]["status"] == 499


async def test_a_caller_who_left_an_answer_keeps_its_status() -> None:
    """What had begun is recorded with the status that it had."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(answer()[0])
        raise CallerLeft

    records: list[Record] = []
    async with Connection(recorded(app, records), http_scope()) as caller:
        await caller.ended()
    assert records[0]["status"] == 200


async def test_a_programming_error_is_recorded_as_500_and_passes() -> None:
    """The host answers it; the record says so."""
    records: list[Record] = []
    async with Connection(recorded(Inner(ZeroDivisionError()), records), http_scope()) as caller:
        with pytest.raises(ZeroDivisionError):
            await caller.ended()
    assert records[0]["status"] == 500


async def test_a_socket_has_its_id_and_its_status() -> None:
    """An accepted socket gets the id in its handshake and counts as 101; a refused one as what the caller sees."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})

    records: list[Record] = []
    async with Connection(recorded(app, records), socket_scope(headers={"x-request-id": "mine"})) as caller:
        accept = await caller.next()
        await caller.ended()
    headers = dict(accept["headers"])
    assert headers[b"x-request-id"].decode() == records[0]["request_id"]
    assert headers[b"x-client-request-id"] == b"mine"
    assert records[0]["status"] == 101
    assert records[0]["method"] == "WEBSOCKET"
    seen = await ask(recorded(Inner(InvalidRequest("bad")), records), socket_scope())
    assert seen.header("x-request-id") == records[1]["request_id"]
    assert records[1]["status"] == 400
    async with Connection(recorded(Inner(InvalidRequest("bad")), records), socket_scope(denial=False)) as caller:
        await caller.ended()
    assert records[2]["status"] == 403


async def test_a_sink_that_fails_is_counted_and_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """The exchange went well, whatever the deployer's sink does."""

    def sink(record: object) -> None:
        raise OSError("disk full")

    registry = CollectorRegistry()
    layer = TelemetryMiddleware(Inner(), access_log=sink, metrics=Metrics(registry))
    assert (await ask(layer, http_scope())).status == 200
    assert b"gateway_access_records_dropped_total 1.0" in generate_latest(registry)
    layer = TelemetryMiddleware(Inner(), access_log=sink)
    assert (await ask(layer, http_scope())).status == 200
    assert [record.message for record in caplog.records] == ["the access log failed"] * 2


async def test_without_sinks_only_the_ids_remain() -> None:
    """Log and metrics are both optional."""
    seen = await ask(TelemetryMiddleware(Inner(), access_log=None), http_scope())
    assert seen.header("x-request-id")


async def test_the_default_sink_is_a_logger(caplog: pytest.LogCaptureFixture) -> None:
    """The record is written as one line and carried along whole; below INFO nothing is formatted."""
    record = {"method": "GET", "path": "/v1/models", "status": 200}
    caplog.set_level(logging.WARNING, "asgi_gateway.access")
    log_access(record)
    assert caplog.records == []
    caplog.set_level(logging.INFO, "asgi_gateway.access")
    log_access(record)
    assert caplog.records[0].message == "GET /v1/models 200"
    assert vars(caplog.records[0])["exchange"] == record


async def test_metrics_count_exchanges_tokens_and_failures() -> None:
    """Each exchange counts once, with labels that callers cannot invent."""

    async def served(scope: Scope) -> None:
        exchange = Exchange.of(scope)
        exchange.model = ModelChoice("fast", "m-1")
        exchange.route = a_route()
        exchange.attempts.append(Attempt(channel=exchange.route.channel, started=0.0, error="upstream_timeout"))
        usage = Usage(input=7, cache_read=3, output=4)
        exchange.settlement = Settlement(charge=42, outcome=Outcome.COMPLETED, usage=usage)

    async def unknown(scope: Scope) -> None:
        Exchange.of(scope).model = ModelChoice("invented", "invented")
        raise InvalidRequest("no such model")

    registry = CollectorRegistry()
    metrics = Metrics(registry)
    for step in (served, served, unknown):
        layer = TelemetryMiddleware(ErrorMiddleware(Inner(step)), access_log=None, metrics=metrics)
        await ask(layer, http_scope())
    metrics.flush()
    metrics.flush()  # a second one finds nothing new

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    assert value("gateway_requests_total", operation="chat", model="m-1", channel="first", status="200") == 2
    assert value("gateway_requests_total", operation="chat", model="", channel="", status="400") == 1
    assert value("gateway_tokens_total", model="m-1", kind="input") == 14
    assert value("gateway_tokens_total", model="m-1", kind="cached") == 6
    assert value("gateway_tokens_total", model="m-1", kind="output") == 8
    assert value("gateway_charge_units_total", model="m-1") == 84
    assert value("gateway_attempt_failures_total", channel="first", code="upstream_timeout") == 2
    assert value("gateway_request_seconds_count", operation="chat") == 3
    assert value("gateway_first_byte_seconds_count", operation="chat") == 3
    assert value("gateway_open_exchanges") == 0
    assert b"invented" not in generate_latest(registry)


async def test_open_exchanges_are_counted_while_they_are_open() -> None:
    """The gauge rises with the request and falls when it is over, however it ends."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    layer = TelemetryMiddleware(Inner(asyncio.Event()), access_log=None, metrics=metrics)
    async with Connection(layer, http_scope()) as caller:
        await settled()
        metrics.flush()
        assert registry.get_sample_value("gateway_open_exchanges") == 1
        caller.cancel()
        await caller.over()
        metrics.flush()
        assert registry.get_sample_value("gateway_open_exchanges") == 0
    assert registry.get_sample_value("gateway_first_byte_seconds_count", {"operation": "chat"}) == 0


async def test_codes_that_upstreams_invent_do_not_grow_the_metrics() -> None:
    """After the first hundred they count together."""
    registry = CollectorRegistry()
    metrics = Metrics(registry)
    _, exchange = begun(http_scope())
    exchange.attempts = [Attempt(channel=a_route().channel, started=0.0, error=f"code-{n}") for n in range(150)]
    for _ in range(2):
        metrics.ended(exchange, 502, 0.1)
    names = {"channel": "first", "code": "code-0"}
    assert registry.get_sample_value("gateway_attempt_failures_total", names) == 2
    names = {"channel": "first", "code": "other"}
    assert registry.get_sample_value("gateway_attempt_failures_total", names) == 100
    assert generate_latest(registry).count(b"gateway_attempt_failures_total{") == 101


async def test_metrics_that_fail_fail_no_request(caplog: pytest.LogCaptureFixture) -> None:
    """Telemetry is dropped, the exchange is not; its record is written all the same."""

    class Broken:
        def began(self) -> None: ...

        def ended(self, exchange: Exchange, status: int, seconds: float) -> None:
            raise OSError("no space left on device")

        def dropped(self) -> None: ...

    records: list[Record] = []
    layer = TelemetryMiddleware(Inner(), access_log=lambda record: records.append(dict(record)), metrics=Broken())
    assert (await ask(layer, http_scope())).status == 200
    assert "the metrics failed" in caplog.text
    assert len(records) == 1
