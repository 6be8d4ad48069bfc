"""Opening a storage: by URL, anew, in another version, and without telling secrets."""

import logging
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

import asgi_gateway.backends
from asgi_gateway.backends import MemoryStorage, SqlStorage, open_storage
from asgi_gateway.backends.memory.windows import MemoryWindows
from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.migration import HEAD
from asgi_gateway.backends.sql.rows import charge_row, reservation_of, reservation_row
from asgi_gateway.backends.sql.windows import SqlWindows
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.protocols import Hit, Slot
from asgi_gateway.storage.records import Channel, Charge, Secret, Token, User
from support.ledger_records import USER, Clock, reservation, settlement


def test_a_url_names_its_storage() -> None:
    """Nothing is opened yet."""
    assert isinstance(open_storage("memory://"), MemoryStorage)
    alone, together = open_storage("sqlite:///some.db"), open_storage("sqlite:////var/some.db", shared=True)
    assert isinstance(alone, SqlStorage)
    assert isinstance(alone.windows, MemoryWindows)
    assert isinstance(together.windows, SqlWindows)
    assert (repr(alone), repr(together)) == (
        "SqlStorage('some.db', shared=False)",
        "SqlStorage('/var/some.db', shared=True)",
    )


@pytest.mark.parametrize(
    ("url", "driver", "shown"),
    [
        ("postgresql://user:secret@host/db", "psycopg", "postgresql://host/db"),
        ("mysql+pymysql://user:secret@host/db", "pymysql", "mysql://host/db"),
        ("user:secret@tcp(host)/db", "pymysql", "mysql://host:3306/db"),
    ],
)
def test_a_server_is_always_shared(url: str, driver: str, shown: str) -> None:
    """Its limits are counted in it. No password is shown."""
    pytest.importorskip(driver)
    storage = open_storage(url)
    assert isinstance(storage.windows, SqlWindows)
    assert repr(storage) == f"SqlStorage({shown!r}, shared=True)"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("oracle://user:secret@host/db", "oracle is not supported"),
        ("", "expected"),
        ("local", "expected"),
        ("sqlite://", "needs a path"),
        ("sqlite:///:memory:", "needs a path"),
        ("sqlite://host/path", "without a host"),
        ("sqlite:///path?mode=ro", "without a host or options"),
        ("sqlite/path", "expected"),
    ],
)
def test_a_wrong_url_says_what_is_wrong(url: str, reason: str) -> None:
    """And repeats no password."""
    with pytest.raises(ValueError, match=reason) as caught:
        open_storage(url)
    assert "secret" not in str(caught.value)


def test_a_url_that_is_none_says_so() -> None:
    """Asked of the class itself."""
    for url in ("oracle://user:secret@host/db", "nonsense"):
        with pytest.raises(ValueError, match="storage URL") as caught:
            SqlStorage(url)
        assert "secret" not in str(caught.value)


def test_memory_is_not_shared() -> None:
    """Several processes would count apart."""
    with pytest.raises(ValueError, match="not shared"):
        open_storage("memory://", shared=True)


