"""The side-by-side run: contender after contender on the same upstream, and that several times over."""

import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path

from benchmarks.contenders import DIRECT, Contender, Launch
from benchmarks.database_servers import serving
from benchmarks.machine import Cores, facts
from benchmarks.nginx import upstream_command
from benchmarks.payloads import ANSWER, CALLER_KEY, PATH, REQUEST
from benchmarks.processes import BenchmarkError, Program, free_port, pinned, running
from benchmarks.results import Reading, RunResults, now
from benchmarks.settings import Settings
from benchmarks.wrk import generate, write_script

__all__ = ["run"]

STARTING = 90.0
"""Seconds that a contender may take to its first answer."""

MIB = 2**20


@dataclass(frozen=True, slots=True)
class Target:
    """What the load goes to: a contender, or the upstream itself (then `program` is None)."""

    port: int
    headers: Mapping[str, str]
    program: Program | None
    path: str = PATH
    request: bytes = REQUEST


class Bench:
    """One run's place, cores, sizes and upstreams."""

    def __init__(self, folder: Path, cores: Cores, settings: Settings, upstream: int, streaming: int) -> None:
        self.folder = folder
        self.cores = cores
        self.settings = settings
        self.upstream = upstream
        """Port of the upstream with the fixed answer."""
        self.streaming = streaming
        """Port of the upstream that streams."""

    def reading(self, contender: Contender | None, number: int, phase: str) -> Reading:
        """Measure one phase of one contender, or of the upstream itself for None, in one round."""
        name = contender.name if contender else DIRECT
        upstream, measure = {"plain": (self.upstream, self.plain), "streams": (self.streaming, self.streams)}[phase]
        try:
            with self.target(contender, upstream, f"{number}-{name}-{phase}") as target:
                return Reading(name, number, phase, measure(target))
        except BenchmarkError as problem:
            return Reading(name, number, phase, {}, str(problem))

    @contextmanager
    def target(self, contender: Contender | None, upstream: int, label: str) -> Iterator[Target]:
        """A contender freshly started in front of an upstream."""
        if contender is None:
            yield Target(upstream, {}, None)
            return
        folder = self.folder / label
        folder.mkdir()
        port = free_port()
        launch: Launch = contender.launch(folder, port, upstream)
        log = folder / "log"
        with ExitStack() as stack:
            environment = dict(launch.environment)
            if contender.server:
                environment["SQL_DSN"] = stack.enter_context(serving(contender.server, self.cores.load))
            program = stack.enter_context(
                running(launch.argv, core=self.cores.contender, log=log, environment=environment)
            )
            program.wait_until_answering(port, STARTING)
            yield Target(port, launch.headers, program, launch.path, launch.request)

    def plain(self, target: Target) -> dict[str, float]:
        """Throughput, CPU per request and latencies over whole answers."""
        sizes, core = self.settings, self.cores.load
        check_answer(target)
        script = write_script(self.folder / "request.lua", target.request, target.headers)
        generate(script, target.port, target.path, core=core, connections=sizes.connections, seconds=sizes.warm_up)
        values: dict[str, float] = {}
        before = target.program.cpu_seconds() if target.program else 0.0
        load = generate(
            script, target.port, target.path, core=core, connections=sizes.connections, seconds=sizes.throughput
        )
        values["requests_per_second"] = load.per_second
        if target.program:
            values["cpu_us"] = (target.program.cpu_seconds() - before) * 1e6 / load.requests
            values["rss_load_mb"] = target.program.resident_bytes() / MIB
        for connections in (1, 16):
            load = generate(script, target.port, target.path, core=core, connections=connections, seconds=sizes.latency)
            values[f"c{connections}_p50_us"] = load.p50
            values[f"c{connections}_p99_us"] = load.p99
        return values

    def streams(self, target: Target) -> dict[str, float]:
        """First event, gaps and memory with many open streams."""
        sizes = self.settings
        idle = target.program.resident_bytes() / MIB if target.program else 0.0
        self.open_streams(target, streams=max(1, sizes.streams // 25), events=2, ramp=0.2)
        before = target.program.cpu_seconds() if target.program else 0.0
        peak, said = self.open_streams(target, streams=sizes.streams, events=sizes.events, ramp=sizes.ramp)
        if said["wrong"]:
            raise BenchmarkError(f"streams answered {said['wrong']}")
        numbers = ("ttft_p50_ms", "ttft_p99_ms", "gap_p50_ms", "gap_p99_ms", "delay_p50_ms", "delay_p99_ms")
        values = {name: float(said[name]) for name in (*numbers, "delivered") if said[name] is not None}
        values["whole"] = said["whole"] / said["streams"]
        if target.program:
            events = said["delivered"] * sizes.streams * sizes.events
            values |= {"rss_idle_mb": idle, "rss_streams_mb": peak / MIB}
            values["cpu_event_us"] = (target.program.cpu_seconds() - before) * 1e6 / max(1, events)
        return values

    def open_streams(self, target: Target, *, streams: int, events: int, ramp: float) -> tuple[int, dict[str, float]]:
        """Run the stream load; gives the highest resident memory seen meanwhile, in bytes, and what the load said."""
        sizes = {"streams": streams, "events": events, "ramp": ramp, "deadline": self.settings.stream_deadline}
        argv = [sys.executable, "-m", "benchmarks.stream_load", "--port", str(target.port)]
        for name, value in sizes.items():
            argv += [f"--{name}", str(value)]
        argv += ["--headers", json.dumps(dict(target.headers))]
        peak = 0
        with subprocess.Popen(pinned(self.cores.load, argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as load:
            while load.poll() is None:
                peak = max(peak, target.program.resident_bytes() if target.program else 0)
                time.sleep(0.5)  # the step at which memory is sampled
            output = load.stdout.read() if load.stdout else b""
        if load.returncode:
            raise BenchmarkError(f"the stream load failed: {output.decode(errors='replace')[-600:]}")
        said: dict[str, float] = json.loads(output)
        return peak, said


def check_answer(target: Target) -> None:
    """Send one request and hold the answer against the upstream's own. Raises `BenchmarkError` when they differ."""
    connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
    sent = {"content-type": "application/json", "authorization": f"Bearer {CALLER_KEY}"} | dict(target.headers)
    try:
        connection.request("POST", target.path, target.request, sent)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as problem:
        raise BenchmarkError(f"no answer: {problem!r}") from problem
    finally:
        connection.close()
    if answer.status != 200:
        raise BenchmarkError(f"answered {answer.status}: {body[:300].decode(errors='replace')}")
    expected, found = json.loads(ANSWER), json.loads(body)
    if target.path != PATH:  # another dialect: the same text in another place
        if (name := expected["choices"][0]["message"]["content"]) not in [value for _, value in leaves(found)]:
            raise BenchmarkError(f"the answer lost the text {name!r}")
        return
    for part in ("choices", "usage"):
        for name, value in leaves(expected[part]):
            if value is not None and (name, value) not in leaves(found[part]):
                raise BenchmarkError(f"the answer's {part} lost {name} = {value!r}")


def leaves(value: object, name: str = "") -> list[tuple[str, object]]:
    """The scalars in a JSON value with their paths."""
    if isinstance(value, dict):
        return [leaf for key, inner in value.items() for leaf in leaves(inner, f"{name}.{key}")]
    if isinstance(value, list):
        return [leaf for place, inner in enumerate(value) for leaf in leaves(inner, f"{name}.{place}")]
    return [(name, value)]


@contextmanager
def bench(cores: Cores, settings: Settings) -> Iterator[Bench]:
    """The upstreams on the load's core, and a scratch folder; all gone at the end."""
    with tempfile.TemporaryDirectory(prefix="asgi_gateway-benchmark-") as name:
        folder = Path(name)
        plain, streaming = free_port(), free_port()
        emit = [sys.executable, "-m", "benchmarks.sse_upstream", "--port", str(streaming), "--rate", str(settings.rate)]
        with (
            running(upstream_command(folder / "upstream", plain), core=cores.load, log=folder / "log") as fixed,
            running(emit, core=cores.load, log=folder / "streaming") as emitting,
        ):
            fixed.wait_until_answering(plain, STARTING)
            emitting.wait_until_answering(streaming, STARTING)
            yield Bench(folder, cores, settings, plain, streaming)


def run(
    contenders: Sequence[Contender], settings: Settings, cores: Cores, say: Callable[[str], None], what: str
) -> RunResults:
    """Measure all contenders in interleaved rounds; those that are not there are listed with the reason."""
    missing = {one.name: reason for one in contenders if (reason := one.missing())}
    results = RunResults(
        what=what,
        time=now(),
        machine=facts(),
        settings={name: float(value) for name, value in asdict(settings).items()},
        versions={one.name: one.version() for one in contenders if one.name not in missing and one.version()},
        missing=missing,
    )
    rows: list[Contender | None] = [None, *(one for one in contenders if one.name not in missing)]
    measured = [(row, phase) for row, phase in product(rows, ("plain", "streams")) if phase == "plain" or streams(row)]
    with bench(cores, settings) as place:
        for number, (row, phase) in product(range(1, settings.rounds + 1), measured):
            reading = place.reading(row, number, phase)
            results.readings.append(reading)
            said = f"INVALID: {reading.problem}" if reading.problem else headline(reading)
            say(f"round {number} of {settings.rounds}, {reading.contender}, {phase}: {said}")
    return results


def streams(row: Contender | None) -> bool:
    """Whether open streams are measured of a contender, or of the upstream itself."""
    return row is None or row.streams


def headline(reading: Reading) -> str:
    """One figure of a reading, for who waits."""
    if reading.phase == "plain":
        return f"{reading.values['requests_per_second']:.0f} requests/s"
    return f"{reading.values['delivered'] * 100:.0f} % of the events in time"
