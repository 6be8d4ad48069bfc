"""Windows and slots of one process. No verb waits, so each is atomic on its event loop."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from itertools import count

from asgi_gateway.policies.windows import BucketWindow, refusal
from asgi_gateway.storage.protocols import Admission, Hit, Refusal, Slot

__all__ = ["MemoryWindows", "check_costs"]

SLOT_WAIT = 1.0
"""Seconds told to a caller whom only an open request keeps out: nobody knows when it ends."""


class MemoryWindows:
    """`Windows` in memory. `clock` gives seconds, never negative.

    Memory is bounded by the keys that were hit within their window: for each new key two old ones are looked at,
    and dropped if they count nothing any more.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: OrderedDict[tuple[str, float], BucketWindow] = OrderedDict()
        self._holders: dict[str, set[str]] = {}
        self._ids = count(1)

    async def acquire(self, hits: Sequence[Hit], slots: Sequence[Slot] = ()) -> Admission | Refusal:
        """See `Windows.acquire`. Keys are distinct within one call."""
        now = self._clock()
        holders = self._holders
        for slot in slots:
            if len(holders.get(slot.key, ())) >= slot.limit:
                return Refusal(slot.key, slot.limit, SLOT_WAIT)
        windows = self._windows
        found = [(hit, windows.get((hit.key, hit.seconds))) for hit in hits]
        refused = refusal(found, now)
        if refused is not None:
            return refused
        for hit, window in found:
            if window is None:
                fresh = windows[hit.key, hit.seconds] = BucketWindow(hit.seconds)
                fresh.count(now, hit.cost)
                self._sweep(now)
            else:
                window.count(now, hit.cost)
        id = str(next(self._ids))
        for slot in slots:
            held = holders.get(slot.key)
            if held is None:
                held = holders[slot.key] = set()
            held.add(id)
        return Admission(id, now, tuple(hits), tuple(slots))

    async def correct(self, admission: Admission, costs: Mapping[str, int]) -> None:
        """See `Windows.correct`."""
        check_costs(admission, costs)
        for hit in admission.hits:
            cost = costs.get(hit.key)
            if cost is not None and cost != hit.cost:
                window = self._windows.get((hit.key, hit.seconds))
                if window is not None:
                    window.correct(admission.time, cost - hit.cost)

    async def release(self, admission: Admission) -> None:
        """See `Windows.release`. Releasing twice changes nothing."""
        for slot in admission.slots:
            holders = self._holders.get(slot.key)
            if holders is not None:
                holders.discard(admission.id)
                if not holders:
                    del self._holders[slot.key]

    def _sweep(self, now: float) -> None:
        """Look at the two keys that were not looked at for longest."""
        for _ in range(min(2, len(self._windows))):
            key, window = next(iter(self._windows.items()))
            window.expire(now)
            if len(window):
                self._windows.move_to_end(key)
            else:
                del self._windows[key]


def check_costs(admission: Admission, costs: Mapping[str, int]) -> None:
    """Raise `ValueError` for a negative cost, `KeyError` for a key that the admission does not have."""
    known = [hit.key for hit in admission.hits]
    for key, cost in costs.items():
        if key not in known:
            raise KeyError(key)
        if cost < 0:
            raise ValueError(f"the cost of {key!r} is below 0: {cost}")
