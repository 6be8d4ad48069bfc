"""A stack is data; what cannot work is told when it is built, by the name of the layer that is missing."""

from typing import Any, ClassVar

import pytest

from asgi_gateway.backends.memory import MemoryStorage
from asgi_gateway.compose import Layer, compose
from asgi_gateway.directory import Catalogue, Directory, TokenDirectory
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
from asgi_gateway.relay import Relay
from asgi_gateway.types import ASGIApp, Receive, Scope, Send
from support.asgi import ask, http_scope
from support.exchanges import Inner, a_route, channel, chat
from support.upstream import Reply, ScriptedTransport, completion

STORAGE = MemoryStorage()
DIRECTORY = Directory(STORAGE, Catalogue())
OPTIONS: dict[Any, dict[str, Any]] = {
    AuthenticationMiddleware: {"tokens": TokenDirectory(STORAGE)},
    RateLimitMiddleware: {"windows": STORAGE.windows, "rules": [RateLimit(per="user", tokens="10/minute")]},
    QuotaMiddleware: {"ledger": STORAGE.ledger, "directory": DIRECTORY},
    ChannelRoutingMiddleware: {"channels": [channel()]},
}


def stack(*left_out: type) -> list[Layer]:
    return [(layer, OPTIONS.get(layer, {})) for layer in STACK if layer not in left_out]


def relay(**options: Any) -> Relay:
    return Relay(transport=ScriptedTransport(answer=lambda request: Reply.json(completion())), **options)


def test_the_whole_stack_can_be_built() -> None:
    """In its own order everything finds what it needs."""
    assert isinstance(compose(relay(), stack()), TelemetryMiddleware)


@pytest.mark.parametrize(
    ("missing", "told"),
    [
        (AuthenticationMiddleware, "RateLimitMiddleware needs `caller`: put AuthenticationMiddleware outside it"),
        (RequestBodyMiddleware, "ModelMappingMiddleware needs `body`: put RequestBodyMiddleware outside it"),
        (ModelMappingMiddleware, "RateLimitMiddleware needs `model`: put ModelMappingMiddleware outside it"),
        (ChannelRoutingMiddleware, "FormatConversionMiddleware needs `route`: put ChannelRoutingMiddleware outside it"),
        (FormatConversionMiddleware, "uses `usage` afterwards: put FormatConversionMiddleware inside it"),
    ],
)
def test_a_missing_layer_is_named(missing: type, told: str) -> None:
    """What a layer needs before, and what it uses afterwards."""
    with pytest.raises(ValueError, match=told):
        compose(relay(), stack(missing))


@pytest.mark.parametrize(
    "left_out", [TelemetryMiddleware, ErrorMiddleware, RateLimitMiddleware, QuotaMiddleware, RetryMiddleware]
)
def test_what_nobody_needs_may_be_left_out(left_out: type) -> None:
    """The rest stands without it, in its order."""
    layer: Any = compose(relay(), stack(left_out))
    built = []
    while not isinstance(layer, Relay):
        built.append(type(layer))
        layer = layer.app
    assert built == [one for one in STACK if one is not left_out]


def test_the_wrong_order_is_told() -> None:
    """A layer that stands on the wrong side is missing where it is needed."""
    layers = stack()
    layers[6], layers[7] = layers[7], layers[6]  # quota inside retry: allowed, if unwise
    compose(relay(), layers)
    layers = stack()
    layers[3], layers[4] = layers[4], layers[3]
    with pytest.raises(ValueError, match="ModelMappingMiddleware needs `body`"):
        compose(relay(), layers)


def test_an_app_that_is_no_relay_does_not_settle() -> None:
    """Quota around an app that reports no outcome would charge nothing: that is told."""
    layers = stack(RetryMiddleware, RateLimitMiddleware)
    with pytest.raises(ValueError, match="QuotaMiddleware uses `outcome` afterwards: put Relay inside it"):
        compose(Inner(), layers)


def test_a_relay_with_a_route_needs_no_routing() -> None:
    """And layers may use the route that it writes."""
    with pytest.raises(ValueError, match="Relay needs `route`"):
        compose(relay(), [(RequestBodyMiddleware, {})])
    compose(relay(route=a_route()), [(RequestBodyMiddleware, {}), (RetryMiddleware, {})])


def test_layers_of_others_stand_anywhere() -> None:
    """Without declarations nothing is checked of them; with their own fields they are."""

    class Plain:
        def __init__(self, app: ASGIApp, *, word: str) -> None:
            self.app, self.word = app, word

    class Wanting(Plain):
        needs: ClassVar[frozenset[str]] = frozenset({"mood"})

    built = compose(relay(route=a_route()), [(Plain, {"word": "a"}), (ErrorMiddleware, {}), (Plain, {"word": "b"})])
    assert isinstance(built, Plain)
    assert built.word == "a"
    with pytest.raises(ValueError, match="Wanting needs `mood`: put a layer that writes `mood` outside it"):
        compose(relay(route=a_route()), [(Wanting, {"word": "a"})])


async def test_a_small_composition_serves() -> None:
    """Three layers around a relay with a fixed route: errors rendered, the body replayed, another attempt made."""
    transport = ScriptedTransport(Reply.error(500), Reply.json(completion("at last")))
    app = compose(
        Relay(transport=transport, route=a_route()),
        [(ErrorMiddleware, {}), (RequestBodyMiddleware, {"max_bytes": 1000}), (RetryMiddleware, {"attempts": 2})],
    )
    seen = await ask(app, http_scope(), chat())
    assert seen.json()["choices"][0]["message"]["content"] == "at last"
    assert [request.body for request in transport.requests] == [chat()] * 2
    assert (await ask(app, http_scope(), b"x" * 1001)).status == 413


async def test_the_outermost_layer_begins_the_exchange() -> None:
    """Whichever it is; foreign paths reach the innermost app untouched."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    composed = compose(app, [(RequestBodyMiddleware, {}), (ErrorMiddleware, {})])
    scope = http_scope(path="/elsewhere")

    async def unused(*_: Any) -> Any:
        raise AssertionError

    await composed(scope, unused, unused)
    assert seen[0] is scope
