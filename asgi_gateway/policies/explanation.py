"""Why a charge is what it is: computed again from what was stored, line by line.

A second opinion: fractions instead of integers, and nothing of the arithmetic in `tariff`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from math import ceil
from typing import Any, Literal

from asgi_gateway.policies.billing import BILLING, BILLING_REASONS, Billing
from asgi_gateway.policies.reckoning import NOTHING_USED, Line, Reckoning, digits_of, reckon
from asgi_gateway.policies.tariff import MAX_CHARGE
from asgi_gateway.storage.records import UNITS_PER_USD, Charge, Outcome, Price

__all__ = ["FREE_VERSION", "Explanation", "Line", "Reckoning", "explain"]

FREE_VERSION = "free"
"""The version of the price that costs nothing: of what is free, and of models without a price where that is allowed."""

Part = Literal["prompt", "all", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """A charge with its arithmetic. `str` of it is for people, `json()` for programs."""

    charge: Charge
    price: Price | None
    billing: Billing
    """What of an exchange with this outcome is charged."""
    reason: str
    reckoning: Reckoning
    """Line by line."""
    ratio: Decimal | None
    """Of the group; None when what is stored is no ratio."""
    exact: Fraction | None
    """Units before rounding; None when they cannot be computed."""
    cost: int | None
    """Units as computed here; None when they cannot be."""
    part: Part | None
    """Which part of the reservation a lost exchange was charged."""
    notes: tuple[str, ...]
    """What an operator should know of this charge."""
    agrees: bool
    """Whether what was stored is what comes out here, to the unit."""

    def __str__(self) -> str:
        return "\n".join(_text(self))

    def json(self) -> dict[str, Any]:
        """The same as a JSON value. Numbers in USD are texts, exact; units are integers."""
        charge = self.charge
        reservation, settlement = charge.reservation, charge.settlement
        return {
            "request_id": reservation.request_id,
            "key": reservation.key,
            "user": reservation.user,
            "token": reservation.token,
            "group": settlement.group or reservation.group,
            "model": reservation.model,
            "operation": reservation.operation,
            "outcome": settlement.outcome.value,
            "billing": self.billing.value,
            "reason": self.reason,
            "price_version": reservation.price_version,
            "estimated": settlement.usage.estimated,
            "tier": self.reckoning.tier,
            "service_tier": settlement.usage.service_tier,
            "multiplier": str(self.reckoning.multiplier),
            "ratio": str(self.ratio),
            "lines": [line.json() for line in self.reckoning.lines],
            "exact_units": None if self.exact is None else digits_of(self.exact),
            "cost": self.cost,
            "reserved": reservation.amount,
            "reserved_for_prompt": reservation.prompt_amount,
            "part": self.part,
            "stored_cost": settlement.charge,
            "charged": charge.charged,
            "shortfall": charge.shortfall,
            "notes": list(self.notes),
            "agrees": self.agrees,
        }


def explain(charge: Charge, price: Price | None) -> Explanation:
    """Recompute a charge from what was stored of it and from the numbers of its price version.

    `price` is None where the version is not known, or names no price: what is free has none.
    """
    settlement = charge.settlement
    part = _part(charge) if settlement.outcome is Outcome.LOST else None
    reckoning = NOTHING_USED
    ratio: Decimal | None = Decimal(1)
    exact: Fraction | None
    if settlement.outcome is Outcome.LOST:
        exact = None if part is None else Fraction(settlement.charge)
    elif BILLING[settlement.outcome] is Billing.NOTHING or charge.reservation.price_version == FREE_VERSION:
        exact = Fraction(0)
    elif price is None or price.version != charge.reservation.price_version:
        exact = None
    else:
        reckoning, ratio = reckon(price, settlement.usage), _ratio(settlement.ratio)
        exact = None if ratio is None else reckoning.usd * Fraction(ratio) * UNITS_PER_USD
    cost = None if exact is None else min(ceil(exact), MAX_CHARGE)
    disagreements = tuple(_disagreements(charge, cost))
    return Explanation(
        charge=charge,
        price=price,
        billing=BILLING[settlement.outcome],
        reason=BILLING_REASONS[settlement.outcome],
        reckoning=reckoning,
        ratio=ratio,
        exact=exact,
        cost=cost,
        part=part,
        notes=(*_circumstances(charge), *disagreements),
        agrees=not disagreements,
    )


def _part(charge: Charge) -> Part | None:
    """Which part of its reservation a lost exchange was charged; None when it is none that can be."""
    reservation, cost = charge.reservation, charge.settlement.charge
    parts: Mapping[int, Part] = {reservation.amount: "all", reservation.prompt_amount: "prompt", 0: "none"}
    return parts.get(cost)


def _ratio(text: str) -> Decimal | None:
    try:
        ratio = Decimal(text)
    except InvalidOperation:
        return None
    return ratio if ratio.is_finite() and ratio >= 0 else None


def _circumstances(charge: Charge) -> Iterator[str]:
    reservation, usage = charge.reservation, charge.settlement.usage
    if reservation.operation == "token_count":
        yield "counting tokens is free"
    elif reservation.price_version == FREE_VERSION:
        yield "the model had no price, and such models were free"
    if usage.estimated:
        yield "the upstream did not say what it used, or not all of it: that was counted here"
    if usage.inconsistent:
        yield "what the upstream said of its usage does not add up: its totals count"
    if charge.shortfall:
        yield f"{charge.shortfall} units were not there to be taken: the reservation and what was available were less"


def _disagreements(charge: Charge, cost: int | None) -> Iterator[str]:
    reservation, settlement = charge.reservation, charge.settlement
    if settlement.outcome is Outcome.LOST and cost is None:
        yield f"the charge of {settlement.charge} units is no part of the reservation"
    elif cost is None:
        yield f'cannot be recomputed: price version "{reservation.price_version}", ratio "{settlement.ratio}"'
    elif cost != settlement.charge:
        yield f"stored are {settlement.charge} units, computed {cost}"
    if charge.charged + charge.shortfall != settlement.charge or min(charge.charged, charge.shortfall) < 0:
        yield f"charged {charge.charged} and shortfall {charge.shortfall} do not make {settlement.charge} units"


def _text(explanation: Explanation) -> Iterator[str]:
    charge = explanation.charge
    reservation, settlement = charge.reservation, charge.settlement
    group = settlement.group or reservation.group
    yield f"request {reservation.request_id}: {reservation.operation} with {reservation.model}"
    yield f"user {reservation.user or '-'}, token {reservation.token or '-'}, group {group or '-'}"
    yield f"outcome {settlement.outcome.value}, charged by {explanation.billing.value}: {explanation.reason}"
    if settlement.outcome is Outcome.LOST:
        yield f"reserved {reservation.amount} units, of them {reservation.prompt_amount} for the prompt"
        yield f"charged part of the reservation: {explanation.part or 'unknown'}"
    else:
        yield from _sum(explanation)
    if explanation.cost is not None:
        yield f"cost {explanation.cost} units"
    yield f"charged {charge.charged} units, shortfall {charge.shortfall}"
    yield from (f"note: {note}" for note in explanation.notes)
    yield "agrees with what is stored" if explanation.agrees else "DOES NOT AGREE with what is stored"


def _sum(explanation: Explanation) -> Iterator[str]:
    reckoning, ratio = explanation.reckoning, explanation.ratio
    yield f"price version {explanation.charge.reservation.price_version or '-'}, USD"
    if reckoning.tier is not None:
        yield f"context tier above {reckoning.tier} tokens of input"
    if not reckoning.lines:
        return
    rows = [("kind", "count", "price", "of", "USD"), *map(_row, reckoning.lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for row in rows:
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
    sums = f"{digits_of(reckoning.served)} x {reckoning.multiplier:f} service + {digits_of(reckoning.tools)} tools"
    yield f"({sums}) x {ratio} group x {UNITS_PER_USD} units"
    if explanation.exact is not None:
        yield f"= {digits_of(explanation.exact)} units, rounded up once"


def _row(line: Line) -> tuple[str, str, str, str, str]:
    price = "none" if line.price is None else f"{line.price:f}"
    of = f"{line.per} ({line.source})" if line.source not in ("", line.kind) else str(line.per)
    return line.kind, str(line.count), price, of, digits_of(line.usd)
