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

__all__ = ["Departure", "WatchList"]


class Departure:
    """Surrounds work that is of no use once the caller has left.

    ```python
    async with Departure(receive):
        await work()      # raises CallerLeft if the caller leaves meanwhile
    ```

    `receive` must have given its whole body before; nobody else may call it inside the block.
    `receive` is None where somebody else waits for the caller: then only `interrupt` ends the block.
    A `receive` that raises ends the block with what it raised: without it nobody would learn of a leaving.
    `interrupt(error)` ends the block from outside with that error instead.
    `finish()` says that what remains is the answer's last message, which a leaving or an interrupt no longer cuts.
    `patience` is in seconds. A `watch_list` waits for many at once with its own patience, on one timer.
    """

    __slots__ = (
        "_before",
        "_cause",
        "_finishing",
        "_handle",
        "_loop",
        "_patience",
        "_receive",
        "_task",
        "_watch_list",
        "_watcher",
    )

    def __init__(
        self, receive: Receive | None, *, patience: float = 0.1, watch_list: "WatchList | None" = None
    ) -> None:
        self._watch_list = watch_list if receive is not None else None
        self._receive = receive
        self._patience = patience
        self._cause: BaseException | None = None
        self._finishing = False
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        task = self._task = asyncio.current_task(self._loop)
        assert task is not None  # a coroutine that awaits runs in a task
        self._before = task.cancelling()
        if self._watch_list is not None:
            self._watch_list.add(self, self._loop)
        elif self._receive is not None:
            self._handle = self._loop.call_later(self._patience, self._watch, self._receive)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finishing = True
        if self._watch_list is not None:
            self._watch_list.remove(self)
        elif self._handle is not None:
            self._handle.cancel()
        cancelled = isinstance(error, asyncio.CancelledError)
        if self._watcher is not None:
            cancelled = await self._stop(self._watcher) or cancelled
        if self._cause is not None and self._task is not None:
            if not cancelled:
                cancelled = await _delivered()
            if self._task.uncancel() <= self._before:  # nobody else cancelled us
                if isinstance(error, asyncio.CancelledError | GatewayError):
                    raise self._cause from error
                return  # the work ended in its own way before it could be stopped
        if cancelled and not isinstance(error, asyncio.CancelledError):
            raise asyncio.CancelledError

    def watch(self) -> None:
        """Begin to wait for the caller's leaving now."""
        if self._receive is not None and self._watcher is None:
            self._watch(self._receive)

    def interrupt(self, error: GatewayError) -> None:
        """End the block with `error`, as if the work had raised it."""
        self._end(error)

    def finish(self) -> None:
        """Let the work end by itself: nothing is left to be stopped but its last message."""
        self._finishing = True

    def _end(self, cause: BaseException) -> None:
        if self._cause is None and self._task is not None and not self._finishing:
            self._cause = cause
            self._task.cancel()

    async def _stop(self, watcher: "asyncio.Task[None]") -> bool:
        """End the waiting: whoever calls `receive` next must find nobody else in it. True: we were cancelled here."""
        watcher.cancel()
        if not watcher.done():
            try:
                await asyncio.wait([watcher])
            except asyncio.CancelledError:
                return True
        return False

    def _watch(self, receive: Receive) -> None:
        self._watcher = self._loop.create_task(self._wait(receive))

    async def _wait(self, receive: Receive) -> None:
        try:
            while True:
                message = await receive()
                if message["type"] in ("http.disconnect", "websocket.disconnect"):
                    self._end(CallerLeft())
                    return
        except Exception as broken:  # noqa: BLE001 - whatever it is, it is raised where the work is
            self._end(broken)


class WatchList:
    """The departures of one event loop that are still within their patience, on one timer for all.

    A timer of its own for each exchange costs more than all else that a departure does.
    The timer runs only while there are any, so the patience of one is exceeded by at most a half.
    """

    __slots__ = ("_began", "_loop", "_patience", "_timer")

    def __init__(self, patience: float = 0.1) -> None:
        self._patience = patience
        self._loop: asyncio.AbstractEventLoop | None = None
        self._began: dict[Departure, float] = {}  # in the order of their times
        self._timer: asyncio.TimerHandle | None = None

    def add(self, departure: Departure, loop: asyncio.AbstractEventLoop) -> None:
        """Watch it once its patience is over."""
        if loop is not self._loop:  # another loop's timer never fires here
            self._loop, self._timer, self._began = loop, None, {}
        self._began[departure] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self._patience, self._look, loop)

    def remove(self, departure: Departure) -> None:
        """Its work is over."""
        self._began.pop(departure, None)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        before = loop.time() - self._patience / 2
        due = []
        for departure, began in self._began.items():
            if began > before:
                break
            due.append(departure)
        for departure in due:
            del self._began[departure]
            departure.watch()
        self._timer = loop.call_later(self._patience / 2, self._look, loop) if self._began else None


async def _delivered() -> bool:
    """Whether a cancellation that was asked for in the very moment the work ended comes now; it may not linger."""
    try:
        await asyncio.sleep(0)
    except asyncio.CancelledError:
        return True
    return False
