"""From raw results to the tables of `README.md`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import CONTENDERS, DIRECT
from benchmarks.figures import median_of
from benchmarks.results import (
    RESULTS,
    ConversionResults,
    LayerResults,
    Reading,
    RunResults,
    newest,
    read_conversion,
    read_layers,
    read_run,
)

__all__ = ["README", "conversion_table", "layer_table", "run_table", "update"]

README = Path(__file__).resolve().parent / "README.md"

RATIOS = ("nginx", "bare", "litellm", "portkey")

HEAD = (
    "",
    "requests/s, 64 connections",
    "of nginx",
    "of bare relay",
    "times LiteLLM",
    "times Portkey",
    "CPU μs a request",
    "added μs p50 / p99, 1 connection",
    "added μs p50 / p99, 16 connections",
    "first event ms p50 / p99",
    "gap ms p50 / p99",
    "events in time",
    "RSS MiB idle / streams",
)


@dataclass(frozen=True, slots=True)
class Goal:
    """What one of our own stacks (`of`) shall reach, and how it is read from the medians."""

    text: str
    against: str
    """The contender whose throughput ours is divided by; empty for a measure of its own."""
    measure: str
    least: float | None = None
    most: float | None = None
    of: str = "governed"
    beside: str = ""
    """The contender whose value is taken off ours, round by round."""


GOALS = (
    Goal("of the bare relay's throughput", "bare", "requests_per_second", least=0.5),
    Goal("of nginx's throughput", "nginx", "requests_per_second", least=0.12),
    Goal("times its own throughput across dialects", "crossing", "requests_per_second", most=2.0),
    Goal("of its own throughput with memory storage", "memory", "requests_per_second", least=0.8),
    Goal("on PostgreSQL, of the same with memory storage", "memory", "requests_per_second", 0.6, of="postgresql"),
    Goal("on MariaDB, of the same with memory storage", "memory", "requests_per_second", 0.6, of="mariadb"),
    Goal("μs that SQLite adds to the p50 at 16 connections", "", "c16_p50_us", most=3000, beside="memory"),
    Goal("μs that PostgreSQL adds to it", "", "c16_p50_us", most=3000, of="postgresql", beside="memory"),
    Goal("μs that MariaDB adds to it", "", "c16_p50_us", most=3000, of="mariadb", beside="memory"),
    Goal("times LiteLLM's throughput", "litellm", "requests_per_second", least=120),
    Goal("times Portkey's throughput", "portkey", "requests_per_second", least=10),
    Goal("μs of CPU a request", "", "cpu_us", most=150),
    Goal("MiB resident with 500 open streams", "", "rss_streams_mb", most=150),
)


class Medians:
    """The medians over the rounds, by contender and measure."""

    def __init__(self, results: RunResults) -> None:
        self.readings = results.readings
        self.direct = {one.round: one.values for one in self.valid(DIRECT) if one.phase == "plain"}

    def value(self, contender: str, measure: str) -> float | None:
        """The median of a measure over the valid rounds; None when there is none."""
        return median_of([one.values[measure] for one in self.valid(contender) if measure in one.values])

    def added(self, contender: str, measure: str) -> float | None:
        """The median of what a contender adds to the direct value of the same round."""
        return median_of(
            [
                one.values[measure] - self.direct[one.round][measure]
                for one in self.valid(contender)
                if measure in one.values and measure in self.direct.get(one.round, {})
            ]
        )

    def ratio(self, contender: str, other: str, measure: str) -> float | None:
        """The median, over the rounds in which both are valid, of one's value divided by the other's."""
        others = {one.round: one.values[measure] for one in self.valid(other) if measure in one.values}
        return median_of(
            [
                one.values[measure] / others[one.round]
                for one in self.valid(contender)
                if measure in one.values and one.round in others
            ]
        )

    def beyond(self, contender: str, other: str, measure: str) -> float | None:
        """The median, over the rounds in which both are valid, of what one's value is above the other's."""
        others = {one.round: one.values[measure] for one in self.valid(other) if measure in one.values}
        return median_of(
            [
                one.values[measure] - others[one.round]
                for one in self.valid(contender)
                if measure in one.values and one.round in others
            ]
        )

    def valid(self, contender: str) -> list[Reading]:
        """The readings of a contender that count."""
        return [one for one in self.readings if one.contender == contender and not one.problem]

    def problem(self, contender: str) -> str:
        """Why a contender has no valid reading, or not in every round; empty when all is well."""
        problems = [one for one in self.readings if one.contender == contender and one.problem]
        first = problems[0] if problems else None
        return f"{len(problems)} invalid readings, {first.phase}: {first.problem.splitlines()[-1]}" if first else ""


def number(value: float | None) -> str:
    """Three significant digits or whole numbers; a dash for none."""
    if value is None:
        return "-"
    if abs(value) >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def share(value: float | None) -> str:
    """A part of one, in per cent."""
    return "-" if value is None else f"{value * 100:.{0 if value >= 0.1 else 1}f} %"


def pair(one: float | None, other: float | None) -> str:
    """Two figures side by side."""
    return f"{number(one)} / {number(other)}"


def run_row(title: str, name: str, medians: Medians) -> list[str]:
    """One contender's cells."""

    def value(measure: str) -> float | None:
        return medians.value(name, measure)

    def added(measure: str) -> str:
        return "" if name == DIRECT else pair(*(medians.added(name, f"{measure}_{end}_us") for end in ("p50", "p99")))

    def ratio(other: str, write: Callable[[float | None], str]) -> str:
        return "" if name in (other, DIRECT) else write(medians.ratio(name, other, "requests_per_second"))

    return [
        title,
        number(value("requests_per_second")),
        ratio("nginx", share),
        ratio("bare", share),
        ratio("litellm", number),
        ratio("portkey", number),
        number(value("cpu_us")),
        added("c1"),
        added("c16"),
        pair(value("ttft_p50_ms"), value("ttft_p99_ms")),
        pair(value("gap_p50_ms"), value("gap_p99_ms")),
        share(value("delivered")),
        pair(value("rss_idle_mb"), value("rss_streams_mb")),
    ]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head; all columns but the first are aligned right."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([head, "|---|" + "---:|" * (len(rows[0]) - 1), *body])


