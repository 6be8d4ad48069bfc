"""A Redis of the tests' own, and databases beside it."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from asgi_gateway.backends import SqlStorage
from asgi_gateway.backends.redis import RedisStorage
from asgi_gateway.backends.redis.client import RedisClient
from asgi_gateway.storage.vault import Vault
from support.databases import Redis
from support.ledger_records import Clock

Node = Callable[..., RedisStorage]


@pytest.fixture(scope="session")
def steady_redis() -> Iterator[Redis]:
    """One that no test stops."""
    pytest.importorskip("redis.asyncio")
    yield from _started()


@pytest.fixture
def fragile_redis() -> Iterator[Redis]:
    """One for a test that stops it."""
    pytest.importorskip("redis.asyncio")
    yield from _started()


def _started() -> Iterator[Redis]:
    server = Redis()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def clock() -> Clock:
    """The time of everything in a test."""
    return Clock()


@pytest.fixture
async def client(fragile_redis: Redis) -> AsyncIterator[RedisClient]:
    """An open client of a Redis that may be stopped."""
    opened = RedisClient(fragile_redis.url, deadline=0.5)
    opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def node(tmp_path: Path, clock: Clock) -> Node:
    """Makes nodes that share one database; the URL of their Redis is the argument."""

    def make(url: str, *, vault: Vault | None = None, deadline: float = 1.0) -> RedisStorage:
        database = SqlStorage(f"sqlite:///{tmp_path / 'gateway.db'}", True, wall=clock, clock=clock, vault=vault)
        return RedisStorage(database, url, vault=vault, deadline=deadline, wall=clock)

    return make


@pytest.fixture
async def nodes(node: Node, steady_redis: Redis) -> AsyncIterator[list[RedisStorage]]:
    """Two open nodes."""
    async with AsyncExitStack() as stack:
        opened = []
        for _ in range(2):
            storage = node(steady_redis.url)
            await storage.open()
            stack.push_async_callback(storage.close)
            opened.append(storage)
        yield opened


@pytest.fixture
def storage(nodes: list[RedisStorage]) -> RedisStorage:
    """An open storage with Redis beside it, for the tests of every storage."""
    return nodes[0]
