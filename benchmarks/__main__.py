"""The command line: `python3 -m benchmarks run|layers|conversion|log|profile|table|install`."""

import argparse
import signal
import sys
from pathlib import Path

from benchmarks.contenders import CONTENDERS
from benchmarks.machine import choose_cores, find_program
from benchmarks.peers import install, peers_folder
from benchmarks.processes import raise_file_limit
from benchmarks.profiling import profile
from benchmarks.results import RESULTS, write
from benchmarks.rounds import run
from benchmarks.settings import FULL, QUICK, TINY
from benchmarks.table import conversion_table, layer_table, run_table, update

__all__ = ["main"]

PUBLISHED_REQUESTS = 6400
PUBLISHED_ROUNDS = 5
PUBLISHED_ROWS = 1_000_000


def measure(options: argparse.Namespace) -> int:
    """Run side by side, write the results, print the table."""
    lacking = [name for name in ("nginx", "wrk", "taskset") if find_program(name) is None]
    if lacking:
        print(f"missing: {', '.join(lacking)} (Debian packages nginx, wrk, util-linux)", file=sys.stderr)
        return 1
    raise_file_limit()
    what, settings = ("tiny", TINY) if options.tiny else ("quick", QUICK) if options.quick else ("run", FULL)
    chosen = [one for one in CONTENDERS if not options.only or one.name in options.only.split(",")]
    results = run(chosen, settings, choose_cores(), lambda line: print(line, file=sys.stderr, flush=True), what)
    file = write(results, options.results)
    print(run_table(results))
    print(f"\nraw results: {file}", file=sys.stderr)
    return 1 if any(reading.problem for reading in results.readings) else 0


def layers(options: argparse.Namespace) -> int:
    """Measure each layer alone, write the results, print the table."""
    from benchmarks.layers import measure_layers  # needs the toolkit, which the rest can do without

    results = measure_layers(options.requests, options.rounds)
    print(layer_table(results))
    if options.requests >= PUBLISHED_REQUESTS:
        print(f"\nraw results: {write(results, options.results)}", file=sys.stderr)
    return 0


def conversions(options: argparse.Namespace) -> int:
    """Measure the conversion between each two dialects, write the results, print the table."""
    from benchmarks.conversion import measure_conversion  # needs the toolkit, which the rest can do without

    results = measure_conversion(options.rounds)
    print(conversion_table(results))
    if options.rounds >= PUBLISHED_ROUNDS:
        print(f"\nraw results: {write(results, options.results)}", file=sys.stderr)
    return 0


def usage_log(options: argparse.Namespace) -> int:
    """Fill a usage log, measure it, write the results."""
    from benchmarks.log import measure_log, write_log  # needs the toolkit, which the rest can do without

    results = measure_log(options.on, options.rows, lambda line: print(line, flush=True))
    if options.rows >= PUBLISHED_ROWS:
        print(f"\nraw results: {write_log(results, options.results)}", file=sys.stderr)
    return 0


def sample(options: argparse.Namespace) -> int:
    """Profile the governed stack, print the report."""
    print(profile(choose_cores(), options.storage, options.seconds))
    return 0


def tables(options: argparse.Namespace) -> int:
    """Make the tables of the README anew, or say that they are stale."""
    fresh = update(check=options.check)
    if options.check and not fresh:
        print("benchmarks/README.md is stale: python3 -m benchmarks table", file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """What may be asked."""
    top = argparse.ArgumentParser(prog="python3 -m benchmarks", description="Benchmarks; see benchmarks/README.md.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    side = commands.add_parser("run", help="measure everything side by side and print the table")
    size = side.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="one short round, not published")
    size.add_argument("--tiny", action="store_true", help="only whether it runs; the figures mean nothing")
    side.add_argument("--only", default="", help="names, comma-separated: " + ", ".join(one.name for one in CONTENDERS))
    side.add_argument("--results", type=Path, default=RESULTS, help="where the raw results go")
    side.set_defaults(do=measure)

    alone = commands.add_parser("layers", help="the CPU cost of each layer alone")
    alone.add_argument("--requests", type=int, default=PUBLISHED_REQUESTS, help="fewer than the default: not published")
    alone.add_argument("--rounds", type=int, default=7)
    alone.add_argument("--results", type=Path, default=RESULTS, help="where the raw results go")
    alone.set_defaults(do=layers)

    cells = commands.add_parser("conversion", help="the CPU cost of converting between each two dialects")
    cells.add_argument("--rounds", type=int, default=PUBLISHED_ROUNDS, help="fewer than the default: not published")
    cells.add_argument("--results", type=Path, default=RESULTS, help="where the raw results go")
    cells.set_defaults(do=conversions)

    log = commands.add_parser("log", help="the usage log with many charges")
    log.add_argument("--rows", type=int, default=PUBLISHED_ROWS, help="fewer than the default: not published")
    log.add_argument("--on", choices=("sqlite", "postgresql"), default="sqlite", help="the database")
    log.add_argument("--results", type=Path, default=RESULTS, help="where the raw results go")
    log.set_defaults(do=usage_log)

    where = commands.add_parser("profile", help="where the CPU time of a governed request goes")
    where.add_argument("--storage", default="sqlite", help="sqlite (default) or memory://")
    where.add_argument("--seconds", type=float, default=8.0)
    where.set_defaults(do=sample)

    made = commands.add_parser("table", help="make the tables in README.md from the newest results")
    made.add_argument("--check", action="store_true", help="only say whether they are stale (exit code 1)")
    made.set_defaults(do=tables)

    peers = commands.add_parser("install", help="install the other gateways")
    peers.add_argument("--into", type=Path, default=peers_folder(), help="default: $BENCH_PEERS or a cache folder")
    peers.set_defaults(do=lambda options: install(options.into))
    return top


def main() -> int:
    """Do what the command line asks. Asked to end, it ends what it started."""
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    options = parser().parse_args()
    code: int = options.do(options)
    return code


if __name__ == "__main__":
    sys.exit(main())
