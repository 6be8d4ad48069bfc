"""Streams of OpenAI's interface: judged by their first events, read and withheld on their way."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import Head, RequestOutline
from asgi_gateway.dialects.openai_wire.stream import COUNT_AT, EVENT_LIMIT, StreamTap
from asgi_gateway.dialects.openai_wire.text import CHAT_TEXT
from asgi_gateway.errors import Fault, MalformedUpstream, UpstreamError
from asgi_gateway.storage.records import Usage

CHAT = DIALECTS["openai_chat"]
OUTLINE = RequestOutline(model="m", stream=True)
DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
SEEN = Usage(input=9, output=4)


def event(**fields: Any) -> bytes:
    """An event with these fields in its object."""
    return b"data: " + json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode() + b"\n\n"


def delta(finish: str | None = None, **fields: Any) -> bytes:
    """A chunk with one choice."""
    return event(choices=[{"index": 0, "delta": fields, "finish_reason": finish}], usage=None)


ROLE = delta(role="assistant", content="", refusal=None)
HELLO = delta(content="Hello")
STOP = delta("stop")
TOTAL = event(choices=[], usage=USAGE)


# What the head says


@pytest.mark.parametrize(
    "speaks",
    [
        HELLO,
        HELLO.replace(b"\n", b"\r\n"),
        delta(reasoning_content="Hm"),
        delta(reasoning="Hm"),
        delta(refusal="No"),
        delta(tool_calls=[{"index": 0}]),
        delta(audio={"id": "a"}),
        STOP,
        event(choices=[{"text": "a"}]),
        event(choices=[{"message": {"role": "assistant", "content": "a"}}]),
        event(choices=["odd"]),
        event(object="something.else"),
        b"data: {\ndata: }\n\n".replace(b"{\n", b'{"choices":[{"text":"a"}]\n'),
    ],
)
def test_output_releases_a_stream(speaks: bytes) -> None:
    """At its first event that carries any, whatever came before it."""
    for before in (b"", b"\xef\xbb\xbf", b": ping\n\n", ROLE, event(choices=[], prompt_filter_results=[])):
        assert CHAT.head(before + speaks, stream=True, complete=False) is Head.RELEASE
        assert CHAT.head(before + speaks[:-3], stream=True, complete=False) is Head.WAIT


@pytest.mark.parametrize(
    "silent",
    [
        b"",
        b"\n",
        b": ping\n\n: ping\n\n",
        b"event: ping\n\n",
        ROLE,
        ROLE + delta(content="") + delta(),
        event(choices=[], prompt_filter_results=[{"x": 1}]),
        event(choices=None),
        TOTAL,
        b'{"id":',
    ],
)
def test_silence_waits_and_ends_as_malformed(silent: bytes) -> None:
    """Comments, a role, nothing at all: an error may stand right behind; a stream that ends so is empty."""
    assert CHAT.head(silent, stream=True, complete=False) is Head.WAIT
    for end in (silent, silent + DONE):
        with pytest.raises(MalformedUpstream):
            CHAT.head(end, stream=True, complete=True)
    if not silent.startswith(b"{"):
        with pytest.raises(MalformedUpstream):
            CHAT.head(silent + DONE, stream=True, complete=False)


@pytest.mark.parametrize(
    "broken",
    [b"data: {broken\n\n", b"data: 1\n\n", b"data: {}\n\n", b"<html></html>", b"data: " + b"[" * 100_000 + b"\n\n"],
)
def test_what_is_no_chunk_is_malformed(broken: bytes) -> None:
    """Also behind a role."""
    for before in (b"",) if broken.startswith(b"<") else (b"", ROLE):
        with pytest.raises(MalformedUpstream):
            CHAT.head(before + broken, stream=True, complete=False)


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (event(error={"message": "full", "code": 429}), 429),
        (event(error={"message": "full", "type": "server_error"}), 500),
        (event(error="full"), 502),
        (event(error={"message": "full", "code": 400}, choices=[{"delta": {"content": ""}}]), 400),
        (b'event: error\ndata: {"message":"full","code":503}\n\n', 503),
        (b'error: {"error":{"message":"full"}}\n\n', 502),
    ],
)
def test_an_error_event_first_is_an_error(failure: bytes, status: int) -> None:
    """It can be tried elsewhere unseen, also behind comments and a role."""
    for before in (b"", b": ping\n\n", ROLE):
        with pytest.raises(UpstreamError) as raised:
            CHAT.head(before + failure, stream=True, complete=False)
        assert (raised.value.status, raised.value.message) == (status, "full")


def test_a_plain_error_instead_of_a_stream_is_an_error() -> None:
    """Its object is read; any other is no stream."""
    with pytest.raises(UpstreamError, match="full"):
        CHAT.head(b'{"error":{"message":"full"}}', stream=True, complete=True)
    with pytest.raises(MalformedUpstream, match="no event stream"):
        CHAT.head(b'{"choices":[]}', stream=True, complete=True)


def test_the_last_event_of_a_whole_stream_needs_no_blank_line() -> None:
    """Nothing more will come."""
    assert CHAT.head(HELLO.rstrip(), stream=True, complete=True) is Head.RELEASE


# What the tap gives back and learns


def run(wire: bytes, cuts: list[int], *, withhold: bool = False, limit: int = EVENT_LIMIT) -> tuple[Any, ...]:
    """The bytes, the usage, the estimate and the end of a stream that comes in pieces."""
    tap = StreamTap(CHAT_TEXT, withhold_usage=withhold, event_limit=limit)
    edges = sorted({0, len(wire), *(cut % (len(wire) + 1) for cut in cuts)})
    given_back = b"".join(tap.feed(wire[a:b]) for a, b in pairwise(edges))
    end = ""
    try:
        given_back += tap.finish()
    except UpstreamError as error:
        end = error.message
    return given_back, tap.usage, tap.output_estimate, end


CUTS = st.lists(st.integers(0, 4000), max_size=30)
PIECES = st.sampled_from(
    [
        ROLE,
        HELLO,
        STOP,
        TOTAL,
        DONE,
        delta(content='say "usage": {"prompt_tokens": 1} error: "error": {"x": 1}'),
        delta(content="模型" * 20),
        event(choices=[{"index": 0, "delta": {"content": "x"}}], usage={"prompt_tokens": 1, "completion_tokens": 2}),
        event(choices=[], usage={}),
        event(choices=[], usage=None, x_groq={"usage": USAGE}),
        b": ping\n\n",
        b": ping\r\n\r\n",
        b'data: {"choices":[],\r\ndata: "usage":{"prompt_tokens":3}}\r\n\r\n',
        b"event: x\ndata: {}\n\n",
        b"data: {broken usage\n\n",
        b"\n",
    ]
)
ERRORS = st.sampled_from([b"", b"", event(error={"message": "full"}), b"event: error\ndata: oh\n\n"])


@given(st.lists(PIECES, max_size=12), ERRORS, st.integers(0, 12), CUTS, st.booleans(), st.booleans())
def test_chunk_boundaries_do_not_matter(
    pieces: list[bytes], failure: bytes, place: int, cuts: list[int], withhold: bool, bare_end: bool
) -> None:
    """However a stream is cut, the same bytes pass, and the same is learnt of it."""
    pieces.insert(place, failure)
    wire = b"".join(pieces)
    if bare_end:
        wire = wire.rstrip(b"\r\n")
    assert run(wire, cuts, withhold=withhold) == run(wire, [], withhold=withhold)
    assert run(wire, list(range(len(wire))), withhold=withhold) == run(wire, [], withhold=withhold)


@given(st.lists(PIECES, max_size=12), CUTS)
def test_nothing_withheld_is_nothing_changed(pieces: list[bytes], cuts: list[int]) -> None:
    """The bytes of a whole stream pass as they came."""
    wire = b"".join(pieces) + DONE
    assert run(wire, cuts)[0] == wire


@given(st.lists(PIECES, max_size=12), CUTS)
def test_only_events_of_usage_alone_are_withheld(pieces: list[bytes], cuts: list[int]) -> None:
    """Those with no choices and a usage that is an object; everything else passes."""
    wire = b"".join(pieces) + DONE
    alone = {TOTAL, event(choices=[], usage={}), b'data: {"choices":[],\r\ndata: "usage":{"prompt_tokens":3}}\r\n\r\n'}
    expected = b"".join(piece for piece in pieces if piece not in alone) + DONE
    assert run(wire, cuts, withhold=True)[0] == expected


LONG = [HELLO, b"\n", TOTAL, delta(content="y" * 300), event(choices=[], usage=USAGE, pad="z" * 300), STOP]


@given(st.lists(st.sampled_from(LONG), max_size=8), CUTS, st.booleans())
def test_events_too_long_to_be_held_pass_unread(pieces: list[bytes], cuts: list[int], withhold: bool) -> None:
    """Whether they come in one piece or in many: nothing is learnt of them, nothing of them is lost."""
    wire = b"".join(pieces) + DONE
    result = run(wire, cuts, withhold=withhold, limit=200)
    assert result == run(wire, [], withhold=withhold, limit=200)
    assert result == run(wire, list(range(len(wire))), withhold=withhold, limit=200)
    assert result[0] == b"".join(piece for piece in pieces if not (withhold and piece == TOTAL)) + DONE
    assert result[1] == (SEEN if TOTAL in pieces else None)


def test_a_long_event_passes_as_it_comes() -> None:
    """It is not gathered in memory, and the events behind it are read again."""
    tap = StreamTap(CHAT_TEXT, event_limit=100)
    assert tap.feed(b'data: {"choices":[],"x":"') == b""
    assert tap.feed(b"a" * 100) == b'data: {"choices":[],"x":"' + b"a" * 100
    assert tap.feed(b"b" * 10) == b"b" * 10
    assert tap.feed(b'"}\n') == b'"}\n'
    assert tap.feed(b"\n" + TOTAL[:20]) == b"\n"
    assert tap.feed(TOTAL[20:] + DONE) == TOTAL + DONE
    assert tap.finish() == b""
    assert tap.usage == SEEN


def test_a_stream_cut_inside_a_long_event_ended_too_soon() -> None:
    """Its end is missing even where an earlier chunk named a reason to finish."""
    tap = StreamTap(CHAT_TEXT, event_limit=100)
    tap.feed(STOP + b"data: " + b"a" * 200)
    with pytest.raises(MalformedUpstream):
        tap.finish()


def test_whole_events_pass_at_once() -> None:
    """Half an event is of no use to anybody and is held to its end."""
    tap = CHAT.tap(OUTLINE, stream=True)
    assert tap.feed(ROLE) is ROLE
    assert tap.feed(HELLO + STOP[:10]) == HELLO
    assert tap.feed(STOP[10:-1]) == b""
    assert tap.feed(STOP[-1:] + DONE) == STOP + DONE
    assert tap.finish() == b""


def test_usage_null_is_not_usage() -> None:
    """The last one that is an object wins: vendors that report in every chunk report the sum."""
    cumulative = event(choices=[{"delta": {"content": "x"}}], usage={"prompt_tokens": 9, "completion_tokens": 1})
    assert run(HELLO + STOP + DONE, [])[1] is None
    assert run(cumulative + HELLO + DONE, [])[1] == Usage(input=9, output=1)
    assert run(cumulative + TOTAL + HELLO + DONE, [])[1] == SEEN


@pytest.mark.parametrize(
    "wire",
    [
        event(choices=[{"delta": {}, "finish_reason": "stop"}], usage=USAGE),
        event(choices=[{"delta": {}, "finish_reason": "stop", "usage": USAGE}]),
        event(choices=[{"delta": {}, "finish_reason": "stop"}], x_groq={"id": "r", "usage": USAGE}),
        event(usage=USAGE),
        event(choices="odd", usage=USAGE),
    ],
)
def test_usage_is_found_where_vendors_put_it(wire: bytes) -> None:
    """At the top, in the last choice, or under a name of their own."""
    assert run(wire + DONE, [])[1] == SEEN


@pytest.mark.parametrize(
    ("wire", "whole"),
    [
        (HELLO + DONE, True),
        (HELLO + b"data:[DONE]", True),
        (HELLO + DONE + b": bye\n", True),
        (HELLO + STOP, True),
        (HELLO + STOP.rstrip(), True),
        (HELLO + STOP + b"\n", True),
        (HELLO, False),
        (HELLO + delta(content="data: [DONE]"), False),
        (HELLO + delta(content='\n"finish_reason":"stop"'), False),
        (HELLO + STOP + TOTAL[:-20], False),
        (HELLO + DONE[:8], False),
        (b"", False),
    ],
)
def test_the_end_of_a_stream_must_be_there(wire: bytes, whole: bool) -> None:
    """`[DONE]`, or a reason to finish from those who never send it; half an event at the end is none."""
    end = run(wire, [len(wire) // 2])[3]
    assert end == ("" if whole else "the upstream's stream ended too soon")


def test_an_end_far_back_is_remembered() -> None:
    """Also when so much followed that it was looked through and dropped."""
    filler = b": " + b"x" * COUNT_AT + b"\n\n"
    assert run(STOP + filler + filler, [])[3] == ""
    assert run(HELLO + filler + filler, [])[3] != ""


def test_an_error_event_is_raised_at_the_end() -> None:
    """The upstream's own text does not pass; what came before it does, and its usage is read."""
    wire = HELLO + event(error={"message": "key sk-abcdef123456 is over", "code": 401}) + HELLO + TOTAL + DONE
    tap = CHAT.tap(OUTLINE, stream=True)
    assert tap.feed(wire) == HELLO
    assert tap.feed(HELLO) == b""
    with pytest.raises(UpstreamError) as raised:
        tap.finish()
    assert (raised.value.fault, raised.value.status, raised.value.code) == (Fault.CHANNEL, 502, "upstream_auth")
    assert tap.usage == SEEN


