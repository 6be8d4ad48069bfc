"""A caller who reads slowly slows the upstream down: nothing piles up in between."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest_asyncio

from support.caller import Caller
from support.gateway_process import GatewayProcess, memory_of
from support.gateway_settings import DEV, settings
from support.scripted_upstream import CONTENT, ScriptedServer, Visit, answer, event, flood
from support.waiting import eventually

SIZE = 200 << 20
BLOCK = event({"content": CONTENT}) * 512
AHEAD = 8 << 20
GROWTH = 20_000_000

RECEIVE_BUFFER = 1 << 16
FIRST_SILENCE = 2.0
"""Seconds in which the caller reads nothing, long enough for everything in between to fill up."""
PAUSE = 0.1
PAUSE_EVERY = 20 << 20


@pytest_asyncio.fixture
async def gateway(tmp_path: Path, upstream: ScriptedServer) -> AsyncIterator[GatewayProcess]:
    """The real server before an upstream that sends 200 MB as fast as they are taken."""
    upstream.scripts.update({"flood": flood(BLOCK, SIZE // len(BLOCK) + 1), "quick": answer()})
    with GatewayProcess(tmp_path, settings(upstream.port, ["flood", "quick"])) as process:
        await process.ready()
        caller = Caller(process.port, DEV.key)
        for stream in (False, True):  # what is loaded once at the first use is no growth
            assert (await caller.call(model="quick", stream=stream)).status == 200
        yield process
        assert await process.terminate() == 0


@contextmanager
def flooded(gateway: GatewayProcess) -> Iterator[socket.socket]:
    """A caller's socket with a small receive buffer, that has asked for the flood and read nothing yet."""
    body = Caller(gateway.port, DEV.key, model="flood", stream=True).request("flood")
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {DEV.key}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\nx-request-id: flood\r\n\r\n"
    )
    with socket.socket() as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        end.settimeout(20)
        end.connect(("127.0.0.1", gateway.port))
        end.sendall(head.encode() + body)
        yield end


async def choked(upstream: ScriptedServer) -> Visit:
    """Wait until the upstream could write nothing for half of the first silence; its visit."""
    await eventually(lambda: (visit := upstream.visit("flood")) is not None and visit.sent > 0, 10, "flood")
    visit = upstream.visit("flood")
    assert visit is not None
    seen, since = visit.sent, time.monotonic()

    def stands_still() -> bool:
        nonlocal seen, since
        if visit.sent != seen:
            seen, since = visit.sent, time.monotonic()
        return time.monotonic() - since >= FIRST_SILENCE / 2

    await eventually(stands_still, 5 * FIRST_SILENCE, "back-pressure at the upstream")
    return visit


class Reader:
    """Reads the flood in a thread, with pauses, and notes how far the upstream was ahead and how memory grew."""

    def __init__(self, end: socket.socket, visit: Visit, pid: int) -> None:
        self.end = end
        self.visit = visit
        self.pid = pid
        self.read = 0
        self.ahead = 0
        self.memory = 0
        self.last = b""

    def look(self) -> None:
        """Between two reads the upstream only gains: what is seen just before one is the most."""
        self.ahead = max(self.ahead, self.visit.sent - self.read)

    def __call__(self) -> None:
        """Read to the end."""
        pause_at = PAUSE_EVERY
        while True:
            self.look()
            data = self.end.recv(1 << 18)
            if not data:
                return
            self.read += len(data)
            self.last = (self.last + data)[-64:]
            if self.read >= pause_at:
                pause_at += PAUSE_EVERY
                time.sleep(PAUSE)  # the pace of this caller, not a wait for anything
                self.look()
                self.memory = max(self.memory, memory_of(self.pid))


async def test_a_slow_reader_slows_the_upstream_and_costs_no_memory(
    gateway: GatewayProcess, upstream: ScriptedServer
) -> None:
    """Over 200 MB the upstream is never more than 8 MiB ahead of the caller, and the process does not grow."""
    before = memory_of(gateway.pid)
    with flooded(gateway) as end:
        visit = await choked(upstream)
        reader = Reader(end, visit, gateway.pid)
        reader.look()
        reader.memory = memory_of(gateway.pid)
        await asyncio.to_thread(reader)
    assert reader.last.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert reader.read >= SIZE
    assert reader.ahead <= AHEAD, f"{reader.ahead >> 20} MiB ahead"
    assert reader.memory - before < GROWTH, f"grew by {reader.memory - before} bytes"
    await eventually(lambda: len(gateway.books.charges("flood")) == 1, 5, "charge record")
    charge = gateway.books.charges("flood")[0]
    assert charge["outcome"] == "completed"
    assert charge["output_tokens"] == 512 * (SIZE // len(BLOCK) + 1)


async def test_a_reader_who_stops_and_leaves_is_noticed_at_once(
    gateway: GatewayProcess, upstream: ScriptedServer
) -> None:
    """Also when everything on the way is full, and we wait for the caller to take more."""
    with flooded(gateway) as end:
        visit = await choked(upstream)
        gone = time.monotonic()
        end.close()
    await eventually(lambda: visit.closed is not None, 5, "close of the upstream's socket")
    assert visit.closed is not None
    assert visit.closed - gone <= 1
    await eventually(lambda: len(gateway.books.charges("flood")) == 1, 1, "charge record")
    assert gateway.books.charges("flood")[0]["outcome"] == "caller_left"
    assert gateway.books.open_reservations == 0
