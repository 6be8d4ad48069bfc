"""What holds of every charge, whatever the price and the usage."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from math import ceil

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from msgspec import structs

from asgi_gateway.canonical.usage import TOOL_KINDS
from asgi_gateway.policies.pricing import MAX_CHARGE, Tariff, cost, price_version
from asgi_gateway.policies.reckoning import reckon
from asgi_gateway.storage.price_text import price_of, price_text
from asgi_gateway.storage.records import Price, PriceTier, Usage
from support.prices import (
    AMOUNTS,
    IMAGES,
    PLAIN_PRICES,
    PRICES,
    PRICES_WITHOUT_TIERS,
    SMALL,
    TOKEN_KINDS,
    USAGES,
    exact,
)

COUNTS = (*TOKEN_KINDS, "milliseconds", "characters")


@given(PRICES, AMOUNTS, USAGES)
def test_a_charge_is_the_exact_sum_rounded_up_once(price: Price, ratio: Decimal, usage: Usage) -> None:
    """Integers over one denominator give what fractions give."""
    assert cost(price, ratio, usage) == min(ceil(exact(price, ratio, usage)), MAX_CHARGE)


@given(PLAIN_PRICES, AMOUNTS, USAGES)
def test_prices_of_tokens_alone_charge_tokens_alone(price: Price, ratio: Decimal, usage: Usage) -> None:
    """The short way of everyday prices gives the same, whatever else was used."""
    tokens = Usage(**{kind: getattr(usage, kind) for kind in TOKEN_KINDS})
    assert cost(price, ratio, usage) == cost(price, ratio, tokens)
    assert cost(price, ratio, usage) == min(ceil(exact(price, ratio, usage)), MAX_CHARGE)


@given(PRICES, AMOUNTS, USAGES)
def test_two_arithmetics_agree(price: Price, ratio: Decimal, usage: Usage) -> None:
    """What explains a charge is computed otherwise than the charge, and comes to the same fraction."""
    assert (
        reckon(price, usage).usd * ratio.as_integer_ratio()[0] * 500_000
        == exact(price, ratio, usage) * (ratio.as_integer_ratio()[1])
    )


@given(PRICES_WITHOUT_TIERS, AMOUNTS, USAGES, st.sampled_from(COUNTS), SMALL)
def test_more_never_costs_less(price: Price, ratio: Decimal, usage: Usage, kind: str, more: int) -> None:
    """Within one context tier; a tier may be cheaper than the one before, if the deployer says so."""
    larger = structs.replace(usage, **{kind: getattr(usage, kind) + more})
    assert cost(price, ratio, larger) >= cost(price, ratio, usage)


@given(PRICES_WITHOUT_TIERS, AMOUNTS, USAGES, USAGES)
def test_two_charges_are_that_of_both_together_but_for_rounding(
    price: Price, ratio: Decimal, one: Usage, other: Usage
) -> None:
    """At most the one unit that is rounded up twice lies between."""
    price = replace(price, call=Decimal(0))
    other = structs.replace(other, service_tier=one.service_tier)
    both = Usage(
        **{kind: getattr(one, kind) + getattr(other, kind) for kind in COUNTS},
        tools=tuple((kind, dict(one.tools).get(kind, 0) + dict(other.tools).get(kind, 0)) for kind in TOOL_KINDS),
        images=tuple((name, dict(one.images).get(name, 0) + dict(other.images).get(name, 0)) for name in IMAGES),
        service_tier=one.service_tier,
    )
    together = cost(price, ratio, both)
    assume(together < MAX_CHARGE)
    assert 0 <= cost(price, ratio, one) + cost(price, ratio, other) - together <= 1


SOME = st.integers(1, 9_999).map(lambda mills: Decimal(mills) / 1000)
FEW = st.integers(1, 20)
FINE = Decimal(10) ** 5
"""A ratio that makes the least difference of a price of three places many units."""

FULL_TIERS = st.builds(PriceTier, above=st.just(100), **dict.fromkeys(TOKEN_KINDS, SOME))
FULL_PRICES = st.builds(
    Price,
    **dict.fromkeys((*TOKEN_KINDS, "call", "second", "characters"), SOME),
    tiers=st.tuples(FULL_TIERS),
    images=st.fixed_dictionaries(dict.fromkeys(IMAGES, SOME)),
    tools=st.fixed_dictionaries(dict.fromkeys(TOOL_KINDS, SOME)),
    service_tiers=st.fixed_dictionaries({"flex": st.integers(1, 99).map(lambda tenths: Decimal(tenths) / 10)}),
)
FULL_USAGES = st.builds(
    Usage,
    **dict.fromkeys((*TOKEN_KINDS, "milliseconds", "characters"), FEW),
    tools=st.tuples(*(st.tuples(st.just(kind), FEW) for kind in TOOL_KINDS)),
    images=st.tuples(*(st.tuples(st.just(name), FEW) for name in IMAGES)),
    service_tier=st.just("flex"),
)


@settings(max_examples=30)
@given(FULL_PRICES, FULL_USAGES, SOME)
def test_any_price_that_changes_changes_the_charge(price: Price, usage: Usage, more: Decimal) -> None:
    """No number of a price is without effect, and none stands for another."""
    short = structs.replace(usage, **dict.fromkeys(TOKEN_KINDS, 1))
    long = structs.replace(usage, input=101)
    tier = price.tiers[0]
    others = [(short, replace(price, **{kind: getattr(price, kind) + more})) for kind in TOKEN_KINDS]
    others += [
        (long, replace(price, tiers=(replace(tier, **{kind: getattr(tier, kind) + more}),))) for kind in TOKEN_KINDS
    ]
    others += [(long, replace(price, tiers=(replace(tier, above=101 + usage.total_input),)))]
    others += [(usage, replace(price, **{kind: getattr(price, kind) + more})) for kind in ("call", "second")]
    others += [(usage, replace(price, characters=price.characters + more))]
    for field in ("images", "tools", "service_tiers"):
        numbers = getattr(price, field)
        others += [(usage, replace(price, **{field: {**numbers, name: numbers[name] + more}})) for name in numbers]
    for used, other in others:
        if exact(price, FINE, used) != exact(other, FINE, used):
            assert cost(price, FINE, used) != cost(other, FINE, used)
        else:  # two tiers may charge the same by chance
            assert price.tiers[0].above != other.tiers[0].above
        assert price_version(price) != price_version(other)


@given(FULL_PRICES, FULL_USAGES, FEW)
def test_any_count_that_changes_changes_the_charge(price: Price, usage: Usage, more: int) -> None:
    """Nothing that was used is without effect."""
    price = replace(price, tiers=())
    others = [structs.replace(usage, **{kind: getattr(usage, kind) + more}) for kind in COUNTS]
    for field in ("images", "tools"):
        counts = dict(getattr(usage, field))
        others += [
            structs.replace(usage, **{field: tuple({**counts, name: counts[name] + more}.items())}) for name in counts
        ]
    tariff = Tariff(price, FINE)
    assert len(others) == len(COUNTS) + len(IMAGES) + len(TOOL_KINDS)
    assert all(tariff.cost(other) > tariff.cost(usage) for other in others)


@given(PRICES)
def test_a_price_is_the_same_once_it_was_stored(price: Price) -> None:
    """And keeps its version: a charge is recomputed from what the storage gives back."""
    named = replace(price, version=price_version(price))
    stored = price_of(price_text(named))
    assert stored == named
    assert price_version(stored) == named.version


@given(PRICES, PRICES)
def test_versions_are_equal_exactly_when_the_numbers_are(one: Price, other: Price) -> None:
    """So a stored version leads back to the numbers of its charge."""
    assert (price_version(one) == price_version(other)) == (one == other)


@given(PRICES)
def test_a_version_does_not_see_how_a_number_is_written(price: Price) -> None:
    """Nor the order of tables, nor the name that the price has."""
    again = Price(
        **{kind: _longer(getattr(price, kind)) for kind in (*TOKEN_KINDS, "call", "second", "characters")},
        tiers=tuple(
            replace(tier, **{kind: _longer(getattr(tier, kind)) for kind in TOKEN_KINDS}) for tier in price.tiers
        ),
        images=_reversed(price.images),
        tools=_reversed(price.tools),
        service_tiers=_reversed(price.service_tiers),
        version="another",
    )
    assert price_version(again) == price_version(price)


def _longer(number: Decimal | None) -> Decimal | None:
    if number is None:
        return None
    sign, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)
    return Decimal((sign, (*digits, 0), exponent - 1))


def _reversed(numbers: Mapping[str, Decimal]) -> dict[str, Decimal | None]:
    return {name: _longer(numbers[name]) for name in reversed(list(numbers))}
