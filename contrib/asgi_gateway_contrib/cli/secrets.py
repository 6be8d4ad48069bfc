"""`secrets`: how what channels have of secrets lies in the database, and sealing it anew."""

import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from asgi_gateway_contrib.cli.options import Config, Json
from asgi_gateway_contrib.cli.output import Refused, complain, show
from asgi_gateway_contrib.cli.session import done, opened, settings_of, sqlite_path

if TYPE_CHECKING:
    from asgi_gateway.backends.sql.sealing import SealedRows
    from asgi_gateway.storage.vault import Sealing

__all__ = ["commands", "rotate", "status"]


def commands() -> typer.Typer:
    """The commands of `secrets`."""
    app = typer.Typer(help="Secrets at rest: channels' keys, under CRYPTO_SECRET.", no_args_is_help=True)
    app.command("status")(status)
    app.command("rotate")(rotate)
    return app


def status(as_json: Json = False, config: Config = None) -> None:
    """Count the channels by how their secrets are stored. Exit code 1 when some cannot be read."""

    async def work() -> None:
        async with _sealed(config) as rows:
            counted, unreadable = await rows.count()
        show(_report(counted), as_json=as_json)
        _name(unreadable)

    done(work())


def rotate(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what would be.")] = False,
    drop_unreadable: Annotated[
        bool, typer.Option("--drop-unreadable", help="Remove channels whose secret is lost.")
    ] = False,
    as_json: Json = False,
    config: Config = None,
) -> None:
    """Encrypt everything anew that is in clear, or under a former secret. It may be interrupted and run again."""

    async def work() -> None:
        if settings_of(config).storage.crypto_secret is None:
            raise Refused("CRYPTO_SECRET is not set: there is nothing to encrypt under")
        async with _sealed(config) as rows:
            counted, unreadable = await rows.rotate(dry_run=dry_run, drop_unreadable=drop_unreadable)
        path = sqlite_path(settings_of(config).storage.url)
        if path is not None and not dry_run:
            _forget_pages(path)
        show({"changed": 0 if dry_run else _changed(counted), **_report(counted)}, as_json=as_json)
        _name([] if drop_unreadable and not dry_run else unreadable)

    done(work())


@asynccontextmanager
async def _sealed(config: Config) -> AsyncIterator["SealedRows"]:
    async with opened(config) as storage:
        from asgi_gateway.backends.redis import RedisStorage
        from asgi_gateway.backends.sql import SqlStorage

        database = storage.database if isinstance(storage, RedisStorage) else storage
        assert isinstance(database, SqlStorage)
        yield database.sealed


def _forget_pages(path: Path) -> None:
    """Empty SQLite's log, in which pages lie as they were before. While others use the database it may be left."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _changed(counted: "Mapping[Sealing, int]") -> int:
    from asgi_gateway.storage.vault import Sealing

    return counted.get(Sealing.CLEAR, 0) + counted.get(Sealing.PREVIOUS, 0)


def _report(counted: "Mapping[Sealing, int]") -> dict[str, object]:
    from asgi_gateway.storage.vault import Sealing

    return {sealing.value: counted.get(sealing, 0) for sealing in Sealing}


def _name(unreadable: Sequence[str]) -> None:
    """Say what cannot be read, with exit code 1."""
    if unreadable:
        complain(*(f'channel "{name}": its secrets are encrypted under another CRYPTO_SECRET' for name in unreadable))
        raise typer.Exit(1)
