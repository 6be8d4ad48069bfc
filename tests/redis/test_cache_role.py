"""The cache in Redis does what every cache does, and the database takes its place while Redis is away."""

from collections.abc import Callable

import pytest

from asgi_gateway.backends.redis import RedisStorage
from support.databases import Redis
from support.ledger_records import Clock
from support.storage_suite import suite

globals().update(suite("test_cache"))


async def test_records_are_in_redis_and_not_in_the_database(storage: RedisStorage) -> None:
    """Other nodes find them there; they go by themselves."""
    await storage.cache.put({"a": b"1"}, 60.0)
    assert await storage.database.cache.get(["a"]) == {}
    (key,) = await storage.client.run(lambda redis: redis.keys(f"{storage._prefix}cache:*"))
    assert 0 < await storage.client.run(lambda redis: redis.ttl(key)) <= 60


async def test_another_node_finds_them(nodes: list[RedisStorage]) -> None:
    """That is what it is for."""
    first, second = nodes
    await first.cache.put({"a": b"1"}, 60.0)
    assert await second.cache.get(["a"]) == {"a": b"1"}


async def test_two_databases_share_a_redis_and_nothing_in_it(
    storage: RedisStorage, steady_redis: Redis, tmp_path_factory: pytest.TempPathFactory, clock: Clock
) -> None:
    """Each has a name of its own."""
    from asgi_gateway.backends import SqlStorage

    other = RedisStorage(SqlStorage(f"sqlite:///{tmp_path_factory.mktemp('other')}/gateway.db"), steady_redis.url)
    await other.open()
    await storage.cache.put({"a": b"1"}, 60.0)
    assert await other.cache.get(["a"]) == {}
    await other.close()


async def test_while_redis_is_away_the_database_keeps_them(
    node: Callable[..., RedisStorage], fragile_redis: Redis, clock: Clock
) -> None:
    """And what it kept is found after Redis is back."""
    storage = node(fragile_redis.url)
    await storage.open()
    await storage.cache.put({"before": b"1"}, 1000.0)
    fragile_redis.kill()
    for number in range(4):
        await storage.cache.put({f"meanwhile {number}": b"2"}, 1000.0)
    assert storage.client.breaker.is_open
    assert await storage.cache.get(["before", "meanwhile 0", "meanwhile 3"]) == {
        "meanwhile 0": b"2",
        "meanwhile 3": b"2",
    }
    fragile_redis.start()
    storage.client.breaker.succeeded()
    await storage.cache.put({"after": b"3"}, 1000.0)
    assert await storage.cache.get(["meanwhile 3", "after", "before"]) == {"meanwhile 3": b"2", "after": b"3"}
    await storage.close()
