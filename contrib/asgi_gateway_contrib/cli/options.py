"""Options that several commands have, and how their texts are read."""

import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from asgi_gateway_contrib.cli.output import Refused, wrong_usage

__all__ = ["Config", "Json", "Name", "file_bytes", "file_text", "key_text", "one_name", "point_in_time", "since"]

Config = Annotated[Path | None, typer.Option("--config", "-c", help="The configuration file (TOML).", metavar="FILE")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="Its name.")]

SPAN = re.compile(r"(\d+)\s*([smhdw])")
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def one_name(argument: str | None, option: str | None) -> str:
    """The name of a new record, given either way."""
    if not (argument or option) or (argument and option):
        wrong_usage("give the name once: as an argument, or with --name")
    return argument or option or ""


def key_text(given: str) -> str:
    """A secret as it was given: itself, `env:NAME` for a variable, `-` for a line on stdin."""
    if given == "-":
        return sys.stdin.readline().strip()
    if given.startswith("env:"):
        name = given.removeprefix("env:")
        if not os.environ.get(name):
            wrong_usage(f"the environment has no {name}")
        return os.environ[name]
    return given


def file_bytes(path: str) -> bytes:
    """The content of a file; `-` for stdin. Raises `Refused`."""
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise Refused(f"{path}: cannot be read: {error.strerror or error}") from error


def file_text(path: str) -> str:
    """The same as a text. Raises `Refused`."""
    try:
        return file_bytes(path).decode()
    except UnicodeDecodeError as error:
        raise Refused(f"{path}: is no UTF-8: {error.reason} at byte {error.start}") from error


def point_in_time(text: str) -> datetime:
    """A date or a time in ISO 8601; UTC where it says no offset."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        wrong_usage(f"{text} is no time: write 2027-01-31 or 2027-01-31T12:00:00Z")
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


def since(text: str | None, now: datetime) -> datetime | None:
    """A point in time, or a span before now such as `24h` or `7d`."""
    if text is None:
        return None
    span = SPAN.fullmatch(text)
    if span is not None:
        return now - timedelta(seconds=int(span[1]) * SECONDS[span[2]])
    return point_in_time(text)
