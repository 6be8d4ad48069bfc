"""What an exchange costs."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from hashlib import sha256
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from asgi_gateway.policies.pricing import (
    BILLING,
    BILLING_REASONS,
    MAX_CHARGE,
    Billing,
    PriceTable,
    Tariff,
    cost,
    estimate,
    price_version,
    settle_usage,
)
from asgi_gateway.storage.records import Outcome, Price, PriceTier, Usage
from support.prices import AMOUNTS, PLAIN_PRICES, TOKEN_KINDS, exact

MINI = Price(input=Decimal("0.15"), output=Decimal("0.60"), cache_read=Decimal("0.075"))
ONE = Decimal(1)


@given(
    price=PLAIN_PRICES,
    ratio=AMOUNTS,
    prompt_bytes=st.integers(0, 10**9),
    max_output=st.none() | st.integers(0, 10**7),
    default_output=st.integers(0, 10**6),
    choices=st.integers(1, 128),
)
def test_an_estimate_is_the_exact_sum_rounded_up_once(
    price: Price, ratio: Decimal, prompt_bytes: int, max_output: int | None, default_output: int, choices: int
) -> None:
    """A token per 3 bytes of prompt, and as many output tokens as the request can have."""
    found = estimate(
        price,
        ratio,
        prompt_bytes=prompt_bytes,
        max_output=max_output,
        default_output=default_output,
        choices=choices,
    )
    prompt = Usage(input=ceil(Fraction(prompt_bytes, 3)))
    whole = structs.replace(prompt, output=(default_output if max_output is None else max_output) * choices)
    assert found.amount == min(ceil(exact(price, ratio, whole)), MAX_CHARGE)
    assert found.prompt_amount == min(ceil(exact(price, ratio, prompt)), MAX_CHARGE)
    assert found.prompt_amount <= found.amount


def test_a_million_tokens_cost_the_price() -> None:
    """0.15 USD are 75 000 units; a ratio multiplies."""
    assert cost(MINI, ONE, Usage(input=1_000_000)) == 75_000
    assert cost(MINI, ONE, Usage(output=1_000_000)) == 300_000
    assert cost(MINI, ONE, Usage(cache_read=1_000_000)) == 37_500
    assert cost(MINI, Decimal("0.5"), Usage(input=1_000_000)) == 37_500


def test_the_smallest_use_costs_one_unit_and_none_costs_nothing() -> None:
    """Rounding is upward, once for the whole sum and not once for each kind."""
    assert cost(MINI, ONE, Usage(input=1)) == 1
    assert cost(MINI, ONE, Usage(input=1, cache_read=1, output=1)) == 1
    assert cost(MINI, ONE, Usage()) == 0
    assert cost(MINI, Decimal(0), Usage(input=10**9)) == 0


@pytest.mark.parametrize(
    ("usage", "charge"),
    [
        (Usage(input=1_000_000), 1),
        (Usage(cache_read=1_000_000), 2),
        (Usage(cache_write=1_000_000), 3),
        (Usage(cache_write_1h=1_000_000), 4),
        (Usage(audio_input=1_000_000), 5),
        (Usage(output=1_000_000), 6),
        (Usage(reasoning=1_000_000), 7),
        (Usage(audio_output=1_000_000), 8),
        (Usage(image_input=1_000_000), 9),
        (Usage(image_output=1_000_000), 10),
        (Usage(tools=(("other", 1_000_000),)), 0),
    ],
)
def test_each_kind_has_its_price(usage: Usage, charge: int) -> None:
    """And what has no price costs nothing."""
    usd = Decimal("0.000002")  # of a million tokens, makes one unit
    price = Price(
        input=usd,
        cache_read=2 * usd,
        cache_write=3 * usd,
        cache_write_1h=4 * usd,
        audio_input=5 * usd,
        output=6 * usd,
        reasoning=7 * usd,
        audio_output=8 * usd,
        image_input=9 * usd,
        image_output=10 * usd,
    )
    assert cost(price, ONE, usage) == charge


def test_a_missing_price_falls_back_to_the_kind_beside_it() -> None:
    """An hour's cache write is charged as a short one before it is charged as input."""
    price = Price(input=Decimal(2), output=Decimal(4))
    million = 1_000_000
    for kind in ("cache_read", "cache_write", "cache_write_1h", "audio_input", "image_input"):
        assert cost(price, ONE, structs.replace(Usage(), **{kind: million})) == million, kind
    for kind in ("reasoning", "audio_output", "image_output"):
        assert cost(price, ONE, structs.replace(Usage(), **{kind: million})) == 2 * million, kind
    dearer = replace(price, cache_write=Decimal(6))
    assert cost(dearer, ONE, Usage(cache_write_1h=million)) == 3 * million


