"""What an upstream can do wrong, and what the caller gets: a table, called through the real server.

Three rules stand behind every row.
Where nothing was released, another channel is tried unseen; when all have failed, the caller sees the last error.
Where something was released, the answer ends so that nobody can take it for a whole one.
What was released is charged, and nothing else.
"""

import gzip
import json
from collections.abc import AsyncIterator
from random import Random

import pytest
import pytest_asyncio

from support.broken_upstream import (
    ANSWER,
    DONE,
    EVENTS,
    FINISH,
    LONG_ANSWER,
    ROLE,
    TOKENS,
    Then,
    chunked,
    error_object,
    head,
    refusal,
    sized,
    stream_of,
    wire,
)
from support.caller import Call
from support.fault_run import Cut, ErrorEvent, Fault, Refusal, Run, Shown, Verdict, Whole, called
from support.gateway_settings import INPUT, OUTPUT, counted
from support.scripted_upstream import CONTENT, event

HALF = ANSWER[: len(ANSWER) // 2]
LONG_HALF = LONG_ANSWER[: len(LONG_ANSWER) // 2]
PROMISING = sized(LONG_HALF, promised=len(LONG_ANSWER))
ENDLESS = chunked(LONG_HALF, ended=False)

GARBLED = b'data: {"choices": [{"index": 0, "del\n\n'
FAILED = b"data: " + error_object("overloaded_error") + b"\n\n"
NOISE = event({"content": Random(1).randbytes(200_000).hex()})
"""An event that stays longer than what is held back, however it is compressed."""
PAGE = b"<html><body><h1>Bad Gateway</h1></body></html>"
SSE = "text/event-stream"
LIMIT = error_object("rate_limit_error", "rate_limit_exceeded")
BALANCE = error_object("insufficient_quota", "insufficient_quota")
CONTEXT = error_object("invalid_request_error", "context_length_exceeded", param="messages")
FIELD = error_object("invalid_request_error", "integer_above_max_value", param="max_tokens")

UNREACHABLE = Refusal(502, code="upstream_unreachable")
MALFORMED = Refusal(502, code="upstream_malformed")
EMPTY = Refusal(502, code="upstream_empty")
AUTH = Refusal(502, code="upstream_auth")
MISSING = Refusal(503, code="upstream_model_missing")
OVERLOADED = Refusal(503, "overloaded_error")
LIMITED = Refusal(429, "rate_limit_error", "rate_limit_exceeded", retry_after="7")


def late(phase: str) -> Refusal:
    """The deadline of this phase passed."""
    return Refusal(504, code="upstream_timeout", saying=phase)


def caused(status: int, code: str | None, param: str | None = None) -> Refusal:
    """The caller's own fault."""
    return Refusal(status, "invalid_request_error", code, param, retried=False)


def zipped(data: bytes, kind: str = "application/json") -> bytes:
    """An answer that is compressed, although nobody asked for it."""
    return sized(gzip.compress(data), start=head(kind=kind, headers={"content-encoding": "gzip"}))


def both(name: str, data: bytes, verdict: Verdict, *, then: Then = "keep", streamed: Verdict | None = None) -> Fault:
    """The same bytes, whatever was asked for; `streamed`: the verdict where a stream was."""
    return Fault(name, wire(data, then=then), verdict, streamed or verdict, silent=then == "silence")


def plain(name: str, data: bytes, verdict: Verdict, *, then: Then = "keep") -> Fault:
    """An answer that is not streamed."""
    return Fault(name, wire(data, then=then), plain=verdict, silent=then == "silence")


def streamed(name: str, events: bytes, verdict: Verdict, *, then: Then = "keep") -> Fault:
    """A stream of these events; unless nothing follows them, its last chunk is missing."""
    return Fault(
        name, wire(stream_of(events, ended=then == "keep"), then=then), streamed=verdict, silent=then == "silence"
    )


FAULTS = [
    # The connection.
    Fault("nobody listens", None, UNREACHABLE, UNREACHABLE),
    both("reset before the head", b"", UNREACHABLE, then="reset"),
    both("closed before the head", b"", UNREACHABLE, then="close"),
    both("closed inside the head", b"HTTP/1.1 200 OK\r\nconte", UNREACHABLE, then="close"),
    both("silent before the head", b"", late("plain"), streamed=late("headers"), then="silence"),
    # The head.
    both("not HTTP", b"SSH-2.0-OpenSSH_9.2\r\n", MALFORMED),
    both("gigantic header", head(headers={"x-filler": "x" * 200_000}), MALFORMED),
    both("two lengths", head() + b"content-length: 1\r\n" + chunked(b"{}", start=b""), MALFORMED),
    both("redirect", sized(b"", start=head(302, headers={"location": "/elsewhere"})), MALFORMED),
    both("gzip", zipped(ANSWER), MALFORMED),
    both("gzip of a stream", zipped(EVENTS + FINISH + DONE, SSE), MALFORMED),
    both("gzip of a long stream", zipped(NOISE + EVENTS + FINISH + DONE, SSE), MALFORMED),
    # An answer that is not streamed, whatever was asked for.
    both("empty body", sized(b""), EMPTY),
    both("a page with a good status", sized(PAGE, start=head(kind="text/html")), MALFORMED),
    both("another object", sized(b'{"ok": true}'), MALFORMED),
    both("an error with a good status", sized(error_object("overloaded_error")), OVERLOADED),
    both("half a JSON, content-length of the half", sized(HALF), MALFORMED),
    both("half a JSON, chunked", chunked(HALF), MALFORMED),
    plain("half a JSON, content-length of the whole", sized(HALF, promised=len(ANSWER)), UNREACHABLE, then="close"),
    plain("half a JSON, chunks without their end", chunked(HALF, ended=False), UNREACHABLE, then="close"),
    plain("half a JSON and a reset", chunked(HALF, ended=False), UNREACHABLE, then="reset"),
    plain("half a JSON and silence", chunked(HALF, ended=False), late("plain"), then="silence"),
    plain("wrong content type", sized(ANSWER, start=head(kind="text/plain")), Whole(ANSWER)),
    # One that is longer than what is held back: it has begun when it breaks.
    plain("half a long JSON, content-length of the half", sized(LONG_HALF), Cut("upstream_malformed")),
    plain("half a long JSON, chunked", chunked(LONG_HALF), Cut("upstream_malformed")),
    plain("half a long JSON, content-length of the whole", PROMISING, Cut("upstream_unreachable"), then="close"),
    plain("half a long JSON, chunks without their end", ENDLESS, Cut("upstream_unreachable"), then="close"),
    plain("half a long JSON and a reset", PROMISING, Cut("upstream_unreachable"), then="reset"),
    plain("half a long JSON and silence", ENDLESS, Cut("upstream_timeout"), then="silence"),
    # A stream of which nothing was released.
    streamed("silent behind the head", b"", late("first_event"), then="silence"),
    streamed("silent behind the role", ROLE, Refusal(504, code="upstream_timeout"), then="silence"),
    streamed("empty stream", b"", EMPTY),
    streamed("nothing but the role", ROLE, EMPTY),
    streamed("nothing but comments", b": ping\n\n: ping\n\n", EMPTY),
    streamed("nothing but an end", DONE, EMPTY),
    streamed("malformed first event", GARBLED + EVENTS + FINISH + DONE, MALFORMED),
    streamed("half a first event", GARBLED[:-2], MALFORMED),
    streamed("an error event at once", FAILED, OVERLOADED),
    streamed("an error event behind the role", ROLE + FAILED, OVERLOADED),
    streamed("an error event about the key", b"data: " + error_object("authentication_error") + b"\n\n", AUTH),
    both("a stream by another name", chunked(EVENTS + FINISH + DONE, start=head(kind="text/plain")), MALFORMED),
    # A stream that had begun.
    streamed("silent in the middle", EVENTS, ErrorEvent("upstream_timeout"), then="silence"),
    streamed("reset in the middle", EVENTS, ErrorEvent("upstream_unreachable"), then="reset"),
    streamed("closed in the middle", EVENTS, ErrorEvent("upstream_unreachable"), then="close"),
    streamed("ends without [DONE]", EVENTS, ErrorEvent("upstream_malformed")),
    streamed("ends inside an event", EVENTS + GARBLED[:-2], ErrorEvent("upstream_malformed")),
    streamed("an error event late", EVENTS + FAILED, ErrorEvent(None, "overloaded_error")),
    streamed("an error event, then [DONE]", EVENTS + FAILED + DONE, ErrorEvent(None, "overloaded_error")),
    # Some upstreams never send [DONE]: a reason to finish is an end.
    streamed("ends with a reason", EVENTS + FINISH, Whole(EVENTS + FINISH)),
    # Events are passed on as bytes and not decoded: what stands in the middle is the caller's to read.
    streamed("malformed later event", EVENTS + GARBLED + FINISH + DONE, Whole(EVENTS + GARBLED + FINISH + DONE)),
    # An error status that is the upstream's own fault: kept, and tried elsewhere.
    both("429 with retry-after", refusal(429, LIMIT, retry_after="7"), LIMITED),
    both("500", refusal(500, error_object("server_error")), Refusal(500, "server_error")),
    both("500 without a body", refusal(500), Refusal(500, code="upstream_error")),
    both("502 with a page", refusal(502, PAGE, kind="text/html"), Refusal(502, code="upstream_error")),
    both("503", refusal(503, error_object("overloaded_error")), OVERLOADED),
    both(
        "503, cut", sized(b'{"error"', promised=99, start=head(503)), Refusal(503, code="upstream_error"), then="close"
    ),
    both("529", refusal(529, error_object("overloaded_error")), Refusal(529, "overloaded_error")),
    # One that concerns the channel's key, balance or deployment: never shown as the caller's own.
    both("401", refusal(401, error_object("invalid_request_error", "invalid_api_key")), AUTH),
    both("402", refusal(402, error_object("billing_error")), AUTH),
    both("403", refusal(403, error_object("permission_error")), AUTH),
    both("404 of the model", refusal(404, error_object("invalid_request_error", "model_not_found")), MISSING),
    both("429 of the balance", refusal(429, BALANCE), Refusal(429, "insufficient_quota", "insufficient_quota")),
    # One that the caller has caused: kept, and tried nowhere else.
    both("400", refusal(400, CONTEXT), caused(400, "context_length_exceeded", "messages")),
    both("413", refusal(413, error_object("invalid_request_error")), caused(413, None)),
    both("422", refusal(422, FIELD), caused(422, "integer_above_max_value", "max_tokens")),
]

WAYS = [
    pytest.param(fault, stream, id=f"{fault.name}-{'streamed' if stream else 'plain'}")
    for fault in FAULTS
    for stream in (False, True)
    if (fault.streamed if stream else fault.plain) is not None
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Run]:
    """All faults were called."""
    async with called(tmp_path_factory.mktemp("faults"), FAULTS) as run:
        yield run


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(("fault", "stream"), WAYS)
async def test_with_one_channel_the_caller_sees_what_went_wrong(run: Run, fault: Fault, stream: bool) -> None:
    """The verdict of the row, the charge for what was released, and a record of it."""
    shown = run.shown(fault, "alone", stream=stream)
    check(shown, _verdict(fault, stream))
    assert shown.second == 0
    assert shown.record["attempts"] == 1


@pytest.mark.parametrize(("fault", "stream"), WAYS)
async def test_a_second_channel_answers_unseen(run: Run, fault: Fault, stream: bool) -> None:
    """If nothing was released and the fault is not the caller's; else there is no second attempt."""
    shown, verdict = run.shown(fault, "healthy", stream=stream), _verdict(fault, stream)
    if not (isinstance(verdict, Refusal) and verdict.retried):
        check(shown, verdict)
        assert (shown.second, shown.record["attempts"]) == (0, 1)
        return
    check(shown, Whole(EVENTS + FINISH + DONE if stream else ANSWER))
    assert (shown.second, shown.record["attempts"], shown.record["channel"]) == (1, 2, "second")
    assert shown.record["errors"] == [verdict.code or verdict.type]


@pytest.mark.parametrize(("fault", "stream"), WAYS)
async def test_the_last_real_error_is_seen_when_all_fail(run: Run, fault: Fault, stream: bool) -> None:
    """Not the first one, and not that no channel is left."""
    shown, verdict = run.shown(fault, "failing", stream=stream), _verdict(fault, stream)
    if not (isinstance(verdict, Refusal) and verdict.retried):
        check(shown, verdict)
        assert (shown.second, shown.record["attempts"]) == (0, 1)
        return
    check(shown, Refusal(500, "server_error", "second_failure"), verdict.code or verdict.type)
    assert (shown.second, shown.record["attempts"], shown.record["channel"]) == (1, 2, "second")


async def test_a_redirect_is_not_followed(run: Run) -> None:
    """Whatever address it names: a request carries a key."""
    (redirect,) = [fault for fault in FAULTS if fault.name == "redirect"]
    shown = run.shown(redirect, "alone", stream=False)
    assert shown.first == 1
    assert "elsewhere" not in shown.call.body.decode()


def _verdict(fault: Fault, stream: bool) -> Verdict:
    verdict = fault.streamed if stream else fault.plain
    assert verdict is not None
    return verdict


def check(shown: Shown, verdict: Verdict, *before: str) -> None:
    """The caller's view, the charge and the record agree with the verdict; `before` is the error of a first channel."""
    call, errors = shown.call, list(before)
    match verdict:
        case Refusal():
            refused(call, verdict)
            errors = [*errors, verdict.code or verdict.type]
            outcome, charged = "empty" if set(errors) == {EMPTY.code} else "upstream_failed", 0
        case Cut():
            assert (call.status, call.whole) == (200, False)
            assert LONG_HALF.startswith(call.body)
            assert len(call.body) > len(LONG_HALF) // 2
            outcome, errors = "truncated", [verdict.code]
            charged = counted(shown.request, -(-LONG_HALF.count(b"x") // len(CONTENT)))
        case ErrorEvent():
            ended_by_an_error(call, verdict)
            outcome, charged, errors = "truncated", counted(shown.request, 3), [verdict.code or verdict.type]
        case Whole():
            assert (call.status, call.whole, call.body) == (200, True, verdict.body)
            outcome = "completed"
            usage = TOKENS[0] * INPUT + TOKENS[1] * OUTPUT
            charged = usage if b"usage" in verdict.body else counted(shown.request, 3)
            errors = shown.record["errors"]
    charge, record = shown.charge, shown.record
    assert (charge["outcome"], charge["charged"], charge["cost"]) == (outcome, charged, charged)
    assert (charge["status"], charge["attempts"]) == (call.status, record["attempts"])
    assert (record["outcome"], record["charge"], record["status"]) == (outcome, charged, call.status)
    assert record["errors"] == errors


def refused(call: Call, verdict: Refusal) -> None:
    """A whole error answer in OpenAI's shape."""
    assert (call.status, call.whole) == (verdict.status, True)
    assert call.headers["content-type"] == "application/json"
    assert call.headers.get("retry-after") == verdict.retry_after
    error = call.error
    assert "<" not in error["message"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["type"], error["code"], error["param"]) == (verdict.type, verdict.code, verdict.param)
    assert verdict.saying in error["message"]


def ended_by_an_error(call: Call, verdict: ErrorEvent) -> None:
    """The events that came, whole, and behind them the error, which is the last."""
    assert (call.status, call.whole) == (200, True)
    assert call.headers["content-type"] == SSE
    assert call.body.startswith(EVENTS)
    (error,) = call.events[3:]
    assert "[DONE]" not in call.body.decode()
    read = json.loads(error)["error"]
    assert set(read) == {"message", "type", "param", "code"}
    assert (read["type"], read["code"], read["param"]) == (verdict.type, verdict.code, None)
