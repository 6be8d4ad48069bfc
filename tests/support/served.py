"""The standalone product in a process of its own, as a user starts it."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import IO

__all__ = ["DEADLINE", "Served", "run_command", "until"]

DEADLINE = 30.0
"""Seconds after which nothing more is waited for."""

ADDRESS = re.compile(r"(?:listens|listening) on (http://\S+)")
KEY = re.compile(r"token, shown this once: (sk-\S+)")


def run_command(
    *arguments: str, cwd: Path, environ: Mapping[str, str] | None = None, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m asgi_gateway` with these arguments, run to its end."""
    return subprocess.run(
        [sys.executable, "-m", "asgi_gateway", *arguments],
        cwd=cwd,
        env={**os.environ, **(environ or {})},
        input=given,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


def until(met: Callable[[], bool]) -> None:
    """Ask again and again until it is so."""
    deadline = monotonic() + DEADLINE
    while not met():
        assert monotonic() < deadline, "it did not come to be so"
        os.sched_yield()


class Served:
    """`asgi-gateway serve` on a free port. A context manager that leaves no process behind."""

    def __init__(self, *arguments: str, cwd: Path, environ: Mapping[str, str] | None = None) -> None:
        self.out: list[str] = []
        self.err: list[str] = []
        self._changed = threading.Condition()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "asgi_gateway", "serve", "--port", "0", *arguments],
            cwd=cwd,
            env={**os.environ, **(environ or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(pipe, lines), daemon=True)
            for pipe, lines in ((self.process.stdout, self.out), (self.process.stderr, self.err))
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.end()

    @property
    def text(self) -> str:
        """Everything written so far."""
        return "\n".join([*self.out, *self.err])

    @property
    def address(self) -> str:
        """Where it listens, waited for."""
        return self._found(ADDRESS)

    @property
    def key(self) -> str:
        """The key that was printed, waited for."""
        return self._found(KEY)

    @property
    def workers(self) -> set[int]:
        """The process ids of the workers that are there now."""
        pid = self.process.pid
        found = set()
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            try:
                if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                    found.add(int(child))
            except FileNotFoundError:
                continue  # it ended meanwhile
        return found

    def wait_for(self, found: Callable[[str], object]) -> None:
        """Wait until what was written is such."""
        with self._changed:
            if not self._changed.wait_for(lambda: found(self.text) or self._ended(), DEADLINE) or not found(self.text):
                raise AssertionError(f"it was waited for in vain in:\n{self.text}")

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the process that was started."""
        self.process.send_signal(number)

    def end(self) -> int:
        """Its exit code, waited for, once everything it wrote was read."""
        code = self.process.wait(DEADLINE)
        for reader in self._readers:
            reader.join(DEADLINE)
        return code

    def _read(self, pipe: IO[str], lines: list[str]) -> None:
        with pipe:
            for line in pipe:
                with self._changed:
                    lines.append(line.rstrip("\n"))
                    self._changed.notify_all()
        with self._changed:
            self._changed.notify_all()

    def _ended(self) -> bool:
        return not any(reader.is_alive() for reader in self._readers if reader is not threading.current_thread())

    def _found(self, pattern: re.Pattern[str]) -> str:
        self.wait_for(pattern.search)
        match = pattern.search(self.text)
        assert match is not None
        return match[1]
