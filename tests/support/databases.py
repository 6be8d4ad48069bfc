"""Servers that tests start for themselves: PostgreSQL, MariaDB, Redis; each on a free port, in a folder of its own.

None of them may run as root, or may not without a word; started by root they run as another user.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

__all__ = ["MariaDB", "PostgreSQL", "Redis", "Server"]

DEADLINE = 60.0
"""Seconds until a server must answer."""

POLL = 0.05


class Server:
    """A server process. `start` returns when it answers; `kill` is `kill -9`, after which `start` recovers it.

    `program` is where it is, if a test is not to be skipped without it; `before` stands before its command.
    """

    service: ClassVar[str]
    user: ClassVar[str]

    def __init__(self, program: Path | None = None, before: Sequence[str] = ()) -> None:
        self.program = program or _required(self.service)
        self._before = before
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.service}-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        if os.geteuid() == 0:
            shutil.chown(self.folder, self.user)
        self.prepare()

    def prepare(self) -> None:
        """Make what the server keeps."""

    def command(self) -> Sequence[str | Path]:
        raise NotImplementedError

    def answers(self) -> bool:
        """Whether it takes requests."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self._before, *self.as_user(self.command())],
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        deadline = time.monotonic() + DEADLINE
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.service} does not start:\n{self.log()[-4000:]}")
            time.sleep(POLL)

    def kill(self) -> None:
        """End it at once, as a power cut would, with all of its processes."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Let it keep its connections and answer nothing."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and, since PostgreSQL's have sessions of their own, to its children."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        for each in [pid, *map(int, children.read_text().split() if children.exists() else [])]:
            try:
                os.kill(each, number)
            except ProcessLookupError:
                pass  # it has ended meanwhile

    def stop(self) -> None:
        """End it and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """What it printed."""
        return (self.folder / "log").read_text(errors="replace")

    def run(self, command: Sequence[str | Path]) -> None:
        """Run a program of this server as its user."""
        done = subprocess.run(self.as_user(command), capture_output=True, text=True, check=False, cwd=self.folder)
        if done.returncode:
            raise RuntimeError(f"{command[0]}: {done.stdout}{done.stderr}")

    def as_user(self, command: Sequence[str | Path]) -> list[str | Path]:
        """A command as the server's user, where root may not be it."""
        if os.geteuid() != 0:
            return list(command)
        user = pwd.getpwnam(self.user)
        return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", *command]


class PostgreSQL(Server):
    """PostgreSQL; `url` names its database. What is committed survives `kill`."""

    service = "postgresql"
    user = "postgres"

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"postgresql://gateway@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        initdb = self.program
        self.run([initdb, "-D", self.folder / "data", "-U", "gateway", "--auth=trust", "-E", "UTF8", "--locale=C"])

    def command(self) -> Sequence[str | Path]:
        return [
            *(self.program.parent / "postgres", "-D", self.folder / "data", "-p", str(self.port)),
            *("-k", self.folder, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=100"),
        ]

    def start(self) -> None:
        (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)  # after `kill`
        super().start()

    def answers(self) -> bool:
        ready = [self.program.parent / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        return subprocess.run(ready, check=False).returncode == 0


class MariaDB(Server):
    """MariaDB; `url` names its database. What is committed survives `kill`."""

    service = "mariadb"
    user = "mysql"

    @property
    def url(self) -> str:
        """For SQLAlchemy."""
        return f"mysql://gateway:gateway@127.0.0.1:{self.port}/gateway"

    def prepare(self) -> None:
        self.run(
            [
                *("mariadb-install-db", "--no-defaults", f"--datadir={self.folder / 'data'}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"),
            ]
        )
        (self.folder / "init.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS gateway CHARACTER SET utf8mb4;\n"
            "CREATE USER IF NOT EXISTS 'gateway'@'%' IDENTIFIED BY 'gateway';\n"
            "GRANT ALL ON *.* TO 'gateway'@'%';\n"
        )

    def _base(self) -> list[str | Path]:
        return [
            *(self.program, "--no-defaults", f"--datadir={self.folder / 'data'}"),
            *("--innodb-log-file-size=64M", "--innodb-buffer-pool-size=256M", "--skip-name-resolve"),
        ]

    def command(self) -> Sequence[str | Path]:
        return [
            *self._base(),
            *(f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self.folder / 'socket'}"),
            *(f"--pid-file={self.folder / 'pid'}", "--max-connections=200", f"--init-file={self.folder / 'init.sql'}"),
        ]

    def answers(self) -> bool:
        """Greets whoever connects."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return bool(connection.recv(1))
        except OSError:
            return False


class Redis(Server):
    """Redis, which keeps nothing."""

    service = "redis"
    user = "redis"

    @property
    def url(self) -> str:
        """Of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> Sequence[str | Path]:
        return [
            *(self.program, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"),
            *("--dir", self.folder),
        ]

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(5) == b"+PONG"
        except OSError:
            return False


def _required(service: str) -> Path:
    from support.services import require_service  # brings pytest, which others than tests do not have

    return require_service(service)


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
