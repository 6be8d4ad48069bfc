"""Google's answers on their way through: judged, read, framed again."""

import json
from typing import Any

import pytest

from asgi_gateway.canonical import Usage
from asgi_gateway.dialects.contract import Head, RequestOutline
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE as GOOGLE
from asgi_gateway.dialects.google_generate import tap as taps
from asgi_gateway.errors import MalformedUpstream, UpstreamError
from support.google_generate import chunk, sse_of

USED = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
ERROR = {"error": {"code": 503, "message": "overloaded", "status": "UNAVAILABLE"}}
BLOCKED = {"promptFeedback": {"blockReason": "SAFETY"}}
FIRST = chunk({"text": "Hello"})
LAST = chunk({"text": ' "error" world'}, finish="STOP", usageMetadata=USED)
WIRE = sse_of(FIRST, LAST)


def tapped(wire: bytes, *, framing: str = "sse", step: int = 7) -> tuple[bytes, Usage | None, int]:
    """What a caller gets of a stream, its usage, and the estimate."""
    tap = GOOGLE.tap(RequestOutline(model="m", stream=True, framing=framing), stream=True)
    given = b"".join(tap.feed(wire[n : n + step]) for n in range(0, len(wire), step))
    given += tap.finish()
    return given, tap.usage, tap.output_estimate


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_events_pass_unchanged(step: int) -> None:
    """And the usage reported last is read."""
    assert tapped(WIRE, step=step)[:2] == (WIRE, Usage(input=3, output=2))


@pytest.mark.parametrize("step", [1, 7, 10_000])
def test_events_become_members_of_an_array(step: int) -> None:
    """The payloads byte for byte, comments left out."""
    given, usage, _ = tapped(b": ping\n\n" + WIRE, framing="json-array", step=step)
    payloads = [event.removeprefix(b"data: ") for event in WIRE.split(b"\r\n\r\n") if event]
    assert given == b"[" + b"\n,\n".join(payloads) + b"\n]"
    assert json.loads(given) == [FIRST, LAST]
    assert usage == Usage(input=3, output=2)


def test_text_is_counted_where_no_usage_is_told() -> None:
    """Four bytes are a token."""
    wire = sse_of(chunk({"text": "12345678"}), chunk({"text": "9"}, finish="STOP"))
    _, usage, estimate = tapped(wire)
    assert (usage, estimate) == (None, 3)


@pytest.mark.parametrize("framing", ["sse", "json-array"])
def test_an_error_is_kept_back_and_raised_at_the_end(framing: str) -> None:
    """With all behind it."""
    tap = GOOGLE.tap(RequestOutline(model="m", stream=True, framing=framing), stream=True)
    given = tap.feed(sse_of(FIRST, ERROR, LAST)) + tap.feed(sse_of(LAST))
    assert b"overloaded" not in given
    assert b"Hello" in given
    assert b"world" not in given
    with pytest.raises(UpstreamError, match="overloaded"):
        tap.finish()


@pytest.mark.parametrize("wire", [sse_of(FIRST), WIRE[:-20], b"", b": ping\n\n"])
def test_a_stream_without_its_end_is_malformed(wire: bytes) -> None:
    """No reason to finish, or half an event."""
    with pytest.raises(MalformedUpstream):
        tapped(wire)


def test_the_last_blank_line_may_be_missing() -> None:
    """The last event is whole all the same."""
    assert tapped(WIRE[:-4])[0] == WIRE[:-4]


def test_a_blocked_prompt_is_an_end() -> None:
    """No candidate names a reason."""
    assert tapped(sse_of(BLOCKED))[0] == sse_of(BLOCKED)


