"""Anthropic's errors: https://docs.anthropic.com/en/api/errors."""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from asgi_gateway.dialects.masking import mask
from asgi_gateway.dialects.retry_after import retry_after
from asgi_gateway.errors import Fault, GatewayError, UpstreamError

__all__ = ["error_inside", "read_error", "write_error", "write_error_event"]

STATUSES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""By the type of an error: the status that it has outside of streams."""

TYPES: Mapping[int, str] = {status: type for type, status in STATUSES.items()}

NEUTRAL: Mapping[str, str] = {
    "api_error": "server_error",
    "overloaded_error": "server_error",
    "timeout_error": "server_error",
    "not_found_error": "invalid_request_error",
    "request_too_large": "invalid_request_error",
}
"""Types that OpenAI's clients know, for those that only Anthropic has. The code keeps Anthropic's."""

TEXT_LIMIT = 4096


def read_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
    """An error's body. Text and type are kept; whose fault it is, the provider judges."""
    try:
        payload = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        payload = None
    error = _error(payload, status)
    error.retry_after = retry_after(headers)
    return error


def error_inside(payload: Any) -> UpstreamError:
    """An error that came inside of a 200: its type says the status."""
    found = _object(payload)
    return _error(payload, STATUSES.get(str(found.get("type")), 500))


def _error(payload: Any, status: int) -> UpstreamError:
    found = _object(payload)
    message, kind = found.get("message"), found.get("type")
    text = mask(message.strip())[:TEXT_LIMIT] if isinstance(message, str) else ""
    kind = kind if isinstance(kind, str) and kind else TYPES.get(status, "api_error")
    return UpstreamError(
        text or f"The upstream answered with status {status}.",
        fault=_fault(status),
        original_status=status,
        status=status,
        type=NEUTRAL.get(kind, mask(kind)[:64]),
        code=mask(kind)[:64],
    )


def _object(payload: Any) -> Mapping[str, Any]:
    if not isinstance(payload, dict):
        return {}
    inner = payload.get("error")
    if isinstance(inner, str):  # some servers that are only alike
        return {"message": inner}
    return inner if isinstance(inner, dict) else payload


def _fault(status: int) -> Fault:
    if status in (401, 402, 403, 404):
        return Fault.CHANNEL
    return Fault.CALLER if status < 500 and status not in (408, 429) else Fault.UPSTREAM


def write_error(error: GatewayError) -> bytes:
    """An error as a JSON body."""
    fields = {"type": "error", "error": {"type": _type(error), "message": _message(error)}}
    # json, not a faster encoder: it also takes lone surrogates, which a caller may have sent.
    return json.dumps(fields, separators=(",", ":")).encode()


def write_error_event(error: GatewayError) -> bytes:
    """An error as the last event of a stream."""
    return b"event: error\ndata: " + write_error(error) + b"\n\n"


def _type(error: GatewayError) -> str:
    if error.code in STATUSES:
        return str(error.code)
    known = TYPES.get(error.status)
    if known is not None:
        return known
    return "invalid_request_error" if error.status < 500 else "api_error"


def _message(error: GatewayError) -> str:
    """The text, with the field's name in front where it does not name it itself: the format has no place for it."""
    if error.param and error.param not in error.message:
        return f"{error.param}: {error.message}"
    return error.message
