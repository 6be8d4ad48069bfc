"""Why a charge is what it is, told from what was stored of it."""

import ast
import json
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from asgi_gateway.policies import reckoning
from asgi_gateway.policies.billing import BILLING, BILLING_REASONS, Billing
from asgi_gateway.policies.explanation import FREE_VERSION, explain
from asgi_gateway.policies.price_table import price_version
from asgi_gateway.policies.pricing import cost
from asgi_gateway.policies.reckoning import digits_of
from asgi_gateway.storage.records import Account, Charge, Outcome, Price, PriceTier, Reservation, Settlement, Usage
from support.prices import AMOUNTS, PRICES, USAGES

D = Decimal

PRICE = Price(
    input=D("1.25"),
    output=D(10),
    cache_read=D("0.125"),
    tiers=(PriceTier(above=200_000, input=D("2.5"), output=D(15)),),
    call=D("0.001"),
    images={"high/*": D("0.04")},
    tools={"web_search": D(10)},
    service_tiers={"flex": D("0.5")},
    version="v1",
)
USAGE = Usage(
    input=100_000,
    cache_read=150_000,
    output=1_234,
    reasoning=77,
    tools=(("web_search", 3), ("other", 2)),
    images=(("high/1024x1024", 1), ("/", 2)),
    service_tier="flex",
)


def charge_of(
    units: int,
    *,
    charged: int | None = None,
    shortfall: int = 0,
    usage: Usage = USAGE,
    outcome: Outcome = Outcome.COMPLETED,
    ratio: str = "0.8",
    version: str = "v1",
    operation: str = "chat",
    group: str = "",
) -> Charge:
    """A stored charge of so many units."""
    reservation = Reservation(
        key="k",
        amount=90_000,
        prompt_amount=30_000,
        accounts=(Account("user", 1),),
        request_id="01JREQUEST",
        user="alice",
        token="dev",
        group="vip",
        model="m",
        operation=operation,
        price_version=version,
    )
    settlement = Settlement(charge=units, outcome=outcome, usage=usage, ratio=ratio, group=group)
    taken = units - shortfall if charged is None else charged
    return Charge(reservation=reservation, settlement=settlement, charged=taken, shortfall=shortfall, time=0.0)


UNITS = 77_883
"""((0.25 + 0.01875 + 0.01851 + 0.001155 + 0.04 + 0.001) x 0.5 + 0.03) x 0.8 x 500 000 = 77 883."""


def test_a_charge_is_told_line_by_line() -> None:
    """For people: what was used, by which entry of the price, and the one rounding."""
    explanation = explain(charge_of(UNITS), PRICE)
    assert explanation.agrees
    assert explanation.cost == UNITS
    assert str(explanation).splitlines() == [
        "request 01JREQUEST: chat with m",
        "user alice, token dev, group vip",
        "outcome completed, charged by usage: the answer was given whole",
        "price version v1, USD",
        "context tier above 200000 tokens of input",
        "  kind                  count   price  of                              USD",
        "  input                 100000  2.5    1000000 (tiers[200000].input)   0.25",
        "  cache_read            150000  0.125  1000000                         0.01875",
        "  output                1234    15     1000000 (tiers[200000].output)  0.01851",
        "  reasoning             77      15     1000000 (tiers[200000].output)  0.001155",
        '  image high/1024x1024  1       0.04   1 (images."high/*")             0.04',
        "  image /               2       none   1                               0",
        "  tool web_search       3       10     1000 (tools.web_search)         0.03",
        "  tool other            2       none   1000                            0",
        "  call                  1       0.001  1                               0.001",
        "(0.329415 x 0.5 service + 0.03 tools) x 0.8 group x 500000 units",
        "= 77883 units, rounded up once",
        "cost 77883 units",
        "charged 77883 units, shortfall 0",
        "agrees with what is stored",
    ]


