"""The arithmetic of the usage log, the same for every backend: what a charge adds to which sums. No I/O.

Sums are kept by hour, in UTC, and by one thing at a time: user, token, model, channel or group. Not by all of them
together: where many users, tokens and models meet there are nearly as many such rows as charges.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import get_args

from asgi_gateway.storage.protocols import ChargeFilter, HourSum, SumKey, UsageSum
from asgi_gateway.storage.records import Charge

__all__ = [
    "DAY",
    "HOUR",
    "KINDS",
    "Tallies",
    "counted",
    "floor",
    "hour_sums",
    "name_in",
    "number_in",
    "seconds_of",
    "usage_sums",
    "wanted",
]

HOUR = 3600
DAY = 24 * HOUR

KINDS: tuple[SumKey, ...] = get_args(SumKey)

Counts = Sequence[int]
"""Requests, input tokens, output tokens, and units charged."""


class Tallies(dict[tuple[int, str], list[int]]):
    """Sums by the time a span begins, in seconds since the epoch, and a name."""

    def add(self, start: int, name: str, counts: Counts) -> None:
        """Add counts to those of a span and name."""
        present = self.get((start, name))
        if present is None:
            self[start, name] = list(counts)
        else:
            for index, count in enumerate(counts):
                present[index] += count

    def merge(self, others: Mapping[tuple[int, str], Counts]) -> None:
        """Add other sums."""
        for (start, name), counts in others.items():
            self.add(start, name, counts)


def floor(time: float, span: int = HOUR) -> int:
    """When the hour, or another span, of a time begins."""
    return int(time // span) * span


def seconds_of(moment: datetime | None) -> float | None:
    """Seconds since the epoch."""
    return None if moment is None else moment.timestamp()


def name_in(charge: Charge, kind: SumKey) -> str:
    """Whose sum of a kind a charge belongs to. The group is the one whose ratio it was charged with."""
    if kind == "channel":
        return charge.settlement.channel
    if kind == "group":
        return charge.settlement.group or charge.reservation.group
    name: str = getattr(charge.reservation, kind)
    return name


def counted(charge: Charge) -> Counts:
    """What a charge adds to a sum."""
    usage = charge.settlement.usage
    return 1, usage.total_input, usage.total_output, charge.charged


def wanted(charge: Charge, filter: ChargeFilter) -> bool:
    """Whether a charge is one of a filter's."""
    since, until = seconds_of(filter.since), seconds_of(filter.until)
    return (
        all(getattr(filter, kind) in (None, name_in(charge, kind)) for kind in KINDS)
        and filter.outcome in (None, charge.settlement.outcome)
        and (since is None or charge.time >= since)
        and (until is None or charge.time < until)
    )


def number_in(cursor: str) -> int:
    """The number that a cursor stands for. Raises `ValueError` for a text that is no cursor."""
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) < 19):
        raise ValueError("this is not a cursor of the usage log")
    return int(cursor)


def usage_sums(tallies: Mapping[tuple[int, str], Counts]) -> list[UsageSum]:
    """Sums over all spans as records, largest charge first; those of nothing left out."""
    totals = Tallies()
    for (_, name), counts in tallies.items():
        totals.add(0, name, counts)
    sums = [
        UsageSum(name=name, requests=requests, input_tokens=taken, output_tokens=given, charged=charged)
        for (_, name), (requests, taken, given, charged) in totals.items()
        if requests
    ]
    return sorted(sums, key=lambda row: (-row.charged, row.name))


def hour_sums(tallies: Mapping[tuple[int, str], Counts]) -> list[HourSum]:
    """Sums of hours as records, oldest first; those of nothing left out."""
    return [
        HourSum(
            hour=datetime.fromtimestamp(start, UTC),
            name=name,
            requests=requests,
            input_tokens=taken,
            output_tokens=given,
            charged=charged,
        )
        for (start, name), (requests, taken, given, charged) in _ordered(tallies)
        if requests
    ]


def _ordered(tallies: Mapping[tuple[int, str], Counts]) -> Iterable[tuple[tuple[int, str], Counts]]:
    return sorted(tallies.items(), key=lambda item: item[0])
