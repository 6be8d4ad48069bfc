"""An example's own server as a process: the line that its README gives, on a free port."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from support.waiting import eventually

__all__ = ["GATEWAY_KEY", "HostProcess", "free_port"]

GATEWAY_KEY = "sk-alice-host-test"
"""The key of the examples' token."""

LISTENING = re.compile(r"(?:[Rr]unning on|Listening at:) http://127\.0\.0\.1:(\d+)")


def free_port() -> int:
    """A port that nobody listens on now, for servers that do not tell which one they took."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class HostProcess:
    """A server of an example in `directory`: uvicorn, hypercorn or granian by `arguments`, which name its port."""

    def __init__(
        self, directory: Path, arguments: Sequence[str], environment: Mapping[str, str], *, port: int = 0
    ) -> None:
        self.directory = directory
        self.port = port
        self._arguments = arguments
        self._environment = {**os.environ, **environment}
        self._log = directory / "server.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self._arguments],
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def output(self) -> str:
        """What the server wrote so far."""
        return self._log.read_text(errors="replace")

    @property
    def url(self) -> str:
        """Where the server listens."""
        return f"http://127.0.0.1:{self.port}"

    def find_port(self) -> int | None:
        """The port, once the server said that it listens."""
        found = LISTENING.search(self.output)
        return int(found[1]) if found else None

    async def ready(self) -> None:
        """Return when the server listens."""

        def listening() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, self.output
            return self.find_port() is not None

        await eventually(listening, 60.0, "listening server")
        self.port = self.find_port() or self.port

    def stop(self) -> int:
        """Ask the server to end, and give its exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