def test_a_charge_is_told_to_programs() -> None:
    """The same as JSON, with dollars as exact texts."""
    told = explain(charge_of(UNITS, group="svip"), PRICE).json()
    assert json.loads(json.dumps(told)) == told
    lines = told.pop("lines")
    assert lines[0] == {
        "kind": "input",
        "count": 100_000,
        "price": "2.5",
        "per": 1_000_000,
        "source": "tiers[200000].input",
        "multiplied": True,
        "usd": "0.25",
    }
    assert [line["multiplied"] for line in lines if line["kind"].startswith("tool ")] == [False, False]
    assert [line["price"] for line in lines if line["kind"] == "tool other"] == [None]
    assert told == {
        "request_id": "01JREQUEST",
        "key": "k",
        "user": "alice",
        "token": "dev",
        "group": "svip",
        "model": "m",
        "operation": "chat",
        "outcome": "completed",
        "billing": "usage",
        "reason": "the answer was given whole",
        "price_version": "v1",
        "estimated": False,
        "tier": 200_000,
        "service_tier": "flex",
        "multiplier": "0.5",
        "ratio": "0.8",
        "exact_units": "77883",
        "cost": UNITS,
        "reserved": 90_000,
        "reserved_for_prompt": 30_000,
        "part": None,
        "stored_cost": UNITS,
        "charged": UNITS,
        "shortfall": 0,
        "notes": [],
        "agrees": True,
    }


@given(PRICES, AMOUNTS, USAGES, st.sampled_from([Outcome.COMPLETED, Outcome.TRUNCATED, Outcome.EXHAUSTED]))
def test_every_charge_is_explained_to_the_unit(price: Price, ratio: Decimal, usage: Usage, outcome: Outcome) -> None:
    """And one unit more or less is seen."""
    price = replace(price, version=price_version(price))
    units = cost(price, ratio, usage)
    charge = charge_of(units, usage=usage, ratio=str(ratio), version=price.version, outcome=outcome)
    explanation = explain(charge, price)
    assert explanation.agrees
    assert (explanation.cost, explanation.billing) == (units, Billing.USAGE)
    assert "agrees with what is stored" in str(explanation)
    json.dumps(explanation.json())
    other = explain(charge_of(units + 1, usage=usage, ratio=str(ratio), version=price.version), price)
    assert not other.agrees
    assert other.notes[-1] == f"stored are {units + 1} units, computed {units}"
    assert str(other).endswith("DOES NOT AGREE with what is stored")


def test_a_rounding_shows_what_was_rounded() -> None:
    """Units with all their digits."""
    price = Price(input=D("0.15"), output=D("0.6"), version="v1")
    explanation = explain(charge_of(1, usage=Usage(input=1), ratio="1"), price)
    assert explanation.exact == Fraction(75, 1000)
    assert "= 0.075 units, rounded up once" in str(explanation)
    assert explanation.agrees


@pytest.mark.parametrize("outcome", [row for row in Outcome if BILLING[row] is Billing.NOTHING])
def test_what_failed_costs_nothing(outcome: Outcome) -> None:
    """Whatever its usage says, and without knowing any price."""
    explanation = explain(charge_of(0, outcome=outcome), None)
    assert explanation.agrees
    assert explanation.cost == 0
    assert BILLING_REASONS[outcome] in str(explanation)
    assert not explain(charge_of(5, outcome=outcome), PRICE).agrees


def test_a_caller_who_left_before_an_upstream_was_asked_pays_nothing() -> None:
    """There is no usage then; afterwards there is one."""
    explanation = explain(charge_of(0, outcome=Outcome.CALLER_LEFT, usage=Usage()), PRICE)
    assert explanation.agrees
    assert explanation.reckoning.lines == ()
    assert explain(charge_of(UNITS, outcome=Outcome.CALLER_LEFT), PRICE).agrees


@pytest.mark.parametrize(("units", "part"), [(30_000, "prompt"), (90_000, "all"), (0, "none")])
def test_a_lost_exchange_was_charged_a_part_of_its_reservation(units: int, part: str) -> None:
    """Which one is said; a price is not needed for that."""
    explanation = explain(charge_of(units, outcome=Outcome.LOST, usage=Usage()), None)
    assert explanation.agrees
    assert (explanation.part, explanation.cost) == (part, units)
    assert f"charged part of the reservation: {part}" in str(explanation)
    assert "reserved 90000 units, of them 30000 for the prompt" in str(explanation)


