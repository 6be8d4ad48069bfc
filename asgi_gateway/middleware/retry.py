"""Runs the inside again on another channel when it failed, until something was released to the caller.

Outside routing, which picks again for each attempt and leaves out what was tried.
Inside quota: one call is charged once.
Uses `route` once the inside returned; writes `attempts`.

When all fail the caller sees the last real error, not that no channel is left.
A caller who leaves while we wait for the next attempt ends it.
"""

import asyncio
from time import perf_counter
from typing import ClassVar, Protocol

from asgi_gateway.departure import Departure
from asgi_gateway.errors import CallerLeft, GatewayError, NoChannelAvailable, UpstreamError
from asgi_gateway.exchange import SCOPE_KEY, Attempt, Exchange
from asgi_gateway.middleware.entry import enter
from asgi_gateway.policies.retry import RetryPolicy
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Decision", "RetryMiddleware"]


class Decision(Protocol):
    """Decides whether a failure is worth a further attempt."""

    def decide(self, error: GatewayError, attempt: int) -> float | None:
        """Seconds to wait before the next attempt, None to give up; `attempt` counts from 1."""
        ...


class RetryMiddleware:
    """Tries up to `attempts` channels. `policy` decides; by default a `RetryPolicy` of that many attempts."""

    needs: ClassVar[frozenset[str]] = frozenset()
    uses_after: ClassVar[frozenset[str]] = frozenset({"route"})
    writes: ClassVar[frozenset[str]] = frozenset({"attempts"})

    def __init__(self, app: ASGIApp, *, attempts: int = 3, policy: Decision | None = None) -> None:
        if attempts < 1:
            raise ValueError("retry needs at least one attempt")
        self.app = app
        self.policy: Decision = policy if policy is not None else RetryPolicy(attempts=attempts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        exchange: Exchange | None = scope.get(SCOPE_KEY)
        if exchange is None:
            await enter(self, self.app, scope, receive, send)
            return
        released = False

        async def noting_send(message: Message) -> None:
            nonlocal released
            released = True
            await send(message)

        failure: GatewayError | None = None
        number = 0
        while True:
            number += 1
            began = perf_counter()
            exchange.route = None
            try:
                await self.app(scope, receive, noting_send)
            except GatewayError as error:
                if failure is not None and isinstance(error, NoChannelAvailable) and exchange.route is None:
                    raise failure from error  # nothing is left to try: the last real error says more
                _note(exchange, began, error)
                delay = None if released else self.policy.decide(error, number)
                if delay is None:
                    raise
                failure = error
            except BaseException:
                _note(exchange, began, None, abandoned=True)
                raise
            else:
                _note(exchange, began, None)
                return
            if delay > 0:
                await _wait(delay, receive)


async def _wait(delay: float, receive: Receive) -> None:
    async with Departure(receive, patience=0):
        await asyncio.sleep(delay)


def _note(exchange: Exchange, began: float, error: GatewayError | None, *, abandoned: bool = False) -> None:
    if exchange.route is None:
        return  # refused before any channel was picked
    if isinstance(error, UpstreamError) and error.original_status is not None:
        status = error.original_status
    else:
        status = error.status if error is not None else 0
    exchange.attempts.append(
        Attempt(
            channel=exchange.route.channel,
            started=began,
            duration=perf_counter() - began,
            error=CallerLeft.__name__ if abandoned else error.code or error.type if error is not None else "",
            status=status,
        )
    )
