"""Where a database is: SQLAlchemy URLs, and the Go forms that New API's `SQL_DSN` takes.

| written | means |
|---|---|
| `sqlite:///path` | a file |
| `postgresql://user:password@host:5432/db`, `postgres://…` | PostgreSQL 12 or later, by psycopg |
| `mysql://user:password@host:3306/db`, `mariadb://…` | MySQL 5.7 or later, MariaDB 10.3 or later, by PyMySQL |
| `user:password@tcp(host:3306)/db?charset=utf8mb4&parseTime=True` | the same MySQL, as Go's driver writes it |

Options behind `?` are the driver's own; those that only Go's driver knows are dropped.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from sqlalchemy import URL
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

__all__ = ["DatabaseAddress", "address_of"]

Kind = Literal["sqlite", "postgresql", "mysql"]

DRIVERS: dict[str, tuple[Kind, str]] = {
    "sqlite": ("sqlite", "sqlite+pysqlite"),
    "postgresql": ("postgresql", "postgresql+psycopg"),
    "postgres": ("postgresql", "postgresql+psycopg"),
    "mysql": ("mysql", "mysql+pymysql"),
    "mariadb": ("mysql", "mysql+pymysql"),
}
"""By the scheme before any "+": the kind of database, and SQLAlchemy's name of its driver."""

GO_FORM = re.compile(
    r"(?P<user>[^:@/]*)(:(?P<password>.*))?@(tcp)?\((?P<host>[^()]*?)(:(?P<port>\d+))?\)/(?P<name>[^?]*)"
)
GO_OPTIONS = frozenset({"parseTime", "loc", "charset", "collation", "timeout", "readTimeout", "writeTimeout", "tls"})

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
    url = _go_form(text)
    if url is None:
        try:
            url = make_url(text)
        except ArgumentError:
            raise ValueError(EXPECTED) from None
    scheme = url.drivername.partition("+")[0]
    if scheme not in DRIVERS:
        raise ValueError(f"storage URL: {scheme} is not supported here; sqlite, postgresql and mysql are")
    kind, driver = DRIVERS[scheme]
    url = url.set(drivername=driver).difference_update_query(GO_OPTIONS)
    if kind != "sqlite":
        if not url.database:
            raise ValueError(f"storage URL: {scheme} needs the name of a database behind the host")
        return DatabaseAddress(kind, url)
    if url.host or url.query:
        raise ValueError('storage URL: expected "sqlite:///path" without a host or options')
    if not url.database or url.database == ":memory:":
        raise ValueError('storage URL: sqlite needs a path; for memory use "memory://"')
    return DatabaseAddress(kind, url, Path(url.database))


def _go_form(text: str) -> URL | None:
    if "://" in text:
        return None
    found = GO_FORM.match(text)
    if found is None:
        return None
    port = found["port"]
    return URL.create(
        "mysql",
        username=found["user"] or None,
        password=found["password"],
        host=found["host"],
        port=int(port) if port else None,
        database=found["name"],
    )
