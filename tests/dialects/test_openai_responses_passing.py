"""What the layers ask of Responses when nothing is converted: outline, splices, first bytes, taps, errors."""

import json
from typing import Any

import pytest

from asgi_gateway.canonical import Reasoning, Usage
from asgi_gateway.dialects.contract import Head, Operation, RequestOutline
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES
from asgi_gateway.dialects.openai_responses.tap import EVENT_LIMIT
from asgi_gateway.errors import GatewayError, InvalidRequest, MalformedUpstream, RateLimited, UpstreamError
from support.openai_responses import answer, event, message, sent
from support.strict import check_error, check_error_event

TEXT = {"type": "output_text", "text": "Hello", "annotations": []}
USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
CREATED = event("response.created", sequence_number=0, response={"status": "in_progress"})
DELTA = event("response.output_text.delta", delta="Hello", output_index=0)
ENDED = event("response.completed", response=answer(message(TEXT), usage=USAGE))
OUTLINE = RequestOutline(model="m")


def body_of(**fields: Any) -> bytes:
    """A request's body."""
    return json.dumps({"model": "m", "input": "Hi", **fields}).encode()


def tap_of(*chunks: bytes) -> tuple[bytes, Any]:
    """What passed of a stream, and its tap."""
    tap = OPENAI_RESPONSES.tap(OUTLINE, stream=True)
    return b"".join([tap.feed(chunk) for chunk in chunks]), tap


def test_what_it_is() -> None:
    """Its route, and its ways."""
    (route,) = OPENAI_RESPONSES.routes
    assert (route.method, route.path, route.operation) == ("POST", "/v1/responses", Operation.CHAT)
    assert (OPENAI_RESPONSES.maker, OPENAI_RESPONSES.keeps_seals, OPENAI_RESPONSES.stream_usage) == (
        "openai",
        True,
        False,
    )


def test_the_outline_of_ordinary_and_short_requests() -> None:
    """Model, stream, the limit, and a class of service."""
    for text in ("Hi", "Hello " * 20):
        body = body_of(input=text, stream=True, max_output_tokens=9, service_tier="priority")
        outline = OPENAI_RESPONSES.outline(body)
        assert outline == RequestOutline(
            model="m", stream=True, max_output=9, wants_usage=True, service_tier="priority"
        )
    long = OPENAI_RESPONSES.outline(body_of(input=[{"role": "user", "content": "x" * 99}]))
    assert (long.stream, long.max_output) == (False, None)


def test_a_deep_input_is_the_upstreams_affair() -> None:
    """It is measured, not decoded."""
    deep = b'{"model": "m", "stream": null, "max_output_tokens": 9.0, "input": %b1%b}' % (b"[" * 900, b"]" * 900)
    assert OPENAI_RESPONSES.outline(deep).max_output == 9


@pytest.mark.parametrize("field", ["previous_response_id", "conversation", "prompt"])
def test_an_input_may_be_replaced(field: str) -> None:
    """By what is stored."""
    assert OPENAI_RESPONSES.outline(json.dumps({"model": "m", field: "x"}).encode()).model == "m"
    assert OPENAI_RESPONSES.outline(json.dumps({"model": "m", "input": [], field: "x"}).encode()).model == "m"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"model": "m"}', "input"),
        (b'{"model": "m", "input": []}', "input"),
        (b'{"model": "m", "input": {"a": "%s"}}' % (b"x" * 99), "input"),
        (b'{"model": "m", "input": 1, "previous_response_id": "r"}', "input"),
        (b'{"input": "Hi"}', None),
        (b'{"model": "m", "input": "Hi", "stream": 1}', "stream"),
        (b'{"model": "m", "input": "Hi", "max_output_tokens": 0}', "max_output_tokens"),
        (b"[]", None),
        (b"{", None),
    ],
)
def test_what_is_refused(body: bytes, param: str | None) -> None:
    """As OpenAI does."""
    with pytest.raises(InvalidRequest) as refused:
        OPENAI_RESPONSES.outline(body)
    assert refused.value.param == param


def test_media_are_no_prompt() -> None:
    """An image's data is not counted by its bytes."""
    image = {"type": "input_image", "image_url": "data:image/png;base64," + "A" * 900}
    assert OPENAI_RESPONSES.prompt_bytes(body_of(input=[{"role": "user", "content": [image]}])) < 200


def test_splices_leave_other_bytes_alone() -> None:
    """Another model, and the channel's own fields."""
    body = b'{ "model" : "a", "input":"Hi",  "user": "u" }'
    assert OPENAI_RESPONSES.rewrite(body, model="b", include_usage=True) == body.replace(b'"a"', b'"b"')
    given = OPENAI_RESPONSES.rewrite(body, overrides={"user": None, "store": False})
    assert json.loads(given) == {"model": "a", "input": "Hi", "store": False}


