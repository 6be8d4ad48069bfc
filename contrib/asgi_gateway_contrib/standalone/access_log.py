"""Access records as JSON lines, written by a thread of their own so that a slow reader holds no request up.

Lines wait in memory, at most `CAPACITY` bytes of them, and are written at least once a second and at the end.
While whoever reads them does not, new ones are dropped and counted; how many, is the next line once there is room.
"""

import logging
import os
import stat
from collections import deque
from collections.abc import Callable, Mapping
from threading import Event, Thread

import orjson

__all__ = ["AccessLogWriter"]

CAPACITY = 1 << 20
BATCH = 1 << 15
"""Bytes that wake the writer before its second is over, and that go out in one call where that is safe."""

ATOMIC = 4096
"""Bytes that a pipe takes as one piece, whoever else writes to it (`PIPE_BUF`)."""

PERIOD = 1.0
CLOSING = 2.0
"""Seconds that a blocked reader gets at the end."""

logger = logging.getLogger("asgi_gateway")


class AccessLogWriter:
    """Takes records and writes them to a file descriptor. `on_drop` is called for each record that had no room."""

    def __init__(self, fd: int = 1, *, on_drop: Callable[[], None] | None = None) -> None:
        self.dropped = 0
        self.on_drop = on_drop
        self._fd = fd
        self._piece = ATOMIC if stat.S_ISFIFO(os.fstat(fd).st_mode) else BATCH
        self._lines: deque[bytes] = deque()
        # Written by one thread each, so that neither needs a lock.
        self._taken = 0
        self._written = 0
        self._untold = 0
        self._wake = Event()
        self._closing = False
        self._thread = Thread(target=self._run, name="access-log", daemon=True)
        self._thread.start()

    def __call__(self, record: Mapping[str, object]) -> None:
        """Queue one record; never waits."""
        line = orjson.dumps(record, default=str, option=orjson.OPT_APPEND_NEWLINE)
        waiting = self._taken - self._written
        if waiting + len(line) > CAPACITY or self._closing:
            self._untold += 1
            self._drop(1)
            return
        if self._untold:
            note = orjson.dumps({"dropped_records": self._untold}, option=orjson.OPT_APPEND_NEWLINE)
            self._untold = 0
            line = note + line
        self._taken += len(line)
        self._lines.append(line)
        if waiting <= BATCH < waiting + len(line):
            self._wake.set()

    def close(self) -> None:
        """Write what waits, for at most two seconds."""
        self._closing = True
        self._wake.set()
        self._thread.join(CLOSING)

    def _run(self) -> None:
        while not self._closing or self._lines:
            self._wake.wait(PERIOD)
            self._wake.clear()
            while self._lines:
                piece = self._next_piece()
                try:
                    _write(self._fd, piece)
                except OSError as error:
                    self._give_up(piece, error)
                    return
                self._written += len(piece)

    def _next_piece(self) -> bytes:
        """Whole lines that fit into one call; a line that is longer goes alone."""
        piece = [self._lines.popleft()]
        size = len(piece[0])
        while self._lines and size + len(self._lines[0]) <= self._piece:
            piece.append(self._lines.popleft())
            size += len(piece[-1])
        return b"".join(piece)

    def _drop(self, count: int) -> None:
        self.dropped += count
        if self.on_drop is not None:
            for _ in range(count):
                self.on_drop()

    def _give_up(self, piece: bytes, error: OSError) -> None:
        self._closing = True
        self._drop(piece.count(b"\n") + sum(line.count(b"\n") for line in self._lines))
        self._lines.clear()
        logger.error("access records are dropped from now on: %s", error.strerror)


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]
