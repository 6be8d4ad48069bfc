"""The usage log of one process: the newest charges, and sums by hour of those that were forgotten."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import islice

from asgi_gateway.backends.tallies import (
    HOUR,
    KINDS,
    Tallies,
    counted,
    floor,
    hour_sums,
    name_in,
    number_in,
    seconds_of,
    usage_sums,
    wanted,
)
from asgi_gateway.storage.protocols import ChargeFilter, ChargePage, HourSum, SumKey, UsageSum
from asgi_gateway.storage.records import Charge

__all__ = ["MemoryUsageLog"]

ALL = ChargeFilter()

KEPT_HOURS = 31 * 24
"""Hours whose sums are remembered, counted back from the newest; what is older is in sums over all time alone."""


class MemoryUsageLog:
    """The newest `size` charges. Older ones are forgotten, their sums by hour are not.

    Charges are numbered as they come. What leaves the log is added to the sums of its hour; so a time for which an
    hour would have to be divided counts from that hour's beginning, once charges of it are gone.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._charges: deque[Charge] = deque()
        self._first = 1  # the number of the oldest charge that is remembered
        self._by_key: dict[str, Charge] = {}
        self._by_request: dict[str, Charge] = {}
        self._totals = {kind: Tallies() for kind in KINDS}  # of what was forgotten, for all time: the span 0
        self._hours = {kind: Tallies() for kind in KINDS}
        self._forgotten = 0  # hours that begin before this one may miss charges
        self._oldest_hour = 0

    def add(self, charge: Charge) -> None:
        """Remember a charge, and forget the oldest one when there are too many."""
        self._charges.append(charge)
        self._by_key[charge.reservation.key] = charge
        self._by_request[charge.reservation.request_id] = charge
        if len(self._charges) > self._size:
            self._forget()

    def replace(self, charge: Charge) -> None:
        """Put a charge in the place of the one of its key, which is remembered."""
        before = self._by_key[charge.reservation.key]
        for index in range(len(self._charges) - 1, -1, -1):  # it is hardly ever an old one
            if self._charges[index] is before:
                self._charges[index] = charge
                break
        self._by_key[charge.reservation.key] = charge
        if self._by_request.get(charge.reservation.request_id) is before:
            self._by_request[charge.reservation.request_id] = charge

    def settled(self, key: str) -> Charge | None:
        """The charge of a ledger key, if it is still remembered."""
        return self._by_key.get(key)

    async def find(self, request_id: str) -> Charge | None:
        """The newest charge of a request."""
        return self._by_request.get(request_id)

    async def page(
        self, filter: ChargeFilter | None = None, *, cursor: str | None = None, limit: int = 100
    ) -> ChargePage:
        """See `UsageLog.page`."""
        if limit < 1:
            raise ValueError("a page has at least one charge")
        wanted_filter = filter or ALL
        end = self._first + len(self._charges)
        above = end if cursor is None else min(number_in(cursor), end)
        found: list[Charge] = []
        for index in range(above - self._first - 1, -1, -1):
            if len(found) == limit:
                return ChargePage(tuple(found), str(self._first + index + 1))
            if wanted(self._charges[index], wanted_filter):
                found.append(self._charges[index])
        return ChargePage(tuple(found), None)

    async def recent(self, limit: int = 100) -> Sequence[Charge]:
        """See `UsageLog.recent`."""
        return list(islice(reversed(self._charges), limit))

    async def hours(
        self, by: SumKey, since: datetime, until: datetime | None = None, *, name: str | None = None
    ) -> Sequence[HourSum]:
        """See `UsageLog.hours`."""
        return hour_sums(self._collect(by, seconds_of(since), seconds_of(until), name))

    async def sums(self, by: SumKey, since: datetime | None = None) -> Sequence[UsageSum]:
        """See `UsageLog.sums`."""
        return usage_sums(self._collect(by, seconds_of(since), None, None))

    async def roll_up(self) -> bool:
        """Nothing to do: a charge is added to the sums of its hour when it leaves the log."""
        return False

    async def prune(self, before: datetime, limit: int = 1000) -> int:
        """See `UsageLog.prune`. Whole hours are removed."""
        boundary = floor(before.timestamp())
        count = 0
        while count < limit and self._charges and self._charges[0].time < boundary:
            self._forget()
            count += 1
        return count

    def _collect(self, by: SumKey, since: float | None, until: float | None, name: str | None) -> Tallies:
        tallies = Tallies()
        gone = self._totals if since is None else self._hours
        tallies.merge(_within(gone[by], since, until, name))
        for charge in self._charges:
            if self._counts(charge.time, since, until):
                own = name_in(charge, by)
                if name in (None, own):
                    tallies.add(floor(charge.time), own, counted(charge))
        return tallies

    def _counts(self, time: float, since: float | None, until: float | None) -> bool:
        """Whether a time is within others; an hour that misses charges is so as a whole."""
        if time < self._forgotten:
            time = floor(time)
            since = None if since is None else floor(since)
        return (since is None or time >= since) and (until is None or time < until)

    def _forget(self) -> None:
        """Add the oldest charge to the sums of its hour, and forget it."""
        charge = self._charges.popleft()
        self._first += 1
        del self._by_key[charge.reservation.key]
        if self._by_request.get(charge.reservation.request_id) is charge:
            del self._by_request[charge.reservation.request_id]
        hour, counts = floor(charge.time), counted(charge)
        for kind in KINDS:
            own = name_in(charge, kind)
            self._totals[kind].add(0, own, counts)
            self._hours[kind].add(hour, own, counts)
        if hour >= self._forgotten:
            self._forgotten = hour + HOUR
            self._drop_hours(hour - KEPT_HOURS * HOUR)

    def _drop_hours(self, before: int) -> None:
        for tallies in self._hours.values():
            for key in [key for key in tallies if key[0] < before]:
                del tallies[key]


def _within(
    tallies: Mapping[tuple[int, str], list[int]], since: float | None, until: float | None, name: str | None
) -> dict[tuple[int, str], list[int]]:
    return {
        (start, own): counts
        for (start, own), counts in tallies.items()
        if (since is None or start >= floor(since)) and (until is None or start < until) and name in (None, own)
    }
