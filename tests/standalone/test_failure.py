"""Programming errors in the standalone app."""

import logging
import sys
from collections.abc import Callable

import httpx
import pytest

from asgi_gateway.errors import ResponseAborted
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send
from asgi_gateway_contrib.standalone.failure import FailureMiddleware, is_abort

START: Message = {"type": "http.response.start", "status": 200, "headers": []}


def failing(*messages: Message) -> ASGIApp:
    """An app that sends so much and then has a fault."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        raise ZeroDivisionError("canary")

    return app


async def test_a_fault_becomes_an_answer_and_one_line_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """The caller sees OpenAI's error shape and an id; the log has the id and the reason."""
    transport = httpx.ASGITransport(FailureMiddleware(failing()))
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answer = await client.post("/v1/chat/completions?key=sk-canary")

    assert answer.status_code == 500
    assert answer.json()["error"].keys() == {"message", "type", "param", "code"}
    assert "canary" not in answer.text
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert answer.headers["x-request-id"] in record.getMessage()
    assert record.exc_info is not None
    assert "sk-canary" not in caplog.text


async def test_a_fault_after_the_beginning_is_the_servers_affair() -> None:
    """An answer is never given twice: the server cuts the connection."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    with pytest.raises(ZeroDivisionError):
        await FailureMiddleware(failing(START))({"type": "http"}, receive, send)

    assert sent == [START]


async def test_what_is_no_http_passes() -> None:
    """A WebSocket and the lifespan have no error body."""

    async def nothing(*_: object) -> Message:
        raise AssertionError

    for kind in ("websocket", "lifespan"):
        with pytest.raises(ZeroDivisionError):
            await FailureMiddleware(failing())({"type": kind}, nothing, nothing)


@pytest.mark.parametrize(("error", "told"), [(ResponseAborted, True), (ValueError, False)])
def test_an_answer_that_was_cut_on_purpose_is_known(error: Callable[[str], Exception], told: bool) -> None:
    """It was told of in a line of ours before."""
    try:
        raise error("x")
    except (ResponseAborted, ValueError):
        record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "Exception", (), sys.exc_info())

    assert is_abort(record) is told
    assert not is_abort(logging.LogRecord("uvicorn.error", logging.INFO, "", 0, "hello", (), None))
