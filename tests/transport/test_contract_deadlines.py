"""Deadlines are told apart, and a cancel at whatever moment closes the connection within a second."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from asgi_gateway.errors import UpstreamTimeout
from asgi_gateway.providers.contract import Origin
from asgi_gateway.relay.transport import Transport
from asgi_gateway.storage.records import Timeouts
from support.upstream_socket import ScriptedUpstream, UpstreamSocket, answer, chunk, whole

pytestmark = pytest.mark.timeout(60)

STREAM = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
SHORT = 0.15
NONE = Timeouts(connect=0, headers=0, plain=0, first_event=0, idle=0, total=0)


class Stages:
    """An upstream that falls silent after a given part of its answer, and says when it was left."""

    def __init__(self, said: bytes) -> None:
        self._said = said
        self.heard = asyncio.Event()
        self.gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def __call__(self, end: UpstreamSocket) -> None:
        await end.request()
        await end.send(self._said)
        self.heard.set()
        self.gone.set_result(await end.left())


async def within_a_second(gone: "asyncio.Future[float]", since: float) -> None:
    """The upstream saw its connection closed at most a second after `since`."""
    async with asyncio.timeout(5):
        assert await gone - since < 1


@pytest.fixture
def deaf() -> Iterator[Origin]:
    """An address that answers no attempt to connect: its backlog is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield Origin("http", "127.0.0.1", listener.getsockname()[1])
        for filler in fillers:
            filler.close()


async def phase_of(transport: Transport, upstream: ScriptedUpstream, timeouts: Timeouts, **changes: object) -> str:
    """The deadline that ended an exchange."""
    with pytest.raises(UpstreamTimeout) as caught:
        await whole(await transport.send(upstream.ask(timeouts=timeouts, **changes)))
    assert caught.value.status == 504
    return caught.value.phase


@pytest.mark.parametrize("stream", [True, False])
async def test_no_connection_in_time(transport: Transport, deaf: Origin, stream: bool) -> None:
    """The deadline for connecting ends an attempt that nobody answers."""
    async with ScriptedUpstream(Stages(b"")) as upstream:
        timeouts = Timeouts(connect=SHORT)
        assert await phase_of(transport, upstream, timeouts, origin=deaf, stream=stream) == "connect"


async def test_the_total_deadline_counts_connecting(transport: Transport, deaf: Origin) -> None:
    """Where it comes first, it is the one that is named."""
    async with ScriptedUpstream(Stages(b"")) as upstream:
        timeouts = Timeouts(connect=5, total=SHORT)
        assert await phase_of(transport, upstream, timeouts, origin=deaf) == "total"


async def test_no_tls_in_time(transport: Transport) -> None:
    """A socket that accepts and never greets is caught by the deadline for connecting."""
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def script(end: UpstreamSocket) -> None:
        gone.set_result(await end.left())

    async with ScriptedUpstream(script) as upstream:
        origin = Origin("https", "127.0.0.1", upstream.port)
        assert await phase_of(transport, upstream, Timeouts(connect=SHORT), origin=origin) == "connect"
        await within_a_second(gone, asyncio.get_running_loop().time())


@pytest.mark.parametrize(
    ("said", "stream", "timeouts", "phase"),
    [
        (b"", True, Timeouts(headers=SHORT), "headers"),
        (b"HTTP/1.1 200 OK\r\nx-half: ", True, Timeouts(headers=SHORT), "headers"),
        (b"", False, Timeouts(plain=SHORT, headers=0.01, idle=0.01), "plain"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", False, Timeouts(plain=SHORT, idle=0.01), "plain"),
        (STREAM, True, Timeouts(headers=5, first_event=SHORT, plain=0.01), "first_event"),
        (STREAM + chunk(b"data"), True, Timeouts(first_event=5, idle=SHORT, plain=0.01), "idle"),
        (b"", True, Timeouts(total=SHORT), "total"),
        (STREAM, True, Timeouts(total=SHORT), "total"),
        (STREAM + chunk(b"data"), True, Timeouts(total=SHORT), "total"),
        (b"", False, Timeouts(total=SHORT), "total"),
        (STREAM + chunk(b"data"), False, Timeouts(total=SHORT), "total"),
    ],
)
async def test_silence_is_told_apart(
    transport: Transport, said: bytes, stream: bool, timeouts: Timeouts, phase: str
) -> None:
    """Each kind of silence has its deadline, and the connection is closed when it passes."""
    stages = Stages(said)
    async with ScriptedUpstream(stages) as upstream:
        assert await phase_of(transport, upstream, timeouts, stream=stream) == phase
        await within_a_second(stages.gone, asyncio.get_running_loop().time())


async def test_the_second_exchange_of_a_connection_has_its_own_deadlines(transport: Transport) -> None:
    """A sooner deadline after a later one is kept, over one connection."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(answer(b"first"))
        await end.request()
        await end.left()

    async with ScriptedUpstream(script) as upstream:
        assert await whole(await transport.send(upstream.ask(timeouts=Timeouts(plain=60)))) == b"first"
        assert await phase_of(transport, upstream, Timeouts(headers=SHORT), stream=True) == "headers"
        assert len(upstream.connections) == 1


@pytest.mark.parametrize(("stream", "timeouts"), [(False, Timeouts(plain=0.4)), (True, Timeouts(total=0.4))])
async def test_a_trickle_does_not_put_off_the_deadline_of_the_whole(
    transport: Transport, stream: bool, timeouts: Timeouts
) -> None:
    """Bytes that keep coming move the idle deadline only."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(STREAM)
        while True:
            await end.send(chunk(b"."))
            await asyncio.sleep(0.02)  # the pace of the trickle

    async with ScriptedUpstream(script) as upstream:
        assert await phase_of(transport, upstream, timeouts, stream=stream) == ("total" if stream else "plain")


async def test_a_trickle_puts_off_the_idle_deadline(transport: Transport) -> None:
    """A stream may last longer than its idle deadline."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(STREAM)
        for _ in range(10):
            await end.send(chunk(b"."))
            await asyncio.sleep(0.1)  # the pace of the trickle
        await end.send(chunk(b""))

    async with ScriptedUpstream(script) as upstream:
        request = upstream.ask(stream=True, timeouts=Timeouts(headers=0.6, first_event=0.6, idle=0.6))
        assert await whole(await transport.send(request)) == b"." * 10


async def test_a_slow_reader_is_not_the_upstreams_silence(transport: Transport) -> None:
    """Time in which nobody reads does not count as idle."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(STREAM + chunk(b"one"))
        await end.send(chunk(b"two") + chunk(b""))

    async with ScriptedUpstream(script) as upstream:
        timeouts = Timeouts(first_event=0.2, idle=0.2)
        response = await transport.send(upstream.ask(stream=True, timeouts=timeouts))
        await asyncio.sleep(0.4)  # the reader's own pause
        got = await response.read()
        await asyncio.sleep(0.4)
        assert got + await whole(response) == b"onetwo"


async def test_no_deadline_is_none(transport: Transport) -> None:
    """Zero means that nothing is timed."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(STREAM + chunk(b"data") + chunk(b""))

    async with ScriptedUpstream(script) as upstream:
        for stream in (True, False):
            assert await whole(await transport.send(upstream.ask(stream=stream, timeouts=NONE))) == b"data"


async def test_a_deadline_after_the_end_is_none(transport: Transport) -> None:
    """An answer that is whole has met its deadlines, however late it is read."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(answer(b"whole"))
        await end.left()

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask(timeouts=Timeouts(plain=0.3)))
        assert await response.read() == b"whole"
        await asyncio.sleep(0.5)  # past the deadline
        assert await whole(response) == b""


