"""An upstream in a thread of its own that does what a script says, chosen by the model that is asked for.

It writes down each request, the moment its answer was whole, and the moment the gateway closed the socket.

```python
with ScriptedServer({"quick": answer(), "silent": stall("headers")}) as upstream:
    ...
    assert upstream.visits[0].closed is not None
```

Scripts are made by `answer`, `stream`, `stall`, `refuse`, `reset` and `flood`; `gated` and `recorded` wrap one.
 All times are `time.monotonic()`, which test and upstream share.
"""

import asyncio
import json
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from fcntl import ioctl
from pathlib import Path
from termios import TIOCOUTQ
from typing import Any, Literal, Self

from support.waiting import eventually

__all__ = [
    "CONTENT",
    "Gate",
    "Script",
    "ScriptedServer",
    "UpstreamEnd",
    "Visit",
    "answer",
    "event",
    "flood",
    "gated",
    "recorded",
    "refuse",
    "reset",
    "stall",
    "stream",
]

CONTENT = "four"
"""The text of one event: four bytes, which count as one token where the upstream reports no usage."""

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


@dataclass(slots=True)
class Visit:
    """One request as the upstream saw it. `id` is the body's `user`; times are None until it happened."""

    id: str
    model: str
    body: Mapping[str, Any]
    raw: bytes
    began: float
    port: int
    """The gateway's end of the connection."""
    sent: int = 0
    """Bytes of the answer that were written to the socket."""
    spoke: bool = False
    """The part of the script that sends something is done: what follows, if anything, is silence."""
    over: bool = False
    """The script has come to its end, however it went."""
    ended: float | None = None
    """When the whole answer was written."""
    closed: float | None = None
    """When the gateway closed the connection, or the upstream noticed."""
    target: str = ""
    """Path and query of the request."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """The request's headers, names in lower case."""


