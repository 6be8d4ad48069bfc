"""Database servers for contenders that store there: as the tests start them, on the core of the load."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.machine import ROOT, find_program
from benchmarks.processes import pinned

__all__ = ["no_server", "serving"]

PROGRAMS = {"postgresql": "postgres", "mariadb": "mariadbd"}


def no_server(kind: str) -> str:
    """Why a server cannot be started here; empty when it can."""
    return "" if _program(kind) else f"{kind} is not installed"


@contextmanager
def serving(kind: str, core: int) -> Iterator[str]:
    """A fresh server with its usual durability; the URL of its database."""
    sys.path.append(str(ROOT / "tests"))
    from support.databases import MariaDB, PostgreSQL

    program = _program(kind)
    assert program is not None  # `no_server` was asked before
    server = {"postgresql": PostgreSQL, "mariadb": MariaDB}[kind](program, pinned(core, []))
    try:
        server.start()
        yield server.url
    finally:
        server.stop()


def _program(kind: str) -> Path | None:
    found = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=None) if kind == "postgresql" else None
    named = find_program(PROGRAMS[kind])
    return found or (Path(named) if named else None)
