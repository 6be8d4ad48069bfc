"""The groups that an exchange may use: one, unless the caller's token leaves it open."""

from collections.abc import Sequence

from asgi_gateway.directory import Catalogue
from asgi_gateway.exchange import Exchange
from asgi_gateway.policies.groups import allowing

__all__ = ["candidate_groups"]

DEFAULT_GROUP = "default"


def candidate_groups(exchange: Exchange, catalogue: Catalogue | None) -> Sequence[str]:
    """In the order in which channels are looked for. Of several, those that may use the model; there may be none."""
    caller, model = exchange.caller, exchange.model
    if caller is None:
        return (DEFAULT_GROUP,)
    if not caller.groups:
        return (caller.group,)
    if catalogue is None or model is None:
        return caller.groups
    return allowing(catalogue.groups, caller.groups, (model.asked, model.resolved))
