"""What every transport does with requests, answers and connections."""

import asyncio
import socket

import pytest

from asgi_gateway.errors import UpstreamUnreachable
from asgi_gateway.relay.transport import Transport
from support.upstream_socket import ScriptedUpstream, UpstreamSocket, answer, chunk, whole

pytestmark = pytest.mark.timeout(60)


async def serve(end: UpstreamSocket) -> None:
    """Answer every request with its own body."""
    while True:
        received = await end.request()
        await end.send(answer(received.body))


async def test_a_request_goes_out_as_given(transport: Transport) -> None:
    """Method, target, headers in order and body arrive; host, length and identity are added, nothing else."""
    headers = ((b"authorization", b"Bearer k"), (b"x-twice", b"1"), (b"x-twice", b"2"), (b"x-empty", b""))
    async with ScriptedUpstream(serve) as upstream:
        request = upstream.ask(target=b"/v1/a%20b?x=1&y=%2F", headers=headers, body=b'{"a":1}')
        assert await whole(await transport.send(request)) == b'{"a":1}'
    received = upstream.connections[0].requests[0]
    assert received.line == b"POST /v1/a%20b?x=1&y=%2F HTTP/1.1"
    assert received.body == b'{"a":1}'
    own = [pair for pair in received.headers if pair not in headers]
    assert [pair for pair in received.headers if pair in headers] == list(headers)
    assert sorted(own) == [
        (b"accept-encoding", b"identity"),
        (b"content-length", b"7"),
        (b"host", b"127.0.0.1:%d" % upstream.port),
    ]


async def test_a_get_has_no_body_and_no_length(transport: Transport) -> None:
    """A request without a body states no length for it."""
    async with ScriptedUpstream(serve) as upstream:
        assert await whole(await transport.send(upstream.ask(method="GET", body=b""))) == b""
    assert upstream.connections[0].requests[0].header(b"content-length") == []


async def test_an_empty_post_states_length_zero(transport: Transport) -> None:
    """An upstream must not wait for the body of a POST that has none."""
    async with ScriptedUpstream(serve) as upstream:
        assert await whole(await transport.send(upstream.ask(body=b""))) == b""
    assert upstream.connections[0].requests[0].header(b"content-length") == [b"0"]


async def test_status_and_headers_come_as_sent(transport: Transport) -> None:
    """Names are lower-case, duplicates and order are kept; a page of HTML with a 502 is an answer like others."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        page = b"<html>Bad gateway</html>"
        await end.send(
            answer(
                page,
                status=b"502 Bad Gateway",
                headers=b"Content-Type: text/html\r\nSet-Cookie: a\r\nSET-COOKIE: b\r\n",
            )
        )

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask())
        assert response.status == 502
        assert response.headers == [
            (b"content-type", b"text/html"),
            (b"set-cookie", b"a"),
            (b"set-cookie", b"b"),
            (b"content-length", b"24"),
        ]
        assert await whole(response) == b"<html>Bad gateway</html>"


async def test_the_first_chunk_comes_at_once(transport: Transport) -> None:
    """Each piece is handed on before the upstream sends the next one."""
    asked = asyncio.Semaphore(1)

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await asked.acquire()
        await end.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"data: 0\n\n"))
        for number in range(1, 5):
            await asked.acquire()
            await end.send(chunk(b"data: %d\n\n" % number))
        await asked.acquire()
        await end.send(chunk(b""))

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask(stream=True))
        for number in range(5):
            assert await response.read() == b"data: %d\n\n" % number
            asked.release()
        assert await response.read() == b""
        response.close()


async def test_the_head_comes_before_the_body(transport: Transport) -> None:
    """`send` returns when the head is there, however long the body takes."""
    go = asyncio.Event()

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
        await go.wait()
        await end.send(b"ok")

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask())
        assert response.status == 200
        go.set()
        assert await whole(response) == b"ok"


async def test_cuts_anywhere_do_not_matter(transport: Transport) -> None:
    """An answer that comes byte by byte is the same answer."""
    wire = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nx-a: b\r\n\r\n"
        + b"5;extension=1\r\nhello\r\n"
        + chunk(b" world")
        + b"0\r\nx-trailer: t\r\n\r\n"
    )

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        for byte in wire:
            await end.send(bytes([byte]))
        await end.left()

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask())
        assert (b"x-a", b"b") in response.headers
        assert await whole(response) == b"hello world"


@pytest.mark.parametrize("interim", [b"100 Continue", b"103 Early Hints"])
async def test_interim_answers_are_passed_over(transport: Transport, interim: bytes) -> None:
    """A 1xx head is not the answer, and its headers are not the answer's."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(b"HTTP/1.1 %s\r\nlink: x\r\n\r\n" % interim + answer(b"ok"))

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask())
        assert (response.status, response.headers) == (200, [(b"content-length", b"2")])
        assert await whole(response) == b"ok"


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_answers_that_have_no_body_end_with_their_head(transport: Transport, status: bytes) -> None:
    """204 and 304 end at once, and the connection is used again."""

    async def script(end: UpstreamSocket) -> None:
        while True:
            await end.request()
            await end.send(b"HTTP/1.1 %s\r\n\r\n" % status)

    async with ScriptedUpstream(script) as upstream:
        for _ in range(2):
            assert await whole(await transport.send(upstream.ask())) == b""
        assert len(upstream.connections) == 1


