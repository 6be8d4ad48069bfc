"""Group commit: verbs of many callers, one transaction for whatever is pending, futures set when it is durable.

Verbs are queued on the event loop and applied in that order by one thread. While the thread works, the next batch
gathers; so the more callers, the fewer commits each of them costs. After a batch that many callers shared, the next one
waits for further verbs, while the loop is at work that may bring some: a commit costs as much as a dozen verbs.

When the database is away, the verbs that somebody waits for fail with `ServiceUnavailable`, and the `patient` ones
stay at the head of the queue and are tried again with a growing pause. New verbs wait for that attempt.
Settlements are then kept on disk, too, so that the end of the process does not lose them.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any

from asgi_gateway.backends.failures import LOGGER, fail
from asgi_gateway.backends.sql.journal import Journal
from asgi_gateway.backends.sql.spool import Spool, SpoolFull
from asgi_gateway.backends.sql.transaction import Barrier, Verb
from asgi_gateway.errors import ServiceUnavailable

__all__ = ["GroupCommit"]

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 1.0
"""Seconds between attempts while the database is away."""

NOT_OPEN = "The gateway's storage is not open."

CROWD = 8
"""Verbs of a batch after which the next one waits for more."""

TURNS = 16
"""Turns of the loop that a batch waits at most."""

ENOUGH = 128
"""Verbs that are worth a commit, however many more may come."""

MOST = 1000
"""Verbs of a batch: after an outage there may be many more, and a transaction that long is in everybody's way."""

PATIENCE = 10
"""How many times more verbs are queued in all than new ones are accepted."""


