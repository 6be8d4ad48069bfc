"""The reference's matrix is made of a test run, and a run that does not have every cell makes none."""

from pathlib import Path

import pytest

pytest.importorskip("pydantic", reason="the vendors' SDKs are asked what is valid")

from support.matrix import ROWS
from support.matrix.page import Incomplete, main, read_cells, spliced, tables
from support.strict import STRICT

DIALECTS = ["a", "b"]
ROW_TITLES = {"text": "text", "seed": "seed"}


def case(caller: str, upstream: str, row: str, outcome: str = "carried", told: str = "", inside: str = "") -> str:
    properties = {"caller": caller, "upstream": upstream, "row": row, "outcome": outcome, "told": told}
    given = "".join(f'<property name="matrix.{name}" value="{value}" />' for name, value in properties.items())
    name = f"test_cell[{caller}-{upstream}-{row}]"
    return f'<testcase name="{name}"><properties>{given}</properties>{inside}</testcase>'


def junit(*cases: str) -> str:
    other = '<testcase name="test_the_matrix_is_whole" />'
    return f"<testsuites><testsuite>{''.join(cases)}{other}</testsuite></testsuites>"


def every(**changed: str) -> list[str]:
    return [
        changed.get(f"{caller}_{upstream}_{row}", case(caller, upstream, row))
        for caller in DIALECTS
        for upstream in DIALECTS
        for row in ROW_TITLES
    ]


def test_each_cell_stands_in_its_table() -> None:
    """And what is not carried is listed with its field and its test."""
    lost = case("a", "b", "seed", "dropped", "dropped:seed")
    made = tables(read_cells(junit(*every(a_b_seed=lost))), DIALECTS, ROW_TITLES)
    assert "4 cells of 2 rows: 8 tests." in made
    assert "### From `a`\n\n| | `a` | `b` |\n| --- | --- | --- |\n| text | yes | yes |\n| seed | yes | no |\n" in made
    assert "| seed | dropped: `dropped:seed` | `test_cell[a-b-seed]` |" in made
    assert made.count("test_cell[") == 1


@pytest.mark.parametrize("trouble", ["skipped", "failure", "error"])
def test_a_cell_that_did_not_pass_makes_no_page(trouble: str) -> None:
    """Whatever else the run has."""
    with pytest.raises(Incomplete, match=rf"test_cell\[b-a-text\]: {trouble}"):
        read_cells(junit(*every(b_a_text=case("b", "a", "text", inside=f"<{trouble} />"))))


def test_an_absent_cell_makes_no_page() -> None:
    """One too few, one too many, one twice, and one that says nothing."""
    cells = every()
    with pytest.raises(Incomplete, match="1 cells are not there, such as b-b-seed"):
        tables(read_cells(junit(*cells[:-1])), DIALECTS, ROW_TITLES)
    for more in (case("a", "b", "top-k"), cells[0]):
        with pytest.raises(Incomplete, match="9 cells for 8 places"):
            tables(read_cells(junit(*cells, more)), DIALECTS, ROW_TITLES)
    with pytest.raises(Incomplete, match="no property"):
        read_cells(junit('<testcase name="test_cell[a-a-text]" />'))


def test_the_page_must_have_its_marks() -> None:
    """What stands around them stays."""
    assert spliced("x <!-- matrix -->old<!-- end of matrix --> y", "new") == (
        "x <!-- matrix -->\n\nnew\n<!-- end of matrix --> y"
    )
    with pytest.raises(Incomplete, match="the page has no"):
        spliced("x <!-- matrix --> y", "new")


def test_a_stale_page_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With `--check` nothing is written; without, the page is made, and is then up to date."""
    page, run = tmp_path / "page.md", tmp_path / "run.xml"
    page.write_text("<!-- matrix --><!-- end of matrix -->")
    cells = [case(caller, upstream, row) for caller in STRICT for upstream in STRICT for row in ROWS]
    run.write_text(junit(*cells))
    assert main(["--check", str(run)], page) == 1
    assert "is stale" in capsys.readouterr().err
    assert page.read_text() == "<!-- matrix --><!-- end of matrix -->"
    assert main([str(run)], page) == 0
    assert main(["--check", str(run)], page) == 0
    assert f"{36 * len(ROWS)} tests" in page.read_text()
    run.write_text(junit(*cells[1:]))
    assert main(["--check", str(run)], page) == 1
    assert "not whole" in capsys.readouterr().err
