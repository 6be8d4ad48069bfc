"""Where a database is: SQLAlchemy URLs, and the Go forms that New API's `SQL_DSN` takes.

| written | means |
|---|---|
| `sqlite:///path` | a file |
| `postgresql://user:password@host:5432/db`, `postgres://…` | PostgreSQL 12 or later, by psycopg |
| `mysql://user:password@host:3306/db`, `mariadb://…` | MySQL 5.7 or later, MariaDB 10.3 or later, by PyMySQL |
| `user:password@tcp(host:3306)/db?charset=utf8mb4&parseTime=True` | the same MySQL, as Go's driver writes it |

Options behind `?` are the driver's own, of PyMySQL only some; those that only Go's driver knows are dropped.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from asgi_gateway.config.environment import storage_url

__all__ = ["DatabaseAddress", "Kind", "address_of"]

Kind = Literal["sqlite", "postgresql", "mysql"]

DRIVERS: dict[str, tuple[Kind, str]] = {
    "sqlite": ("sqlite", "sqlite+pysqlite"),
    "postgresql": ("postgresql", "postgresql+psycopg"),
    "postgres": ("postgresql", "postgresql+psycopg"),
    "mysql": ("mysql", "mysql+pymysql"),
    "mariadb": ("mysql", "mysql+pymysql"),
}
"""By the scheme before any "+": the kind of database, and SQLAlchemy's name of its driver."""

MYSQL_OPTIONS = frozenset(
    {
        "charset",
        "collation",
        "unix_socket",
        "ssl_ca",
        "ssl_capath",
        "ssl_cert",
        "ssl_key",
        "ssl_cipher",
        "ssl_check_hostname",
    }
)
"""What may stand behind the "?" of a MySQL URL: PyMySQL takes others for a fault of the program."""

EXPECTED = 'storage URL: expected "sqlite:///path", "postgresql://…" or "mysql://…"'


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """A database. `path` is that of a SQLite file, None elsewhere; `url` names the driver too."""

    kind: Kind
    url: URL = field(repr=False)  # it may hold a password
    path: Path | None = None

    def __str__(self) -> str:
        """Without user and password."""
        if self.path is not None:
            return str(self.path)
        return f"{self.kind}://{self.url.host or ''}{f':{self.url.port}' if self.url.port else ''}/{self.url.database}"


def address_of(text: str) -> DatabaseAddress:
    """The database of a text. Raises `ValueError`, whose message does not repeat the text: it may hold a password."""
    try:
        url = make_url(text if "://" in text else storage_url(text) or "")
    except (ArgumentError, ValueError):
        raise ValueError(EXPECTED) from None
    scheme = url.drivername.partition("+")[0]
    if scheme not in DRIVERS:
        raise ValueError(f"storage URL: {scheme} is not supported here; sqlite, postgresql and mysql are")
    kind, driver = DRIVERS[scheme]
    url = url.set(drivername=driver)
    if kind == "mysql" and (unknown := sorted(set(url.query) - MYSQL_OPTIONS)):
        raise ValueError(f"storage URL: unknown option {unknown[0]}; known are {', '.join(sorted(MYSQL_OPTIONS))}")
    if kind != "sqlite":
        if not url.database:
            raise ValueError(f"storage URL: {scheme} needs the name of a database behind the host")
        return DatabaseAddress(kind, url)
    if url.host or url.query:
        raise ValueError('storage URL: expected "sqlite:///path" without a host or options')
    if not url.database or url.database == ":memory:":
        raise ValueError('storage URL: sqlite needs a path; for memory use "memory://"')
    return DatabaseAddress(kind, url, Path(url.database))
