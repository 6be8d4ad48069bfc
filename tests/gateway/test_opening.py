"""A gateway starts three ways, once; it stops once, and whatever was under way is settled."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from asgi_gateway import Gateway
from asgi_gateway.backends.memory import MemoryStorage
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.lifespan import run_lifespan
from asgi_gateway.storage.records import Outcome
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send
from support.asgi import Connection, ask, http_scope, lifespan, settled, socket_scope
from support.exchanges import KEY, chat
from support.gateways import House, house
from support.upstream import HANG, Reply, ScriptedTransport, chunk, completion

BODY = chat(max_tokens=10)
STREAM = chat(stream=True, max_tokens=10)


class Storage(MemoryStorage):
    """A memory storage that counts, waits and fails on demand."""

    def __init__(self, *, fail: Exception | None = None, wait: asyncio.Event | None = None) -> None:
        super().__init__()
        self.opened = self.closed = 0
        self.fail, self.wait = fail, wait

    async def open(self) -> None:
        self.opened += 1
        if self.wait is not None:
            await self.wait.wait()
        if self.fail is not None:
            raise self.fail

    async def close(self) -> None:
        self.closed += 1


def answering() -> ScriptedTransport:
    return ScriptedTransport(answer=lambda request: Reply.json(completion()))


# Three ways to start.


async def test_as_the_root_app_it_answers_the_servers_lifespan() -> None:
    """Opened before the first request, ready, and closed behind the last."""
    storage = Storage()
    at = house(storage=storage, transport=answering())
    async with lifespan(at.gateway) as said:
        assert said == [{"type": "lifespan.startup.complete"}]
        assert storage.opened == 1
        assert (await at.get("/readyz", key=None)).status == 200
        assert (await at.ask(BODY)).status == 200
    assert said[1:] == [{"type": "lifespan.shutdown.complete"}]
    assert (storage.opened, storage.closed) == (1, 1)
    assert [task for task in asyncio.all_tasks() if "upkeep" in task.get_name()] == []
    assert at.transport.closed == 1


async def test_inside_a_hosts_own_lifespan() -> None:
    """`async with gateway:` and `gateway.lifespan` do the same."""
    for way in ("with", "lifespan"):
        storage = Storage()
        at = house(storage=storage, transport=answering())
        context: Any = at.gateway if way == "with" else at.gateway.lifespan("the app")
        async with context as given:
            assert given is (at.gateway if way == "with" else None)
            assert (await at.ask(BODY)).status == 200
            assert storage.closed == 0
        assert (storage.opened, storage.closed) == (1, 1)


async def test_a_gateway_that_was_never_started_opens_itself_once() -> None:
    """Fifty first requests at once: one opening, everybody served; readiness is false until then."""
    storage = Storage(wait=asyncio.Event())
    at = house(storage=storage, transport=answering())
    assert (await at.get("/readyz", key=None)).status == 503
    callers = [at.call(BODY).start() for _ in range(50)]
    await settled()
    assert storage.opened == 1
    assert storage.wait is not None
    storage.wait.set()
    assert [(await caller.answer()).status for caller in callers] == [200] * 50
    assert storage.opened == 1
    assert (await at.get("/readyz", key=None)).status == 200
    await at.gateway.close()


async def test_every_kind_of_first_request_opens_it() -> None:
    """The model list and a key's own account too; health and unknown paths do not."""
    for path, key, status, opened in (
        ("/v1/models", KEY, 200, 1),
        ("/api/usage/token/", KEY, 200, 1),
        ("/healthz", None, 200, 0),
        ("/nothing", None, 404, 0),
    ):
        storage = Storage()
        at = house(storage=storage)
        assert (await at.get(path, key=key)).status == status
        assert storage.opened == opened


# What goes wrong at the start.


async def test_a_start_that_fails_is_told_to_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """With the reason, and what was opened is closed again; the app goes on to its next try."""
    storage = Storage(fail=ValueError("no such file"))
    at = house(storage=storage, transport=answering())
    async with lifespan(at.gateway) as said:
        pass
    assert said == [{"type": "lifespan.startup.failed", "message": "asgi_gateway: no such file"}]
    assert storage.closed == 1
    assert "could not start" in caplog.text
    storage.fail = None
    assert (await at.ask(BODY)).status == 200


