"""Budgets: what a token, a user or a group may use in each day, week and month of a time zone.

A period is named by its calendar: "2026-11-25", "2026-W48" (ISO 8601: weeks begin on Monday), "2026-11". The name is
part of the account that is charged, so a new period begins with an account of its own, and nothing has to be reset.
An exchange counts in the periods in which it was reserved, whenever it ends.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from asgi_gateway.storage.protocols import NO_BUDGETS
from asgi_gateway.storage.records import NO_BUDGET, Account, Budget, Group, Period, Token, User

__all__ = ["Calendar", "Periods", "accounts_of", "budget_accounts", "end_of", "kind_of", "time_zone"]

DAY = timedelta(days=1)
WEEK = timedelta(days=7)


class Periods(NamedTuple):
    """The names of the periods of one day."""

    day: str
    week: str
    month: str


class Calendar:
    """Says which periods a moment belongs to. The names are kept until the day ends where `zone` is."""

    __slots__ = ("_begin", "_end", "_periods", "zone")

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.zone = zone
        self._begin = self._end = 0.0
        self._periods = Periods("", "", "")

    def periods(self, now: float) -> Periods:
        """The periods of a moment, in seconds since the epoch."""
        if not self._begin <= now < self._end:
            day = datetime.fromtimestamp(now, self.zone).date()
            self._begin, self._end = _midnight(day, self.zone).timestamp(), _midnight(day + DAY, self.zone).timestamp()
            year, week, _ = day.isocalendar()
            self._periods = Periods(day.isoformat(), f"{year:04}-W{week:02}", day.isoformat()[:7])
        return self._periods


def time_zone(name: str) -> tzinfo:
    """The time zone of this name in the IANA database. Raises `ValueError` when there is none."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError, ValueError):  # `OSError`: the name of a folder
        raise ValueError(f'there is no time zone "{name}" here: write "UTC", or a name like "Europe/Vienna"') from None


def kind_of(period: str) -> Period:
    """Whether the name of a period is that of a day, a week or a month."""
    if "W" in period:
        return "week"
    return "month" if period.count("-") == 1 else "day"


def end_of(period: str, zone: tzinfo) -> datetime:
    """When a period ends, and the next one begins: a midnight there, whatever clocks do in between."""
    match kind_of(period):
        case "day":
            day = date.fromisoformat(period) + DAY
        case "week":
            year, _, week = period.partition("-W")
            day = date.fromisocalendar(int(year), int(week), 1) + WEEK
        case "month":
            day = (date.fromisoformat(f"{period}-28") + 4 * DAY).replace(day=1)
    return _midnight(day, zone)


def accounts_of(
    user: User, token: Token | None, group: Group, calendar: Calendar, now: float
) -> tuple[tuple[Account, ...], Mapping[Account, int]]:
    """The accounts that a request is charged to, and what those with a period may use, for `Ledger.reserve`.

    First the balances that do not end, of the user and of the token; then an account for each limit that a budget of
    the token, the user or the user's `group` sets.
    """
    account = Account("user", user.id)
    accounts = (account,) if token is None else (account, Account("token", token.id))
    if (
        user.budget is NO_BUDGET and group.budget is NO_BUDGET and (token is None or token.budget is NO_BUDGET)
    ):  # nearly always
        return accounts, NO_BUDGETS
    periods = calendar.periods(now)
    limits: dict[Account, int] = {}
    if token is not None:
        limits.update(budget_accounts("token", token.id, token.budget, periods))
    limits.update(budget_accounts("user", user.id, user.budget, periods))
    limits.update(budget_accounts("group", group.name, group.budget, periods))
    return (*accounts, *limits), limits


def budget_accounts(
    kind: Literal["token", "user", "group"], id: int | str, budget: Budget, periods: Periods
) -> dict[Account, int]:
    """The accounts of one budget in these periods, each with its limit in units."""
    limits: dict[Account, int] = {}
    for limit, period in zip((budget.day, budget.week, budget.month), periods, strict=True):
        if limit is not None:
            limits[Account(kind, id, period)] = limit
    return limits


def _midnight(day: date, zone: tzinfo) -> datetime:
    """When a day begins. Where clocks jump over midnight it is the moment of the jump."""
    return datetime.combine(day, time.min, zone)
