"""All roles of the storage on SQL. Here: SQLite, one file, any number of processes on one machine."""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from asgi_gateway.backends.memory.windows import MemoryWindows
from asgi_gateway.backends.sql.address import address_of
from asgi_gateway.backends.sql.cache import SqlCache
from asgi_gateway.backends.sql.commit import GroupCommit
from asgi_gateway.backends.sql.database import Database, revision_of
from asgi_gateway.backends.sql.journal import Journal
from asgi_gateway.backends.sql.leases import Lease
from asgi_gateway.backends.sql.ledger import Leave, SqlLedger
from asgi_gateway.backends.sql.migration import prepare
from asgi_gateway.backends.sql.prices import SqlPrices
from asgi_gateway.backends.sql.sealing import SealedRows
from asgi_gateway.backends.sql.stores import SqlChannels, SqlOptions, SqlTokens, SqlUsers
from asgi_gateway.backends.sql.usage_log import SqlUsageLog
from asgi_gateway.backends.sql.windows import SqlWindows
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.protocols import (
    Cache,
    ChannelStore,
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

__all__ = ["SqlStorage"]


class SqlStorage:
    """`Storage` on a SQLite file, for one event loop.

    Nothing is made before `open`: no file, no thread, no connection; so a process may fork until then.
    Its roles can be handed out before; they raise `ServiceUnavailable` until it is open.

    `url` is "sqlite:///relative/path" or "sqlite:////absolute/path".
    `shared` is set when several processes use the file: windows and slots are then counted in it, else in memory.
    `migrate` lets it make or change a server's tables; those of SQLite are always made and changed where need be.
    `wait` is how long a busy database is waited for, `lease` how long a silent process is thought alive,
    `farewell` how long `close` tries to write what is queued; all in seconds.
    `queue` is how many verbs may wait for the database before new work is refused.
    `vault` seals what channels have of secrets; without one they are stored in clear.
    `wall` gives seconds since the epoch, `clock` the seconds in which windows in memory count.

    ```python
    storage = SqlStorage("sqlite:///gateway.db")
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

    def __init__(
        self,
        url: str,
        shared: bool = False,
        *,
        migrate: bool = False,
        wait: float = 5.0,
        lease: float = 30.0,
        farewell: float = 10.0,
        queue: int = 10_000,
        vault: Vault | None = None,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = _path_of(url)
        self._shared = shared
        self._migrate = migrate
        self._wait = wait
        self._lease_seconds = lease
        self._farewell = farewell
        self._wall = wall
        self._opened = False
        self._database = database = Database(address_of(url), wait)
        self._commit = GroupCommit(queue)
        self.users = SqlUsers(database, wall)
        self.tokens = SqlTokens(database, wall)
        vault = vault or Vault()
        self.channels = SqlChannels(database, vault)
        self.sealed = SealedRows(database, vault)
        self.options = SqlOptions(database)
        self.prices = SqlPrices(database)
        self.usage_log = SqlUsageLog(database)
        self.cache = SqlCache(database, wall)
        self.ledger = SqlLedger(self._commit)
        self.windows = SqlWindows(self._commit) if shared else MemoryWindows(clock)

    def __repr__(self) -> str:
        return f"SqlStorage({str(self._path)!r}, shared={self._shared})"

    async def open(self) -> None:
        """See `Storage.open`.

        Raises `ServiceUnavailable` with the reason as its cause, or `ValueError` for a database of another version.
        """
        if self._opened:
            return
        self._database.open()
        try:
            await prepare(self._database, allowed=self._migrate)
        except (OSError, sqlite3.Error) as error:
            await self._database.close()
            raise ServiceUnavailable("The gateway's database cannot be opened.") from error
        except (ValueError, ServiceUnavailable):
            await self._database.close()
            raise
        journal = Journal(self._path, Lease(self._lease_seconds), wait=self._wait, wall=self._wall)
        self._commit.start(journal)
        self._opened = True

    async def close(self) -> None:
        """See `Storage.close`."""
        if self._opened:
            self._opened = False
            await self._commit.stop(Leave(), self._farewell)
            await self._database.close()
            self._database.told.clear()

    async def ping(self) -> None:
        """See `Storage.ping`."""
        await self._database.read(revision_of)
        if self._commit.failing:
            raise ServiceUnavailable("The gateway's database cannot be written.")

    async def ensure_user(self, user: User, quota: int) -> User:
        """See `Storage.ensure_user`."""
        return await SqlUsers(self._database, self._wall).ensure(user, quota)

    async def version(self) -> int:
        """See `Storage.version`."""
        return await self._database.read(revision_of)

    def announce(self, changed: Callable[[], None]) -> None:
        """See `AnnouncedStorage.announce`: here, of this process's own changes."""
        self._database.told.append(changed)


def _path_of(url: str) -> Path:
    """The file of a URL. The message of an error does not repeat the URL: others hold passwords."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError('storage URL: expected "sqlite:///path"') from None
    if parsed.drivername not in ("sqlite", "sqlite+pysqlite"):
        raise ValueError(f"storage URL: {parsed.drivername} is not supported here; sqlite is")
    if parsed.host or parsed.query:
        raise ValueError('storage URL: expected "sqlite:///path" without a host or options')
    if not parsed.database or parsed.database == ":memory:":
        raise ValueError('storage URL: sqlite needs a path; for memory use "memory://"')
    return Path(parsed.database)
