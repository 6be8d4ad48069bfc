"""`usage`: sums over what was charged."""

from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from asgi_gateway_contrib.cli.options import Config, Json
from asgi_gateway_contrib.cli.options import since as since_when
from asgi_gateway_contrib.cli.output import table
from asgi_gateway_contrib.cli.session import done, opened

if TYPE_CHECKING:
    from typing import Literal

    By = Literal["user", "token", "model", "channel"]

__all__ = ["Dimension", "usage"]

COLUMNS = ("name", "requests", "input_tokens", "output_tokens", "charged")


class Dimension(Enum):
    """What is summed by."""

    USER = "user"
    TOKEN = "token"
    MODEL = "model"
    CHANNEL = "channel"


def usage(
    by: Annotated[Dimension, typer.Option("--by", help="What to sum by.")] = Dimension.USER,
    since: Annotated[str | None, typer.Option("--since", help="A time in ISO 8601, or a span such as 24h, 7d.")] = None,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Sum requests, tokens and charges (in units; 500 000 = 1 USD)."""
    moment = since_when(since, datetime.now(UTC))
    dimension: By = by.value

    async def work() -> None:
        async with opened(config) as storage:
            sums = await storage.usage_log.sums(dimension, moment)
        rows = [{column: getattr(row, column) for column in COLUMNS} for row in sums]
        table(rows, COLUMNS, as_json=as_json)

    done(work())
