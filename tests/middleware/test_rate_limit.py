"""Rules of requests, answers, tokens and open requests: all or none, and given back where nothing came of it."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from asgi_gateway.backends.memory import MemoryStorage
from asgi_gateway.errors import CallerLeft, ServiceUnavailable, UpstreamError
from asgi_gateway.exchange import Body, Caller, Exchange, ModelChoice
from asgi_gateway.middleware import ErrorMiddleware, RateLimit, RateLimitMiddleware
from asgi_gateway.storage.protocols import Hit, Refusal
from asgi_gateway.storage.records import Outcome, Settlement, Token, Usage, User
from asgi_gateway.types import Receive, Scope, Send
from support.asgi import Answer, Connection, ask, http_scope, settled, socket_scope
from support.exchanges import Inner, answer, begun, chat


def who(user: int = 1, token: int | None = 1, group: str = "default") -> Caller:
    key = Token(id=token, name=f"t{token}", user_id=user, digest=b"") if token is not None else None
    return Caller(user=User(id=user, name=f"u{user}"), token=key, group=group)


class Gate:
    """A rate limit over memory windows whose clock is ours."""

    def __init__(self, *rules: RateLimit, inner: Any = None) -> None:
        self.now = 1000.0
        self.windows = MemoryStorage(clock=lambda: self.now).windows
        self.inner = inner if inner is not None else Inner()
        self.layer = RateLimitMiddleware(self.inner, windows=self.windows, rules=rules)
        self.app = ErrorMiddleware(self.layer)

    def scope(self, caller: Caller | None = None, model: str = "m-1", body: bytes = b"{}", **more: Any) -> Scope:
        scope, exchange = begun(http_scope(**more))
        exchange.caller = caller if caller is not None else who()
        exchange.model = ModelChoice(model, model)
        exchange.body = Body(body)
        if body != b"{}":
            exchange.outline = exchange.dialect.outline(body)
        return scope

    async def ask(self, caller: Caller | None = None, **more: Any) -> Answer:
        return await ask(self.app, self.scope(caller, **more))

    async def statuses(self, callers: Sequence[Caller], **more: Any) -> list[int]:
        return [(await self.ask(caller, **more)).status for caller in callers]

    async def counted(self, key: str, limit: int, seconds: float = 60.0) -> int:
        """How much of a limit is used up now."""
        for used in range(limit + 1):
            verdict = await self.windows.acquire([Hit(key, limit, seconds, limit - used)])
            if not isinstance(verdict, Refusal):
                await self.windows.correct(verdict, {key: 0})
                return used
        raise AssertionError("above its limit")


async def test_without_rules_nothing_is_counted() -> None:
    """The layer costs nothing and needs nothing then."""
    gate = Gate()
    assert await gate.statuses([who()] * 5) == [200] * 5
    assert gate.layer.needs == frozenset()
    assert gate.layer.uses_after == frozenset()


@pytest.mark.parametrize(
    ("per", "callers"),
    [
        ("token", [who(1, 1), who(1, 2)]),
        ("user", [who(1, 1), who(2, 1)]),
        ("group", [who(1, 1), who(1, 1, "vip")]),
    ],
)
async def test_each_of_a_kind_has_its_own_limit(per: Any, callers: list[Caller]) -> None:
    """A limit per token, user or group counts each for itself, and lets it in again after its time."""
    gate = Gate(RateLimit(per=per, requests="2/minute"))
    first, other = callers
    assert await gate.statuses([first] * 3) == [200, 200, 429]
    assert await gate.statuses([other]) == [200]
    gate.now += 62
    assert await gate.statuses([first]) == [200]


async def test_limits_per_model_and_address() -> None:
    """The resolved model, and the caller's IP address."""
    gate = Gate(RateLimit(per="model", requests="1/minute"))
    assert [(await gate.ask(model=model)).status for model in ("m-1", "m-1", "m-2")] == [200, 429, 200]
    gate = Gate(RateLimit(per="address", requests="1/minute"))
    clients = [("192.0.2.1", 1), ("192.0.2.1", 2), ("192.0.2.2", 1), None, None]
    assert [(await gate.ask(client=client)).status for client in clients] == [200, 429, 200, 200, 200]


