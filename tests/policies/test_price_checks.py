"""What is wrong with a price that no file was read for: run-time prices and libraries are looked at the same way."""

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given

from asgi_gateway.policies.price_checks import price_mistakes
from asgi_gateway.storage.records import Price, PriceTier
from support.prices import PRICES

ONE = Decimal(1)
PRICE = Price(input=ONE, output=ONE)


@given(PRICES)
def test_a_price_that_can_be_charged_has_no_mistakes(price: Price) -> None:
    """Whatever of its fields are said."""
    assert list(price_mistakes(price)) == []


@pytest.mark.parametrize(
    "number", [Decimal("NaN"), Decimal("Infinity"), Decimal("-0.001"), Decimal("1e13"), Decimal("1e-41")]
)
def test_a_number_that_is_no_price_is_named_wherever_it_stands(number: Decimal) -> None:
    """Each field of the price, its tables and its tiers."""
    price = replace(
        PRICE,
        input=number,
        image_output=number,
        call=number,
        tiers=(PriceTier(above=1), PriceTier(above=2, reasoning=number)),
        images={"high/*": number},
        tools={"mcp": number},
        service_tiers={"flex": number, "on-demand": number},
    )
    assert {key for key, _ in price_mistakes(price)} == {
        "input",
        "image_output",
        "call",
        "tiers[1].reasoning",
        'images."high/*"',
        "tools.mcp",
        "service_tiers.flex",
        'service_tiers."on-demand"',
    }
