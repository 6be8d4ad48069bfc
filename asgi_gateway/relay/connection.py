"""One HTTP/1.1 connection to an upstream: what is written to it, and what its bytes mean.

Framing is llhttp's (`httptools`), strict: RFC 9112, with one content-length at most and never beside transfer-encoding.
What llhttp leaves open is decided here: limits, the end of a body without length, flow control, the deadline.
"""

import asyncio
import socket
import sys
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING, cast

import httptools

from asgi_gateway.errors import MalformedUpstream, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from asgi_gateway.relay.answer import Answer

if TYPE_CHECKING:
    from asgi_gateway.relay.pool import Peer

__all__ = ["RECEIVE_BUFFER", "Connection", "Surplus", "unacknowledged"]

OVERHEAD_LIMIT = 64 * 1024
"""Bytes of a head, of chunk headers or of a trailer that may come without one byte of body between them."""
HEADERS_LIMIT = 256
"""Header fields of one answer."""
SLICE = 16 * 1024
"""A head is parsed in pieces of this size, so that its limit is seen in time."""
BUFFER_LIMIT = 64 * 1024
"""Bytes kept for a reader before reading stops."""
RECEIVE_BUFFER = 256 * 1024
"""Bytes that the kernel may hold beyond them."""
KEEPALIVE = 60
"""Seconds of silence before the kernel asks whether the upstream is there: models think longer than NATs remember."""
WRITE_AT_ONCE = 64 * 1024
"""A larger body is written in pieces of this size, as fast as the upstream takes them."""
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class Surplus(Exception):
    """Bytes after the end of an answer: stops the parser."""


