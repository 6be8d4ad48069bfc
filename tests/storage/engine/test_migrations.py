"""Making and changing the tables: from nothing, from older versions, by several processes, half-way."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, inspect, text

from asgi_gateway.backends.sql import migration, schema
from asgi_gateway.backends.sql.database import Database, make_engine, revision_of
from asgi_gateway.backends.sql.drivers import Session
from asgi_gateway.backends.sql.migration import BEFORE_RELEASE, HEAD, VERSION_TABLE, VERSIONS, prepare, status
from asgi_gateway.backends.sql.migrations import configuration, upgrade
from asgi_gateway.errors import ServiceUnavailable

Connect = Callable[[str], Database]

MIGRATE = """
import asyncio, sys
from asgi_gateway.backends.sql.address import address_of
from asgi_gateway.backends.sql.database import Database
from asgi_gateway.backends.sql.migration import prepare
async def work():
    database = Database(address_of(sys.argv[1]), 5.0)
    database.open()
    print("ready", flush=True)
    sys.stdin.readline()
    await prepare(database, allowed=True)
    await database.close()
asyncio.run(work())
"""


def differences(connection: Connection) -> list[object]:
    """Between the tables that are there and those of the metadata."""

    def ours(name: str | None, kind: str, parents: object) -> bool:
        return kind != "table" or (name or "").startswith("gateway_")

    options = {"compare_type": True, "include_name": ours, "version_table": VERSION_TABLE}
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), schema.metadata))


def shape(connection: Connection) -> object:
    """Everything that a database says of its tables, in an order."""
    tables = inspect(connection)
    return {
        name: (
            [(column["name"], str(column["type"]), column["nullable"]) for column in tables.get_columns(name)],
            tables.get_pk_constraint(name)["constrained_columns"],
            sorted(map(str, tables.get_indexes(name))),
            sorted(map(str, tables.get_unique_constraints(name))),
        )
        for name in tables.get_table_names()
    }


def run_migrations(database: Database) -> None:
    """Run all of them from nothing, as no gateway does: it makes an empty database at once."""
    engine = make_engine(database.address, Session(limit=None, wait=5.0), 1)
    with engine.execution_options(gateway_writes=True).begin() as connection:
        upgrade(connection)
    engine.dispose()


async def test_an_empty_database_gets_the_tables_of_the_metadata(database: Database) -> None:
    """And says its version; to do it again changes nothing."""
    for _ in range(2):
        await prepare(database, allowed=True)
        assert await status(database) == HEAD
        assert await database.read(revision_of) == 1
    assert await database.read(differences) == []


async def test_migrations_make_what_the_metadata_says(connect: Connect, database: Database, url: str) -> None:
    """Run `python -m support.frozen_schema` (before the first release) or write a migration when this fails."""
    await prepare(database, allowed=True)
    made = await database.read(shape)
    await database.write(schema.metadata.drop_all)
    await database.write(lambda connection: connection.execute(text(f"DROP TABLE {VERSION_TABLE}")))
    await asyncio.to_thread(run_migrations, database)
    assert await database.read(shape) == made
    assert await database.read(differences) == []
    assert await status(database) == HEAD
    assert await database.read(revision_of) == 1


def test_the_known_versions_are_those_of_the_scripts() -> None:
    """In their order, one after the other."""
    engine = create_engine("sqlite://")
    with engine.connect() as connection:
        scripts = ScriptDirectory.from_config(configuration(connection))
    engine.dispose()
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == VERSIONS
    assert scripts.get_current_head() == HEAD


async def test_servers_are_not_changed_unasked(database: Database) -> None:
    """The reason names the command. SQLite's file belongs to the gateway."""
    if database.kind == "sqlite":
        await prepare(database, allowed=False)
        assert await status(database) == HEAD
        return
    with pytest.raises(ValueError, match=r'is empty: run "asgi-gateway migrate"'):
        await prepare(database, allowed=False)
    assert await database.read(lambda connection: inspect(connection).get_table_names()) == []


