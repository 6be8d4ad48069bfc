"""The load generator for whole answers: wrk (Debian package `wrk`), told what to send by a small script."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.payloads import CALLER_KEY
from benchmarks.processes import BenchmarkError, pinned

__all__ = ["Load", "generate", "write_script"]

SCRIPT = """\
wrk.method = "POST"
wrk.body = [==[@BODY@]==]
@HEADERS@
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nSAID {"requests": %d, "microseconds": %d, "wrong": %d, "broken": %d, "p50_us": %d, "p99_us": %d}\\n',
    summary.requests, summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What one load gave. Latencies are in microseconds."""

    requests: int
    seconds: float
    p50: int
    p99: int

    @property
    def per_second(self) -> float:
        """Requests answered per second."""
        return self.requests / self.seconds


def write_script(path: Path, request: bytes, headers: Mapping[str, str]) -> Path:
    """The script that makes wrk send a request with these headers added, and report as JSON."""
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {CALLER_KEY}"} | dict(headers)
    lines = "\n".join(f'wrk.headers["{name}"] = "{value}"' for name, value in sent.items())
    path.write_text(SCRIPT.replace("@BODY@", request.decode()).replace("@HEADERS@", lines))
    return path


def generate(script: Path, port: int, path: str, *, core: int, connections: int, seconds: float) -> Load:
    """Load for some seconds (wrk counts whole ones; at least one). Raises `BenchmarkError` for any wrong answer."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s", "-s", str(script)]
    ran = subprocess.run(
        pinned(core, [*command, f"http://127.0.0.1:{port}{path}"]), capture_output=True, text=True, check=False
    )
    said = next((line for line in ran.stdout.splitlines() if line.startswith("SAID ")), None)
    if said is None:
        raise BenchmarkError(f"wrk failed: {ran.stdout} {ran.stderr}")
    found = json.loads(said.removeprefix("SAID "))
    if found["wrong"] or found["broken"] or not found["requests"]:
        raise BenchmarkError(
            f"{found['wrong']} wrong answers and {found['broken']} broken connections in {found['requests']} requests"
        )
    return Load(found["requests"], found["microseconds"] / 1e6, found["p50_us"], found["p99_us"])
