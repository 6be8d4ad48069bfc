"""Every test that asks for `storage` runs over every implementation."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from asgi_gateway.backends import MemoryStorage, SqlStorage
from asgi_gateway.storage.protocols import Storage
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


@pytest.fixture(params=["memory", "sqlite", "sqlite-shared"])
def make_storage(request: pytest.FixtureRequest, path: Path, clock: Clock) -> MakeStorage:
    """Makes storages of one kind; those on SQLite are on one file."""
    kind: str = request.param
    if kind == "memory":
        return lambda: MemoryStorage(wall=clock, clock=clock)
    return lambda: SqlStorage(f"sqlite:///{path}", kind == "sqlite-shared", wall=clock, clock=clock)


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
