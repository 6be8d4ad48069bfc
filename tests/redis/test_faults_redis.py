"""Redis fails while requests come: none of them notices, and afterwards it is used again."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from asgi_gateway.backends import SqlStorage
from asgi_gateway.backends.redis import RedisStorage
from asgi_gateway.config import StorageSettings
from support.databases import Redis
from support.exchanges import chat
from support.gateways import House, house
from support.upstream import Reply, completion
from support.waiting import eventually

DEADLINE = 0.2

BODY = chat()

Storages = Callable[[], RedisStorage]


@pytest.fixture
def storages(fragile_redis: Redis, tmp_path: Path) -> Storages:
    """Makes storages on one database and one Redis."""

    def make() -> RedisStorage:
        database = SqlStorage(f"sqlite:///{tmp_path / 'gateway.db'}", True)
        return RedisStorage(database, fragile_redis.url, deadline=DEADLINE)

    return make


@pytest.fixture
async def at(storages: Storages) -> AsyncIterator[House]:
    """An open gateway that looks for changes by itself each half minute only."""
    replies = [Reply.json(completion())] * 100_000
    made = house(*replies, storage=storages(), settings={"storage": StorageSettings(sync=30.0)})
    async with made.gateway:
        yield made


async def is_refused(at: House) -> None:
    """Wait until the gateway takes the key no more; it would look by itself only later."""
    deadline = monotonic() + 10
    while (await at.get("/v1/models")).status != 401:
        assert monotonic() < deadline


async def test_requests_go_on_while_it_is_killed_and_started(
    at: House, storages: Storages, fragile_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """One line says that it is away, one that it is back; then messages of changes come again."""
    caplog.set_level(logging.WARNING)
    over = asyncio.Event()
    statuses: list[int] = []

    async def load() -> None:
        while not over.is_set():
            at.gateway.directory.tokens.forget()  # so that each looks its token up anew
            statuses.append((await at.ask(BODY)).status)

    async def further(count: int) -> None:
        enough = len(statuses) + count
        await eventually(lambda: len(statuses) >= enough, 30, "further answers")

    async with asyncio.TaskGroup() as callers:
        for _ in range(8):
            callers.create_task(load())
        await further(50)
        fragile_redis.kill()
        await further(100)
        await asyncio.to_thread(fragile_redis.start)
        storage = at.gateway.storage
        assert isinstance(storage, RedisStorage)
        await eventually(lambda: not storage.client.breaker.is_open, 30, "closing of the breaker")
        await further(50)
        over.set()
    assert set(statuses) == {200}
    lines = [record.message for record in caplog.records if "Redis" in record.message]
    assert [line.split(",")[0].split(" after")[0] for line in lines] == ["Redis is away", "Redis is back"]

    other = storages()
    await other.open()
    token = await other.tokens.named("dev")
    assert token is not None
    await other.tokens.update(replace(token, enabled=False))
    await is_refused(at)
    await other.close()


async def test_while_it_is_frozen_requests_wait_no_longer_than_the_deadline(at: House, fragile_redis: Redis) -> None:
    """And soon for nothing at all."""
    assert (await at.ask(BODY)).status == 200
    fragile_redis.freeze()
    took = []
    for _ in range(20):
        at.gateway.directory.tokens.forget()
        began = monotonic()
        assert (await at.ask(BODY)).status == 200
        took.append(monotonic() - began)
    fragile_redis.thaw()
    # Look-up and storing of what was found wait once each; three failures open the breaker, now and then one tries.
    assert max(took) < 2 * DEADLINE + 1.0
    assert sum(seconds > DEADLINE for seconds in took) <= 4


async def test_a_change_that_was_missed_is_found_when_it_is_back(
    at: House, storages: Storages, fragile_redis: Redis
) -> None:
    """The subscription that stands anew is reason to look."""
    assert (await at.get("/v1/models")).status == 200
    fragile_redis.kill()
    other = storages()
    await other.open()
    token = await other.tokens.named("dev")
    assert token is not None
    await other.tokens.update(replace(token, enabled=False))
    await other.close()
    assert (await at.get("/v1/models")).status == 200
    await asyncio.to_thread(fragile_redis.start)
    await is_refused(at)


async def test_a_request_that_is_known_asks_redis_nothing(at: House, fragile_redis: Redis) -> None:
    """The usual request costs it not one command."""
    await at.ask(BODY)
    storage = at.gateway.storage
    assert isinstance(storage, RedisStorage)

    async def commands() -> int:
        told = await storage.client.run(lambda redis: redis.info("commandstats"), 5.0)
        return sum(int(stat["calls"]) for name, stat in told.items() if name not in ("cmdstat_info", "cmdstat_ping"))

    before = await commands()
    for _ in range(20):
        assert (await at.ask(BODY)).status == 200
    assert await commands() == before
