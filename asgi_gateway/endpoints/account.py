"""What a key may know of its own quota, in the shapes of New API and of OpenAI's old dashboard."""

from datetime import UTC, datetime
from typing import ClassVar

from asgi_gateway.endpoints.answer import send_json
from asgi_gateway.errors import PermissionDenied
from asgi_gateway.exchange import Exchange, path_of
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import UNITS_PER_USD, Account, Balance
from asgi_gateway.types import Receive, Scope, Send

__all__ = ["ACCOUNT_PATHS", "AccountEndpoint"]

TOKEN_USAGE = "/api/usage/token"
SUBSCRIPTION = "/v1/dashboard/billing/subscription"
USAGE = "/v1/dashboard/billing/usage"

ACCOUNT_PATHS = frozenset({TOKEN_USAGE, SUBSCRIPTION, USAGE})
"""Without a trailing slash, which is accepted."""

UNLIMITED_USD = 100_000_000
"""What New API shows as the limit of an unlimited key."""


class AccountEndpoint:
    """A terminal app for the paths in `ACCOUNT_PATHS`. Needs `caller`."""

    needs: ClassVar[frozenset[str]] = frozenset({"caller"})

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = Exchange.of(scope).caller
        assert caller is not None  # `compose` checked that somebody writes it
        token = caller.token
        if token is None:
            raise PermissionDenied("This answer is about a key, and the request has none.")
        balance = await self.storage.ledger.balance(Account("token", token.id))
        path = path_of(scope).rstrip("/")
        if path == SUBSCRIPTION:
            await send_json(send, _subscription(balance, token.expires))
        elif path == USAGE:
            # Hundredths of a USD, as OpenAI's dashboard had it.
            await send_json(send, {"object": "list", "total_usage": balance.spent * 100 / UNITS_PER_USD})
        else:
            data = {
                "object": "token_usage",
                "name": token.name,
                "total_granted": balance.granted,
                "total_used": balance.spent,
                "total_available": balance.available,
                "unlimited_quota": balance.unlimited,
                "model_limits": dict.fromkeys(token.models, True),
                "model_limits_enabled": bool(token.models),
                "expires_at": _seconds(token.expires),
            }
            await send_json(send, {"code": True, "message": "ok", "data": data})


def _subscription(balance: Balance, expires: datetime | None) -> dict[str, object]:
    limit = UNLIMITED_USD if balance.unlimited else balance.granted / UNITS_PER_USD
    return {
        "object": "billing_subscription",
        "has_payment_method": True,
        "soft_limit_usd": limit,
        "hard_limit_usd": limit,
        "system_hard_limit_usd": limit,
        "access_until": _seconds(expires),
    }


def _seconds(expires: datetime | None) -> int:
    """Seconds since the epoch, 0 for never."""
    return 0 if expires is None else int(expires.astimezone(UTC).timestamp())
