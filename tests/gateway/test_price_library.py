"""Default prices: whose price counts, and how the library's numbers become ours."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any

import pytest

from asgi_gateway import price_library as module
from asgi_gateway.policies.price_checks import price_mistakes
from asgi_gateway.price_library import (
    IGNORED,
    VENDORS,
    PriceLibrary,
    bundled_library,
    packed,
    published_at,
    unpacked,
)
from asgi_gateway.storage.records import Price, PriceTier

NOW = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)


def model(id: str, prices: object, **more: object) -> dict[str, Any]:
    """A model of the published data that goes by exactly this name."""
    return {"id": id, "match": {"equals": id}, "prices": prices, **more}


def library(**vendors: list[Mapping[str, Any]]) -> PriceLibrary:
    """The library in published data with these vendors; `x_ai` stands for "x-ai"."""
    published = [
        {"id": vendor.replace("_", "-"), "name": vendor, "api_pattern": vendor, "models": models}
        for vendor, models in vendors.items()
    ]
    return unpacked(packed(json.dumps(published).encode()), "a test")


def price(prices: Mapping[str, object], vendor: str = "mistral", name: str = "m", **more: object) -> Price:
    """Ours for the library's prices of a model."""
    found = library(**{vendor: [model(name, prices, **more)]}).find(name, NOW)
    assert found is not None
    return found.price


@cache
def installed() -> PriceLibrary:
    """The data that is installed, read once."""
    return bundled_library()


def test_every_kind_of_token_has_its_place() -> None:
    """The library's names of kinds are told apart from ours."""
    found = price(
        {
            "input_mtok": 1,
            "output_mtok": 2,
            "cache_read_mtok": 0.1,
            "cache_write_mtok": 1.25,
            "cache_write_1h_mtok": 2.5,
            "output_reasoning_mtok": 3,
            "input_audio_mtok": 4,
            "output_audio_mtok": 5,
            "input_image_mtok": 6,
            "output_image_mtok": 7,
        }
    )
    assert found == Price(
        input=Decimal(1),
        output=Decimal(2),
        cache_read=Decimal("0.1"),
        cache_write=Decimal("1.25"),
        cache_write_1h=Decimal("2.5"),
        reasoning=Decimal(3),
        audio_input=Decimal(4),
        audio_output=Decimal(5),
        image_input=Decimal(6),
        image_output=Decimal(7),
    )


def test_what_is_not_a_token_has_its_unit() -> None:
    """Searches per thousand, calls one by one, audio by the second, speech by a million characters."""
    found = price({"input_mtok": 1, "output_mtok": 1, "web_searches_kcount": 10, "storage_searches_kcount": 2.5})
    assert found.tools == {"web_search": Decimal(10), "file_search": Decimal("2.5")}
    assert price({"input_mtok": 1, "output_mtok": 1, "requests_kcount": 12}).call == Decimal("0.012")
    assert price({"audio_hours": 0.36, "input_audio_hours": 0.36}).second == Decimal("0.0001")
    assert price({"input_mchars": 15}).characters == Decimal(15)


def test_what_does_not_divide_is_cut_off() -> None:
    """Never upwards: a charge would be a unit higher for it."""
    second = price({"audio_hours": 0.04}).second
    assert second == Decimal("0.0000111111111111")
    assert second * 3600 < Decimal("0.04")


def test_what_has_no_place_is_left_out() -> None:
    """It is named in the module, and the rest of the price stands."""
    found = price({"input_mtok": 1, "output_mtok": 2, **dict.fromkeys(IGNORED, 9)})
    assert found == Price(input=Decimal(1), output=Decimal(2))


def test_all_kinds_of_the_installed_library_are_read_or_left_out_knowingly() -> None:
    """A new kind is seen here, not on a bill."""
    from genai_prices.data_units import unit_data

    known = {*module.TOKENS, *module.TOOLS, *module.HOURS, *IGNORED, "requests_kcount", "input_mchars"}
    used = set()
    for provider in installed()._providers:
        for each in provider.models:
            prices = each.prices if isinstance(each.prices, list) else [each]
            used |= {key for one in prices for key, value in vars(one.prices).items() if value is not None}
    assert used <= known
    assert known <= {unit.get("price_key", name) for name, unit in unit_data.items()}


def test_tiers_hold_from_their_length_of_context_on() -> None:
    """A kind that has no step where another has one keeps the price it has reached."""

    def tiered(base: float, *steps: tuple[int, float]) -> dict[str, Any]:
        return {"base": base, "tiers": [{"start": start, "price": number} for start, number in steps]}

    found = price(
        {"input_mtok": tiered(1, (100, 2), (200, 3)), "output_mtok": tiered(4, (100, 8)), "cache_read_mtok": 1}
    )
    assert (found.input, found.output, found.cache_read) == (1, 4, 1)
    assert found.tiers == (
        PriceTier(above=100, input=Decimal(2), output=Decimal(8)),
        PriceTier(above=200, input=Decimal(3), output=Decimal(8)),
    )


