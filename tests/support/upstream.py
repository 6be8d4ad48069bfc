"""Upstreams that follow a script: `Transport` and `SocketTransport` without a network.

```python
transport = ScriptedTransport(Reply.error(500), Reply.json(completion()))
app = Relay(transport=transport, route=...)
...
assert transport.open == 0
```
"""

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from asgi_gateway.errors import UpstreamError
from asgi_gateway.relay.transport import UpstreamRequest

__all__ = [
    "DONE",
    "HANG",
    "Reply",
    "ScriptedResponse",
    "ScriptedSocket",
    "ScriptedSockets",
    "ScriptedTransport",
    "chunk",
    "completion",
    "stream",
    "usage_chunk",
]


class _Hang:
    def __repr__(self) -> str:
        return "HANG"


HANG: Final = _Hang()
"""Nothing more comes, until somebody cancels."""

DONE = b"data: [DONE]\n\n"

Step = bytes | BaseException | asyncio.Event | _Hang
"""Bytes that come, an error, an event to wait for, or silence."""


class Reply:
    """What an upstream answers: `before` happens before the head comes, `steps` are its body."""

    def __init__(
        self,
        steps: Iterable[Step] = (),
        *,
        status: int = 200,
        headers: Sequence[tuple[bytes, bytes]] = ((b"content-type", b"application/json"),),
        before: Sequence[Step] = (),
    ) -> None:
        self.steps = list(steps)
        self.status = status
        self.headers = list(headers)
        self.before = list(before)

    @classmethod
    def json(cls, value: object, status: int = 200, **headers: str) -> "Reply":
        """A JSON answer with its length; further headers by name, `_` for `-`."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        pairs = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        pairs += [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
        return cls([body] if body else [], status=status, headers=pairs)

    @classmethod
    def error(cls, status: int, message: str = "upstream says no", **headers: str) -> "Reply":
        """An error in OpenAI's shape."""
        return cls.json({"error": {"message": message, "type": "server_error", "code": None}}, status, **headers)

    @classmethod
    def stream(cls, *steps: Step, before: Sequence[Step] = ()) -> "Reply":
        """An event stream."""
        return cls(steps, headers=[(b"content-type", b"text/event-stream; charset=utf-8")], before=before)


class ScriptedResponse:
    """An `UpstreamResponse` that remembers how it was used."""

    def __init__(self, reply: Reply) -> None:
        self.status = reply.status
        self.headers = list(reply.headers)
        self.closed = 0
        self.reads = 0
        self.reading = False
        self.ended = False
        self.said: list[bytes] = []
        """What was read of it."""
        self._steps = list(reply.steps)

    async def read(self) -> bytes:
        """The next step."""
        assert not self.closed, "read after close"
        assert not self.reading, "two tasks read one answer"
        self.reads += 1
        self.reading = True
        try:
            while self._steps:
                piece = await _take(self._steps.pop(0))
                if piece:
                    self.said.append(piece)
                    return piece
            self.ended = True
            return b""
        finally:
            self.reading = False

    def close(self) -> None:
        """Be done with it."""
        self.closed += 1


class ScriptedTransport:
    """A `Transport` that gives one reply after the other; `answer` makes one for each request beyond them."""

    def __init__(self, *replies: Reply, answer: Callable[[UpstreamRequest], Reply] | None = None) -> None:
        self.requests: list[UpstreamRequest] = []
        self.responses: list[ScriptedResponse] = []
        self.cancelled = 0
        """How many requests were cancelled before their head came."""
        self.closed = 0
        self._replies = list(replies)
        self._answer = answer

    async def send(self, request: UpstreamRequest) -> ScriptedResponse:
        """Give the next reply."""
        self.requests.append(request)
        if self._replies:
            reply = self._replies.pop(0)
        else:
            assert self._answer is not None, "the script has no further reply"
            reply = self._answer(request)
        try:
            for step in reply.before:
                await _take(step)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        response = ScriptedResponse(reply)
        self.responses.append(response)
        return response

    async def close(self) -> None:
        """Drop idle connections."""
        self.closed += 1

    @property
    def open(self) -> int:
        """How many answers nobody has closed."""
        return sum(not response.closed for response in self.responses)

    @property
    def bodies(self) -> list[Any]:
        """The JSON of every request."""
        return [json.loads(request.body) for request in self.requests]


