"""All roles of the storage in one process's memory."""

import time
from collections.abc import Callable

from asgi_gateway.backends.memory.cache import MemoryCache
from asgi_gateway.backends.memory.cooldowns import MemoryCooldowns
from asgi_gateway.backends.memory.ledger import MemoryLedger
from asgi_gateway.backends.memory.stores import (
    MemoryChannels,
    MemoryOptions,
    MemoryPrices,
    MemoryTokens,
    MemoryUsers,
    Revision,
    Table,
)
from asgi_gateway.backends.memory.usage_log import MemoryUsageLog
from asgi_gateway.backends.memory.windows import MemoryWindows
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
from asgi_gateway.storage.records import Account, User

__all__ = ["MemoryStorage"]


class MemoryStorage:
    """`Storage` in memory, for one process.

    `charges` is how many charges the usage log remembers (balances are exact whatever it forgets).
    `wall` gives seconds since the epoch, `clock` the seconds that windows count in.

    ```python
    storage = MemoryStorage()
    await storage.open()
    ```
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
        *,
        charges: int = 100_000,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._revision = Revision()
        users: Table[User] = Table("user", self._revision)
        tokens = MemoryTokens(users, self._revision, wall)
        log = MemoryUsageLog(charges)
        self.users = MemoryUsers(users, tokens, wall)
        self.tokens = tokens
        self.channels = MemoryChannels(self._revision)
        self.options = MemoryOptions(self._revision)
        self.prices = MemoryPrices()
        self._ledger = MemoryLedger(log, wall)
        self.ledger = self._ledger
        self.usage_log = log
        self.windows = MemoryWindows(clock)
        self.cache = MemoryCache(clock)
        self.cooldowns = MemoryCooldowns(clock)

    def __repr__(self) -> str:
        return "MemoryStorage()"

    async def open(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to finish; what is remembered stays until the object goes."""

    async def ping(self) -> None:
        """Memory always answers."""

    async def ensure_user(self, user: User, quota: int) -> User:
        """See `Storage.ensure_user`."""
        found = await self.users.find(user.name)
        if found is None:
            found = await self.users.add(user)
            self._ledger.begin(Account("user", found.id), quota, unlimited=found.unlimited)
        return found

    async def version(self) -> int:
        """See `Storage.version`."""
        return self._revision.number
