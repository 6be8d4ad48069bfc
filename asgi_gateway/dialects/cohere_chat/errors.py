"""Cohere's error object, read and written: `{"message", "id"}`.

Follows https://docs.cohere.com/reference/errors. `error_type` is sent, too, by some errors. Inside a stream an error
is a `message-end` with the finish reason ERROR and the text under `error`.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from asgi_gateway.dialects.masking import mask
from asgi_gateway.dialects.retry_after import retry_after
from asgi_gateway.errors import Fault, GatewayError, UpstreamError

__all__ = ["error_inside", "failure", "read_error", "write_error", "write_error_event"]

FIELD_LIMIT = 200
"""Characters kept of a type."""

_TYPES: Mapping[int, str] = MappingProxyType(
    {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error", 498: "authentication_error"}
)


def read_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
    """An error answer as an error: its status and text kept, secrets masked. `fault` follows the status alone."""
    try:
        payload: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        payload = None
    shown = status if 400 <= status <= 599 else 502
    wait = retry_after(headers)
    error = UpstreamError(
        _message(payload) or f"bad response status code {status}",
        fault=_fault(shown),
        original_status=status,
        retry_after=wait,
        status=shown,
        type=_TYPES.get(shown, "invalid_request_error" if shown < 500 else "upstream_error"),
        headers=[] if wait is None else [(b"retry-after", b"%d" % -int(-wait // 1))],
    )
    _name(error, payload)
    return error


def error_inside(payload: Any) -> UpstreamError:
    """The error that an answer with a good status holds."""
    return UpstreamError(_message(payload) or "the upstream answered with an error", fault=Fault.UPSTREAM)


def failure(reason: str, text: Any) -> UpstreamError:
    """The error that a finish reason (ERROR, TIMEOUT) tells of."""
    said = mask(text) if isinstance(text, str) else ""
    if reason == "TIMEOUT":
        return UpstreamError(said or "the upstream's model took too long", status=504, code="upstream_timeout")
    return UpstreamError(said or "the upstream's model failed", code="upstream_error")


def write_error(error: GatewayError) -> bytes:
    """An error as a JSON body."""
    # json, not a faster encoder: it also takes lone surrogates, which a caller may have sent.
    return json.dumps({"message": error.message}, separators=(",", ":")).encode()


def write_error_event(error: GatewayError) -> bytes:
    """An error as the last event of a stream; no `[DONE]` follows it."""
    delta = {"error": error.message, "finish_reason": "ERROR", "usage": {}}
    data = json.dumps({"type": "message-end", "delta": delta}, separators=(",", ":")).encode()
    return b"event: message-end\ndata: " + data + b"\n\n"


def _message(payload: Any) -> str:
    if isinstance(payload, str):
        return mask(payload)
    if not isinstance(payload, dict):
        return ""
    for name in ("message", "error", "detail"):
        value = payload.get(name)
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, str) and value:
            return mask(value)
    return ""


def _name(error: GatewayError, payload: Any) -> None:
    """Set the code, null included."""
    stated = payload.get("error_type") if isinstance(payload, dict) else None
    if stated == "TOO_MANY_TOKENS" or error.message.lower().startswith("too many tokens"):
        error.code = "context_length_exceeded"
    else:
        error.code = mask(stated)[:FIELD_LIMIT] if isinstance(stated, str) and stated else None


def _fault(status: int) -> Fault:
    if status in (401, 402, 403, 404, 498):
        return Fault.CHANNEL
    return Fault.CALLER if status < 500 and status not in (408, 429, 499) else Fault.UPSTREAM
