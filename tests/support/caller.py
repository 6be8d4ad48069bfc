"""A caller whose every step is a test's own: each call over a plain socket, left when and how the test says."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, Self

import httptools

__all__ = ["Call", "Caller", "get"]


class Call:
    """One request under way, and what has come of its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = httptools.HttpResponseParser(self)
        self.headers: dict[str, str] = {}
        self.status = 0
        self.body = b""
        self.whole = False
        """The answer ended as HTTP says it should."""
        self.cut = ""
        """How the connection ended, if it did before that."""

    @property
    def port(self) -> int:
        """This end of the connection."""
        port: int = self._writer.get_extra_info("sockname")[1]
        return port

    @classmethod
    async def connect(cls, port: int) -> Self:
        """Open a connection, and send nothing yet."""
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, head: str, body: bytes = b"", *, whole: bool = True) -> Self:
        """Send a request, or all but the last byte of it; `head` is its line and headers without the usual ones."""
        common = f"host: 127.0.0.1\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        self._writer.write(head.encode() + common.encode() + (body if whole else body[:-1]))
        await self._writer.drain()
        return self

    async def until(self, enough: Callable[[], bool]) -> None:
        """Read until `enough` or to the end, whichever comes first."""
        while not enough() and not self.whole:
            try:
                data = await self._reader.read(1 << 16)
            except ConnectionError as broken:
                self.cut = repr(broken)
                break
            if not data:
                self.cut = "closed"
                break
            self._parser.feed_data(data)

    async def begun(self) -> Self:
        """Read until the status is known."""
        await self.until(lambda: self.status > 0)
        return self

    async def ended(self) -> Self:
        """Read to the end, whether it is a proper one or not, and close."""
        await self.until(lambda: False)
        self.leave()
        return self

    def leave(self) -> None:
        """Close the connection, whatever is still to come."""
        self._writer.close()

    def json(self) -> Any:
        """The body decoded."""
        return json.loads(self.body)

    @property
    def error(self) -> Mapping[str, Any]:
        """The error object of an answer."""
        error: Mapping[str, Any] = self.json()["error"]
        return error

    @property
    def events(self) -> list[str]:
        """The payloads of the events that have come."""
        return [event.removeprefix("data: ") for event in self.body.decode().split("\n\n") if event]

    # What the parser calls.

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode().lower()] = value.decode()

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole = True


class Caller:
    """Calls a gateway's chat completions with one key. `body` is what every request holds."""

    def __init__(self, port: int, key: str, **body: Any) -> None:
        self.port = port
        self.key = key
        self.body = {"messages": [{"role": "user", "content": "hi"}], **body}

    def request(self, id: str = "", **body: Any) -> bytes:
        """The body of a request with this id."""
        return json.dumps({**self.body, "user": id, **body}).encode()

    async def begin(self, id: str = "", **body: Any) -> Call:
        """Connect and send a request."""
        return await self.send(await Call.connect(self.port), id, **body)

    async def send(self, call: Call, id: str = "", *, whole: bool = True, **body: Any) -> Call:
        """Send a request; its id goes with it as `x-request-id`, and to the upstream as `user`."""
        head = f"POST /v1/chat/completions HTTP/1.1\r\nauthorization: Bearer {self.key}\r\n"
        head += "content-type: application/json\r\n"
        if id:
            head += f"x-request-id: {id}\r\n"
        return await call.send(head, self.request(id, **body), whole=whole)

    async def call(self, id: str = "", **body: Any) -> Call:
        """Send a request and read the whole answer."""
        return await (await self.begin(id, **body)).ended()


async def get(port: int, path: str, key: str = "") -> tuple[int, bytes]:
    """Status and body of a GET."""
    authorization = f"authorization: Bearer {key}\r\n" if key else ""
    call = await Call.connect(port)
    await call.send(f"GET {path} HTTP/1.1\r\n{authorization}")
    await call.ended()
    return call.status, call.body
