"""Records that are forgotten, in one process's memory."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence

__all__ = ["MemoryCache"]

CAPACITY = 64 << 20
"""Bytes of values kept; beyond that the oldest go first."""


class MemoryCache:
    """`Cache` in memory. `clock` gives seconds; at most `capacity` bytes are kept."""

    def __init__(self, clock: Callable[[], float], capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._capacity = capacity
        self._size = 0
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()

    async def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """See `Cache.get`."""
        now = self._clock()
        found = {key: self._kept[key] for key in keys if key in self._kept}
        return {key: value for key, (expires, value) in found.items() if expires > now}

    async def put(self, values: Mapping[str, bytes], seconds: float) -> None:
        """See `Cache.put`."""
        expires = self._clock() + seconds
        for key, value in values.items():
            self._forget(key)
            self._kept[key] = (expires, value)
            self._size += len(value)
        while self._size > self._capacity:
            self._forget(next(iter(self._kept)))

    def _forget(self, key: str) -> None:
        _, value = self._kept.pop(key, (0.0, b""))
        self._size -= len(value)
