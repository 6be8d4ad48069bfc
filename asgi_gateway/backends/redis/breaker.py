"""Whether a service is asked at all: closed while it answers, open once it is away, half-open when it is tried again.

While it is open nobody waits for a deadline. One line in the log says that the service is away, one that it is back.
"""

from collections.abc import Callable
from time import monotonic

from asgi_gateway.backends.failures import LOGGER

__all__ = ["Breaker"]


class Breaker:
    """Opens after `failures` in a row, or at once where the failure is certain.

    `name` is what the log calls the service. It is tried again after `first` seconds, then after twice as long each
    time, at most after `most`; `clock` gives seconds.
    """

    def __init__(
        self,
        name: str,
        *,
        failures: int = 3,
        first: float = 0.5,
        most: float = 10.0,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._name = name
        self._limit = failures
        self._first = first
        self._most = most
        self._clock = clock
        self._failures = 0
        self._pause = first
        self._since: float | None = None
        self._until = 0.0
        self._trying = False

    @property
    def is_open(self) -> bool:
        """Whether the service counts as away."""
        return self._since is not None

    def admits(self) -> bool:
        """Whether to ask the service now. While it is away, now and then one attempt is let through."""
        if self._since is None:
            return True
        if self._trying or self._clock() < self._until:
            return False
        self._trying = True
        return True

    def succeeded(self) -> None:
        """The service answered."""
        self._failures = 0
        if self._since is not None:
            LOGGER.warning("%s is back after %.1f s", self._name, self._clock() - self._since)
            self._since = None
            self._trying = False
            self._pause = self._first

    def failed(self, reason: str, *, certain: bool = False) -> None:
        """The service did not answer. `certain`: it is away, as a broken connection shows."""
        self._failures += 1
        if self._since is not None:
            if self._trying:
                self._trying = False
                self._pause = min(2 * self._pause, self._most)
                self._until = self._clock() + self._pause
        elif certain or self._failures >= self._limit:
            self._since = self._clock()
            self._until = self._since + self._pause
            LOGGER.warning("%s is away, going on without it: %s", self._name, reason)

    def abandoned(self) -> None:
        """The attempt was given up before it showed anything."""
        self._trying = False