async def test_a_first_request_is_told_why_the_storage_is_away() -> None:
    """503 in the caller's dialect with an id, and the next request tries again; what is no such error passes."""
    storage = Storage(fail=ServiceUnavailable("the database is away"))
    at = house(storage=storage, transport=answering())
    for path in ("/v1/chat/completions", "/v1/models", "/api/usage/token/"):
        seen = await at.ask(BODY, path=path, method="POST" if path.endswith("completions") else "GET")
        assert seen.status == 503
        assert seen.json()["error"]["message"] == "the database is away"
        assert seen.header("x-request-id")
    storage.fail = ZeroDivisionError()
    async with at.call(BODY) as caller:
        with pytest.raises(ZeroDivisionError):
            await caller.ended()
    storage.fail = None
    assert (await at.ask(BODY)).status == 200
    assert storage.opened == 5


async def test_a_first_request_that_is_cancelled_leaves_the_opening_to_the_next() -> None:
    """Nothing stays half open."""
    storage = Storage(wait=asyncio.Event())
    at = house(storage=storage, transport=answering())
    first, second = at.call(BODY).start(), at.call(BODY).start()
    await settled()
    first.cancel()
    await first.over()
    await settled()
    assert (storage.opened, storage.closed) == (2, 1)
    assert storage.wait is not None
    storage.wait.set()
    assert (await second.answer()).status == 200


# A fallback's own lifespan.


