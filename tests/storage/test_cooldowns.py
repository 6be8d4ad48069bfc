"""What rests for a while."""

from asgi_gateway.backends.memory.cooldowns import SPARED, MemoryCooldowns
from asgi_gateway.storage.protocols import Storage
from support.ledger_records import Clock


async def test_what_rests_is_told_with_the_time_that_is_left(storage: Storage, clock: Clock) -> None:
    """Until it is over; others are not told."""
    await storage.cooldowns.rest("channel:1", 30.0)
    await storage.cooldowns.rest("channel:2", 10.0)
    clock.advance(4.0)
    assert await storage.cooldowns.resting(["channel:1", "channel:2", "channel:3"]) == {
        "channel:1": 26.0,
        "channel:2": 6.0,
    }
    clock.advance(6.0)
    assert await storage.cooldowns.resting(["channel:1", "channel:2"]) == {"channel:1": 20.0}
    assert await storage.cooldowns.resting([]) == {}


async def test_a_longer_rest_stays(storage: Storage, clock: Clock) -> None:
    """And a shorter one is prolonged."""
    await storage.cooldowns.rest("a", 30.0)
    await storage.cooldowns.rest("a", 5.0)
    await storage.cooldowns.rest("b", 5.0)
    await storage.cooldowns.rest("b", 30.0)
    assert await storage.cooldowns.resting(["a", "b"]) == {"a": 30.0, "b": 30.0}


async def test_memory_forgets_what_rests_no_more(clock: Clock) -> None:
    """When there are many."""
    cooldowns = MemoryCooldowns(clock)
    for number in range(SPARED):
        await cooldowns.rest(str(number), 1.0)
    clock.advance(2.0)
    await cooldowns.rest("new", 1.0)
    assert cooldowns._until == {"new": clock() + 1.0}