class Connection(asyncio.Protocol):
    """An open connection, used for one exchange at a time.

    One timer serves all exchanges: it is set when a deadline comes sooner than the one it waits for,
    and looks, when it fires, whether the deadline of that moment has passed.
    A steady row of exchanges sets none at all.
    """

    __slots__ = (
        "answer",
        "buffered",
        "choked",
        "dead",
        "headers",
        "idle_since",
        "interim",
        "keep",
        "loop",
        "lost",
        "on_body",
        "overhead",
        "parser",
        "paused",
        "peer",
        "pieces",
        "timer",
        "timer_at",
        "transport",
        "unsent",
    )

    transport: asyncio.Transport

    def __init__(self, loop: asyncio.AbstractEventLoop, peer: "Peer") -> None:
        self.loop = loop
        self.peer = peer
        self.answer: Answer | None = None
        self.pieces: list[bytes] = []
        # The parser calls the list's own method: no Python frame for a piece of body.
        self.on_body: Callable[[bytes], None] = self.pieces.append
        self.headers: list[tuple[bytes, bytes]] = []
        self.buffered = 0
        self.overhead = 0
        self.interim = False
        self.keep = False
        self.paused = False
        self.choked = False
        self.dead = False
        self.unsent: memoryview | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.timer_at = inf
        self.idle_since = 0.0
        self.lost: asyncio.Future[None] = loop.create_future()
        self.parser = httptools.HttpResponseParser(self)

    # The exchange.

    def begin(self, answer: Answer, head: bytes, body: bytes) -> None:
        """Send a request whose answer goes to `answer`; `head` ends before the length of the body, if it states one."""
        self.answer = answer
        self.headers = []
        self.overhead = 0
        self.interim = self.keep = False
        if answer.deadline < self.timer_at:
            self.arm(answer.deadline)
        if len(body) <= WRITE_AT_ONCE:
            self.transport.write(head + body)
        else:
            self.transport.write(head)
            self.unsent = memoryview(body)
            self._push()

    def take(self) -> bytes:
        """All bytes of the body that wait for the reader."""
        pieces = self.pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        self.buffered = 0
        if self.paused:
            self._resume()
        return data

    def release(self) -> None:
        """The exchange is over: go back to the pool if the answer came whole and cleanly, else close at once."""
        answer, self.answer = self.answer, None
        self.pieces.clear()
        self.buffered = 0
        if self.dead:
            return
        if answer is None or not answer.complete or not self.keep or self.unsent is not None:
            self.abort()
            return
        if self.paused:
            self._resume()
        self.peer.give_back(self)

    def abort(self) -> None:
        """Close the socket now, without waiting for anything."""
        self.unsent = None
        if not self.dead:
            self.dead = True
            self.transport.abort()

    def discard(self) -> None:
        """Give up on a connection that may never have been opened."""
        if hasattr(self, "transport"):
            self.abort()
        elif not self.dead:
            self.dead = True
            self.peer.forget(self)

    # Deadlines.

    def arm(self, deadline: float) -> None:
        """See to it that the timer fires at `deadline` (in the loop's time) or sooner."""
        if deadline < self.timer_at:
            if self.timer is not None:
                self.timer.cancel()
            self.timer_at = deadline
            self.timer = self.loop.call_at(deadline, self._look)

    def _look(self) -> None:
        self.timer, self.timer_at = None, inf
        answer = self.answer
        if answer is None or answer.complete or answer.failure is not None:
            return
        if self.loop.time() >= answer.deadline:
            self._fail(UpstreamTimeout(f"the upstream took too long ({answer.phase})", phase=answer.phase))
        else:
            self.arm(answer.deadline)

    def _fail(self, failure: UpstreamError) -> None:
        answer = self.answer
        if answer is not None and not answer.complete and answer.failure is None:
            answer.failure = failure
            answer.wake()
        self.abort()

    # Bytes from the upstream: asyncio's side.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are none by class
        end: socket.socket | None = transport.get_extra_info("socket")
        if end is not None:
            end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            end.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEPALIVE)

    def data_received(self, data: bytes) -> None:
        answer = self.answer
        if answer is None or answer.complete:
            self.abort()  # it speaks unasked: not trusted with another request
            return
        try:
            self._parse(data, answer)
        except httptools.HttpParserError as error:
            self._broken(answer, error)
        self.buffered += len(data)
        if self.buffered > BUFFER_LIMIT:
            self._hold_back(answer)
        answer.wake()

    def eof_received(self) -> bool:
        self._ended(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        if not self.lost.done():
            self.lost.set_result(None)
        self.peer.forget(self)

    # Bytes from the upstream: the parser's side.

    def _parse(self, data: bytes, answer: Answer) -> None:
        if answer.status or len(data) <= SLICE:
            self._feed(data, answer)
            return
        view = memoryview(data)
        for start in range(0, len(data), SLICE):
            self._feed(view[start : start + SLICE], answer)

    def _feed(self, data: bytes | memoryview, answer: Answer) -> None:
        had = len(self.pieces)
        self.overhead += len(data)
        self.parser.feed_data(data)
        if len(self.pieces) != had:
            self.overhead = 0
        elif self.overhead > OVERHEAD_LIMIT and not answer.complete:
            raise httptools.HttpParserError("too many bytes without a body")

    def on_message_begin(self) -> None:
        answer = self.answer
        if answer is None or answer.complete:
            raise Surplus

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip()))

    def on_headers_complete(self) -> None:
        answer, headers = self.answer, self.headers
        assert answer is not None
        status = self.parser.get_status_code()
        self.headers = []  # a trailer's fields are dropped with it
        if len(headers) > HEADERS_LIMIT:
            raise httptools.HttpParserError("too many header fields")
        if not 200 <= status < 600:
            if status == 101 or not 100 <= status < 200:
                raise httptools.HttpParserError("a status that was not asked for")
            self.interim = True
            return
        for name, value in headers:
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                raise httptools.HttpParserError("a transfer-encoding other than chunked")
        answer.headers = headers
        answer.status = status
        self.keep = self.parser.should_keep_alive()
        if self.unsent is not None and status >= 300:
            # Refused before the whole request was sent (RFC 9112, 9.5): the rest is of no use.
            self.unsent, self.keep = None, False
        if answer.bodiless:
            # The parser cannot be told that no body follows, so it is left in the middle of one.
            answer.complete, self.keep = True, False
            raise Surplus

    def on_message_complete(self) -> None:
        answer = self.answer
        assert answer is not None
        if self.interim:
            self.interim = False
        else:
            answer.complete = True

    # Ends.

    def _broken(self, answer: Answer, error: Exception) -> None:
        """The parser stopped: behind a whole answer the connection is only not used again."""
        failure = MalformedUpstream("the upstream's answer breaks HTTP")
        failure.__cause__ = error
        self._fail(failure)

    def _ended(self, exc: Exception | None) -> None:
        """The upstream closed (`exc` None) or the connection broke."""
        answer = self.answer
        if answer is not None and not answer.complete and answer.failure is None:
            if exc is None and answer.status and self._until_close(answer):
                answer.complete = True
            else:
                failure = UpstreamUnreachable("the connection to the upstream broke before the answer was whole")
                failure.__cause__ = exc
                answer.failure = failure
                answer.repeatable = not answer.status and not self.overhead and self._unserved(answer, exc)
            answer.wake()
        self.keep = False
        self.abort()

    def _until_close(self, answer: Answer) -> bool:
        """Whether the body of an answer is ended by the end of the connection (RFC 9112, 6.3).

        Over TLS asyncio does not tell a close from a cut, so that such a body cannot be known to be whole.
        """
        return not any(name in (b"content-length", b"transfer-encoding") for name, _ in answer.headers)

    def _unserved(self, answer: Answer, exc: Exception | None) -> bool:
        """Whether the upstream cannot have acted on the request, so that it may be sent again.

        A reset says that the request met a socket that was closed, or closed unread.
        A plain end says so only if the upstream's kernel had not even acknowledged the whole request by then;
        otherwise it was read, and whether it was acted upon nobody knows.
        """
        if exc is not None:
            return isinstance(exc, ConnectionError)
        if answer.request.method in IDEMPOTENT or self.unsent is not None:
            return True
        return self.transport.get_write_buffer_size() > 0 or unacknowledged(self.transport) > 0

    # Flow control.

    def pause_writing(self) -> None:
        self.choked = True

    def resume_writing(self) -> None:
        self.choked = False
        self._push()

    def _push(self) -> None:
        """Write what is left of a large body until the upstream takes no more; `resume_writing` goes on."""
        while self.unsent is not None and not self.choked and not self.dead:
            piece, rest = self.unsent[:WRITE_AT_ONCE], self.unsent[WRITE_AT_ONCE:]
            self.unsent = rest if len(rest) else None
            self.transport.write(piece)

    def _hold_back(self, answer: Answer) -> None:
        """Read no more until the reader has taken what is here: the kernel's buffers fill, and the upstream waits."""
        if not (answer.complete or self.paused or self.dead):
            self.paused = True
            self.transport.pause_reading()

    def _resume(self) -> None:
        self.paused = False
        if not self.dead:
            self.transport.resume_reading()


def unacknowledged(transport: asyncio.Transport) -> int:
    """Bytes sent that the other side's kernel has not acknowledged; 0 where the system does not tell."""
    if sys.platform == "win32":
        return 0
    from fcntl import ioctl
    from termios import TIOCOUTQ

    end: socket.socket | None = transport.get_extra_info("socket")
    if end is None or end.fileno() < 0:
        return 0
    return int.from_bytes(ioctl(end.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)
