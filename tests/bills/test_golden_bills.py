"""What real answers cost: recomputed by hand, by fractions, and by the gateway."""

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from math import ceil
from typing import Any

import pytest

from asgi_gateway.policies.pricing import cost
from support.golden import GOLDEN, Bill, bills, price_of, prices, usage_of

INPUT = ("input", "cache_read", "cache_write", "cache_write_1h", "audio_input", "image_input")
OUTPUT = ("output", "reasoning", "audio_output", "image_output")
COUNTS = (*INPUT, *OUTPUT, "milliseconds", "characters")

ALIKE: Mapping[str, str] = {
    "cache_read": "input",
    "cache_write": "input",
    "cache_write_1h": "cache_write",
    "audio_input": "input",
    "image_input": "input",
    "reasoning": "output",
    "audio_output": "output",
    "image_output": "output",
}
"""What a kind is charged as where it has no price."""

Row = Mapping[str, Any]


def charged(bill: Bill) -> int:
    """The charge by the gateway's own arithmetic."""
    return cost(price_of(prices()[bill.price]), Decimal(bill.ratio), usage_of(bill.usage))


def by_fractions(price: Row, ratio: str, usage: Row) -> Fraction:
    """The charge before it is rounded, from the file alone."""
    whole = sum(usage.get(kind, 0) for kind in INPUT)
    reached = [tier for tier in price.get("tiers", ()) if whole > tier["above"]]
    row = {**price, **reached[-1]} if reached else price
    tokens = (usage.get(kind, 0) * _rate(row, kind) for kind in (*INPUT, *OUTPUT))
    beside = sum(tokens, Fraction()) / 10**6
    beside += Fraction(row.get("call", "0"))
    beside += Fraction(usage.get("milliseconds", 0), 1000) * Fraction(row.get("second", "0"))
    beside += Fraction(usage.get("characters", 0), 10**6) * Fraction(row.get("characters", "0"))
    for name, count in usage.get("images", {}).items():
        beside += count * _image(row.get("images", {}), name)
    beside *= Fraction(row.get("service_tiers", {}).get(usage.get("service_tier", ""), "1"))
    for kind, count in usage.get("tools", {}).items():
        beside += Fraction(count, 1000) * Fraction(row.get("tools", {}).get(kind, "0"))
    return beside * Fraction(ratio) * 500_000


def _rate(row: Row, kind: str) -> Fraction:
    while kind not in row:
        kind = ALIKE[kind]
    return Fraction(row[kind])


def _image(table: Mapping[str, str], name: str) -> Fraction:
    quality, size = name.split("/")
    return next(
        (Fraction(table[key]) for key in (name, f"{quality}/*", f"*/{size}", "*/*") if key in table), Fraction()
    )


OPERATORS: Mapping[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def worked_out(text: str) -> Fraction:
    """An arithmetic text, exactly: its numbers are decimal texts."""

    def value(node: ast.expr) -> Fraction:
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        segment = ast.get_source_segment(text, node)
        assert segment is not None
        return Fraction(segment)

    return value(ast.parse(text, mode="eval").body)


@pytest.mark.parametrize("bill", bills(), ids=lambda bill: bill.name)
def test_a_bill_is_charged_to_the_unit(bill: Bill) -> None:
    """By the gateway, by the arithmetic beside it, and by fractions from the prices."""
    assert charged(bill) == bill.charge
    assert ceil(worked_out(bill.sum)) == bill.charge
    assert by_fractions(prices()[bill.price], bill.ratio, bill.usage) == worked_out(bill.sum)


def test_the_bills_are_many_and_of_every_kind() -> None:
    """At least sixty are recorded; every dialect with recordings, and every kind of what is charged, is among them."""
    recorded = [bill for bill in bills() if bill.recording]
    assert len(recorded) >= 60
    assert len({bill.recording for bill in recorded}) == len(recorded)
    assert {bill.dialect for bill in recorded} == {
        "openai_chat", "openai_responses", "anthropic_messages", "google_generate", "cohere_chat",
    }  # fmt: skip
    assert {kind for bill in bills() for kind in bill.usage} >= {*COUNTS, "tools", "images", "service_tier"}
    assert {kind for bill in recorded for kind in bill.usage} >= {*COUNTS, "tools", "images"} - {
        "cache_write_1h", "characters",
    }  # fmt: skip
    assert all(bill.because for bill in bills() if not bill.recording)


def test_the_file_stands_for_itself() -> None:
    """It is data: nothing in it comes from the arithmetic that it proves."""
    text = GOLDEN.read_text(encoding="utf-8")
    assert re.search(r'^date = "\d{4}-\d\d-\d\d"$', text, re.MULTILINE)
    assert "import" not in text


def _more(row: Row) -> Iterator[tuple[str, dict[str, Any]]]:
    """The row with one of its numbers a hundredth of a dollar higher, and the name of that number's kind."""
    for name, value in row.items():
        if isinstance(value, str):
            yield name, {**row, name: _higher(value)}
        elif isinstance(value, dict):
            for key, number in value.items():
                kind = f"{name}.{key}" if name in ("tools", "service_tiers") else name
                yield kind, {**row, name: {**value, key: _higher(number)}}
        else:
            (tier,) = value
            for key, number in tier.items():
                higher = number + 1_000_000 if key == "above" else _higher(number)
                yield f"tiers.{key}", {**row, name: [{**tier, key: higher}]}


def _higher(number: str) -> str:
    return str(Decimal(number) + Decimal("0.01"))


def test_no_price_can_change_unseen() -> None:
    """A hundredth of a dollar more on any kind of price, and at least one bill is wrong."""
    seen: dict[str, bool] = {}
    for name, row in prices().items():
        for kind, changed in _more(row):
            price = price_of(changed)
            wrong = any(
                cost(price, Decimal(bill.ratio), usage_of(bill.usage)) != bill.charge
                for bill in bills()
                if bill.price == name
            )
            seen[kind] = seen.get(kind, False) or wrong
    assert [kind for kind, wrong in seen.items() if not wrong] == []
    assert {kind.partition(".")[0] for kind in seen} == {
        *INPUT, *OUTPUT, "call", "images", "second", "characters", "tools", "service_tiers", "tiers",
    }  # fmt: skip


def _one_more(usage: Row) -> Iterator[tuple[str, dict[str, Any]]]:
    for kind, value in usage.items():
        if kind in ("tools", "images"):
            for key, count in value.items():
                yield f"{kind}.{key}" if kind == "tools" else kind, {**usage, kind: {**value, key: count + 1}}
        elif kind == "service_tier":
            yield kind, {**usage, kind: ""}
        elif type(value) is int:
            yield kind, {**usage, kind: value + 1}


def test_no_bucket_can_change_unseen() -> None:
    """One token, call, image or class of service other than it was, and at least one bill is wrong."""
    seen: dict[str, bool] = {}
    for bill in bills():
        price = price_of(prices()[bill.price])
        for kind, changed in _one_more(bill.usage):
            wrong = cost(price, Decimal(bill.ratio), usage_of(changed)) != bill.charge
            seen[kind] = seen.get(kind, False) or wrong
    assert [kind for kind, wrong in seen.items() if not wrong] == []
    assert seen.keys() >= {*COUNTS, "images", "service_tier"}
