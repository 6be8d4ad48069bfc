"""The transport that gathers: one write for what was written in one turn of the loop."""

import asyncio

from asgi_gateway_contrib.standalone.writing import GatheringTransport


class Recorder(asyncio.Transport):
    """A transport that keeps what it is given, call by call."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 1)})
        self.calls: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.calls.append(bytes(data))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def turn() -> None:
    """Let the loop go round once."""
    await asyncio.sleep(0)


async def test_what_is_written_in_one_turn_goes_out_in_one_call() -> None:
    """Nothing waits longer than that, and turns stay apart."""
    inner = Recorder()
    transport = GatheringTransport(inner, asyncio.get_running_loop())
    transport.write(b"head ")
    transport.write(b"body")
    assert inner.calls == []
    await turn()
    transport.write(b" more")
    await turn()
    assert inner.calls == [b"head body", b" more"]


async def test_a_close_writes_what_was_kept_first() -> None:
    """An answer that ends its connection is not cut."""
    inner = Recorder()
    transport = GatheringTransport(inner, asyncio.get_running_loop())
    transport.write(b"last")
    transport.close()
    await turn()
    assert (inner.calls, inner.closed) == ([b"last"], True)


async def test_what_is_kept_for_a_connection_that_is_gone_is_dropped() -> None:
    """Nobody would read it."""
    inner = Recorder()
    transport = GatheringTransport(inner, asyncio.get_running_loop())
    transport.write(b"late")
    inner.closed = True
    await turn()
    assert inner.calls == []


async def test_everything_else_is_the_transports_own() -> None:
    """Such as who is at the other end."""
    transport = GatheringTransport(Recorder(), asyncio.get_running_loop())
    assert transport.get_extra_info("peername") == ("192.0.2.1", 1)
