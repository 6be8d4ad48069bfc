"""What commands print: tables for people, JSON for scripts, one line on stderr for what was refused."""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NoReturn

import typer

__all__ = ["Refused", "complain", "say", "show", "table", "wrong_usage"]

Row = Mapping[str, object]


class Refused(Exception):
    """A command that cannot be done; each line of the message is a reason."""


def wrong_usage(reason: str) -> NoReturn:
    """End with exit code 2: options that do not go together."""
    raise typer.BadParameter(reason)


def complain(*lines: str) -> None:
    """Print lines to stderr."""
    for line in lines:
        print(line, file=sys.stderr)


def say(text: str) -> None:
    """Print to stdout at once, whoever reads it."""
    print(text, flush=True)


def table(rows: Sequence[Row], columns: Sequence[str], *, as_json: bool) -> None:
    """Many records: a table of some columns, or JSON of everything."""
    if as_json:
        say(json.dumps([_plain(row) for row in rows], indent=2, ensure_ascii=False))
        return
    cells = [[column.upper().replace("_", " ") for column in columns]]
    cells += [[_text(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(line[index]) for line in cells) for index in range(len(columns))]
    for line in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def show(row: Row, *, as_json: bool) -> None:
    """One record: a line for each field, or JSON."""
    if as_json:
        say(json.dumps(_plain(row), indent=2, ensure_ascii=False))
        return
    width = max(len(name) for name in row)
    for name, value in row.items():
        say(f"{name.replace('_', ' ').ljust(width)}  {_text(value)}".rstrip())


def _plain(row: Row) -> dict[str, object]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}".replace(",", " ")
        case datetime():
            return value.isoformat(sep=" ", timespec="seconds")
        case Mapping():
            return ", ".join(f"{key}={_text(part)}" for key, part in value.items())
        case list() | tuple():
            return ", ".join(_text(part) for part in value)
    return str(value)
