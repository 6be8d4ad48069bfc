"""The ASGI lifespan protocol around an app that may not know it.

https://asgi.readthedocs.io/en/latest/specs/lifespan.html
Many apps do not: Django's raises, and a server then goes on without.
So do we, and start and stop our own part all the same.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["run_lifespan"]

logger = logging.getLogger("asgi_gateway")


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
        logger.exception("the gateway could not start")
        await send({"type": "lifespan.startup.failed", "message": f"asgi_gateway: {reason}"})
        return
    host = _Inner(inner, scope)
    answer = await host.ask("startup")
    if answer["type"] == "lifespan.startup.failed":
        await stop()
        await send(answer)
        return
    await send(answer)
    await receive()  # lifespan.shutdown
    answer = await host.ask("shutdown")
    await stop()
    await send(answer)


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
        if (failure := self._task.exception()) is not None:
            logger.debug("the inner app does not support the lifespan protocol: %r", failure)
        self._task = None
        return complete
