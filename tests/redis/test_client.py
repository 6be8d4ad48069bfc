"""Every command has a deadline, and a server that is away is not asked."""

import asyncio
import sys
from time import monotonic

import pytest

from asgi_gateway.backends.redis.client import Away, RedisClient
from support.databases import Redis, free_port

PASSWORD = "canary:password/of redis"


async def test_a_command_is_answered(client: RedisClient) -> None:
    """With what the server says."""
    assert await client.run(lambda redis: redis.set("a", b"1"))
    assert await client.run(lambda redis: redis.get("a")) == b"1"
    assert not client.breaker.is_open


async def test_a_frozen_server_costs_no_more_than_the_deadline(client: RedisClient, fragile_redis: Redis) -> None:
    """And after three times nothing any more."""
    await client.run(lambda redis: redis.get("a"))
    fragile_redis.freeze()
    for _ in range(3):
        began = monotonic()
        with pytest.raises(Away, match="TimeoutError"):
            await client.run(lambda redis: redis.get("a"))
        assert monotonic() - began < client.deadline + 1.0
    assert client.breaker.is_open
    with pytest.raises(Away, match="not asked"):
        await client.run(lambda redis: redis.get("a"))
    fragile_redis.thaw()


async def test_a_server_that_is_back_is_used_again(client: RedisClient, fragile_redis: Redis) -> None:
    """After it was killed and started, by the first attempt that is let through."""
    await client.run(lambda redis: redis.get("a"))
    fragile_redis.kill()
    for _ in range(3):
        with pytest.raises(Away):
            await client.run(lambda redis: redis.get("a"))
    fragile_redis.start()

    for _ in range(100):  # the second attempt comes after half a second, further ones later
        try:
            await client.run(lambda redis: redis.get("a"))
            break
        except Away:
            await asyncio.sleep(0.1)
    assert not client.breaker.is_open


async def test_a_caller_who_leaves_says_nothing_of_the_server(client: RedisClient, fragile_redis: Redis) -> None:
    """Its connection is not used again either: an answer may still come on it."""
    await client.run(lambda redis: redis.set("a", b"1"))
    fragile_redis.freeze()
    waiting = asyncio.create_task(client.run(lambda redis: redis.get("other"), 5.0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    fragile_redis.thaw()
    assert await client.run(lambda redis: redis.get("a"), 5.0) == b"1"


async def test_too_many_at_once_wait_within_their_deadline(
    client: RedisClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nobody had a turn is no failure of the server's."""
    monkeypatch.setattr(client, "_room", asyncio.Semaphore(0))
    for _ in range(5):
        with pytest.raises(Away):
            await client.run(lambda redis: redis.get("a"), 0.01)
    assert not client.breaker.is_open


async def test_a_client_that_is_not_open_is_away() -> None:
    """Before `open` and after `close`."""
    client = RedisClient("redis://127.0.0.1/0", deadline=1.0)
    await client.close()
    with pytest.raises(Away, match="not open"):
        await client.run(lambda redis: redis.get("a"))


async def test_no_password_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Neither in the log nor in a repr."""
    pytest.importorskip("redis.asyncio")
    client = RedisClient(f"redis://user:canary%3Apassword%2Fof%20redis@127.0.0.1:{free_port()}/0", deadline=1.0)
    client.open()
    for _ in range(3):
        with pytest.raises(Away):
            await client.run(lambda redis: redis.get("a"))
    await client.close()
    assert "Redis is away" in caplog.text
    assert client.reason_of(ValueError(f"bad {PASSWORD}, bad canary%3Apassword%2Fof%20redis")) == (
        "ValueError: bad ***, bad ***"
    )
    assert client.reason_of(TimeoutError()) == "TimeoutError"
    assert RedisClient("redis://h?password=canary", deadline=1.0).reason_of(ValueError("canary")) == "ValueError: ***"
    assert "canary" not in caplog.text + repr(client)


def test_without_the_extra_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install."""
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ValueError, match=r"asgi-gateway\[redis\]"):
        RedisClient("redis://127.0.0.1/0", deadline=1.0).open()