async def test_an_older_version_is_migrated_or_refused(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite always is, a server's database when it is allowed."""
    await prepare(database, allowed=True)
    monkeypatch.setattr(migration, "VERSIONS", (HEAD, "next"))
    monkeypatch.setattr(migration, "HEAD", "next")
    upgraded: list[str] = []

    def step(connection: Connection) -> None:
        upgraded.append("once")
        connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = 'next'"))

    monkeypatch.setattr("asgi_gateway.backends.sql.migrations.upgrade", step)
    if database.kind != "sqlite":
        with pytest.raises(ValueError, match=rf'has version {HEAD}, this program needs next: run "asgi-gateway'):
            await prepare(database, allowed=False)
    for _ in range(2):
        await prepare(database, allowed=database.kind != "sqlite")
        assert (await status(database), upgraded) == ("next", ["once"])


async def test_a_newer_version_is_refused(database: Database) -> None:
    """Nothing in it is touched."""
    await prepare(database, allowed=True)
    await database.write(
        lambda connection: connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '0815'"))
    )
    with pytest.raises(ValueError, match=r"used by a newer version \(0815\); this program knows version"):
        await prepare(database, allowed=True)


async def test_a_version_before_a_release_is_refused(database: Database) -> None:
    """Such databases had their version among the options."""
    await database.write(schema.metadata.create_all)
    await database.write(
        lambda connection: connection.execute(schema.options.insert().values(name="schema_version", value="3"))
    )
    assert await status(database) == BEFORE_RELEASE
    with pytest.raises(ValueError, match="it is of before a release"):
        await prepare(database, allowed=True)


async def test_what_ended_half_way_is_gone_on_with(database: Database) -> None:
    """On MySQL a making that was cut off leaves tables, which another one completes."""
    await database.write(schema.users.create)
    await database.write(schema.cache.create)
    await database.write(lambda connection: next(iter(schema.cache.indexes)).drop(connection))
    await prepare(database, allowed=True)
    assert await database.read(differences) == []


async def test_a_migration_that_ended_half_way_is_gone_on_with(database: Database) -> None:
    """The same by the migrations themselves."""
    await database.write(schema.cache.create)
    await database.write(lambda connection: next(iter(schema.cache.indexes)).drop(connection))
    await asyncio.to_thread(run_migrations, database)
    assert await database.read(differences) == []


async def test_a_migration_that_fails_leaves_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the database can undo what was made of tables; everywhere it can be tried again."""

    def fail(connection: Connection) -> None:
        raise ServiceUnavailable("gone")

    with monkeypatch.context() as patch:
        patch.setattr(migration._versions, "create", lambda *_, **__: fail(None))  # type: ignore[arg-type]
        with pytest.raises(ServiceUnavailable):
            await prepare(database, allowed=True)
    if database.kind != "mysql":
        assert await database.read(lambda connection: inspect(connection).get_table_names()) == []
    await prepare(database, allowed=True)
    assert await database.read(differences) == []


async def test_several_processes_migrate_at_once(database: Database, url: str) -> None:
    """One does it, the others wait; all of them succeed."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, "-W", "error", "-c", MIGRATE, url]
    processes = [await asyncio.create_subprocess_exec(*command, **pipes) for _ in range(3)]
    for process in processes:
        assert process.stdout is not None
        assert await process.stdout.readline() == b"ready\n"
    ended = await asyncio.gather(*(process.communicate(b"\n") for process in processes))
    assert [process.returncode for process in processes] == [0, 0, 0], ended
    assert await database.read(differences) == []
    assert await database.read(revision_of) == 1


def test_a_first_start_on_sqlite_loads_no_alembic(tmp_path: Path) -> None:
    """It would cost a tenth of a second."""
    script = MIGRATE.replace('print("ready", flush=True)', "").replace("sys.stdin.readline()", "")
    script += "assert 'alembic' not in sys.modules\n"
    ended = subprocess.run(
        [sys.executable, "-c", script, f"sqlite:///{tmp_path}/gateway.db"], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