class UpstreamEnd:
    """What a script works with: the request, and the upstream's end of its connection."""

    def __init__(self, connection: "_Connection", visit: Visit) -> None:
        self._connection = connection
        self.visit = visit

    @property
    def gone(self) -> bool:
        """The gateway has closed the connection."""
        return self._connection.gone.is_set()

    async def send(self, data: bytes) -> None:
        """Write, and wait until the kernel took nearly all of it."""
        connection = self._connection
        if self.gone:
            raise ConnectionResetError("the gateway has closed the connection")
        connection.transport.write(data)
        connection.written += len(data)
        await connection.writable.wait()
        self.visit.sent = connection.written - connection.transport.get_write_buffer_size()

    async def chunk(self, data: bytes) -> None:
        """Write one chunk of a chunked body; an empty one ends it."""
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def plain(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Write a whole answer."""
        lines = [f"HTTP/1.1 {status} Scripted", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def silence(self) -> None:
        """Say nothing more, until the gateway closes the connection."""
        self.visit.spoke = True
        await self._connection.gone.wait()

    def reset(self) -> None:
        """Close with a reset, as a process that crashed does."""
        self._connection.reset()

    def close(self) -> None:
        """Close properly behind what was written, whatever was still promised."""
        self._connection.transport.close()

    async def taken(self) -> None:
        """Return once the gateway's kernel has everything that was written: a reset then takes none of it back."""
        transport = self._connection.transport
        end: socket.socket = transport.get_extra_info("socket")

        def all_gone() -> bool:
            on_the_way = int.from_bytes(ioctl(end.fileno(), TIOCOUTQ, bytes(4)), sys.byteorder)
            return transport.get_write_buffer_size() + on_the_way == 0

        await eventually(all_gone, 10, "acknowledgement")


Script = Callable[[UpstreamEnd], Awaitable[None]]


class Gate:
    """Holds scripts back until a test opens it, from whatever thread."""

    def __init__(self) -> None:
        self._opened = threading.Event()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._lock = threading.Lock()

    def open(self) -> None:
        """Let all pass, now and later."""
        with self._lock:
            self._opened.set()
            waiting, self._waiting = self._waiting, []
        for loop, passed in waiting:
            loop.call_soon_threadsafe(passed.set)

    async def passed(self) -> None:
        """Wait until it is open."""
        passed = asyncio.Event()
        with self._lock:
            if self._opened.is_set():
                return
            self._waiting.append((asyncio.get_running_loop(), passed))
        await passed.wait()


def _usage(tokens: tuple[int, int]) -> dict[str, int]:
    """The usage object of so many tokens in and out."""
    return {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}


def event(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> bytes:
    """One chunk of a chat stream as a server-sent event."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice], **more}).encode() + b"\n\n"


def answer(*, tokens: tuple[int, int] | None = (10, 5), text: str = "hello", delay: float = 0.0) -> Script:
    """A plain chat answer after a delay; `tokens` None: without usage."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    payload: dict[str, Any] = {"object": "chat.completion", "choices": [choice]}
    if tokens is not None:
        payload["usage"] = _usage(tokens)
    body = json.dumps(payload).encode()

    async def script(end: UpstreamEnd) -> None:
        if delay:
            await asyncio.sleep(delay)
        await end.plain(200, {"content-type": "application/json"}, body)

    return script


def stream(
    events: int = 5,
    *,
    pace: float = 0.0,
    tokens: tuple[int, int] | None = None,
    end_with: Literal["done", "silence", "reset", "error", "half", "nothing"] = "done",
    between: Gate | None = None,
) -> Script:
    """A chat stream of so many events with `CONTENT`, `pace` seconds apart, and then as `end_with` says.

    With `tokens` the usage comes last, when it was asked for. After `between`, a gate, the second half comes.
    """

    async def script(end: UpstreamEnd) -> None:
        await end.send(STREAM_HEAD)
        for number in range(events):
            if between is not None and number == events // 2:
                end.visit.spoke = True
                await between.passed()
            await end.chunk(event({"content": CONTENT}))
            await asyncio.sleep(pace)
        match end_with:
            case "silence":
                await end.silence()
            case "reset":
                end.reset()
            case "error":
                await end.chunk(b'data: {"error": {"message": "overloaded", "type": "overloaded_error"}}\n\n')
                await end.chunk(b"")
            case "half":
                await end.chunk(b'data: {"choices": [{"index": 0, "del')
                await end.chunk(b"")
            case "nothing":
                await end.chunk(b"")
            case "done":
                await _finish(end, tokens)

    return script


async def _finish(end: UpstreamEnd, tokens: tuple[int, int] | None) -> None:
    last = event({}, "stop")
    if tokens is not None and (end.visit.body.get("stream_options") or {}).get("include_usage"):
        last += b"data: " + json.dumps({"choices": [], "usage": _usage(tokens)}).encode() + b"\n\n"
    await end.chunk(last + b"data: [DONE]\n\n")
    await end.chunk(b"")


def stall(where: Literal["headers", "body", "role", "text"], *, text: str = "") -> Script:
    """Silence before the headers; behind them; behind an event that names only the role; or inside a plain answer.

    The plain answer is cut in the middle of `text`.
    """

    async def script(end: UpstreamEnd) -> None:
        if where == "body":
            plain = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n"
            await end.send(STREAM_HEAD if end.visit.body.get("stream") else plain)
        elif where == "role":
            await end.send(STREAM_HEAD)
            await end.chunk(event({"role": "assistant", "content": ""}))
        elif where == "text":
            begun = '{"object": "chat.completion", "choices": [{"index": 0, "message": {"content": "' + text
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(begun) + 1000}\r\n\r\n"
            await end.send(head.encode() + begun.encode())
        await end.silence()

    return script


def refuse(status: int, *, headers: Mapping[str, str] | None = None, body: bytes | None = None) -> Script:
    """An error: OpenAI's JSON, or whatever `body` is."""
    error = {"error": {"message": "scripted failure", "type": "server_error", "param": None, "code": None}}
    content = json.dumps(error).encode() if body is None else body
    kind = {"content-type": "application/json" if body is None else "text/html"}

    async def script(end: UpstreamEnd) -> None:
        await end.plain(status, {**kind, **(headers or {})}, content)

    return script


def reset() -> Script:
    """A connection that breaks before any answer."""

    async def script(end: UpstreamEnd) -> None:
        end.reset()

    return script


def flood(block: bytes, times: int) -> Script:
    """A stream of `times` blocks of whole events, as fast as they are taken."""

    async def script(end: UpstreamEnd) -> None:
        await end.send(STREAM_HEAD)
        for _ in range(times):
            await end.chunk(block)
        await _finish(end, None)

    return script


def gated(gate: Gate, script: Script) -> Script:
    """The script, once the gate is open."""

    async def held(end: UpstreamEnd) -> None:
        await gate.passed()
        await script(end)

    return held


def recorded(path: Path, script: Script, *, after: float = 0.0) -> Script:
    """The script, `after` so many seconds, once the request's id was appended to a file and is safe on disk.

    A request whose caller has gone by then is not served, and its id is not written.
    """

    async def served(end: UpstreamEnd) -> None:
        await asyncio.sleep(after)
        if end.gone:
            raise ConnectionResetError("the gateway has closed the connection")
        line = f"{end.visit.id}\n".encode()
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, line)
            os.fsync(file)
        finally:
            os.close(file)
        await script(end)

    return served


