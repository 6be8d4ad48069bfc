"""Losses are noted once each, in order, and fit a header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.canonical import ChatRequest, Extra, Loss, Losses, Usage
from asgi_gateway.errors import InvalidRequest


def test_each_is_kept_once_in_the_order_it_was_met() -> None:
    """The kinds are told apart; the side is on each."""
    losses = Losses("response")
    assert not losses
    assert losses.header() == "none"
    losses.dropped("seed")
    losses.approximated("tools[].custom")
    losses.dropped("seed")
    losses.invented("max_tokens")
    losses.dropped("user")
    assert bool(losses)
    assert len(losses) == 4
    assert losses.header() == "dropped:seed,approximated:tools[].custom,invented:max_tokens,dropped:user"
    assert losses.noted()[1] == Loss("approximated", "response", "tools[].custom")
    assert {loss.where for loss in losses.noted()} == {"response"}


@given(st.lists(st.text(), min_size=1))
def test_a_header_is_one_whatever_the_fields_are_called(names: list[str]) -> None:
    """A caller may name its fields as it likes: no line end, no letter outside ASCII, and an end."""
    losses = Losses("request")
    for name in names:
        losses.dropped(name)
    header = losses.header()
    assert all("!" <= mark <= "~" for mark in header)
    assert len(header) <= 512


def test_a_long_header_says_that_it_is_cut() -> None:
    """The record has the rest."""
    losses = Losses("request")
    for number in range(100):
        losses.dropped(f"field_{number}")
    assert losses.header().endswith("...")
    assert len(losses.header()) == 512
    assert len(losses.noted()) == 100


def test_extras_go_to_their_own_dialect_alone() -> None:
    """Another drops and notes them, and refuses an essential one by name."""
    request = ChatRequest(model="m", turns=(), extras=(Extra("a", "x", 1), Extra("b", "y", 2), Extra("a", "z", 3)))
    losses = Losses("request")
    assert list(request.own_extras("a", losses)) == [("x", 1), ("z", 3)]
    assert losses.header() == "dropped:y"
    essential = ChatRequest(model="m", turns=(), extras=(Extra("a", "background", True, essential=True),))
    assert list(essential.own_extras("a", losses)) == [("background", True)]
    with pytest.raises(InvalidRequest) as refused:
        list(essential.own_extras("b", losses))
    assert refused.value.param == "background"


def test_kinds_of_tokens_add_up() -> None:
    """The kinds are disjoint: each counts once."""
    usage = Usage(
        input=1,
        cache_read=2,
        cache_write=4,
        cache_write_1h=8,
        audio_input=16,
        image_input=32,
        output=1,
        reasoning=2,
        audio_output=4,
        image_output=8,
        tools=(("web_search", 3), ("mcp", 2)),
    )
    assert (usage.total_input, usage.total_output) == (63, 15)