class ScriptedSocket:
    """An `UpstreamSocket`: `steps` are what it says, texts and bytes and events to wait for; then it closes.

    Without a `close_code` it stays open after its last step.
    """

    def __init__(
        self,
        *steps: str | bytes | asyncio.Event | BaseException,
        subprotocol: str | None = None,
        close_code: int | None = 1000,
        close_reason: str = "",
    ) -> None:
        self.subprotocol = subprotocol
        self.heard: list[str | bytes] = []
        self.closes: list[tuple[int, str]] = []
        self._steps = list(steps)
        self._code = close_code
        self._reason = close_reason
        self._spoken = asyncio.Event()

    async def receive(self) -> str | bytes | None:
        """The next message."""
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, BaseException):
                raise step
            if not isinstance(step, asyncio.Event):
                return step
            await step.wait()
        if self._code is None:
            await _take(HANG)
        return None

    async def send(self, message: str | bytes) -> None:
        """Hear the caller."""
        self.heard.append(message)
        self._spoken.set()

    async def hears(self) -> None:
        """Wait until something was heard."""
        await asyncio.wait_for(self._spoken.wait(), 5)
        self._spoken.clear()

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Remember how it was closed."""
        await asyncio.sleep(0)
        self.closes.append((code, reason))

    @property
    def close_code(self) -> int:
        return self._code if self._code is not None else 1006

    @property
    def close_reason(self) -> str:
        return self._reason


class ScriptedSockets:
    """A `SocketTransport` that gives one socket after the other; an error refuses, `HANG` never answers."""

    def __init__(self, *script: ScriptedSocket | UpstreamError | _Hang) -> None:
        self.requests: list[UpstreamRequest] = []
        self.offered: list[list[str]] = []
        self.cancelled = 0
        self._script = list(script)

    async def connect(self, request: UpstreamRequest, subprotocols: list[str]) -> ScriptedSocket:
        """Give the next socket."""
        self.requests.append(request)
        self.offered.append(subprotocols)
        step = self._script.pop(0)
        if isinstance(step, ScriptedSocket):
            return step
        try:
            await _take(step)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        raise AssertionError("unreachable")


async def _take(step: Step) -> bytes:
    if isinstance(step, BaseException):
        raise step
    if isinstance(step, asyncio.Event):
        await step.wait()
        return b""
    if isinstance(step, _Hang):
        await asyncio.get_running_loop().create_future()
        raise AssertionError("unreachable")
    return step


def completion(text: str = "Hello", *, usage: tuple[int, int] | None = (10, 5), model: str = "m-1") -> dict[str, Any]:
    """A chat completion; `usage` are prompt and completion tokens."""
    answer: dict[str, Any] = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
    }
    if usage is not None:
        answer["usage"] = _usage(*usage)
    return answer


def chunk(text: str | None = None, *, finish: str | None = None, role: bool = False) -> bytes:
    """One event of a chat stream."""
    delta: dict[str, Any] = {"role": "assistant", "content": ""} if role else {}
    if text is not None:
        delta["content"] = text
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return _event({"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m-1", "choices": [choice]})


def usage_chunk(prompt: int = 10, completion: int = 5) -> bytes:
    """The event that carries the usage and nothing else."""
    usage = _usage(prompt, completion)
    return _event(
        {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m-1", "choices": [], "usage": usage}
    )


def stream(*texts: str, usage: tuple[int, int] | None = None) -> list[bytes]:
    """The events of a whole chat stream."""
    events = [chunk(role=True), *(chunk(text) for text in texts), chunk(finish="stop")]
    if usage is not None:
        events.append(usage_chunk(*usage))
    return [*events, DONE]


def _event(value: object) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def _usage(prompt: int, completed: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completed, "total_tokens": prompt + completed}
