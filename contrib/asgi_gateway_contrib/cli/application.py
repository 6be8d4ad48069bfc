"""All commands, and how the program ends: 0 done, 1 refused with a reason on stderr, 2 wrong usage."""

import os
import sys
from collections.abc import Sequence

import typer

from asgi_gateway_contrib.cli import (
    channels,
    checking,
    explaining,
    migrating,
    prices,
    secrets,
    serving,
    tokens,
    usage,
    users,
)
from asgi_gateway_contrib.cli.output import complain

__all__ = ["application", "main"]

TRACEBACK = "ASGI_GATEWAY_TRACEBACK"
"""A variable that makes an unexpected failure show where it happened."""


def application() -> typer.Typer:
    """The command line as a Typer app."""
    app = typer.Typer(
        name="asgi-gateway",
        help="An AI gateway. Exit codes: 0 done, 1 refused with a reason on stderr, 2 wrong usage.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.command("serve")(serving.serve)
    app.command("check")(checking.check)
    app.command("migrate")(migrating.migrate)
    app.add_typer(users.commands(), name="user")
    app.add_typer(tokens.commands(), name="token")
    app.add_typer(channels.commands(), name="channel")
    app.add_typer(secrets.commands(), name="secrets")
    app.add_typer(usage.commands(), name="usage")
    app.add_typer(prices.commands(), name="price")
    app.command("explain")(explaining.explain)
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    try:
        application()(args=None if arguments is None else list(arguments), prog_name="asgi-gateway")
    except Exception as error:  # a fault of ours: a user gets one line, a developer the traceback for the asking
        if os.environ.get(TRACEBACK):
            raise
        complain(f"internal error: {type(error).__name__}: {error} (set {TRACEBACK}=1 to see where)")
        sys.exit(1)