async def test_a_head_request_has_no_body(transport: Transport) -> None:
    """The length in an answer to HEAD is not waited for."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        await end.left()

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask(method="HEAD", body=b""))
        assert (b"content-length", b"5") in response.headers
        assert await whole(response) == b""


@pytest.mark.parametrize("head", [b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"])
async def test_a_body_may_end_with_its_connection(transport: Transport, head: bytes) -> None:
    """Without length and chunks the end of the connection is the proper end."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(head + b"all of ")
        await end.send(b"it")

    async with ScriptedUpstream(script) as upstream:
        assert await whole(await transport.send(upstream.ask())) == b"all of it"


async def test_the_end_stays_the_end(transport: Transport) -> None:
    """Reading on after the end gives the end again."""
    async with ScriptedUpstream(serve) as upstream:
        response = await transport.send(upstream.ask(body=b"x"))
        assert [await response.read() for _ in range(3)] == [b"x", b"", b""]
        response.close()


async def test_a_connection_is_used_again(transport: Transport) -> None:
    """Requests one after the other share a connection."""
    async with ScriptedUpstream(serve) as upstream:
        for number in range(5):
            assert await whole(await transport.send(upstream.ask(body=b"%d" % number))) == b"%d" % number
        assert len(upstream.connections) == 1


async def test_requests_at_once_have_connections_of_their_own(transport: Transport) -> None:
    """An exchange never waits for another one's connection, and answers are not mixed up."""
    together = asyncio.Barrier(8)

    async def script(end: UpstreamSocket) -> None:
        received = await end.request()
        await together.wait()
        await end.send(answer(received.body))

    async def ask(body: bytes) -> bytes:
        return await whole(await transport.send(upstream.ask(body=body)))

    async with ScriptedUpstream(script) as upstream:
        bodies = [b"%d" % number for number in range(8)]
        assert await asyncio.gather(*map(ask, bodies)) == bodies


async def test_a_connection_whose_end_was_said_is_not_used_again(transport: Transport) -> None:
    """`connection: close` is believed."""

    async def script(end: UpstreamSocket) -> None:
        while True:
            await end.request()
            await end.send(answer(b"ok", headers=b"connection: close\r\n"))

    async with ScriptedUpstream(script) as upstream:
        for _ in range(2):
            assert await whole(await transport.send(upstream.ask())) == b"ok"
        assert [len(end.requests) for end in upstream.connections] == [1, 1]


