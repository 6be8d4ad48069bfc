"""Converse's format when nothing is converted: outline, splices, heads, taps and errors."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("botocore", reason="the vendor's SDK is asked what is valid")

from asgi_gateway.canonical import Reasoning, Usage
from asgi_gateway.dialects import classify
from asgi_gateway.dialects.bedrock_converse import BEDROCK_CONVERSE
from asgi_gateway.dialects.bedrock_converse.frames import exception_frame, frame_length
from asgi_gateway.dialects.contract import NOWHERE, Head, Operation, RequestOutline, Target
from asgi_gateway.errors import (
    Fault,
    GatewayError,
    InsufficientQuota,
    InvalidRequest,
    MalformedUpstream,
    RateLimited,
    UpstreamError,
)
from support.bedrock_converse import CLAUDE, MESSAGES, NOVA, path_of, read, stream
from support.strict import check_error, check_error_event

OUTLINE = RequestOutline(model="m")
DELTA = {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "hello there"}}}
USAGE = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
START: dict[str, Any] = {"messageStart": {"role": "assistant"}}
STOP: dict[str, Any] = {"messageStop": {"stopReason": "end_turn"}}
WHOLE = stream(START, DELTA, STOP, {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 1}}})
FAILURE = exception_frame("throttlingException", b'{"message":"slow"}')


def body(**fields: Any) -> bytes:
    """A request's body."""
    return json.dumps({"messages": MESSAGES, **fields}).encode()


def outlined(data: bytes, target: Target) -> RequestOutline:
    """What is read of a request."""
    return BEDROCK_CONVERSE.outline(data, target)


def test_model_and_stream_stand_in_the_path() -> None:
    """A model may be an ARN with slashes of its own."""
    arn = "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-opus-4-7"
    for model in (CLAUDE, arn):
        for streaming in (False, True):
            target = path_of(model, stream=streaming)
            found = classify("POST", target.path)
            assert found is not None
            assert found[0] is Operation.CHAT
            assert found[1].name == "bedrock_converse"
            assert outlined(body(inferenceConfig={"maxTokens": 5}), target) == RequestOutline(
                model=model,
                stream=streaming,
                max_output=5,
                wants_usage=True,
                framing="eventstream" if streaming else "sse",
            )
    assert outlined(body(inferenceConfig={"maxTokens": 5.0}), path_of()).max_output == 5
    assert outlined(b'{"system":[]}', path_of()).max_output is None


@pytest.mark.parametrize(
    ("data", "target", "param"),
    [
        (body(), NOWHERE, "modelId"),
        (body(), Target("/model/m/invoke"), "modelId"),
        (body(), path_of("m" * 3000), "modelId"),
        (b"{", path_of(), None),
        (b'{"messages":1,"inferenceConfig":1}', path_of(), "messages"),
        (body(inferenceConfig={"maxTokens": 0}), path_of(), "inferenceConfig.maxTokens"),
    ],
)
def test_what_cannot_be_is_refused(data: bytes, target: Target, param: str | None) -> None:
    """By the name of the field."""
    with pytest.raises(InvalidRequest) as wrong:
        outlined(data, target)
    assert wrong.value.param == param


def test_media_are_no_prompt() -> None:
    """Bytes in base64 are left out, wherever they stand."""
    image = {"image": {"format": "png", "source": {"bytes": "A" * 4000}}}
    data = body(messages=[{"role": "user", "content": [image, image]}])
    assert BEDROCK_CONVERSE.prompt_bytes(data) < 300
    assert BEDROCK_CONVERSE.prompt_bytes(b'{"bytes":"abc') == 13


def test_a_rewrite_changes_what_it_should_and_nothing_else() -> None:
    """The model is none of the body; what the body says about thinking itself wins."""
    data = b'{ "messages" : [ ], "inferenceConfig":{"temperature":0.5,"maxTokens":9000} }'
    assert BEDROCK_CONVERSE.rewrite(data, model="x") is data
    assert BEDROCK_CONVERSE.rewrite(data, reasoning=Reasoning(budget=7)) is data
    assert BEDROCK_CONVERSE.rewrite(data, overrides={"inferenceConfig": None, "a": 1}) == b'{"a":1, "messages" : [ ] }'
    changed = json.loads(BEDROCK_CONVERSE.rewrite(data, model=CLAUDE, reasoning=Reasoning(budget=2000)))
    assert changed["additionalModelRequestFields"] == {"thinking": {"type": "enabled", "budget_tokens": 2000}}
    assert changed["inferenceConfig"] == {"maxTokens": 9000}
    adaptive = json.loads(
        BEDROCK_CONVERSE.rewrite(data, model="anthropic.claude-opus-4-7", reasoning=Reasoning(effort="high"))
    )
    assert adaptive["outputConfig"] == {"effort": "high"}
    nova = json.loads(BEDROCK_CONVERSE.rewrite(data, model=NOVA, reasoning=Reasoning(effort="low")))
    assert nova["inferenceConfig"] == {"temperature": 0.5, "maxTokens": 9000}
    off = json.loads(BEDROCK_CONVERSE.rewrite(data, model=CLAUDE, reasoning=Reasoning(enabled=False)))
    assert off["inferenceConfig"] == {"temperature": 0.5, "maxTokens": 9000}
    for said in (
        {"additionalModelRequestFields": {"thinking": {"type": "disabled"}}},
        {"outputConfig": {"effort": "low"}},
        {"toolConfig": {"tools": [], "toolChoice": {"any": {}}}},
    ):
        assert BEDROCK_CONVERSE.rewrite(body(**said), model=CLAUDE, reasoning=Reasoning(budget=2000)) == body(**said)
    with pytest.raises(InvalidRequest):
        BEDROCK_CONVERSE.rewrite(b"[", overrides={"a": 1})


