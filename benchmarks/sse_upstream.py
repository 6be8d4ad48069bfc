"""An upstream that streams: chat completion events at an even pace, each with the time it was sent.

A program of its own: `python3 -m benchmarks.sse_upstream --port 9101 --rate 10`.
`max_tokens` of a request says how many events its stream has.
"""

import argparse
import asyncio
import gc
import json
from time import monotonic_ns
from typing import cast

import httptools
import uvloop

from benchmarks.payloads import ANSWER, MODEL, compact

__all__ = ["SseUpstream"]

HEAD = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n"
    b"x-accel-buffering: no\r\ntransfer-encoding: chunked\r\n\r\n"  # nginx would else collect the stream
)
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(ANSWER), ANSWER)
USAGE = {"prompt_tokens": 27, "completion_tokens": 40, "total_tokens": 67}


def event(choices: list[object], **more: object) -> bytes:
    """One event of a chat completion stream."""
    fields = {"id": "chatcmpl-abc123", "object": "chat.completion.chunk", "created": 1700000000, "model": MODEL}
    return b"data: %b\n\n" % compact(fields | {"choices": choices} | more)


def piece(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


class SseUpstream(asyncio.Protocol):
    """One connection: reads requests, answers each with a stream (or whole, where no stream was asked for)."""

    def __init__(self, rate: float) -> None:
        self.interval = 1 / rate
        self.loop = asyncio.get_running_loop()
        self.timer: asyncio.TimerHandle | None = None
        before, after = event(
            [{"index": 0, "delta": {"content": "sent at @ ns"}, "logprobs": None, "finish_reason": None}]
        ).split(b"@")
        self.before, self.after = before, after
        self.body = b""
        self.left = 0
        self.due = 0.0
        self.with_usage = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to read."""
        self.transport = cast("asyncio.Transport", transport)
        self.parser = httptools.HttpRequestParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the stream."""
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Feed the parser, which calls the methods below."""
        self.parser.feed_data(data)

    def on_message_begin(self) -> None:
        """A request begins."""
        self.body = b""

    def on_body(self, body: bytes) -> None:
        """A part of a request's body."""
        self.body += body

    def on_message_complete(self) -> None:
        """A request is whole: begin to answer."""
        asked = json.loads(self.body) if self.body else {}
        if not asked.get("stream"):
            self.transport.write(WHOLE)
            return
        self.left = int(asked.get("max_tokens") or asked.get("max_completion_tokens") or 100)
        self.with_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        self.due = self.loop.time()
        self.transport.write(HEAD)
        self.tick()

    def tick(self) -> None:
        """Send the next event, or the end."""
        if self.left:
            self.left -= 1
            self.transport.write(piece(b"%b%d%b" % (self.before, monotonic_ns(), self.after)))
            self.due += self.interval
            self.timer = self.loop.call_at(self.due, self.tick)
            return
        self.timer = None
        ending = event([{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}])
        if self.with_usage:
            ending += event([], usage=USAGE)
        self.transport.write(piece(ending + b"data: [DONE]\n\n") + b"0\r\n\r\n")


async def serve(port: int, rate: float) -> None:
    """Answer on 127.0.0.1 until the process is ended."""
    server = await asyncio.get_running_loop().create_server(lambda: SseUpstream(rate), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=10.0, help="events per second in each stream")
    options = parser.parse_args()
    gc.freeze()
    uvloop.run(serve(options.port, options.rate))


if __name__ == "__main__":
    main()
