"""A `Connection` without a socket: bytes are fed by hand, and what was done to the transport is written down."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from asgi_gateway.errors import UpstreamError
from asgi_gateway.providers.contract import Origin
from asgi_gateway.relay.answer import Answer
from asgi_gateway.relay.pool import Pool
from asgi_gateway.relay.transport import UpstreamRequest
from asgi_gateway.storage.records import Timeouts

__all__ = ["FakeSocketTransport", "Waits", "Wire", "finish"]

T = TypeVar("T")


class Waits(Exception):
    """A coroutine waits for something that this test will not give it."""


def finish(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that has no reason to wait."""
    try:
        work.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    work.close()
    raise Waits


class FakeSocketTransport(asyncio.Transport):
    """Takes everything, and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.aborted = False
        self.reading = True

    def write(self, data: Any) -> None:
        self.written += data

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0


class Wire:
    """One exchange over a connection that the test itself is the upstream of."""

    def __init__(self, loop: asyncio.AbstractEventLoop, method: str = "POST") -> None:
        self.request = UpstreamRequest(
            method=method,
            origin=Origin("http", "upstream.test", 80),
            target=b"/",
            headers=(),
            body=b"",
            stream=False,
            timeouts=Timeouts(plain=0),
        )
        pool = Pool(loop, 8, 1000.0)
        self.peer = pool.peer(self.request)
        pool.closed = True  # its timer is of no use here
        self.connection = self.peer.connection()
        self.transport = FakeSocketTransport()
        self.connection.connection_made(self.transport)
        self.got = bytearray()
        self.begin()

    def begin(self) -> None:
        """Send a request over the connection."""
        self.answer = Answer(self.connection, self.request, 0.0, float("inf"))
        self.connection.begin(self.answer, b"POST / HTTP/1.1\r\n\r\n", b"")

    def feed(self, data: bytes) -> None:
        """The upstream says something; what a closed connection would not hear is lost."""
        if data and not self.transport.aborted:
            self.connection.data_received(data)

    def end(self, cause: Exception | None = None) -> None:
        """The upstream closes, or the connection breaks."""
        if not self.transport.aborted and cause is None:
            self.connection.eof_received()
        self.connection.connection_lost(cause)

    def drain(self) -> bool:
        """Read what there is; True at the end of the body. Raises as `read` does."""
        while True:
            try:
                piece = finish(self.answer.read())
            except Waits:
                return False
            if not piece:
                return True
            self.got += piece

    def outcome(self) -> bytes | UpstreamError:
        """The whole body, or the error that the exchange ended with; the connection must have ended."""
        try:
            finish(self.answer.begun())
            if not self.answer.status:
                assert self.answer.failure is not None
                return self.answer.failure
            if not self.drain():
                raise AssertionError("the exchange hangs")
        except UpstreamError as failure:
            return failure
        finally:
            self.answer.close()
        return bytes(self.got)