async def test_a_rule_may_be_about_some_models_and_groups() -> None:
    """Others are not counted by it."""
    gate = Gate(RateLimit(per="user", requests="1/minute", models=("m-1",), groups=("default",)))
    assert [(await gate.ask(model=model)).status for model in ("m-1", "m-2", "m-1", "m-2")] == [200, 200, 429, 200]
    assert await gate.statuses([who(group="vip")] * 3) == [200] * 3


async def test_a_caller_without_a_token_has_no_limit_per_token() -> None:
    """Rules per token do not apply to identities of the host."""
    gate = Gate(RateLimit(per="token", requests="1/minute"))
    assert await gate.statuses([who(token=None)] * 3) == [200] * 3


async def test_a_refusal_says_what_and_when() -> None:
    """429 with the kind of limit, whose it is, and `retry-after`."""
    gate = Gate(RateLimit(per="user", requests="1/minute"), RateLimit(per="model", concurrency=1))
    await gate.ask()
    seen = await gate.ask()
    assert seen.status == 429
    assert seen.json()["error"]["code"] == "rate_limit_exceeded"
    assert "at most 1 requests" in seen.json()["error"]["message"]
    assert "this user" in seen.json()["error"]["message"]
    assert 55 < int(seen.header("retry-after") or 0) <= 62


async def test_a_refused_request_uses_nothing_up() -> None:
    """All rules are decided at once: what one refuses no other has counted."""
    gate = Gate(RateLimit(per="user", requests="10/minute"), RateLimit(per="token", requests="1/minute"))
    assert await gate.statuses([who()] * 6) == [200, 429, 429, 429, 429, 429]
    assert await gate.counted("rule0:user:1:requests", 10) == 1


async def test_only_answered_requests_count_as_successes() -> None:
    """Errors give it back; an answer of 2xx keeps it."""
    gate = Gate(RateLimit(per="user", successes="1/minute"), inner=Inner(UpstreamError("no"), UpstreamError("no"), []))
    assert await gate.statuses([who()] * 2) == [502, 502]
    gate.inner._steps = []
    assert await gate.statuses([who()] * 2) == [200, 429]


async def test_an_accepted_socket_is_an_answer() -> None:
    """A denied one is none."""

    async def accepting(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})

    gate = Gate(RateLimit(per="address", successes="1/minute"), inner=accepting)
    for accepted in (True, False):
        async with Connection(gate.app, begun(socket_scope())[0]) as caller:
            message = await caller.next()
            await caller.over()
        assert (message["type"] == "websocket.accept") is accepted
    gate = Gate(RateLimit(per="address", successes="1/minute"), inner=Inner(UpstreamError("no")))
    assert [(await ask(gate.app, begun(socket_scope())[0])).status for _ in range(3)] == [502] * 3


async def test_open_requests_are_limited() -> None:
    """While one is open another of the same user is refused, one of somebody else is not."""
    answered = asyncio.Event()
    gate = Gate(RateLimit(per="user", concurrency=1), inner=Inner(answered, answer()))
    async with Connection(gate.app, gate.scope()) as first:
        await settled()
        seen = await gate.ask()
        assert seen.status == 429
        assert "open requests" in seen.json()["error"]["message"]
        assert await gate.statuses([who(2)]) == [200]
        answered.set()
        assert (await first.answer()).status == 200
    assert (await gate.ask()).status == 200


@pytest.mark.parametrize("ending", [UpstreamError("no"), CallerLeft(), ZeroDivisionError(), asyncio.Event()], ids=repr)
async def test_a_slot_comes_back_however_a_request_ends(ending: Any) -> None:
    """Failed, left, broken by a fault of ours, or cancelled while it waits."""
    gate = Gate(RateLimit(per="user", concurrency=1), inner=Inner(ending, answer()))
    async with Connection(gate.app, gate.scope()) as caller:
        await settled()
        caller.cancel()
        await caller.over()
    assert (await gate.ask()).status == 200


