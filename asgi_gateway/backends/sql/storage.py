"""All roles of the storage on SQL: a SQLite file for one machine, or a server for any number of them."""

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from asgi_gateway.backends.memory.cooldowns import MemoryCooldowns
from asgi_gateway.backends.memory.windows import MemoryWindows
from asgi_gateway.backends.sql.address import address_of
from asgi_gateway.backends.sql.cache import SqlCache
from asgi_gateway.backends.sql.commit import GroupCommit
from asgi_gateway.backends.sql.database import Database, revision_of
from asgi_gateway.backends.sql.journal import Journal, Writes
from asgi_gateway.backends.sql.leases import Lease
from asgi_gateway.backends.sql.ledger import Leave, SqlLedger
from asgi_gateway.backends.sql.migration import prepare
from asgi_gateway.backends.sql.prices import SqlPrices
from asgi_gateway.backends.sql.rollups import correct
from asgi_gateway.backends.sql.sealing import SealedRows
from asgi_gateway.backends.sql.spool import Spool
from asgi_gateway.backends.sql.spooled import settle_left_behind
from asgi_gateway.backends.sql.stores import SqlChannels, SqlOptions, SqlTokens, SqlUsers
from asgi_gateway.backends.sql.transaction import Barrier
from asgi_gateway.backends.sql.usage_log import SqlUsageLog
from asgi_gateway.backends.sql.windows import SqlWindows
from asgi_gateway.backends.sql.writer import open_writer
from asgi_gateway.errors import ServiceUnavailable
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

__all__ = ["SqlStorage"]

logger = logging.getLogger("asgi_gateway")


class SqlStorage:
    """`Storage` on a database, for one event loop.

    Nothing is made before `open`: no file, no thread, no connection; so a process may fork until then.
    Its roles can be handed out before; they raise `ServiceUnavailable` until it is open.

    `url` is what `address_of` takes: "sqlite:///relative/path", "postgresql://…", "mysql://…".
    `shared` is set when several processes use a file: windows and slots are then counted in it, else in memory.
    A server is always shared.
    `migrate` lets it make or change a server's tables; those of SQLite are always made and changed where need be.
    `wait` is how long a busy database is waited for, `lease` how long a silent process is thought alive,
    `farewell` how long `close` tries to write what is queued; all in seconds.
    `queue` is how many verbs may wait for the database before new work is refused.
    `vault` seals what channels have of secrets; without one they are stored in clear.
    `log_url` is another database, which gets a copy of every charge.
    `spool` is a folder on disk for settlements that wait for the database, at most `spool_limit` bytes of them.
    `wall` gives seconds since the epoch; by default it is this machine's clock, for the ledger and windows on a server
    the server's. `clock` gives the seconds in which windows in memory count.

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
    cooldowns: Cooldowns

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
        log_url: str = "",
        spool: Path | None = None,
        spool_limit: int = 64 * 2**20,
        wall: Callable[[], float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address = address_of(url)
        self._shared = shared = shared or address.kind != "sqlite"
        self._migrate = migrate
        self._lease_seconds = lease
        self._farewell = farewell
        self._writer_wall = wall or (time.time if address.kind == "sqlite" else None)
        self._wall = wall = wall or time.time
        self._spool = spool
        self._spool_limit = spool_limit
        self._opened = False
        self._journal: Journal | None = None
        self._database = database = Database(address, wait)
        self._writer = open_writer(address, wait)
        # A server takes several writers; then limits need not wait for money, nor money for limits.
        self._window_writer = open_writer(address, wait, durable=False) if address.kind != "sqlite" else None
        copies = Database(address_of(log_url), wait) if log_url else None
        self._commit = GroupCommit(queue)
        self.users = SqlUsers(database, wall)
        self.tokens = SqlTokens(database, wall)
        vault = vault or Vault()
        self.channels = SqlChannels(database, vault)
        self.sealed = SealedRows(database, vault)
        self.options = SqlOptions(database)
        self.prices = SqlPrices(database)
        self.usage_log = self._usage_log = SqlUsageLog(database, self._writer_wall, copies)
        self.cache = SqlCache(database, wall)
        self.cooldowns = MemoryCooldowns(clock)
        self._window_commit = GroupCommit(queue, tells=False) if self._window_writer is not None else None
        self.ledger = SqlLedger(self._commit, self._window_commit)
        self.windows = SqlWindows(self._window_commit or self._commit) if shared else MemoryWindows(clock)

    def __repr__(self) -> str:
        return f"SqlStorage({str(self._address)!r}, shared={self._shared})"

    @property
    def conflicts(self) -> int:
        """How many transactions of the ledger the database undid for the sake of others, since it was opened."""
        return 0 if self._journal is None else self._journal.conflicts

    async def open(self) -> None:
        """See `Storage.open`.

        Raises `ServiceUnavailable` with the reason as its cause, or `ValueError` for a database of another version.
        """
        if self._opened:
            return
        self._database.open()
        try:
            await prepare(self._database, allowed=self._migrate)
            await self._usage_log.open()
        except (OSError, sqlite3.Error) as error:
            await self._database.close()
            raise ServiceUnavailable("The gateway's database cannot be opened.") from error
        except (ValueError, ServiceUnavailable):
            await self._database.close()
            raise
        lease = Lease(self._lease_seconds)
        spool = Spool(self._spool, str(self._address), lease.id, self._spool_limit) if self._spool else None
        wall, beside = self._writer_wall, self._window_commit
        writes: Writes = "all" if beside is None else "ledger"
        self._journal = Journal(self._writer, lease, wall=wall, corrected=correct, writes=writes)
        self._commit.start(self._journal, spool)
        if beside is not None and self._window_writer is not None:
            beside.start(Journal(self._window_writer, lease, wall=wall, corrected=correct, writes="windows"))
        self._opened = True
        logger.info("%r", self._database)  # how many connections a process makes
        if self._spool is not None:
            await settle_left_behind(self._spool, str(self._address), self.ledger, self._farewell)

    async def close(self) -> None:
        """See `Storage.close`."""
        if self._opened:
            self._opened = False
            if self._window_commit is not None:
                await self._window_commit.stop(Barrier(), self._farewell if not self._commit.failing else 0.0)
            await self._commit.stop(Leave(), self._farewell)
            await self._usage_log.close()
            await self._database.close()
            self._database.told.clear()

    async def ping(self) -> None:
        """See `Storage.ping`."""
        await self._database.read(revision_of)
        if self._commit.failing or (self._window_commit is not None and self._window_commit.failing):
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
