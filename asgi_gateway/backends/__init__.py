"""The storages: one folder each. Loading this package loads none of the libraries that only one of them needs."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from asgi_gateway.backends.memory import MemoryStorage
from asgi_gateway.config import StorageSettings
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import Secret
from asgi_gateway.storage.vault import Vault

if TYPE_CHECKING:
    from asgi_gateway.backends.sql import SqlStorage

__all__ = ["MemoryStorage", "SqlStorage", "configured_storage", "open_storage", "vault_of"]


def configured_storage(settings: StorageSettings, *, shared: bool = False, migrate: bool = False) -> Storage:
    """The storage that settings describe, not opened yet; see `open_storage`."""
    return open_storage(
        settings.url,
        shared=shared,
        migrate=migrate,
        redis=settings.redis,
        vault=vault_of(settings),
        log_url=settings.log_url,
        spool=settings.spool_folder,
        spool_limit=settings.spool_mb * 2**20,
    )


def vault_of(settings: StorageSettings) -> Vault:
    """What seals secrets at rest, by the settings. Raises `ValueError` where the extra is missing."""
    former = settings.crypto_secret_previous
    texts = [text.strip() for text in former.reveal().split(",")] if former is not None else []
    return Vault(settings.crypto_secret, [Secret(text) for text in texts if text])


def open_storage(
    url: str,
    *,
    shared: bool = False,
    migrate: bool = False,
    redis: str = "",
    vault: Vault | None = None,
    log_url: str = "",
    spool: Path | None = None,
    spool_limit: int = 64 * 2**20,
) -> Storage:
    """The storage of a URL, not opened yet: "memory://", "sqlite:///relative/path", "sqlite:////absolute/path",
    "postgresql://user:password@host/database", "mysql://user:password@host/database", or the form of Go's MySQL driver.

    `shared` is set when several processes use it, which servers are made for. `migrate` lets it make or change the
    tables of a server's database, as SQLite's always are. `redis` is the URL of a Redis beside it, which memory has no
    use for. `vault` seals the secrets in it. `log_url` is another database, which gets a copy of every charge; memory
    has no use for it. `spool` is a folder for settlements that wait for an absent database, `spool_limit` in bytes.
    Raises `ValueError` for other URLs, and for shared memory.
    """
    scheme = url.partition(":")[0].partition("+")[0].lower()
    if scheme == "memory":
        if shared:
            raise ValueError("memory is not shared between processes: use the URL of a database")
        return MemoryStorage()
    from asgi_gateway.backends.sql import SqlStorage

    storage = SqlStorage(
        url,
        shared or scheme != "sqlite",
        migrate=migrate,
        vault=vault,
        log_url=log_url,
        spool=spool,
        spool_limit=spool_limit,
    )
    return _beside(redis, storage, vault)


def _beside(redis: str, storage: "SqlStorage", vault: Vault | None) -> Storage:
    if not redis:
        return storage
    if find_spec("redis") is None:
        raise ValueError("storage.redis: the extra is missing: pip install 'asgi-gateway[redis]'")
    from asgi_gateway.backends.redis import RedisStorage

    return RedisStorage(storage, redis, vault=vault)


def __getattr__(name: str) -> Any:
    """`SqlStorage` is loaded when it is asked for, because it brings SQLAlchemy."""
    if name == "SqlStorage":
        from asgi_gateway.backends.sql import SqlStorage

        return SqlStorage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