@pytest.mark.parametrize(
    ("own", "expected"),
    [
        ({}, {"effort": "high"}),
        ({"reasoning": None}, {"effort": "high"}),
        ({"reasoning": {"summary": "auto", "effort": None}}, {"effort": "high", "summary": "auto"}),
        ({"reasoning": {"effort": "low"}}, {"effort": "low"}),
    ],
)
def test_reasoning_by_the_models_name(own: dict[str, Any], expected: dict[str, Any]) -> None:
    """What the body says itself wins; sampling that reasoning refuses goes with it."""
    body = body_of(**own, temperature=0.5)
    given = json.loads(OPENAI_RESPONSES.rewrite(body, model="gpt-5", reasoning=Reasoning(effort="high")))
    assert given["reasoning"] == expected
    assert ("temperature" in given) == (expected["effort"] == "low")


def test_reasoning_where_there_is_none() -> None:
    """Nothing is changed for a model without, and nothing taken out when reasoning is off."""
    body = body_of(temperature=0.5)
    assert OPENAI_RESPONSES.rewrite(body, reasoning=Reasoning(enabled=False)) == OPENAI_RESPONSES.rewrite(
        body, reasoning=Reasoning(effort="none")
    )
    plain = body_of(model="gpt-4o", temperature=0.5)
    assert OPENAI_RESPONSES.rewrite(plain, reasoning=Reasoning(effort="high")) == plain
    idle = json.loads(
        OPENAI_RESPONSES.rewrite(body_of(model="gpt-5.1", temperature=1), reasoning=Reasoning(enabled=False))
    )
    assert (idle["reasoning"], idle["temperature"]) == ({"effort": "none"}, 1)


@pytest.mark.parametrize("body", [b"[]", b'{"model": "m", "reasoning": 3}', b"{"])
def test_a_body_that_cannot_be_edited(body: bytes) -> None:
    """Is the caller's mistake."""
    with pytest.raises(InvalidRequest):
        OPENAI_RESPONSES.rewrite(body, reasoning=Reasoning(effort="high"))


@pytest.mark.parametrize(
    ("data", "complete", "head"),
    [
        (b"", False, Head.WAIT),
        (b'{"id": ', False, Head.WAIT),
        (json.dumps(answer()).encode(), True, Head.RELEASE),
        (b"\xef\xbb\xbf" + json.dumps(answer(message(TEXT))).encode(), True, Head.RELEASE),
    ],
)
def test_the_head_of_a_plain_answer(data: bytes, complete: bool, head: Head) -> None:
    """It must be whole."""
    assert OPENAI_RESPONSES.head(data, stream=False, complete=complete) is head


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", MalformedUpstream),
        (b"<html>", MalformedUpstream),
        (b'{"id": "resp_1"}', MalformedUpstream),
        (b"{", MalformedUpstream),
        (b'{"error": "no"}', UpstreamError),
        (json.dumps(answer(status="failed", error={"code": "server_error", "message": "m"})).encode(), UpstreamError),
    ],
)
def test_a_plain_answer_that_is_none(data: bytes, kind: type[UpstreamError]) -> None:
    """Raises, so that another channel may be tried."""
    with pytest.raises(kind):
        OPENAI_RESPONSES.head(data, stream=False, complete=True)


@pytest.mark.parametrize(
    ("data", "head"),
    [
        (b"", Head.WAIT),
        (CREATED, Head.WAIT),
        (CREATED + event("response.in_progress") + b": ping\n\n", Head.WAIT),
        (CREATED + DELTA[:-3], Head.WAIT),
        (CREATED + DELTA, Head.RELEASE),
        (CREATED + event("response.output_item.added"), Head.RELEASE),
        (ENDED, Head.RELEASE),
    ],
)
def test_the_head_of_a_stream(data: bytes, head: Head) -> None:
    """Waits for what speaks."""
    assert OPENAI_RESPONSES.head(data, stream=True, complete=False) is head


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", MalformedUpstream),
        (CREATED + b"data: [DONE]\n\n", MalformedUpstream),
        (b"data: 3\n\n", MalformedUpstream),
        (b"<html>", MalformedUpstream),
        (b'{"error": {"message": "m"}}', UpstreamError),
        (CREATED + event("error", code="server_error", message="m"), UpstreamError),
        (CREATED + event("response.failed", response={"status": "failed", "error": {"message": "m"}}), UpstreamError),
    ],
)
def test_a_stream_that_is_none(data: bytes, kind: type[UpstreamError]) -> None:
    """Raises before anything was let through."""
    with pytest.raises(kind):
        OPENAI_RESPONSES.head(data, stream=True, complete=True)


def test_a_stream_passes_and_its_usage_is_read() -> None:
    """Whole events, in whatever pieces they come."""
    wire = CREATED + DELTA + ENDED
    for size in (1, 7, 64, len(wire)):
        passed, tap = tap_of(*(wire[at : at + size] for at in range(0, len(wire), size)))
        assert passed + tap.finish() == wire
        assert tap.usage == Usage(input=3, output=2)
        assert tap.output_estimate == 2


