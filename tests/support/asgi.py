"""Drives an ASGI app message by message, without a server, and holds it to the protocol.

https://asgi.readthedocs.io/en/latest/specs/www.html

```python
async with Connection(app, http_scope(), b"{}") as caller:
    assert (await caller.next())["status"] == 200
    caller.leave()
```
"""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Answer", "Connection", "SlowEnd", "Violation", "ask", "http_scope", "lifespan", "settled", "socket_scope"]

DEADLINE = 5.0
"""Seconds that a step may take before a test fails."""

Headers = dict[str, str] | Sequence[tuple[bytes, bytes]]


class Violation(AssertionError):
    """The app broke the ASGI protocol."""


def http_scope(
    method: str = "POST",
    path: str = "/v1/chat/completions",
    *,
    key: str | None = None,
    headers: Headers = (),
    query: bytes = b"",
    client: tuple[str, int] | None = ("192.0.2.1", 40000),
    root_path: str = "",
    **more: object,
) -> dict[str, Any]:
    """The scope of one HTTP request; `key` is sent as a bearer token."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": root_path,
        "headers": _headers(key, headers),
        "client": client,
        "server": ("127.0.0.1", 3000),
        **more,
    }


def socket_scope(
    path: str = "/v1/realtime",
    *,
    key: str | None = None,
    headers: Headers = (),
    query: bytes = b"model=live",
    subprotocols: Sequence[str] = (),
    denial: bool = True,
    client: tuple[str, int] | None = ("192.0.2.1", 40000),
) -> dict[str, Any]:
    """The scope of one WebSocket; `denial`: the server can answer a handshake with an HTTP response."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "root_path": "",
        "headers": _headers(key, headers),
        "client": client,
        "server": ("127.0.0.1", 3000),
        "subprotocols": list(subprotocols),
        "extensions": {"websocket.http.response": {}} if denial else {},
    }


def _headers(key: str | None, headers: Headers) -> list[tuple[bytes, bytes]]:
    pairs = [(b"host", b"gateway.test")]
    if key is not None:
        pairs.append((b"authorization", f"Bearer {key}".encode()))
    given = headers.items() if isinstance(headers, dict) else headers
    pairs += [(_octets(name), _octets(value)) for name, value in given]
    return pairs


