"""Where a database is, in every form that is taken."""

from pathlib import Path

import pytest

from asgi_gateway.backends.sql import drivers
from asgi_gateway.backends.sql.address import address_of
from asgi_gateway.backends.sql.database import Database
from asgi_gateway.backends.sql.drivers import Session, abort, connect_options, is_conflict, require


@pytest.mark.parametrize(
    ("text", "kind", "url", "shown"),
    [
        ("sqlite:///a.db", "sqlite", "sqlite+pysqlite:///a.db", "a.db"),
        ("postgres://u:p@h/db", "postgresql", "postgresql+psycopg://u:p@h/db", "postgresql://h/db"),
        (
            "postgresql+asyncpg://u:p@h:5433/db?sslmode=require",
            "postgresql",
            "postgresql+psycopg://u:p@h:5433/db?sslmode=require",
            "postgresql://h:5433/db",
        ),
        ("mariadb://u:p@h/db", "mysql", "mysql+pymysql://u:p@h/db", "mysql://h/db"),
        ("mysql://h/db?ssl_ca=a.pem", "mysql", "mysql+pymysql://h/db?ssl_ca=a.pem", "mysql://h/db"),
        ("u:p@tcp(h)/db?parseTime=True&loc=Local", "mysql", "mysql+pymysql://u:p@h:3306/db", "mysql://h:3306/db"),
        (
            "u:p@unix(/run/m.sock)/db",
            "mysql",
            "mysql+pymysql://u:p@/db?unix_socket=%2Frun%2Fm.sock",
            "mysql:///db",
        ),
    ],
)
def test_a_text_names_a_database(text: str, kind: str, url: str, shown: str) -> None:
    """By its kind and our driver; it is shown without who connects."""
    address = address_of(text)
    assert (address.kind, address.url.render_as_string(hide_password=False), str(address)) == (kind, url, shown)
    assert address.path == (Path("a.db") if kind == "sqlite" else None)
    assert ":p@" not in repr(address)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected"),
        ("local", "expected"),
        ("canary", "expected"),
        ("u:canary@tcp(h/db", "expected"),
        ("postgresql://u:canary@h:port/db", "expected"),
        ("oracle://u:canary@h/db", "oracle is not supported"),
        ("postgresql://u:canary@h", "needs the name of a database"),
        ("mysql://u:canary@h/db?autocommit=1", "unknown option autocommit"),
        ("sqlite://", "needs a path"),
        ("sqlite:///:memory:", "needs a path"),
        ("sqlite:///a?mode=ro", "without a host or options"),
        ("sqlite://canary/a", "without a host or options"),
    ],
)
def test_a_text_that_names_none_is_refused(text: str, reason: str) -> None:
    """Without repeating it: it may hold a password."""
    with pytest.raises(ValueError, match=f"storage URL: .*{reason}") as caught:
        address_of(text)
    assert "canary" not in repr(caught.value)


def test_a_missing_driver_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite needs none."""
    monkeypatch.setattr(drivers, "MODULES", {"postgresql": ("no_such_driver", "postgresql")})
    with pytest.raises(ValueError, match=r'postgresql needs no_such_driver: pip install "asgi-gateway\[postgresql\]"'):
        Database(address_of("postgresql://h/db"), 1.0)
    require("sqlite")


def test_what_a_url_says_of_the_connection_holds() -> None:
    """Over what is set otherwise."""
    address = address_of("postgresql://h/db?keepalives_idle=99&sslmode=require")
    options = connect_options(address, Session(limit=5.0, wait=1.0))
    assert (options["keepalives_idle"], options["sslmode"], options["connect_timeout"]) == ("99", "require", 2)


@pytest.mark.parametrize(
    ("kind", "error", "conflict"),
    [
        ("postgresql", "40P01", True),
        ("postgresql", "40001", True),
        ("postgresql", "57014", False),
        ("mysql", 1213, True),
        ("mysql", 1205, True),
        ("mysql", 2013, False),
        ("sqlite", "database is locked", False),
    ],
)
def test_a_transaction_that_lost_against_another_is_told_by_its_code(kind: str, error: object, conflict: bool) -> None:
    """As each driver gives it."""

    class Failure(Exception):
        sqlstate = error if kind == "postgresql" else None

    assert is_conflict(Failure(error), kind) is conflict  # type: ignore[arg-type]
    assert not is_conflict(None, kind)  # type: ignore[arg-type]


def test_what_has_no_socket_is_left_alone() -> None:
    """PyMySQL gives up by itself."""
    abort(object())
