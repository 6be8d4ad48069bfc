"""The benchmarks run, at a size that shows nothing but that."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from asgi_gateway.dialects import CHAT_DIALECTS
from asgi_gateway.middleware import STACK


def run(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(argv, cwd=root, capture_output=True, text=True, timeout=240, check=False)


def test_side_by_side_run_measures_our_contenders(
    root: Path, tmp_path: Path, require_service: Callable[[str], Path]
) -> None:
    """Every measure of the table is there for nginx, the bare relay and the governed stack, and no answer is wrong."""
    require_service("nginx")
    require_service("wrk")
    ran = run(root, "run", "--tiny", "--only", "nginx,bare,governed", "--results", str(tmp_path))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (file,) = tmp_path.glob("*-tiny.json")
    readings = json.loads(file.read_text())["readings"]
    measured = {(reading["contender"], reading["phase"]): reading["values"] for reading in readings}
    for contender in ("nginx", "bare", "governed"):
        assert measured[contender, "plain"]["requests_per_second"] > 0
        assert {"cpu_us", "c1_p50_us", "c1_p99_us", "c16_p50_us", "c16_p99_us"} <= measured[contender, "plain"].keys()
        streams = measured[contender, "streams"]
        assert (streams["delivered"], streams["whole"]) == (1.0, 1.0)
        assert {"ttft_p50_ms", "gap_p99_ms", "rss_idle_mb", "rss_streams_mb"} <= streams.keys()
    assert "of the bare relay's throughput" in ran.stdout


def test_absent_peers_are_named_and_not_measured(
    root: Path, tmp_path: Path, require_service: Callable[[str], Path]
) -> None:
    """A peer that is not installed has a row that says so."""
    require_service("nginx")
    require_service("wrk")
    argv = [sys.executable, "-m", "benchmarks", "run", "--tiny", "--only", "litellm", "--results", str(tmp_path)]
    environment = {"BENCH_PEERS": str(tmp_path / "nothing"), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(argv, cwd=root, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "| LiteLLM proxy | missing: not installed" in ran.stdout


def test_every_layer_of_the_stack_is_measured_alone(root: Path) -> None:
    """Each layer and the relay have a cost, with each storage."""
    ran = run(root, "layers", "--requests", "128", "--rounds", "1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for layer in STACK:
        assert f"| {layer.__name__} |" in ran.stdout
    assert "| Relay |" in ran.stdout
    assert "memory | sqlite |" in ran.stdout


def test_the_conversion_between_each_two_dialects_is_measured(root: Path) -> None:
    """A row for each dialect of a caller."""
    ran = run(root, "conversion", "--rounds", "1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for dialect in CHAT_DIALECTS:
        assert f"| {dialect} |" in ran.stdout


def test_the_governed_stack_is_profiled(root: Path, require_service: Callable[[str], Path]) -> None:
    """The report names the functions of a request."""
    require_service("nginx")
    require_service("wrk")
    ran = run(root, "profile", "--seconds", "1")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "requests/s under the profiler" in ran.stdout
