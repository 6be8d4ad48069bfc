"""Decisions without I/O: which channel, whether again, at what price. Clock and randomness are parameters."""

from asgi_gateway.policies.explanation import Explanation, explain
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
    "BILLING",
    "DEFAULT_SUFFIXES",
    "MAX_CHARGE",
    "Billing",
    "ChannelTable",
    "Estimate",
    "Explanation",
    "PriceTable",
    "ReasoningSuffix",
    "RetryPolicy",
    "Tariff",
    "Tier",
    "choose",
    "choose_among",
    "choose_key",
    "cost",
    "cut",
    "estimate",
    "explain",
    "price_version",
    "settle_usage",
]