def test_an_event_without_end_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it fills the memory."""
    monkeypatch.setattr(taps, "EVENT_LIMIT", 100)
    tap = taps.StreamTap(array=False)
    with pytest.raises(MalformedUpstream):
        tap.feed(b"data: " + b"x" * 200)


def test_reports_that_cannot_be_read_are_passed_over() -> None:
    """The last one that can counts."""
    broken = b'data: {"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":3},' + (
        b'"x":{"usageMetadata":{"promptTokenCount":"many"}},"y":{"usageMetadata":{}}}\n\n'
    )
    assert tapped(broken)[1] == Usage(input=3)
    cut = b'data: {"candidates":[{"finishReason":"STOP"}],"usageMetadata":{\n\n'
    assert tapped(cut)[1] is None


def test_a_plain_answer_passes_with_its_last_byte_held() -> None:
    """Until it is known to be whole."""
    body = json.dumps(chunk({"text": "Hello"}, finish="STOP", usageMetadata=USED)).encode()
    tap = GOOGLE.tap(RequestOutline(model="m"), stream=False)
    given = tap.feed(body[:50])
    assert given == body[:49]
    given += tap.feed(body[50:])
    before = tap.usage
    assert before is None
    assert given + tap.finish() == body
    assert tap.usage == Usage(input=3, output=2)
    assert tap.output_estimate == 2


@pytest.mark.parametrize("body", [b'{"candidates": [1,', b'{"candidates": [{}', b""])
def test_half_a_plain_answer_is_malformed(body: bytes) -> None:
    """Its last byte is never given, whatever it is."""
    tap = GOOGLE.tap(RequestOutline(model="m"), stream=False)
    given = tap.feed(body) + tap.feed(b"")
    with pytest.raises(MalformedUpstream):
        tap.finish()
    assert given == body[:-1]


def test_a_long_answer_is_not_kept() -> None:
    """Only its end is, which has the usage; of one that is cut every byte is taken for text."""
    image = {"inlineData": {"mimeType": "image/png", "data": "A" * 400_000}}
    body = json.dumps({**chunk(image, finish="STOP"), "usageMetadata": USED}).encode()
    tap = GOOGLE.tap(RequestOutline(model="m"), stream=False)
    assert tap.feed(body[:300_000]) + tap.feed(body[300_000:]) + tap.finish() == body
    assert tap.usage == Usage(input=3, output=2)
    cut = GOOGLE.tap(RequestOutline(model="m"), stream=False)
    cut.feed(body[:400_000])
    assert cut.output_estimate == 100_000
    with pytest.raises(MalformedUpstream):
        cut.finish()


@pytest.mark.parametrize(
    ("wire", "complete", "head"),
    [
        (b"", False, Head.WAIT),
        (b": ping\n\n", False, Head.WAIT),
        (sse_of(chunk()), False, Head.WAIT),
        (sse_of({"usageMetadata": USED}), False, Head.WAIT),
        (sse_of({"candidates": [5]}), False, Head.WAIT),
        (WIRE[:20], False, Head.WAIT),
        (WIRE, False, Head.RELEASE),
        (WIRE[:-2], True, Head.RELEASE),
        (sse_of(chunk(finish="STOP")), False, Head.RELEASE),
        (sse_of(BLOCKED), False, Head.RELEASE),
    ],
)
def test_the_head_of_a_stream_is_judged(wire: bytes, complete: bool, head: Head) -> None:
    """It waits for output, a reason to finish, or a block."""
    assert GOOGLE.head(wire, stream=True, complete=complete) is head


@pytest.mark.parametrize(
    "wire", [b"", b"<html>", b"{}", b"data: 5\n\n", b": ping\n\n", sse_of(chunk()), b'{"error": {}}', b"[]"]
)
def test_a_stream_that_says_nothing_is_malformed(wire: bytes) -> None:
    """It is tried elsewhere unseen."""
    with pytest.raises(MalformedUpstream):
        GOOGLE.head(wire, stream=True, complete=True)


@pytest.mark.parametrize("wire", [sse_of(ERROR), json.dumps([ERROR]).encode(), json.dumps(ERROR).encode()])
def test_a_stream_that_begins_with_an_error_is_one(wire: bytes) -> None:
    """As an event, or as plain JSON."""
    with pytest.raises(UpstreamError, match="overloaded"):
        GOOGLE.head(wire, stream=True, complete=True)


@pytest.mark.parametrize(
    ("body", "complete", "head"),
    [
        (b"", False, Head.WAIT),
        (b'{"candidates"', False, Head.WAIT),
        (json.dumps(FIRST).encode(), True, Head.RELEASE),
        (json.dumps([FIRST]).encode(), True, Head.RELEASE),
        (json.dumps(BLOCKED).encode(), True, Head.RELEASE),
    ],
)
def test_the_head_of_a_plain_answer_is_judged(body: bytes, complete: bool, head: Head) -> None:
    """Whole."""
    assert GOOGLE.head(body, stream=False, complete=complete) is head


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"{", b"{}", b"[5]", b'{"candidates": []}', b'{"promptFeedback": {}}']
)
def test_a_plain_answer_without_candidates_is_malformed(body: bytes) -> None:
    """It is tried elsewhere."""
    with pytest.raises(MalformedUpstream):
        GOOGLE.head(body, stream=False, complete=True)


@pytest.mark.parametrize("payload", [ERROR, [ERROR]])
def test_an_error_in_a_good_answer_is_one(payload: Any) -> None:
    """With its own status."""
    with pytest.raises(UpstreamError, match="overloaded") as raised:
        GOOGLE.head(json.dumps(payload).encode(), stream=False, complete=True)
    assert raised.value.status == 503