def host(*, startup: str = "complete", shutdown: str = "complete", log: list[str]) -> ASGIApp:
    """A host app that says these things in its lifespan, and answers 200."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            log.append(scope["path"])
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"host"})
            return
        assert (await receive())["type"] == "lifespan.startup"
        log.append("startup")
        if startup == "raises":
            raise RuntimeError("not supported")
        await send({"type": f"lifespan.startup.{startup.partition(',')[0]}"})
        if startup == "failed":
            return
        if startup == "complete, then raises":
            raise RuntimeError("broken")
        assert (await receive())["type"] == "lifespan.shutdown"
        log.append("shutdown")
        await send({"type": f"lifespan.shutdown.{shutdown}"})
        if shutdown == "complete":
            await settled(30)
            log.append("after")

    return app


async def test_a_fallbacks_lifespan_runs_within_ours() -> None:
    """Its start behind our start, its end before our end; it may say more after its last answer."""
    log: list[str] = []
    storage = Storage()
    at = house(storage=storage, transport=answering(), fallback=host(log=log))
    async with lifespan(at.gateway, state={}) as said:
        assert log == ["startup"]
        assert storage.opened == 1
        assert (await at.get("/elsewhere", key=None)).body == b"host"
        assert (await at.ask(BODY)).status == 200
    assert log == ["startup", "/elsewhere", "shutdown", "after"]
    assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert storage.closed == 1


async def test_a_fallback_that_knows_no_lifespan_is_served_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    """One that raises, and one that returns at once; neither is worth a warning."""

    async def returning(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return
        await host(log=[])(scope, receive, send)

    for fallback in (host(startup="raises", log=[]), returning):
        storage = Storage()
        at = house(storage=storage, transport=answering(), fallback=fallback)
        async with lifespan(at.gateway) as said:
            assert (await at.get("/elsewhere", key=None)).body == b"host"
            assert (await at.ask(BODY)).status == 200
        assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        assert storage.closed == 1
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_a_fallback_that_cannot_start_stops_the_whole() -> None:
    """Its failure is passed on, and we are closed."""
    storage = Storage()
    at = house(storage=storage, fallback=host(startup="failed", log=[]))
    async with lifespan(at.gateway) as said:
        pass
    assert [message["type"] for message in said] == ["lifespan.startup.failed"]
    assert (storage.opened, storage.closed) == (1, 1)


async def test_a_fallback_that_breaks_meanwhile_does_not_keep_us_from_stopping() -> None:
    """It cannot answer any more: we stop without it."""
    storage = Storage()
    at = house(storage=storage, fallback=host(startup="complete, then raises", log=[]))
    async with lifespan(at.gateway) as said:
        pass
    assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert storage.closed == 1


async def test_a_fallback_that_fails_to_stop_is_passed_on() -> None:
    """The server hears it, and we are closed all the same."""
    storage = Storage()
    at = house(storage=storage, fallback=host(shutdown="failed", log=[]))
    async with lifespan(at.gateway) as said:
        pass
    assert said[-1]["type"] == "lifespan.shutdown.failed"
    assert storage.closed == 1


async def test_a_stop_that_fails_is_told_to_the_server(caplog: pytest.LogCaptureFixture) -> None:
    """With the reason."""

    async def fine() -> None: ...

    async def broken() -> None:
        raise ValueError("disk full")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await run_lifespan(scope, receive, send, start=fine, stop=broken)

    async with lifespan(app) as said:
        pass
    assert said[-1] == {"type": "lifespan.shutdown.failed", "message": "asgi_gateway: disk full"}
    assert "could not stop" in caplog.text


async def test_a_server_that_gives_up_its_lifespan_stops_us_and_the_fallback() -> None:
    """Cancelled instead of told: what was started is stopped."""
    ended: list[str] = []

    async def fallback(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        try:
            await receive()
        finally:
            ended.append("ended")

    storage = Storage()
    at = house(storage=storage, fallback=fallback)
    questions: asyncio.Queue[Message] = asyncio.Queue()
    questions.put_nowait({"type": "lifespan.startup"})
    said: asyncio.Queue[Message] = asyncio.Queue()
    task = asyncio.ensure_future(at.gateway({"type": "lifespan"}, questions.get, said.put))
    assert (await asyncio.wait_for(said.get(), 5))["type"] == "lifespan.startup.complete"
    task.cancel()
    await asyncio.wait([task])
    await settled()
    assert task.cancelled()
    assert storage.closed == 1
    assert ended == ["ended"]


async def test_a_fallback_that_fails_after_its_last_answer_is_told_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """It no longer changes anything."""

    async def fallback(scope: Scope, receive: Receive, send: Send) -> None:
        for step in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{step}.complete"})
        raise RuntimeError("too late")

    at = house(storage=Storage(), fallback=fallback)
    async with lifespan(at.gateway) as said:
        pass
    assert said[-1]["type"] == "lifespan.shutdown.complete"
    assert "too late" in caplog.text


# Foreign requests.


async def test_what_is_none_of_ours_goes_to_the_fallback_untouched() -> None:
    """The very same objects, also for scope types that nobody knows yet; it pays one look at the path."""
    calls: list[tuple[Any, ...]] = []

    async def fallback(*given: Any) -> None:
        calls.append(given)

    at = house(storage=(storage := Storage()), fallback=fallback)

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError

    for scope in (http_scope("GET", "/healthz"), http_scope("OPTIONS"), socket_scope("/ws"), {"type": "quic"}):
        await at.gateway(scope, receive, send)
        assert calls[-1] == (scope, receive, send)
        assert calls[-1][0] is scope
    assert storage.opened == 0


async def test_without_a_fallback_unknown_scopes_are_ignored() -> None:
    """A server that offers more than we know is not an error."""

    called = 0

    async def unused(*_: Any) -> Any:
        nonlocal called
        called += 1

    await house().gateway({"type": "quic"}, unused, unused)
    assert called == 0


# Draining and closing.


async def test_while_it_drains_new_work_is_refused() -> None:
    """503 with `retry-after`, not ready, alive; what reads only is still answered."""
    at = house(transport=answering())
    async with at.gateway:
        at.gateway.begin_drain()
        seen = await at.ask(BODY)
        assert seen.status == 503
        assert seen.json()["error"]["code"] == "shutting_down"
        assert seen.header("retry-after") == "1"
        assert seen.header("x-request-id")
        assert (await at.get("/readyz", key=None)).json()["reason"] == "draining"
        assert (await at.get("/healthz", key=None)).status == 200
        assert (await at.get("/v1/models")).status == 200
        assert (await at.get("/api/usage/token/")).status == 200
        assert (await ask(at.gateway, socket_scope(key=KEY))).status == 503
    assert at.records[0]["status"] == 503


async def test_open_exchanges_get_their_time() -> None:
    """A drain ends as soon as the last one is over."""
    go = asyncio.Event()
    at = house(Reply.stream(chunk("a"), go, chunk(finish="stop"), b"data: [DONE]\n\n"))
    async with at.gateway, at.call(STREAM) as caller:
        await caller.next()
        draining = asyncio.ensure_future(at.gateway.drain(60))
        other = asyncio.ensure_future(at.gateway.drain(60))
        await settled()
        assert not draining.done()
        go.set()
        await caller.ended()
        await asyncio.wait_for(draining, 5)
        await asyncio.wait_for(other, 5)
    assert b"[DONE]" in caller.seen().body
    assert (await at.charges())[0].settlement.outcome is Outcome.COMPLETED


async def test_then_they_are_ended_honestly_and_settled(caplog: pytest.LogCaptureFixture) -> None:
    """A stream by an error event, what had not begun by 503; what came is charged, nothing stays reserved."""
    at = house(Reply.stream(chunk("word " * 40), HANG), Reply(before=[HANG]), Reply.json(completion()))
    async with at.gateway, at.call(STREAM) as streaming:
        for _ in range(2):
            await streaming.next()
        async with at.call(BODY) as waiting, at.call(None) as uploading:
            uploading.feed(BODY[:5], more=True)
            await settled()
            draining = asyncio.ensure_future(at.gateway.drain(0.01))
            assert b'"shutting_down"' in (await streaming.answer()).body
            assert (await waiting.answer()).status == 503
            uploading.feed(BODY[5:])
            await uploading.over()
            await asyncio.wait_for(draining, 5)
    charged = {charge.settlement.outcome: charge.charged for charge in await at.charges()}
    assert charged[Outcome.TRUNCATED] == -(-len(STREAM) // 4) + 100
    assert charged[Outcome.UPSTREAM_FAILED] == 0
    assert (await at.balance()).reserved == 0
    assert at.transport.open == 0
    assert "2 open exchanges were ended" in caplog.text


async def test_whoever_comes_to_the_upstream_during_the_end_is_ended_too(caplog: pytest.LogCaptureFixture) -> None:
    """An upload that was under way when the drain began does not outlive it."""
    at = house(Reply(before=[HANG]))
    async with at.gateway, at.call(None) as caller:
        caller.feed(BODY[:5], more=True)
        await settled()
        draining = asyncio.ensure_future(at.gateway.drain(0.01))
        async with asyncio.timeout(5):
            while "drained" not in caplog.text:
                await settled(1)
        caller.feed(BODY[5:])
        assert (await caller.answer()).status == 503
        await asyncio.wait_for(draining, 5)
    assert at.transport.cancelled == 1


async def test_closing_ends_what_is_under_way() -> None:
    """A host that stops without draining leaves nothing unsettled."""
    at = house(Reply.stream(chunk("a"), HANG))
    async with at.call(STREAM) as caller:
        async with at.gateway:
            await caller.next()
        assert b'"shutting_down"' in (await caller.answer()).body
    assert (await at.balance()).reserved == 0
    assert len(await at.charges()) == 1


async def test_closing_twice_and_closing_what_was_never_opened() -> None:
    """Safe, also at the same time."""
    storage = Storage()
    at = house(storage=storage, transport=answering())
    await at.gateway.close()
    assert storage.closed == 0
    await at.gateway.open()
    await at.gateway.open()
    await asyncio.gather(at.gateway.close(), at.gateway.close())
    await at.gateway.close()
    assert (storage.opened, storage.closed) == (1, 1)


async def test_closed_is_closed_until_it_is_opened_again() -> None:
    """A late request does not bring a stopped gateway back; its host may."""
    storage = Storage()
    at = house(storage=storage, transport=answering())
    async with at.gateway:
        assert (await at.ask(BODY)).status == 200
    for path in ("/v1/chat/completions", "/v1/models", "/api/usage/token/", "/readyz"):
        method = "POST" if path.endswith("completions") else "GET"
        assert (await at.ask(BODY, path=path, method=method)).status == 503
    assert storage.opened == 1
    async with at.gateway:
        assert (await at.ask(BODY)).status == 200
    assert (storage.opened, storage.closed) == (2, 2)


def test_a_gateway_may_move_to_another_event_loop() -> None:
    """Opened, used by many at once and closed in one, then in another: as tests and reloading servers do."""

    async def once(at: House) -> list[int]:
        callers = [at.call(BODY).start() for _ in range(5)]
        statuses = [(await caller.answer()).status for caller in callers]
        async with at.call(BODY) as last:
            await settled(2)
            await asyncio.gather(at.gateway.drain(1), last.over())
        await at.gateway.close()
        return statuses

    at = house(storage=Storage(), transport=answering())
    assert asyncio.run(once(at)) == [200] * 5

    async def again() -> list[int]:
        await at.gateway.open()
        return await once(at)

    assert asyncio.run(again()) == [200] * 5


async def test_a_storage_is_closed_even_if_a_connection_is_not() -> None:
    """One failure at the end does not hide the rest."""

    class Broken(ScriptedTransport):
        async def close(self) -> None:
            raise OSError("cannot close")

    storage = Storage()
    at = house(storage=storage, transport=Broken())
    await at.gateway.open()
    with pytest.raises(OSError, match="cannot close"):
        await at.gateway.close()
    assert storage.closed == 1


async def test_a_drain_of_what_was_never_opened_returns() -> None:
    """There is nothing to wait for, and no work is taken afterwards."""
    at = house()
    await at.gateway.drain(60)
    assert (await at.ask()).status == 503


# Several in one process.


async def test_two_gateways_in_one_process_share_nothing() -> None:
    """Keys, balances, metrics and limits are each one's own."""
    one, two = house(transport=answering()), house(transport=answering(), token={"key": "sk-" + "b" * 48})
    assert (await one.ask(BODY)).status == 200
    assert (await two.ask(BODY)).status == 401
    assert (await two.ask(BODY, key="sk-" + "b" * 48)).status == 200
    for at in (one, two):
        assert (await at.balance()).spent == 20
        text = (await at.get("/metrics", key=None, client=("127.0.0.1", 1))).body
        assert b'gateway_requests_total{channel="first",model="m-1",operation="chat",status="200"} 1.0' in text