@pytest.mark.parametrize(
    ("data", "complete", "head"),
    [
        (b"", False, Head.WAIT),
        (stream(START), False, Head.WAIT),
        (stream(START, DELTA)[:-1], False, Head.WAIT),
        (stream(START, DELTA), False, Head.RELEASE),
        (stream(START, STOP), True, Head.RELEASE),
    ],
)
def test_the_head_of_a_stream_waits_for_output(data: bytes, complete: bool, head: Head) -> None:
    """Until then a failure can be tried elsewhere."""
    assert BEDROCK_CONVERSE.head(data, stream=True, complete=complete) is head


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "upstream_empty"),
        (stream(START), "upstream_empty"),
        (b"<html>no stream at all", "upstream_malformed"),
        (stream(START) + FAILURE, "ThrottlingException"),
    ],
)
def test_a_bad_head_of_a_stream_is_an_error(data: bytes, code: str) -> None:
    """An empty stream, or one that is none, or one that fails at once."""
    with pytest.raises(UpstreamError) as failed:
        BEDROCK_CONVERSE.head(data, stream=True, complete=True)
    assert failed.value.code == code


@pytest.mark.parametrize(
    ("data", "complete", "head"),
    [(b"", False, Head.WAIT), (b'{"o', False, Head.WAIT), (b'{"output":{"message":{}}}', True, Head.RELEASE)],
)
def test_the_head_of_a_plain_answer_waits_for_all_of_it(data: bytes, complete: bool, head: Head) -> None:
    """It is judged whole."""
    assert BEDROCK_CONVERSE.head(data, stream=False, complete=complete) is head


@pytest.mark.parametrize(
    ("data", "complete"),
    [(b"", True), (b"<html>", False), (b"{}", True), (b"{", True), (b"[1]", True), (b'{"message":"no"}', True)],
)
def test_a_bad_plain_answer_is_an_error(data: bytes, complete: bool) -> None:
    """Before anything of it is released."""
    with pytest.raises(UpstreamError):
        BEDROCK_CONVERSE.head(data, stream=False, complete=complete)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_a_stream_passes_unchanged_however_it_is_cut(cuts: list[int]) -> None:
    """Whole frames at a time, and its usage is learnt."""
    tap = BEDROCK_CONVERSE.tap(OUTLINE, stream=True)
    pieces = [tap.feed(WHOLE[a:b]) for a, b in pairwise([0, *sorted(cuts), len(WHOLE)])]
    for piece in pieces:
        start = 0
        while start < len(piece):
            length = frame_length(piece, start)
            assert length
            start += length
    assert b"".join(pieces) + tap.finish() == WHOLE
    assert (tap.usage, tap.output_estimate) == (Usage(input=3, output=2), 3)


def test_an_exception_is_kept_back_with_all_behind_it() -> None:
    """And raised at the end."""
    tap = BEDROCK_CONVERSE.tap(OUTLINE, stream=True)
    good = stream(START, DELTA)
    assert tap.feed(good + FAILURE + good) == good
    assert tap.feed(good) == b""
    with pytest.raises(UpstreamError, match="slow"):
        tap.finish()


def test_a_stream_without_its_end_is_malformed() -> None:
    """Also when its last frame is cut, or damaged."""
    for data in (stream(START, DELTA), WHOLE[:-1]):
        tap = BEDROCK_CONVERSE.tap(OUTLINE, stream=True)
        tap.feed(data)
        with pytest.raises(MalformedUpstream):
            tap.finish()
    with pytest.raises(MalformedUpstream):
        BEDROCK_CONVERSE.tap(OUTLINE, stream=True).feed(b"x" * 20)
    with pytest.raises(MalformedUpstream):
        BEDROCK_CONVERSE.tap(OUTLINE, stream=True).feed(WHOLE[:-1] + b"\0")


