"""Opens many streams at once and notes when each event comes.

A program of its own, so that it has a core and an interpreter to itself:
`python3 -m benchmarks.stream_load --port 9000 --streams 500 --events 100` prints one line of JSON.
"""

import argparse
import asyncio
import gc
import json
import re
from array import array
from itertools import pairwise
from time import monotonic_ns
from typing import cast

import uvloop

from benchmarks.figures import percentile
from benchmarks.payloads import CALLER_KEY, PATH, STAMP, stream_request

__all__ = ["StreamCaller", "load"]

LONGEST_STAMP = 40
"""Bytes kept from one read to the next, in case an event's stamp was cut in two."""


class StreamCaller(asyncio.Protocol):
    """One stream: sends the request, notes the arrivals until `[DONE]` or the end of the connection."""

    pattern = re.compile(STAMP)

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.done = asyncio.get_running_loop().create_future()
        self.sent = 0
        self.status = ""
        self.rest = b""
        self.whole = False
        self.arrivals = array("q")
        self.delays = array("q")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the request."""
        self.transport = cast("asyncio.Transport", transport)
        self.sent = monotonic_ns()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Note each event in it."""
        now = monotonic_ns()
        data = self.rest + data
        if not self.status:
            self.status = data.partition(b"\r\n")[0].decode("latin-1").partition(" ")[2]
        end = 0
        for found in self.pattern.finditer(data):
            self.arrivals.append(now)
            self.delays.append(now - int(found[1]))
            end = found.end()
        self.rest = data[max(end, len(data) - LONGEST_STAMP) :]
        if b"[DONE]" in data:
            self.whole = True
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream is over."""
        if not self.done.done():
            self.done.set_result(None)


def request_bytes(port: int, events: int, headers: dict[str, str]) -> bytes:
    """The whole request as it goes over the wire."""
    body = stream_request(events)
    lines = {
        "host": f"127.0.0.1:{port}",
        "content-type": "application/json",
        "authorization": f"Bearer {CALLER_KEY}",
        "content-length": str(len(body)),
    } | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {PATH} HTTP/1.1\r\n{head}\r\n".encode() + body


def summary(callers: list[StreamCaller], events: int) -> dict[str, object]:
    """What came of it, times in milliseconds. Streams without any answer yet are not wrong, but lack their events."""
    first = [caller.arrivals[0] - caller.sent for caller in callers if caller.arrivals]
    gaps = [later - sooner for caller in callers for sooner, later in pairwise(caller.arrivals)]
    delays = [delay for caller in callers for delay in caller.delays]
    wrong = sorted({caller.status for caller in callers if caller.status and not caller.status.startswith("200")})
    said: dict[str, object] = {
        "streams": len(callers),
        "whole": sum(caller.whole for caller in callers),
        "wrong": wrong,
        "delivered": len(delays) / (len(callers) * events),
    }
    for name, values in (("ttft", first), ("gap", gaps), ("delay", delays)):
        for share in (0.5, 0.99):
            said[f"{name}_p{share * 100:.0f}_ms"] = percentile(values, share) / 1e6 if values else None
    return said


async def load(
    port: int, streams: int, events: int, ramp: float, deadline: float, headers: dict[str, str]
) -> dict[str, object]:
    """Open the streams evenly over `ramp` seconds, wait until all ended or `deadline` seconds have passed."""
    loop = asyncio.get_running_loop()
    request = request_bytes(port, events, headers)
    begin = loop.time()
    callers: list[StreamCaller] = []
    for number in range(streams):
        await asyncio.sleep(begin + ramp * number / streams - loop.time())
        _, caller = await loop.create_connection(lambda: StreamCaller(request), "127.0.0.1", port)
        callers.append(caller)
    async with asyncio.timeout_at(begin + deadline) as limit:
        try:
            await asyncio.gather(*(caller.done for caller in callers))
        except asyncio.CancelledError:
            if not limit.expired():
                raise
    for caller in callers:
        caller.transport.abort()
    return summary(callers, events)


def main() -> None:
    """Read the command line, load, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--events", type=int, default=100)
    parser.add_argument("--ramp", type=float, default=2.5, help="seconds over which the streams are opened")
    parser.add_argument("--deadline", type=float, default=60.0, help="seconds after which they are given up")
    parser.add_argument("--headers", type=json.loads, default={}, help="more request headers, as JSON")
    options = parser.parse_args()
    gc.disable()  # a collection here would look like a gap there
    said = uvloop.run(
        load(options.port, options.streams, options.events, options.ramp, options.deadline, options.headers)
    )
    print(json.dumps(said))


if __name__ == "__main__":
    main()
