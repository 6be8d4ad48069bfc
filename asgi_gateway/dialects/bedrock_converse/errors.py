"""Bedrock's errors, read and written: `{"message"}`, with the exception's name in `x-amzn-errortype` or `__type`.

Follows https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html and the exceptions that Converse and
ConverseStream declare. The name is written as `__type`, which the AWS SDKs read as they read the header.
"""

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from asgi_gateway.dialects.bedrock_converse.frames import exception_frame
from asgi_gateway.dialects.masking import mask
from asgi_gateway.dialects.retry_after import retry_after
from asgi_gateway.errors import Fault, GatewayError, InsufficientQuota, UpstreamError

__all__ = ["error_inside", "exception_of", "read_error", "write_error", "write_error_event"]

_STATUSES: Mapping[str, int] = MappingProxyType(
    {
        "AccessDeniedException": 403,
        "ConflictException": 400,
        "ExpiredTokenException": 403,
        "IncompleteSignature": 403,
        "InternalServerException": 500,
        "InvalidSignatureException": 403,
        "MissingAuthenticationTokenException": 403,
        "ModelErrorException": 424,
        "ModelNotReadyException": 429,
        "ModelStreamErrorException": 424,
        "ModelTimeoutException": 408,
        "ResourceNotFoundException": 404,
        "ServiceQuotaExceededException": 429,
        "ServiceUnavailableException": 503,
        "ThrottlingException": 429,
        "UnrecognizedClientException": 403,
        "ValidationException": 400,
    }
)
"""Exceptions and their statuses."""

_NAMES: Mapping[int, str] = MappingProxyType(
    {
        401: "UnrecognizedClientException",
        403: "AccessDeniedException",
        404: "ResourceNotFoundException",
        408: "ModelTimeoutException",
        424: "ModelErrorException",
        429: "ThrottlingException",
        503: "ServiceUnavailableException",
        504: "ModelTimeoutException",
    }
)
"""Exceptions by the status of our errors; else invalid below 500, internal from there on."""

_TYPES: Mapping[int, str] = MappingProxyType(
    {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
)

_IN_STREAM: Mapping[str, str] = MappingProxyType(
    {
        "ServiceUnavailableException": "serviceUnavailableException",
        "ThrottlingException": "throttlingException",
        "ServiceQuotaExceededException": "throttlingException",
        "ValidationException": "validationException",
        "InternalServerException": "internalServerException",
    }
)
"""What a stream may end with; other exceptions end it as an error of the model."""


def read_error(status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
    """An error answer as an error: status, exception's name and text kept, secrets masked."""
    try:
        payload: Any = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        payload = None
    name = _stated(headers.get(b"x-amzn-errortype", b"").decode("latin-1"), payload)
    shown = status if 400 <= status <= 599 else 502
    wait = retry_after(headers)
    headers_shown = [] if wait is None else [(b"retry-after", b"%d" % -int(-wait // 1))]
    return _error(name, _message(payload), shown, status, wait, headers_shown)


def error_inside(name: str, payload: Any) -> UpstreamError:
    """The error that an exception inside an answer tells of; `name` as the frame has it."""
    upper = name[:1].upper() + name[1:]
    status = _STATUSES.get(upper, 502)
    return _error(upper, _message(payload) or name, status, None, None, [])


def exception_of(error: GatewayError) -> str:
    """The name of the exception that an error is to a caller of Bedrock."""
    if isinstance(error, UpstreamError) and error.code in _STATUSES and _STATUSES[error.code] == error.status:
        return error.code
    if isinstance(error, InsufficientQuota):
        return "ServiceQuotaExceededException"
    found = _NAMES.get(error.status)
    return found or ("ValidationException" if error.status < 500 else "InternalServerException")


def write_error(error: GatewayError) -> bytes:
    """An error as a JSON body."""
    # json, not a faster encoder: it also takes lone surrogates, which a caller may have sent.
    fields = {"__type": exception_of(error), "message": error.message}
    return json.dumps(fields, separators=(",", ":")).encode()


def write_error_event(error: GatewayError) -> bytes:
    """An error as the last frame of a stream."""
    name = _IN_STREAM.get(exception_of(error), "modelStreamErrorException")
    return exception_frame(name, json.dumps({"message": error.message}, separators=(",", ":")).encode())


def _error(
    name: str,
    message: str,
    shown: int,
    status: int | None,
    wait: float | None,
    headers: list[tuple[bytes, bytes]],
) -> UpstreamError:
    fault = _fault(shown)
    if name == "ServiceQuotaExceededException":
        fault, shown = Fault.UPSTREAM, 429
    error = UpstreamError(
        message or f"bad response status code {shown}",
        fault=fault,
        original_status=status,
        retry_after=wait,
        status=shown,
        type=_TYPES.get(shown, "invalid_request_error" if shown < 500 else "upstream_error"),
        headers=headers,
    )
    if shown == 400 and "too long" in message.lower():
        error.code = "context_length_exceeded"
    elif name:
        error.code = name
    return error


def _stated(header: str, payload: Any) -> str:
    """The exception's name: `ValidationException:http://…` in a header, `com.amazon…#ValidationException` in a body."""
    found: Any = header
    if not found and isinstance(payload, dict):
        found = payload.get("__type") or payload.get("code")
    return found.split(":", 1)[0].rsplit("#", 1)[-1][:64] if isinstance(found, str) else ""


def _message(payload: Any) -> str:
    if not isinstance(payload, dict):
        return ""
    for name in ("message", "Message", "originalMessage"):
        text = payload.get(name)
        if isinstance(text, str) and text:
            return mask(text)
    return ""


def _fault(status: int) -> Fault:
    if status in (401, 402, 403, 404):
        return Fault.CHANNEL
    return Fault.CALLER if status < 500 and status not in (408, 424, 429) else Fault.UPSTREAM