# What it is made of.


def test_a_gateway_without_settings_stands_on_memory() -> None:
    """`Gateway(channels=…)` writes nothing to disk."""
    assert isinstance(Gateway().storage, MemoryStorage)


def test_a_gateway_from_a_file(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's channels and tokens, the environment's values."""
    monkeypatch.setenv("UPSTREAM", "sk-from-the-environment")
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[storage]\nurl = "memory://"\n[server]\nping = 7\n'
        '[[channels]]\nname = "c"\nprovider = "openai"\nkeys = ["env:UPSTREAM"]\nmodels = ["m-1"]\n'
    )
    gateway = Gateway.from_config(path, access_log=None)
    assert gateway.settings.channels[0].keys[0].reveal() == "sk-from-the-environment"
    assert gateway.relay.ping == 7.0


@pytest.mark.parametrize("wrong", [{"channels": [{"name": "x"}]}, {"tokens": [{"name": "x"}]}])
def test_what_cannot_work_is_told_at_once(wrong: dict[str, Any]) -> None:
    """Not at the first request."""
    from asgi_gateway.config import ConfigurationError

    with pytest.raises(ConfigurationError):
        Gateway(**wrong)


async def test_upkeep_runs_while_it_is_open(caplog: pytest.LogCaptureFixture) -> None:
    """A change that somebody else makes in the storage is seen soon, without a request paying for it."""
    from asgi_gateway.config import StorageSettings

    caplog.set_level(logging.WARNING)
    at = house(transport=answering(), settings={"storage": StorageSettings(sync=0.01)})
    async with at.gateway:
        assert (await at.ask(BODY)).status == 200
        stored = await at.gateway.storage.tokens.named("dev")
        assert stored is not None
        await at.gateway.storage.tokens.delete(stored.id)

        async def status() -> int:
            return (await at.ask(BODY)).status

        await becomes(status, 401)


async def becomes(ask_for: Callable[[], Any], wanted: int) -> None:
    async with asyncio.timeout(5):
        while await ask_for() != wanted:
            await settled(1)


async def test_a_socket_is_received_before_the_layers_decide() -> None:
    """`websocket.connect` is taken by the gateway, whatever becomes of it."""
    for path, key, status in (("/v1/realtime", None, 401), ("/elsewhere", None, 404)):
        async with Connection(house().gateway, socket_scope(path, key=key)) as caller:
            assert (await caller.answer()).status == status
            assert caller.taken == [{"type": "websocket.connect"}]
