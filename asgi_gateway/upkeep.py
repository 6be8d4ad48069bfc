"""What a gateway does beside its requests: look for changes, renew its lease, close what dead processes left.

And it keeps the usage log: adds charges to the sums of their hours, copies them, removes old ones.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from time import monotonic

from asgi_gateway.config import Settings
from asgi_gateway.directory import Directory
from asgi_gateway.errors import GatewayError
from asgi_gateway.storage.announcements import AnnouncedStorage
from asgi_gateway.storage.protocols import Storage

__all__ = ["LOG_INTERVAL", "LOG_STEPS", "REMOVED", "Upkeep"]

logger = logging.getLogger("asgi_gateway")

LEASE_INTERVAL = 5.0
"""Seconds between renewals of the lease, which counts as lost after 30."""

RECOVERY_INTERVAL = 15.0

LOG_INTERVAL = 1.0
"""Seconds between looks at the usage log."""

LOG_STEPS = 10
"""Steps of roll-up, and of removal, that are taken at once; others get their turn between them."""

REMOVED = 250
"""Charges that are removed in one step, for which others wait some milliseconds."""


class Upkeep:
    """Two background tasks: what must be on time, and the usage log, whose steps may take long.

    What fails is told once, when it begins and when it is over, and tried again.
    `flush` is called each time the storage is looked at: it hands on what was counted.
    A storage that tells of changes is looked at when it does, and at each turn all the same.
    """

    def __init__(
        self, directory: Directory, storage: Storage, settings: Settings, flush: Callable[[], None] | None = None
    ) -> None:
        self.directory = directory
        self.storage = storage
        self.settings = settings
        self.flush = flush
        self._tasks: list[asyncio.Task[None]] = []
        self._failing: set[str] = set()
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Do everything once, so that nothing is missing when the first request comes, then go on in the background."""
        await self.storage.ledger.renew()
        await self._recover()
        await self.directory.refresh()
        await self.directory.prepare()
        self._changed = asyncio.Event()  # of this event loop
        if isinstance(self.storage, AnnouncedStorage):
            self.storage.announce(self._changed.set)
        self._tasks = [
            asyncio.create_task(self._run(), name="asgi_gateway upkeep"),
            asyncio.create_task(self._keep_log(), name="asgi_gateway usage log"),
        ]

    async def stop(self) -> None:
        """End the background tasks."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._attempt("flush the metrics", self._flush)

    async def _run(self) -> None:
        renewed = recovered = monotonic()
        while True:
            await self._turn()
            await self._attempt("flush the metrics", self._flush)
            await self._attempt("look for changes", self.directory.refresh)
            now = monotonic()
            if now - renewed >= LEASE_INTERVAL:
                renewed = now
                await self._attempt("renew the lease", self.storage.ledger.renew)
            if now - recovered >= RECOVERY_INTERVAL:
                recovered = now
                await self._attempt("recover lost reservations", self._recover)

    async def _keep_log(self) -> None:
        while True:
            await asyncio.sleep(LOG_INTERVAL)
            await self._attempt("sum up the usage log", self._roll_up)
            if self.settings.log.keep_days:
                await self._attempt("remove old charges", self._prune)

    async def _turn(self) -> None:
        """Wait until it is time to look for changes, or there is one."""
        try:
            async with asyncio.timeout(self.settings.storage.sync):
                await self._changed.wait()
        except TimeoutError:
            pass  # it is time
        self._changed.clear()

    async def _flush(self) -> None:
        if self.flush is not None:
            self.flush()

    async def _recover(self) -> None:
        lost = await self.storage.ledger.recover(self.settings.billing.lost)
        if lost:
            logger.warning("closed %d reservations of processes that died", len(lost))

    async def _roll_up(self) -> None:
        for _ in range(LOG_STEPS):
            if not await self.storage.usage_log.roll_up():
                break

    async def _prune(self) -> None:
        before = datetime.now(UTC) - timedelta(days=self.settings.log.keep_days)
        for _ in range(LOG_STEPS):
            if await self.storage.usage_log.prune(before, REMOVED) < REMOVED:
                break

    async def _attempt(self, what: str, step: Callable[[], Awaitable[object]]) -> None:
        try:
            await step()
        except GatewayError as reason:
            if what not in self._failing:
                self._failing.add(what)
                logger.warning("could not %s, trying again: %s", what, reason)
        except Exception:  # a fault of ours must not end the upkeep, which everything else rests on
            logger.exception("could not %s", what)
        else:
            if what in self._failing:
                self._failing.discard(what)
                logger.warning("could %s again", what)
