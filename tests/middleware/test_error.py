"""Errors become bytes in one place: rendered before an answer began, told honestly after it."""

import logging

import pytest

from asgi_gateway.errors import (
    CallerLeft,
    GatewayError,
    InvalidRequest,
    RateLimited,
    ResponseAborted,
    ServiceUnavailable,
    Unauthenticated,
    UpstreamError,
)
from asgi_gateway.middleware import ErrorMiddleware
from asgi_gateway.types import Receive, Scope, Send
from support.asgi import Connection, ask, http_scope, settled, socket_scope
from support.exchanges import Inner, answer, begun


async def test_an_error_before_the_answer_is_rendered_in_the_callers_dialect() -> None:
    """Status, type, code, param and headers of the error reach the caller as OpenAI's error object."""
    error = InvalidRequest("too long", param="messages", code="context_length_exceeded")
    seen = await ask(ErrorMiddleware(Inner(error)), http_scope())
    assert seen.status == 400
    assert seen.header("content-type") == "application/json"
    assert seen.header("content-length") == str(len(seen.body))
    assert seen.json() == {
        "error": {
            "message": "too long",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "context_length_exceeded",
        }
    }


async def test_headers_of_an_error_are_sent() -> None:
    """What a refusal says in headers, such as `retry-after` in whole seconds, is part of the answer."""
    seen = await ask(ErrorMiddleware(Inner(RateLimited("slow down", retry_after=1.2))), http_scope())
    assert seen.status == 429
    assert seen.header("retry-after") == "2"


async def test_an_answer_passes_unchanged() -> None:
    """A layer that has nothing to say changes nothing."""
    inner = Inner(answer(b"abc"))
    seen = await ask(ErrorMiddleware(inner), http_scope())
    assert (seen.status, seen.body) == (200, b"abc")


async def test_an_error_inside_a_stream_is_its_last_event() -> None:
    """A stream that began ends with the dialect's own error event, not with a made-up normal end."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in answer(b"data: {}\n\n", content_type=b"text/event-stream; charset=utf-8", whole=False):
            await send(message)
        raise UpstreamError("the upstream broke", code="upstream_unreachable")

    seen = await ask(ErrorMiddleware(app), http_scope())
    assert seen.status == 200
    first, last = seen.body.split(b"\n\n")[:2]
    assert first == b"data: {}"
    assert b'"upstream_unreachable"' in last
    assert b"[DONE]" not in seen.body


async def test_an_error_inside_a_plain_body_cuts_it(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody may take half an answer for a whole: the server is made to cut the connection, with one log line."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        for message in answer(b'{"half":', whole=False):
            await send(message)
        raise UpstreamError("the upstream broke")

    async with Connection(ErrorMiddleware(app), http_scope()) as caller:
        with pytest.raises(ResponseAborted):
            await caller.ended()
        assert not caller.complete
        assert len(caller.messages) == 2
    assert len(caplog.records) == 1


async def test_an_error_after_the_whole_answer_is_logged_and_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """What fails behind the last byte, the correction of a limit for instance, is never answered a second time."""
    for content_type in (b"application/json", b"text/event-stream"):

        async def app(scope: Scope, receive: Receive, send: Send, content_type: bytes = content_type) -> None:
            for message in answer(b"abc", content_type=content_type):
                await send(message)
            raise ServiceUnavailable("the database is away")

        caplog.clear()
        seen = await ask(ErrorMiddleware(app), http_scope())
        assert seen.body == b"abc"
        assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_nobody_is_answered_who_has_left() -> None:
    """A caller who left gets nothing, and the app returns as if all were well."""
    async with Connection(ErrorMiddleware(Inner(CallerLeft())), http_scope()) as caller:
        await caller.ended()
        assert caller.messages == []


async def test_a_caller_who_leaves_before_its_error_came_is_no_failure() -> None:
    """A `send` that raises because the caller has gone (ASGI 2.4) ends the exchange in silence."""
    async with Connection(ErrorMiddleware(Inner(InvalidRequest("no"))), http_scope(), None) as caller:
        caller.send_error = OSError("gone")
        caller.feed(b"{}")
        await caller.ended()
        assert caller.messages == []


async def test_programming_errors_pass() -> None:
    """The host's own handler and reporter see what is no error of the gateway's, before and inside an answer."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(answer()[0])
        raise ZeroDivisionError

    for inner in (Inner(ZeroDivisionError()), app):
        async with Connection(ErrorMiddleware(inner), http_scope()) as caller:
            with pytest.raises(ZeroDivisionError):
                await caller.ended()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unauthenticated("no key"), 1008),
        (InvalidRequest("bad"), 1008),
        (UpstreamError("broken"), 1011),
        (UpstreamError("broken", status=500), 1011),
    ],
)
async def test_a_socket_is_refused_by_an_answer_or_a_close(error: GatewayError, code: int) -> None:
    """A server with denial responses gives the error itself, another a close: 1008 for the caller's, 1011 for ours."""
    seen = await ask(ErrorMiddleware(Inner(error)), socket_scope())
    assert seen.status == error.status
    assert seen.json()["error"]["message"] == error.message
    async with Connection(ErrorMiddleware(Inner(error)), socket_scope(denial=False)) as caller:
        assert await caller.next() == {"type": "websocket.close", "code": code, "reason": error.message}
        await caller.ended()


async def test_an_accepted_socket_is_closed_with_the_reason() -> None:
    """After the accept an error is a close; its reason is cut to what a close frame holds, inside no character."""
    error = UpstreamError("ö" * 200)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        raise error

    async with Connection(ErrorMiddleware(app), socket_scope()) as caller:
        assert (await caller.next())["type"] == "websocket.accept"
        close = await caller.next()
        assert close == {"type": "websocket.close", "code": 1011, "reason": "ö" * 61}
        await caller.ended()


async def test_a_socket_that_was_closed_is_not_closed_again() -> None:
    """What fails behind a close is told to nobody."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})
        raise ServiceUnavailable("the database is away")

    async with Connection(ErrorMiddleware(app), socket_scope()) as caller:
        await caller.ended()
        assert len(caller.messages) == 2


async def test_an_exchange_begun_outside_is_used() -> None:
    """The layer begins an exchange only where nobody outside did."""
    scope, exchange = begun(http_scope())
    inner = Inner()
    await ask(ErrorMiddleware(inner), scope)
    assert inner.exchange is exchange
    await settled()