async def test_bytes_after_an_answer_spoil_the_connection(transport: Transport) -> None:
    """What comes behind the end of an answer never becomes the next one's."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(answer(b"mine") + answer(b"not asked for"))
        await end.request()
        await end.send(answer(b"second"))

    async with ScriptedUpstream(script) as upstream:
        assert await whole(await transport.send(upstream.ask())) == b"mine"
        later = await transport.send(upstream.ask())
        assert await later.read() == b"mine"
        later.close()
        assert len(upstream.connections) == 2


async def test_a_connection_that_was_closed_meanwhile_is_replaced_unseen(transport: Transport) -> None:
    """The upstream ends a kept-alive connection; the next request does not notice."""

    async def script(end: UpstreamSocket) -> None:
        received = await end.request()
        await end.send(answer(received.body))

    async with ScriptedUpstream(script) as upstream:
        for number in range(3):
            assert await whole(await transport.send(upstream.ask(body=b"%d" % number))) == b"%d" % number
            await upstream.connections[number].writer.wait_closed()
        assert [len(end.requests) for end in upstream.connections] == [1, 1, 1]


async def test_closing_before_the_end_drops_the_connection(transport: Transport) -> None:
    """An answer that nobody wants to the end leaves no half-read connection behind."""
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        if end.index == 0:
            gone.set_result(await end.left())
        await end.send(b"x" * 96)

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask())
        assert await response.read() == b"half"
        asked_at = asyncio.get_running_loop().time()
        response.close()
        response.close()
        assert await gone - asked_at < 1
        assert len(await whole(await transport.send(upstream.ask()))) == 100


async def test_closing_twice_harms_no_other_exchange(transport: Transport) -> None:
    """A second close does not touch the connection, which somebody else uses by then."""
    go = asyncio.Event()

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(answer(b"first"))
        await end.request()
        await end.send(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n")
        await go.wait()
        await end.send(b"second")

    async with ScriptedUpstream(script) as upstream:
        first = await transport.send(upstream.ask())
        assert await whole(first) == b"first"
        second = await transport.send(upstream.ask())
        first.close()
        go.set()
        assert await whole(second) == b"second"
        assert len(upstream.connections) == 1


async def test_reading_a_closed_answer_fails(transport: Transport) -> None:
    """Who closed an answer before its end gets no more of it."""

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        await end.left()

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask())
        response.close()
        with pytest.raises(UpstreamUnreachable):
            await response.read()


async def test_close_drops_idle_connections(transport: Transport) -> None:
    """After `close` the upstream has no connection of ours."""
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def script(end: UpstreamSocket) -> None:
        received = await end.request()
        await end.send(answer(received.body))
        gone.set_result(await end.left())

    async with ScriptedUpstream(script) as upstream:
        assert await whole(await transport.send(upstream.ask(body=b"x"))) == b"x"
        asked_at = asyncio.get_running_loop().time()
        await transport.close()
        assert await gone - asked_at < 1


async def test_open_exchanges_go_on_after_close(transport: Transport) -> None:
    """`close` during an answer takes nothing of it away; its connection is dropped behind it."""
    go = asyncio.Event()
    gone: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    async def script(end: UpstreamSocket) -> None:
        await end.request()
        await end.send(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")
        await go.wait()
        await end.send(b"half")
        gone.set_result(await end.left())

    async with ScriptedUpstream(script) as upstream:
        response = await transport.send(upstream.ask())
        assert await response.read() == b"half"
        await transport.close()
        go.set()
        assert await whole(response) == b"half"
        async with asyncio.timeout(1):
            await gone


async def test_nobody_listens(transport: Transport) -> None:
    """A refused connection is an unreachable upstream."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    async with ScriptedUpstream(serve) as upstream:
        origin = upstream.origin.__class__("http", "127.0.0.1", port)
        with pytest.raises(UpstreamUnreachable) as caught:
            await transport.send(upstream.ask(origin=origin))
    assert "127.0.0.1" not in caught.value.message
