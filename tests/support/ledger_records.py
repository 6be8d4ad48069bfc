"""Records of the ledger as the tests of storages use them, and a clock that only the test moves."""

from itertools import count
from typing import Any

from asgi_gateway.storage.protocols import Ledger
from asgi_gateway.storage.records import Account, Outcome, Reservation, Settlement, Usage

__all__ = ["TOKEN", "USER", "Clock", "outlive", "reservation", "settlement"]

USER = Account("user", 1)
TOKEN = Account("token", 1)

_numbers = count(1)


class Clock:
    """Seconds since the epoch, standing still until the test moves them."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


async def outlive(clock: Clock, *ledgers: Ledger) -> None:
    """Let the leases of all others grow too old, while these ones are renewed."""
    for seconds in (15.5, 15.5, 0.0):
        for ledger in ledgers:
            await ledger.renew()
        clock.advance(seconds)


def reservation(
    amount: int = 100, *, key: str = "", accounts: tuple[Account, ...] = (USER, TOKEN), **fields: Any
) -> Reservation:
    """A reservation with a key of its own, unless one is given; a third of it is for the prompt."""
    key = key or f"key-{next(_numbers)}"
    described = {
        "prompt_amount": amount // 3,
        "request_id": f"request-{key}",
        "client_id": "client-1",
        "user": "alice",
        "token": "dev",
        "group": "default",
        "model": "gpt-4o-mini",
        "operation": "chat",
        "price_version": "v1",
        "created": 1_700_000_000.0,
        **fields,
    }
    return Reservation(key=key, amount=amount, accounts=accounts, **described)


def settlement(charge: int = 60, *, outcome: Outcome = Outcome.COMPLETED, **fields: Any) -> Settlement:
    """A settlement with every field filled."""
    described = {
        "usage": Usage(
            input=19,
            cache_read=5,
            output=31,
            reasoning=7,
            tools=(("web_search", 1),),
            estimated=True,
            inconsistent=True,
        ),
        "channel": "main",
        "upstream_model": "gpt-4o-mini-2024",
        "status": 200,
        "attempts": 2,
        "duration": 1.25,
        "first_byte": 0.5,
        "stream": True,
        "error": "",
        "ratio": "1.5",
        **fields,
    }
    return Settlement(charge=charge, outcome=outcome, **described)
