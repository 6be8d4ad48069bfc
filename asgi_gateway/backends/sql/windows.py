"""Windows on SQL, for several processes on one database; each method queues one verb of the group commit."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import count
from typing import ClassVar, cast

from asgi_gateway.backends.failures import LOGGER
from asgi_gateway.backends.memory.windows import check_costs
from asgi_gateway.backends.sql.commit import GroupCommit
from asgi_gateway.backends.sql.transaction import Transaction, Verb
from asgi_gateway.backends.sql.window_pages import window_name
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.protocols import Admission, Hit, Refusal, Slot

__all__ = ["Acquire", "Correct", "Release", "SqlWindows", "Undo"]


class Acquire(Verb):
    """Count hits and take slots."""

    __slots__ = ("hits", "id", "number", "slots")

    def __init__(self, hits: tuple[Hit, ...], slots: tuple[Slot, ...], number: int) -> None:
        super().__init__()
        self.result = None
        self.hits = hits
        self.slots = slots
        self.number = number
        self.id = ""

    def announce(self, work: Transaction) -> None:
        for hit in self.hits:
            work.windows[window_name(hit)] = hit.seconds
        work.slots.update(slot.key for slot in self.slots)

    def apply(self, work: Transaction) -> Admission | Refusal:
        lease = work.lease
        id = self.id = f"{lease.id}-{self.number}"
        return work.pages.acquire(self.hits, self.slots, id=id, lease=lease.id, expires=work.now + lease.seconds)

    def undo(self) -> Verb:
        """Give the slots back; what was counted in windows stays."""
        return Release(Admission(self.id, 0.0, (), self.slots))


class Correct(Verb):
    """Replace estimates by real costs."""

    __slots__ = ("admission", "costs")

    patient: ClassVar[bool] = True

    def __init__(self, admission: Admission, costs: Mapping[str, int]) -> None:
        super().__init__()
        self.admission = admission
        self.costs = costs

    def announce(self, work: Transaction) -> None:
        for hit in self.admission.hits:
            work.windows[window_name(hit)] = hit.seconds

    def apply(self, work: Transaction) -> None:
        work.pages.correct(self.admission, self.costs)


class Release(Verb):
    """Give slots back."""

    __slots__ = ("admission",)

    patient: ClassVar[bool] = True

    def __init__(self, admission: Admission) -> None:
        super().__init__()
        self.admission = admission

    def announce(self, work: Transaction) -> None:
        work.released.append(self.admission)

    def apply(self, work: Transaction) -> None:
        work.pages.release(self.admission)


class Undo(Verb):
    """Give back what a caller took who left meanwhile."""

    __slots__ = ("acquire",)

    patient: ClassVar[bool] = True

    def __init__(self, acquire: Acquire) -> None:
        super().__init__()
        self.acquire = acquire

    def announce(self, work: Transaction) -> None:
        self.acquire.announce(work)
        if isinstance(self.acquire.result, Admission):
            work.released.append(self.acquire.result)

    def apply(self, work: Transaction) -> None:
        admission = self.acquire.result
        if isinstance(admission, Admission):
            work.pages.correct(admission, {hit.key: 0 for hit in admission.hits})
            work.pages.release(admission)


class SqlWindows:
    """`Windows` on SQL. Corrections and releases are queued, and nobody waits for them."""

    def __init__(self, commit: GroupCommit) -> None:
        self._commit = commit
        self._numbers = count(1)

    async def acquire(self, hits: Sequence[Hit], slots: Sequence[Slot] = ()) -> Admission | Refusal:
        """See `Windows.acquire`. Keys are distinct within one call. Who is cancelled meanwhile has taken nothing."""
        verb = Acquire(tuple(hits), tuple(slots), next(self._numbers))
        try:
            return cast("Admission | Refusal", await self._commit.perform(verb))
        except asyncio.CancelledError:
            with suppress(ServiceUnavailable):  # at the end the slots go with the lease
                self._commit.add(Undo(verb))
            raise

    async def correct(self, admission: Admission, costs: Mapping[str, int]) -> None:
        """See `Windows.correct`."""
        check_costs(admission, costs)
        self._queue(Correct(admission, dict(costs)))

    async def release(self, admission: Admission) -> None:
        """See `Windows.release`. Releasing twice changes nothing."""
        if admission.slots:
            self._queue(Release(admission))

    def _queue(self, verb: Verb) -> None:
        """Queue what ends a request: it is not failed for what it once took."""
        try:
            self._commit.add(verb)
        except ServiceUnavailable as error:
            LOGGER.warning("a window keeps what was estimated until it expires: %s", error)
