"""Group and model to one channel, one of its keys, and the model's name there."""

from dataclasses import replace
from typing import Any

import pytest

from asgi_gateway.dialects import DIALECTS
from asgi_gateway.exchange import Attempt, Caller, Exchange, ModelChoice, Route
from asgi_gateway.middleware import ChannelRoutingMiddleware, ErrorMiddleware
from asgi_gateway.middleware import routing as module
from asgi_gateway.storage.records import Channel, Secret, User
from support.asgi import ask, http_scope
from support.exchanges import Inner, begun, channel, make_world


async def routed(
    *channels: Channel, draw: float = 0.0, path: str = "/v1/chat/completions", **fields: Any
) -> Route | int:
    """The route that was picked, or the status of the refusal."""
    inner = Inner()
    scope, _ = begun(http_scope(path=path), **{"model": ModelChoice("m-1", "m-1"), **fields})
    layer = ChannelRoutingMiddleware(inner, channels=channels, draw=lambda: draw)
    seen = await ask(ErrorMiddleware(layer), scope)
    if seen.status != 200:
        assert seen.json()["error"]["code"] == "no_channel_available"
        return seen.status
    assert inner.exchange.route is not None
    return inner.exchange.route


async def test_a_channel_is_picked_with_key_model_provider_and_dialect() -> None:
    """What an attempt needs to know stands on the route."""
    route = await routed(channel(keys=(Secret("a"), Secret("b")), model_mapping={"m-1": "up", "up": "real"}), draw=0.5)
    assert isinstance(route, Route)
    assert route.channel.name == "first"
    assert route.key == Secret("b")
    assert route.upstream_model == "real"
    assert route.provider.name == "openai"
    assert route.dialect == "openai_chat"


async def test_a_circle_of_mappings_ends() -> None:
    """`check` finds it; at run time it ends where it began."""
    route = await routed(channel(model_mapping={"m-1": "a", "a": "b", "b": "m-1"}))
    assert isinstance(route, Route)
    assert route.upstream_model == "m-1"


async def test_a_channel_without_keys_is_sent_none() -> None:
    """Servers of one's own need none."""
    route = await routed(channel(provider="ollama", keys=()))
    assert isinstance(route, Route)
    assert route.key == Secret("")


async def test_priority_and_weight_are_the_selections() -> None:
    """The highest priority first; inside it the draw decides."""
    channels = (channel("low"), channel("a", priority=5, weight=1), channel("b", priority=5, weight=3))
    for draw, name in ((0.0, "a"), (0.3, "b"), (0.99, "b")):
        route = await routed(*channels, draw=draw)
        assert isinstance(route, Route)
        assert route.channel.name == name


async def test_what_was_tried_is_left_out() -> None:
    """Also where channels have no ids of their own: they are told apart all the same."""
    first, second = channel("a", priority=1), channel("b")
    route = await routed(first, second)
    assert isinstance(route, Route)
    tried = Attempt(channel=route.channel, started=0.0, error="x")
    other = await routed(first, second, attempts=[tried])
    assert isinstance(other, Route)
    assert (route.channel.name, other.channel.name) == ("a", "b")
    last = Attempt(channel=other.channel, started=0.0, error="x")
    assert await routed(first, second, attempts=[tried, last]) == 503


async def test_the_callers_group_decides() -> None:
    """A channel serves its groups; a caller that nobody named is in `default`."""
    caller = Caller(user=User(id=1, name="alice"), group="vip")
    assert await routed(channel(), caller=caller) == 503
    route = await routed(channel(), channel("vips", groups=("vip",)), caller=caller)
    assert isinstance(route, Route)
    assert route.channel.name == "vips"


async def test_a_model_that_nobody_can_serve_now_is_503() -> None:
    """Known, but disabled or of another group."""
    assert await routed(channel(enabled=False)) == 503
    assert await routed() == 503


async def test_a_channel_that_does_not_speak_the_dialect_is_passed_over() -> None:
    """By its provider, by its own restriction for chat, or because its provider is unknown here."""
    good = channel("good", id=9)
    for other in (
        channel("no embeddings", id=1, provider="groq", priority=5),
        channel("unknown provider", id=2, provider="gone", priority=5),
    ):
        route = await routed(other, good, path="/v1/embeddings")
        assert isinstance(route, Route)
        assert route.channel is good
    restricted = channel("restricted", id=3, dialects=("anthropic_messages",), priority=5)
    route = await routed(restricted, good)
    assert isinstance(route, Route)
    assert route.channel is good
    route = await routed(restricted, good, path="/v1/embeddings")
    assert isinstance(route, Route)
    assert route.channel is restricted
    assert await routed(channel(provider="gone")) == 503
    assert "openai_embeddings" in DIALECTS


async def test_a_channel_that_changed_is_taken_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept between requests is the channel's of now, and bounded."""
    monkeypatch.setattr(module, "ROUTES", 3)
    inner = Inner()
    world = await make_world(*(channel(f"c{number}", models=(f"m-{number}",)) for number in range(9)))
    layer = ChannelRoutingMiddleware(inner, directory=world.directory)

    async def key(model: str) -> str:
        await ask(layer, begun(http_scope(), model=ModelChoice(model, model))[0])
        assert inner.exchange.route is not None
        return inner.exchange.route.key.reveal()

    for number in range(9):
        assert await key(f"m-{number}") == f"sk-upstream-c{number}"
        assert len(layer._routes) <= 3
    first = await world.storage.channels.named("c0")
    assert first is not None
    await world.storage.channels.update(replace(first, keys=(Secret("another"),)))
    assert await world.directory.refresh()
    assert await key("m-0") == "another"


async def test_one_of_several_keys_is_drawn() -> None:
    """Each as likely as another, also at the edges of the draw."""
    keys = tuple(Secret(name) for name in "abcd")
    for draw, name in ((0.0, "a"), (0.25, "b"), (0.74, "c"), (0.99, "d"), (1.0, "d")):
        route = await routed(channel(keys=keys), draw=draw)
        assert isinstance(route, Route)
        assert route.key == Secret(name)


async def test_the_directory_of_now_is_asked() -> None:
    """A change of channels is seen by the next request."""
    world = await make_world(channel())
    inner = Inner()
    layer = ErrorMiddleware(ChannelRoutingMiddleware(inner, directory=world.directory))

    async def status() -> int:
        return (await ask(layer, begun(http_scope(), model=ModelChoice("m-1", "m-1"))[0])).status

    assert await status() == 200
    stored = await world.storage.channels.named("first")
    assert stored is not None
    await world.storage.channels.delete(stored.id)
    assert await world.directory.refresh()
    assert await status() == 503
    assert Exchange.of(inner.scopes[0]).route is not None
