"""Small records that may be forgotten."""

from asgi_gateway.backends.memory.cache import MemoryCache
from asgi_gateway.storage.protocols import Storage
from support.ledger_records import Clock


async def test_a_value_is_there_until_it_expires(storage: Storage, clock: Clock) -> None:
    """Others are not there at all."""
    await storage.cache.put({"a": b"\x00\xff", "b": b""}, 10.0)
    await storage.cache.put({"c": b"3"}, 20.0)
    assert await storage.cache.get(["a", "b", "c", "d"]) == {"a": b"\x00\xff", "b": b"", "c": b"3"}
    clock.now += 10.0
    assert await storage.cache.get(["a", "b", "c"]) == {"c": b"3"}


async def test_a_key_that_is_there_is_replaced(storage: Storage, clock: Clock) -> None:
    """Value and time are the new ones; what expired is removed on the way."""
    await storage.cache.put({"a": b"1", "old": b"x"}, 1.0)
    await storage.cache.put({"a": b"2"}, 60.0)
    clock.now += 30.0
    await storage.cache.put({"b": b"3"}, 60.0)
    assert await storage.cache.get(["a", "b", "old"]) == {"a": b"2", "b": b"3"}


async def test_nothing_is_asked_or_kept_for_nothing(storage: Storage) -> None:
    """No keys, no values."""
    await storage.cache.put({}, 1.0)
    assert await storage.cache.get([]) == {}


async def test_memory_forgets_the_oldest_beyond_its_bound() -> None:
    """By the bytes of the values."""
    cache = MemoryCache(lambda: 0.0, capacity=10)
    await cache.put({"a": b"12345", "b": b"12345"}, 1.0)
    await cache.put({"a": b"123456"}, 1.0)
    assert await cache.get(["a", "b"]) == {"a": b"123456"}
