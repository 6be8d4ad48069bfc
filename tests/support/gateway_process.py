"""The real server as a process of its own: `python3 -m asgi_gateway serve`, started, watched, ended and killed.

```python
with GatewayProcess(directory, settings) as gateway:
    await gateway.ready()
    ...
    assert await gateway.terminate() == 0
```

Nothing of it outlives the block. Run under coverage, its process is measured, too (`patch = subprocess`).
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Self

from support.caller import Call, get
from support.ledger_file import LedgerFile
from support.waiting import eventually

__all__ = ["GatewayProcess", "memory_of", "run_command"]

LISTENING = re.compile(r"(?:listens|listening|running) on http://127\.0\.0\.1:(\d+)")
ESTABLISHED = "01"
BURST = 50
START_DEADLINE = 60.0
"""Seconds; several workers on a busy machine take their time."""


class GatewayProcess:
    """One `serve` in `directory`, where its configuration, its database and its output lie.

    `settings` is the text of the configuration file, without `[storage]`, which is added: `gateway.db`, or `storage`.
    `program` replaces `-m asgi_gateway serve`. `measured`: by coverage, if that runs; a kill may cut its file in half.
    A directory may be used by one process after another: database and output are found again.
    """

    def __init__(
        self,
        directory: Path,
        settings: str,
        *,
        storage: str | None = None,
        workers: int = 1,
        program: Sequence[str] = ("-m", "asgi_gateway", "serve"),
        measured: bool = True,
    ) -> None:
        self.directory = directory
        self.books = LedgerFile(
            storage if storage and "://" in storage and not storage.startswith("memory") else directory / "gateway.db"
        )
        self.config = directory / "gateway.toml"
        url = storage or f"sqlite:///{directory / 'gateway.db'}"
        self.config.write_text(f'{settings}\n[storage]\nurl = "{url}"\n')
        self._output = directory / f"stdout-{len(list(directory.glob('stdout-*')))}"
        self._errors = self._output.with_name(self._output.name.replace("stdout", "stderr"))
        self._workers = workers
        self._arguments = [*program, "--config", str(self.config), "--port", "0", "--workers", str(workers)]
        self._environment = {
            name: value for name, value in os.environ.items() if measured or not name.startswith("COVERAGE_")
        }
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, *self._arguments],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                start_new_session=True,  # so that its workers can be ended with it
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Of the process that was started; with several workers the one that watches over them."""
        assert self._process is not None
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """The processes that serve, of several."""
        return [pid for pid in _children(self.pid) if b"spawn_main" in _command(pid)]

    @property
    def connections(self) -> dict[int, set[int]]:
        """The callers' ports of the connections that each of several workers has accepted and not closed."""
        here = f":{self.port:04X}"
        ports = {}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(here) and fields[3] == ESTABLISHED:
                ports[fields[9]] = int(fields[2].rpartition(":")[2], 16)
        return {pid: {ports[inode] for inode in _sockets(pid) & ports.keys()} for pid in self.workers}

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def output(self) -> str:
        """What it printed to stdout."""
        return self._output.read_text()

    @property
    def log(self) -> str:
        """What it wrote to stderr."""
        return self._errors.read_text()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The access records that it has written by now."""
        return [json.loads(line) for line in self.output.splitlines() if line.startswith("{")]

    @property
    def code(self) -> int | None:
        """The exit code, None while it runs."""
        assert self._process is not None
        return self._process.poll()

    async def ready(self) -> Self:
        """Wait until it takes work."""
        await eventually(lambda: bool(self._listening() or self.code is not None), START_DEADLINE, "an address")
        found = self._listening()
        assert found is not None, f"exit code {self.code}: {self.log}"
        self.port = int(found[1])
        if self._workers > 1:  # it listens as soon as the first of them does
            told = f"all {self._workers} workers serve"
            await eventually(lambda: told in self.log, START_DEADLINE, "all workers")
        assert (await get(self.port, "/readyz"))[0] == 200
        return self

    async def spread(self, count: int) -> list[Call]:
        """So many connections, as evenly over all workers as it goes, nothing sent yet.

        Who accepts a connection is the kernel's choice, so more are opened than are kept.
        """
        if self._workers == 1:
            return [await Call.connect(self.port) for _ in range(count)]
        calls: dict[int, Call] = {}
        shares: list[set[int]] = [set()]
        while not all(shares) or len(calls) < 2 * count:
            further = await asyncio.gather(*(Call.connect(self.port) for _ in range(max(count, BURST))))
            calls.update({call.port: call for call in further})
            await eventually(lambda: set().union(*self.connections.values()) >= calls.keys(), 10, "acceptance of all")
            shares = [ports & calls.keys() for ports in self.connections.values()]
        turns = [port for turn in zip_longest(*shares) for port in turn if port is not None]
        for port in turns[count:]:
            calls[port].leave()
        return [calls[port] for port in turns[:count]]

    def signal(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to the process that was started."""
        os.kill(self.pid, number)

    async def ended(self, seconds: float = 30.0) -> int:
        """Wait for its end; the exit code."""
        await eventually(lambda: self.code is not None, seconds, "the end of the process")
        assert self.code is not None
        return self.code

    async def terminate(self) -> int:
        """Ask it to end, and wait until it has; the exit code."""
        self.signal()
        return await self.ended()

    def kill(self) -> None:
        """End it and its workers at once, as `kill -9` does."""
        assert self._process is not None
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # all of them have ended
        self._process.wait()

    def _listening(self) -> re.Match[str] | None:
        return LISTENING.search(self.output) or LISTENING.search(self.log)


def run_command(config: Path, *arguments: str) -> str:
    """Run another command of the command line to its end; what it printed."""
    command = [sys.executable, "-m", "asgi_gateway", *arguments, "--config", str(config)]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def memory_of(pid: int) -> int:
    """Resident bytes of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _sockets(pid: int) -> set[str]:
    """The inodes of a process's sockets."""
    found = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        try:
            found.add(os.readlink(entry.path).removeprefix("socket:[").rstrip("]"))
        except FileNotFoundError:
            continue  # it was closed meanwhile
    return found


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""  # it has just ended