def run_table(results: RunResults) -> str:
    """The side-by-side table, the goals, and what it was measured with."""
    medians = Medians(results)
    rows: list[Sequence[str]] = [HEAD, run_row("upstream itself", DIRECT, medians)]
    notes = []
    for one in CONTENDERS:
        title = f"{one.title} {results.versions.get(one.name, '')}".strip()
        reason = results.missing.get(one.name)
        if reason is not None:
            rows.append([title, f"missing: {reason}", *[""] * (len(HEAD) - 2)])
        elif any(reading.contender == one.name for reading in results.readings):
            rows.append(run_row(title, one.name, medians))
        if problem := medians.problem(one.name):
            notes.append(f"- {one.title}: {problem}")
    measured = ", ".join(f"{name} {value}" for name, value in results.machine.items() if value)
    rounds = f"Medians of {results.settings['rounds']:.0f} interleaved rounds, {results.time}."
    parts = [markdown(rows), "\n".join(notes), markdown(goal_rows(medians)), f"{rounds} Measured with: {measured}."]
    return "\n\n".join(part for part in parts if part)


def goal_rows(medians: Medians) -> list[Sequence[str]]:
    """Each goal of the governed stack beside what was measured."""
    rows: list[Sequence[str]] = [["the governed stack", "goal", "measured", ""]]
    for goal in GOALS:
        if goal.against:
            found = medians.ratio(goal.of, goal.against, goal.measure)
        elif goal.beside:
            found = medians.beyond(goal.of, goal.beside, goal.measure)
        else:
            found = medians.value(goal.of, goal.measure)
        least, most = goal.least, goal.most
        reached = found is not None and (least is None or found >= least) and (most is None or found <= most)
        write = share if least is not None and least < 1 else number
        asked = f"at least {write(least)}" if least is not None else f"at most {number(most)}"
        verdict = "reached" if reached else ("not measured" if found is None else "not reached")
        rows.append([goal.text, asked, write(found), verdict])
    return rows


def layer_table(results: LayerResults) -> str:
    """The cost of each layer alone, a column for each storage."""
    storages = list(dict.fromkeys(cost.storage for cost in results.costs))
    found = {(cost.layer, cost.storage): cost.microseconds for cost in results.costs}
    layers = list(dict.fromkeys(cost.layer for cost in results.costs))
    rows = [["CPU μs a request", *storages]]
    rows += [[layer, *(number(found.get((layer, storage))) for storage in storages)] for layer in layers]
    return f"{markdown(rows)}\n\nMeasured {results.time} at commit {results.machine.get('commit', 'unknown')}."


def conversion_table(results: ConversionResults) -> str:
    """Callers below each other, upstreams side by side; in each cell a request and an event."""
    names = list(dict.fromkeys(cost.caller for cost in results.costs))
    found = {(cost.caller, cost.upstream): pair(cost.request, cost.event) for cost in results.costs}
    rows = [["CPU μs a request / an event", *names]]
    rows += [[caller, *(found.get((caller, upstream), "") for upstream in names)] for caller in names]
    return f"{markdown(rows)}\n\nMeasured {results.time} at commit {results.machine.get('commit', 'unknown')}."


def place(text: str, name: str, block: str) -> str:
    """The text with the block between the two markers of that name replaced. Raises `ValueError` without markers."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"README.md lacks the markers of {name}")
    return f"{before}{begin}\n\n{block}\n\n{end}{after}"


def update(readme: Path = README, results: Path = RESULTS, *, check: bool = False) -> bool:
    """Write the tables of the newest results into the README (with `check` do not); True when it was fresh."""
    text = readme.read_text()
    fresh = text
    if file := newest("run", results):
        fresh = place(fresh, "run", run_table(read_run(file)))
    if file := newest("layers", results):
        fresh = place(fresh, "layers", layer_table(read_layers(file)))
    if file := newest("conversion", results):
        fresh = place(fresh, "conversion", conversion_table(read_conversion(file)))
    if fresh != text and not check:
        readme.write_text(fresh)
    return fresh == text