def test_a_price_of_zero_is_a_price() -> None:
    """Free cache reads do not fall back to the price of input."""
    assert cost(replace(MINI, cache_read=Decimal(0)), ONE, Usage(cache_read=10**6)) == 0


@pytest.mark.parametrize("kind", TOKEN_KINDS)
def test_a_negative_count_makes_no_discount(kind: str) -> None:
    """An upstream that reports less than nothing is not believed."""
    usage = structs.replace(Usage(input=1_000_000, output=7), **{kind: -500_000})
    believed = structs.replace(usage, **{kind: 0})
    assert cost(MINI, ONE, usage) == cost(MINI, ONE, believed)
    settled = settle_usage(Outcome.COMPLETED, usage, prompt_bytes=0, output_estimate=0, reached_upstream=True)
    assert settled == believed


@pytest.mark.parametrize("number", [Decimal("-0.01"), Decimal("NaN"), Decimal("Infinity")])
def test_a_price_or_ratio_that_is_no_amount_is_refused(number: Decimal) -> None:
    """When the table is built, naming the model, not at the first charge."""
    with pytest.raises(ValueError, match="0 or more"):
        Tariff(MINI, number)
    with pytest.raises(ValueError, match=r"the price of 'mini'.*0 or more"):
        PriceTable({"mini": replace(MINI, reasoning=number)})


def test_no_charge_exceeds_what_a_database_can_add() -> None:
    """However many tokens a request asks for or an upstream claims."""
    assert cost(MINI, ONE, Usage(output=10**40)) == MAX_CHARGE
    found = estimate(MINI, ONE, prompt_bytes=10**40, max_output=10**40, default_output=0, choices=3)
    assert found == (MAX_CHARGE, MAX_CHARGE)


def test_an_estimate_of_senseless_numbers_is_no_credit() -> None:
    """Negative limits and choices below one count as none and one."""
    found = estimate(MINI, ONE, prompt_bytes=-3, max_output=-10, default_output=5, choices=0)
    assert found == (0, 0)
    assert Tariff(MINI, ONE).estimate(prompt_bytes=0, max_output=None, default_output=1_000_000).amount == 300_000


def test_a_version_names_the_numbers_not_their_spelling() -> None:
    """0.60 and 0.6 are one price; a number that is missing is not one that is zero."""
    assert price_version(MINI) == price_version(replace(MINI, output=Decimal("0.6000"), version="whatever"))
    assert price_version(MINI) != price_version(replace(MINI, cache_read=None))
    assert price_version(replace(MINI, cache_read=None)) != price_version(replace(MINI, cache_read=Decimal(0)))
    assert len(price_version(MINI)) == 12


def test_versions_stay_what_they_are_when_prices_get_more_fields() -> None:
    """The digest of the first numbers, and of those beside them that are said."""
    text = "input=3/20;output=3/5;cache_read=3/40;cache_write=;cache_write_1h=;reasoning=;audio_input=;audio_output="
    assert price_version(MINI) == sha256(text.encode()).hexdigest()[:12]
    more = replace(
        MINI, tools={"web_search": ONE, "other": ONE}, call=Decimal("0.10"), tiers=(PriceTier(above=5, input=ONE),)
    )
    text += ';tiers=[{above=5;input=1/1}];call=1/10;tools={"other":1/1,"web_search":1/1}'
    assert price_version(more) == sha256(text.encode()).hexdigest()[:12]
    assert price_version(replace(MINI, call=Decimal("0.00"))) == price_version(MINI)


def test_a_version_tells_apart_prices_beyond_the_precision_of_decimals() -> None:
    """No context rounds them."""
    long = Decimal("0." + "1" * 40)
    assert price_version(replace(MINI, input=long)) != price_version(replace(MINI, input=long + Decimal("1e-40") * 1))


def test_a_table_finds_prices_by_exact_name() -> None:
    """And gives each its version; a name it does not hold has no price."""
    named = replace(MINI, version="2026-11")
    table = PriceTable({"mini": MINI, "named": named})
    assert "mini" in table
    assert "mini-2" not in table
    assert table.price("mini") == replace(MINI, version=price_version(MINI))
    assert table.price("named") == named
    assert table.price("mini-2") is None
    assert table.tariff("mini-2", ONE) is None


def test_a_table_keeps_its_tariffs() -> None:
    """One per model and ratio, whatever the ratio's spelling."""
    table = PriceTable({"mini": MINI})
    tariff = table.tariff("mini", Decimal("1.0"))
    assert tariff is not None
    assert tariff is table.tariff("mini", ONE)
    assert tariff is not table.tariff("mini", Decimal(2))
    assert tariff.price.version == price_version(MINI)
    assert tariff.cost(Usage(input=1_000_000)) == 75_000


