"""What rests for a while, in one process's memory."""

from collections.abc import Callable, Mapping, Sequence

__all__ = ["MemoryCooldowns"]

SPARED = 1000
"""Keys that are kept before those that rest no more are looked for."""


class MemoryCooldowns:
    """`Cooldowns` in memory. `clock` gives seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    async def rest(self, key: str, seconds: float) -> None:
        """See `Cooldowns.rest`."""
        now = self._clock()
        if len(self._until) >= SPARED and key not in self._until:
            self._until = {other: until for other, until in self._until.items() if until > now}
        self._until[key] = max(self._until.get(key, now), now + seconds)

    async def resting(self, keys: Sequence[str]) -> Mapping[str, float]:
        """See `Cooldowns.resting`."""
        now = self._clock()
        return {key: until - now for key in keys if (until := self._until.get(key, now)) > now}
