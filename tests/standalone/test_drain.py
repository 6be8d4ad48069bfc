"""How a process ends: nobody is taken by surprise, everything is settled."""

import json
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from support.served import DEADLINE, Served, run_command, until


@contextmanager
def open_stream(served: Served, key: str) -> Iterator[tuple[httpx.Response, Iterator[str]]]:
    """A stream whose first word has come."""
    request = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}
    url = f"{served.address}/v1/chat/completions"
    headers = {"authorization": f"Bearer {key}"}
    with httpx.stream("POST", url, json=request, headers=headers, timeout=DEADLINE) as response:
        lines = (line for line in response.iter_lines() if line)
        assert '"first"' in next(lines)
        yield response, lines


def chat(served: Served, key: str) -> httpx.Response:
    request = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
    return httpx.post(
        f"{served.address}/v1/chat/completions",
        json=request,
        headers={"authorization": f"Bearer {key}"},
        timeout=DEADLINE,
    )


def usage(deployment) -> dict[str, int]:
    done = run_command("usage", "--by", "token", "--json", "--config", deployment.config, cwd=deployment.folder)
    (row,) = json.loads(done.stdout)
    return row


@pytest.mark.parametrize("workers", ["1", "2"])
def test_an_open_stream_is_finished_while_new_work_is_refused(deployment, workers: str) -> None:
    """After SIGTERM: 503 for readiness and new work, the open stream goes on to its end, exit code 0."""
    with Served("--config", deployment.config, "--workers", workers, cwd=deployment.folder) as served:
        with open_stream(served, deployment.key) as (_, lines):
            if workers != "1":
                served.wait_for(lambda text: "all 2 workers serve" in text)
            served.signal()
            served.wait_for(lambda text: text.count("draining") == int(workers))
            # A worker that does not stream has nothing to wait for, and ends.
            until(lambda: len(served.workers) <= 1)

            ready = httpx.get(f"{served.address}/readyz")
            refused = chat(served, deployment.key)
            deployment.upstream.go.set()
            rest = list(lines)

        assert ready.status_code == 503
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        assert '"second"' in rest[0]
        assert rest[-1] == "data: [DONE]"
        assert served.end() == 0

    assert usage(deployment)["requests"] == 1


def test_what_does_not_end_in_time_is_ended_with_an_error_event_and_charged(deployment) -> None:
    """`[server] grace` bounds the wait; the charge is for what came."""
    deployment.write("[server]\ngrace = 0.3\n")
    with Served("--config", deployment.config, cwd=deployment.folder) as served:
        with open_stream(served, deployment.key) as (_, lines):
            served.signal()
            rest = list(lines)

        assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "shutting_down"
        assert "data: [DONE]" not in rest
        assert served.end() == 0

    row = usage(deployment)
    assert row["requests"] == 1
    assert row["charged"] > 0
    with sqlite3.connect(deployment.folder / "gateway.db") as database:
        assert database.execute("select sum(reserved) from gateway_accounts").fetchone() == (0,)
    database.close()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_ends_the_wait_at_once(deployment, workers: str) -> None:
    """The stream is ended with an error event although it had half a minute left."""
    with Served("--config", deployment.config, "--workers", workers, cwd=deployment.folder) as served:
        with open_stream(served, deployment.key) as (_, lines):
            if workers != "1":
                served.wait_for(lambda text: "all 2 workers serve" in text)
            served.signal(signal.SIGINT)
            served.wait_for(lambda text: text.count("draining") == int(workers))
            served.signal(signal.SIGINT)
            rest = list(lines)

        assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "shutting_down"
        assert served.end() == 0


def test_no_output_shows_a_secret(deployment) -> None:
    """Neither the caller's key nor the channel's is in anything that is written."""
    with Served("--config", deployment.config, cwd=deployment.folder) as served:
        assert chat(served, deployment.key).status_code == 200
        httpx.get(f"{served.address}/v1/models?key={deployment.key}")
        metrics = httpx.get(f"{served.address}/metrics").text
        served.signal()
        assert served.end() == 0

    root = served.key
    written = "\n".join(line for line in [*served.out, *served.err, metrics] if "shown this once" not in line)
    for secret in (deployment.key, "sk-upstream-canary"):
        assert secret.removeprefix("sk-") not in written
    assert written.count(root) == 1  # the line to try
    assert deployment.upstream.requests[0]["authorization"] == "Bearer sk-upstream-canary"