def test_loading_the_storages_loads_no_sqlalchemy() -> None:
    """Who uses memory pays for memory."""
    script = (
        "import sys; sys.modules['asgi_gateway'] = type(sys)('asgi_gateway');"
        f"sys.modules['asgi_gateway'].__path__ = {[str(Path(asgi_gateway.__file__).parent)]!r};"
        "import asgi_gateway.backends as b; b.open_storage('memory://');"
        "assert 'sqlalchemy' not in sys.modules; b.SqlStorage; assert 'sqlalchemy' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_package_has_no_other_names() -> None:
    """An unknown name is an `AttributeError` as everywhere."""
    assert not hasattr(asgi_gateway.backends, "OtherStorage")


async def test_making_a_storage_makes_nothing_else(path: Path) -> None:
    """No file and no thread before it is opened; so a process may fork."""
    before = set(threading.enumerate())
    storage = SqlStorage(f"sqlite:///{path}")
    assert (path.exists(), set(threading.enumerate())) == (False, before)  # noqa: ASYNC240 - nothing else runs
    await storage.open()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600  # noqa: ASYNC240 - nothing else runs
    await storage.close()


async def test_what_was_stored_is_there_after_a_restart(path: Path) -> None:
    """By a new storage, and by the same one opened again; opening twice is safe."""
    storage = SqlStorage(f"sqlite:///{path}")
    await storage.open()
    await storage.open()
    user = await storage.users.add(User(name="alice"))
    await storage.ledger.grant(USER, 1000)
    reserved = reservation(100, accounts=(USER,))
    await storage.ledger.reserve(reserved)
    storage.ledger.settle(reserved, settlement(60))
    await storage.close()
    for again in (storage, SqlStorage(f"sqlite:///{path}", True)):
        await again.open()
        assert await again.users.find("alice") == user
        assert (await again.ledger.balance(USER)).available == 940
        assert (await again.ledger.settle(reserved, settlement(99))).charged == 60
        await again.close()


async def test_a_database_of_a_newer_version_is_refused(path: Path) -> None:
    """Nothing in it is touched, and the storage may be opened again later."""
    storage = SqlStorage(f"sqlite:///{path}")
    await storage.open()
    assert await storage.options.all() == {}
    await storage.close()
    for version, reason in (("9999", "used by a newer version (9999); this program knows"), (HEAD, "")):
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("UPDATE gateway_schema SET version_num = ?", (version,))
        if reason:
            with pytest.raises(ValueError, match=re.escape(reason)):
                await storage.open()
        else:
            await storage.open()
            await storage.close()


async def test_what_is_no_database_cannot_be_opened(tmp_path: Path) -> None:
    """The reason is the cause."""
    wrong = tmp_path / "wrong.db"
    wrong.write_text("this is not a database, and long enough to be sure of that" * 20)
    for place, kind in (
        (wrong, sqlite3.DatabaseError),
        (tmp_path, OSError),
        (tmp_path / "none" / "gateway.db", OSError),
    ):
        with pytest.raises(ServiceUnavailable) as caught:
            await SqlStorage(f"sqlite:///{place}").open()
        assert isinstance(caught.value.__cause__, kind)


async def test_keys_reach_no_log_and_no_error(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Not even where a host logs everything that SQLAlchemy does."""
    storage = SqlStorage(f"sqlite:///{path}")
    await storage.open()
    channel = Channel(name="main", provider="openai", keys=(Secret("sk-canary"),), proxy="http://canary@proxy")
    digest = bytes.fromhex("cafe" * 16)
    with caplog.at_level(logging.DEBUG):
        await storage.channels.add(channel)
        with pytest.raises(ValueError, match="main") as caught:
            await storage.channels.add(channel)
        await storage.channels.list()
        await storage.tokens.add(Token(name="dev", user_id=1, digest=digest))
        with pytest.raises(ValueError, match="dev") as other:
            await storage.tokens.add(Token(name="dev", user_id=1, digest=digest))
    told = [caplog.text, repr(caught.value), repr(other.value), repr(storage)]
    assert caught.value.__cause__ is None
    assert not [text for text in told if "canary" in text or "cafecafe" in text]
    await storage.close()


def test_columns_are_in_the_order_of_the_rows(path: Path) -> None:
    """Rows of the ledger are written without names: each field must come back from the column of its name."""
    reserved, settled = reservation(100), settlement(60)
    charge = Charge(reservation=reserved, settlement=settled, charged=59, shortfall=1, time=5.0)
    names = {
        "ledger_key": reserved.key,
        "user_name": "alice",
        "token_name": "dev",
        "group_name": "default",
        "model": "gpt-4o-mini",
        "accounts": "user:1 token:1",
        "amount": 100,
        "prompt_amount": 33,
        "request_id": reserved.request_id,
        "cost": 60,
        "charged": 59,
        "shortfall": 1,
        "outcome": "completed",
        "channel": "main",
        "input_tokens": 19,
        "cache_read_tokens": 5,
        "output_tokens": 31,
        "reasoning_tokens": 7,
        "estimated": True,
        "ratio": "1.5",
        "stream": True,
        "time": 5.0,
    }
    columns = [column.name for column in schema.charge_columns]
    row = dict(zip(columns, charge_row(charge, "user:1 token:1"), strict=True))
    assert {name: row[name] for name in names} == names
    open_row = reservation_row(reserved, "user:1 token:1", "lease-1")
    stored = dict(zip(schema.reservations.columns.keys(), open_row, strict=True))
    assert (stored["lease"], stored["created"], stored["amount"]) == ("lease-1", reserved.created, 100)
    assert reservation_of(open_row) == reserved


async def test_a_time_without_a_zone_is_refused(path: Path) -> None:
    """It would mean something else on another machine."""
    storage = SqlStorage(f"sqlite:///{path}")
    await storage.open()
    with pytest.raises(ValueError, match="without a zone"):
        await storage.tokens.add(
            Token(name="dev", user_id=1, digest=b"x" * 32, expires=datetime(2027, 1, 1))  # noqa: DTZ001 - the wrong one
        )
    await storage.close()


async def test_old_windows_are_swept(path: Path) -> None:
    """Keys that nobody hits any more leave the table, and so do the expired parts of those that are hit."""
    clock = Clock()
    storage = SqlStorage(f"sqlite:///{path}", True, wall=clock)
    await storage.open()
    for number in range(50):
        await storage.windows.acquire([Hit(f"key-{number}", 5, 10.0)], [Slot(f"slot-{number}", 1)])
    clock.advance(61)
    await storage.windows.acquire([Hit("busy", 10**6, 1.0)])
    assert rows(path) == (1, 50)  # slots stay with a process that lives
    for _ in range(300):
        clock.advance(0.1)
        await storage.windows.acquire([Hit("busy", 10**6, 1.0)])
    assert rows(path)[0] < 130
    await storage.close()
    assert rows(path)[1] == 0


def rows(path: Path) -> tuple[int, int]:
    """Rows of windows and of slots."""
    with closing(sqlite3.connect(path)) as other:
        counts = other.execute("SELECT (SELECT count(*) FROM gateway_windows), (SELECT count(*) FROM gateway_slots)")
        windows, slots = counts.fetchone()
        return windows, slots