def test_nothing_of_a_long_event_passes_behind_an_error() -> None:
    """The error was the end."""
    failure = event(error={"message": "full"})
    long = event(x="y" * 300)
    for cuts in ([], [len(failure) + 250], [len(failure)]):
        assert run(failure + long + DONE, cuts, limit=200)[0] == b""


def test_output_is_estimated_from_events_that_passed() -> None:
    """A long stream is counted as it goes; half an event is not."""
    tap = CHAT.tap(OUTLINE, stream=True)
    for _ in range(500):
        tap.feed(delta(content="12345678"))
    assert tap.output_estimate == 1000
    tap.feed(delta(content="模型")[:-2])
    assert tap.output_estimate == 1000
    tap.feed(b"\n\n")
    assert tap.output_estimate == 1002


def test_completions_are_counted_by_their_text() -> None:
    """In chat streams, a look-alike's `text` beside the delta is not counted twice."""
    wire = event(choices=[{"text": "12345678", "delta": {"content": "12345678"}}])
    for name in ("openai_chat", "openai_completions"):
        tap = DIALECTS[name].tap(OUTLINE, stream=True)
        tap.feed(wire)
        assert tap.output_estimate == 2


def test_a_format_without_streams_reads_any_answer_as_plain() -> None:
    """Embeddings are never streamed."""
    tap = DIALECTS["openai_embeddings"].tap(OUTLINE, stream=True)
    assert tap.feed(b'{"data":[1],"usage":{"total_tokens":3}}') != b""
    tap.finish()
    assert tap.usage == Usage(input=3)
