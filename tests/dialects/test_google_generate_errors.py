"""Google's errors, read and written."""

import json
from typing import Any

import pytest

from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE as GOOGLE
from asgi_gateway.dialects.google_generate.errors import error_inside
from asgi_gateway.errors import (
    Fault,
    GatewayError,
    InsufficientQuota,
    InvalidRequest,
    ModelNotFound,
    NoChannelAvailable,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
    UpstreamError,
    UpstreamTimeout,
)

RPC = "type.googleapis.com/google.rpc."


def error_of(code: int, *, wrapped: bool = False, **inside: Any) -> UpstreamError:
    """An error body, read."""
    payload: Any = {"error": {"code": code, **inside}}
    return GOOGLE.read_error(code, {}, json.dumps([payload] if wrapped else payload).encode())


@pytest.mark.parametrize("wrapped", [False, True])
def test_an_error_is_read_with_its_fields(wrapped: bool) -> None:
    """Also from the list that a stream's error is wrapped in."""
    error = error_of(
        400,
        wrapped=wrapped,
        message="API key not valid. Please pass a valid API key.",
        status="INVALID_ARGUMENT",
        details=[{"@type": RPC + "ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}, 5],
    )
    assert (error.status, error.type, error.code) == (400, "invalid_request_error", "API_KEY_INVALID")
    assert error.message == "API key not valid. Please pass a valid API key."
    assert error.fault is Fault.CALLER


def test_the_field_complained_of_is_the_param() -> None:
    """Of the first violation."""
    details = [{"@type": RPC + "BadRequest", "fieldViolations": [{"field": "contents[0]", "description": "bad"}]}]
    error = error_of(400, message="bad", status="INVALID_ARGUMENT", details=details)
    assert (error.code, error.param) == ("INVALID_ARGUMENT", "contents[0]")


@pytest.mark.parametrize(
    ("delay", "wait"), [("48s", 48.0), ("1.5s", 1.5), ("soon", None), ("", None), (5, None), ("1.x", None)]
)
def test_the_wish_to_wait_is_read(delay: Any, wait: float | None) -> None:
    """From RetryInfo, when no header says it."""
    info = [{"@type": RPC + "RetryInfo", "retryDelay": delay}]
    error = error_of(429, message="Quota exceeded", status="RESOURCE_EXHAUSTED", details=info)
    assert error.retry_after == wait
    assert (error.type, error.fault) == ("rate_limit_error", Fault.UPSTREAM)
    if wait is not None:
        assert error.headers == ((b"retry-after", b"%d" % -int(-wait // 1)),)
    with_header = GOOGLE.read_error(429, {b"retry-after": b"7"}, b"{}")
    assert with_header.retry_after == 7


@pytest.mark.parametrize(
    ("body", "message", "code"),
    [
        (b"<html>", "bad response status code 502", "upstream_error"),
        (b"", "bad response status code 502", "upstream_error"),
        (b"[]", "bad response status code 502", "upstream_error"),
        (b'{"error": {"details": 5}}', "bad response status code 502", None),
        (b'{"error": "invalid_grant", "error_description": "no"}', "no", "invalid_grant"),
        (b'{"detail": "nothing here"}', "nothing here", None),
        (b'{"error": {"message": "see https://a.example.com/x", "details": [{"@type": "a.BadRequest"}]}}',
         "see ***", None),
    ],
)  # fmt: skip
def test_other_bodies_are_read_as_far_as_they_go(body: bytes, message: str, code: str | None) -> None:
    """Secrets and addresses are masked."""
    error = GOOGLE.read_error(502, {}, body)
    assert (error.message, error.code, error.status) == (message, code, 502)


def test_a_status_that_is_no_error_is_a_bad_gateway() -> None:
    """A redirection, for instance."""
    error = GOOGLE.read_error(302, {}, b"{}")
    assert (error.status, error.original_status) == (502, 302)


@pytest.mark.parametrize(
    ("payload", "status", "fault"),
    [
        ({"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}, 503, Fault.UPSTREAM),
        ({"error": {"status": "INVALID_ARGUMENT"}}, 400, Fault.CALLER),
        ({"error": {"code": 403}}, 502, Fault.CHANNEL),
        ({"error": {"code": 404}}, 503, Fault.CHANNEL),
        ({"error": {"code": "odd"}}, 502, Fault.UPSTREAM),
    ],
)
def test_an_error_inside_an_answer_names_its_own_status(payload: Any, status: int, fault: Fault) -> None:
    """What it says of the channel is not shown as the caller's."""
    error = error_inside(payload)
    assert (error.status, error.fault) == (status, fault)


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        (InvalidRequest("no", param="contents"), 400, "INVALID_ARGUMENT"),
        (Unauthenticated("no"), 401, "UNAUTHENTICATED"),
        (PermissionDenied("no"), 403, "PERMISSION_DENIED"),
        (ModelNotFound("no"), 404, "NOT_FOUND"),
        (PayloadTooLarge("no"), 413, "INVALID_ARGUMENT"),
        (RateLimited("no", retry_after=1.2), 429, "RESOURCE_EXHAUSTED"),
        (InsufficientQuota("no"), 429, "RESOURCE_EXHAUSTED"),
        (NoChannelAvailable("no"), 503, "UNAVAILABLE"),
        (UpstreamError("no"), 502, "UNAVAILABLE"),
        (UpstreamTimeout("no", phase="idle"), 504, "DEADLINE_EXCEEDED"),
        (GatewayError("no"), 500, "INTERNAL"),
        (GatewayError("no", status=599), 599, "INTERNAL"),
        (UpstreamError("no", status=400, code="FAILED_PRECONDITION"), 400, "FAILED_PRECONDITION"),
        (UpstreamError("no", status=503, code="NOT_FOUND"), 503, "UNAVAILABLE"),
    ],
)
def test_every_error_is_written_as_google_writes_it(error: GatewayError, code: int, status: str) -> None:
    """By a name of google.rpc.Code; it is read again as it was."""
    body = GOOGLE.write_error(error)
    inside = json.loads(body)["error"]
    assert (inside["code"], inside["status"], inside["message"]) == (code, status, "no")
    again = GOOGLE.read_error(code, {}, body)
    assert (again.status, again.message, again.param) == (code, "no", error.param)
    assert GOOGLE.write_error_event(error) == b"data: " + body + b"\r\n\r\n"


def test_reason_field_and_delay_stand_in_the_details() -> None:
    """Typed, as google.rpc has them."""
    error = RateLimited("slow down", retry_after=1.2)
    assert json.loads(GOOGLE.write_error(error))["error"]["details"] == [
        {"@type": RPC + "ErrorInfo", "reason": "RATE_LIMIT_EXCEEDED", "domain": "asgi_gateway"},
        {"@type": RPC + "RetryInfo", "retryDelay": "2s"},
    ]
    assert GOOGLE.read_error(429, {}, GOOGLE.write_error(error)).retry_after == 2
    invalid = InvalidRequest("bad \ud800", param="x")
    assert json.loads(GOOGLE.write_error(invalid))["error"]["details"] == [
        {"@type": RPC + "BadRequest", "fieldViolations": [{"field": "x", "description": "bad \ud800"}]}
    ]
