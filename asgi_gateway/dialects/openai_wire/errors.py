"""OpenAI's error object, read and written: `{"error": {"message", "type", "param", "code"}}`.

Follows https://platform.openai.com/docs/guides/error-codes and the `Error` schema of OpenAI's OpenAPI document.
Look-alikes write errors in other ways, too: a plain text under `error`, `message` or `detail`, FastAPI's list of
details, a list around it all, or a web page.
"""

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from asgi_gateway.dialects.masking import mask
from asgi_gateway.dialects.retry_after import retry_after
from asgi_gateway.errors import Fault, GatewayError, UpstreamError

__all__ = ["error_inside", "read_error", "write_error", "write_error_event"]

FIELD_LIMIT = 200
"""Characters kept of a type, code or param."""

_MESSAGES = ("message", "msg", "detail", "error_msg", "err", "error")

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
"""Types by status, where the upstream names none; else the request is invalid below 500."""

_STATUSES = {
    "authentication_error": 401,
    "content_filter": 400,
    "context_length_exceeded": 400,
    "engine_overloaded_error": 503,
    "insufficient_quota": 429,
    "invalid_api_key": 401,
    "invalid_request_error": 400,
    "model_not_found": 404,
    "not_found_error": 404,
    "overloaded_error": 503,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "timeout": 504,
}
"""Statuses by code or type, for errors inside an answer whose own status was good."""


def read_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
    """An error answer as an error: status, type, code, param and text as the upstream gave them, secrets masked.

    `fault` follows the status alone; a provider that knows better says so.
    A body that is no JSON is not shown.
    """
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
        headers=[] if wait is None else [(b"retry-after", b"%d" % -int(-wait // 1))],
    )
    _describe(error, payload, shown)
    return error


def error_inside(payload: Any) -> UpstreamError:
    """The error that an answer with a good status holds. Its status is the one it names, or follows from code or type.

    What it says of the channel's own key, balance or deployment is not shown as the caller's.
    """
    stated = _stated_status(payload)
    fault = Fault.UPSTREAM if stated is None else _fault(stated)
    message = _message(payload) or "the upstream answered with an error"
    if fault is Fault.CHANNEL:
        status, code = (503, "upstream_model_missing") if stated == 404 else (502, "upstream_auth")
        text = "The upstream cannot serve this channel."
        return UpstreamError(text, fault=fault, original_status=stated, status=status, code=code)
    error = UpstreamError(message, fault=fault, original_status=stated, status=stated)
    _describe(error, payload, error.status)
    return error


def write_error(error: GatewayError) -> bytes:
    """An error as a JSON body."""
    fields = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    # json, not a faster encoder: it also takes lone surrogates, which a caller may have sent.
    return json.dumps({"error": fields}, separators=(",", ":")).encode()


def write_error_event(error: GatewayError) -> bytes:
    """An error as the last event of a stream; no `[DONE]` follows it."""
    return b"data: " + write_error(error) + b"\n\n"


def _error_object(payload: Any) -> Mapping[str, Any]:
    """The object that describes the error, out of whatever is wrapped around it."""
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if not isinstance(payload, dict):
        return {}
    inner = payload.get("error")
    return inner if isinstance(inner, dict) else payload


def _message(payload: Any) -> str:
    found = _error_object(payload)
    for name in _MESSAGES:
        text = _text_of(found.get(name))
        if text:
            return mask(text)
    return ""


def _text_of(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return next((text for name in _MESSAGES if isinstance(text := value.get(name), str)), "")
    if isinstance(value, list):  # FastAPI: [{"loc": ["body", "n"], "msg": "...", "type": "..."}]
        return "; ".join(filter(None, map(_detail, value)))
    return ""


def _detail(item: Any) -> str:
    if not isinstance(item, dict):
        return item if isinstance(item, str) else ""
    place = item.get("loc")
    where = ".".join(map(str, place)) if isinstance(place, list) else ""
    return f"{where}: {_text_of(item)}" if where else _text_of(item)


def _describe(error: GatewayError, payload: Any, status: int) -> None:
    """Set type, code and param as the upstream has them, null included."""
    found = _error_object(payload)
    fallback = _TYPES.get(status, "invalid_request_error" if status < 500 else "upstream_error")
    error.type = _field(found, "type") or fallback
    if found:
        error.code = _field(found, "code")
        error.param = _field(found, "param")


def _field(found: Mapping[str, Any], name: str) -> str | None:
    value = found.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return mask(value)[:FIELD_LIMIT] if isinstance(value, str) and value else None


def _stated_status(payload: Any) -> int | None:
    found = _error_object(payload)
    for name in ("code", "status_code", "status"):
        value = found.get(name)
        if isinstance(value, str) and value.isdecimal():
            value = int(value[:4])
        if isinstance(value, int) and 400 <= value <= 599:
            return value
    for name in ("code", "type"):
        value = found.get(name)
        if isinstance(value, str) and value in _STATUSES:
            return _STATUSES[value]
    return None


def _fault(status: int) -> Fault:
    if status in (401, 402, 403, 404):
        return Fault.CHANNEL
    return Fault.CALLER if status < 500 and status not in (408, 429) else Fault.UPSTREAM
