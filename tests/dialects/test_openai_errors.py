"""OpenAI's error object, read from upstreams and written for callers."""

import json
from typing import Any

import pytest

from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.openai_wire.errors import error_inside
from asgi_gateway.errors import Fault, InsufficientQuota, InvalidRequest, RateLimited, UpstreamError

CHAT = DIALECTS["openai_chat"]


def read(status: int, payload: Any, headers: dict[bytes, bytes] | None = None) -> UpstreamError:
    """What the dialect makes of an error answer."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return CHAT.read_error(status, headers or {}, body)


def test_an_error_object_is_kept() -> None:
    """Status, text, type, code and param are the upstream's own."""
    fields = {"message": "No 'n'.", "type": "invalid_request_error", "param": "n", "code": "unsupported_value"}
    error = read(400, {"error": fields})
    assert {"message": error.message, "type": error.type, "param": error.param, "code": error.code} == fields
    assert (error.status, error.original_status, error.fault) == (400, 400, Fault.CALLER)
    assert json.loads(CHAT.write_error(error)) == {"error": fields}


@pytest.mark.parametrize(
    ("status", "payload", "message", "type", "code"),
    [
        (400, {"error": {"message": "m", "type": "t", "code": None}}, "m", "t", None),
        (401, {"error": {"message": "m", "code": 401}}, "m", "authentication_error", "401"),
        (403, {"error": {"message": "m"}}, "m", "permission_error", None),
        (429, {"error": {"message": "m", "code": "RateLimitReached"}}, "m", "rate_limit_error", "RateLimitReached"),
        (500, {"error": "it broke"}, "it broke", "upstream_error", None),
        (404, {"error": {"error": "nested"}}, "nested", "invalid_request_error", None),
        (400, {"message": "m", "type": "t", "code": "c"}, "m", "t", "c"),
        (400, {"msg": "m", "code": 1002}, "m", "invalid_request_error", "1002"),
        (
            400,
            {"detail": "Model nonexistent is not supported."},
            "Model nonexistent is not supported.",
            "invalid_request_error",
            None,
        ),
        (400, {"detail": {"error": "inside"}}, "inside", "invalid_request_error", None),
        (400, {"detail": {"x": 1}}, "bad response status code 400", "invalid_request_error", None),
        (
            422,
            {"detail": [{"loc": ["body", "n", 0], "msg": "too big", "type": "x"}, {"msg": "second"}, "third", 4]},
            "body.n.0: too big; second; third",
            "invalid_request_error",
            None,
        ),
        (
            400,
            [{"error": {"code": 400, "message": "m", "status": "INVALID_ARGUMENT"}}],
            "m",
            "invalid_request_error",
            "400",
        ),
        (
            502,
            b"<html><h1>Bad gateway at http://10.1.2.3/</h1></html>",
            "bad response status code 502",
            "upstream_error",
            "upstream_error",
        ),
        (503, b"", "bad response status code 503", "upstream_error", "upstream_error"),
        (500, b"[" * 100_000, "bad response status code 500", "upstream_error", "upstream_error"),
        (500, [], "bad response status code 500", "upstream_error", "upstream_error"),
        (500, ["x"], "bad response status code 500", "upstream_error", "upstream_error"),
        (
            400,
            {"error": {"message": " ", "code": True, "type": ""}},
            "bad response status code 400",
            "invalid_request_error",
            None,
        ),
    ],
)
def test_what_look_alikes_send_instead(status: int, payload: Any, message: str, type: str, code: str | None) -> None:
    """The text is found wherever it is; what is missing follows from the status; a web page is never shown."""
    error = read(status, payload)
    assert (error.message, error.type, error.code) == (message, type, code)
    assert (error.status, error.original_status) == (status, status)


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        (400, Fault.CALLER),
        (413, Fault.CALLER),
        (422, Fault.CALLER),
        (401, Fault.CHANNEL),
        (402, Fault.CHANNEL),
        (403, Fault.CHANNEL),
        (404, Fault.CHANNEL),
        (408, Fault.UPSTREAM),
        (429, Fault.UPSTREAM),
        (500, Fault.UPSTREAM),
        (529, Fault.UPSTREAM),
    ],
)
def test_the_fault_follows_the_status(status: int, fault: Fault) -> None:
    """Until a provider knows better."""
    assert read(status, {}).fault is fault


