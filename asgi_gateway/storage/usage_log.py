"""The charges as a log: what may be asked of it, and in which form it answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from msgspec import Struct

from asgi_gateway.storage.records import Charge, Outcome

__all__ = ["ChargeFilter", "ChargePage", "HourSum", "SumKey", "UsageLog", "UsageSum"]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSum:
    """Sums over the charges of one user, token, model, channel or group."""

    name: str
    requests: int
    input_tokens: int
    output_tokens: int
    charged: int


class ChargeFilter(Struct, frozen=True, kw_only=True):
    """Which charges: those that have every value that is not None. Times: `since` inclusive, `until` exclusive."""

    user: str | None = None
    token: str | None = None
    model: str | None = None
    channel: str | None = None
    group: str | None = None
    outcome: Outcome | None = None
    since: datetime | None = None
    until: datetime | None = None


class ChargePage(Struct, frozen=True):
    """Some charges, newest first; `next` is where the next page begins, None when there is none."""

    charges: tuple[Charge, ...]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class HourSum:
    """Sums over the charges of one hour and one user, token, model, channel or group."""

    hour: datetime
    name: str
    requests: int
    input_tokens: int
    output_tokens: int
    charged: int


SumKey = Literal["user", "token", "model", "channel", "group"]


class UsageLog(Protocol):
    """The charges as a log to read. They are written by the ledger, in its own transaction."""

    async def find(self, request_id: str) -> Charge | None:
        """The newest charge of a request.

        Found at once by ledger keys that begin with the request's id, as `ids.ledger_key` makes them; whoever reserves
        under other keys finds his charges only among the newest few thousand.
        """
        ...

    async def page(
        self, filter: ChargeFilter | None = None, *, cursor: str | None = None, limit: int = 100
    ) -> ChargePage:
        """Charges of a filter, from a cursor on. The work for one page is bounded whatever the filter.

        So a page may hold fewer charges than `limit`, or none, and yet have a `next`.
        Raises `ValueError` for a cursor that is none of ours.
        """
        ...

    async def hours(
        self, by: SumKey, since: datetime, until: datetime | None = None, *, name: str | None = None
    ) -> Sequence[HourSum]:
        """Sums by hour, oldest first, of one name or of all; the first hour from `since` on, the last up to `until`.

        Never scans the log but for what is not rolled up yet, and for those two hours. Where charges of an hour were
        removed, it counts as a whole; so it does for `sums`.
        """
        ...

    async def roll_up(self) -> bool:
        """Add a bounded number of charges to the sums of their hours. True when there may be more.

        For a task in the background of any number of processes: each charge is added once.
        """
        ...

    async def prune(self, before: datetime, limit: int = 1000) -> int:
        """Remove at most `limit` charges settled before a time that are rolled up; return how many.

        What the sums of hours say, and balances, stay.
        """
        ...

    async def recent(self, limit: int = 100) -> Sequence[Charge]:
        """The newest charges, newest first."""
        ...

    async def sums(self, by: SumKey, since: datetime | None = None) -> Sequence[UsageSum]:
        """Sums since a time, largest charge first. Never scans the log but for less than an hour of it."""
        ...
