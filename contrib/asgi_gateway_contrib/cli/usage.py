"""`usage`: what was charged, as sums, by hour, and one by one; and the removal of old charges."""

from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from asgi_gateway_contrib.cli.options import Config, Json
from asgi_gateway_contrib.cli.options import since as since_when
from asgi_gateway_contrib.cli.output import Refused, complain, say, show, table, wrong_usage
from asgi_gateway_contrib.cli.session import done, opened

if TYPE_CHECKING:
    from asgi_gateway.storage.protocols import ChargeFilter
    from asgi_gateway.storage.records import Charge

__all__ = ["Dimension", "Ending", "commands", "hours", "list_charges", "prune", "usage"]

COUNTS = ("requests", "input_tokens", "output_tokens", "charged")
LISTED = (
    "time",
    "request_id",
    "user",
    "token",
    "model",
    "channel",
    "outcome",
    "input_tokens",
    "output_tokens",
    "charged",
)

BATCH = 250
"""Charges that are removed in one transaction, for which a gateway may have to wait some milliseconds."""


class Dimension(Enum):
    """What is summed by."""

    USER = "user"
    TOKEN = "token"
    MODEL = "model"
    CHANNEL = "channel"
    GROUP = "group"


class Ending(Enum):
    """How an exchange ended: the values of `Outcome`."""

    COMPLETED = "completed"
    TRUNCATED = "truncated"
    CALLER_LEFT = "caller_left"
    UPSTREAM_FAILED = "upstream_failed"
    EMPTY = "empty"
    EXHAUSTED = "exhausted"
    REFUSED = "refused"
    LOST = "lost"


By = Annotated[Dimension, typer.Option("--by", help="What to sum by.")]
Since = Annotated[str | None, typer.Option("--since", help="A time in ISO 8601, or a span such as 24h, 7d.")]
Until = Annotated[str | None, typer.Option("--until", help="A time in ISO 8601, or a span before now.")]


def commands() -> typer.Typer:
    """`usage` itself, and the commands below it."""
    app = typer.Typer(invoke_without_command=True)
    app.callback()(usage)
    app.command("list")(list_charges)
    app.command("hours")(hours)
    app.command("prune")(prune)
    return app


def usage(
    context: typer.Context,
    by: By = Dimension.USER,
    since: Since = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Sum requests, tokens and charges (in units; 500 000 = 1 USD)."""
    if context.invoked_subcommand is not None:
        return
    moment = since_when(since, datetime.now(UTC))

    async def work() -> None:
        async with opened(config) as storage:
            sums = await storage.usage_log.sums(by.value, moment)
        columns = ("name", *COUNTS)
        table([{column: getattr(row, column) for column in columns} for row in sums], columns, as_json=as_json)

    done(work())


def hours(
    *,
    by: By = Dimension.USER,
    name: Annotated[
        str | None, typer.Option("--name", help="Only of this user, token, model, channel or group.")
    ] = None,
    since: Since = "24h",
    until: Until = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Sum by hour, oldest first."""
    now = datetime.now(UTC)
    start, end = since_when(since, now), since_when(until, now)
    if start is None:
        wrong_usage("--since: hours are summed from some time on")

    async def work() -> None:
        async with opened(config) as storage:
            sums = await storage.usage_log.hours(by.value, start, end, name=name)
        columns = ("hour", "name", *COUNTS)
        table([{column: getattr(row, column) for column in columns} for row in sums], columns, as_json=as_json)

    done(work())


def list_charges(
    *,
    user: Annotated[str | None, typer.Option("--user", help="Only of this user.")] = None,
    token: Annotated[str | None, typer.Option("--token", help="Only of this token.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Only of this model.")] = None,
    channel: Annotated[str | None, typer.Option("--channel", help="Only of this channel.")] = None,
    group: Annotated[str | None, typer.Option("--group", help="Only of this group.")] = None,
    outcome: Annotated[Ending | None, typer.Option("--outcome", help="Only what ended so.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 100,
    cursor: Annotated[str | None, typer.Option("--cursor", help="Where the page before this one ended.")] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """List charges, newest first, a page at a time."""
    from asgi_gateway.storage.protocols import ChargeFilter
    from asgi_gateway.storage.records import Outcome

    now = datetime.now(UTC)
    wanted = ChargeFilter(
        user=user,
        token=token,
        model=model,
        channel=channel,
        group=group,
        outcome=None if outcome is None else Outcome(outcome.value),
        since=since_when(since, now),
        until=since_when(until, now),
    )
    found, following = done(_page(wanted, cursor, limit, config))
    rows = [_row(charge) for charge in found]
    if as_json:
        show({"charges": [{**row, "time": _text(row["time"])} for row in rows], "next": following}, as_json=True)
        return
    table(rows, LISTED, as_json=False)
    if following is not None:
        complain(f"There are more: --cursor {following}")


def prune(
    *,
    before: Annotated[str, typer.Option("--before", help="A time in ISO 8601, or a span before now such as 90d.")],
    config: Config = None,
) -> None:
    """Remove charges of the whole hours before a time. Sums by hour and balances stay."""
    moment = since_when(before, datetime.now(UTC))
    assert moment is not None
    say(f"removed {done(_prune(moment, config))} charges")


async def _prune(before: datetime, config: Config) -> int:
    async with opened(config) as storage:
        while await storage.usage_log.roll_up():
            pass
        total = 0
        while count := await storage.usage_log.prune(before, BATCH):
            total += count
        return total


async def _page(
    wanted: "ChargeFilter", cursor: str | None, limit: int, config: Config
) -> "tuple[list[Charge], str | None]":
    """At most `limit` charges. Pages that hold fewer because they looked at enough are gone on from."""
    found: list[Charge] = []
    async with opened(config) as storage:
        while True:
            try:
                page = await storage.usage_log.page(wanted, cursor=cursor, limit=limit - len(found))
            except ValueError as reason:
                raise Refused(f"--cursor: {reason}") from None
            found += page.charges
            cursor = page.next
            if cursor is None or len(found) == limit:
                return found, cursor


def _row(charge: "Charge") -> dict[str, object]:
    reservation, settlement = charge.reservation, charge.settlement
    return {
        "time": datetime.fromtimestamp(charge.time, UTC),
        "request_id": reservation.request_id,
        "client_id": reservation.client_id,
        "user": reservation.user,
        "token": reservation.token,
        "group": settlement.group or reservation.group,
        "model": reservation.model,
        "upstream_model": settlement.upstream_model,
        "channel": settlement.channel,
        "operation": reservation.operation,
        "outcome": settlement.outcome.value,
        "status": settlement.status,
        "error": settlement.error,
        "stream": settlement.stream,
        "attempts": settlement.attempts,
        "duration": settlement.duration,
        "first_byte": settlement.first_byte,
        "input_tokens": settlement.usage.total_input,
        "output_tokens": settlement.usage.total_output,
        "cost": settlement.charge,
        "charged": charge.charged,
        "shortfall": charge.shortfall,
        "price_version": reservation.price_version,
    }


def _text(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime) else value
