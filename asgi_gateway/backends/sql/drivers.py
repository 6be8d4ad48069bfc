"""The drivers of the databases: how each is asked to connect, what is set on its connections, what its errors mean.

Both the engine of SQLAlchemy and whoever writes by hand connect with these settings:
no connection is waited for longer than two seconds, and a statement longer than its limit is ended by the server;
a server that does not even do that is given up by the client (see `abort`).
"""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from asgi_gateway.backends.sql.address import DatabaseAddress, Kind

__all__ = ["CONNECT", "Session", "abort", "connect", "connect_options", "is_conflict", "prepare_session", "require"]

CONNECT = 2
"""Seconds that a server has to take a connection."""

SLACK = 1.0
"""Seconds that a client waits for the answer of a server beyond the server's own limit."""

MODULES: Mapping[Kind, tuple[str, str]] = {"postgresql": ("psycopg", "postgresql"), "mysql": ("pymysql", "mysql")}
"""The module of a driver that is no part of Python, and the extra that brings it."""

CONFLICTS: Mapping[Kind, frozenset[object]] = {
    "sqlite": frozenset(),
    "postgresql": frozenset({"40001", "40P01"}),  # https://www.postgresql.org/docs/current/errcodes-appendix.html
    "mysql": frozenset({1205, 1213}),  # ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What holds on a connection: `limit` seconds for a statement, `wait` for a lock; `report` for reads that agree.

    None: without a limit.
    """

    limit: float | None
    wait: float | None
    report: bool = False


def require(kind: Kind) -> None:
    """Raises `ValueError`, naming the extra to install, when the driver of a kind of database is missing."""
    if kind not in MODULES:
        return
    module, extra = MODULES[kind]
    try:
        import_module(module)
    except ImportError as error:
        raise ValueError(f'storage URL: {kind} needs {module}: pip install "asgi-gateway[{extra}]"') from error


def connect_options(address: DatabaseAddress, session: Session) -> dict[str, Any]:
    """What the driver's `connect` is given beside what stands in the URL."""
    match address.kind:
        case "sqlite":
            return {"timeout": 5.0 if session.wait is None else session.wait}
        case "postgresql":
            # A host that vanished is noticed by the kernel, since nobody would ever close its connections.
            alive = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3, "tcp_user_timeout": 15_000}
            return {"connect_timeout": CONNECT, "application_name": "asgi-gateway", **alive, **address.url.query}
        case "mysql":
            patience = None if session.limit is None else max(session.limit, session.wait or 0.0) + SLACK
            return {
                "connect_timeout": CONNECT,
                "read_timeout": patience,
                "write_timeout": patience,
                "charset": "utf8mb4",
            }


def connect(address: DatabaseAddress, session: Session, **more: Any) -> Any:
    """A connection of the driver itself, prepared as `session` says; it is given `more`. Raises the driver's errors."""
    require(address.kind)
    dialect = address.url.get_dialect()()
    positional, named = dialect.create_connect_args(address.url)
    raw = dialect.import_dbapi().connect(*positional, **{**named, **connect_options(address, session), **more})
    try:
        prepare_session(raw, address.kind, session)
    except BaseException:  # whatever it is goes on, and leaves no connection behind
        raw.close()
        raise
    return raw


def prepare_session(raw: Any, kind: Kind, session: Session) -> None:
    """Set on a new connection what is not said when connecting."""
    cursor = raw.cursor()
    try:
        for statement in _statements(raw, kind, session):
            cursor.execute(statement)
    finally:
        cursor.close()
    if kind != "sqlite":
        raw.commit()


def _statements(raw: Any, kind: Kind, session: Session) -> list[str]:
    match kind:
        case "sqlite":
            return ["PRAGMA synchronous = FULL", *(["PRAGMA query_only = ON"] if session.report else [])]
        case "postgresql":
            isolation = "REPEATABLE READ, READ ONLY" if session.report else "READ COMMITTED, READ WRITE"
            return [
                f"SET statement_timeout = {_milliseconds(session.limit)}",
                f"SET lock_timeout = {_milliseconds(session.wait)}",
                f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {isolation}",
            ]
        case "mysql":
            isolation = "REPEATABLE READ, READ ONLY" if session.report else "READ COMMITTED, READ WRITE"
            if "mariadb" in raw.get_server_info().lower():
                limit = f"max_statement_time = {session.limit or 0}"
            else:
                limit = f"max_execution_time = {_milliseconds(session.limit)}"
            statements = [
                f"SET SESSION {limit}",
                f"SET SESSION TRANSACTION ISOLATION LEVEL {isolation}",
                # Nothing is cut off in silence.
                "SET SESSION sql_mode = CONCAT_WS(',', NULLIF(@@sql_mode, ''), 'STRICT_ALL_TABLES')",
            ]
            if session.wait is not None:
                statements.append(f"SET SESSION innodb_lock_wait_timeout = {max(1, round(session.wait))}")
            return statements


def abort(raw: Any) -> None:
    """Make a connection of PostgreSQL fail that another thread waits for.

    PyMySQL gives up by its own time-out, see `connect_options`; SQLite is asked now and then, see `Calls.connected`.
    """
    if hasattr(raw, "fileno") and not raw.closed:
        with socket.socket(fileno=os.dup(raw.fileno())) as other:
            try:
                other.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the server was faster


def is_conflict(error: BaseException | None, kind: Kind) -> bool:
    """Whether a transaction was undone for the sake of another one, and would do when tried again."""
    code = getattr(error, "sqlstate", None) or (error.args[0] if error is not None and error.args else None)
    return code in CONFLICTS[kind]


def _milliseconds(seconds: float | None) -> int:
    """As servers take it: 0 is no limit."""
    return 0 if seconds is None else max(1, round(seconds * 1000))
