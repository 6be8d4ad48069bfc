"""Whether a failed exchange is tried again on another channel, and how long to wait before.

What decides is whose failure it was:

| failure | tried again |
|---|---|
| our own: no channel left, no quota, a limit, a refused conversion, … | never |
| `Fault.CALLER`: the request itself; no other channel would take it either | never |
| `Fault.CHANNEL`: key, balance or deployment of one channel | at once |
| `Fault.UPSTREAM`: 408, 409, 429, 5xx, unreachable, malformed, too slow | at once, later after a back-off |
| `UpstreamTimeout` of the phase "total" | never: its time is over |

The next attempt goes to another channel, for a tried one is not tried again.
So the `retry-after` of the one that failed holds nobody up here; the caller sees it when all have failed.
"""

from collections.abc import Callable
from random import random as system_random

from asgi_gateway.errors import Fault, GatewayError, UpstreamError, UpstreamTimeout

__all__ = ["RetryPolicy"]


class RetryPolicy:
    """Decides about further attempts.

    `attempts`: channels tried in all, at least 1.
    `base` and `cap`, in seconds: before the third attempt the wait is drawn evenly from 0 to `base`,
    before the fourth from 0 to twice that, and so on, never from more than 0 to `cap` (full jitter).
    `budget`, in seconds: no new attempt begins once the exchange has taken that long; 0 means no such bound.
    `random` gives floats in [0, 1).
    """

    __slots__ = ("attempts", "base", "budget", "cap", "random")

    def __init__(
        self,
        attempts: int = 3,
        *,
        base: float = 0.05,
        cap: float = 1.0,
        budget: float = 0.0,
        random: Callable[[], float] = system_random,
    ) -> None:
        if attempts < 1:
            raise ValueError("attempts must be at least 1")
        if not (base >= 0 and cap >= 0 and budget >= 0):
            raise ValueError("base, cap and budget must not be negative")
        self.attempts = attempts
        self.base = base
        self.cap = cap
        self.budget = budget
        self.random = random

    def decide(self, error: GatewayError, attempt: int, elapsed: float = 0.0) -> float | None:
        """Seconds to wait before the next attempt, or None to give up.

        `attempt` counts the attempts made, so it is 1 after the first; `elapsed` is what they took, in seconds.
        """
        if attempt >= self.attempts or not isinstance(error, UpstreamError):
            return None
        if self.budget and elapsed >= self.budget:
            return None
        if isinstance(error, UpstreamTimeout) and error.phase == "total":
            return None
        match error.fault:
            case Fault.CALLER:
                return None
            case Fault.CHANNEL:
                return 0.0
            case Fault.UPSTREAM:
                return self._backoff(attempt)

    def _backoff(self, attempt: int) -> float:
        if attempt == 1:
            return 0.0
        # The exponent is bounded so that a float always holds the power.
        return self.random() * min(self.cap, self.base * 2.0 ** min(attempt - 2, 64))
