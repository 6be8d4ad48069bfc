"""New API's price sheet, read, written, and turned into prices and back."""

import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.policies.price_table import PriceTable
from asgi_gateway.policies.pricing import MAX_CHARGE, cost
from asgi_gateway.policies.ratio_export import sheet_of
from asgi_gateway.policies.ratio_rules import completion_rule, tool_prices
from asgi_gateway.policies.ratios import RatioSheet, decimal_of
from asgi_gateway.storage.records import Group, Price, Usage
from support.prices import USAGES
from support.ratio_sheets import NUMBERS, SHEETS

D = Decimal
ONE = Decimal(1)

COMPLETIONS = {
    "gpt-4-all": (2, False),
    "gpt-4-gizmo-*": (2, False),
    "gpt-4o-gizmo-*": (2, False),
    "gpt-4o-2024-05-13": (3, True),
    "gpt-4o-mini-tts": (20, False),
    "gpt-4o": (4, False),
    "gpt-4o-mini": (4, False),
    "gpt-5": (8, True),
    "gpt-5-nano": (8, True),
    "gpt-5.4-nano-2026": (Fraction(25, 4), True),
    "gpt-5.4": (6, True),
    "gpt-5.5": (6, False),
    "gpt-5.6-sol": (6, False),
    "gpt-4.5-preview": (2, True),
    "gpt-4-turbo": (3, True),
    "gpt-4-1106": (3, True),
    "gpt-4.1": (2, False),
    "gpt-3.5-turbo": (2, False),
    "gpt-image-1": (2, False),
    "o1-pro": (4, True),
    "o3": (4, True),
    "o4-mini": (1, False),
    "chatgpt-4o-latest": (3, True),
    "claude-3-haiku-20240307": (5, True),
    "anthropic.claude-sonnet-4-v1": (5, True),
    "claude-opus-4-8": (5, True),
    "claude-haiku-4-5": (5, True),
    "claude-2": (1, False),
    "mistral-large": (3, True),
    "gemini-1.5-pro": (4, True),
    "gemini-2.0-flash": (4, True),
    "gemini-2.5-pro": (8, False),
    "gemini-2.5-flash-preview-05": (Fraction(70, 3), False),
    "gemini-2.5-flash-preview-05-nothinking": (4, False),
    "gemini-2.5-flash-lite": (4, False),
    "gemini-2.5-flash": (Fraction(25, 3), False),
    "gemini-robotics-er-1.5-preview": (Fraction(25, 3), False),
    "gemini-3-pro-image-preview": (60, False),
    "gemini-3-pro-preview": (6, False),
    "gemini-3.1-pro-preview": (4, False),
    "command-r": (3, True),
    "command-r-plus": (5, True),
    "command-r-plus-08-2024": (4, True),
    "command-a": (4, False),
    "ERNIE-Speed-8K": (2, True),
    "ERNIE-Functions-8K": (2, True),
    "ERNIE-4.0-8K": (1, False),
    "llama2-70b-4096": (Fraction(5, 4), False),
    "llama3-70b-8192": (Fraction("1.339"), False),
    "deepseek-chat": (1, False),
}


def new_api(sheet: RatioSheet, model: str, group: Decimal, usage: Usage) -> Fraction:
    """New API's charge before its rounding, from the counts that its formula names."""

    def ratio(name: str, otherwise: str) -> Fraction:
        return Fraction(getattr(sheet, name).get(model, otherwise))

    tools = sum(
        (Fraction(tool_prices(model).get(kind, 0)) * calls * 500_000 / 1000 for kind, calls in usage.tools), Fraction(0)
    )
    g = Fraction(group)
    if model in sheet.model_price:
        called = any(
            (usage.total_input, usage.total_output, usage.tool_calls, usage.milliseconds, usage.characters)
        ) or any(count for _, count in usage.images)
        return (Fraction(sheet.model_price[model]) * 500_000 * called + tools) * g
    own, (built_in, locked) = sheet.completion_ratio.get(model), completion_rule(model)[1:]
    c = Fraction(own) if own is not None and (not locked or "/" in model) else built_in
    w = ratio("create_cache_ratio", "1.25")
    total = Fraction(usage.input)
    total += usage.cache_read * ratio("cache_ratio", "1")
    total += usage.cache_write * w + usage.cache_write_1h * w * Fraction(8, 5)
    total += usage.image_input * ratio("image_ratio", "1")
    total += (usage.output + usage.reasoning + usage.image_output) * c
    audio = ratio("audio_ratio", "1")
    total += usage.audio_input * audio + usage.audio_output * audio * ratio("audio_completion_ratio", "1")
    return (total * Fraction(sheet.model_ratio[model]) + tools) * g


@given(SHEETS, NUMBERS, USAGES)
def test_prices_of_a_sheet_charge_what_new_api_charges_but_for_its_rounding(
    sheet: RatioSheet, group: Decimal, usage: Usage
) -> None:
    """Its sum is rounded up here, and to the nearest there."""
    for model, price in sheet.prices().items():
        there = new_api(sheet, model, group, usage)
        if model == "gemini-2.5-flash" and model not in sheet.completion_ratio:
            assert abs(min(cost(price, group, usage), MAX_CHARGE) - min(ceil(there), MAX_CHARGE)) <= 1
        else:
            assert cost(price, group, usage) == min(ceil(there), MAX_CHARGE)


