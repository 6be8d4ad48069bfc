"""`[models."NAME".price]`: every field of a price, and what can be wrong with each."""

from collections.abc import Callable
from decimal import Decimal

import pytest

from asgi_gateway.config import Settings
from asgi_gateway.storage.records import Price, PriceTier

Load = Callable[..., Settings]
MistakesOf = Callable[..., list[str]]

PRICE = "[models.m.price]\ninput = 1\noutput = 2\n"
TIER = "[[models.m.price.tiers]]\n"

FULL = """
[models."m".price]
input = 1.25
output = "10"
cache_read = 0.125
cache_write = 1.5625
cache_write_1h = 2.5
reasoning = 12
audio_input = 3
audio_output = 4
image_input = 5
image_output = 6
call = 0.001
images = { "high/1024x1024" = 0.167, "*/*" = "0.04" }
second = 0.0001
characters = 15
tools = { web_search = 10, other = "0.5" }
service_tiers = { flex = 0.5, "on-demand" = 1 }

[[models."m".price.tiers]]
above = 200_000
input = 2.5

[[models."m".price.tiers]]
above = 400_000
input = "5"
output = 20
cache_read = 0.5
cache_write = 6
cache_write_1h = 10
reasoning = 21
audio_input = 7
audio_output = 8
image_input = 9
image_output = 11
"""


def test_every_field_of_a_price_is_read(load: Load) -> None:
    """Numbers and texts alike, and none through a float."""
    assert load(FULL).models["m"].price == Price(
        input=Decimal("1.25"),
        output=Decimal(10),
        cache_read=Decimal("0.125"),
        cache_write=Decimal("1.5625"),
        cache_write_1h=Decimal("2.5"),
        reasoning=Decimal(12),
        audio_input=Decimal(3),
        audio_output=Decimal(4),
        image_input=Decimal(5),
        image_output=Decimal(6),
        tiers=(
            PriceTier(above=200_000, input=Decimal("2.5")),
            PriceTier(
                above=400_000,
                input=Decimal(5),
                output=Decimal(20),
                cache_read=Decimal("0.5"),
                cache_write=Decimal(6),
                cache_write_1h=Decimal(10),
                reasoning=Decimal(21),
                audio_input=Decimal(7),
                audio_output=Decimal(8),
                image_input=Decimal(9),
                image_output=Decimal(11),
            ),
        ),
        call=Decimal("0.001"),
        images={"high/1024x1024": Decimal("0.167"), "*/*": Decimal("0.04")},
        second=Decimal("0.0001"),
        characters=Decimal(15),
        tools={"web_search": Decimal(10), "other": Decimal("0.5")},
        service_tiers={"flex": Decimal("0.5"), "on-demand": Decimal(1)},
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("inptu = 1", 'models.m.price.inptu: unknown key; did you mean "input"?'),
        ("version = 'x'", "models.m.price.version: unknown key"),
        ("cache_read = 'x'", "models.m.price.cache_read: must be a decimal number, or one as a text"),
        ("cache_read = -1", 'models."m".price.cache_read: must be at least 0'),
        ("call = -0.1", 'models."m".price.call: must be at least 0'),
        ("second = nan", "models.m.price.second: must be a finite number"),
        (
            "tools = { web_serch = 1 }",
            'models."m".price.tools.web_serch: unknown kind of tool; did you mean "web_search"?',
        ),
        (
            "tools = { x = 1 }",
            'models."m".price.tools.x: unknown kind of tool; known: web_search, web_fetch, file_search, '
            "code_execution, image_generation, computer_use, mcp, other",
        ),
        ("tools = { web_search = -1 }", 'models."m".price.tools.web_search: must be at least 0'),
        (
            "tools = { web_search = true }",
            "models.m.price.tools.web_search: must be a decimal number, or one as a text",
        ),
        ("tools = 3", "models.m.price.tools: must be a table"),
        (
            "images = { high = 1 }",
            'models."m".price.images."high": must be named "quality/size"; a part that is "*" fits any',
        ),
        ("images = { 'a/b' = -1 }", 'models."m".price.images."a/b": must be at least 0'),
        ("service_tiers = { flex = -1 }", 'models."m".price.service_tiers.flex: must be at least 0'),
        (
            "service_tiers = { '' = 2 }",
            'models."m".price.service_tiers: must name the class of service: the ordinary one has the multiplier 1',
        ),
        ("call = 1e13", 'models."m".price.call: must be at most 1000000000000, with at most 40 decimal places'),
        ("call = 1e-41", 'models."m".price.call: must be at most 1000000000000, with at most 40 decimal places'),
        ("tiers = 1", "models.m.price.tiers: must be an array"),
        (TIER + "input = 1", "models.m.price.tiers[0].above: is missing"),
        (TIER + "above = 0", 'models."m".price.tiers[0].above: must be at least 1'),
        (TIER + "above = 1.5", "models.m.price.tiers[0].above: must be a whole number"),
        (TIER + "above = 5\nabov = 1", 'models.m.price.tiers[0].abov: unknown key; did you mean "above"?'),
        (TIER + "above = 5\nreasoning = -1", 'models."m".price.tiers[0].reasoning: must be at least 0'),
        (
            TIER + "above = 5\n" + TIER + "above = 5\n",
            'models."m".price.tiers[1].above: must be more than in the tier before',
        ),
        (
            TIER + "above = 5\n" + TIER + "above = 4\n",
            'models."m".price.tiers[1].above: must be more than in the tier before',
        ),
    ],
)
def test_a_mistake_in_a_price_names_its_key(mistakes_of: MistakesOf, text: str, line: str) -> None:
    """And says what the value must be."""
    assert [line] == mistakes_of(PRICE + text)


def test_all_mistakes_of_a_price_are_found_at_once(mistakes_of: MistakesOf) -> None:
    """Not one at each start."""
    assert len(mistakes_of(PRICE + "call = -1\nsecond = -1\ntools = { x = -1 }")) == 4