def test_the_price_in_force_counts() -> None:
    """By date and by the time of day in UTC; the last that holds of several."""
    prices = [
        {"prices": {"input_mtok": 1, "output_mtok": 1}},
        {"constraint": {"start_date": "2026-11-01"}, "prices": {"input_mtok": 2, "output_mtok": 2}},
        {
            "constraint": {"start_time": "16:30:00Z", "end_time": "00:30:00Z"},
            "prices": {"input_mtok": 3, "output_mtok": 3},
        },
    ]
    dated = library(deepseek=[model("m", prices)])

    def at(*moment: int) -> Decimal:
        found = dated.find("m", datetime(*moment, tzinfo=UTC))
        assert found is not None
        return found.price.input

    assert [at(2026, 10, 31, 12), at(2026, 11, 1, 12), at(2026, 11, 1, 20), at(2026, 11, 2, 0, 15)] == [1, 2, 3, 3]


def test_a_dated_price_says_until_when_it_holds_at_least() -> None:
    """The next date or time of day of any condition; in another zone, too, and past midnight."""

    def until(now: datetime, *constraints: Mapping[str, str]) -> datetime | None:
        entry = {"prices": {"input_mtok": 1, "output_mtok": 1}}
        prices = [entry, *({"constraint": constraint, **entry} for constraint in constraints)]
        found = library(deepseek=[model("m", prices)]).find("m", now)
        assert found is not None
        return found.until

    start, night = {"start_date": "2026-12-01"}, {"start_time": "16:30:00Z", "end_time": "00:30:00Z"}
    assert until(NOW, start) == datetime(2026, 12, 1, tzinfo=UTC)
    assert until(NOW, start, night) == datetime(2026, 11, 25, 16, 30, tzinfo=UTC)
    assert until(NOW.replace(hour=17), night) == datetime(2026, 11, 26, 0, 30, tzinfo=UTC)
    assert until(datetime(2026, 12, 1, tzinfo=UTC), start) is None
    east = {"start_time": "01:00:00+08:00", "end_time": "02:00:00+08:00"}
    assert until(NOW, east) == datetime(2026, 11, 25, 17, tzinfo=UTC)
    assert until(NOW.replace(hour=23), east) == datetime(2026, 11, 26, 17, tzinfo=UTC)


def test_a_class_of_service_multiplies() -> None:
    """By the higher of its factors; one that changes nothing, or needs two conditions, is left out."""

    def variant(when: Mapping[str, str], **prices: float) -> dict[str, Any]:
        return {"when": when, "prices": prices}

    found = price(
        {"input_mtok": 0.15, "output_mtok": 0.6, "cache_read_mtok": 0.1},
        price_variants=[
            variant({"service_tier": "flex"}, input_mtok=0.075, output_mtok=0.36, cache_read_mtok=0.09),
            variant({"service_tier": "priority"}, input_mtok=0.25, output_mtok=1),
            variant({"service_tier": "default"}, input_mtok=0.15, output_mtok=0.6),
            variant({"service_tier": "odd", "route": "eu"}, input_mtok=9, output_mtok=9),
            variant({"route": "eu"}, input_mtok=9, output_mtok=9),
            variant({"processing": "batch"}, cache_read_mtok=0.05),
        ],
    )
    assert found.service_tiers == {"flex": Decimal("0.6"), "priority": Decimal("1.66666666666")}
    audio = price({"audio_hours": 1}, price_variants=[variant({"processing": "batch"}, audio_hours=0.5)])
    assert audio.service_tiers == {"batch": Decimal("0.5")}


def test_an_hour_in_anthropics_cache_costs_more() -> None:
    """1.6 times five minutes, in tiers too, whoever sells the model; unless the library says it."""
    steps = {"base": 3.75, "tiers": [{"start": 200000, "price": 7.5}]}
    kinds = {"input_mtok": 3, "output_mtok": 15, "cache_write_mtok": steps}
    for vendor, name in (("anthropic", "claude-x"), ("aws", "anthropic.claude-x-v1:0")):
        found = price(kinds, vendor, name)
        assert found.cache_write_1h == 6
        assert [tier.cache_write_1h for tier in found.tiers] == [12]
    assert price({**kinds, "cache_write_1h_mtok": 5}, "anthropic", "claude-x").cache_write_1h == 5
    assert price(kinds, "mistral").cache_write_1h is None


