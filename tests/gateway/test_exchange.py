"""The record that a request carries, and the body in it."""

import asyncio
from typing import Any

import pytest

from asgi_gateway.dialects.contract import Operation
from asgi_gateway.exchange import CHUNK, MEMORY_LIMIT, SCOPE_KEY, Body, Exchange, path_of
from support.asgi import http_scope, socket_scope


@pytest.mark.parametrize(
    ("path", "root", "below"),
    [
        ("/v1/models", "", "/v1/models"),
        ("/ai/v1/models", "/ai", "/v1/models"),
        ("/ai", "/ai", ""),
        ("/aix/v1/models", "/ai", "/aix/v1/models"),
        ("/v1/models", "/ai", "/v1/models"),
        ("/ai/ai/v1", "/ai", "/ai/v1"),
    ],
)
def test_the_path_below_the_mount(path: str, root: str, below: str) -> None:
    """`root_path` is taken off at a boundary of segments, and only where the path has it."""
    assert path_of(http_scope(path=path, root_path=root)) == below


def test_an_exchange_begins_in_a_copy_of_the_scope() -> None:
    """The scope itself stays as the server made it."""
    scope = http_scope()
    begun = Exchange.begin(scope)
    assert begun is not None
    inner, exchange = begun
    assert SCOPE_KEY not in scope
    assert Exchange.of(inner) is exchange
    assert (exchange.operation, exchange.dialect.name, exchange.address) == (Operation.CHAT, "openai_chat", "192.0.2.1")
    assert {**inner, SCOPE_KEY: None} == {**scope, SCOPE_KEY: None}


@pytest.mark.parametrize(
    "scope",
    [
        http_scope("GET"),
        http_scope(path="/other"),
        {"type": "lifespan"},
        {"type": "quic"},
        socket_scope("/v1/chat/completions"),
    ],
)
def test_what_is_none_of_ours_begins_none(scope: dict[str, Any]) -> None:
    """By method, path, or kind."""
    assert Exchange.begin(scope) is None


def test_a_socket_and_a_server_that_does_not_say_where_from() -> None:
    """Both are exchanges; the address is then unknown."""
    begun = Exchange.begin(socket_scope(client=None))
    assert begun is not None
    assert (begun[1].operation, begun[1].address) == (Operation.REALTIME, "")
    scope = http_scope()
    del scope["client"], scope["root_path"]
    assert Exchange.begin(scope) is not None


def test_outside_the_layers_there_is_none() -> None:
    """Asking for it is a mistake that is told."""
    with pytest.raises(KeyError):
        Exchange.of(http_scope())


async def test_a_body_in_memory_and_in_a_file_reads_the_same() -> None:
    """Whole or in pieces, as often as one likes, by several at once."""
    data = bytes(range(256)) * ((MEMORY_LIMIT + 2 * CHUNK) // 256)
    file = Body.spool()
    file.write(data)
    for body in (Body(data), Body(file=file, size=len(data))):
        assert body.size == len(data)
        assert await asyncio.gather(*(body.bytes() for _ in range(3))) == [data] * 3
        pieces = [piece async for piece in body.stream()]
        assert b"".join(pieces) == data
        body.close()
    assert all(len(piece) <= CHUNK for piece in pieces)


async def test_a_body_of_nothing() -> None:
    """Neither data nor file."""
    body = Body()
    assert (body.size, await body.bytes()) == (0, b"")
    assert [piece async for piece in body.stream()] == []
    body.close()
