"""The environment, under the names that New API uses."""

from collections.abc import Callable
from pathlib import Path

import pytest

from asgi_gateway.config import Settings, load_settings
from asgi_gateway.config.environment import NOT_YET, READ, storage_url
from asgi_gateway.storage.records import Secret

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
        ("u:p@tcp(h)/db?tls=false", "mysql://u:p@h:3306/db"),
        ("u:p@tcp(h)/db?tls=skip-verify", "mysql://u:p@h:3306/db?ssl_check_hostname=false"),
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
        ("SQL_DSN", "u:secret@tcp(h)/db?tls=true", "asks for tls: write a URL, mysql://user:pass@host/db?ssl_ca=FILE"),
        ("LOG_SQL_DSN", "nonsense", "must be a URL, or user:pass@tcp(host:3306)/db"),
        ("PORT", "http", "must be a whole number"),
        ("RELAY_TIMEOUT", "1m", "must be a number of seconds"),
    ],
)
def test_a_variable_that_cannot_be_read_is_told_by_name(
    mistakes_of: MistakesOf, variable: str, value: str, reason: str
) -> None:
    """The line names the variable, not the value."""
    assert mistakes_of("", {variable: value}) == [f"environment: {variable}: {reason}"]


def test_the_file_and_the_environment_name_databases_alike(load: Load) -> None:
    """In the form of Go's driver, too; the environment goes over the file. What waits lies beside SQLite's file."""
    dsn = "u:p@tcp(h)/db?parseTime=True"
    storage = load(f"[storage]\nurl = '{dsn}'\nlog_url = '{dsn}'").storage
    assert (storage.url, storage.log_url) == ("mysql://u:p@h:3306/db", "mysql://u:p@h:3306/db")
    assert storage.spool_folder == Path("gateway-spool")
    storage = load(f"[storage]\nlog_url = '{dsn}'\nspool = 'there'", {"LOG_SQL_DSN": "postgres://h/log"}).storage
    assert storage.log_url == "postgresql://h/log"
    assert (storage.spool_folder, load("").storage.spool_folder) == (Path("there"), Path("gateway.db-spool"))


def test_no_variable_is_both_read_and_without_meaning() -> None:
    """The two tables do not contradict each other."""
    assert not READ.keys() & NOT_YET.keys()


def test_redis_and_secrets_come_from_the_environment() -> None:
    """Under the names that New API uses; the URL of a socket is one, too."""
    storage = load_settings(
        None,
        {"REDIS_CONN_STRING": "unix:///run/redis.sock?db=1", "CRYPTO_SECRET": "a", "CRYPTO_SECRET_PREVIOUS": "b,c"},
    ).storage
    assert storage.redis == "unix:///run/redis.sock?db=1"
    assert (storage.crypto_secret, storage.crypto_secret_previous) == (Secret("a"), Secret("b,c"))
    assert "unix" not in repr(storage)
    for url in ("redis://h", "redis://:p@h:6380/15", "rediss://u:p@[::1]:6379", "redis://h/0?x=1"):
        assert load_settings(None, {"REDIS_CONN_STRING": url}).storage.redis == url
