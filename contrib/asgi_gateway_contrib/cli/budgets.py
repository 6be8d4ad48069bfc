"""Budgets on the command line: their options, and what has been used of them."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from asgi_gateway_contrib.cli.output import wrong_usage

if TYPE_CHECKING:
    from asgi_gateway.config import Settings
    from asgi_gateway.storage.protocols import Storage
    from asgi_gateway.storage.records import Budget, Period

__all__ = ["Daily", "Monthly", "Weekly", "as_row", "changed_budget", "used_budgets"]

Daily = Annotated[str | None, typer.Option("--daily", metavar="UNITS", help="At most so many units a day, or none.")]
Weekly = Annotated[str | None, typer.Option("--weekly", metavar="UNITS", help="At most so many a week, or none.")]
Monthly = Annotated[str | None, typer.Option("--monthly", metavar="UNITS", help="At most so many a month, or none.")]

NONE = "none"


def changed_budget(budget: "Budget", daily: str | None, weekly: str | None, monthly: str | None) -> "Budget":
    """A budget with the limits that were given; "none" takes one away. Ends the program for what is no number."""
    from dataclasses import replace

    given = {"day": ("--daily", daily), "week": ("--weekly", weekly), "month": ("--monthly", monthly)}
    return replace(
        budget, **{period: _limit(option, text) for period, (option, text) in given.items() if text is not None}
    )


async def used_budgets(
    kind: Literal["user", "token"], id: int, budget: "Budget", settings: "Settings", storage: "Storage"
) -> list[dict[str, object]]:
    """What has been used of each limit in the period of now."""
    from asgi_gateway.policies.budgets import Calendar, budget_accounts, end_of, kind_of, time_zone

    zone = time_zone(settings.billing.timezone)
    rows: list[dict[str, object]] = []
    for account, limit in budget_accounts(kind, id, budget, Calendar(zone).periods(time.time())).items():
        balance = await storage.ledger.balance(account)
        row = _row(kind_of(account.period), account.period, limit, balance.spent, balance.reserved)
        rows.append({**row, "until": end_of(account.period, zone).isoformat()})
    return rows


def as_row(budgets: Sequence[dict[str, object]], *, as_json: bool) -> dict[str, object]:
    """Used budgets as part of a record that is shown: a list for JSON, else a line for each."""
    if as_json:
        return {"budgets": list(budgets)}
    return {
        f"budget_{budget['of']}": (
            f"{budget['period']}: {budget['left']} of {budget['limit']} left "
            f"({budget['spent']} spent, {budget['reserved']} reserved), until {budget['until']}"
        )
        for budget in budgets
    }


def _row(of: "Period", period: str, limit: int, spent: int, reserved: int) -> dict[str, object]:
    left = max(limit - spent - reserved, 0)
    return {"of": of, "period": period, "limit": limit, "spent": spent, "reserved": reserved, "left": left}


def _limit(option: str, text: str) -> int | None:
    if text == NONE:
        return None
    if not (text.isascii() and text.isdigit()):
        wrong_usage(f"{option}: {text} is no number of units; write one, or none")
    return int(text)
