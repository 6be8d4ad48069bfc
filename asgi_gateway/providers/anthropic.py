"""Anthropic (https://docs.anthropic.com/en/api/overview)."""

from asgi_gateway.providers.faults import Quirks
from asgi_gateway.providers.headers import anthropic_key
from asgi_gateway.providers.vendor import Vendor

__all__ = ["ANTHROPIC"]

ANTHROPIC = Vendor(
    name="anthropic",
    base_url="https://api.anthropic.com",
    dialects=("anthropic_messages", "anthropic_count_tokens"),
    authenticate={"anthropic_messages": anthropic_key, "anthropic_count_tokens": anthropic_key},
    # An empty balance, and an organisation that was switched off, are a 400.
    quirks=Quirks(channel=("credit balance is too low", "organization has been disabled")),
)
