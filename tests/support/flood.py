"""An upstream that sends as fast as it is read, and counts how far it is ahead of who reads."""

import asyncio
import socket

from asgi_gateway.relay.transport import UpstreamResponse
from support.upstream_socket import UpstreamSocket

__all__ = ["Flood"]

BLOCK = bytes(64 * 1024)
SEND_BUFFER = 256 * 1024
"""The upstream's own kernel buffer: left alone it grows to megabytes, which are nothing that a client could help."""


class Flood:
    """A script for one answer of `total` bytes.

    `stalled` is set once the upstream could not go on for 0.2 s: nobody reads, and all buffers are full.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.sent = 0
        self.stalled = asyncio.Event()

    async def __call__(self, end: UpstreamSocket) -> None:
        await end.request()
        listening: socket.socket = end.writer.get_extra_info("socket")
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        await end.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % self.total)
        while self.sent < self.total:
            end.writer.write(BLOCK)
            try:
                async with asyncio.timeout(0.2):
                    await end.writer.drain()
            except TimeoutError:
                self.stalled.set()
                await end.writer.drain()
            self.sent += len(BLOCK)

    async def read(self, response: UpstreamResponse) -> int:
        """Wait until nothing moves, read the answer to its end, and give the most that the upstream was ahead."""
        await self.stalled.wait()
        taken, ahead = 0, self.sent
        while piece := await response.read():
            taken += len(piece)
            ahead = max(ahead, self.sent - taken)
        response.close()
        assert taken == self.total
        return ahead
