r"""Hands one good answer on: holds its head until it may be released, then passes each chunk as it comes.

With pings, a stream that is silent for so many seconds gets a comment, `: ping`, which clients skip
(https://html.spec.whatwg.org/multipage/server-sent-events.html). A comment stands between events, never inside one.
The first of them starts the answer: what fails afterwards can no longer be tried elsewhere.
"""

import asyncio

from asgi_gateway.departure import Departure
from asgi_gateway.dialects.contract import Dialect, Head
from asgi_gateway.dialects.sse import PING, is_event_stream, takes_comments
from asgi_gateway.errors import EmptyUpstream, MalformedUpstream, UpstreamTimeout
from asgi_gateway.relay.transport import UpstreamRequest, UpstreamResponse
from asgi_gateway.types import Send

__all__ = ["Delivery"]

KEPT_HEADERS = frozenset({b"content-type", b"content-length", b"openai-processing-ms", b"openai-version"})
"""What the caller sees of the upstream's headers: its rate limits and cookies are the channel's own affair."""

STREAM_HEADERS = [(b"cache-control", b"no-cache, no-transform"), (b"x-accel-buffering", b"no")]


class Delivery:
    """One answer on its way to the caller.

    At most `head_limit` bytes are held. `ping` is in seconds; 0: none.
    `departure` is told when only the last message remains.
    """

    __slots__ = (
        "_dialect",
        "_held",
        "_limit",
        "_ping",
        "_request",
        "_response",
        "_send",
        "_started",
        "_stream",
        "_tail",
    )

    def __init__(
        self,
        dialect: Dialect,
        request: UpstreamRequest,
        response: UpstreamResponse,
        send: Send,
        *,
        head_limit: int,
        ping: float,
    ) -> None:
        self._dialect = dialect
        self._request = request
        self._response = response
        self._send = send
        self._limit = head_limit
        _check_coding(response)
        self._stream = is_event_stream(response.headers)
        self._ping = ping if ping and request.stream and takes_comments(response.headers) else 0.0
        self._started = False
        self._held = True
        self._tail = b""

    async def run(self, departure: Departure) -> None:
        """Hand it on. Raises an `UpstreamError` before anything was sent, if the head says that the answer is none."""
        held, complete = await (self._stream_head() if self._stream else self._head(b""))
        self._held = False
        await self._start()
        send = self._send
        if not complete:
            await send({"type": "http.response.body", "body": held, "more_body": True})
            read = self._read if self._ping else self._response.read
            while chunk := await read():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            held = b""
        departure.finish()
        await send({"type": "http.response.body", "body": held})

    async def _start(self) -> None:
        if self._started:
            return
        self._started = True
        headers = [pair for pair in self._response.headers if pair[0] in KEPT_HEADERS]
        if self._stream:  # what is withheld of it changes its length
            headers = [pair for pair in headers if pair[0] != b"content-length"] + STREAM_HEADERS
        await self._send({"type": "http.response.start", "status": self._response.status, "headers": headers})

    async def _stream_head(self) -> tuple[bytes, bool]:
        """The first bytes of a stream, once they may be released, and whether they are all."""
        seconds = self._request.timeouts.first_event
        deadline = asyncio.get_running_loop().time() + seconds
        first = await self._read() if self._ping else await self._response.read()
        if first and self._dialect.head(first, stream=True, complete=False) is Head.RELEASE:
            return first, False
        try:
            async with asyncio.timeout_at(deadline if seconds else None):
                return await self._head(first)
        except TimeoutError as late:
            raise UpstreamTimeout("The upstream's stream had no event in time.", phase="first_event") from late

    async def _head(self, held: bytes) -> tuple[bytes, bool]:
        read = self._read if self._ping else self._response.read
        while len(held) < self._limit:
            chunk = await read()
            held += chunk
            if self._dialect.head(held, stream=self._stream, complete=not chunk) is Head.RELEASE:
                return held, not chunk
            if not chunk:
                raise EmptyUpstream("The upstream's answer ended before it said anything.")
        return held, False

    async def _read(self) -> bytes:
        """The next chunk, with a ping for each stretch of silence before it."""
        reading = asyncio.ensure_future(self._response.read())
        reading.add_done_callback(_look_at)
        try:
            while not (await asyncio.wait([reading], timeout=self._ping))[0]:
                if self._held or self._tail.endswith((b"\n\n", b"\n\r\n")):
                    await self._start()
                    await self._send({"type": "http.response.body", "body": PING, "more_body": True})
        finally:
            reading.cancel()
        chunk = reading.result()
        self._tail = (self._tail + chunk)[-3:]
        return chunk


def _look_at(reading: "asyncio.Future[bytes]") -> None:
    """A read that fails while it is given up is nobody's concern any more."""
    if not reading.cancelled():
        reading.exception()


def _check_coding(response: UpstreamResponse) -> None:
    """Raise `MalformedUpstream` for a body in a coding that was not asked for."""
    for name, value in response.headers:
        if name == b"content-encoding" and value.lower() != b"identity":
            raise MalformedUpstream("The upstream's answer is compressed, which was not asked for.")
