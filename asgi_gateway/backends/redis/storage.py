"""A storage on a database with Redis beside it."""

import time
from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import Any

from asgi_gateway.backends.redis.cache import RedisCache
from asgi_gateway.backends.redis.changes import Changes
from asgi_gateway.backends.redis.client import RedisClient
from asgi_gateway.backends.redis.cooldowns import RedisCooldowns
from asgi_gateway.backends.redis.lookups import RedisTokens
from asgi_gateway.storage.announcements import AnnouncedStorage
from asgi_gateway.storage.protocols import (
    Cache,
    ChannelStore,
    Cooldowns,
    Ledger,
    OptionStore,
    PriceStore,
    TokenStore,
    UsageLog,
    UserStore,
    Windows,
)
from asgi_gateway.storage.records import User
from asgi_gateway.storage.vault import Vault

__all__ = ["IDENTITY", "RedisStorage"]

IDENTITY = "database_id"
"""An option: a random name of the database, under which its nodes find each other in Redis."""


class RedisStorage:
    """`Storage` on a database that several nodes share, with what they share in Redis.

    Exact things (balances, charges, windows) stay in the database. Redis brings the message that something was changed,
    look-ups of tokens, the cache, and what rests. All of them are under a random name that the database gives itself,
    so several databases may share one Redis; a copy of a database must not share it with its original.

    `url`: see `RedisClient`; `deadline` in seconds for a look-up. `wall` gives seconds since the epoch.
    """

    users: UserStore
    tokens: TokenStore
    channels: ChannelStore
    options: OptionStore
    prices: PriceStore
    ledger: Ledger
    usage_log: UsageLog
    windows: Windows
    cache: Cache
    cooldowns: Cooldowns

    def __init__(
        self,
        database: AnnouncedStorage,
        url: str,
        *,
        deadline: float = 0.05,
        vault: Vault | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.database = database
        self.client = RedisClient(url, deadline=deadline)
        self._changes = Changes(self.client)
        self._prefix = ""
        self._revision: int | None = None
        self.users = database.users
        self.tokens = RedisTokens(database.tokens, self.client, vault or Vault(), self._place)
        self.channels = database.channels
        self.options = _Options(database.options)
        self.prices = database.prices
        self.ledger = database.ledger
        self.usage_log = database.usage_log
        self.windows = database.windows
        self.cooldowns = RedisCooldowns(self.client, database.cooldowns, lambda: f"{self._prefix}rest:")
        self.cache = RedisCache(self.client, database.cache, wall, lambda: f"{self._prefix}cache:")

    def __repr__(self) -> str:
        return f"RedisStorage({self.database!r}, {self.client!r})"

    async def open(self) -> None:
        """See `Storage.open`. That Redis is away is no reason to fail."""
        if self._prefix:
            return
        await self.database.open()
        try:
            self.client.open()
            identity = await self.database.options.create(IDENTITY, token_hex(8))
        except BaseException:  # cancelled, too: what was opened is closed, and it goes on
            await self.database.close()
            raise
        self._prefix = f"asgi_gateway:{identity}:"
        self._changes.open(f"{self._prefix}changes")
        self.database.announce(self._changes.tell)

    async def close(self) -> None:
        """See `Storage.close`."""
        await self._changes.close()
        await self.client.close()
        self._prefix, self._revision = "", None
        await self.database.close()

    async def ping(self) -> None:
        """See `Storage.ping`. Redis may be away: nothing rests on it."""
        await self.database.ping()

    async def ensure_user(self, user: User, quota: int) -> User:
        """See `Storage.ensure_user`."""
        return await self.database.ensure_user(user, quota)

    async def version(self) -> int:
        """See `Storage.version`."""
        revision = await self.database.version()
        self._revision = revision
        return revision

    def announce(self, changed: Callable[[], None]) -> None:
        """See `AnnouncedStorage.announce`: of changes by any node. For one listener."""
        self._changes.listen(changed)

    def _place(self) -> str | None:
        return None if self._revision is None else f"{self._prefix}token:{self._revision}"


class _Options:
    """The options of a database without its name in Redis, which is nobody else's business."""

    def __init__(self, options: OptionStore) -> None:
        self._options = options

    async def get(self, name: str) -> Any | None:
        return await self._options.get(name)

    async def set(self, name: str, value: Any) -> None:
        await self._options.set(name, value)

    async def create(self, name: str, value: Any) -> Any:
        return await self._options.create(name, value)

    async def all(self) -> Mapping[str, Any]:
        return {name: value for name, value in (await self._options.all()).items() if name != IDENTITY}
