"""A change made on one node is heard on every other, and what was missed is made up for."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from asgi_gateway.backends.redis import RedisStorage
from asgi_gateway.backends.redis.changes import Changes
from asgi_gateway.backends.redis.client import RedisClient
from asgi_gateway.storage.records import Channel, User
from support.databases import Redis
from support.waiting import eventually


class Ear:
    """Counts what it hears."""

    def __init__(self) -> None:
        self.heard = 0
        self._again = asyncio.Event()

    def __call__(self) -> None:
        self.heard += 1
        self._again.set()

    async def hears(self, at_least: int) -> None:
        """Wait until it has heard so often."""
        async with asyncio.timeout(15):
            while self.heard < at_least:
                self._again.clear()
                await self._again.wait()


@pytest.fixture
def ear() -> Ear:
    return Ear()


@pytest.fixture
async def changes(client: RedisClient) -> AsyncIterator[Changes]:
    made = Changes(client)
    made.open("test:changes")
    yield made
    await made.close()


async def test_every_change_of_a_node_is_heard_by_the_others_and_itself(nodes: list[RedisStorage]) -> None:
    """Users, tokens, channels and options, and whatever else is counted as a change."""
    first, second = nodes
    ears = [Ear(), Ear()]
    for storage, ear in zip(nodes, ears, strict=True):
        storage.announce(ear)
        await ear.hears(1)  # the subscription stands
    user = await first.users.add(User(name="a"))
    await asyncio.gather(*(ear.hears(2) for ear in ears))
    await second.channels.add(Channel(name="c", provider="openai", keys=()))
    await asyncio.gather(*(ear.hears(3) for ear in ears))
    await first.options.set("o", 1)
    await asyncio.gather(*(ear.hears(4) for ear in ears))
    await second.users.delete(user.id)
    await asyncio.gather(*(ear.hears(5) for ear in ears))


async def test_what_changed_nothing_is_not_told(nodes: list[RedisStorage]) -> None:
    """A look-up, a row that is not there, a failed addition."""
    first, second = nodes
    user = await first.users.add(User(name="a"))
    ear = Ear()
    second.announce(ear)
    await ear.hears(1)
    before = ear.heard
    assert not await first.users.delete(user.id + 1)
    with pytest.raises(ValueError, match="exists already"):
        await first.users.add(User(name="a"))
    await first.users.list()
    await first.options.set("o", 1)
    await ear.hears(before + 1)
    assert ear.heard == before + 1


async def test_many_changes_share_messages(changes: Changes, ear: Ear) -> None:
    """One is under way, and one after it says the rest."""
    changes.listen(ear)
    changes.listen(ear)  # once is enough
    await ear.hears(1)
    for _ in range(100):
        changes.tell()
    await ear.hears(2)
    await changes.close()
    assert ear.heard <= 3


async def test_a_restart_counts_as_a_change(
    changes: Changes, ear: Ear, client: RedisClient, fragile_redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """What was told meanwhile was missed. It is said once that Redis is away, and once that it is back."""
    changes.listen(ear)
    await ear.hears(1)
    fragile_redis.kill()
    await eventually(lambda: client.breaker.is_open, 10, "opening of the breaker")
    changes.tell()
    fragile_redis.start()
    await ear.hears(2)
    changes.tell()
    await ear.hears(3)
    assert [record.message.partition(" after")[0].partition(",")[0] for record in caplog.records] == [
        "Redis is away",
        "Redis is back",
    ]


async def test_a_server_that_gives_no_sign_of_life_is_away(
    changes: Changes, ear: Ear, client: RedisClient, fragile_redis: Redis
) -> None:
    """Though its connection stands; what is heard after it goes on is heard."""
    changes.listen(ear)
    await ear.hears(1)
    fragile_redis.freeze()
    await eventually(lambda: client.breaker.is_open, 10, "opening of the breaker")
    fragile_redis.thaw()
    await ear.hears(2)
    assert not client.breaker.is_open


async def test_silence_is_no_failure(changes: Changes, ear: Ear, client: RedisClient) -> None:
    """A server that has nothing to say answers that it is there."""
    changes.listen(ear)
    await ear.hears(1)
    await asyncio.sleep(2.5)
    assert not client.breaker.is_open
    changes.tell()
    await ear.hears(2)
    assert ear.heard == 2