def test_a_lost_exchange_with_another_charge_is_not_explained() -> None:
    """It is no part of what was reserved."""
    explanation = explain(charge_of(7, outcome=Outcome.LOST, usage=Usage()), None)
    assert not explanation.agrees
    assert explanation.cost is None
    assert "charged part of the reservation: unknown" in str(explanation)
    assert "the charge of 7 units is no part of the reservation" in explanation.notes


def test_what_is_free_is_said_to_be() -> None:
    """Counting tokens, and models without a price where that is allowed."""
    counting = explain(charge_of(0, version=FREE_VERSION, operation="token_count"), None)
    assert counting.agrees
    assert counting.notes == ("counting tokens is free",)
    unpriced = explain(charge_of(0, version=FREE_VERSION), None)
    assert unpriced.agrees
    assert unpriced.notes == ("the model had no price, and such models were free",)
    assert not explain(charge_of(1, version=FREE_VERSION), None).agrees


def test_doubts_about_the_usage_are_said() -> None:
    """When we counted, and when the upstream's numbers do not add up."""
    usage = Usage(input=4, output=1, estimated=True, inconsistent=True)
    price = Price(input=D(2), output=D(2), version="v1")
    explanation = explain(charge_of(5, usage=usage, ratio="1"), price)
    assert explanation.agrees
    assert explanation.json()["estimated"] is True
    assert [note.partition(":")[0] for note in explanation.notes] == [
        "the upstream did not say what it used, or not all of it",
        "what the upstream said of its usage does not add up",
    ]


def test_a_shortfall_is_part_of_the_charge() -> None:
    """What was taken and what was missing make what it cost."""
    explanation = explain(charge_of(UNITS, shortfall=1000), PRICE)
    assert explanation.agrees
    assert explanation.notes[0].startswith("1000 units were not there to be taken")
    assert "charged 76883 units, shortfall 1000" in str(explanation)
    for charged, shortfall in ((UNITS, 1), (UNITS - 1, 0), (UNITS + 1, -1)):
        wrong = explain(charge_of(UNITS, charged=charged, shortfall=shortfall), PRICE)
        assert not wrong.agrees
        assert any("do not make" in note for note in wrong.notes)


@pytest.mark.parametrize(
    ("price", "ratio"),
    [(None, "0.8"), (replace(PRICE, version="v2"), "0.8"), (PRICE, "x"), (PRICE, "NaN"), (PRICE, "-1")],
)
def test_without_the_numbers_nothing_is_claimed(price: Price | None, ratio: str) -> None:
    """A price that is not there or another one, a ratio that is none."""
    explanation = explain(charge_of(UNITS, ratio=ratio), price)
    assert not explanation.agrees
    assert (explanation.cost, explanation.exact) == (None, None)
    assert f'cannot be recomputed: price version "v1", ratio "{ratio}"' in str(explanation)
    assert explanation.json()["cost"] is None


def test_what_was_charged_at_most_is_explained() -> None:
    """The largest charge there is."""
    price = Price(input=D(10**6), output=D(0), version="v1")
    usage = structs.replace(Usage(), input=10**12)
    assert explain(charge_of(cost(price, D(1), usage), usage=usage, ratio="1"), price).agrees


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Fraction(0), "0"),
        (Fraction(12), "12"),
        (Fraction(1, 8), "0.125"),
        (Fraction(1001, 1000), "1.001"),
        (Fraction(1, 10**7), "0.0000001"),
    ],
)
def test_digits_are_all_of_them(number: Fraction, text: str) -> None:
    """And no exponent."""
    assert digits_of(number) == text


def test_the_second_opinion_knows_nothing_of_the_first() -> None:
    """The lines of an explanation are computed without any module that charges."""
    imported = {
        node.module
        for node in ast.walk(ast.parse(Path(reckoning.__file__).read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
    }
    assert {module for module in imported if module and module.startswith("asgi_gateway")} == {
        "asgi_gateway.storage.records"
    }
