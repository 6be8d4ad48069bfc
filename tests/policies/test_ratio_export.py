"""Prices as New API's ratios: exactly, or left out with the reason."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given

from asgi_gateway.policies.price_table import price_version
from asgi_gateway.policies.pricing import cost
from asgi_gateway.policies.ratio_export import sheet_of
from asgi_gateway.policies.ratios import RatioSheet
from asgi_gateway.storage.records import Price, PriceTier, Usage
from support.prices import PRICES, USAGES
from support.ratio_sheets import NAMES, NUMBERS, SHEETS

D = Decimal
ONE = Decimal(1)


@given(SHEETS)
def test_prices_of_a_sheet_make_a_sheet_of_the_same_prices(sheet: RatioSheet) -> None:
    """What comes from ratios goes back into ratios."""
    prices = sheet.prices()
    export = sheet_of(prices, sheet.groups())
    assert export.assumed == {}
    again = export.sheet.prices()
    assert set(again) | set(export.left_out) == set(prices)
    for model, price in again.items():
        assert price_version(price) == price_version(prices[model])
    assert set(export.left_out) <= {"gemini-2.5-flash"}  # whose output may be rounded


@given(PRICES, NAMES, NUMBERS, USAGES)
def test_prices_that_ratios_express_cost_the_same_there(price: Price, model: str, group: Decimal, usage: Usage) -> None:
    """Or are left out with reasons."""
    plain = replace(
        price,
        tiers=(),
        images={},
        second=Decimal(0),
        characters=Decimal(0),
        tools={},
        service_tiers={},
        call=Decimal(0),
    )
    easy = replace(plain, reasoning=None, image_output=None, output=plain.input * 4, cache_write_1h=None)
    for candidate in (price, plain, easy, replace(plain, cache_read=None, cache_write=None)):
        export = sheet_of({model: candidate})
        if model in export.left_out:
            assert export.left_out[model]
            assert export.sheet == RatioSheet()
            continue
        used = Usage(
            **{kind: getattr(usage, kind) for kind in ("input", "cache_read", "cache_write", "output", "reasoning")},
            audio_input=usage.audio_input,
            audio_output=0 if "spoken" in str(export.assumed) else usage.audio_output,
            image_input=usage.image_input,
            image_output=usage.image_output,
            cache_write_1h=0 if "hour" in str(export.assumed) else usage.cache_write_1h,
        )
        assert cost(candidate, group, used) == cost(export.sheet.prices()[model], group, used)


BASE = Price(input=D(2), output=D(2), cache_write=D("2.5"), cache_write_1h=D(4))


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        (replace(BASE, tiers=(PriceTier(above=1),)), "prices by length of context"),
        (replace(BASE, images={"*/*": ONE}), "prices of images"),
        (replace(BASE, second=ONE), "a price per second"),
        (replace(BASE, characters=ONE), "a price of characters"),
        (replace(BASE, service_tiers={"flex": D("0.5")}), "classes of service"),
        (replace(BASE, tools={"web_search": ONE}), "other prices of tools than New API's"),
        (replace(BASE, reasoning=D(3)), "another price of reasoning than of output"),
        (replace(BASE, image_output=D(3)), "another price of images made than of output"),
        (replace(BASE, call=ONE), "a price per call beside prices of tokens"),
        (replace(BASE, input=D(0)), "free input beside other prices: all of them are ratios of it"),
        (replace(BASE, input=D(3), audio_output=D(3)), "output at a ratio whose digits have no end: 2/3"),
        (
            replace(BASE, cache_read=D("0.1"), input=D(3), output=D(3)),
            "cache_read at a ratio whose digits have no end: 1/30",
        ),
        (replace(BASE, cache_write_1h=D(5)), "an hour's cache write at another price than 1.6 times a short one"),
        (
            replace(BASE, audio_input=D(0), audio_output=ONE),
            "spoken answers that cost something, where audio input is free",
        ),
    ],
)
def test_what_ratios_cannot_say_is_listed(price: Price, reason: str) -> None:
    """By model, with the reason, and not in the sheet."""
    export = sheet_of({"x": price, "good": BASE})
    assert reason in export.left_out["x"]
    assert list(export.sheet.model_ratio) == ["good"]


def test_a_locked_completion_ratio_is_kept_or_left_out() -> None:
    """The sheet cannot say another."""
    right = replace(BASE, output=D(10))
    export = sheet_of({"claude-opus-4-8": right, "gpt-5": right})
    assert list(export.sheet.model_ratio) == ["claude-opus-4-8"]
    assert export.sheet.completion_ratio == {}
    assert export.left_out == {"gpt-5": ("output is 5 times input: New API fixes it at 8 for this name",)}


def test_a_built_in_ratio_without_an_end_of_digits_needs_no_entry() -> None:
    """It is the exact one where the sheet is silent."""
    export = sheet_of({"gemini-2.5-flash": Price(input=D("0.30"), output=D("2.50"), cache_write_1h=None)})
    assert export.sheet.completion_ratio == {}
    assert export.sheet.model_ratio == {"gemini-2.5-flash": D("0.15")}
    assert export.assumed == {
        "gemini-2.5-flash": (
            "an hour's cache write: 1.6 times a short one",
            "spoken answers: the price of audio input",
        )
    }


def test_free_models_stay_free() -> None:
    """By ratio or per call."""
    free = RatioSheet(model_ratio={"glm-4-flash": D(0)}, model_price={"mj_inpaint": D(0)})
    export = sheet_of(free.prices())
    assert export.sheet == free
