"""Sets more aside for an answer under way whose caller set no limit, before what was set aside is used up.

What has come is looked at by steps: not before so many bytes passed that they can hold what is left to the next mark.
At three quarters of the reservation as much again is asked for. Where the ledger refuses, a smaller part is; where it
refuses that too, the answer goes on until the reservation is used up, and then ends with `InsufficientQuota`.
A ledger that cannot be reached, or takes too long, stops nothing: the answer goes on, and is settled by what came; a
while later the ledger is asked again.
"""

import asyncio
import logging
from time import monotonic

from msgspec.structs import replace

from asgi_gateway.errors import InsufficientQuota, ServiceUnavailable
from asgi_gateway.exchange import Exchange, Meter
from asgi_gateway.middleware.answer import NotedAnswer
from asgi_gateway.policies.pricing import Tariff
from asgi_gateway.storage.protocols import Ledger
from asgi_gateway.storage.records import Reservation, Usage
from asgi_gateway.types import Message, Send

__all__ = ["GrowingAnswer"]

logger = logging.getLogger("asgi_gateway")

TOKEN_BYTES = 3
"""At least so many bytes on the wire hold what we count as a token of output."""

LEAST_STEP = 1 << 11
"""Bytes between two looks at the least."""

MARK = 4
"""One of so many parts of the reservation is still left when more is asked for."""

SMALLER = 8
"""As which part of the reservation the smaller request is."""

PATIENCE = 2.0
"""Seconds that an answer waits for the ledger."""

PAUSE = 30.0
"""Seconds for which a ledger that was away is not asked again for the same answer."""

SAMPLE = 1 << 20
"""Tokens by which the price of one is known."""


class GrowingAnswer(NotedAnswer):
    """A `send` that keeps a reservation ahead of what has come. `reservation` is the one that holds now.

    `prompt` is the prompt as tokens, for answers whose upstream has not said its usage.
    """

    __slots__ = ("_exchange", "_full", "_ledger", "_left", "_pause", "_prompt", "_sample", "_tariff", "reservation")

    def __init__(
        self, send: Send, exchange: Exchange, *, ledger: Ledger, tariff: Tariff, reservation: Reservation, prompt: int
    ) -> None:
        super().__init__(send)
        self.reservation = reservation
        self._exchange = exchange
        self._ledger = ledger
        self._tariff = tariff
        self._prompt = prompt
        self._sample = tariff.cost(Usage(output=SAMPLE))
        """What so many tokens of output cost."""
        self._full = False
        """The ledger gives no more: what is set aside may be used to its end."""
        self._pause = 0.0
        """Until when the ledger is not asked, in seconds of the monotonic clock."""
        self._left = self._step(reservation.amount - reservation.amount // MARK - reservation.prompt_amount)

    async def __call__(self, message: Message) -> None:
        if self.start is None or "status" in message:
            self.start = message
        self.last = message
        await self.send(message)
        data = message.get("body") or message.get("text") or message.get("bytes")
        if data:
            self._left -= len(data)
            if self._left <= 0 and message.get("more_body", True):
                await self._look()

    async def _look(self) -> None:
        """Compare what has come with what is set aside. Raises `InsufficientQuota` when that is used up."""
        meter = self._exchange.meter
        if meter is None or monotonic() < self._pause:
            self._left = LEAST_STEP
            return
        used = self._tariff.cost(_used_so_far(meter, self._prompt))
        amount = self.reservation.amount
        if self._full:
            if used >= amount:
                await self._extend(used - amount + amount // SMALLER, last=True)
        elif used >= amount - amount // MARK:
            await self._grow(used, amount)
        mark = 0 if self._full else self.reservation.amount // MARK
        self._left = self._step(self.reservation.amount - mark - used)

    async def _grow(self, used: int, amount: int) -> None:
        more = max(amount, 1)
        while used >= amount + more - (amount + more) // MARK:
            more *= 2
        if not await self._extend(more):
            over = max(used - amount, 0)
            self._full = not await self._extend(over + amount // SMALLER, last=used >= amount)

    async def _extend(self, more: int, *, last: bool = False) -> bool:
        """Ask for more; False when the ledger refuses, or `InsufficientQuota` when this was the `last` chance."""
        try:
            async with asyncio.timeout(PATIENCE):
                self.reservation = self._exchange.reservation = await self._ledger.extend(self.reservation, more)
        except InsufficientQuota:
            if last:
                raise
            return False
        except (ServiceUnavailable, TimeoutError, KeyError) as reason:
            # `KeyError`: another process took this one for dead, and closed it; the settlement corrects that.
            logger.warning("%s goes on without more set aside: %r", self.reservation.request_id, reason)
            self._pause = monotonic() + PAUSE
        return True

    def _step(self, units: int) -> int:
        """Bytes that must pass before so many more units can have been used."""
        if not self._sample:
            return 1 << 62
        return max(units * SAMPLE // self._sample * TOKEN_BYTES, LEAST_STEP)


def _used_so_far(meter: Meter, prompt: int) -> Usage:
    """The usage of an answer under way: what its upstream said of it, its output at least as long as we counted."""
    counted, reported = meter.output_estimate, meter.usage
    if reported is None:
        return Usage(input=prompt, output=counted, estimated=True)
    missing = counted - reported.total_output
    return replace(reported, output=reported.output + missing) if missing > 0 else reported
