"""Suffixes of models' names that ask for reasoning."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.canonical import Reasoning
from asgi_gateway.policies.suffixes import DEFAULT_SUFFIXES, ReasoningSuffix, cut


@pytest.mark.parametrize(
    ("name", "base", "reasoning"),
    [
        ("o3-mini-high", "o3-mini", Reasoning(effort="high")),
        ("openai/gpt-5.1-none", "openai/gpt-5.1", Reasoning(effort="none")),
        ("gpt-5-xhigh", "gpt-5", Reasoning(effort="xhigh")),
        ("claude-sonnet-4-5-thinking", "claude-sonnet-4-5", Reasoning(enabled=True, budget=800, visible=True)),
        ("claude-opus-4-6-max", "claude-opus-4-6", Reasoning(enabled=True, effort="max", visible=True)),
        ("gemini-2.5-pro-thinking", "gemini-2.5-pro", Reasoning(enabled=True, budget=600, visible=True)),
        ("gemini-2.5-flash-thinking-2048", "gemini-2.5-flash", Reasoning(enabled=True, budget=2048, visible=True)),
        ("gemini-2.5-flash-nothinking", "gemini-2.5-flash", Reasoning(enabled=False, budget=0)),
        ("gemini-3-pro-low", "gemini-3-pro", Reasoning(effort="low", visible=True)),
        ("deepseek-v4-flash-none", "deepseek-v4-flash", Reasoning(enabled=False)),
        ("grok-3-mini-high", "grok-3-mini", Reasoning(effort="high")),
    ],
)
def test_a_known_suffix_is_cut_and_means_something(name: str, base: str, reasoning: Reasoning) -> None:
    """With a thousand tokens of output allowed."""
    assert cut(name, DEFAULT_SUFFIXES, max_output=1000) == (base, reasoning)


@pytest.mark.parametrize("name", ["foo-low", "gpt-4o-high", "llama-thinking", "-high", "o3", "gemini-thinking-x", ""])
def test_other_names_stay_whole(name: str) -> None:
    """Also those that end alike: the rules name their models."""
    assert cut(name, DEFAULT_SUFFIXES, max_output=None) is None


def test_a_share_of_nothing_said_is_no_budget() -> None:
    """The model or its dialect decides."""
    found = cut("claude-sonnet-4-5-thinking", DEFAULT_SUFFIXES, max_output=None)
    assert found == ("claude-sonnet-4-5", Reasoning(enabled=True, visible=True))


def test_a_deployers_rules_come_first() -> None:
    """They add, they change, and they take away."""
    own = (
        ReasoningSuffix(models=("qwen*",), suffix="-deep", share=Decimal("0.5")),
        ReasoningSuffix(models=("o3*",), suffix="-high", effort="medium"),
        ReasoningSuffix(models=("o3-local*",), suffix="-low", ignore=True),
        *DEFAULT_SUFFIXES,
    )
    assert cut("vendor/Qwen3-deep", own, max_output=10) == ("vendor/Qwen3", Reasoning(budget=5))
    assert cut("o3-high", own, max_output=None) == ("o3", Reasoning(effort="medium"))
    assert cut("o3-local-low", own, max_output=None) is None


@given(name=st.text(alphabet="o3-highnmtk12345", max_size=24), allowed=st.none() | st.integers(1, 1 << 31))
def test_what_is_cut_is_a_part_of_the_name(name: str, allowed: int | None) -> None:
    """Whatever the name: the base is its beginning, shorter and never empty; a budget is never negative."""
    found = cut(name, DEFAULT_SUFFIXES, max_output=allowed)
    if found is not None:
        base, reasoning = found
        assert 0 < len(base) < len(name)
        assert name.startswith(base)
        assert reasoning.budget is None or reasoning.budget >= 0
