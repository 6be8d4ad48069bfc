"""The product on a database server: making its tables, refusing without them, and several workers on it."""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner, Result

from asgi_gateway import Gateway
from asgi_gateway.backends.sql.migration import HEAD
from asgi_gateway_contrib.cli.application import application
from support.databases import MariaDB, PostgreSQL, Server
from support.fresh_databases import fresh_database
from support.served import DEADLINE, Served, until

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in a folder of its own, with these variables and no others."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger("asgi_gateway"), "handlers", [])  # of an earlier test's `serve`

    def go(*arguments: str, **environ: str) -> Result:
        for name in ("SQL_DSN", "SQLITE_PATH", "LOG_SQL_DSN"):
            monkeypatch.setenv(name, environ.get(name, ""))
        return CliRunner().invoke(application(), list(arguments))

    return go


@pytest.fixture(scope="module", params=[PostgreSQL, MariaDB], ids=["postgresql", "mariadb"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A database server."""
    made: Server = request.param()
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def url(server: Server) -> str:
    """Of an empty database."""
    return fresh_database(server.url)


def go_form(url: str) -> str:
    """The URL of MySQL as Go writes it; others as they are."""
    parts = httpx.URL(url)
    if parts.scheme != "mysql":
        return url
    return (
        f"{parts.username}:{parts.password}@tcp({parts.host}:{parts.port}){parts.path}?charset=utf8mb4&parseTime=True"
    )


def test_an_empty_database_is_refused_until_it_is_migrated(url: str, tmp_path: Path, run: Run) -> None:
    """By every command, with the one that helps; the log database is migrated too, and twice is no harm."""
    environ = {"SQL_DSN": go_form(url)}
    for command in (["check"], ["user", "list"], ["serve", "--port", "0"]):
        refused = run(*command, **environ)
        assert refused.exit_code == 1
        assert refused.stderr.splitlines()[-1] == (
            'storage.url: the database is empty: run "asgi-gateway migrate", or serve with --migrate'
        )
    environ["LOG_SQL_DSN"] = f"sqlite:///{tmp_path}/log.db"
    for had in (None, HEAD):
        migrated = run("migrate", "--json", **environ)
        rows = json.loads(migrated.stdout)
        assert [(row["had"], row["version"]) for row in rows] == [(had, HEAD)] * 2
        assert "gateway:gateway@" not in migrated.stdout + migrated.stderr
    checked = run("check", **environ)
    assert f"(reachable, version {HEAD})" in checked.stdout


def test_workers_share_a_server(url: str, tmp_path: Path, run: Run) -> None:
    """`serve --migrate` makes the tables and the root token; a user that is added meanwhile is seen by all."""
    environ = {"SQL_DSN": url, "SQLITE_PATH": "", "LOG_SQL_DSN": ""}
    with Served("--workers", "2", "--migrate", cwd=tmp_path, environ=environ) as served:
        served.wait_for(lambda text: "all 2 workers serve" in text)
        assert "connections for look-ups" in served.text
        headers = {"authorization": f"Bearer {served.key}"}
        for _ in range(4):
            assert httpx.get(f"{served.address}/v1/models", headers=headers).status_code == 200
        added = run("token", "add", "late", "--unlimited", "--json", **environ)
        late = {"authorization": f"Bearer {json.loads(added.stdout)['key']}"}
        assert httpx.get(f"{served.address}/v1/models", headers=late).status_code == 200
        run("token", "disable", "late", **environ)
        until(lambda: {httpx.get(f"{served.address}/v1/models", headers=late).status_code for _ in range(8)} == {401})
        served.signal()
        assert served.end() == 0
    assert "Traceback" not in served.text
    with Served(cwd=tmp_path, environ=environ) as again:
        assert httpx.get(f"{again.address}/v1/models", headers=headers, timeout=DEADLINE).status_code == 200


def test_a_server_that_is_away_is_told_in_one_line(run: Run) -> None:
    """With what the driver says, without the password."""
    refused = run("migrate", SQL_DSN="postgresql://gateway:canary@127.0.0.1:1/gateway")
    assert refused.exit_code == 1
    assert refused.stderr.splitlines()[-1].startswith("storage.url: postgresql://gateway:***@127.0.0.1:1/gateway: ")
    assert "Connection refused" in refused.stderr.splitlines()[-1]
    assert "canary" not in refused.stderr


def test_memory_has_nothing_to_migrate(run: Run) -> None:
    """It is said so."""
    refused = run("migrate", SQL_DSN="memory://")
    assert (refused.exit_code, refused.stderr.partition(":")[0]) == (1, "memory")


async def test_a_host_may_let_its_gateway_migrate(url: str) -> None:
    """`Gateway(migrate=True)`; without it the reason names the command."""
    with pytest.raises(ValueError, match='run "asgi-gateway migrate"'):
        await Gateway(storage=url).open()
    for migrate in (True, False):
        async with Gateway(storage=url, migrate=migrate) as gateway:
            await gateway.storage.ping()


@pytest.mark.parametrize(("scheme", "module"), [("postgresql", "psycopg"), ("mysql", "pymysql")])
def test_a_missing_driver_names_its_extra(scheme: str, module: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is connected."""
    monkeypatch.setitem(sys.modules, module, None)
    refused = run("check", SQL_DSN=f"{scheme}://u:canary@h/db")
    assert refused.stderr == (
        f'storage.url: storage URL: {scheme} needs {module}: pip install "asgi-gateway[{scheme}]"\n'
    )
