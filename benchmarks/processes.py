"""Programs under measure: started on one core, waited for, read from `/proc`, ended."""

import http.client
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["BenchmarkError", "Program", "free_port", "pinned", "raise_file_limit", "running"]

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


class BenchmarkError(Exception):
    """A measure could not be taken; the text says why."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def raise_file_limit() -> None:
    """Let this process and its children open as many files as the system allows: 500 streams need 1000 sockets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def pinned(core: int, argv: Sequence[str]) -> list[str]:
    """The command, held on one core."""
    return ["taskset", "-c", str(core), *argv]


class Program:
    """A running program with its descendants."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self.log = log

    def cpu_seconds(self) -> float:
        """CPU time, user and system, of the program and all that it started; steps of a clock tick (10 ms)."""
        total = 0
        for pid in self._family():
            fields = _stat(pid)
            if fields:
                own = (11, 12, 13, 14) if pid == self.process.pid else (11, 12)  # the root also counts ended children
                total += sum(int(fields[place]) for place in own)
        return total / TICKS

    def resident_bytes(self) -> int:
        """Resident memory of the program and all that it started; pages they share count in each."""
        return sum(int(fields[21]) * PAGE for pid in self._family() if (fields := _stat(pid)))

    def wait_until_answering(self, port: int, seconds: float) -> None:
        """Return when an HTTP server answers on the port, whatever it answers."""
        deadline = time.monotonic() + seconds
        while not _answers(port):
            if self.process.poll() is not None:
                raise BenchmarkError(f"ended with {self.process.returncode} at its start: {self.last_words()}")
            if time.monotonic() > deadline:
                raise BenchmarkError(f"does not listen after {seconds:.0f} s: {self.last_words()}")
            time.sleep(0.05)  # a foreign program has no other way to say that it listens

    def last_words(self) -> str:
        """The end of what the program wrote."""
        return self.log.read_bytes()[-600:].decode(errors="replace").strip()

    def stop(self) -> None:
        """Ask it to end, and make it after 10 s; the whole process group."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, sign)
            except ProcessLookupError:
                pass  # it has ended, but must still be waited for
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                continue
            return

    def _family(self) -> list[int]:
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (fields := _stat(int(entry.name))):
                parents[int(entry.name)] = int(fields[1])
        family = [self.process.pid]
        for member in family:
            family += [pid for pid, parent in parents.items() if parent == member]
        return family


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _stat(pid: int) -> list[str]:
    """The fields of `/proc/<pid>/stat` from the third on (proc(5)); empty when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return text.rpartition(")")[2].split()


@contextmanager
def running(
    argv: Sequence[str], *, core: int, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Program]:
    """A program on one core, in a process group of its own, ended at the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            pinned(core, argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(os.environ) | dict(environment or {}),
            start_new_session=True,
        )
    program = Program(process, log)
    try:
        yield program
    finally:
        program.stop()
