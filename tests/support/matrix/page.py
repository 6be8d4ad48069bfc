"""Makes the matrix of docs/reference/dialects.md out of a test run's JUnit file, or checks that it is up to date.

    pytest tests/dialects/test_matrix.py --junitxml=matrix.xml
    PYTHONPATH=tests python -m support.matrix.page matrix.xml            # writes the page
    PYTHONPATH=tests python -m support.matrix.page --check matrix.xml    # exit 1 when the page is another

A cell that failed, was skipped, or is not there ends the program with exit code 1, whatever else was asked.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

__all__ = ["Cell", "Incomplete", "main", "read_cells", "spliced", "tables"]

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "dialects.md"
BEGIN, END = "<!-- matrix -->", "<!-- end of matrix -->"

WORDS: Mapping[str, str] = {
    "carried": "yes",
    "approximated": "near",
    "dropped": "no",
    "refused": "refused",
    "absent": "-",
}

LEGEND = """\
One table for each dialect of the caller; the columns are the upstream's.

- *yes*: it comes through as it was asked or said.
- *near*: a written rule puts something near it in its place, and the conversion says so;
  but for kinds of usage and reasons to stop, of which several share one word there.
- *no*: the upstream's dialect (or, for answers, the caller's) has no place for it; the conversion says so.
- *refused*: without it the request would mean something else; the error names the field.
- "-": the caller's dialect cannot ask for it, or the upstream's cannot say it.
"""


class Incomplete(Exception):
    """The test run does not have every cell."""


class Cell(NamedTuple):
    """What a test found."""

    caller: str
    upstream: str
    row: str
    outcome: str
    told: str
    test: str


def read_cells(junit: str) -> list[Cell]:
    """The cells of a JUnit file. Raises `Incomplete` for a test that failed or was skipped."""
    cells = []
    for case in ElementTree.fromstring(junit).iter("testcase"):
        name = case.get("name", "")
        if not name.startswith("test_cell"):
            continue
        for trouble in ("failure", "error", "skipped"):
            if case.find(trouble) is not None:
                raise Incomplete(f"{name}: {trouble}")
        told = {entry.get("name", ""): entry.get("value", "") for entry in case.iter("property")}
        try:
            values = [told[f"matrix.{key}"] for key in ("caller", "upstream", "row", "outcome", "told")]
        except KeyError as missing:
            raise Incomplete(f"{name}: no property {missing}") from missing
        cells.append(Cell(*values, name))
    return cells


def whole(cells: Sequence[Cell], dialects: Sequence[str], rows: Sequence[str]) -> dict[tuple[str, str, str], Cell]:
    """The cells by caller, upstream and row. Raises `Incomplete` unless each is there once."""
    found = {(cell.caller, cell.upstream, cell.row): cell for cell in cells}
    wanted = {(caller, upstream, row) for caller in dialects for upstream in dialects for row in rows}
    if missing := sorted(wanted - set(found)):
        raise Incomplete(f"{len(missing)} cells are not there, such as {'-'.join(missing[0])}")
    if len(found) != len(cells) or set(found) != wanted:
        raise Incomplete(f"{len(cells)} cells for {len(wanted)} places")
    return found


def tables(cells: Sequence[Cell], dialects: Sequence[str], rows: Mapping[str, str]) -> str:
    """The Markdown between the marks. Raises `Incomplete` when a cell is missing."""
    found = whole(cells, dialects, list(rows))
    parts = [LEGEND, f"{len(dialects) ** 2} cells of {len(rows)} rows: {len(found)} tests.\n"]
    for caller in dialects:
        parts.append(f"### From `{caller}`\n")
        lines = ["| | " + " | ".join(f"`{upstream}`" for upstream in dialects) + " |"]
        lines.append("| --- |" + " --- |" * len(dialects))
        for row, title in rows.items():
            words = [WORDS[found[caller, upstream, row].outcome] for upstream in dialects]
            lines.append(f"| {title} | " + " | ".join(words) + " |")
        parts.append("\n".join(lines) + "\n")
    parts.append(_not_carried(cells, rows))
    return "\n".join(parts)


def _not_carried(cells: Sequence[Cell], rows: Mapping[str, str]) -> str:
    """Which test asserts what is said of each cell that is not carried."""
    lines = [
        "### What is not carried, and the test that asserts its notice\n",
        "The tests are those of `tests/dialects/test_matrix.py`; `field` is as `x-gateway-conversion` names it.\n",
        "| | what becomes of it, and its field | tests |",
        "| --- | --- | --- |",
    ]
    for row, title in rows.items():
        groups: dict[tuple[str, str], list[str]] = {}
        for cell in cells:
            if cell.row == row and cell.outcome not in ("carried", "absent"):
                groups.setdefault((cell.outcome, cell.told), []).append(cell.test)
        for (outcome, told), tests in sorted(groups.items()):
            fields = ", ".join(f"`{word}`" for word in told.split("; ")) if told else ""
            names = ", ".join(f"`{test}`" for test in sorted(tests))
            lines.append(f"| {title} | {outcome}: {fields} | {names} |")
    return "\n".join(lines) + "\n"


def spliced(page: str, made: str) -> str:
    """The page with other tables between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, mark, behind = rest.partition(END)
    if not mark:
        raise Incomplete(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{made}\n{END}{behind}"


def main(arguments: Sequence[str] | None = None, page: Path = PAGE) -> int:
    """Run the program; gives its exit code."""
    from support.matrix import ROWS
    from support.strict import STRICT

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("junit", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page is another")
    options = parser.parse_args(arguments)
    text = page.read_text(encoding="utf-8")
    try:
        made = spliced(text, tables(read_cells(options.junit.read_text(encoding="utf-8")), list(STRICT), ROWS))
    except Incomplete as reason:
        print(f"the matrix is not whole: {reason}", file=sys.stderr)
        return 1
    if made == text:
        return 0
    if options.check:
        print(f"{page.name} is stale: run support.matrix.page without --check", file=sys.stderr)
        return 1
    page.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
