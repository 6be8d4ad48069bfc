"""Decisions without I/O: which channel, whether again, at what price. Clock and randomness are parameters."""

from asgi_gateway.policies.budgets import Calendar, Periods, accounts_of, end_of, time_zone
from asgi_gateway.policies.explanation import Explanation, explain
from asgi_gateway.policies.groups import AUTO, ratio_of, usable_groups
from asgi_gateway.policies.pricing import (
    BILLING,
    MAX_CHARGE,
    Billing,
    Estimate,
    PriceTable,
    Tariff,
    cost,
    estimate,
    price_version,
    settle_usage,
)
from asgi_gateway.policies.retry import RetryPolicy
from asgi_gateway.policies.selection import ChannelTable, Tier, choose, choose_among, choose_key
from asgi_gateway.policies.suffixes import DEFAULT_SUFFIXES, ReasoningSuffix, cut

__all__ = [
    "AUTO",
    "BILLING",
    "DEFAULT_SUFFIXES",
    "MAX_CHARGE",
    "Billing",
    "Calendar",
    "ChannelTable",
    "Estimate",
    "Explanation",
    "Periods",
    "PriceTable",
    "ReasoningSuffix",
    "RetryPolicy",
    "Tariff",
    "Tier",
    "accounts_of",
    "choose",
    "choose_among",
    "choose_key",
    "cost",
    "cut",
    "end_of",
    "estimate",
    "explain",
    "price_version",
    "ratio_of",
    "settle_usage",
    "time_zone",
    "usable_groups",
]
