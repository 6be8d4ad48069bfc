"""A small HTTP proxy: tunnels by CONNECT, and forwards whole URLs; it writes down what it was asked."""

import asyncio
import ssl
from typing import Self

__all__ = ["ConnectProxy"]


class ConnectProxy:
    """Listens on a free port of 127.0.0.1.

    `target` is where every tunnel and every forwarded request goes, whatever was asked for.
    `answer` is what it says to CONNECT; None: nothing, for ever.
    """

    GRANT = b"HTTP/1.1 200 Connection established\r\n\r\n"

    def __init__(self, target: int, *, answer: bytes | None = GRANT, tls: ssl.SSLContext | None = None) -> None:
        self._target = target
        self._answer = answer
        self._tls = tls
        self._tasks: list[asyncio.Task[None]] = []
        self.port = 0
        self.heads: list[bytes] = []
        self.left = asyncio.Event()
        """A client has closed its connection before it had a tunnel."""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, credentials: str = "") -> str:
        """Its address, with `user:password@` in front of the host if given."""
        return f"{'https' if self._tls else 'http'}://{credentials}127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.append(task)
        try:
            await self._talk(reader, writer)
        except (OSError, EOFError):
            pass  # the client or the upstream left
        except asyncio.CancelledError:
            pass  # the test is over; before Python 3.12 the stream protocol stumbles over a cancelled task
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.heads.append(head)
        tunnel = head.startswith(b"CONNECT ")
        if tunnel:
            if self._answer is not None:
                writer.write(self._answer)
                await writer.drain()
            if self._answer != self.GRANT:
                await reader.read()
                self.left.set()
                return
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._target)
        try:
            if not tunnel:
                inner_writer.write(head)
            await asyncio.gather(self._pump(reader, inner_writer), self._pump(inner_reader, writer))
        finally:
            inner_writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.transport.abort()
