"""Every test that asks for `storage` runs over every implementation."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from asgi_gateway.backends import MemoryStorage, SqlStorage
from asgi_gateway.storage.protocols import Storage
from support.databases import MariaDB, PostgreSQL
from support.emptied import empty
from support.ledger_records import Clock

MakeStorage = Callable[[], Storage]


@pytest.fixture
def clock() -> Clock:
    """The time of everything in a test."""
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the test's database lies."""
    return tmp_path / "gateway.db"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[PostgreSQL]:
    """A PostgreSQL for all tests; one that asks for `postgresql` finds it empty."""
    pytest.importorskip("psycopg")
    server = PostgreSQL()
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[MariaDB]:
    """A MariaDB for all tests; one that asks for `mariadb` finds it empty."""
    pytest.importorskip("pymysql")
    server = MariaDB()
    server.start()
    yield server
    server.stop()


@pytest.fixture
def postgresql(postgresql_server: PostgreSQL) -> str:
    """The URL of a PostgreSQL database with nothing in it."""
    empty(postgresql_server.url)
    return postgresql_server.url


@pytest.fixture
def mariadb(mariadb_server: MariaDB) -> str:
    """The URL of a MariaDB database with nothing in it."""
    empty(mariadb_server.url)
    return mariadb_server.url


@pytest.fixture(params=["memory", "sqlite", "sqlite-shared", "postgresql", "mariadb"])
def make_storage(request: pytest.FixtureRequest, path: Path, clock: Clock) -> MakeStorage:
    """Makes storages of one kind; those on SQL are on one database."""
    kind: str = request.param
    if kind == "memory":
        return lambda: MemoryStorage(wall=clock, clock=clock)
    url = f"sqlite:///{path}" if kind.startswith("sqlite") else request.getfixturevalue(kind)
    return lambda: SqlStorage(url, kind != "sqlite", migrate=True, wall=clock, clock=clock)


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def database(request: pytest.FixtureRequest, path: Path) -> str:
    """The URL of an empty database of each kind that several processes may share."""
    url: str = f"sqlite:///{path}" if request.param == "sqlite" else request.getfixturevalue(request.param)
    return url


@pytest.fixture
async def storage(make_storage: MakeStorage) -> AsyncIterator[Storage]:
    """An open storage."""
    opened = make_storage()
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
async def sqlite(path: Path, clock: Clock) -> AsyncIterator[SqlStorage]:
    """An open storage on SQLite, shared between processes, that waits 0.2 s for others."""
    opened = SqlStorage(f"sqlite:///{path}", True, wait=0.2, farewell=0.5, wall=clock, clock=clock)
    await opened.open()
    yield opened
    await opened.close()