def test_a_metadata_that_cannot_be_read_tells_no_usage() -> None:
    """It passes all the same."""
    from asgi_gateway.dialects.bedrock_converse.frames import event_frame

    tap = BEDROCK_CONVERSE.tap(OUTLINE, stream=True)
    data = stream(STOP) + event_frame("metadata", b"?")
    assert tap.feed(data) + tap.finish() == data
    assert tap.usage is None


def test_a_plain_answer_is_tapped() -> None:
    """Its usage is read at its end."""
    data = json.dumps({"output": {"message": {"content": [{"text": "hello"}]}}, "usage": USAGE}).encode()
    tap = BEDROCK_CONVERSE.tap(OUTLINE, stream=False)
    assert tap.feed(data) + tap.finish() == data
    assert tap.usage == Usage(input=3, output=2)


@pytest.mark.parametrize(
    ("status", "header", "payload", "expected"),
    [
        (
            400,
            b"ValidationException:http://internal/x",
            {"message": "bad"},
            (400, "invalid_request_error", "ValidationException", "bad", Fault.CALLER),
        ),
        (
            400,
            b"ValidationException",
            {"message": "Input is too long for requested model."},
            (
                400,
                "invalid_request_error",
                "context_length_exceeded",
                "Input is too long for requested model.",
                Fault.CALLER,
            ),
        ),
        (
            403,
            b"",
            {"__type": "com.amazon.coral#AccessDeniedException", "Message": "no"},
            (403, "permission_error", "AccessDeniedException", "no", Fault.CHANNEL),
        ),
        (
            429,
            b"ThrottlingException",
            {},
            (429, "rate_limit_error", "ThrottlingException", "bad response status code 429", Fault.UPSTREAM),
        ),
        (
            400,
            b"ServiceQuotaExceededException",
            {"message": "full"},
            (429, "rate_limit_error", "ServiceQuotaExceededException", "full", Fault.UPSTREAM),
        ),
        (
            424,
            b"ModelErrorException",
            {"message": "x"},
            (424, "invalid_request_error", "ModelErrorException", "x", Fault.UPSTREAM),
        ),
        (503, b"", [], (503, "upstream_error", "upstream_error", "bad response status code 503", Fault.UPSTREAM)),
        (
            302,
            b"",
            {"code": 1},
            (502, "upstream_error", "upstream_error", "bad response status code 502", Fault.UPSTREAM),
        ),
    ],
)
def test_errors_are_read(status: int, header: bytes, payload: Any, expected: tuple[Any, ...]) -> None:
    """The exception's name from header or body, the text with secrets masked."""
    headers = {b"x-amzn-errortype": header, b"retry-after": b"3"}
    error = BEDROCK_CONVERSE.read_error(status, headers, json.dumps(payload).encode())
    assert (error.status, error.type, error.code, error.message, error.fault) == expected
    assert (error.retry_after, error.original_status) == (3.0, status)
    assert BEDROCK_CONVERSE.read_error(500, {}, b"<html>").message == "bad response status code 500"


@pytest.mark.parametrize(
    ("error", "name", "in_stream"),
    [
        (InvalidRequest("x"), "ValidationException", "validationException"),
        (GatewayError("x", status=401), "UnrecognizedClientException", "modelStreamErrorException"),
        (GatewayError("x", status=403), "AccessDeniedException", "modelStreamErrorException"),
        (RateLimited("x", retry_after=1), "ThrottlingException", "throttlingException"),
        (InsufficientQuota("x"), "ServiceQuotaExceededException", "throttlingException"),
        (GatewayError("x", status=503), "ServiceUnavailableException", "serviceUnavailableException"),
        (GatewayError("x"), "InternalServerException", "internalServerException"),
        (
            UpstreamError("x", status=429, code="ModelNotReadyException"),
            "ModelNotReadyException",
            "modelStreamErrorException",
        ),
        (
            UpstreamError("x", status=502, code="ModelNotReadyException"),
            "InternalServerException",
            "internalServerException",
        ),
    ],
)
def test_errors_are_written(error: GatewayError, name: str, in_stream: str) -> None:
    """As a body that the SDKs know the exception of, and as the last frame of a stream."""
    written = BEDROCK_CONVERSE.write_error(error)
    check_error("bedrock_converse", written)
    assert json.loads(written) == {"__type": name, "message": "x"}
    event = BEDROCK_CONVERSE.write_error_event(error)
    check_error_event("bedrock_converse", event)
    with pytest.raises(UpstreamError) as failed:
        BEDROCK_CONVERSE.head(event, stream=True, complete=False)
    assert failed.value.code == in_stream[:1].upper() + in_stream[1:]


def test_a_converted_request_needs_no_headers() -> None:
    """Everything stands in path and body."""
    assert BEDROCK_CONVERSE.request_headers(read()) == ()