class GroupCommit:
    """The queue of one event loop and the thread that works it off, from `start` to `stop`.

    `tells` says whether it is this queue that tells of a database that is away.
    `limit` verbs wait at most; then new work is refused, and only what finishes earlier work is still queued.
    """

    def __init__(self, limit: int, *, tells: bool = True) -> None:
        self._limit = limit
        self._tells = tells
        self._loop: asyncio.AbstractEventLoop | None = None
        self._inbox: SimpleQueue[Sequence[Verb] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._pending: list[Verb] = []
        self._busy = False
        self._crowded = False
        self._pause = 0.0
        self._retry: asyncio.TimerHandle | None = None
        self._stopped = False
        self._spool: Spool | None = None
        self._spooled: set[str] = set()
        self._unkept = False

    def start(self, journal: Journal, spool: Spool | None = None) -> None:
        """Start the thread that writes to `journal`, for the running event loop; `spool` is what it keeps on disk."""
        self._loop = asyncio.get_running_loop()
        self._stopped = False
        self._spool = spool
        self._thread = Thread(target=self._work, args=(self._loop, journal), name="gateway-ledger", daemon=True)
        self._thread.start()

    @property
    def failing(self) -> bool:
        """Whether the last attempt to write failed."""
        return self._pause > 0

    def submit(self, verb: Verb) -> "asyncio.Future[Any]":
        """Queue a verb and return the future of its result. Raises like `add`."""
        if self._loop is None:
            raise ServiceUnavailable(NOT_OPEN)
        future = verb.future = self._loop.create_future()
        self.add(verb)
        return future

    def add(self, verb: Verb) -> None:
        """Queue a verb. Raises `ServiceUnavailable` when too many wait, before the start and after the end."""
        loop, pending = self._loop, self._pending
        if loop is None:
            raise ServiceUnavailable(NOT_OPEN)
        if len(pending) >= self._limit and (not verb.patient or len(pending) >= self._limit * PATIENCE):
            raise ServiceUnavailable("Too much waits for the gateway's database.")
        pending.append(verb)
        if len(pending) == 1 and not self._busy:
            self._gather(loop)

    async def perform(self, verb: Verb) -> Any:
        """Queue a verb and wait for its result."""
        return await self.submit(verb)

    async def drain(self) -> None:
        """Return when everything queued so far is durable."""
        await self.perform(Barrier())

    async def stop(self, last: Verb, seconds: float) -> None:
        """Finish what is queued and then `last`, a patient verb, within `seconds`.

        What is left of settlements then waits on disk for the next start, or is given up, which is logged.
        """
        if self._loop is None:
            raise ServiceUnavailable(NOT_OPEN)
        done = last.future = self._loop.create_future()
        thread, self._loop = self._thread, None  # from now on nothing is added
        self._pending.append(last)
        self._flush()
        with suppress(TimeoutError):
            await asyncio.wait_for(done, seconds)
        self._stopped = True
        if self._retry is not None:
            self._retry.cancel()
        self._inbox.put(None)
        if thread is not None:
            await asyncio.to_thread(thread.join)
        rest, self._pending = self._pending, []
        if rest:
            await asyncio.to_thread(self._keep_on_disk, rest)
            lost = sum(entry[0].key not in self._spooled for verb in rest if (entry := verb.lasting()) is not None)
            if self._spooled:
                LOGGER.error("the database is away at the end; on disk: %d settlements", len(self._spooled))
            if lost:
                LOGGER.error("the database is away at the end; given up: %d settlements", lost)
        if self._spool is not None:
            self._spool.close()
        self._spooled.clear()
        _refuse(rest, None)

    def _flush(self) -> None:
        self._retry = None
        if self._pending and not self._busy and not self._stopped:
            self._busy = True
            batch, self._pending = self._pending[:MOST], self._pending[MOST:]
            self._crowded = len(batch) > CROWD
            self._inbox.put(batch)

    def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        """Flush at the end of this turn of the loop; after a crowd, of the first turn that brought nothing more."""
        if self._crowded:
            loop.call_soon(self._look, loop, 0, TURNS)
        else:
            loop.call_soon(self._flush)

    def _look(self, loop: asyncio.AbstractEventLoop, before: int, turns: int) -> None:
        waiting = len(self._pending)
        if waiting == before or waiting >= ENOUGH or not turns:
            self._flush()
        else:
            loop.call_soon(self._look, loop, waiting, turns - 1)

    def _work(self, loop: asyncio.AbstractEventLoop, journal: Journal) -> None:
        """The thread."""
        while (batch := self._inbox.get()) is not None:
            done, failure = journal.perform(batch)
            if failure is not None:
                self._keep_on_disk(batch[done:])
            elif self._spooled:
                self._forget_on_disk()
            try:
                loop.call_soon_threadsafe(self._finish, batch, done, failure, journal.unsure)
            except RuntimeError:  # the loop was closed, and the storage was not
                break
        journal.close()

    def _keep_on_disk(self, verbs: Sequence[Verb]) -> None:
        """Keep what is not kept yet. What cannot be kept stays in memory; that is said once."""
        lasting = [entry for verb in verbs if (entry := verb.lasting()) is not None]
        fresh = [entry for entry in lasting if entry[0].key not in self._spooled]
        if not fresh or self._spool is None:
            return
        try:
            self._spool.append(fresh)
        except (OSError, SpoolFull) as reason:
            if not self._unkept:
                LOGGER.error("settlements cannot be kept on disk while the database is away: %s", reason)
            self._unkept = True
        else:
            self._spooled.update(reservation.key for reservation, _ in fresh)

    def _forget_on_disk(self) -> None:
        """The database has everything: verbs are tried in their order, and those on disk were the first."""
        assert self._spool is not None
        self._unkept = False
        try:
            self._spool.clear()
        except OSError as reason:
            LOGGER.error("settlements that are done stay on disk, and will be found done: %s", reason)
        else:
            self._spooled.clear()

    def _finish(self, batch: Sequence[Verb], done: int, failure: Exception | None, unsure: bool) -> None:
        """Back on the loop: tell the results of the first `done` verbs; `failure` is why there are others."""
        self._busy = False
        for verb in batch[:done] if failure is not None else batch:
            _tell(verb)
        if failure is None:
            if self._pause and self._tells:
                LOGGER.warning("the database is back")
            self._pause = 0.0
            if self._pending:
                self._gather(asyncio.get_running_loop())
        else:
            self._keep(batch[done:], failure, unsure=unsure)

    def _keep(self, rest: Sequence[Verb], failure: Exception, *, unsure: bool) -> None:
        """Fail what somebody waits for, and try the others again after a pause.

        What fails and yet may have been done, since the answer to a commit was lost, is undone when that is possible.
        """
        failed = [verb for verb in rest if not verb.patient]
        undone = [undoing for verb in failed if (undoing := verb.undo()) is not None] if unsure else []
        self._pending[:0] = [*[verb for verb in rest if verb.patient], *undone]
        _refuse(failed, failure)
        if not self._pause and self._tells:
            LOGGER.error("the database is away: %s: %s", type(failure).__name__, failure)
        self._pause = min(LONGEST_PAUSE, 2 * self._pause or FIRST_PAUSE)
        if self._pending and not self._stopped:
            self._retry = asyncio.get_running_loop().call_later(self._pause, self._flush)


def _tell(verb: Verb) -> None:
    future, error = verb.future, verb.error
    if future is None:
        if error is not None:
            LOGGER.error("%s failed: %s: %s", verb, type(error).__name__, error)
    elif error is not None:
        if verb.patient:
            fail(future, error, str(verb))
        elif not future.done():
            future.set_exception(error)
    elif not future.done():
        future.set_result(verb.result)


def _refuse(verbs: Sequence[Verb], cause: Exception | None) -> None:
    for verb in verbs:
        if verb.future is not None and not verb.future.done():
            error = ServiceUnavailable("The gateway's database cannot be reached.")
            error.__cause__ = cause
            verb.future.set_exception(error)
            verb.future.exception()  # counts as retrieved: perhaps nobody waits
