"""From the name asked for to the model, and whether the caller may use it."""

from typing import Any

import pytest

from asgi_gateway.canonical import Reasoning
from asgi_gateway.exchange import Body, Caller, ModelChoice
from asgi_gateway.middleware import ErrorMiddleware, ModelMappingMiddleware
from asgi_gateway.storage.records import Group, User
from support.asgi import Answer, Connection, ask, http_scope, socket_scope
from support.exchanges import Inner, begun, channel, chat, make_world


async def mapped(body: bytes, *, caller: Caller | None = None, **options: Any) -> tuple[Answer, Inner]:
    inner = Inner()
    scope, _ = begun(http_scope(), body=Body(body), caller=caller)
    return await ask(ErrorMiddleware(ModelMappingMiddleware(inner, **options)), scope), inner


def who(group: str = "default", models: tuple[str, ...] = ()) -> Caller:
    return Caller(user=User(id=1, name="alice"), group=group, models=models)


async def test_the_model_is_read_from_the_body() -> None:
    """Name, stream, limits: the outline of the request stands on the exchange."""
    seen, inner = await mapped(chat(stream=True, max_tokens=7, n=2))
    assert seen.status == 200
    assert inner.exchange.model == ModelChoice("m-1", "m-1")
    outline = inner.exchange.outline
    assert outline is not None
    assert (outline.stream, outline.max_output, outline.choices) == (True, 7, 2)


async def test_aliases_are_resolved() -> None:
    """The layer's own aliases go before the directory's; the name asked for is kept."""
    world = await make_world(channel(), aliases={"fast": "m-1", "slow": "m-1"})
    _, inner = await mapped(chat("fast"), directory=world.directory)
    assert inner.exchange.model == ModelChoice("fast", "m-1")
    _, inner = await mapped(chat("slow"), directory=world.directory, aliases={"slow": "m-1"})
    assert inner.exchange.model == ModelChoice("slow", "m-1")
    _, inner = await mapped(chat("mine"), aliases={"mine": "other"})
    assert inner.exchange.model == ModelChoice("mine", "other")


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        (b"{not json", None, None),
        (b"[]", None, "invalid_type"),
        (b'{"messages": [{"role": "user", "content": "x"}]}', None, None),
        (b'{"model": 7, "messages": [{}]}', "model", "invalid_type"),
        (b'{"model": "m-1"}', "messages", "missing_required_parameter"),
        (chat(stream="yes"), "stream", "invalid_type"),
        (chat(max_tokens="many"), "max_tokens", "invalid_type"),
    ],
)
async def test_a_body_that_cannot_be_used_is_400(body: bytes, param: str | None, code: str | None) -> None:
    """With type, code and param as OpenAI sets them."""
    seen, inner = await mapped(body)
    assert seen.status == 400
    error = seen.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert (error["param"], error["code"]) == (param, code)
    assert inner.calls == 0


async def test_an_unknown_model_is_404() -> None:
    """Nobody serves it: OpenAI's code and param; a disabled channel still makes its models known."""
    world = await make_world(channel(), channel("off", enabled=False, models=("m-2",)))
    seen, _ = await mapped(chat("m-3"), directory=world.directory)
    assert seen.status == 404
    assert (seen.json()["error"]["code"], seen.json()["error"]["param"]) == ("model_not_found", "model")
    seen, _ = await mapped(chat("m-2"), directory=world.directory)
    assert seen.status == 200


@pytest.mark.parametrize(
    ("asked", "models", "status"),
    [
        ("m-1", (), 200),
        ("m-1", ("m-1",), 200),
        ("fast", ("m-1",), 200),
        ("fast", ("fast",), 200),
        ("m-1", ("fast",), 403),
        ("m-1", ("m-2",), 403),
    ],
)
async def test_a_model_outside_the_callers_rights_is_403(asked: str, models: tuple[str, ...], status: int) -> None:
    """Rights of the caller and of its group both count; either may name the alias or the model."""
    world = await make_world(
        channel(models=("m-1", "m-2")), aliases={"fast": "m-1"}, groups={"few": Group(name="few", models=models)}
    )
    for caller in (who(models=models), who("few")):
        seen, _ = await mapped(chat(asked), directory=world.directory, caller=caller)
        assert seen.status == status
        if status == 403:
            assert seen.json()["error"]["code"] == "model_not_allowed"


async def test_both_rights_must_allow() -> None:
    """What the group allows and the token does not is not allowed."""
    world = await make_world(channel(models=("m-1", "m-2")), groups={"few": Group(name="few", models=("m-1",))})
    seen, _ = await mapped(chat("m-1"), directory=world.directory, caller=who("few", ("m-2",)))
    assert seen.status == 403
    seen, _ = await mapped(chat("m-1"), caller=who("few", ("m-2",)))
    assert seen.status == 403


async def test_a_socket_names_its_model_in_the_query() -> None:
    """Where there is no body the model stands in the query; without one it is 400."""
    inner = Inner()
    app = ErrorMiddleware(ModelMappingMiddleware(inner, aliases={"live": "m-1"}))
    async with Connection(app, socket_scope(query=b"x=1&model=live")) as caller:
        await caller.over()
    assert inner.exchange.model == ModelChoice("live", "m-1")
    for query in (b"", b"model="):
        seen = await ask(app, socket_scope(query=query))
        assert seen.status == 400
        assert seen.json()["error"]["param"] == "model"


@pytest.mark.parametrize(
    ("asked", "resolved", "reasoning"),
    [
        ("o3-high", "o3", Reasoning(effort="high")),
        ("o3-low", "o3-low", None),
        ("quick-high", "o3", Reasoning(effort="high")),
        ("o3", "o3", None),
    ],
)
async def test_a_suffix_asks_for_reasoning_where_nobody_serves_the_whole_name(
    asked: str, resolved: str, reasoning: Reasoning | None
) -> None:
    """A model that is really called so is not cut; an alias may stand before the suffix, or name a suffixed model."""
    served = channel(models=("o3", "o3-low"))
    world = await make_world(served, aliases={"quick": "o3", "quick-high": "o3-high"})
    _, inner = await mapped(chat(asked, max_tokens=100), directory=world.directory)
    assert inner.exchange.model == ModelChoice(asked, resolved)
    assert inner.exchange.reasoning == reasoning


async def test_a_suffix_of_an_unknown_model_stays() -> None:
    """The error names what was asked for; one that another group serves under its whole name is cut for this one."""
    world = await make_world(channel(models=("o3",)), channel("others", models=("o3-low",), groups=("vip",)))
    seen, _ = await mapped(chat("o1-high"), directory=world.directory)
    assert (seen.status, "`o1-high`" in seen.json()["error"]["message"]) == (404, True)
    _, inner = await mapped(chat("o3-low"), directory=world.directory)
    assert inner.exchange.model == ModelChoice("o3-low", "o3")
