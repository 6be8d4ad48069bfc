"""Several processes behind one listening socket, and one that watches over them.

A worker that dies is replaced, after a pause that grows while it keeps dying. SIGTERM, SIGINT and SIGHUP are passed on
as SIGTERM: each worker drains. Metrics lie in a directory of files that all workers write and any of them sums up;
what a dead worker counted stays counted, its gauges go.

uvicorn's own supervisor is not used: its workers are plain servers, which cut streams at their end, and it does not
hear a second signal while it waits for them.
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from socket import socket
from tempfile import TemporaryDirectory
from time import monotonic

from asgi_gateway.config import Settings

__all__ = ["Supervisor", "work"]

logger = logging.getLogger("asgi_gateway")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

METRICS_DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
"""Where the Prometheus client of each process keeps its numbers, when it is set before the client is imported."""

SETTLED = 10.0
"""Seconds after which a worker counts as one that works."""

LONGEST_PAUSE = 30.0
CLOSING = 20.0
"""Seconds beyond the grace that workers get to close their storage."""


class _Worker:
    """One process: when it was started, and whether it ever took requests."""

    def __init__(self, settings: Settings, listener: socket) -> None:
        context = get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=work, args=(settings, listener, theirs))
        self.process.start()
        theirs.close()
        self.started = monotonic()
        self.ready = False

    @property
    def lived(self) -> float:
        """Seconds since the start."""
        return monotonic() - self.started


class Supervisor:
    """Keeps `count` workers alive until a signal comes. `on_ready` is called once, when the first takes requests."""

    def __init__(
        self, settings: Settings, listener: socket, count: int, *, on_ready: Callable[[], None] | None = None
    ) -> None:
        self._settings = settings
        self._listener = listener
        self._count = count
        self._on_ready = on_ready
        self._workers: list[_Worker] = []
        self._due: list[float] = []
        self._failures = 0
        self._was_ready = False
        self._signals = 0
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> int:
        """Serve; the exit code: 0, or 1 when no worker could be started."""
        os.set_blocking(self._wake_write, False)
        before = {number: signal.signal(number, self._signalled) for number in SIGNALS if not _is_nohup(number)}
        try:
            with TemporaryDirectory(prefix="asgi-gateway-metrics-") as directory:
                os.environ[METRICS_DIRECTORY] = directory
                self._workers = [self._start() for _ in range(self._count)]
                failed = not self._watch()
                self._end()
                return 1 if failed else 0
        finally:
            os.environ.pop(METRICS_DIRECTORY, None)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._wake_read)
            os.close(self._wake_write)

    def _start(self) -> _Worker:
        return _Worker(self._settings, self._listener)

    def _signalled(self, number: int, frame: object) -> None:
        self._signals += 1
        os.write(self._wake_write, b".")

    def _watch(self) -> bool:
        """Keep the workers alive until a signal comes; False when the first ones never came up."""
        while not self._signals:
            pause = max(0.0, min(self._due) - monotonic()) if self._due else None
            self._listen(pause)
            for worker in [worker for worker in self._workers if not worker.process.is_alive()]:
                self._bury(worker)
                if not self._was_ready:
                    logger.error("a worker could not be started: ending")
                    return False
                self._plan(worker)
            now = monotonic()
            while self._due and self._due[0] <= now:
                self._due.pop(0)
                self._workers.append(self._start())
        return True

    def _listen(self, seconds: float | None) -> None:
        """Wait until something happens: a signal, a worker that is ready, one that ended, or time."""
        by_connection = {worker.connection: worker for worker in self._workers if not worker.ready}
        sentinels = [worker.process.sentinel for worker in self._workers]
        for event in wait([self._wake_read, *sentinels, *by_connection], seconds):
            if event == self._wake_read:
                os.read(self._wake_read, 64)
            elif isinstance(event, Connection) and (worker := by_connection.get(event)) is not None:
                self._heard(worker)

    def _heard(self, worker: _Worker) -> None:
        try:
            worker.connection.recv_bytes()
        except EOFError:
            worker.process.join(CLOSING)
            return
        worker.ready = True
        if len(self._workers) == self._count and all(other.ready for other in self._workers):
            logger.info("all %d workers serve", self._count)
        if not self._was_ready:
            self._was_ready = True
            if self._on_ready is not None:
                self._on_ready()

    def _bury(self, worker: _Worker) -> None:
        from prometheus_client.multiprocess import mark_process_dead

        self._workers.remove(worker)
        worker.connection.close()
        if worker.process.pid is not None:
            mark_process_dead(worker.process.pid, os.environ[METRICS_DIRECTORY])  # type: ignore[no-untyped-call]  # the client library has no types there

    def _plan(self, worker: _Worker) -> None:
        """Decide when a dead worker is replaced: at once, or later and later while they keep dying young."""
        self._failures = 0 if worker.ready and worker.lived > SETTLED else self._failures + 1
        pause = 0.0 if self._failures == 0 else min(LONGEST_PAUSE, 0.5 * 2.0 ** min(self._failures - 1, 10))
        logger.error("worker %s ended with %s: another one in %g s", worker.process.pid, worker.process.exitcode, pause)
        self._due.append(monotonic() + pause)
        self._due.sort()

    def _end(self) -> None:
        """Let the workers drain. A further signal hurries them, a third kills them; so does a time far too long."""
        self._listener.close()
        passed_on = 0
        deadline = monotonic() + self._settings.server.grace + CLOSING
        while alive := [worker for worker in self._workers if worker.process.is_alive()]:
            wanted = max(1, self._signals)
            late = monotonic() > deadline
            if wanted > passed_on or late:
                passed_on = wanted
                _end_all(alive, kill=wanted > 2 or late)
            sentinels = [worker.process.sentinel for worker in alive]
            if self._wake_read in wait([self._wake_read, *sentinels], max(0.1, deadline - monotonic())):
                os.read(self._wake_read, 64)
        for worker in self._workers:
            worker.connection.close()
            worker.process.join()


def _is_nohup(number: signal.Signals) -> bool:
    """Whether we were started so that the end of a terminal does not end us."""
    return number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _end_all(workers: Sequence[_Worker], *, kill: bool) -> None:
    for worker in workers:
        if kill:
            worker.process.kill()
        else:
            worker.process.terminate()


def work(settings: Settings, listener: socket, connection: Connection) -> None:
    """What a worker does: serve, and tell the watcher once it takes requests."""
    from asgi_gateway_contrib.standalone.server import configure_logging, run

    # A terminal sends these to the whole group of processes: the watcher hears them and tells us once.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    configure_logging()
    sys.exit(
        run(
            settings,
            listener,
            shared=True,
            on_ready=lambda: connection.send_bytes(b"ready"),
            parent=connection.fileno(),
        )
    )
