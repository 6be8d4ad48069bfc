"""Each layer alone, in a host's own list: it begins the exchange, renders its refusals, and keeps out of the rest."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from asgi_gateway.backends.memory import MemoryStorage
from asgi_gateway.directory import TokenDirectory
from asgi_gateway.exchange import SCOPE_KEY, Exchange
from asgi_gateway.middleware import (
    STACK,
    AuthenticationMiddleware,
    ChannelRoutingMiddleware,
    ErrorMiddleware,
    FormatConversionMiddleware,
    ModelMappingMiddleware,
    QuotaMiddleware,
    RateLimit,
    RateLimitMiddleware,
    RequestBodyMiddleware,
    RetryMiddleware,
    TelemetryMiddleware,
)
from asgi_gateway.types import ASGIApp, Receive, Scope, Send
from support.asgi import Connection, ask, http_scope, lifespan, socket_scope
from support.exchanges import Inner, chat, make_world


async def layers() -> dict[type, Callable[[ASGIApp], ASGIApp]]:
    """Each layer with options that are enough for it to be made."""
    world = await make_world()
    storage, directory = world.storage, world.directory
    rule = RateLimit(per="address", requests="1/minute")
    return {
        TelemetryMiddleware: lambda app: TelemetryMiddleware(app, access_log=None),
        ErrorMiddleware: ErrorMiddleware,
        AuthenticationMiddleware: lambda app: AuthenticationMiddleware(app, tokens=directory.tokens),
        RequestBodyMiddleware: lambda app: RequestBodyMiddleware(app, max_bytes=10),
        ModelMappingMiddleware: lambda app: ModelMappingMiddleware(app, directory=directory),
        RateLimitMiddleware: lambda app: RateLimitMiddleware(app, windows=storage.windows, rules=[rule]),
        QuotaMiddleware: lambda app: QuotaMiddleware(app, ledger=storage.ledger, directory=directory),
        RetryMiddleware: RetryMiddleware,
        ChannelRoutingMiddleware: lambda app: ChannelRoutingMiddleware(app, directory=directory),
        FormatConversionMiddleware: FormatConversionMiddleware,
    }


def test_every_layer_of_the_stack_is_tried() -> None:
    """The tables of this module hold all of them."""
    assert len(STACK) == len(set(STACK)) == 10


@pytest.mark.parametrize("layer", STACK, ids=lambda layer: layer.__name__)
async def test_foreign_requests_pass_untouched(layer: Any) -> None:
    """Paths that are none of ours, lifespan and unknown types reach the app as they came: the very same objects."""
    calls: list[tuple[Scope, Receive, Send]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        calls.append((scope, receive, send))

    made = (await layers())[layer](app)

    async def receive() -> Any:
        raise AssertionError("asked")

    async def send(message: Any) -> None:
        raise AssertionError("told")

    scopes: list[Scope] = [
        http_scope("GET", "/"),
        http_scope("POST", "/v1/chat"),
        http_scope("OPTIONS", "/v1/chat/completions"),
        socket_scope("/ws"),
        {"type": "lifespan", "asgi": {"version": "3.0"}},
        {"type": "quic.datagram"},
    ]
    for scope in scopes:
        before = copy.deepcopy(scope)
        await made(scope, receive, send)
        assert calls[-1] == (scope, receive, send)
        assert calls[-1][0] is scope
        assert scope == before


@pytest.mark.parametrize("layer", STACK, ids=lambda layer: layer.__name__)
async def test_the_callers_scope_is_not_changed(layer: Any) -> None:
    """The exchange lives in a copy; what the host passed is as it was."""
    inner = Inner()
    made = (await layers())[layer](inner)
    scope = http_scope(headers={"content-encoding": "identity"})
    before = copy.deepcopy(scope)
    async with Connection(made, scope, chat()) as caller:
        await caller.over()
    assert scope == before
    assert SCOPE_KEY not in scope


@pytest.mark.parametrize(
    ("layer", "scope", "status", "code"),
    [
        (AuthenticationMiddleware, http_scope(), 401, "invalid_api_key"),
        (RequestBodyMiddleware, http_scope(headers={"content-length": "11"}), 413, "request_too_large"),
        (ModelMappingMiddleware, http_scope(), 400, None),
    ],
)
async def test_a_refusal_is_rendered_by_the_layer_itself(
    layer: Any, scope: Scope, status: int, code: str | None
) -> None:
    """In the caller's dialect, without any other layer of ours."""
    seen = await ask((await layers())[layer](Inner()), scope)
    assert seen.status == status
    assert seen.json()["error"]["type"] == "invalid_request_error"
    assert seen.json()["error"]["code"] in (code, "missing_required_parameter")


async def test_a_limit_alone_is_a_limit() -> None:
    """By address nothing else has to be known."""
    made = (await layers())[RateLimitMiddleware](Inner())
    assert [(await ask(made, http_scope())).status for _ in range(2)] == [200, 429]


@pytest.mark.parametrize("layer", [TelemetryMiddleware, ErrorMiddleware, RequestBodyMiddleware, RetryMiddleware])
async def test_a_layer_alone_begins_the_exchange(layer: Any) -> None:
    """Operation, dialect and address are known to whatever stands inside."""
    inner = Inner()
    made = (await layers())[layer](inner)
    await ask(made, http_scope(root_path="/ai", path="/ai/v1/embeddings"), b"{}")
    exchange: Exchange = inner.exchange
    assert (exchange.operation.value, exchange.dialect.name) == ("embedding", "openai_embeddings")
    assert exchange.address == "192.0.2.1"
    assert exchange.started > 0


async def test_authentication_in_front_of_a_hosts_own_app() -> None:
    """A host protects its own implementation of a known path: the caller is on the exchange, the body untouched."""
    world = await make_world()
    inner = Inner()
    app = AuthenticationMiddleware(inner, tokens=TokenDirectory(world.storage))
    from support.exchanges import KEY

    assert (await ask(app, http_scope(key=KEY), b"the body")).status == 200
    assert inner.bodies == [b"the body"]
    assert inner.exchange.caller is not None


async def test_a_hosts_lifespan_runs_through_a_layer() -> None:
    """The whole conversation is the app's own."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})

    made = AuthenticationMiddleware(app, tokens=TokenDirectory(MemoryStorage()))
    async with lifespan(made) as said:
        assert [message["type"] for message in said] == ["lifespan.startup.complete"]
    assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
