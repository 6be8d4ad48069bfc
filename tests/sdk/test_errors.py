"""Refusals and failures become the SDK's own exceptions, and it tries again exactly where that is of use."""

import openai
import pytest

from support.broken_upstream import ANSWER, EVENTS, LONG_ANSWER, error_object, refusal, sized, stream_of, wire
from support.caller import Caller
from support.openai_answers import chat, in_turn
from support.scripted_upstream import Script
from support.sdk import MESSAGES, POOR, Sdk, Service, items
from support.waiting import eventually

HELLO = chat({"content": "hello"}, [{"content": "hello"}])

Error = tuple[type[openai.APIStatusError], int, str, str | None, str | None]
"""Class, status, type, code, param."""


def told(error: openai.APIStatusError) -> Error:
    """What an exception says."""
    return type(error), error.status_code, str(error.type), error.code, error.param


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"model": "nothing"}, (openai.NotFoundError, 404, "invalid_request_error", "model_not_found", "model")),
        ({"model": ""}, (openai.BadRequestError, 400, "invalid_request_error", None, None)),
        ({"messages": []}, (openai.BadRequestError, 400, "invalid_request_error", "empty_array", "messages")),
        ({"messages": "hi"}, (openai.BadRequestError, 400, "invalid_request_error", "invalid_type", "messages")),
        ({"n": 0}, (openai.BadRequestError, 400, "invalid_request_error", "integer_below_min_value", "n")),
        ({"max_tokens": "9"}, (openai.BadRequestError, 400, "invalid_request_error", "invalid_type", "max_tokens")),
        ({"stream": "yes"}, (openai.BadRequestError, 400, "invalid_request_error", "invalid_type", "stream")),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
async def test_a_request_that_cannot_be_served(sdk: Sdk, options: dict[str, object], expected: Error) -> None:
    """It is refused as OpenAI refuses it, and reaches no upstream."""
    sdk.service.plays(HELLO)
    with pytest.raises(openai.APIStatusError) as refused:
        await sdk.chat(**options)
    assert told(refused.value) == expected
    assert refused.value.request_id is not None
    assert sdk.service.upstream.visits == []


INVALID_KEY = (openai.AuthenticationError, 401, "invalid_request_error", "invalid_api_key", None)
WRONG_PLACE = (openai.PermissionDeniedError, 403, "permission_error", "network_not_allowed", None)
WRONG_MODEL = (openai.PermissionDeniedError, 403, "permission_error", "model_not_allowed", "model")
NO_QUOTA = (openai.RateLimitError, 429, "insufficient_quota", "insufficient_quota", None)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("sk-unknown", INVALID_KEY),
        ("sk-disabled-0123456789abcdef", INVALID_KEY),
        ("sk-expired-0123456789abcdef", INVALID_KEY),
        ("sk-elsewhere-0123456789abcdef", WRONG_PLACE),
        ("sk-bound-0123456789abcdef", WRONG_MODEL),
        (POOR.key, NO_QUOTA),
    ],
)
async def test_a_key_that_may_not(sdk: Sdk, key: str, expected: Error) -> None:
    """Each reason in the class that clients look for."""
    sdk.service.plays(HELLO)
    async with sdk.as_other(key) as other:
        with pytest.raises(openai.APIStatusError) as refused:
            await other.chat()
    assert told(refused.value) == expected
    assert sdk.service.upstream.visits == []


async def test_unknown_disabled_and_expired_are_one(service: Service) -> None:
    """Byte by byte."""
    keys = ["sk-unknown", "sk-disabled-0123456789abcdef", "sk-expired-0123456789abcdef"]
    bodies = {(await Caller(service.gateway.port, key, model="m").call()).body for key in keys}
    assert len(bodies) == 1