@pytest.mark.parametrize("stream", [True, False])
async def test_a_cancel_before_headers_closes_the_connection(transport: Transport, stream: bool) -> None:
    """The caller left while the upstream thought."""
    stages = Stages(b"")
    async with ScriptedUpstream(stages) as upstream:
        sending = asyncio.ensure_future(transport.send(upstream.ask(stream=stream)))
        await stages.heard.wait()
        cancelled_at = asyncio.get_running_loop().time()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await within_a_second(stages.gone, cancelled_at)


@pytest.mark.parametrize(
    "said",
    [STREAM, STREAM + chunk(b"data: 1\n\n"), b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf"],
    ids=["before the first event", "mid-stream", "mid-body"],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_a_cancel_after_headers_closes_the_connection(transport: Transport, said: bytes, stream: bool) -> None:
    """The caller left while the answer came."""
    stages = Stages(said)
    waiting = asyncio.Event()
    async with ScriptedUpstream(stages) as upstream:
        response = await transport.send(upstream.ask(stream=stream))
        await stages.heard.wait()

        async def read() -> None:
            try:
                if said != STREAM:
                    assert await response.read()
                waiting.set()
                await response.read()
            finally:
                response.close()

        reading = asyncio.ensure_future(read())
        await waiting.wait()
        cancelled_at = asyncio.get_running_loop().time()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await within_a_second(stages.gone, cancelled_at)


async def test_a_cancel_while_the_request_is_being_sent_closes_the_connection(transport: Transport) -> None:
    """The caller left while a large request went out to an upstream that did not read it."""
    heard, go = asyncio.Event(), asyncio.Event()
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def script(end: UpstreamSocket) -> None:
        await end.head()
        end.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's transports for sockets have it
        heard.set()
        await go.wait()
        end.writer.transport.resume_reading()  # type: ignore[attr-defined]
        gone.set_result(await end.left())

    async with ScriptedUpstream(script) as upstream:
        sending = asyncio.ensure_future(transport.send(upstream.ask(body=bytes(32 * 1024 * 1024))))
        await heard.wait()
        cancelled_at = asyncio.get_running_loop().time()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        go.set()
        await within_a_second(gone, cancelled_at)


async def test_a_cancel_while_connecting_closes_the_socket(transport: Transport) -> None:
    """The caller left in the middle of a TLS greeting."""
    heard = asyncio.Event()
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def script(end: UpstreamSocket) -> None:
        await end.reader.readexactly(1)
        heard.set()
        gone.set_result(await end.left())

    async with ScriptedUpstream(script) as upstream:
        origin = Origin("https", "127.0.0.1", upstream.port)
        sending = asyncio.ensure_future(transport.send(upstream.ask(origin=origin)))
        await heard.wait()
        cancelled_at = asyncio.get_running_loop().time()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        await within_a_second(gone, cancelled_at)


async def test_a_cancelled_exchange_spoils_no_other(transport: Transport) -> None:
    """After a cancel the next request has a connection of its own and its own answer."""
    stages = Stages(b"")

    async def script(end: UpstreamSocket) -> None:
        if end.index == 0:
            await stages(end)
        else:
            await end.request()
            await end.send(answer(b"mine"))

    async with ScriptedUpstream(script) as upstream:
        sending = asyncio.ensure_future(transport.send(upstream.ask()))
        await stages.heard.wait()
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        assert await whole(await transport.send(upstream.ask())) == b"mine"