class _Connection(asyncio.Protocol):
    """One connection: reads requests one after the other, and runs the script of each."""

    transport: asyncio.Transport

    def __init__(self, server: "ScriptedServer") -> None:
        self._server = server
        self._received = bytearray()
        self._task: asyncio.Task[None] | None = None
        self.visit: Visit | None = None
        self.written = 0
        self.gone = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._server.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", "0"))
        if len(rest) < length:
            return
        raw, self._received = bytes(rest[:length]), rest[length:]
        body = json.loads(raw)
        port = self.transport.get_extra_info("peername")[1]
        self.visit = Visit(str(body.get("user", "")), body.get("model", ""), body, raw, time.monotonic(), port)
        self.visit.target, self.visit.headers = first.split(" ")[1], headers
        self.written = 0
        self._server.visits.append(self.visit)
        self._task = asyncio.get_running_loop().create_task(self._serve(self.visit))

    async def _serve(self, visit: Visit) -> None:
        try:
            await self._server.scripts[visit.model](UpstreamEnd(self, visit))
        except ConnectionResetError:
            return  # the gateway left, and the script had more to say
        finally:
            visit.over = True
        if not self.gone.is_set():
            visit.spoke = True
            visit.ended = time.monotonic()

    def eof_received(self) -> None:
        self._close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._close()
        self._server.connections.discard(self)
        self.writable.set()

    def _close(self) -> None:
        if not self.gone.is_set():
            self.gone.set()
            if self.visit is not None and self.visit.closed is None:
                self.visit.closed = time.monotonic()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def reset(self) -> None:
        end: socket.socket = self.transport.get_extra_info("socket")
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


@dataclass(slots=True)
class ScriptedServer:
    """Listens on a free port of 127.0.0.1 and follows `scripts`, by model. They may be changed at any time."""

    scripts: dict[str, Script]
    port: int = 0
    visits: list[Visit] = field(default_factory=list)
    """All requests, in the order they came whole."""
    connections: set[_Connection] = field(default_factory=set)
    _thread: threading.Thread | None = None
    _loop: asyncio.AbstractEventLoop | None = None
    _stop: asyncio.Event | None = None

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), name="upstream", daemon=True)
        self._thread.start()
        assert ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._loop is not None
        assert self._stop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _run(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        await self._stop.wait()
        server.close()
        for connection in list(self.connections):
            connection.transport.abort()

    def visit(self, id: str) -> Visit | None:
        """The last request with this id."""
        return next((visit for visit in reversed(self.visits) if visit.id == id), None)

    @property
    def in_flight(self) -> int:
        """Requests that came and whose answer is not whole, over connections that are open."""
        return sum(visit.ended is None and visit.closed is None for visit in list(self.visits))
