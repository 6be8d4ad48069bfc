"""A quota layer over a world's ledger, and inner apps that leave behind what conversion and relay would."""

from collections.abc import Sequence
from typing import Any

from asgi_gateway.exchange import Body, Caller, Exchange, ModelChoice
from asgi_gateway.middleware import ErrorMiddleware, QuotaMiddleware, TelemetryMiddleware
from asgi_gateway.storage.records import Charge, Outcome, Usage
from asgi_gateway.types import Scope
from support.asgi import Answer, ask, http_scope
from support.exchanges import Inner, World, a_route, begun, channel, chat, make_world

__all__ = ["BODY", "PROMPT", "RESERVED", "Till", "served", "till"]

BODY = chat(max_tokens=10)
PROMPT = -(-len(BODY) // 3)
RESERVED = PROMPT + 20
"""One unit for each token in, two for each out."""


def served(usage: Usage | None = Usage(input=10, output=5), **fields: Any) -> Any:  # noqa: B008 - it is frozen
    """A step that leaves behind what conversion and relay would."""

    async def step(scope: Scope) -> None:
        exchange = Exchange.of(scope)
        exchange.usage = usage
        exchange.route = a_route(model="m-1-up")
        exchange.reached_upstream = True
        exchange.outcome = Outcome.COMPLETED
        for name, value in fields.items():
            setattr(exchange, name, value)

    return step


class Till:
    """A quota over a world's ledger."""

    def __init__(self, world: World, *steps: Any, inner: Any = None, **options: Any) -> None:
        self.world = world
        self.inner = inner if inner is not None else Inner(*steps)
        self.layer = QuotaMiddleware(self.inner, ledger=world.storage.ledger, directory=world.directory, **options)
        self.app = TelemetryMiddleware(ErrorMiddleware(self.layer), access_log=None)

    def scope(
        self,
        *,
        model: str = "m-1",
        group: str = "default",
        body: bytes = BODY,
        token: bool = True,
        caller: Caller | None = None,
        **more: Any,
    ) -> Scope:
        scope, exchange = begun(http_scope(**more))
        world = self.world
        exchange.caller = caller or Caller(user=world.user, token=world.token if token else None, group=group)
        exchange.model = ModelChoice(model, model)
        exchange.body = Body(body)
        exchange.outline = exchange.dialect.outline(body)
        return scope

    async def ask(self, **more: Any) -> Answer:
        return await ask(self.app, self.scope(**more))

    async def charges(self) -> Sequence[Charge]:
        return await self.world.storage.usage_log.recent(1000)

    async def only(self) -> Charge:
        (charge,) = await self.charges()
        return charge


async def till(*steps: Any, quota: int = 1000, inner: Any = None, world: World | None = None, **options: Any) -> Till:
    return Till(world or await make_world(channel(), quota=quota), *steps, inner=inner, **options)
