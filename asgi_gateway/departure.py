"""Notices a caller who leaves, and ends the work that is done for it.

A caller's leaving is a message that only `receive` tells of, so somebody has to wait for it while the work goes on.
`Departure` does, and ends the block it surrounds with `CallerLeft`.
The waiting begins only after `patience`: an exchange that is over by then never pays for a second task.
"""

import asyncio
from types import TracebackType
from typing import Self

from asgi_gateway.errors import CallerLeft, GatewayError
from asgi_gateway.types import Receive

__all__ = ["Departure"]


class Departure:
    """Surrounds work that is of no use once the caller has left.

    ```python
    async with Departure(receive):
        await work()      # raises CallerLeft if the caller leaves meanwhile
    ```

    `receive` must have given its whole body before; nobody else may call it inside the block.
    `interrupt(error)` ends the block from outside with that error instead.
    `patience` is in seconds.
    """

    __slots__ = ("_cause", "_handle", "_loop", "_patience", "_receive", "_task", "_watcher")

    def __init__(self, receive: Receive, *, patience: float = 0.1) -> None:
        self._receive = receive
        self._patience = patience
        self._cause: BaseException | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.current_task(self._loop)
        self._handle = self._loop.call_later(self._patience, self._watch)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.cancel()
        delivered = error is not None
        if self._watcher is not None:
            delivered = await self._stop(self._watcher) or delivered
        cause = self._cause
        if cause is None or self._task is None:
            return
        # Only our own cancellation is turned into its cause; one from outside goes on as it is.
        outside = self._task.uncancel()
        if not delivered:
            # The work ended in the very moment of our cancellation, which is still to come.
            try:
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                if outside:
                    raise
        if isinstance(error, asyncio.CancelledError) and not outside:
            raise cause from error

    def interrupt(self, error: GatewayError) -> None:
        """End the block with `error`, as if the work had raised it."""
        self._end(error)

    def _end(self, cause: BaseException) -> None:
        if self._cause is None and self._task is not None:
            self._cause = cause
            self._task.cancel()

    async def _stop(self, watcher: asyncio.Task[None]) -> bool:
        """End the waiting: whoever calls `receive` next must find nobody else in it. True: ours was delivered here."""
        watcher.cancel()
        delivered = False
        if not watcher.done():
            try:
                await asyncio.wait([watcher])
            except asyncio.CancelledError:
                if self._cause is None:
                    raise
                delivered = True
        if watcher.done() and not watcher.cancelled() and (failure := watcher.exception()) is not None:
            raise failure
        return delivered

    def _watch(self) -> None:
        self._watcher = self._loop.create_task(self._wait())

    async def _wait(self) -> None:
        while True:
            message = await self._receive()
            if message["type"] in ("http.disconnect", "websocket.disconnect"):
                self._end(CallerLeft())
                return