SHEET = RatioSheet(
    model_ratio={"gpt-4o": D("1.25"), "claude-sonnet-4-5": D("1.5"), "audio": D("1.25"), "gpt-4o-gizmo-*": D(2)},
    cache_ratio={"gpt-4o": D("0.5"), "claude-sonnet-4-5": D("0.1")},
    create_cache_ratio={"claude-sonnet-4-5": D("1.25")},
    model_price={"dall-e-3": D("0.04"), "gpt-4-gizmo-*": D("0.1")},
    audio_ratio={"audio": D(16)},
    audio_completion_ratio={"audio": D(2)},
    group_ratio={"default": ONE, "vip": D("0.8")},
    group_group_ratio={"vip": {"default": D("0.9")}},
)


@pytest.mark.parametrize(
    ("model", "group", "usage", "there"),
    [
        # (800 + 200 x 0.5 + 100 x 4) x 1.25
        ("gpt-4o", "1", Usage(input=800, cache_read=200, output=60, reasoning=40), 1625),
        # the same in a group of 0.8
        ("gpt-4o", "0.8", Usage(input=800, cache_read=200, output=100), 1300),
        # (100 + 1000 x 0.1 + 400 x 1.25 + 200 x 1.25 x 1.6 + 50 x 5) x 1.5
        (
            "claude-sonnet-4-5",
            "1",
            Usage(input=100, cache_read=1000, cache_write=400, cache_write_1h=200, output=50),
            2025,
        ),
        # (10 + 20 x 1 + 30 x 16 + 5 x 16 x 2) x 1.25
        ("audio", "1", Usage(input=10, output=20, audio_input=30, audio_output=5), Fraction(1675, 2)),
        # 0.04 USD, two web searches of 10 USD a thousand
        ("dall-e-3", "1", Usage(input=7, tools=(("web_search", 2),)), 30_000),
        ("dall-e-3", "2", Usage(), 0),
        # 1000 x 1.25, and a web search of 25 USD a thousand
        ("gpt-4o", "1", Usage(input=1000, tools=(("web_search", 1), ("code_execution", 3))), 13_750),
        ("gpt-4o", "1", Usage(input=1), Fraction(5, 4)),
    ],
)
def test_examples_worked_by_hand(model: str, group: str, usage: Usage, there: int | Fraction) -> None:
    """Each with its arithmetic beside it; New API rounds half up, and charges at least one."""
    charge = cost(SHEET.prices()[model], D(group), usage)
    assert new_api(SHEET, model, D(group), usage) == there
    assert charge == ceil(there)
    nearest = floor(Fraction(there) + Fraction(1, 2))
    assert charge - nearest in (0, 1)


@pytest.mark.parametrize("model", COMPLETIONS)
def test_a_name_without_a_completion_ratio_has_a_built_in_one(model: str) -> None:
    """And some have it whatever the sheet says."""
    ratio, locked = COMPLETIONS[model]
    assert completion_rule(model)[1:] == (ratio, locked)
    assert RatioSheet().completion(model) == ratio
    said = RatioSheet(completion_ratio={model: D(7)})
    assert said.completion(model) == (ratio if locked else 7)


def test_the_sheet_says_first_where_a_name_has_a_slash() -> None:
    """A maker's prefix undoes the lock."""
    name = "anthropic/claude-3-opus"
    assert RatioSheet(completion_ratio={name: D(4)}).completion(name) == 4
    assert RatioSheet().completion(name) == 5


def test_what_a_sheet_does_not_say_has_a_default() -> None:
    """No discount for cached input, a quarter more for writing it; nothing else differs from input."""
    price = RatioSheet(model_ratio={"deepseek-chat": D("0.135")}).prices()["deepseek-chat"]
    assert price == Price(
        input=D("0.27"),
        output=D("0.27"),
        cache_read=D("0.27"),
        cache_write=D("0.3375"),
        cache_write_1h=D("0.54"),
        audio_input=D("0.27"),
        audio_output=D("0.27"),
        image_input=D("0.27"),
        tools={"web_search": D(10), "file_search": D("2.5")},
    )


def test_a_ratio_without_an_end_of_digits_is_rounded_where_the_price_has_none_either() -> None:
    """0.15 x 25/3 has an end, 0.1 x 25/3 has not."""
    sheet = RatioSheet(model_ratio={"gemini-2.5-flash": D("0.15"), "gemini-2.5-flash-x": D("0.1")})
    assert sheet.prices()["gemini-2.5-flash"].output == D("2.5")
    assert sheet.prices()["gemini-2.5-flash-x"].output == D("1.666666666666666667")


