"""The last resort of the standalone app: a programming error becomes an answer and one line in the log.

Inside a host application this is the host's own business, so it is no part of the toolkit.
"""

import logging
import os

from asgi_gateway.dialects.openai_wire.errors import write_error
from asgi_gateway.errors import GatewayError, ResponseAborted
from asgi_gateway.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["FailureMiddleware", "is_abort"]

logger = logging.getLogger("asgi_gateway")


class FailureMiddleware:
    """Answers 500 in OpenAI's error shape when the app fails before it began to answer.

    After the beginning the error goes on to the server, which cuts the connection and logs it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, noting_send)
        except Exception:  # whatever it was, the caller gets an answer and the deployer the traceback
            if started:
                raise
            request_id = "req_" + os.urandom(16).hex()
            logger.exception("request %s failed: %s %s", request_id, scope["method"], scope["path"])
            await _answer(send, request_id)


async def _answer(send: Send, request_id: str) -> None:
    body = write_error(GatewayError("The gateway failed. The request id leads to the reason in its log."))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"x-request-id", request_id.encode()),
        (b"x-oneapi-request-id", request_id.encode()),
    ]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def is_abort(record: logging.LogRecord) -> bool:
    """Whether a server logs an answer that was cut on purpose: it was told of in one line already."""
    return bool(record.exc_info and isinstance(record.exc_info[1], ResponseAborted))
