"""An upstream whose every byte is scripted, and which writes down when its sockets opened and closed.

```python
async def script(end: UpstreamSocket) -> None:
    await end.request()
    await end.send(answer(b"hello"))

async with ScriptedUpstream(script) as upstream:
    response = await transport.send(upstream.ask())
```
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self

from asgi_gateway.providers.contract import Origin
from asgi_gateway.relay.transport import UpstreamRequest, UpstreamResponse
from asgi_gateway.storage.records import Timeouts

__all__ = ["Received", "Script", "ScriptedUpstream", "UpstreamSocket", "answer", "chunk", "whole"]


@dataclass(frozen=True, slots=True)
class Received:
    """One request as it came."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> list[bytes]:
        """All values of a header."""
        return [value for key, value in self.headers if key == name]


class UpstreamSocket:
    """The upstream's end of one connection. `index` counts connections from 0; times are the loop's."""

    def __init__(self, index: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.index = index
        self.reader = reader
        self.writer = writer
        self.requests: list[Received] = []
        self.opened_at = asyncio.get_running_loop().time()
        self.closed_at: float | None = None
        self.sent = 0

    async def head(self) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """Read a request's first line and headers."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        line, *lines = head[:-4].split(b"\r\n")
        pairs = [pair.split(b": ", 1) for pair in lines]
        return line, [(name, value) for name, value in pairs]

    async def request(self) -> Received:
        """Read a whole request."""
        line, headers = await self.head()
        length = int(dict(headers).get(b"content-length", b"0"))
        received = Received(line, headers, await self.reader.readexactly(length))
        self.requests.append(received)
        return received

    async def send(self, data: bytes) -> None:
        """Write, and wait until the client's side or the kernel took it."""
        self.writer.write(data)
        await self.writer.drain()
        self.sent += len(data)

    async def left(self) -> float:
        """Wait until the client closed; the moment is kept in `closed_at` and returned."""
        try:
            while await self.reader.read(65536):
                pass
        except ConnectionError:
            pass
        self.closed_at = asyncio.get_running_loop().time()
        return self.closed_at

    def reset(self) -> None:
        """Close with a reset, as a process that crashed does."""
        end: socket.socket = self.writer.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.abort()

    def abort(self) -> None:
        """Close at once, if that has not been done: asyncio's transports may fail when aborted after their end."""
        end: socket.socket | None = self.writer.get_extra_info("socket")
        if end is not None and end.fileno() >= 0:
            self.writer.transport.abort()

    def close(self) -> None:
        """Close after what was written has gone."""
        self.writer.close()


Script = Callable[[UpstreamSocket], Awaitable[None]]


class ScriptedUpstream:
    """Listens on a free port of 127.0.0.1 and runs the script for each connection; then closes it.

    A script that fails by anything but the client's leaving fails the test when the upstream ends.
    """

    def __init__(self, script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._script = script
        self._tls = tls
        self._host = host
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0
        self.connections: list[UpstreamSocket] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in self.connections:
            connection.abort()
        await self._server.wait_closed()
        for end in ends:
            if isinstance(end, Exception) and not isinstance(end, (OSError, EOFError)):
                raise end

    @property
    def origin(self) -> Origin:
        """Where requests to it go."""
        return Origin("https" if self._tls else "http", self._host, self.port)

    def ask(self, **changes: Any) -> UpstreamRequest:
        """A small request to this upstream; `changes` replace its fields."""
        fields: dict[str, Any] = {
            "method": "POST",
            "origin": self.origin,
            "target": b"/v1/chat/completions",
            "headers": ((b"content-type", b"application/json"),),
            "body": b'{"model":"m"}',
            "stream": False,
            "timeouts": Timeouts(),
        }
        return UpstreamRequest(**fields | changes)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        end = UpstreamSocket(len(self.connections), reader, writer)
        self.connections.append(end)
        try:
            await self._script(end)
        except (OSError, EOFError):
            pass  # the client left: scripts need not care
        except asyncio.CancelledError:
            pass  # the test is over; before Python 3.12 the stream protocol stumbles over a cancelled task
        finally:
            writer.close()


def answer(body: bytes, *, status: bytes = b"200 OK", headers: bytes = b"") -> bytes:
    """A whole HTTP/1.1 answer; `headers` are lines that each end with CRLF."""
    return b"HTTP/1.1 %s\r\n%scontent-length: %d\r\n\r\n%s" % (status, headers, len(body), body)


def chunk(data: bytes) -> bytes:
    """One chunk of a chunked body; the last one is `chunk(b"")`."""
    return b"%x\r\n%s\r\n" % (len(data), data)


async def whole(response: UpstreamResponse) -> bytes:
    """Read a body to its end, and give the connection back."""
    pieces = bytearray()
    try:
        while piece := await response.read():
            pieces += piece
    finally:
        response.close()
    return bytes(pieces)
