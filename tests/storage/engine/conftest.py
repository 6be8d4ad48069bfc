"""Empty databases of each kind, and connections to them as several processes would have."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from asgi_gateway.backends.sql.address import address_of
from asgi_gateway.backends.sql.database import Database
from support.databases import MariaDB, PostgreSQL, Server
from support.fresh_databases import fresh_database

WAIT = 5.0

S = TypeVar("S", bound=Server)


def started(server: S) -> Iterator[S]:
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Of an empty database."""
    kind: str = request.param
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/gateway.db"
    return fresh_database(request.getfixturevalue(f"{kind}_server").url)


@pytest.fixture(params=["postgresql", "mariadb"])
def own_server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server that a test may kill and freeze."""
    if request.param == "postgresql":
        pytest.importorskip("psycopg")
        yield from started(PostgreSQL())
    else:
        pytest.importorskip("pymysql")
        yield from started(MariaDB())


@pytest.fixture
async def connect() -> AsyncIterator[Callable[[str], Database]]:
    """Opens databases, as other processes would, and closes them at the end."""
    opened: list[Database] = []

    def made(url: str) -> Database:
        database = Database(address_of(url), WAIT)
        database.open()
        opened.append(database)
        return database

    yield made
    for database in opened:
        await database.close()


@pytest.fixture
def database(connect: Callable[[str], Database], url: str) -> Database:
    """An open database, still empty."""
    return connect(url)