LARGE = chat(max_tokens=100, n=2)
EXPECTED = -(-len(LARGE) // 3) + 200


async def used(after: Any, *, body: bytes = LARGE) -> int:
    """The tokens that count in the end for an exchange that `after` describes."""

    async def step(scope: Scope) -> None:
        exchange = Exchange.of(scope)
        for name, value in after.items():
            setattr(exchange, name, value)

    gate = Gate(RateLimit(per="user", tokens="1000/minute"), inner=Inner(step))
    assert (await gate.ask(body=body)).status == 200
    return await gate.counted("rule0:user:1:tokens", 1000)


async def test_tokens_are_taken_by_an_estimate() -> None:
    """Prompt bytes / 3 and what the caller lets each choice have: what does not fit is refused before it is sent."""
    gate = Gate(RateLimit(per="user", tokens=f"{EXPECTED - 1}/minute"))
    assert (await gate.ask(body=LARGE)).status == 429
    gate = Gate(RateLimit(per="user", tokens=f"{EXPECTED}/minute"))
    assert (await gate.ask(body=LARGE)).status == 200
    assert (await gate.ask(body=b"{}")).status == 200
    assert gate.layer.needs == {"caller", "model"}
    assert gate.layer.uses_after == {"usage"}


async def test_tokens_are_corrected_by_what_is_charged() -> None:
    """The settlement's usage, measured or estimated; where nothing is charged, what the exchange itself saw."""
    usage = Usage(input=5, cache_read=2, output=3, reasoning=1)
    settlement = Settlement(charge=1, outcome=Outcome.COMPLETED, usage=usage)
    assert await used({"settlement": settlement, "usage": Usage(input=900)}) == 11
    assert await used({"usage": usage, "outcome": Outcome.COMPLETED}) == 11
    assert await used({"usage": None, "outcome": Outcome.UPSTREAM_FAILED, "reached_upstream": True}) == 0
    assert await used({}) == 0
    assert await used({"usage": Usage(input=700, output=290), "outcome": Outcome.COMPLETED}) == 990


async def test_a_caller_who_leaves_has_used_what_came() -> None:
    """Leaving before the usage comes is no way around a limit on tokens."""
    left = {"outcome": Outcome.CALLER_LEFT, "reached_upstream": True, "output_estimate": 50}
    assert await used(left) == -(-len(LARGE) // 4) + 50
    assert await used({**left, "reached_upstream": False}) == 0


class Away:
    """Windows whose storage goes away after a request was let in."""

    def __init__(self, windows: Any) -> None:
        self._windows = windows
        self.released = 0

    async def acquire(self, *arguments: Any) -> Any:
        return await self._windows.acquire(*arguments)

    async def correct(self, *arguments: Any) -> None:
        raise ServiceUnavailable("the database is away")

    async def release(self, *arguments: Any) -> None:
        self.released += 1


async def test_an_answer_is_not_failed_for_its_limit(caplog: pytest.LogCaptureFixture) -> None:
    """A correction that cannot be made is logged; the slots are given back all the same."""
    gate = Gate(RateLimit(per="user", successes="5/minute", tokens="100/minute", concurrency=1))
    away = Away(gate.windows)
    gate.layer.windows = away
    assert (await gate.ask()).status == 200
    assert away.released == 1
    assert "the database is away" in caplog.text


async def test_a_storage_that_is_away_lets_nobody_in() -> None:
    """Without its windows the limit cannot be kept: 503."""

    class Gone(Away):
        async def acquire(self, *arguments: Any) -> Any:
            raise ServiceUnavailable("the database is away")

    gate = Gate(RateLimit(per="user", requests="5/minute"))
    gate.layer.windows = Gone(None)
    assert (await gate.ask()).status == 503
    assert gate.inner.calls == 0


async def test_concurrent_requests_never_pass_a_limit() -> None:
    """Fifty at once against seven: seven."""
    gate = Gate(RateLimit(per="user", requests="7/minute"))
    seen = await asyncio.gather(*(gate.ask() for _ in range(50)))
    assert sorted(answer.status for answer in seen) == [200] * 7 + [429] * 43


def test_rules_are_read_when_the_layer_is_made() -> None:
    """A rate that cannot be read fails at once."""
    with pytest.raises(ValueError, match="rate"):
        Gate(RateLimit(per="user", requests="lots"))


def test_what_a_rule_needs_is_declared() -> None:
    """`compose` can then say which layer is missing."""
    assert Gate(RateLimit(per="address", requests="1/minute")).layer.needs == frozenset()
    assert Gate(RateLimit(per="model", requests="1/minute")).layer.needs == {"model"}
    assert Gate(RateLimit(per="address", requests="1/minute", groups=("a",))).layer.needs == {"caller"}