def test_the_first_end_counts() -> None:
    """What comes behind it passes, and changes nothing."""
    more = event("response.completed", response=answer(usage={"input_tokens": 9, "output_tokens": 9}))
    assert tap_of(ENDED, more)[1].usage == Usage(input=3, output=2)


def test_a_long_stream_is_counted_on_the_way() -> None:
    """For upstreams that report nothing."""
    more = event("response.output_text.delta", delta="word " * 100) * 40
    passed, tap = tap_of(CREATED, more, event("response.incomplete", response={"status": "incomplete"}))
    assert tap.finish() == b""
    assert passed.count(b"word ") == 4000
    assert tap.usage is None
    assert tap.output_estimate == 5000


def test_an_error_is_kept_back() -> None:
    """It is raised at the end, and written anew; what was used is known."""
    failed = event("response.failed", response={"error": {"code": "server_error", "message": "m"}, "usage": USAGE})
    for last in (failed, event("error", message="m"), b'data: {"error": {"message": "m"}}\n\n'):
        passed, tap = tap_of(CREATED, DELTA, last + DELTA, DELTA)
        assert passed == CREATED + DELTA
        with pytest.raises(UpstreamError) as raised:
            tap.finish()
        assert raised.value.message == "m"
    assert tap_of(failed)[1].usage == Usage(input=3, output=2)


def test_words_about_errors_pass() -> None:
    """Only an event of that kind is one."""
    told = event("response.output_text.delta", delta='an "error" is no "response.failed"') + b'data: "error"\n\n'
    passed, tap = tap_of(told + ENDED)
    assert passed == told + ENDED
    assert tap.finish() == b""


def test_half_a_stream_is_malformed() -> None:
    """Its last event may come without a blank line."""
    passed, tap = tap_of(CREATED, ENDED.rstrip())
    assert passed + tap.finish() == CREATED + ENDED.rstrip()
    with pytest.raises(MalformedUpstream):
        tap_of(CREATED, DELTA)[1].finish()


@pytest.mark.parametrize("kind", ["response.completed", "response.image_generation_call.partial_image"])
def test_long_events_pass_as_they_come(kind: str) -> None:
    """And the usage at their end is found."""
    response = {"status": "completed", "output": ["A" * (2 * EVENT_LIMIT)], "usage": USAGE}
    wire = CREATED + event(kind, response=response) + (DELTA + ENDED if kind != "response.completed" else b"")
    size = EVENT_LIMIT // 3
    tap = OPENAI_RESPONSES.tap(OUTLINE, stream=True)
    passed = [tap.feed(wire[at : at + size]) for at in range(0, len(wire), size)]
    assert any(passed[2:5])
    assert b"".join(passed) + tap.finish() == wire
    assert tap.usage == Usage(input=3, output=2)


def test_a_long_event_without_usage() -> None:
    """Is passed; and nothing passes behind an error."""
    long = event("response.completed", response={"output": ["A" * (2 * EVENT_LIMIT)], "text": '"usage": {"x'})
    passed, tap = tap_of(long[:-9], long[-9:])
    assert passed + tap.finish() == long
    assert tap.usage is None
    broken = (
        event("response.completed", response={"output": ["A" * (2 * EVENT_LIMIT)]})[:-4] + b', "usage": {"x": }}\n\n'
    )
    assert tap_of(broken[:-9], broken[-9:])[1].usage is None
    passed, tap = tap_of(event("error", message="m"), long[:-9], long[-9:])
    assert passed == b""
    with pytest.raises(UpstreamError):
        tap.finish()


def test_a_plain_answer_is_tapped() -> None:
    """Its usage, and an estimate without."""
    tap = OPENAI_RESPONSES.tap(OUTLINE, stream=False)
    body = json.dumps(answer(message(TEXT), usage=USAGE)).encode()
    assert tap.feed(body) + tap.finish() == body
    assert tap.usage == Usage(input=3, output=2)
    assert tap.output_estimate == 2


def test_errors_are_openais() -> None:
    """Read and written, also inside a stream."""
    error = OPENAI_RESPONSES.read_error(400, {}, b'{"error": {"message": "m", "type": "t", "param": "p", "code": "c"}}')
    assert (error.status, error.message, error.type, error.param, error.code) == (400, "m", "t", "p", "c")
    check_error("openai_responses", OPENAI_RESPONSES.write_error(error))
    wire = OPENAI_RESPONSES.write_error_event(error)
    check_error_event("openai_responses", wire)
    assert sent(wire) == [{"type": "error", "sequence_number": 0, "code": "c", "message": "m", "param": "p"}]


@pytest.mark.parametrize("error", [RateLimited("slow", retry_after=1), GatewayError("lone \ud800")])
def test_every_error_can_be_written(error: GatewayError) -> None:
    """Whatever its text; a code there is always."""
    (told,) = sent(OPENAI_RESPONSES.write_error_event(error))
    assert told["message"] == error.message
    assert told["code"]
