"""Google's error object, read and written: `{"error": {"code", "message", "status", "details"}}`.

Follows https://google.aip.dev/193 and https://ai.google.dev/gemini-api/docs/troubleshooting. `status` is a name of
google.rpc.Code, `details` hold typed objects of google.rpc (ErrorInfo, BadRequest, RetryInfo). Streams that are arrays
wrap the object in a list.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from asgi_gateway.dialects.masking import mask
from asgi_gateway.dialects.retry_after import retry_after
from asgi_gateway.errors import Fault, GatewayError, UpstreamError

__all__ = ["error_inside", "read_error", "write_error", "write_error_event"]

FIELD_LIMIT = 200

RPC = "type.googleapis.com/google.rpc."

_STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "ABORTED": 409,
    "ALREADY_EXISTS": 409,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 499,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "DATA_LOSS": 500,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""google.rpc.Code by name, with the HTTP status that Google documents for it."""

_NAMES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
    529: "UNAVAILABLE",
}

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def read_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
    """An error answer as an error, secrets masked. A body that is no JSON is not shown.

    `code` is the reason that Google names (`API_KEY_INVALID`), else its status; `param` the field it complains of.
    A wish to wait is taken from the headers, else from RetryInfo.
    """
    try:
        payload: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        payload = None
    found = _error_object(payload)
    shown = status if 400 <= status <= 599 else 502
    wait = retry_after(headers)
    if wait is None:
        wait = _retry_delay(found)
    error = UpstreamError(
        _message(found) or f"bad response status code {status}",
        fault=_fault(shown),
        original_status=status,
        retry_after=wait,
        status=shown,
        headers=[] if wait is None else [(b"retry-after", b"%d" % -int(-wait // 1))],
    )
    _describe(error, found, shown)
    return error


def error_inside(payload: Any) -> UpstreamError:
    """The error that an answer with a good status holds.

    What it says of the channel's own key, balance or model is not shown as the caller's.
    """
    found = _error_object(payload)
    stated = _stated_status(found)
    fault = Fault.UPSTREAM if stated is None else _fault(stated)
    if fault is Fault.CHANNEL:
        status, code = (503, "upstream_model_missing") if stated == 404 else (502, "upstream_auth")
        text = "The upstream cannot serve this channel."
        return UpstreamError(text, fault=fault, original_status=stated, status=status, code=code)
    message = _message(found) or "the upstream answered with an error"
    error = UpstreamError(message, fault=fault, original_status=stated, status=stated, retry_after=_retry_delay(found))
    _describe(error, found, error.status)
    return error


def write_error(error: GatewayError) -> bytes:
    """An error as a JSON body."""
    code = error.code or ""
    name = code if _STATUSES.get(code) == error.status else _name(error.status)
    inside: dict[str, Any] = {"code": error.status, "message": error.message, "status": name}
    details: list[dict[str, Any]] = []
    if code and code != name:
        details.append({"@type": RPC + "ErrorInfo", "reason": code.upper(), "domain": "asgi_gateway"})
    if error.param:
        violation = {"field": error.param, "description": error.message}
        details.append({"@type": RPC + "BadRequest", "fieldViolations": [violation]})
    for header, value in error.headers:
        if header == b"retry-after":
            details.append({"@type": RPC + "RetryInfo", "retryDelay": value.decode("latin-1") + "s"})
    if details:
        inside["details"] = details
    # json, not a faster encoder: it also takes lone surrogates, which a caller may have sent.
    return json.dumps({"error": inside}, separators=(",", ":")).encode()


def write_error_event(error: GatewayError) -> bytes:
    """An error as the last event of a stream of events. A stream that is an array is cut instead."""
    return b"data: " + write_error(error) + b"\r\n\r\n"


def _name(status: int) -> str:
    return _NAMES.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")


def _error_object(payload: Any) -> Mapping[str, Any]:
    if isinstance(payload, list) and payload:
        payload = payload[0]
    if not isinstance(payload, dict):
        return {}
    inner = payload.get("error")
    if isinstance(inner, str):  # OAuth (RFC 6749, 5.2)
        return {"status": inner, "message": payload.get("error_description") or inner}
    return inner if isinstance(inner, dict) else payload


def _message(found: Mapping[str, Any]) -> str:
    for name in ("message", "detail", "msg"):
        text = found.get(name)
        if isinstance(text, str) and text.strip():
            return mask(text.strip())
    return ""


def _details(found: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    details = found.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and str(detail.get("@type", "")).endswith("." + kind):
            yield detail


def _describe(error: GatewayError, found: Mapping[str, Any], status: int) -> None:
    error.type = _TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    if not found:
        return
    name = found.get("status")
    code = mask(name)[:FIELD_LIMIT] if isinstance(name, str) and name else None
    for info in _details(found, "ErrorInfo"):
        reason = info.get("reason")
        if isinstance(reason, str) and reason:
            code = mask(reason)[:FIELD_LIMIT]
            break
    error.code = code
    for request in _details(found, "BadRequest"):
        violations = request.get("fieldViolations")
        first = violations[0] if isinstance(violations, list) and violations else None
        field = first.get("field") if isinstance(first, dict) else None
        if isinstance(field, str) and field:
            error.param = mask(field)[:FIELD_LIMIT]


def _retry_delay(found: Mapping[str, Any]) -> float | None:
    for info in _details(found, "RetryInfo"):
        delay = info.get("retryDelay")
        text = delay.removesuffix("s") if isinstance(delay, str) else ""
        whole, _, rest = text.partition(".")
        if whole.isdecimal() and len(whole) < 9 and (not rest or rest.isdecimal()):
            return float(text)
    return None


def _stated_status(found: Mapping[str, Any]) -> int | None:
    code = found.get("code")
    if isinstance(code, int) and 400 <= code <= 599:
        return code
    name = found.get("status")
    return _STATUSES.get(name) if isinstance(name, str) else None


def _fault(status: int) -> Fault:
    if status in (401, 402, 403, 404):
        return Fault.CHANNEL
    return Fault.CALLER if status < 500 and status not in (408, 409, 429, 499) else Fault.UPSTREAM
