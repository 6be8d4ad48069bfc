"""The environment, under the names that New API uses."""

from collections.abc import Callable

import pytest

from asgi_gateway.config import Settings
from asgi_gateway.config.environment import NOT_YET, READ, storage_url

Load = Callable[..., Settings]
MistakesOf = Callable[..., list[str]]


def test_variables_keep_their_meaning(load: Load) -> None:
    """Each variable that is read replaces its key."""
    settings = load(
        "",
        {
            "PORT": "3001",
            "MAX_REQUEST_BODY_MB": "64",
            "SHUTDOWN_TIMEOUT_SECONDS": "120",
            "STREAMING_TIMEOUT": "60",
            "RELAY_TIMEOUT": "0.5",
            "SYNC_FREQUENCY": "2",
            "SQL_DSN": "sqlite:////var/lib/gateway.db",
        },
    )

    assert (settings.server.port, settings.server.max_body_mb, settings.server.grace) == (3001, 64, 120.0)
    assert (settings.timeouts.idle, settings.timeouts.total, settings.storage.sync) == (60.0, 0.5, 2.0)
    assert settings.storage.url == "sqlite:////var/lib/gateway.db"


def test_an_empty_variable_is_none(load: Load) -> None:
    """`PORT=` changes nothing."""
    assert load("[server]\nport = 5", {"PORT": " ", "SQLITE_PATH": ""}).server.port == 5


@pytest.mark.parametrize(
    ("variables", "url"),
    [
        ({"SQLITE_PATH": "/data/one-api.db?_busy_timeout=30000"}, "sqlite:////data/one-api.db"),
        ({"SQLITE_PATH": "one-api.db", "SQL_DSN": "local"}, "sqlite:///one-api.db"),
        ({"SQLITE_PATH": "one-api.db", "SQL_DSN": "sqlite:///a.db"}, "sqlite:///a.db"),
        ({"SQL_DSN": "local"}, "sqlite:///gateway.db"),
    ],
)
def test_the_database_is_a_file_unless_a_dsn_names_another(load: Load, variables: dict[str, str], url: str) -> None:
    """`SQLITE_PATH` counts where `SQL_DSN` is empty or local."""
    assert load("", variables).storage.url == url


@pytest.mark.parametrize(
    ("dsn", "url"),
    [
        ("postgresql://u:p@host/db", "postgresql://u:p@host/db"),
        ("postgres://u:p@host/db?sslmode=disable", "postgresql://u:p@host/db?sslmode=disable"),
        ("memory://", "memory://"),
        ("root:123456@tcp(localhost:3306)/oneapi", "mysql://root:123456@localhost:3306/oneapi"),
        (
            "root:pw@tcp(db)/oneapi?charset=utf8mb4&parseTime=True&loc=Local",
            "mysql://root:pw@db:3306/oneapi?charset=utf8mb4",
        ),
        ("u:p@ss/w:ord@tcp([::1]:3307)/db", "mysql://u:p%40ss%2Fw%3Aord@[::1]:3307/db"),
        ("u:p@tcp([::1])/db", "mysql://u:p@[::1]:3306/db"),
        ("u@/db", "mysql://u@127.0.0.1:3306/db"),
        ("/db", "mysql://127.0.0.1:3306/db"),
        ("u:p@unix(/run/mysqld/mysqld.sock)/db", "mysql://u:p@/db?unix_socket=/run/mysqld/mysqld.sock"),
    ],
)
def test_a_dsn_becomes_a_url(dsn: str, url: str) -> None:
    """URLs stay; the form of Go's MySQL driver is translated."""
    assert storage_url(dsn) == url


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("SQL_DSN", "nonsense", "must be a URL, or user:pass@tcp(host:3306)/db"),
        ("SQL_DSN", "u:secret@tcp(host:3306/db", "has an address without a closing bracket"),
        ("SQL_DSN", "u:secret@pipe(x)/db", "has an unknown protocol: tcp and unix are known"),
        ("PORT", "http", "must be a whole number"),
        ("RELAY_TIMEOUT", "1m", "must be a number of seconds"),
    ],
)
def test_a_variable_that_cannot_be_read_is_told_by_name(
    mistakes_of: MistakesOf, variable: str, value: str, reason: str
) -> None:
    """The line names the variable, not the value."""
    assert mistakes_of("", {variable: value}) == [f"environment: {variable}: {reason}"]


def test_no_variable_is_both_read_and_without_meaning() -> None:
    """The two tables do not contradict each other."""
    assert not READ.keys() & NOT_YET.keys()
