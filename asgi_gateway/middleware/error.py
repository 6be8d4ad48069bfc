"""Renders a `GatewayError` in the caller's dialect.

Inside telemetry, outside everything that can refuse. Needs `dialect`; writes nothing.

Before the answer began, an error is a JSON body with its status, or for a WebSocket a denial
(https://asgi.readthedocs.io/en/latest/extensions.html#websocket-denial-response; a close with 1008 or 1011
where the server lacks it). Inside an event stream that began it is the dialect's own error event, and the stream ends.
Inside a plain body that began nothing honest can be said: `ResponseAborted` makes the server cut the connection.
Programming errors pass: the host's own handler and reporter shall see them.
"""

import logging
from typing import ClassVar

from asgi_gateway.dialects.sse import is_event_stream
from asgi_gateway.errors import CallerLeft, GatewayError, ResponseAborted
from asgi_gateway.exchange import SCOPE_KEY, Exchange
from asgi_gateway.middleware.answer import NotedAnswer
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["ErrorMiddleware", "refuse_socket"]

logger = logging.getLogger("asgi_gateway")


class ErrorMiddleware:
    """The only place where an error becomes bytes."""

    needs: ClassVar[frozenset[str]] = frozenset({"dialect"})
    uses_after: ClassVar[frozenset[str]] = frozenset()
    writes: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if SCOPE_KEY not in scope:
            begun = Exchange.begin(scope)
            if begun is None:
                await self.app(scope, receive, send)
                return
            scope = begun[0]
        answer = NotedAnswer.of(send)
        try:
            await self.app(scope, receive, answer)
        except CallerLeft:
            return  # nobody is there to be answered
        except GatewayError as error:
            if answer.last is not None and _ends(answer.last):
                logger.warning("request %s failed after its answer: %s", Exchange.of(scope).request_id, error)
                return
            try:
                await _render(scope, send, error, answer.start)
            except OSError:
                return  # ASGI spec 2.4: the caller has disconnected


async def _render(scope: Scope, send: Send, error: GatewayError, start: Message | None) -> None:
    if scope["type"] == "websocket":
        await refuse_socket(scope, send, error, accepted=start is not None)
    elif start is None:
        await _answer(scope, send, error)
    elif is_event_stream(start.get("headers", ())):
        event = Exchange.of(scope).dialect.write_error_event(error)
        await send({"type": "http.response.body", "body": event, "more_body": False})
    else:
        logger.warning("request %s: answer cut after it began: %s", Exchange.of(scope).request_id, error.code)
        raise ResponseAborted(error.message) from error


async def _answer(scope: Scope, send: Send, error: GatewayError) -> None:
    body = Exchange.of(scope).dialect.write_error(error)
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *error.headers]
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def refuse_socket(scope: Scope, send: Send, error: GatewayError, *, accepted: bool) -> None:
    """End a WebSocket by an HTTP answer where the server can and nothing was accepted, else by a close."""
    if not accepted and "websocket.http.response" in scope.get("extensions", {}):
        body = Exchange.of(scope).dialect.write_error(error)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *error.headers]
        await send({"type": "websocket.http.response.start", "status": error.status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": body})
        return
    code = 1008 if error.status < 500 else 1011
    # A close frame's reason is at most 123 bytes (RFC 6455, 5.5).
    reason = error.message.encode()[:123].decode(errors="ignore")
    await send({"type": "websocket.close", "code": code, "reason": reason})


def _ends(message: Message) -> bool:
    """Whether nothing may follow this message."""
    kind = message["type"]
    if kind in ("http.response.body", "websocket.http.response.body"):
        return not message.get("more_body", False)
    return bool(kind == "websocket.close")
