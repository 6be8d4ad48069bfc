"""A whole gateway over memory and a scripted upstream."""

from collections.abc import Mapping, Sequence
from typing import Any

from asgi_gateway import Gateway
from asgi_gateway.config import ModelSettings, Settings
from asgi_gateway.storage.records import Account, Balance, Charge
from support.asgi import Answer, Connection, ask, http_scope
from support.exchanges import KEY, PRICES
from support.upstream import Reply, ScriptedTransport

__all__ = ["House", "house"]

CHANNELS = [
    {"name": "first", "provider": "openai", "keys": ["sk-upstream-1"], "models": ["m-1", "m-2"], "priority": 2},
    {"name": "second", "provider": "openai", "keys": ["sk-upstream-2"], "models": ["m-1"], "priority": 1},
]


class House:
    """A gateway, its upstream, and the access records it wrote."""

    def __init__(self, gateway: Gateway, transport: ScriptedTransport, records: list[dict[str, Any]]) -> None:
        self.gateway = gateway
        self.transport = transport
        self.records = records

    async def ask(
        self, body: bytes | Sequence[bytes] = b"", *, key: str | None = KEY, method: str = "POST", **scope: Any
    ) -> Answer:
        """One request and its whole answer."""
        return await ask(self.gateway, http_scope(method, key=key, **scope), body)

    async def get(self, path: str, **scope: Any) -> Answer:
        """One GET."""
        return await self.ask(method="GET", path=path, **scope)

    def call(self, body: bytes | Sequence[bytes] | None = b"", *, key: str | None = KEY, **scope: Any) -> Connection:
        """One request, message by message."""
        return Connection(self.gateway, http_scope(key=key, **scope), body)

    async def charges(self) -> list[Charge]:
        """All charges, the oldest first."""
        return list(await self.gateway.storage.usage_log.recent(100_000))[::-1]

    async def balance(self, user: str = "alice") -> Balance:
        """A user's balance."""
        found = await self.gateway.storage.users.find(user)
        assert found is not None
        return await self.gateway.storage.ledger.balance(Account("user", found.id))


def house(
    *replies: Reply,
    channels: Sequence[Mapping[str, Any]] = CHANNELS,
    quota: int = 1_000_000,
    token: Mapping[str, Any] | None = None,
    tokens: Sequence[Mapping[str, Any]] = (),
    settings: Mapping[str, Any] | None = None,
    transport: Any = None,
    **options: Any,
) -> House:
    """A gateway with one user, `alice`, her token, whose key is `KEY`, and two channels for the model `m-1`.

    A token in costs one unit, one out two. `m-2` is served by the first channel alone.
    """
    given = {
        "models": {
            **{name: ModelSettings(price=price) for name, price in PRICES.items()},
            "m-2": ModelSettings(price=PRICES["m-1"]),
        },
        "aliases": {"fast": "m-1"},
        **(settings or {}),
    }
    scripted = transport if transport is not None else ScriptedTransport(*replies)
    records: list[dict[str, Any]] = []
    gateway = Gateway(
        Settings(**given),
        channels=channels,
        users=[{"name": "alice", "quota": quota}],
        tokens=[{"name": "dev", "key": KEY, "user": "alice", "unlimited": True, **(token or {})}, *tokens],
        storage=options.pop("storage", "memory://"),
        transport=scripted,
        access_log=options.pop("access_log", lambda record: records.append(dict(record))),
        **options,
    )
    return House(gateway, scripted, records)