def _octets(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("latin-1")


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        """The value of a header, None when it is missing; it must not stand there twice."""
        found = [value for key, value in self.headers if key == name.encode()]
        assert len(found) < 2, f"{name} stands in the answer {len(found)} times"
        return found[0].decode("latin-1") if found else None


class Connection:
    """One request to an app, as a server and its caller see it.

    `body` is given in one message, or in one for each piece of a sequence; None: by `feed` alone.
    `ends` says that `receive` tells of a disconnect once the answer is whole, as uvicorn does.
    """

    def __init__(
        self, app: ASGIApp, scope: Scope, body: bytes | Sequence[bytes] | None = b"", *, ends: bool = True
    ) -> None:
        self.app = app
        self.scope = scope
        self.messages: list[Message] = []
        self.taken: list[Message] = []
        """What the app received."""
        self.waiting = 0
        """How many wait in `receive` now."""
        self.gate = asyncio.Event()
        """Cleared: `send` blocks, as for a slow reader."""
        self.gate.set()
        self.send_error: Exception | None = None
        """What every `send` raises from now on."""
        self.task: asyncio.Task[None] | None = None
        self._ends = ends
        self._left: Message | None = None
        self._incoming: asyncio.Queue[Message | Exception] = asyncio.Queue()
        self._changed = asyncio.Event()
        self._read = 0
        self._state = "new"
        self._expected: int | None = None
        self._bytes = 0
        if scope["type"] == "websocket":
            self._incoming.put_nowait({"type": "websocket.connect"})
        elif body is not None:
            pieces = [body] if isinstance(body, bytes) else list(body)
            for number, piece in enumerate(pieces, 1):
                self.feed(piece, more=number < len(pieces))

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.task is not None
        if not self.task.done():
            self.task.cancel()
        await asyncio.wait([self.task], timeout=DEADLINE)
        if not self.task.cancelled():
            self.task.exception()  # whoever wants it has asked for it before

    def start(self) -> Self:
        """Call the app in a task of its own."""
        self.task = asyncio.create_task(self._run())
        return self

    @property
    def done(self) -> bool:
        """Whether the app returned or raised."""
        return self.task is not None and self.task.done()

    @property
    def started(self) -> bool:
        """Whether an answer began."""
        return bool(self.messages)

    # What the caller does.

    def feed(self, data: bytes, *, more: bool = False) -> None:
        """Give the app a piece of the body."""
        self._incoming.put_nowait({"type": "http.request", "body": data, "more_body": more})

    def say(self, message: str | bytes) -> None:
        """Send a WebSocket message."""
        kind = "text" if isinstance(message, str) else "bytes"
        self._incoming.put_nowait({"type": "websocket.receive", kind: message})

    def leave(self, code: int = 1006, reason: str = "") -> None:
        """Disconnect. Every later `receive` tells of it again."""
        if self.scope["type"] == "http":
            self._left = {"type": "http.disconnect"}
        else:
            self._left = {"type": "websocket.disconnect", "code": code, "reason": reason}
        self._incoming.put_nowait(self._left)

    def break_receive(self, error: Exception) -> None:
        """Let `receive` raise."""
        self._incoming.put_nowait(error)

    def cancel(self) -> None:
        """Cancel the app's task from outside."""
        assert self.task is not None
        self.task.cancel()

    # What the caller sees.

    async def next(self) -> Message:
        """The next message that the app sent. Raises what the app raised, if it ends without one."""
        async with asyncio.timeout(DEADLINE):
            while self._read == len(self.messages):
                if self.done:
                    assert self.task is not None
                    self.task.result()
                    raise AssertionError("the app returned without a further message")
                self._changed.clear()
                await self._changed.wait()
        self._read += 1
        return self.messages[self._read - 1]

    async def ended(self) -> None:
        """Wait until the app returned; raise what it raised."""
        await self.over()
        assert self.task is not None
        self.task.result()

    async def over(self) -> None:
        """Wait until the app returned or raised, whatever it raised."""
        assert self.task is not None
        done, _ = await asyncio.wait([self.task], timeout=DEADLINE)
        assert done, "the app did not end in time"

    async def answer(self) -> Answer:
        """The whole answer. Raises what the app raised."""
        await self.ended()
        return self.seen()

    def seen(self) -> Answer:
        """The answer as far as it came."""
        start = self.messages[0]
        assert start["type"] in ("http.response.start", "websocket.http.response.start"), start
        body = b"".join(message.get("body", b"") for message in self.messages[1:])
        return Answer(start["status"], list(start.get("headers", ())), body)

    @property
    def complete(self) -> bool:
        """Whether the app said that the answer is whole."""
        return self._state == "complete"

    # The app's side.

    async def receive(self) -> Message:
        """What the app calls."""
        if self.waiting:
            raise Violation("two tasks wait in receive")
        self.waiting += 1
        try:
            if self._left is not None and self._incoming.empty():
                return self._left
            message = await self._incoming.get()
        finally:
            self.waiting -= 1
        if isinstance(message, Exception):
            raise message
        self.taken.append(message)
        return message

    async def send(self, message: Message) -> None:
        """What the app calls."""
        self._check(message)
        await self.gate.wait()
        if self.send_error is not None:
            raise self.send_error
        self.messages.append(message)
        self._changed.set()
        if self.complete and self._ends and self._left is None:
            self.leave()

    async def _run(self) -> None:
        try:
            await self.app(self.scope, self.receive, self.send)
        finally:
            self._changed.set()

    def _check(self, message: Message) -> None:
        kind = message["type"]
        if self._state == "complete":
            raise Violation(f"{kind} after the end")
        if kind in ("http.response.start", "websocket.http.response.start"):
            self._check_start(message)
        elif kind in ("http.response.body", "websocket.http.response.body"):
            self._check_body(message)
        elif kind in ("websocket.accept", "websocket.send", "websocket.close"):
            self._check_socket(kind, message)
        else:
            raise Violation(f"unknown message {kind}")

    def _check_body(self, message: Message) -> None:
        if self._state != "started":
            raise Violation("a body before its start")
        assert isinstance(message.get("body", b""), bytes)
        self._bytes += len(message.get("body", b""))
        if not message.get("more_body", False):
            self._state = "complete"
            if self._expected is not None and self._expected != self._bytes:
                raise Violation(f"content-length is {self._expected}, the body {self._bytes} bytes")

    def _check_socket(self, kind: str, message: Message) -> None:
        if kind == "websocket.accept":
            if self._state != "new":
                raise Violation("accepted twice")
            self._state = "accepted"
        elif kind == "websocket.send":
            if self._state != "accepted":
                raise Violation("a message before it was accepted")
        else:
            if self._state not in ("new", "accepted"):
                raise Violation("a close after a denial began")
            if message.get("code", 1000) in (1004, 1005, 1006, 1015):
                raise Violation(f"{message['code']} may not be sent (RFC 6455, 7.4.1)")
            assert len(message.get("reason", "").encode()) <= 123
            self._state = "complete"

    def _check_start(self, message: Message) -> None:
        if self._state != "new":
            raise Violation("an answer began twice")
        if message["type"].startswith("websocket") and not self.scope["extensions"]:
            raise Violation("this server has no denial response")
        assert isinstance(message["status"], int)
        for name, value in message.get("headers", ()):
            assert isinstance(name, bytes)
            assert isinstance(value, bytes)
            assert name == name.lower()
            if name == b"content-length":
                self._expected = int(value)
        self._state = "started"


class SlowEnd(Connection):
    """A server whose last `send` returns only when the gate is opened, although it has told of the end."""

    async def send(self, message: Message) -> None:
        await super().send(message)
        if self.complete:
            self.gate.clear()
            await self.gate.wait()


async def ask(app: ASGIApp, scope: Scope, body: bytes | Sequence[bytes] = b"") -> Answer:
    """One request and its whole answer."""
    async with Connection(app, scope, body) as caller:
        return await caller.answer()


async def settled(rounds: int = 20) -> None:
    """Let every task run as far as it can without time passing: for what must not happen."""
    for _ in range(rounds):
        await asyncio.sleep(0)


@asynccontextmanager
async def lifespan(app: ASGIApp, state: dict[str, Any] | None = None) -> AsyncIterator[list[Message]]:
    """Run an app's lifespan around a block; the list holds what the app said."""
    said: list[Message] = []
    questions: asyncio.Queue[Message] = asyncio.Queue()
    heard = asyncio.Event()

    async def send(message: Message) -> None:
        said.append(message)
        heard.set()

    scope: dict[str, Any] = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}}
    if state is not None:
        scope["state"] = state
    receive: Receive = questions.get
    sender: Send = send
    task = asyncio.ensure_future(app(scope, receive, sender))

    async def hear() -> None:
        waiting = asyncio.ensure_future(heard.wait())
        await asyncio.wait([waiting, task], timeout=DEADLINE, return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        heard.clear()

    questions.put_nowait({"type": "lifespan.startup"})
    await hear()
    try:
        yield said
    finally:
        if not task.done():
            questions.put_nowait({"type": "lifespan.shutdown"})
            await hear()
        await asyncio.wait_for(task, DEADLINE)