UPSTREAM = [
    (refusal(400, error_object("invalid_request_error", "context_length_exceeded", param="messages")),
     (openai.BadRequestError, 400, "invalid_request_error", "context_length_exceeded", "messages")),
    (refusal(422, error_object("invalid_request_error")),
     (openai.UnprocessableEntityError, 422, "invalid_request_error", None, None)),
    (refusal(429, error_object("rate_limit_error", "rate_limit_exceeded"), retry_after="3"),
     (openai.RateLimitError, 429, "rate_limit_error", "rate_limit_exceeded", None)),
    (refusal(500, error_object("server_error")), (openai.InternalServerError, 500, "server_error", None, None)),
    (refusal(401, error_object("invalid_request_error", "invalid_api_key")),
     (openai.InternalServerError, 502, "upstream_error", "upstream_auth", None)),
    (refusal(404, error_object("invalid_request_error", "model_not_found", param="model")),
     (openai.InternalServerError, 503, "upstream_error", "upstream_model_missing", None)),
    (sized(b"<html>"), (openai.InternalServerError, 502, "upstream_error", "upstream_malformed", None)),
]  # fmt: skip


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("wired", "expected"), UPSTREAM, ids=[f"{expected[1]}-{expected[3]}" for _, expected in UPSTREAM]
)
async def test_an_upstream_that_refuses(sdk: Sdk, wired: bytes, expected: Error, stream: bool) -> None:
    """Before a stream began it is an exception of the call, as of one that is not streamed."""
    sdk.service.plays(wire(wired))
    with pytest.raises(openai.APIStatusError) as refused:
        await sdk.chat(stream=stream)
    assert told(refused.value) == expected
    assert refused.value.response.headers.get("retry-after") == ("3" if expected[1] == 429 else None)


async def test_a_stream_that_fails_late(sdk: Sdk) -> None:
    """What came is given, then the SDK raises what the error event says."""
    sdk.service.plays(wire(b"", stream_of(EVENTS + b"data: " + error_object("overloaded_error") + b"\n\n")))
    stream = await sdk.chat(stream=True)
    with pytest.raises(openai.APIError, match="scripted failure") as failed:
        await items(stream)
    assert failed.value.type == "overloaded_error"


async def test_a_long_answer_that_breaks(sdk: Sdk) -> None:
    """It is no answer: the SDK notices that the connection was cut."""
    half = LONG_ANSWER[: len(LONG_ANSWER) // 2]
    sdk.service.plays(wire(sized(half, promised=len(LONG_ANSWER)), then="close"))
    with pytest.raises(openai.APIConnectionError):
        await sdk.chat()


def requests_of(service: Service, name: str) -> int:
    """How many requests the gateway got from a caller who names itself so."""
    return sum(record["client_id"] == name for record in service.gateway.records)


@pytest.mark.parametrize(
    ("script", "requests"),
    [
        (in_turn(wire(refusal(500)), wire(refusal(429, retry_after="0")), wire(sized(ANSWER))), 3),
        (in_turn(wire(refusal(500)), wire(sized(ANSWER))), 2),
    ],
)
async def test_the_sdk_tries_again_what_may_pass(service: Service, script: Script, requests: int) -> None:
    """An upstream's 429 and 5xx, when no other channel is left."""
    service.plays(script)
    name = f"again-{requests}"
    async with Sdk(service, blocking=False, retries=2) as patient:
        answer = await patient.chat(extra_headers={"x-request-id": name})
    assert answer.choices[0].message.content == "hello"
    assert len(service.upstream.visits) == requests
    await eventually(lambda: requests_of(service, name) == requests, 10, "access records")


async def test_an_empty_balance_is_not_tried_again(service: Service) -> None:
    """The answer says so: `x-should-retry: false`."""
    service.plays(HELLO)
    async with Sdk(service, blocking=False, key=POOR.key, retries=2) as patient:
        with pytest.raises(openai.RateLimitError) as refused:
            await patient.chat(extra_headers={"x-request-id": "poor"})
    assert refused.value.response.headers["x-should-retry"] == "false"
    await eventually(lambda: requests_of(service, "poor") > 0, 10, "access record")
    assert requests_of(service, "poor") == 1
    assert service.upstream.visits == []


async def test_a_limit_of_ours_says_when_to_come_back(service: Service) -> None:
    """The second request within the hour is a `RateLimitError` with `retry-after`."""
    service.plays(HELLO, "limited")
    async with Sdk(service, blocking=False) as client:
        await client.chat(model="limited")
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat(model="limited")
    assert told(refused.value)[1:4] == (429, "rate_limit_error", "rate_limit_exceeded")
    assert 0 < int(refused.value.response.headers["retry-after"]) <= 3600


async def test_a_path_that_nobody_offers(sdk: Sdk) -> None:
    """It is not found, in OpenAI's shape."""
    with pytest.raises(openai.NotFoundError) as refused:
        await sdk.call("batches.list")
    assert refused.value.code == "unknown_url"


async def test_a_wrong_key_in_a_stream_is_an_exception_of_the_call(sdk: Sdk) -> None:
    """Nothing has begun."""
    async with sdk.as_other("sk-unknown") as stranger:
        with pytest.raises(openai.AuthenticationError):
            await stranger.chat(stream=True, messages=MESSAGES)
