"""Cohere's format when nothing is converted: outline, splices, heads, taps and errors."""

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("cohere", reason="the vendor's SDK is asked what is valid")

from asgi_gateway.canonical import Reasoning, Usage
from asgi_gateway.dialects.cohere_chat import COHERE_CHAT
from asgi_gateway.dialects.contract import Head, RequestOutline
from asgi_gateway.errors import Fault, GatewayError, InvalidRequest, MalformedUpstream, UpstreamError
from support.cohere_chat import stream
from support.strict import check_error, check_error_event

OUTLINE = RequestOutline(model="m")
START = {"type": "message-start", "id": "r", "delta": {"message": {"role": "assistant"}}}
DELTA = {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "hello there"}}}}
USAGE = {"billed_units": {"input_tokens": 3, "output_tokens": 2}}
END = {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": USAGE}}
FAILED = {"type": "message-end", "delta": {"finish_reason": "ERROR", "error": "oops"}}
WHOLE = stream(START, DELTA, END) + b"data: [DONE]\n\n"


def body(**fields: Any) -> bytes:
    """A request's body."""
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **fields}).encode()


@pytest.mark.parametrize(
    ("data", "outline"),
    [
        (body(), RequestOutline(model="m", wants_usage=True)),
        (body(stream=True, max_tokens=5), RequestOutline(model="m", stream=True, max_output=5, wants_usage=True)),
        (body(max_tokens=5.0), RequestOutline(model="m", max_output=5, wants_usage=True)),
        (b'{"model":"m","messages":[{}]}', RequestOutline(model="m", wants_usage=True)),
    ],
)
def test_a_request_is_outlined(data: bytes, outline: RequestOutline) -> None:
    """A stream always tells its usage."""
    assert COHERE_CHAT.outline(data) == outline


@pytest.mark.parametrize(
    ("data", "param"),
    [
        (b"{", None),
        (b"[]", None),
        (b'{"messages":[{}]}', "model"),
        (b'{"model":"m"}', "messages"),
        (b'{"model":"m","messages":[]}', "messages"),
        (b'{"model":"m","messages":{"a":"1234567890"}}', "messages"),
        (body(model="m" * 300), "model"),
        (body(stream="yes"), "stream"),
        (body(max_tokens=0), "max_tokens"),
    ],
)
def test_what_cannot_be_is_refused(data: bytes, param: str | None) -> None:
    """By the name of the field."""
    with pytest.raises(InvalidRequest) as wrong:
        COHERE_CHAT.outline(data)
    assert wrong.value.param == param


def test_media_are_no_prompt() -> None:
    """Words that only look like them are."""
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}
    data = body(messages=[{"role": "user", "content": [image]}])
    assert COHERE_CHAT.prompt_bytes(data) < 300
    said = body(messages=[{"role": "user", "content": "data:image/png;base64," + "A" * 4000}])
    assert COHERE_CHAT.prompt_bytes(said) == len(said)
    assert COHERE_CHAT.prompt_bytes(b"x;base64,") == 9


def test_a_rewrite_changes_what_it_should_and_nothing_else() -> None:
    """Model, thinking and a channel's own fields; what the body says about thinking itself wins."""
    data = b'{ "model" : "a", "messages": [ {"role":"user","content":"Hi"} ],"k": 3}'
    assert COHERE_CHAT.rewrite(data, model="b") == data.replace(b'"a"', b'"b"')
    assert COHERE_CHAT.rewrite(data, overrides={"k": None, "p": 0.5}) == (
        b'{"p":0.5, "model" : "a", "messages": [ {"role":"user","content":"Hi"} ]}'
    )
    thinking = json.loads(COHERE_CHAT.rewrite(data, reasoning=Reasoning(budget=7)))["thinking"]
    assert thinking == {"type": "enabled", "token_budget": 7}
    assert COHERE_CHAT.rewrite(data, reasoning=Reasoning(visible=True)) == data
    said = body(thinking={"type": "disabled"})
    assert COHERE_CHAT.rewrite(said, reasoning=Reasoning(budget=7)) == said
    with pytest.raises(InvalidRequest):
        COHERE_CHAT.rewrite(b"[", model="x")


@pytest.mark.parametrize(
    ("data", "complete", "head"),
    [
        (b"", False, Head.WAIT),
        (stream(START), False, Head.WAIT),
        (stream(START, DELTA), False, Head.RELEASE),
        (stream(START, DELTA)[:-1], False, Head.WAIT),
        (b": hello\n\ndata: [DONE]\n\n" + stream(END), True, Head.RELEASE),
        (stream({"type": "tool-call-start", "index": 0}), False, Head.RELEASE),
    ],
)
def test_the_head_of_a_stream_waits_for_output(data: bytes, complete: bool, head: Head) -> None:
    """Until then a failure can be tried elsewhere."""
    assert COHERE_CHAT.head(data, stream=True, complete=complete) is head


@pytest.mark.parametrize(
    ("data", "malformed"),
    [
        (b"", True),
        (stream(START), True),
        (b"data: {\n\n", True),
        (b"<html>", True),
        (b'{"message":"no"}', False),
        (stream(FAILED), False),
        (b'data: {"message":"no"}\n\n', False),
    ],
)
def test_a_bad_head_of_a_stream_is_an_error(data: bytes, malformed: bool) -> None:
    """An empty stream, or one that is none, or one that fails at once."""
    with pytest.raises(UpstreamError) as failed:
        COHERE_CHAT.head(data, stream=True, complete=True)
    assert isinstance(failed.value, MalformedUpstream) is malformed


