"""Lets uvicorn write the head and the body of an answer in one call.

uvicorn writes the head when the answer starts and the body when it comes, which for a plain answer is the same turn of
the event loop: two system calls and two packets where one will do.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["GatheringProtocol", "GatheringTransport"]


class GatheringTransport:
    """A transport that writes once per turn of the loop what was written to it in that turn.

    Everything else is the transport's own: flow control sees each write at the end of the turn.
    """

    __slots__ = ("_loop", "_pieces", "_transport", "is_closing")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes] = []
        self.is_closing = transport.is_closing  # asked twice a request

    def write(self, data: bytes) -> None:
        """Keep it until the end of this turn."""
        if not self._pieces:
            self._loop.call_soon(self._flush)
        self._pieces.append(data)

    def close(self) -> None:
        """Write what was kept, and close."""
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        pieces, self._pieces = self._pieces, []
        if pieces and not self.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class GatheringProtocol(HttpToolsProtocol):
    """uvicorn's own protocol over a transport that gathers."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A caller has come."""
        super().connection_made(cast("asyncio.Transport", GatheringTransport(transport, self.loop)))
