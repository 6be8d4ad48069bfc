"""The ASGI lifespan protocol around an app that may not know it.

https://asgi.readthedocs.io/en/latest/specs/lifespan.html
Many apps do not: Django's raises, and a server then goes on without.
So do we, and start and stop our own part all the same.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from asgi_gateway.storage.vault import Unreadable
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["run_lifespan"]

logger = logging.getLogger("asgi_gateway")

LAST_WORDS = 1.0
"""Seconds that an inner app may take to return after its last answer."""


async def run_lifespan(
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    start: Callable[[], Awaitable[None]],
    stop: Callable[[], Awaitable[None]],
    inner: ASGIApp | None = None,
) -> None:
    """Answer a server's lifespan: `start` before the inner app's own start, `stop` after its own stop."""
    await receive()  # lifespan.startup
    try:
        await start()
    except Exception as reason:  # whatever it is, the server must be told, or it waits for ever
        told = isinstance(reason, Unreadable)  # a secret that is wrong: where we noticed it is of no use to anybody
        logger.error("the gateway could not start%s", f": {reason}" if told else "", exc_info=not told)
        await send({"type": "lifespan.startup.failed", "message": f"asgi_gateway: {reason}"})
        return
    host = _Inner(inner, scope)
    try:
        answer = await host.ask("startup")
        if answer["type"] != "lifespan.startup.failed":
            await send(answer)
            await receive()  # lifespan.shutdown
            answer = await host.ask("shutdown")
        await host.ended()
    finally:
        host.abandon()
        failure = await _failure_of(stop)
    if failure is not None and answer["type"] == "lifespan.shutdown.complete":
        answer = {"type": "lifespan.shutdown.failed", "message": f"asgi_gateway: {failure}"}
    await send(answer)


async def _failure_of(stop: Callable[[], Awaitable[None]]) -> Exception | None:
    try:
        await stop()
    except Exception as failure:  # as above: the server waits for an answer
        logger.exception("the gateway could not stop")
        return failure
    return None


class _Inner:
    """An inner app's lifespan, asked step by step. One that ends or raises instead of answering does not support it."""

    def __init__(self, app: ASGIApp | None, scope: Scope) -> None:
        self._questions: asyncio.Queue[Message] = asyncio.Queue()
        self._answers: asyncio.Queue[Message] = asyncio.Queue()
        self._task = asyncio.ensure_future(app(scope, self._questions.get, self._answers.put)) if app else None

    async def ask(self, what: str) -> Message:
        complete: Message = {"type": f"lifespan.{what}.complete"}
        if self._task is None:
            return complete
        self._questions.put_nowait({"type": f"lifespan.{what}"})
        answer = asyncio.ensure_future(self._answers.get())
        await asyncio.wait([self._task, answer], return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        answer.cancel()
        logger.debug("the inner app does not support the lifespan protocol: %r", _error_of(self._task))
        self._task = None
        return complete

    async def ended(self) -> None:
        """Let the app return after its last answer."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=LAST_WORDS)

    def abandon(self) -> None:
        """End an app that goes on although its lifespan is over."""
        if self._task is not None and not self._task.cancel() and (failure := _error_of(self._task)) is not None:
            logger.warning("the inner app failed after its lifespan: %r", failure)


def _error_of(task: "asyncio.Future[None]") -> BaseException | None:
    return None if task.cancelled() else task.exception()