@pytest.mark.parametrize(
    ("data", "complete", "head"),
    [(b"", False, Head.WAIT), (b'{"me', False, Head.WAIT), (b'{"message":{}}', True, Head.RELEASE)],
)
def test_the_head_of_a_plain_answer_waits_for_all_of_it(data: bytes, complete: bool, head: Head) -> None:
    """It is judged whole."""
    assert COHERE_CHAT.head(data, stream=False, complete=complete) is head


@pytest.mark.parametrize(
    ("data", "complete"),
    [
        (b"", True),
        (b"<html>", False),
        (b"{}", True),
        (b"{", True),
        (b'{"message":"no"}', True),
        (b'{"message":{},"finish_reason":"ERROR"}', True),
    ],
)
def test_a_bad_plain_answer_is_an_error(data: bytes, complete: bool) -> None:
    """Before anything of it is released."""
    with pytest.raises(UpstreamError):
        COHERE_CHAT.head(data, stream=False, complete=complete)


@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_a_stream_passes_unchanged_however_it_is_cut(cuts: list[int]) -> None:
    """Whole events at a time, and its usage is learnt."""
    tap = COHERE_CHAT.tap(OUTLINE, stream=True)
    edges = [0, *sorted(cuts), len(WHOLE)]
    pieces = [tap.feed(WHOLE[a:b]) for a, b in itertools.pairwise(edges)]
    assert all(piece == b"" or piece.endswith(b"\n") for piece in pieces)
    assert b"".join(pieces) + tap.finish() == WHOLE
    assert tap.usage == Usage(input=3, output=2)
    assert tap.output_estimate == 3


def test_an_error_is_kept_back_with_all_behind_it() -> None:
    """And raised at the end."""
    tap = COHERE_CHAT.tap(OUTLINE, stream=True)
    good = stream(START, DELTA)
    assert tap.feed(good + stream(FAILED, DELTA)) == good
    assert tap.feed(stream(DELTA)) == b""
    with pytest.raises(UpstreamError, match="oops"):
        tap.finish()


def test_a_stream_without_its_end_is_malformed() -> None:
    """Also when its last event is cut."""
    for data in (stream(START, DELTA), stream(START, DELTA, END)[:-20]):
        tap = COHERE_CHAT.tap(OUTLINE, stream=True)
        tap.feed(data)
        with pytest.raises(MalformedUpstream):
            tap.finish()


def test_a_long_stream_is_counted_and_not_held() -> None:
    """An event too long to be held passes in pieces."""
    tap = COHERE_CHAT.tap(OUTLINE, stream=True)
    for _ in range(200):
        tap.feed(stream(DELTA))
    long = b"event: debug\ndata: " + b"x" * (1 << 19) + b"\n\n"
    given_out = tap.feed(long[: 1 << 18]) + tap.feed(long[1 << 18 :]) + tap.feed(stream(END))
    assert given_out + tap.finish() == long + stream(END)
    assert tap.output_estimate == 550
    assert tap.usage == Usage(input=3, output=2)


def test_a_plain_answer_is_tapped() -> None:
    """Its usage is read at its end."""
    data = json.dumps({"message": {"content": [{"type": "text", "text": "hello"}]}, "usage": USAGE}).encode()
    tap = COHERE_CHAT.tap(OUTLINE, stream=False)
    assert tap.feed(data) + tap.finish() == data
    assert tap.usage == Usage(input=3, output=2)


@pytest.mark.parametrize(
    ("status", "payload", "expected"),
    [
        (400, {"message": "bad k"}, (400, "invalid_request_error", None, "bad k", Fault.CALLER)),
        (401, {"message": "key sk-abcdef123456"}, (401, "authentication_error", None, "key ***", Fault.CHANNEL)),
        (429, {"message": "slow"}, (429, "rate_limit_error", None, "slow", Fault.UPSTREAM)),
        (499, {"message": "gone"}, (499, "invalid_request_error", None, "gone", Fault.UPSTREAM)),
        (500, {"error": {"message": "oh"}}, (500, "upstream_error", None, "oh", Fault.UPSTREAM)),
        (503, "text", (503, "upstream_error", None, "text", Fault.UPSTREAM)),
        (400, {"message": "x", "error_type": "ODD"}, (400, "invalid_request_error", "ODD", "x", Fault.CALLER)),
        (
            400,
            {"message": "too many tokens: …"},
            (400, "invalid_request_error", "context_length_exceeded", "too many tokens: …", Fault.CALLER),
        ),
        (302, [], (502, "upstream_error", None, "bad response status code 302", Fault.UPSTREAM)),
    ],
)
def test_errors_are_read(status: int, payload: Any, expected: tuple[Any, ...]) -> None:
    """Status, type, code and text as far as Cohere tells them."""
    error = COHERE_CHAT.read_error(status, {b"retry-after": b"3"}, json.dumps(payload).encode())
    assert (error.status, error.type, error.code, error.message, error.fault) == expected
    assert (error.retry_after, error.headers) == (3.0, ((b"retry-after", b"3"),))
    assert COHERE_CHAT.read_error(500, {}, b"<html>").message == "bad response status code 500"


def test_errors_are_written() -> None:
    """As a body, and as the end of a stream."""
    error = GatewayError("no \ud800", status=400)
    written = COHERE_CHAT.write_error(error)
    check_error("cohere_chat", written)
    assert json.loads(written) == {"message": "no \ud800"}
    event = COHERE_CHAT.write_error_event(GatewayError("no"))
    check_error_event("cohere_chat", event)
    with pytest.raises(UpstreamError, match="no"):
        COHERE_CHAT.head(event, stream=True, complete=True)


def test_a_converted_request_needs_no_headers() -> None:
    """Everything stands in the body."""
    from support.cohere_chat import read

    assert COHERE_CHAT.request_headers(read()) == ()