def test_a_name_that_ends_in_an_asterisk_is_a_pattern() -> None:
    """The model's own price comes first, then the longest pattern that fits; nothing else is guessed."""
    dear, cheap = replace(MINI, input=Decimal(9)), replace(MINI, input=Decimal(1))
    table = PriceTable({"gpt-*": cheap, "gpt-4-gizmo-*": dear, "gpt-4-gizmo-free": MINI, "a*b": MINI})
    assert table.name("gpt-4-gizmo-writer") == "gpt-4-gizmo-*"
    assert table.name("gpt-4-gizmo-") == "gpt-4-gizmo-*"
    assert table.name("gpt-4-gizmo-free") == "gpt-4-gizmo-free"
    assert table.name("gpt-4-gizm") == "gpt-*"
    assert table.name("a-b") is None
    assert table.name("a*b") == "a*b"
    assert "gpt-4-gizmo-writer" in table
    assert 4 not in table
    found = table.price("gpt-4-gizmo-writer")
    assert found is not None
    assert found.input == 9


def test_tariffs_of_a_pattern_are_one() -> None:
    """However many names callers think of: the table keeps a tariff for each price, not for each name."""
    table = PriceTable({"m-*": MINI})
    tariff = table.tariff("m-1", ONE)
    assert tariff is not None
    assert tariff is table.tariff("m-2", ONE)
    assert tariff is not table.tariff("m-2", Decimal(2))
    assert table.tariff("n-1", ONE) is None


def test_every_outcome_has_its_row() -> None:
    """The table of what an outcome costs is closed, and each row has its reason."""
    assert set(BILLING) == set(Outcome) == set(BILLING_REASONS)
    assert all(BILLING_REASONS.values())
    assert {outcome for outcome, billing in BILLING.items() if billing is Billing.NOTHING} == {
        Outcome.UPSTREAM_FAILED,
        Outcome.EMPTY,
        Outcome.REFUSED,
    }
    assert BILLING[Outcome.LOST] is Billing.PROMPT
    assert BILLING[Outcome.EXHAUSTED] is Billing.USAGE


REPORTED = Usage(input=5, output=7)
COUNTED = Usage(input=3, output=11, estimated=True)  # 9 bytes of prompt are 3 tokens of 4 bytes


@pytest.mark.parametrize(
    ("outcome", "reported", "reached", "settled"),
    [
        (Outcome.COMPLETED, REPORTED, True, REPORTED),
        (Outcome.COMPLETED, None, True, COUNTED),
        (Outcome.COMPLETED, Usage(), True, Usage()),
        (Outcome.TRUNCATED, REPORTED, True, REPORTED),
        (Outcome.TRUNCATED, None, True, COUNTED),
        (Outcome.CALLER_LEFT, REPORTED, True, REPORTED),
        (Outcome.CALLER_LEFT, None, True, COUNTED),
        (Outcome.CALLER_LEFT, None, False, Usage()),
        (Outcome.UPSTREAM_FAILED, None, True, Usage()),
        (Outcome.UPSTREAM_FAILED, REPORTED, True, Usage()),
        (Outcome.REFUSED, None, False, Usage()),
        (Outcome.EMPTY, None, True, Usage()),
        (Outcome.EMPTY, REPORTED, True, Usage()),
        (Outcome.EXHAUSTED, REPORTED, True, REPORTED),
        (Outcome.EXHAUSTED, None, True, COUNTED),
        (Outcome.LOST, REPORTED, True, Usage(input=3, estimated=True)),
    ],
)
def test_what_an_outcome_costs(outcome: Outcome, reported: Usage | None, reached: bool, settled: Usage) -> None:
    """What came is charged, by the upstream's count or by ours; what failed is not."""
    assert settled == settle_usage(outcome, reported, prompt_bytes=9, output_estimate=11, reached_upstream=reached)


@given(st.integers(-5, 10**9))
def test_a_counted_prompt_never_exceeds_its_reservation(prompt_bytes: int) -> None:
    """Four bytes a token when it is charged, three when it is set aside."""
    usage = settle_usage(Outcome.COMPLETED, None, prompt_bytes=prompt_bytes, output_estimate=-1, reached_upstream=True)
    tariff = Tariff(MINI, ONE)
    assert tariff.cost(usage) >= 0
    assert tariff.cost(usage) <= tariff.estimate(prompt_bytes=prompt_bytes, max_output=0, default_output=0).amount
