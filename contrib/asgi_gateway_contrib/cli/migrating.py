"""`migrate`: bring databases to this version; and what version they have."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from asgi_gateway_contrib.cli.options import Config, Json
from asgi_gateway_contrib.cli.output import Refused, table
from asgi_gateway_contrib.cli.session import done, is_memory, reason_of, settings_of, shown

if TYPE_CHECKING:
    from asgi_gateway.backends.sql.database import Database

__all__ = ["migrate", "stored_version"]

WAIT = 5.0
"""Seconds that a busy database is waited for."""

COLUMNS = ("database", "had", "version")


def migrate(as_json: Json = False, config: Config = None) -> None:
    """Bring the database, and the log database if there is one, to this version. Where they are, nothing happens.

    SQLite's file needs no such command: whatever opens it does this.
    """
    done(_migrate(as_json, config))


async def stored_version(url: str) -> str | None:
    """The version of a database that is there; None for an empty one. Raises `Refused` when it cannot be reached."""
    from asgi_gateway.backends.sql.migration import status

    async with _database(url, "storage.url") as database:
        return await status(database)


async def _migrate(as_json: bool, config: Config) -> None:
    from asgi_gateway.backends.sql.migration import HEAD, prepare

    settings = settings_of(config).storage
    if is_memory(settings.url):
        raise Refused(f"{settings.url} lives inside the serving process: there is nothing to migrate")
    rows: list[dict[str, object]] = []
    for key, url in (("storage.url", settings.url), ("storage.log_url", settings.log_url)):
        if url:
            async with _database(url, key) as database:
                rows.append({"database": shown(url), "had": await prepare(database, allowed=True), "version": HEAD})
    table(rows, COLUMNS, as_json=as_json)


@asynccontextmanager
async def _database(url: str, key: str) -> AsyncIterator["Database"]:
    """A database on its own, without a ledger. Raises `Refused` when it cannot be used."""
    from asgi_gateway.backends.sql.address import address_of
    from asgi_gateway.backends.sql.database import Database
    from asgi_gateway.errors import GatewayError

    try:
        database = Database(address_of(url), WAIT)
        database.open()
        try:
            yield database
        finally:
            await database.close()
    except ValueError as error:
        raise Refused(f"{key}: {error}") from error
    except (GatewayError, OSError, sqlite3.Error) as error:
        raise Refused(f"{key}: {shown(url)}: {reason_of(error)}") from error
