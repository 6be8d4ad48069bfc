"""Runs the inside again on another channel when it failed, until something was released to the caller.

Outside routing, which picks again for each attempt and leaves out what was tried.
Inside quota: one call is charged once.
Needs `body`, which each attempt reads from its beginning; uses `route` once the inside returned; writes `attempts`.

When all fail the caller sees the last real error, not that no channel is left.
A caller who leaves while we wait for the next attempt ends it.
"""

import asyncio
from time import perf_counter
from typing import ClassVar, Protocol

from asgi_gateway.departure import Departure
from asgi_gateway.errors import GatewayError, NoChannelAvailable, UpstreamError
from asgi_gateway.exchange import SCOPE_KEY, Attempt, Exchange
from asgi_gateway.middleware.answer import NotedAnswer
from asgi_gateway.middleware.body import behind, replay
from asgi_gateway.middleware.entry import enter
from asgi_gateway.policies.retry import RetryPolicy
from asgi_gateway.types import ASGIApp, Receive, Scope, Send

__all__ = ["Decision", "RetryMiddleware"]


class Decision(Protocol):
    """Decides whether a failure is worth a further attempt."""

    def decide(self, error: GatewayError, attempt: int) -> float | None:
        """Seconds to wait before the next attempt, None to give up; `attempt` counts from 1."""
        ...


class RetryMiddleware:
    """Tries up to `attempts` channels. `policy` decides; by default a `RetryPolicy` of that many attempts.

    Where no layer outside has read the body there is one attempt: a second would find it gone.
    """

    needs: ClassVar[frozenset[str]] = frozenset({"body"})
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
        answer = NotedAnswer.of(send)
        body = exchange.body
        final = body is None and scope["type"] == "http"
        failure: GatewayError | None = None
        number = 0
        while True:
            number += 1
            began = perf_counter()
            tried, exchange.route = exchange.route, None
            try:
                await self.app(scope, receive if body is None else replay(body, receive), answer)
            except GatewayError as error:
                if failure is not None and isinstance(error, NoChannelAvailable) and exchange.route is None:
                    exchange.route = tried
                    raise failure from error  # nothing is left to try: the last real error says more
                _note(exchange, began, error)
                delay = None if answer.start is not None or final else self.policy.decide(error, number)
                if delay is None:
                    raise
                failure = error
            except BaseException as error:  # every ending is noted, and goes on
                _note(exchange, began, error)
                raise
            else:
                _note(exchange, began, None)
                return
            if delay > 0:
                await _wait(delay, receive)


async def _wait(delay: float, receive: Receive) -> None:
    async with Departure(behind(receive), patience=0):
        await asyncio.sleep(delay)


def _note(exchange: Exchange, began: float, error: BaseException | None) -> None:
    if exchange.route is None:
        return  # refused before any channel was picked
    attempt = Attempt(channel=exchange.route.channel, started=began, duration=perf_counter() - began)
    if isinstance(error, GatewayError):
        attempt.error = error.code or error.type
        original = error.original_status if isinstance(error, UpstreamError) else None
        attempt.status = error.status if original is None else original
    elif error is not None:
        attempt.error = type(error).__name__
    exchange.attempts.append(attempt)
