"""Records that are forgotten, in Redis; in the database while Redis is away."""

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from asgi_gateway.backends.redis.client import Away, RedisClient
from asgi_gateway.storage.protocols import Cache

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisCache"]

DEADLINE = 0.25
"""Seconds for a command: records may be long."""

_EXPIRES = struct.Struct(">d")


class RedisCache:
    """`Cache` in Redis. What is not found there is looked for in `behind`, which takes what comes while Redis is away.

    `wall` gives seconds since the epoch; `prefix` the beginning of every key.
    """

    def __init__(
        self, client: RedisClient, behind: Cache, wall: Callable[[], float], prefix: Callable[[], str]
    ) -> None:
        self._client = client
        self._behind = behind
        self._wall = wall
        self._prefix = prefix

    async def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """See `Cache.get`."""
        if not keys:
            return {}
        prefix, now = self._prefix(), self._wall()
        try:
            rows = await self._client.run(lambda redis: redis.mget([prefix + key for key in keys]), DEADLINE)
        except Away:
            return await self._behind.get(keys)
        found = {
            key: row[_EXPIRES.size :]
            for key, row in zip(keys, rows, strict=True)
            if isinstance(row, bytes) and _EXPIRES.unpack_from(row)[0] > now
        }
        missing = [key for key in keys if key not in found]
        return {**await self._behind.get(missing), **found} if missing else found

    async def put(self, values: Mapping[str, bytes], seconds: float) -> None:
        """See `Cache.put`."""
        if not values:
            return
        prefix, expires = self._prefix(), _EXPIRES.pack(self._wall() + seconds)
        life = max(1, int(seconds * 1000))

        async def store(redis: "Redis") -> None:
            async with redis.pipeline(transaction=False) as pipeline:
                for key, value in values.items():
                    pipeline.set(prefix + key, expires + value, px=life)
                await pipeline.execute()

        try:
            await self._client.run(store, DEADLINE)
        except Away:
            await self._behind.put(values, seconds)
