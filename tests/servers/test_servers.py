"""What the gateway promises to its callers holds under uvicorn (both parsers), hypercorn and granian."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from support.broken_upstream import DONE, EVENTS
from support.caller import Caller
from support.gateway_settings import counted
from support.scripted_upstream import CONTENT
from support.served_app import KEY
from support.served_under import LONG_HALF, Served, serving
from support.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="module")

DEADLINE = 1.0
"""Seconds until the upstream's socket is closed behind a caller who left."""

UPLOAD = 8 << 20
"""Bytes of a body that never comes."""


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A plain connection, for at most ten seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(10):
            yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def test_a_stream_arrives_event_by_event(served: Served) -> None:
    """The first half is there while the upstream still holds the second half back."""
    call = await Caller(served.port, KEY, model="paced", stream=True).begin("paced")
    await call.until(lambda: len(call.events) == 3)
    assert (call.status, call.headers["content-type"], call.whole) == (200, "text/event-stream", False)
    assert [json.loads(event)["choices"][0]["delta"]["content"] for event in call.events] == 3 * [CONTENT]
    visit = served.upstream.visit("paced")
    assert visit is not None
    assert visit.ended is None
    served.gate.open()
    await call.ended()
    assert call.whole
    assert call.body.endswith(DONE)
    assert len(call.events) == 8


@pytest.mark.parametrize("framing", ["sized", "chunked"])
async def test_a_plain_body_that_breaks_is_cut_so_that_clients_notice(served: Served, framing: str) -> None:
    """The caller got all that came, and cannot take it for a whole answer; the server goes on."""
    caller = Caller(served.port, KEY, model=f"broken-{framing}")
    call = await caller.call(f"cut-{framing}")
    assert (call.status, call.whole) == (200, False)
    assert LONG_HALF[:-1] == call.body
    assert ("content-length" in call.headers) is (framing == "sized")
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {KEY}"}, timeout=30) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(f"{served.process.url}/v1/chat/completions", content=caller.request())
    await eventually(lambda: len(served.books.charges(f"cut-{framing}")) == 1, 5, "charge")
    assert served.books.charges(f"cut-{framing}")[0]["outcome"] == "truncated"
    assert (await caller.call(model="quick")).whole


async def test_a_stream_that_breaks_ends_with_an_error_event(served: Served) -> None:
    """In HTTP's terms it is whole: the event says that it is not."""
    call = await Caller(served.port, KEY, model="broken-stream", stream=True).call()
    assert (call.status, call.whole) == (200, True)
    assert call.body.startswith(EVENTS)
    assert json.loads(call.events[-1])["error"]["code"] == "upstream_unreachable"
    assert "[DONE]" not in call.events


@pytest.mark.parametrize(
    ("model", "stream", "events"),
    [("silent", False, 0), ("silent", True, 0), ("endless", True, 3)],
    ids=["plain", "before the stream", "inside the stream"],
)
async def test_a_caller_who_leaves_is_noticed(served: Served, model: str, stream: bool, events: int) -> None:
    """Within a second the upstream's socket is closed, and what came is charged."""
    id = f"left-{model}-{stream}"
    caller = Caller(served.port, KEY, model=model, stream=stream)
    call = await caller.begin(id)
    await eventually(lambda: (visit := served.upstream.visit(id)) is not None and visit.spoke, 10, "silence")
    await call.until(lambda: len(call.events) >= events)
    gone = time.monotonic()
    call.leave()
    visit = served.upstream.visit(id)
    assert visit is not None
    await eventually(lambda: visit.closed is not None, 5 * DEADLINE, "close of the upstream's socket")
    assert visit.closed is not None
    assert visit.closed - gone <= DEADLINE
    await eventually(lambda: len(served.books.charges(id)) == 1, 5, "charge")
    charge = served.books.charges(id)[0]
    assert (charge["outcome"], charge["output_tokens"]) == ("caller_left", events)
    assert charge["input_tokens"] == counted(caller.request(id), 0)


@pytest.mark.parametrize("expecting", [True, False], ids=["expect", "no-expect"])
async def test_without_a_key_the_answer_comes_before_the_body(served: Served, expecting: bool) -> None:
    """The refusal waits for no byte of it. Nor is it asked for, except by hypercorn, whose parser does so itself."""
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {UPLOAD}\r\n"
    head += "expect: 100-continue\r\n\r\n" if expecting else "\r\n"
    async with connection(served.port) as (reader, writer):
        writer.write(head.encode() + (b"" if expecting else b'{"model": '))
        answer = await reader.readuntil(b"\r\n\r\n")
        if served.server == "hypercorn" and expecting:
            assert answer.startswith(b"HTTP/1.1 100 ")
            answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 401 ")


async def test_with_a_key_the_body_is_asked_for(served: Served) -> None:
    """A client that waits for it gets its 100."""
    body = Caller(served.port, KEY, model="quick").request()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {KEY}\r\n"
    head += f"content-length: {len(body)}\r\nconnection: close\r\nexpect: 100-continue\r\n\r\n"
    async with connection(served.port) as (reader, writer):
        writer.write(head.encode())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        writer.write(body)
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("key", "status", "code"), [("", 401, "invalid_api_key"), (KEY, 429, "rate_limit_exceeded")], ids=["401", "429"]
)
async def test_a_websocket_is_denied_with_the_error(served: Served, key: str, status: int, code: str) -> None:
    """All three servers have the denial extension: status, headers and body are those of any refusal."""
    headers = {"authorization": f"Bearer {key}"} if key else {}
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://127.0.0.1:{served.port}/v1/realtime?model=quick", additional_headers=headers)
    response = refused.value.response
    assert response.status_code == status
    assert json.loads(bytes(response.body))["error"]["code"] == code
    assert response.headers["x-request-id"].startswith("req_")
    assert response.headers.get("retry-after") == ("3" if status == 429 else None)


async def test_start_up_and_shutdown_run(server: str, tmp_path: Path) -> None:
    """The gateway's own and, within it, that of the app behind it; a foreign path is that app's."""
    async with serving(server, tmp_path) as served:
        assert (tmp_path / "gateway.db").exists()
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{served.process.url}/elsewhere")).text == "host"
        served.process.stop()
        lines = [line for line in served.process.output.splitlines() if line.startswith("host: ")]
        assert lines == ["host: startup", "host: shutdown"]
        assert served.books.open_reservations == 0
        assert "Traceback" not in served.process.output
