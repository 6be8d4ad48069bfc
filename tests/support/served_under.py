"""One gateway app under each server that we support, as a process of its own."""

import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from support import served_app
from support.broken_upstream import EVENTS, LONG_ANSWER, chunked, sized, stream_of, wire
from support.host_process import HostProcess, free_port
from support.ledger_file import LedgerFile
from support.scripted_upstream import Gate, ScriptedServer, answer, stall, stream
from support.waiting import eventually

__all__ = ["LONG_HALF", "SERVERS", "Served", "serving"]

SERVERS = ["uvicorn", "uvicorn-h11", "hypercorn", "granian"]

LONG_HALF = LONG_ANSWER[: len(LONG_ANSWER) // 2]


def arguments(server: str, port: int) -> list[str]:
    """The command line that serves the app; uvicorn takes whichever port is free."""
    app = "served_app:app"
    match server:
        case "uvicorn":
            return ["uvicorn", app, "--port", "0"]
        case "uvicorn-h11":
            return ["uvicorn", app, "--port", "0", "--http", "h11"]
        case "hypercorn":
            return ["hypercorn", app, "--bind", f"127.0.0.1:{port}"]
        case _:
            return ["granian", "--interface", "asgi", "--host", "127.0.0.1", "--port", str(port), app]


@dataclass(frozen=True)
class Served:
    """A server that runs, and the upstream behind its gateway. `gate` opens the second half of the model `paced`."""

    server: str
    process: HostProcess
    upstream: ScriptedServer
    gate: Gate

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.process.port

    @property
    def books(self) -> LedgerFile:
        """The gateway's ledger."""
        return LedgerFile(self.process.directory / "gateway.db")


@asynccontextmanager
async def serving(server: str, directory: Path) -> AsyncIterator[Served]:
    """Run the app under a server until the block ends."""
    shutil.copy(served_app.__file__, directory)
    gate, port = Gate(), free_port()
    scripts = {
        "quick": answer(),
        "paced": stream(6, between=gate),
        "silent": stall("headers"),
        "endless": stream(3, end_with="silence"),
        "broken-sized": wire(sized(LONG_HALF, promised=len(LONG_ANSWER)), then="close"),
        "broken-chunked": wire(chunked(LONG_HALF, ended=False), then="close"),
        "broken-stream": wire(b"", stream_of(EVENTS, ended=False), then="close"),
    }
    with ScriptedServer(scripts) as upstream:
        environment = {"UPSTREAM_URL": f"http://127.0.0.1:{upstream.port}"}
        with HostProcess(directory, arguments(server, port), environment, port=port) as process:
            await process.ready()
            # granian says that it listens before its worker does.
            await eventually(lambda: _accepts(process.port), 30, "server that accepts connections")
            yield Served(server, process, upstream, gate)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
