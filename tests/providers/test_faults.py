"""Whose failure an upstream's error is, and what the caller sees of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.errors import Fault, MalformedUpstream, UpstreamError
from asgi_gateway.providers.faults import Quirks, judge


def read(
    status: int,
    *,
    code: str | None = None,
    type: str = "invalid_request_error",
    param: str | None = None,
    message: str = "as the upstream said",
) -> UpstreamError:
    """An error as a dialect reads it: status and text kept, fault not yet judged."""
    error = UpstreamError(
        message,
        original_status=status,
        status=status,
        type=type,
        param=param,
        retry_after=7.0,
        headers=[(b"retry-after", b"7"), (b"x-other", b"1")],
    )
    error.code = code
    return error


def seen(error: UpstreamError) -> tuple[Fault, int, str | None]:
    return error.fault, error.status, error.code


@pytest.mark.parametrize("status", [401, 402, 403])
def test_refused_credentials_are_the_channels(status: int) -> None:
    """The caller sees a 502 with a neutral text, never its own 401, 402 or 403; the record keeps the original."""
    error = judge(read(status, message="Incorrect API key sk-secret", code="whatever"), status)
    assert seen(error) == (Fault.CHANNEL, 502, "upstream_auth")
    assert error.original_status == status
    assert error.type == "upstream_error"
    assert "secret" not in error.message
    assert error.headers == ()


@pytest.mark.parametrize(
    ("status", "code", "type"),
    [
        (400, "invalid_api_key", "invalid_request_error"),
        (400, "insufficient_quota", "insufficient_quota"),
        (400, None, "insufficient_quota"),
        (400, "Arrearage", "Arrearage"),
        (500, "invalid_api_key", "server_error"),
    ],
)
def test_a_bad_key_is_the_channels_under_any_status(status: int, code: str | None, type: str) -> None:
    """Some vendors answer 400 to a wrong key or an empty balance."""
    assert seen(judge(read(status, code=code, type=type), status)) == (Fault.CHANNEL, 502, "upstream_auth")


@pytest.mark.parametrize(
    ("code", "type"), [("insufficient_quota", "insufficient_quota"), (None, "exceeded_current_quota_error")]
)
def test_an_empty_balance_under_429_is_tried_elsewhere_and_kept(code: str | None, type: str) -> None:
    """A 429 keeps status, type, code and text; the fault is the channel's."""
    error = judge(read(429, code=code, type=type), 429)
    assert seen(error) == (Fault.CHANNEL, 429, code)
    assert (error.type, error.message) == (type, "as the upstream said")


@pytest.mark.parametrize(
    ("status", "code", "param"),
    [
        (404, "model_not_found", None),
        (404, "DeploymentNotFound", None),
        (404, "unknown_url", None),
        (404, None, None),
        (404, "404", "model"),
        (405, None, None),
        (410, None, None),
        (400, "model_not_found", "model"),
        (400, "model_decommissioned", None),
        (503, "model_not_found", None),
    ],
)
def test_a_missing_deployment_is_the_channels(status: int, code: str | None, param: str | None) -> None:
    """A wrong model or address is a mistake of the channel: 503, and tried elsewhere."""
    error = judge(read(status, code=code, param=param), status)
    assert seen(error) == (Fault.CHANNEL, 503, "upstream_model_missing")
    assert error.original_status == status
    assert error.headers == ()


@pytest.mark.parametrize(
    ("status", "code", "param"),
    [
        (400, None, "messages[0].role"),
        (400, "context_length_exceeded", "messages"),
        (400, "content_policy_violation", None),
        (403, "content_filter", None),
        (413, None, None),
        (415, None, None),
        (422, None, None),
        (451, None, None),
        (404, "not_found", "file_id"),
    ],
)
def test_what_the_caller_caused_is_kept(status: int, code: str | None, param: str | None) -> None:
    """Status, type, code, param and text, for a client that reads them; no other channel is tried."""
    error = judge(read(status, code=code, param=param), status)
    assert seen(error) == (Fault.CALLER, status, code)
    assert (error.type, error.param, error.message) == ("invalid_request_error", param, "as the upstream said")
    assert error.headers == ((b"x-other", b"1"),)


@pytest.mark.parametrize("status", [408, 409, 424, 425, 429, 498, 500, 501, 502, 503, 504, 524, 529])
def test_an_upstream_in_trouble_is_kept(status: int) -> None:
    """Status and text are its own; a wish to be left alone is passed on with 429 and 503."""
    error = judge(read(status, code="busy", type="server_error"), status)
    assert seen(error) == (Fault.UPSTREAM, status, "busy")
    assert error.retry_after == 7.0
    assert ((b"retry-after", b"7") in error.headers) == (status in (429, 503))


def test_a_rate_limit_is_the_upstreams_under_any_status() -> None:
    """A 413 for a prompt above the channel's tokens per minute may fit another channel."""
    assert seen(judge(read(413, code="rate_limit_exceeded", type="tokens"), 413)) == (
        Fault.UPSTREAM,
        413,
        "rate_limit_exceeded",
    )


@pytest.mark.parametrize("status", [100, 200, 204, 301, 302, 307, 308, 399, 418, 421, 431, 600, 999])
def test_what_no_upstream_should_answer_is_malformed(status: int) -> None:
    """A redirect is not followed: it would carry the key elsewhere."""
    error = judge(read(status), status)
    assert isinstance(error, MalformedUpstream)
    assert seen(error) == (Fault.UPSTREAM, 502, "upstream_malformed")
    assert error.original_status == status
    assert str(status) in error.message


def test_quirks_of_a_vendor_go_first() -> None:
    """A text that a vendor is known for says more than its status."""
    quirks = Quirks(channel=("incorrect api key",), caller=("was flagged",))
    wrong_key = judge(read(400, message="Incorrect API key provided."), 400, quirks)
    assert seen(wrong_key) == (Fault.CHANNEL, 502, "upstream_auth")
    flagged = judge(read(403, message="Your input was flagged."), 403, quirks)
    assert seen(flagged) == (Fault.CALLER, 403, None)
    assert seen(judge(read(403), 403, quirks)) == (Fault.CHANNEL, 502, "upstream_auth")


@given(
    status=st.integers(100, 999),
    code=st.none()
    | st.sampled_from(["insufficient_quota", "invalid_api_key", "model_not_found", "content_filter", "x"]),
    type=st.sampled_from(["invalid_request_error", "insufficient_quota", "server_error"]),
    param=st.none() | st.text(max_size=5),
)
def test_no_caller_ever_sees_401_or_402_of_the_channel(
    status: int, code: str | None, type: str, param: str | None
) -> None:
    """Whatever the upstream says, it is an error, and the channel's affairs stay the channel's."""
    error = judge(read(status, code=code, type=type, param=param), status)
    assert 400 <= error.status <= 599
    assert error.original_status == status
    if error.status in (401, 402, 403):
        assert error.fault is Fault.CALLER
        assert code == "content_filter"
    if error.fault is Fault.CHANNEL:
        assert error.status in (429, 502, 503)
