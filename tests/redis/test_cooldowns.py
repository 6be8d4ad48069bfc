"""What rests for a while, where nodes share a Redis."""

import asyncio
from collections.abc import Callable

import pytest

from asgi_gateway.backends.redis import RedisStorage
from support.databases import Redis

pytest.importorskip("redis.asyncio")

Node = Callable[..., RedisStorage]


async def test_what_one_node_lets_rest_rests_at_all(steady_redis: Redis, node: Node) -> None:
    """With the time that is left; a longer rest stays, whoever asks for a shorter one."""
    first, second = node(steady_redis.url), node(steady_redis.url)
    await first.open()
    await second.open()
    await first.cooldowns.rest("channel:1", 30.0)
    await second.cooldowns.rest("channel:1", 5.0)
    await second.cooldowns.rest("channel:2", 5.0)
    await first.cooldowns.rest("channel:2", 60.0)
    for place in (first, second):
        resting = await place.cooldowns.resting(["channel:1", "channel:2", "channel:3"])
        assert set(resting) == {"channel:1", "channel:2"}
        assert 20.0 < resting["channel:1"] <= 30.0
        assert 50.0 < resting["channel:2"] <= 60.0
    assert await first.cooldowns.resting([]) == {}
    await first.close()
    await second.close()


async def test_a_rest_is_over_at_every_node(steady_redis: Redis, node: Node) -> None:
    """Redis forgets it by itself."""
    first, second = node(steady_redis.url), node(steady_redis.url)
    await first.open()
    await second.open()
    await first.cooldowns.rest("short", 0.2)
    assert set(await second.cooldowns.resting(["short"])) == {"short"}
    async with asyncio.timeout(10):
        while await second.cooldowns.resting(["short"]):  # noqa: ASYNC110 - nobody tells when it is over
            await asyncio.sleep(0.02)
    await first.close()
    await second.close()


async def test_each_node_knows_its_own_while_redis_is_away(fragile_redis: Redis, node: Node) -> None:
    """What it let rest itself still rests."""
    first, second = node(fragile_redis.url), node(fragile_redis.url)
    await first.open()
    await second.open()
    fragile_redis.kill()
    await first.cooldowns.rest("channel:1", 30.0)
    assert set(await first.cooldowns.resting(["channel:1"])) == {"channel:1"}
    assert await second.cooldowns.resting(["channel:1"]) == {}
    await first.close()
    await second.close()