@pytest.mark.parametrize(
    ("vendor", "name", "tools"),
    [
        ("openai", "gpt-x", {"web_search": 10, "file_search": Decimal("2.5")}),
        ("anthropic", "claude-x", {"web_search": 10}),
        ("aws", "claude-x", {"web_search": 10}),
        ("google", "gemini-x", {"web_search": 14}),
        ("mistral", "m", {}),
    ],
)
def test_tools_that_the_library_leaves_out_have_the_makers_price(
    vendor: str, name: str, tools: Mapping[str, object]
) -> None:
    """For models that talk; what the library says counts first."""
    assert price({"input_mtok": 1, "output_mtok": 2}, vendor, name).tools == tools
    assert price({"input_mtok": 1}, vendor, name).tools == {}
    kinds = {"input_mtok": 1, "output_mtok": 2, "web_searches_kcount": 25}
    assert price(kinds, vendor, name).tools == {**tools, "web_search": 25}


def test_images_that_a_chat_model_makes_have_a_price() -> None:
    """By quality and size; a model that is paid by tokens of images is not paid twice."""
    images = price({"input_mtok": 1, "output_mtok": 2}, "openai").images
    assert (images["low/1024x1024"], images["high/1536x1024"], images["*/*"]) == (
        Decimal("0.011"),
        Decimal("0.25"),
        Decimal("0.167"),
    )
    assert price({"input_mtok": 1, "output_mtok": 2, "output_image_mtok": 3}, "openai").images == {}


def test_the_maker_counts_before_those_who_host() -> None:
    """Whatever the order of the data; vendors that only sell on do not count at all."""
    kinds = {"input_mtok": 1, "output_mtok": 1}
    both = library(
        groq=[model("m", kinds), model("open", kinds)],
        mistral=[model("m", {**kinds, "input_mtok": 2})],
        novita=[model("m", {**kinds, "input_mtok": 3})],
    )
    found = both.find("m", NOW)
    assert found is not None
    assert (found.vendor, found.model, found.price.input, found.until) == ("mistral", "m", 2, None)
    hosted = both.find("open", NOW)
    assert hosted is not None
    assert hosted.vendor == "groq"
    assert list(both.names()) == ["m", "open"]
    assert VENDORS.index("mistral") < VENDORS.index("groq") < VENDORS.index("openrouter")


@pytest.mark.parametrize("prices", [{}, {"input_mtok": 0, "output_mtok": 0}, {"web_searches_kcount": 10}, []])
def test_free_in_the_library_is_no_price(prices: object) -> None:
    """Only a deployer says that something is free; the next vendor is asked."""
    assert library(mistral=[model("m", prices)]).find("m", NOW) is None
    found = library(mistral=[model("m", prices)], groq=[model("m", {"input_mtok": 1, "output_mtok": 1})]).find("m", NOW)
    assert found is not None
    assert found.vendor == "groq"


def test_an_unknown_model_has_no_price() -> None:
    """No vendor's rule fits its name."""
    assert installed().find("no-such-model-anywhere", NOW) is None


def test_all_installed_prices_can_be_charged_with() -> None:
    """None has a number that a price may not have; the common names are there, each from its maker."""
    now = datetime.now(UTC)
    found = {name: installed().find(name, now) for name in installed().names()}
    prices = {name: entry for name, entry in found.items() if entry is not None}
    assert len(prices) > 500
    assert {name: list(price_mistakes(entry.price)) for name, entry in prices.items()} == {name: [] for name in prices}
    makers = {"gpt-4o": "openai", "claude-sonnet-4-5": "anthropic", "gemini-2.5-pro": "google", "grok-4": "x-ai"}
    for name, maker in makers.items():
        entry = installed().find(name, now)
        assert entry is not None
        assert entry.vendor == maker
    assert installed().origin.startswith("genai-prices ")


def test_packed_data_is_small_and_comes_back_equal() -> None:
    """What prices need stays, also a name; descriptions and foreign vendors go."""
    text = {"description": "a long text " * 1000, "price_comments": "more " * 1000, "name": "Model M"}
    models = [model("m", {"input_mtok": 0.1, "output_mtok": 2}, **text)]
    vendors = [
        {"id": vendor, "name": vendor, "api_pattern": "x", "models": models} for vendor in ("mistral", "somebody")
    ]
    data = packed(json.dumps(vendors).encode())
    assert len(data) < 500
    found = unpacked(data, "here").find("m", NOW)
    assert found is not None
    assert found.price == Price(input=Decimal("0.1"), output=Decimal(2))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b"\xff",
        b"[]",
        b'[{"id": "somebody"}]',
        b'[{"id": "openai", "models": [{"id": "m"}]}]',
        b'[{"id": "openai", "models": [1]}]',
        b'[{"id": "openai", "models": 1}]',
    ],
)
def test_what_is_no_published_data_is_refused(content: bytes) -> None:
    """Before anything is stored."""
    with pytest.raises(ValueError, match=r".+"):
        packed(content)


@pytest.mark.parametrize("text", ["", "!", "bm9uZQ=="])
def test_what_is_no_packed_data_is_refused(text: str) -> None:
    """Somebody changed the option by hand."""
    with pytest.raises(ValueError, match=r".+"):
        unpacked(text, "here")


def test_the_library_says_where_it_publishes() -> None:
    """No address of it stands in our code."""
    assert published_at().startswith("https://")
