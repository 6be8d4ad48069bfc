"""Brings a database to the tables of this version, and refuses one that has others.

The migrations themselves stand in `migrations/versions`, in the form of Alembic, which is loaded only to run them:
an empty database gets the tables of `schema` at once. `gateway_schema` holds the version that a database has.

Rules for whoever writes a migration:

- Released migrations are never changed. A new one is added to `VERSIONS`; a test compares what all of them make with
  what `schema` says, on each kind of database.
- From the second release on, processes of the version before go on beside it: during a rolling upgrade, and after a
  way back. So a migration adds: tables, columns that may be NULL or have a server's default, indexes. It removes,
  renames or narrows only what the version before does not use any more (expand first, contract a version later).
- A migration is one transaction on SQLite and PostgreSQL. MySQL commits at every change of a table, and a
  migration that ends half-way is run again from its beginning: each of its steps asks first whether it was done.
- Rows are changed in small batches, and may be changed twice.
- No table is locked for longer than the ledger waits: on PostgreSQL, indexes of large tables are made CONCURRENTLY, in
  an `autocommit_block`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from sqlalchemy import Column, Connection, MetaData, PrimaryKeyConstraint, String, Table, insert, inspect, select
from sqlalchemy.exc import DBAPIError

from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.address import DatabaseAddress
from asgi_gateway.backends.sql.database import Database, make_engine
from asgi_gateway.backends.sql.drivers import Session, connect
from asgi_gateway.backends.sql.sqlite import prepare_file
from asgi_gateway.errors import ServiceUnavailable

__all__ = ["HEAD", "VERSIONS", "migrate", "prepare", "status"]

VERSIONS = ("0001",)
"""Every version that a release had, oldest first."""

HEAD = VERSIONS[-1]
"""The version of this program."""

VERSION_TABLE = "gateway_schema"

BEFORE_RELEASE = "before a release"
"""The version of a database that only unreleased programs made."""

LOCK = "gateway_schema"
LOCK_NUMBER = 0x67617465776179  # "gateway"
LOCK_SECONDS = 600
"""How long another process that migrates is waited for."""

_versions = Table(
    VERSION_TABLE,
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="gateway_schema_pkc"),
)


async def prepare(database: Database, *, allowed: bool) -> str | None:
    """Make sure that an open `database` has the tables of this version; return the version that it had.

    SQLite's file is made and brought up to date; a server's database only where it is `allowed`.
    Raises `ValueError`, which says what to do, for a database of another version;
    `ServiceUnavailable`, `OSError` or `sqlite3.Error` for one that cannot be reached.
    """
    if database.address.path is not None:
        await database.call(partial(prepare_file, database.address.path, database.wait))
    found = await status(database)
    if found == HEAD:
        return found
    if found is not None and found not in VERSIONS:
        used = "it is of " + found if found == BEFORE_RELEASE else f"it was used by a newer version ({found})"
        raise ValueError(f"the database cannot be used: {used}; this program knows version {HEAD}")
    if not allowed and database.kind != "sqlite":
        state = "is empty" if found is None else f"has version {found}, this program needs {HEAD}"
        raise ValueError(f'the database {state}: run "asgi-gateway migrate", or serve with --migrate')
    await migrate(database)
    return found


async def status(database: Database) -> str | None:
    """The version that a database has: None for an empty one. `HEAD` is the version of this program."""
    return await database.read(_version)


async def migrate(database: Database) -> None:
    """Bring an open database to `HEAD`. Where several processes do so at once, one does and the others wait."""
    try:
        await database.call(partial(_migrate, database.address, database.wait))
    except DBAPIError as error:
        raise ServiceUnavailable("The gateway's database could not be migrated.") from error


def _version(connection: Connection) -> str | None:
    tables = inspect(connection)
    if tables.has_table(VERSION_TABLE):
        found = connection.execute(select(_versions.c.version_num)).scalar()
        if found is not None:
            return str(found)
    if tables.has_table(schema.options.name):
        query = select(schema.options.c.value).where(schema.options.c.name == "schema_version")
        if connection.execute(query).scalar() is not None:
            return BEFORE_RELEASE
    return None


def _migrate(address: DatabaseAddress, wait: float) -> None:
    session = Session(limit=None, wait=wait if address.kind == "sqlite" else None)
    engine = make_engine(address, session, 1)
    try:
        with _alone(address), engine.execution_options(gateway_writes=True).begin() as connection:
            found = _version(connection)
            if found is None:
                _create(connection)
            elif found in VERSIONS[:-1]:
                from asgi_gateway.backends.sql.migrations import upgrade

                upgrade(connection)
    finally:
        engine.dispose()


def _create(connection: Connection) -> None:
    """Make what is missing; the version comes last, so that what ends half-way is gone on with."""
    schema.metadata.create_all(connection)
    for table in schema.metadata.sorted_tables:
        for index in table.indexes:  # of a table that was there already
            index.create(connection, checkfirst=True)
    if connection.execute(select(schema.revision.c.number)).first() is None:
        connection.execute(insert(schema.revision).values(id=1, number=1))
    _versions.create(connection, checkfirst=True)
    connection.execute(insert(_versions).values(version_num=HEAD))


@contextmanager
def _alone(address: DatabaseAddress) -> Iterator[None]:
    """Keep other processes from migrating the same database. SQLite's own lock on writing does so."""
    if address.kind == "sqlite":
        yield
        return
    session = Session(limit=None, wait=LOCK_SECONDS)
    holder = connect(address, session)
    try:
        cursor = holder.cursor()
        if address.kind == "postgresql":
            cursor.execute("SELECT pg_advisory_lock(%s)", (LOCK_NUMBER,))
            holder.commit()  # the lock belongs to the session, and no transaction stays open beside the migration's
        else:
            cursor.execute("SELECT GET_LOCK(CONCAT('gateway.', MD5(DATABASE())), %s)", (LOCK_SECONDS,))
            if cursor.fetchone() != (1,):
                raise ServiceUnavailable("The gateway's database is being migrated by somebody else.")
        yield
    finally:
        holder.close()  # which gives the lock back