def test_names_with_an_asterisk_at_the_end_are_patterns() -> None:
    """And those at the beginning are no prices, but stay in the sheet."""
    sheet = replace(SHEET, model_ratio={**SHEET.model_ratio, "*-openai-compact": ONE})
    assert "*-openai-compact" not in sheet.prices()
    table = PriceTable(sheet.prices())
    found = table.price("gpt-4-gizmo-writer")
    assert found is not None
    assert found.call == D("0.1")
    assert RatioSheet.read(sheet.options()) == sheet


@given(SHEETS)
def test_a_sheet_is_written_without_loss(sheet: RatioSheet) -> None:
    """Every map with every digit; as JSON that New API reads."""
    options = sheet.options()
    assert set(options) == {
        "ModelRatio",
        "CompletionRatio",
        "CacheRatio",
        "CreateCacheRatio",
        "ModelPrice",
        "ImageRatio",
        "AudioRatio",
        "AudioCompletionRatio",
        "GroupRatio",
        "GroupGroupRatio",
    }
    again = RatioSheet.read(options)
    assert again == sheet
    assert all(isinstance(number, int | float) for number in json.loads(options["ModelRatio"]).values())
    assert RatioSheet.read(again.options()) == again


def test_a_sheet_is_read_as_the_interface_gives_it() -> None:
    """By the names of `/api/ratio_config`, or as rows of `/api/option/`; other options are left alone."""
    expected = RatioSheet(
        model_ratio={"a": D("0.1"), "b": D(2)}, model_price={"c": D("0.04")}, group_group_ratio={"vip": {"x": D("0.9")}}
    )
    config = {"model_ratio": {"a": 0.1, "b": 2}, "model_price": {"c": 0.04}, "group_group_ratio": {"vip": {"x": 0.9}}}
    assert RatioSheet.read(config) == expected
    assert RatioSheet.read({"success": True, "data": config}) == expected
    rows = [
        {"key": "ModelRatio", "value": '{"a": 0.1, "b": 2}'},
        {"key": "ModelPrice", "value": '{"c": 4e-2}'},
        {"key": "GroupGroupRatio", "value": '{"vip": {"x": 0.9}}'},
        {"key": "CacheRatio", "value": ""},
        {"key": "SystemName", "value": "x"},
        "no row",
    ]
    assert RatioSheet.read({"data": rows}) == expected
    long = RatioSheet.read({"ModelRatio": '{"a": 0.12345678901234567890123}'})
    assert long.model_ratio["a"] == D("0.12345678901234567890123")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"ModelRatio": "{"}, "ModelRatio: is no JSON"),
        ({"ModelRatio": "[]"}, "ModelRatio: must be an object"),
        ({"ModelRatio": 3}, "ModelRatio: must be an object"),
        ({"ModelRatio": '{"a": "1"}'}, "ModelRatio.a: must be a number"),
        ({"cache_ratio": {"a": True}}, "cache_ratio.a: must be a number"),
        ({"cache_ratio": {"a": None}}, "cache_ratio.a: must be a number"),
        ({"GroupRatio": '{"vip": -1}'}, "GroupRatio.vip: must be 0 or more"),
        ({"GroupRatio": '{"vip": NaN}'}, "GroupRatio.vip: must be 0 or more"),
        ({"ModelRatio": '{"a": 1e13}'}, "ModelRatio.a: must be at most 1000000000000, with at most 40 decimal places"),
        ({"ModelRatio": '{"a": 1e-41}'}, "ModelRatio.a: must be at most 1000000000000, with at most 40 decimal places"),
        ({"GroupGroupRatio": '{"vip": 1}'}, "GroupGroupRatio.vip: must be an object"),
        ({"GroupGroupRatio": '{"vip": {"a": -2}}'}, "GroupGroupRatio.vip.a: must be 0 or more"),
        ({"data": "x"}, "data: must be an object of options"),
    ],
)
def test_what_is_no_sheet_is_refused_by_name(options: dict[str, object], reason: str) -> None:
    """The option, and the model in it."""
    with pytest.raises(ValueError, match=reason.replace(".", r"\.")):
        RatioSheet.read(options)


def test_groups_have_ratios_and_those_that_replace_them() -> None:
    """By the group of the user, then by the group used."""
    sheet = replace(SHEET, group_group_ratio={**SHEET.group_group_ratio, "svip": {"vip": D("0.5")}})
    groups = sheet.groups()
    assert groups == {
        "default": Group(name="default"),
        "vip": Group(name="vip", ratio=D("0.8"), ratios={"default": D("0.9")}),
        "svip": Group(name="svip", ratios={"vip": D("0.5")}),
    }
    exported = sheet_of({}, groups).sheet
    assert exported.group_group_ratio == sheet.group_group_ratio
    assert exported.groups() == groups


@given(st.fractions())
def test_a_decimal_has_all_digits_of_a_fraction_that_has_an_end_of_them(number: Fraction) -> None:
    """Beyond the precision of any context."""
    found = Fraction(decimal_of(number))
    assert abs(found - number) <= Fraction(1, 2 * 10**18)
    halved = number / number.denominator / 2**70 if number.denominator == 1 else Fraction(number.numerator, 5**40)
    assert Fraction(decimal_of(halved)) == halved
