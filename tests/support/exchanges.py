"""What tests of layers start from: records, a storage with one caller in it, and an app to stand inside a layer."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from asgi_gateway.backends.memory import MemoryStorage
from asgi_gateway.directory import Catalogue, Directory
from asgi_gateway.exchange import SCOPE_KEY, Exchange, Route
from asgi_gateway.policies.pricing import PriceTable
from asgi_gateway.policies.selection import ChannelTable
from asgi_gateway.providers import PROVIDERS
from asgi_gateway.storage.keys import digest_of
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import Account, Balance, Channel, Group, Price, Secret, Token, User
from asgi_gateway.types import Receive, Scope, Send

__all__ = ["KEY", "PRICES", "Inner", "World", "a_route", "answer", "begun", "channel", "chat", "make_world"]

KEY = "sk-" + "a1B2c3D4" * 6

PRICES = {
    "m-1": Price(input=Decimal(2), output=Decimal(4)),  # one unit for a token in, two for one out
    "live": Price(input=Decimal(2), output=Decimal(4)),
}


def chat(model: str = "m-1", **fields: Any) -> bytes:
    """The body of a chat request."""
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "Hi"}], **fields}).encode()


def channel(name: str = "first", *, id: int = 0, **fields: Any) -> Channel:
    """A channel of OpenAI's shape that serves `m-1`."""
    given = {"provider": "openai", "keys": (Secret(f"sk-upstream-{name}"),), "models": ("m-1",), **fields}
    return Channel(name=name, id=id, **given)


def a_route(of: Channel | None = None, model: str = "m-1", dialect: str = "openai_chat") -> Route:
    """A way through a channel."""
    through = of if of is not None else channel(id=1)
    provider = PROVIDERS[through.provider]
    return Route(channel=through, key=through.keys[0], upstream_model=model, provider=provider, dialect=dialect)


def begun(scope: Scope, **fields: Any) -> tuple[Scope, Exchange]:
    """A scope with an exchange in it, whose fields layers outside would have written."""
    entered = Exchange.begin(scope)
    assert entered is not None
    inner, exchange = entered
    for name, value in fields.items():
        setattr(exchange, name, value)
    return inner, exchange


@dataclass
class World:
    """A storage with one user and its token, and the directory of a process over it."""

    storage: Storage
    directory: Directory
    user: User
    token: Token

    async def balance(self, kind: str = "user") -> Balance:
        """The balance of the user or of the token."""
        account = Account("user", self.user.id) if kind == "user" else Account("token", self.token.id)
        return await self.storage.ledger.balance(account)


async def make_world(
    *channels: Channel,
    quota: int = 1_000_000,
    prices: Mapping[str, Price] = PRICES,
    groups: Mapping[str, Group] | None = None,
    aliases: Mapping[str, str] | None = None,
    user: Mapping[str, Any] | None = None,
    storage: Storage | None = None,
    **token: Any,
) -> World:
    """A storage, of memory unless one is given, with these channels and a caller whose key is `KEY`."""
    storage = storage if storage is not None else MemoryStorage()
    alice = await storage.users.add(User(name="alice", **(user or {})))
    given = {"unlimited": True, **token}
    dev = await storage.tokens.add(Token(name="dev", user_id=alice.id, digest=digest_of(KEY), **given))
    await storage.ledger.declare(Account("user", alice.id), quota, unlimited=alice.unlimited)
    await storage.ledger.declare(Account("token", dev.id), 0, unlimited=dev.unlimited)
    stored = [await storage.channels.add(one) for one in channels]
    catalogue = Catalogue(
        channels=ChannelTable(stored), prices=PriceTable(prices), groups=groups or {}, aliases=aliases or {}
    )
    return World(storage, Directory(storage, catalogue), alice, dev)


class Inner:
    """A terminal app: remembers its calls, reads the body, and does one `step` after the other.

    A step is what is raised, an event that is waited for, a function of the scope, or a sequence of messages to send;
    the last one is repeated. Without any it answers 200 with an empty JSON object.
    """

    def __init__(
        self, *steps: BaseException | asyncio.Event | Sequence[Mapping[str, Any]] | Callable[[Scope], Awaitable[None]]
    ) -> None:
        self.scopes: list[Scope] = []
        self.bodies: list[bytes] = []
        self.receive: Receive | None = None
        self._steps = list(steps)

    @property
    def calls(self) -> int:
        """How often it was called."""
        return len(self.scopes)

    @property
    def exchange(self) -> Exchange:
        """The exchange of the last call."""
        found: Exchange = self.scopes[-1][SCOPE_KEY]
        return found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        self.receive = receive
        if scope["type"] == "http":
            self.bodies.append(await _body(receive))
        step = self._steps[min(self.calls, len(self._steps)) - 1] if self._steps else answer()
        if isinstance(step, BaseException):
            raise step
        if isinstance(step, asyncio.Event):
            await step.wait()
            step = answer()
        if callable(step):
            await step(scope)
            step = answer()
        for message in step:
            await send(dict(message))


def answer(
    body: bytes = b"{}", *, status: int = 200, content_type: bytes = b"application/json", whole: bool = True
) -> list[dict[str, Any]]:
    """The messages of an answer; not `whole`: its end is missing."""
    return [
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", content_type)]},
        {"type": "http.response.body", "body": body, "more_body": not whole},
    ]


async def _body(receive: Receive) -> bytes:
    pieces = b""
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return pieces
        pieces += message.get("body", b"")
        if not message.get("more_body"):
            return pieces
