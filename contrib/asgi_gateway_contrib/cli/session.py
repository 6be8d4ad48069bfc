"""What every command does first: read the settings, open the storage; and last: say why it could not."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import typer

from asgi_gateway_contrib.cli.output import Refused, complain

if TYPE_CHECKING:
    from asgi_gateway.config import Settings, StorageSettings
    from asgi_gateway.storage.protocols import Storage

__all__ = ["done", "is_memory", "opened", "reason_of", "reasons", "settings_of", "shown", "sqlite_path", "storage_of"]

Result = TypeVar("Result")

MEMORY = "memory:"
SQLITE = "sqlite:///"


def settings_of(config: Path | None, overrides: Mapping[str, Mapping[str, object]] | None = None) -> "Settings":
    """The settings of a file, the environment and the command line."""
    from asgi_gateway.config import load_settings

    return load_settings(config, os.environ, overrides)


@contextmanager
def reasons() -> Iterator[None]:
    """Turn what may go wrong into lines on stderr and exit code 1."""
    from asgi_gateway.config import ConfigurationError
    from asgi_gateway.errors import GatewayError

    try:
        yield
    except ConfigurationError as error:
        complain(*error.mistakes)
    except Refused as reason:
        complain(str(reason))
    except GatewayError as error:
        complain(str(error))
    else:
        return
    raise typer.Exit(1)


def done(work: Coroutine[None, None, Result]) -> Result:
    """Run a command's work to its end; exit code 1 when it is refused."""
    with reasons():
        return asyncio.run(work)


@asynccontextmanager
async def opened(config: Path | None, *, create: bool = False) -> AsyncIterator["Storage"]:
    """The storage of the settings. Unless `create`, an embedded database must be there already."""
    settings = settings_of(config).storage
    url = settings.url
    if is_memory(url):
        raise Refused(f"{url} lives inside the serving process: there is nothing to see or to change from here")
    path = sqlite_path(url)
    if path is not None and not create and not path.exists():
        raise Refused(f"{path}: there is no database yet; serve, migrate or an add command makes it")
    async with storage_of(settings) as storage:
        yield storage


@asynccontextmanager
async def storage_of(settings: "StorageSettings", *, migrate: bool = False) -> AsyncIterator["Storage"]:
    """The open storage of settings; `migrate` lets a server's database be changed.

    Raises `Refused` with its URL where it cannot be opened.
    """
    from asgi_gateway.backends import configured_storage
    from asgi_gateway.errors import GatewayError

    try:
        storage = configured_storage(settings, shared=not is_memory(settings.url), migrate=migrate)
        await storage.open()
    except ValueError as reason:
        raise Refused(f"storage.url: {reason}") from reason
    except GatewayError as reason:
        raise Refused(f"storage.url: {shown(settings.url)}: {reason_of(reason)}") from reason
    try:
        yield storage
    finally:
        await storage.close()


def reason_of(error: Exception) -> str:
    """What went wrong, and what the database or the system says of it where it is known."""
    cause = error.__cause__
    said = str(getattr(cause, "orig", None) or (cause if isinstance(cause, OSError | sqlite3.Error) else "")).strip()
    return f"{error} ({said.splitlines()[0]})" if said else str(error)


def shown(url: str) -> str:
    """A URL without its password."""
    password = urlsplit(url).password
    return url.replace(f":{password}@", ":***@", 1) if password else url


def is_memory(url: str) -> bool:
    """Whether a storage ends with the process that opened it."""
    return url.startswith(MEMORY)


def sqlite_path(url: str) -> Path | None:
    """The file of an embedded database, None for other storages."""
    return Path(url.removeprefix(SQLITE).partition("?")[0]) if url.startswith(SQLITE) else None
