"""The storages: one folder each. Loading this package loads none of the libraries that only one of them needs."""

from typing import TYPE_CHECKING, Any

from asgi_gateway.backends.memory import MemoryStorage
from asgi_gateway.storage.protocols import Storage

if TYPE_CHECKING:
    from asgi_gateway.backends.sql import SqlStorage

__all__ = ["MemoryStorage", "SqlStorage", "open_storage"]


def open_storage(url: str, *, shared: bool = False) -> Storage:
    """The storage of a URL, not opened yet: "memory://", "sqlite:///relative/path", "sqlite:////absolute/path".

    `shared` is set when several processes use it. Raises `ValueError` for other URLs, and for shared memory.
    """
    scheme = url.partition(":")[0].partition("+")[0].lower()
    if scheme == "memory":
        if shared:
            raise ValueError("memory is not shared between processes: use a sqlite:/// URL")
        return MemoryStorage()
    if scheme == "sqlite":
        from asgi_gateway.backends.sql import SqlStorage

        return SqlStorage(url, shared)
    raise ValueError(f"storage URL: {scheme or url!r} is not supported yet; use sqlite:///path or memory://")


def __getattr__(name: str) -> Any:
    """`SqlStorage` is loaded when it is asked for, because it brings SQLAlchemy."""
    if name == "SqlStorage":
        from asgi_gateway.backends.sql import SqlStorage

        return SqlStorage
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
