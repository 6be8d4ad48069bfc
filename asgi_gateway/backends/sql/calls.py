"""Work under way on threads that may wait for a database for ever, and how the loop gives it up."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asgi_gateway.backends.sql.drivers import abort

__all__ = ["Abandoned", "Call", "Calls"]


STEPS = 100_000
"""Instructions of SQLite's machine, some milliseconds of them, until it asks whether somebody still waits."""


class Abandoned(Exception):
    """Nobody waits for this work any more."""


class Call:
    """One piece of work: its thread says which connection it uses, the loop when it is no longer waited for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connection: Any = None
        self._abandoned = False

    def abandon(self) -> None:
        """Let the thread have its connection fail, if it uses one, and begin nothing more."""
        with self._lock:
            self._abandoned = True
            if self._connection is not None:
                abort(self._connection)

    def use(self, connection: Any) -> None:
        """The thread's: this connection, or none, is used from now on."""
        with self._lock:
            self._connection = connection

    def is_abandoned(self) -> bool:
        """Whether nobody waits."""
        return self._abandoned

    def go_on(self) -> None:
        """The thread's: raises `Abandoned` when nobody waits."""
        if self._abandoned:
            raise Abandoned


class Calls:
    """Which call each thread works on."""

    def __init__(self) -> None:
        self._local = threading.local()

    def call(self) -> Call:
        """A new one."""
        return Call()

    @contextmanager
    def under_way(self, call: Call) -> Iterator[None]:
        """This thread works on `call`."""
        self._local.call = call
        try:
            yield
        finally:
            call.use(None)
            self._local.call = None

    def connected(self, connection: Any) -> None:
        """This thread uses a connection."""
        call: Call | None = getattr(self._local, "call", None)
        if call is None:
            return
        call.use(connection)
        if isinstance(connection, sqlite3.Connection):
            # Not `interrupt`, which does nothing between two statements.
            connection.set_progress_handler(call.is_abandoned, STEPS)
