r"""What a broken upstream writes, byte by byte, as scripts for a `ScriptedServer`.

```python
scripts = {"half": wire(sized(ANSWER, promised=1000), then="close"), "page": wire(head(200, "text/html") + b"...")}
```

`wire` takes bytes for a plain and for a streamed request; the functions here make such bytes.
"""

import json
from collections.abc import Mapping
from typing import Literal

from support.scripted_upstream import CONTENT, Script, UpstreamEnd, event

__all__ = [
    "ANSWER",
    "DONE",
    "EVENTS",
    "FINISH",
    "LONG_ANSWER",
    "ROLE",
    "TOKENS",
    "Then",
    "chunked",
    "error_object",
    "head",
    "refusal",
    "sized",
    "stream_of",
    "wire",
]

Then = Literal["keep", "close", "reset", "silence"]
"""What follows the bytes: the next request, the end of the connection, a reset, or nothing."""

TOKENS = (10, 5)
"""Tokens in and out that the good answers report."""

_USAGE = {"prompt_tokens": TOKENS[0], "completion_tokens": TOKENS[1], "total_tokens": sum(TOKENS)}


def _answer(text: str) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return json.dumps({"object": "chat.completion", "choices": [choice], "usage": _USAGE}).encode()


ANSWER = _answer("hello")

LONG_ANSWER = _answer("x" * 200_000)
"""So long that its half exceeds what is held back."""

ROLE = event({"role": "assistant", "content": ""})
EVENTS = 3 * event({"content": CONTENT})
FINISH = event({}, "stop")
DONE = b"data: [DONE]\n\n"


def error_object(type: str, code: str | None = None, message: str = "scripted failure", **more: object) -> bytes:
    """OpenAI's error object."""
    return json.dumps({"error": {"message": message, "type": type, "param": None, "code": code, **more}}).encode()


def head(status: int = 200, kind: str = "application/json", headers: Mapping[str, str] | None = None) -> bytes:
    """The head of an answer, up to the header that says how long it is."""
    lines = [f"HTTP/1.1 {status} Scripted", f"content-type: {kind}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n"


def sized(body: bytes, *, promised: int | None = None, start: bytes | None = None) -> bytes:
    """An answer with a `content-length`: its own, or what it promised."""
    length = len(body) if promised is None else promised
    return (head() if start is None else start) + b"content-length: %d\r\n\r\n" % length + body


def chunked(body: bytes, *, start: bytes | None = None, ended: bool = True) -> bytes:
    """An answer in one chunk, with or without the chunk that ends it."""
    start = head() if start is None else start
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    return start + b"transfer-encoding: chunked\r\n\r\n" + chunk + (b"0\r\n\r\n" if ended else b"")


def stream_of(events: bytes, *, ended: bool = True) -> bytes:
    """An event stream."""
    return chunked(events, start=head(kind="text/event-stream"), ended=ended)


def refusal(status: int, body: bytes = b"", *, kind: str = "application/json", **headers: str) -> bytes:
    """An error answer; underscores in the names of headers stand for dashes."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return sized(body, start=head(status, kind, named))


def wire(
    plain: bytes = b"",
    streamed: bytes | None = None,
    *,
    then: Then = "keep",
) -> Script:
    """Write the bytes for a plain or a streamed request (the same, if there is one only), and do what `then` says."""

    async def script(end: UpstreamEnd) -> None:
        data = streamed if streamed is not None and end.visit.body.get("stream") else plain
        if data:
            await end.send(data)
        match then:
            case "close":
                end.close()
            case "reset":
                await end.taken()
                end.reset()
            case "silence":
                await end.silence()
            case "keep":
                pass

    return script
