"""The tables are made from raw results alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.figures import median_of, percentile
from benchmarks.results import LayerCost, LayerResults, Reading, RunResults, newest, read_run, write
from benchmarks.table import layer_table, place, run_table, update

MARKED = "# Title\n\n<!-- run -->\n<!-- end of run -->\n\n<!-- layers -->\nold\n<!-- end of layers -->\nend\n"


def plain(contender: str, number: int, rate: float, latency: float = 100.0) -> Reading:
    values = {"requests_per_second": rate, "cpu_us": 1e6 / rate, "c1_p50_us": latency, "c1_p99_us": latency * 2}
    return Reading(contender, number, "plain", values)


@pytest.fixture
def results() -> RunResults:
    readings = [
        plain("direct", 1, 60_000, 20),
        plain("direct", 2, 60_000, 30),
        plain("nginx", 1, 50_000),
        plain("nginx", 2, 40_000),
        plain("bare", 1, 16_000),
        plain("bare", 2, 16_000),
        Reading("bare", 2, "streams", {"delivered": 1.0}),
        plain("governed", 1, 10_000, 150),
        plain("governed", 2, 6_000, 150),
        Reading("governed", 1, "streams", {"rss_idle_mb": 80.0, "rss_streams_mb": 120.0, "delivered": 1.0}),
    ]
    return RunResults(
        what="run",
        time="2026-01-02T03:04:05+00:00",
        machine={"processor": "one", "commit": "abc"},
        settings={"rounds": 2.0},
        versions={"portkey": "1.0"},
        missing={"portkey": "not installed"},
        readings=readings,
    )


def row(table: str, start: str) -> list[str]:
    """The cells of the row whose first cell starts so."""
    line = next(line for line in table.splitlines() if line.startswith(f"| {start}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.99, 4), (1.0, 4)])
def test_percentile_is_the_smallest_value_that_covers_the_share(share: float, expected: int) -> None:
    """Nearest rank, without interpolation."""
    assert percentile([4, 1, 3, 2], share) == expected


def test_percentile_of_nothing_is_refused() -> None:
    """No value is made up."""
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
    assert median_of([]) is None


def test_ratios_are_taken_within_each_round(results: RunResults) -> None:
    """10 000 of 50 000 and 6 000 of 40 000: the median of the two shares, not the share of the medians."""
    governed = row(run_table(results), "whole stack, governed")
    assert governed[1:4] == ["8 000", "18 %", "50 %"]


def test_added_latency_is_through_minus_direct_of_the_same_round(results: RunResults) -> None:
    """150 minus 20 and 150 minus 30 give a median of 125; the p99s, twice as high, one of 250."""
    assert row(run_table(results), "whole stack, governed")[7] == "125 / 250"


def test_missing_contender_is_named_with_the_reason(results: RunResults) -> None:
    """What was not there is said, and has no figure."""
    portkey = row(run_table(results), "Portkey")
    assert portkey[:2] == ["Portkey's gateway 1.0", "missing: not installed"]
    assert not any(portkey[2:])


def test_invalid_reading_counts_for_nothing_and_is_named(results: RunResults) -> None:
    """A round with wrong answers must not enter a median."""
    bad = replace(plain("governed", 3, 99_000), problem="first line\n7 wrong answers")
    table = run_table(replace(results, readings=[*results.readings, bad]))
    assert row(table, "whole stack, governed")[1] == "8 000"
    assert "governed (SQLite on disk): 1 invalid readings, plain: 7 wrong answers" in table


def test_goals_say_whether_they_are_reached(results: RunResults) -> None:
    """Each goal has what was asked, what was measured, and a verdict."""
    table = run_table(results)
    assert row(table, "of the bare relay's throughput") == [
        "of the bare relay's throughput",
        "at least 50 %",
        "50 %",
        "reached",
    ]
    assert row(table, "MiB resident")[1:] == ["at most 150", "120", "reached"]
    assert row(table, "times LiteLLM's throughput")[3] == "not measured"
    slower = replace(results, readings=[*results.readings, *[plain("governed", 2, 1_000)] * 3])
    assert row(run_table(slower), "of nginx's throughput")[3] == "not reached"


def test_layer_table_has_a_column_for_each_storage() -> None:
    """A layer that was not measured with a storage has a dash there."""
    costs = [LayerCost("A", "memory", 1.5), LayerCost("A", "sqlite", 12.25), LayerCost("B", "sqlite", 120.4)]
    table = layer_table(LayerResults(time="2026-01-02", machine={}, costs=costs))
    assert row(table, "A") == ["A", "1.50", "12.2"]
    assert row(table, "B") == ["B", "-", "120"]


def test_results_survive_writing_and_reading(results: RunResults, tmp_path: Path) -> None:
    """The table can always be made anew from the file."""
    file = write(results, tmp_path)
    assert file.name == "2026-01-02-run.json"
    assert read_run(file) == results


def test_newest_result_of_a_kind_wins(results: RunResults, tmp_path: Path) -> None:
    """By the date in the name; quick runs are of another kind."""
    write(results, tmp_path)
    later = write(replace(results, time="2026-02-01T00:00:00+00:00"), tmp_path)
    write(replace(results, time="2026-03-01T00:00:00+00:00", what="quick"), tmp_path)
    assert newest("run", tmp_path) == later
    assert newest("layers", tmp_path) is None


def test_tables_are_put_between_the_markers(results: RunResults, tmp_path: Path) -> None:
    """A stale README is told by `check`, mended without it, and everything outside the markers stays."""
    readme = tmp_path / "README.md"
    readme.write_text(MARKED)
    write(results, tmp_path)
    assert not update(readme, tmp_path, check=True)
    assert readme.read_text() == MARKED
    assert not update(readme, tmp_path)
    assert update(readme, tmp_path, check=True)
    text = readme.read_text()
    assert text.startswith("# Title\n\n<!-- run -->\n\n|")
    assert text.endswith("<!-- layers -->\nold\n<!-- end of layers -->\nend\n")


def test_missing_markers_are_an_error() -> None:
    """A README that lost its markers must not pass for up to date."""
    with pytest.raises(ValueError, match="lacks the markers of run"):
        place("no marker", "run", "table")


def test_published_tables_are_fresh() -> None:
    """`benchmarks/README.md` shows the newest results that are in the repository."""
    assert update(check=True)
