"""What an exchange costs beside tokens at one price: tiers, calls, images, seconds, characters, tools, classes."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from asgi_gateway.policies.pricing import MAX_CHARGE, Estimate, Tariff, cost, settle_usage
from asgi_gateway.storage.records import Outcome, Price, PriceTier, Usage
from support.prices import AMOUNTS, PRICES, USAGES

ONE = Decimal(1)
D = Decimal
PLAIN = Price(input=D(2), output=D(4))  # a token is one unit, one of output two
TIERED = replace(
    PLAIN,
    cache_read=D(1),
    tiers=(PriceTier(above=100, input=D(4)), PriceTier(above=200, input=D(6), output=D(8), cache_read=D(2))),
)


@pytest.mark.parametrize(
    ("usage", "charge"),
    [
        (Usage(input=100), 100),
        (Usage(input=101), 202),
        (Usage(input=200), 400),
        (Usage(input=201), 603),
        (Usage(input=50, cache_read=50), 75),
        (Usage(input=51, cache_read=50), 127),  # cached tokens count for the length; their price is not in the tier
        (Usage(input=1, cache_read=200, output=1), 3 + 200 + 4),
        (Usage(output=1000), 2000),  # output does not make a context longer
        (Usage(input=101, output=1), 204),
        (Usage(audio_input=60, image_input=60), 240),
        (Usage(cache_write=60, cache_write_1h=60), 240),
    ],
)
def test_the_whole_exchange_is_charged_by_the_highest_tier_it_reaches(usage: Usage, charge: int) -> None:
    """By one token more than `above` of all input; what the tier does not say is as in the price, then falls back."""
    assert cost(TIERED, ONE, usage) == charge


def test_tiers_count_in_any_order() -> None:
    """The highest one reached, wherever it stands."""
    turned = replace(TIERED, tiers=tuple(reversed(TIERED.tiers)))
    for tokens in (100, 101, 201):
        assert cost(turned, ONE, Usage(input=tokens)) == cost(TIERED, ONE, Usage(input=tokens))


def test_a_call_is_charged_once_and_only_where_anything_was_used() -> None:
    """What nothing was used of costs nothing, and what failed has no usage."""
    price = replace(PLAIN, call=D("0.00001"))  # 5 units
    assert cost(price, ONE, Usage(input=3)) == 8
    assert cost(price, ONE, Usage(tools=(("other", 1),))) == 5
    assert cost(price, ONE, Usage(images=(("/", 1),))) == 5
    assert cost(price, ONE, Usage(milliseconds=1)) == 5
    assert cost(price, ONE, Usage(characters=1)) == 5
    assert cost(price, ONE, Usage(output=1)) == 7
    assert cost(price, ONE, Usage(service_tier="flex", estimated=True, tools=(("other", 0),))) == 0
    failed = settle_usage(Outcome.UPSTREAM_FAILED, None, prompt_bytes=9, output_estimate=1, reached_upstream=True)
    assert cost(price, ONE, failed) == 0


@pytest.mark.parametrize(
    ("name", "charge"),
    [
        ("high/1024x1024", 1),
        ("high/512x512", 2),
        ("high/", 2),
        ("low/1024x1024", 3),
        ("/1024x1024", 3),
        ("/", 4),
        ("", 4),
    ],
)
def test_an_image_costs_what_its_most_exact_entry_says(name: str, charge: int) -> None:
    """Quality and size, then the quality, then the size, then anything."""
    unit = D("0.000002")
    images = {"*/*": 4 * unit, "*/1024x1024": 3 * unit, "high/*": 2 * unit, "high/1024x1024": unit}
    assert cost(replace(PLAIN, images=images), ONE, Usage(images=((name, 1),))) == charge


def test_an_image_without_an_entry_costs_its_tokens() -> None:
    """And one with an entry costs them beside it, unless tokens of images cost nothing."""
    price = replace(PLAIN, images={"high/1024x1024": D("0.00001")})
    one = Usage(image_output=10, images=(("high/1024x1024", 1),))
    other = Usage(image_output=10, images=(("low/1024x1024", 1),))
    assert cost(price, ONE, other) == 20
    assert cost(price, ONE, one) == 25
    assert cost(replace(price, image_output=D(0)), ONE, one) == 5


def test_seconds_are_charged_by_the_millisecond_and_characters_by_the_million() -> None:
    """Without rounding before the sum."""
    price = replace(PLAIN, second=D("0.0001"), characters=D(15))  # 50 units a second, 7.5 a character
    assert cost(price, ONE, Usage(milliseconds=1000)) == 50
    assert cost(price, ONE, Usage(milliseconds=1010)) == 51  # 50.5
    assert cost(price, ONE, Usage(characters=1)) == 8
    assert cost(price, ONE, Usage(milliseconds=10, characters=1)) == 8  # 0.5 and 7.5
    assert cost(price, ONE, Usage(milliseconds=10, characters=1, input=1)) == 9


def test_tools_are_charged_by_the_thousand_and_others_are_not() -> None:
    """A kind without a price costs the tokens it used, "other" too."""
    price = replace(PLAIN, tools={"web_search": D(10), "other": D("2.5")})
    assert cost(price, ONE, Usage(tools=(("web_search", 1),))) == 5000
    assert cost(price, ONE, Usage(tools=(("web_search", 2), ("code_execution", 7), ("other", 1)))) == 11_250
    assert cost(replace(price, tools={"web_search": D(10)}), ONE, Usage(input=1, tools=(("other", 7),))) == 1


def test_a_class_of_service_multiplies_everything_but_tools() -> None:
    """One that has no entry multiplies by 1, and the ratio of a group multiplies all."""
    price = replace(
        PLAIN, call=D("0.00002"), tools={"web_search": D(10)}, service_tiers={"flex": D("0.5"), "priority": D("1.75")}
    )
    used = Usage(input=100, tools=(("web_search", 1),))
    charges = {
        name: cost(price, ONE, structs.replace(used, service_tier=name)) for name in ("", "flex", "priority", "scale")
    }
    assert charges == {"": 5110, "flex": 5055, "priority": 5193, "scale": 5110}
    assert cost(price, D(2), structs.replace(used, service_tier="flex")) == 10_110


@given(PRICES, USAGES, st.sampled_from(("milliseconds", "characters", "tools", "images", "input")))
def test_counts_below_nothing_make_no_discount(price: Price, usage: Usage, kind: str) -> None:
    """Wherever they stand."""
    if kind in ("tools", "images"):
        counts = getattr(usage, kind)
        less = structs.replace(usage, **{kind: tuple((name, -count) for name, count in counts)})
        none = structs.replace(usage, **{kind: tuple((name, 0) for name, _ in counts)})
    else:
        less, none = (structs.replace(usage, **{kind: number}) for number in (-5, 0))
    assert cost(price, ONE, less) == cost(price, ONE, none)


def test_no_charge_with_extras_exceeds_what_a_database_can_add() -> None:
    """However much was made."""
    price = replace(PLAIN, images={"*/*": D(10_000)}, second=D(1))
    assert cost(price, ONE, Usage(images=(("/", 10**12),))) == MAX_CHARGE
    assert Tariff(price, ONE).estimate(
        prompt_bytes=0, max_output=0, default_output=0, images=(("/", 10**12),)
    ) == Estimate(MAX_CHARGE, 0)


def test_an_estimate_takes_the_dearest_tier_that_the_prompt_reaches() -> None:
    """A higher tier that is cheaper does not make the reservation smaller."""
    tariff = Tariff(TIERED, ONE)
    assert tariff.estimate(prompt_bytes=300, max_output=10, default_output=0) == Estimate(120, 100)
    assert tariff.estimate(prompt_bytes=303, max_output=10, default_output=0) == Estimate(222, 202)
    assert tariff.estimate(prompt_bytes=603, max_output=10, default_output=0) == Estimate(603 + 40, 603)
    cheaper = Tariff(replace(PLAIN, tiers=(PriceTier(above=100, input=D(1), output=D(6)),)), ONE)
    assert cheaper.estimate(prompt_bytes=600, max_output=10, default_output=0) == Estimate(220, 200)
    assert cheaper.estimate(prompt_bytes=600, max_output=1000, default_output=0) == Estimate(3100, 200)


def test_an_estimate_has_the_call_the_images_and_the_rest_that_is_asked_for() -> None:
    """The price per call belongs to the prompt; tools are not foreseen."""
    price = replace(
        PLAIN,
        call=D("0.00001"),
        images={"high/*": D("0.00002")},
        second=D("0.001"),
        characters=D(2),
        tools={"web_search": D(10)},
    )
    tariff = Tariff(price, ONE)
    nothing = {"prompt_bytes": 0, "max_output": 0, "default_output": 0}
    assert tariff.estimate(**nothing) == Estimate(5, 5)
    assert tariff.estimate(**nothing, images=(("high/512x512", 3), ("low/", 5), ("high/", -9))) == Estimate(35, 5)
    assert tariff.estimate(**nothing, milliseconds=10, characters=7) == Estimate(17, 5)
    assert tariff.estimate(**nothing, milliseconds=-10, characters=-7) == Estimate(5, 5)


def test_an_estimate_counts_a_class_of_service_only_where_it_is_dearer() -> None:
    """An upstream may serve a request in the ordinary class although a cheaper one was asked for."""
    tariff = Tariff(replace(PLAIN, service_tiers={"flex": D("0.5"), "priority": D("1.25")}), ONE)
    ordinary = Estimate(120, 100)
    for name in ("", "flex", "unknown"):
        assert tariff.estimate(prompt_bytes=300, max_output=10, default_output=0, service_tier=name) == ordinary
    dearer = tariff.estimate(prompt_bytes=300, max_output=10, default_output=0, service_tier="priority")
    assert dearer == Estimate(150, 125)


@given(PRICES, AMOUNTS, st.integers(0, 10**12), st.integers(0, 10**9), st.sampled_from(("", "flex", "priority")))
def test_an_estimate_covers_what_it_foresees(
    price: Price, ratio: Decimal, prompt_bytes: int, output: int, service_tier: str
) -> None:
    """A prompt of as many tokens as were foreseen, and as much output, costs no more than was set aside."""
    tariff = Tariff(price, ratio)
    found = tariff.estimate(prompt_bytes=prompt_bytes, max_output=output, default_output=0, service_tier=service_tier)
    prompt = -(-prompt_bytes // 3)
    assert found.prompt_amount <= found.amount
    assert tariff.cost(Usage(input=prompt, output=output, service_tier=service_tier)) <= found.amount
    assert tariff.cost(Usage(input=prompt)) <= found.prompt_amount
