"""An upstream's answer on its way: what has come of it, whom to wake, and which deadline holds."""

import asyncio
from math import inf
from typing import TYPE_CHECKING

from asgi_gateway.errors import UpstreamError, UpstreamUnreachable
from asgi_gateway.relay.transport import UpstreamRequest

if TYPE_CHECKING:
    from asgi_gateway.relay.connection import Connection

__all__ = ["Answer"]


class Answer:
    """The `UpstreamResponse` of one exchange over a `Connection`.

    The connection writes to it while bytes come (`status`, `headers`, `complete`, `failure`) and wakes whoever waits;
    `deadline` (in the loop's time) and `phase` are what the connection's one timer looks at.
    Bytes that came before a failure are handed out before the failure is raised.
    """

    __slots__ = (
        "_connection",
        "_end",
        "_first",
        "bodiless",
        "complete",
        "deadline",
        "failure",
        "headers",
        "phase",
        "repeatable",
        "request",
        "status",
        "waiter",
    )

    def __init__(self, connection: "Connection", request: UpstreamRequest, now: float, end: float) -> None:
        self._connection: Connection | None = connection
        self._end = end
        self._first = True
        self.request = request
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.bodiless = request.method == "HEAD"
        self.complete = False
        self.failure: UpstreamError | None = None
        self.repeatable = False
        """The connection broke, and the upstream cannot have acted on the request."""
        self.waiter: asyncio.Future[None] | None = None
        timeouts = request.timeouts
        if request.stream:
            self._expect("headers", now, timeouts.headers)
        else:
            self._expect("plain", now, timeouts.plain)

    def _expect(self, phase: str, now: float, seconds: float) -> None:
        """Set the deadline of a phase; the total one goes before it when it comes first."""
        deadline = now + seconds if seconds else inf
        if self._end <= deadline:
            deadline, phase = self._end, "total"
        self.deadline = deadline
        self.phase = phase

    def wake(self) -> None:
        """Let whoever waits for this answer look at it again."""
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def begun(self) -> None:
        """Wait for the answer's head or a failure. A cancel drops the connection."""
        connection = self._connection
        assert connection is not None
        try:
            while not self.status and self.failure is None:
                self.waiter = connection.loop.create_future()
                await self.waiter
        except BaseException:  # a cancel drops the connection, and goes on
            self.close()
            raise
        self.waiter = None
        if self.request.stream:
            self._expect("total", 0.0, 0.0)

    async def read(self) -> bytes:
        """The next bytes of the body; see `UpstreamResponse.read`. A cancelled read loses none of them."""
        connection = self._connection
        if connection is None:
            raise UpstreamUnreachable("the upstream's answer has been closed")
        while True:
            if connection.pieces:
                self._first = False
                return connection.take()
            if self.complete:
                return b""
            if self.failure is not None:
                raise self.failure
            await self._more(connection)

    async def _more(self, connection: "Connection") -> None:
        """Wait until something came. Silence is only counted while somebody waits."""
        stream = self.request.stream
        if stream:
            timeouts, now = self.request.timeouts, connection.loop.time()
            if self._first:
                self._expect("first_event", now, timeouts.first_event)
            else:
                self._expect("idle", now, timeouts.idle)
            connection.arm(self.deadline)
        self.waiter = connection.loop.create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None
            if stream:
                self._expect("total", 0.0, 0.0)

    def close(self) -> None:
        """Give the connection back if the whole answer came over it, else drop it. Twice is allowed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()
