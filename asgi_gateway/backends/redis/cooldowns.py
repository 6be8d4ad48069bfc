"""What rests for a while, in Redis, so that all nodes know; in each one's own memory, too, for when Redis is away."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from asgi_gateway.backends.redis.client import Away, RedisClient
from asgi_gateway.storage.protocols import Cooldowns

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisCooldowns"]

LONGER = """
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then
  redis.call('SET', KEYS[1], '', 'PX', ARGV[1])
end
"""
"""Keeps a key for so many milliseconds, unless it is kept for longer."""


class RedisCooldowns:
    """`Cooldowns` in Redis. `own` is what this process knows by itself; `prefix` is the beginning of every key."""

    def __init__(self, client: RedisClient, own: Cooldowns, prefix: Callable[[], str]) -> None:
        self._client = client
        self._own = own
        self._prefix = prefix

    async def rest(self, key: str, seconds: float) -> None:
        """See `Cooldowns.rest`."""
        await self._own.rest(key, seconds)
        place, life = self._prefix() + key, max(1, int(seconds * 1000))

        async def keep(redis: "Redis") -> None:
            await redis.register_script(LONGER)(keys=[place], args=[life])

        try:
            await self._client.run(keep)
        except Away:
            return  # this process knows, and others will when their own attempts fail

    async def resting(self, keys: Sequence[str]) -> Mapping[str, float]:
        """See `Cooldowns.resting`."""
        own = await self._own.resting(keys)
        if not keys:
            return own
        prefix = self._prefix()

        async def ask(redis: "Redis") -> list[Any]:
            async with redis.pipeline(transaction=False) as pipeline:
                for key in keys:
                    pipeline.pttl(prefix + key)
                return await pipeline.execute()

        try:
            lives = await self._client.run(ask)
        except Away:
            return own
        shared = {key: life / 1000 for key, life in zip(keys, lives, strict=True) if life > 0}
        return {key: max(own.get(key, 0.0), shared.get(key, 0.0)) for key in keys if key in own or key in shared}
