"""Several processes behind one socket."""

import os
import re
import signal
import socket
from pathlib import Path

import httpx

from support.served import DEADLINE, Served, until


def is_open(address: str) -> bool:
    host, port = address.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), 1).close()
    except OSError:
        return False
    return True


def counted(served: Served) -> int:
    text = httpx.get(f"{served.address}/metrics").text
    return round(sum(float(value) for value in re.findall(r'gateway_requests_total\{[^}]*"models"[^}]*\} (\S+)', text)))


def ask(served: Served) -> None:
    answer = httpx.get(f"{served.address}/v1/models", headers={"authorization": f"Bearer {served.key}"})
    assert answer.status_code == 200


def test_metrics_are_summed_and_a_dead_worker_is_replaced(tmp_path: Path) -> None:
    """What a worker counted before it was killed stays counted; another takes its place."""
    with Served("--workers", "2", cwd=tmp_path) as served:
        served.wait_for(lambda text: "all 2 workers serve" in text)
        for _ in range(20):
            ask(served)
        until(lambda: counted(served) == 20)

        before = served.workers
        assert len(before) == 2
        victim = min(before)
        os.kill(victim, signal.SIGKILL)
        served.wait_for(lambda text: f"worker {victim} ended with -9" in text)
        until(lambda: counted(served) >= 20 and len(served.workers - before) == 1)
        ask(served)
        until(lambda: counted(served) == 21)

        served.signal()
        assert served.end() == 0
    assert "Traceback" not in served.text


def test_workers_end_when_nobody_watches_over_them(tmp_path: Path) -> None:
    """A watcher that is killed leaves no process behind."""
    with Served("--workers", "2", cwd=tmp_path) as served:
        address = served.address
        served.wait_for(lambda text: "all 2 workers serve" in text)
        served.signal(signal.SIGKILL)
        assert served.process.wait(DEADLINE) == -signal.SIGKILL
        until(lambda: not is_open(address))

        served.wait_for(lambda text: text.count("is gone: ending") == 2)


def test_workers_that_cannot_start_end_it_all(tmp_path: Path) -> None:
    """The exit code is 1, and nobody tries for ever."""
    from asgi_gateway.config import Settings, StorageSettings
    from asgi_gateway_contrib.standalone.workers import Supervisor

    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = Settings(storage=StorageSettings(url=f"sqlite:///{tmp_path}/no/such/folder/gateway.db"))
        assert Supervisor(settings, listener, 2).run() == 1
