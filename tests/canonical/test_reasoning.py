"""Effort and budget, each from the other, by the written table."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.canonical import BUDGETS, Effort, Reasoning, budget_of, effort_of, reasoning


@pytest.mark.parametrize(
    ("asked", "effort"),
    [
        (Reasoning(), None),
        (Reasoning(enabled=True), None),
        (Reasoning(adaptive=True), None),
        (Reasoning(budget=-1), None),
        (Reasoning(enabled=False), "none"),
        (Reasoning(effort="xhigh", budget=0), "xhigh"),
        (Reasoning(budget=0), "none"),
        (Reasoning(budget=1), "minimal"),
        (Reasoning(budget=512), "minimal"),
        (Reasoning(budget=513), "low"),
        (Reasoning(budget=8192), "medium"),
        (Reasoning(budget=10_000), "high"),
        (Reasoning(budget=65_536), "max"),
        (Reasoning(budget=1_000_000), "max"),
    ],
)
def test_a_budget_is_the_least_effort_that_covers_it(asked: Reasoning, effort: Effort | None) -> None:
    """What is said wins; nothing said, nothing given."""
    assert effort_of(asked) == effort


@pytest.mark.parametrize(
    ("asked", "budget"),
    [
        (Reasoning(), None),
        (Reasoning(enabled=True), None),
        (Reasoning(enabled=False), 0),
        (Reasoning(effort="none"), 0),
        (Reasoning(effort="low"), 1024),
        (Reasoning(effort="max"), 32_768),
        (Reasoning(effort="minimal"), 1024),
        (Reasoning(budget=-1), -1),
        (Reasoning(budget=0, effort="high"), 0),
        (Reasoning(budget=2000), 2000),
        (Reasoning(budget=100_000), 32_768),
    ],
)
def test_an_effort_is_a_budget_within_bounds(asked: Reasoning, budget: int | None) -> None:
    """Bounds hold for what is above zero."""
    assert budget_of(asked, least=1024, most=32_768) == budget


def test_without_an_upper_bound_the_budget_is_the_tables() -> None:
    """Only `least` is asked for."""
    assert budget_of(Reasoning(effort="max")) == 65_536


@given(st.sampled_from(sorted(BUDGETS)))
def test_there_and_back_is_the_same_effort(effort: Effort) -> None:
    """The table is one to one."""
    assert effort_of(Reasoning(budget=budget_of(Reasoning(effort=effort)))) == effort


@pytest.mark.parametrize("source", ["docstring", "docs/reference/dialects.md"])
def test_the_written_tables_are_the_codes(source: str) -> None:
    """The module's docstring and the reference have the same numbers."""
    page = Path(__file__).parents[2] / source
    text = str(reasoning.__doc__) if source == "docstring" else page.read_text(encoding="utf-8")
    efforts = re.search(r"^\| effort \|(.+)\|$", text, re.MULTILINE)
    budgets = re.search(r"^\| budget(?: in tokens)? \|(.+)\|$", text, re.MULTILINE)
    assert efforts is not None
    assert budgets is not None
    names = [name.strip() for name in efforts[1].split("|")]
    numbers = [int(number.strip().replace(" ", "").replace("\u202f", "")) for number in budgets[1].split("|")]
    assert dict(zip(names, numbers, strict=True)) == dict(BUDGETS)
