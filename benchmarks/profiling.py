"""Where the CPU time of a governed request goes: the real server under load, sampled."""

import sys
from pathlib import Path

from benchmarks.gateway_files import write_gateway_file
from benchmarks.machine import Cores
from benchmarks.payloads import PATH, REQUEST
from benchmarks.processes import BenchmarkError, free_port, running
from benchmarks.rounds import STARTING, Target, bench, check_answer
from benchmarks.settings import QUICK
from benchmarks.wrk import generate, write_script

__all__ = ["profile"]


def profile(cores: Cores, storage: str, seconds: float) -> str:
    """Load the served gateway, and return its profile with the CPU time of each of its threads."""
    with bench(cores, QUICK) as place:
        folder, port, report = place.folder, free_port(), place.folder / "profile"
        file = write_gateway_file(folder, port=port, upstream=place.upstream, storage=storage)
        argv = [sys.executable, "-m", "benchmarks.profiled_serve", str(report), "serve", "--config", str(file)]
        with running(argv, core=cores.contender, log=folder / "served") as program:
            program.wait_until_answering(port, STARTING)
            check_answer(Target(port, {}, program))
            script = write_script(folder / "request.lua", REQUEST, {})
            before = thread_seconds(program.process.pid)
            load = generate(script, port, PATH, core=cores.load, connections=64, seconds=seconds)
            after = thread_seconds(program.process.pid)
        if not report.exists():
            raise BenchmarkError(f"the profiled server left no report: {program.last_words()}")
        text = report.read_text()
    spent = "\n".join(
        f"thread {name}: {(total - before.get(name, 0.0)) * 1e6 / load.requests:.1f} us a request"
        for name, total in after.items()
    )
    return f"{load.per_second:.0f} requests/s under the profiler\n{spent}\n{text}"


def thread_seconds(pid: int) -> dict[str, float]:
    """CPU time of each thread of a process so far, by its id and name."""
    spent = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        name = (task / "comm").read_text().strip()
        spent[f"{task.name} {name}"] = int((task / "schedstat").read_text().split()[0]) / 1e9
    return spent