def test_a_status_that_is_no_error_becomes_a_bad_gateway() -> None:
    """A redirect is not shown to a caller, but remembered."""
    error = read(302, b"")
    assert (error.status, error.original_status) == (502, 302)


def test_secrets_in_an_error_are_masked() -> None:
    """In the text, and in the fields beside it."""
    error = read(401, {"error": {"message": "Bad key sk-abcdef123456 at https://10.0.0.1/", "code": "sk-abcdef123456"}})
    assert "abcdef" not in CHAT.write_error(error).decode()
    assert "10.0.0.1" not in error.message


def test_the_wish_to_wait_is_kept_and_passed_on() -> None:
    """In seconds for us, in whole seconds for the caller."""
    error = read(429, {}, {b"retry-after-ms": b"1200"})
    assert error.retry_after == 1.2
    assert error.headers == ((b"retry-after", b"2"),)
    assert read(429, {}).headers == ()


@pytest.mark.parametrize(
    ("payload", "status", "original", "fault"),
    [
        ({"error": {"message": "m", "code": 400}}, 400, 400, Fault.CALLER),
        ({"error": {"message": "m", "code": "429"}}, 429, 429, Fault.UPSTREAM),
        ({"error": {"message": "m", "code": "x", "status_code": 503}}, 503, 503, Fault.UPSTREAM),
        (
            {"error": {"message": "m", "type": "invalid_request_error", "code": "rate_limit_exceeded"}},
            429,
            429,
            Fault.UPSTREAM,
        ),
        ({"error": {"message": "m", "type": "server_error", "code": None}}, 500, 500, Fault.UPSTREAM),
        ({"error": {"message": "m", "type": "authentication_error"}}, 502, 401, Fault.CHANNEL),
        ({"error": {"message": "m", "code": 402}}, 502, 402, Fault.CHANNEL),
        ({"error": {"message": "m", "code": "model_not_found"}}, 503, 404, Fault.CHANNEL),
        ({"error": {"message": "m", "code": 1002}}, 502, None, Fault.UPSTREAM),
        ({"error": {"message": "m", "code": 200}}, 502, None, Fault.UPSTREAM),
        ({"error": "m"}, 502, None, Fault.UPSTREAM),
    ],
)
def test_an_error_inside_a_good_answer_has_the_status_it_names(
    payload: dict[str, Any], status: int, original: int | None, fault: Fault
) -> None:
    """By number, else by code or type, else a bad gateway; the channel's troubles are not the caller's 401."""
    error = error_inside(payload)
    assert (error.status, error.original_status, error.fault) == (status, original, fault)
    assert (error.message == "m") is (fault is not Fault.CHANNEL)


def test_an_error_without_a_text_gets_one() -> None:
    """A caller is never told nothing."""
    assert error_inside({"error": {"x": 1}}).message


@pytest.mark.parametrize("name", ["openai_chat", "openai_completions", "openai_embeddings", "openai_moderations"])
def test_errors_are_written_in_openais_shape(name: str) -> None:
    """All four fields, in this order; null where there is none."""
    error = InvalidRequest("No “n”.", param="n")
    written = DIALECTS[name].write_error(error)
    assert json.loads(written) == {
        "error": {"message": "No “n”.", "type": "invalid_request_error", "param": "n", "code": None}
    }
    assert list(json.loads(written)["error"]) == ["message", "type", "param", "code"]
    assert DIALECTS[name].write_error_event(error) == b"data: " + written + b"\n\n"


@pytest.mark.parametrize("error", [RateLimited("slow", retry_after=2), InsufficientQuota("no \ud800 quota")])
def test_any_error_can_be_written(error: RateLimited | InsufficientQuota) -> None:
    """Also one whose text a caller has spoiled with half a character."""
    assert json.loads(CHAT.write_error(error))["error"]["code"] == error.code
