"""What the layers need of Anthropic's Messages without converting them: outlines, splices, heads, taps, errors."""

import json
from typing import Any

import pytest

pytest.importorskip("anthropic", reason="the vendor's SDK is asked what is valid")

from asgi_gateway.canonical import (
    ChatRequest,
    Extra,
    HostedTool,
    Media,
    Native,
    Reasoning,
    Stored,
    Text,
    ToolResult,
    Turn,
    Usage,
)
from asgi_gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from asgi_gateway.dialects.contract import Head, Operation, RequestOutline
from asgi_gateway.errors import (
    Fault,
    GatewayError,
    InsufficientQuota,
    InvalidRequest,
    MalformedUpstream,
    ModelNotFound,
    NoChannelAvailable,
    PayloadTooLarge,
    PermissionDenied,
    RateLimited,
    Unauthenticated,
    UpstreamError,
    UpstreamTimeout,
)
from support.anthropic_messages import HI, MODEL, frame, message, stream
from support.strict import check_error, check_error_event

LONG = [{"role": "user", "content": "A text of some length, as nearly all are"}]


def body_of(**fields: Any) -> bytes:
    return json.dumps({"model": MODEL, "max_tokens": 64, "messages": LONG, **fields}).encode()


def rewritten(body: bytes, **asked: Any) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(ANTHROPIC_MESSAGES.rewrite(body, **asked))
    return told


def test_the_dialect_says_what_it_is() -> None:
    """Its name, its route, whose seals stand in it, and which headers belong to it."""
    own = ANTHROPIC_MESSAGES
    assert (own.name, own.maker, own.keeps_seals, own.stream_usage) == ("anthropic_messages", "anthropic", True, False)
    assert [(route.method, route.path, route.operation) for route in own.routes] == [
        ("POST", "/v1/messages", Operation.CHAT)
    ]
    assert own.stream_type == b"text/event-stream; charset=utf-8"
    assert own.forwarded == {b"anthropic-version", b"anthropic-beta"}


@pytest.mark.parametrize("messages", [LONG, HI])
@pytest.mark.parametrize("streams", [True, False])
def test_an_outline_has_model_stream_and_bound(messages: Any, streams: bool) -> None:
    """Of a usual request in one step, of a short one member by member: the same."""
    outline = ANTHROPIC_MESSAGES.outline(body_of(messages=messages, stream=streams))
    assert outline == RequestOutline(model=MODEL, stream=streams, max_output=64)


def test_a_cache_can_be_filled_without_an_answer() -> None:
    """Anthropic takes 0 as the bound of an answer."""
    assert ANTHROPIC_MESSAGES.outline(body_of(max_tokens=0)).max_output == 0


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"model": None}, "model", "model: Field required"),
        ({"model": "m" * 300}, "model", "at most 256"),
        ({"messages": None}, "messages", "messages: Field required"),
        ({"messages": []}, "messages", "at least one message"),
        ({"max_tokens": None}, "max_tokens", "max_tokens: Field required"),
        ({"max_tokens": -1}, "max_tokens", "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens", "max_tokens"),
        ({"stream": "yes"}, "stream", "stream"),
    ],
)
def test_a_request_that_anthropic_refuses_is_refused_by_name(fields: Any, param: str, words: str) -> None:
    """In words like the vendor's own."""
    with pytest.raises(InvalidRequest) as refused:
        ANTHROPIC_MESSAGES.outline(body_of(**fields))
    assert refused.value.param == param
    assert words in refused.value.message


def test_what_is_no_json_is_refused() -> None:
    """A body must be an object."""
    for body in (b"{", b"[]", b""):
        with pytest.raises(InvalidRequest):
            ANTHROPIC_MESSAGES.outline(body)


def test_embedded_media_are_no_prompt() -> None:
    """Base64 does not count; the text of a document does."""
    text = {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "some words " * 100}}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 1000}}
    plain = body_of(messages=[{"role": "user", "content": [text]}])
    assert ANTHROPIC_MESSAGES.prompt_bytes(plain) == len(plain)
    both = body_of(messages=[{"role": "user", "content": [text, image]}])
    assert ANTHROPIC_MESSAGES.prompt_bytes(both) == len(both) - 1000


def test_another_model_is_spliced_in() -> None:
    """Every other byte stays."""
    body = b'{ "model":"a" , "x":1.50,"messages":[{"role":"user","content":"\\u00e4"}] }'
    assert ANTHROPIC_MESSAGES.rewrite(body, model="b") == body.replace(b'"a"', b'"b"')
    assert ANTHROPIC_MESSAGES.rewrite(body) == body


def test_fields_of_a_channel_are_spliced_in() -> None:
    """None takes one out."""
    told = rewritten(body_of(top_k=5), overrides={"top_k": None, "temperature": 0.5})
    assert "top_k" not in told
    assert told["temperature"] == 0.5
    with pytest.raises(InvalidRequest):
        ANTHROPIC_MESSAGES.rewrite(b"[]", overrides={"a": 1})


def test_a_suffix_asks_an_older_model_with_a_budget() -> None:
    """The budget fits the bound of the answer, and sampling that goes with no thinking is taken out."""
    told = rewritten(body_of(max_tokens=20000, temperature=0.5, top_k=3, top_p=0.99), reasoning=Reasoning(budget=5000))
    assert told["thinking"] == {"type": "enabled", "budget_tokens": 5000}
    assert {"temperature", "top_k", "top_p"} & set(told) == {"top_p"}
    raised = rewritten(body_of(max_tokens=100), reasoning=Reasoning(effort="high"))
    assert raised["thinking"]["budget_tokens"] == 1024
    assert raised["max_tokens"] == 2048


def test_a_suffix_asks_a_newer_model_with_an_effort() -> None:
    """Beside a schema that the body has."""
    form = {"type": "json_schema", "schema": {}}
    asked = {"model": "claude-opus-4-8", "reasoning": Reasoning(effort="xhigh")}
    told = rewritten(body_of(output_config={"format": form}, temperature=1), **asked)
    assert told["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert told["output_config"] == {"effort": "xhigh", "format": form}
    assert "temperature" not in told
    assert rewritten(body_of(output_config=None), **asked)["output_config"] == {"effort": "xhigh"}


@pytest.mark.parametrize("said", [{"thinking": {"type": "disabled"}}, {"output_config": {"effort": "low"}}])
def test_what_the_body_says_of_thinking_wins(said: Any) -> None:
    """A suffix adds nothing to it."""
    body = body_of(**said)
    assert ANTHROPIC_MESSAGES.rewrite(body, reasoning=Reasoning(effort="high")) == body


def test_a_suffix_gives_way_to_what_forbids_thinking() -> None:
    """A forced tool, and a turn of calls that began without thinking."""
    forced = body_of(tool_choice={"type": "any"})
    assert ANTHROPIC_MESSAGES.rewrite(forced, reasoning=Reasoning(effort="high")) == forced
    call = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}
    result = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": "1"}]}
    open_turn = body_of(messages=[*LONG, call, result])
    assert ANTHROPIC_MESSAGES.rewrite(open_turn, reasoning=Reasoning(effort="high")) == open_turn


def test_a_body_that_is_none_is_no_failure_of_ours() -> None:
    """A suffix on a model's name, and messages of no kind."""
    with pytest.raises(InvalidRequest):
        ANTHROPIC_MESSAGES.rewrite(body_of(messages=["x"]), reasoning=Reasoning(effort="high"))
    assert rewritten(body_of(messages=[{}, {}]), reasoning=Reasoning(effort="high"))["thinking"]


START = frame({"type": "message_start", "message": message(stop_reason=None)})
PING = frame({"type": "ping"})
OPENED = frame({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
OVERLOADED = frame({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})
END = frame({"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 0}})
STOP = frame({"type": "message_stop"})


@pytest.mark.parametrize("data", [b"", START, START + PING, START + OPENED[:-1]])
def test_a_head_waits_for_content(data: bytes) -> None:
    """The beginning of a message promises nothing."""
    assert ANTHROPIC_MESSAGES.head(data, stream=True, complete=False) is Head.WAIT


@pytest.mark.parametrize("data", [START + OPENED, START + PING + END])
def test_a_head_is_released_with_content_or_a_reason(data: bytes) -> None:
    """From then on the caller sees it."""
    assert ANTHROPIC_MESSAGES.head(data, stream=True, complete=False) is Head.RELEASE


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (OVERLOADED, 529),
        (START + OVERLOADED, 529),
        (b'{"type":"error","error":{"type":"rate_limit_error","message":"slow"}}', 429),
        (b"<html>", 502),
        (b"{}", 502),
        (START, 502),
        (START + STOP, 502),
        (b"data: [1]\n\n", 502),
        (b"", 502),
    ],
)
def test_a_head_that_is_none_raises(data: bytes, status: int) -> None:
    """An error inside a good status, an empty stream, and what is no stream."""
    with pytest.raises(UpstreamError) as failed:
        ANTHROPIC_MESSAGES.head(data, stream=True, complete=True)
    assert failed.value.status == status


def test_the_head_of_a_plain_answer_is_all_of_it() -> None:
    """It is judged once it is whole."""
    good = json.dumps(message()).encode()
    assert ANTHROPIC_MESSAGES.head(good[:9], stream=False, complete=False) is Head.WAIT
    assert ANTHROPIC_MESSAGES.head(b" ", stream=False, complete=False) is Head.WAIT
    assert ANTHROPIC_MESSAGES.head(good, stream=False, complete=True) is Head.RELEASE


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 502), (b"[]", 502), (b"{}", 502), (b'{"content"', 502), (b'{"error":{"type":"overloaded_error"}}', 529)],
)
def test_a_plain_answer_that_is_none_raises(data: bytes, status: int) -> None:
    """Errors, empty bodies, halves."""
    with pytest.raises(UpstreamError) as failed:
        ANTHROPIC_MESSAGES.head(data, stream=False, complete=True)
    assert failed.value.status == status


OUTLINE = RequestOutline(model=MODEL, stream=True)
TEXT = ({"type": "text", "text": ""}, [{"type": "text_delta", "text": "Hello there"}])


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_stream_passes_unchanged_and_tells_its_usage(size: int) -> None:
    """Wherever it is cut: what the end does not say stands as the beginning said it."""
    start = {
        "input_tokens": 9,
        "cache_read_input_tokens": 5,
        "cache_creation_input_tokens": 4,
        "cache_creation": {"ephemeral_5m_input_tokens": 1, "ephemeral_1h_input_tokens": 3},
        "output_tokens": 1,
    }
    begun = frame({"type": "message_start", "message": message(stop_reason=None, usage=start)})
    wire = begun + stream(TEXT, usage={"output_tokens": 20})[len(START) :]
    tap = ANTHROPIC_MESSAGES.tap(OUTLINE, stream=True)
    passed = b"".join(tap.feed(wire[place : place + size]) for place in range(0, len(wire), size))
    assert passed + tap.finish() == wire
    assert tap.usage == Usage(input=9, cache_read=5, cache_write=1, cache_write_1h=3, output=20)
    assert tap.output_estimate == 3


def test_an_error_in_a_stream_is_kept_back() -> None:
    """With all behind it; the end raises it."""
    tap = ANTHROPIC_MESSAGES.tap(OUTLINE, stream=True)
    assert tap.feed(START + OPENED + OVERLOADED + STOP) == START + OPENED
    assert tap.feed(STOP) == b""
    with pytest.raises(UpstreamError) as failed:
        tap.finish()
    assert failed.value.status == 529


def test_a_stream_that_breaks_off_is_noticed() -> None:
    """Its end is missing."""
    tap = ANTHROPIC_MESSAGES.tap(OUTLINE, stream=True)
    assert tap.feed(START + OPENED + b"event: cont") == START + OPENED
    with pytest.raises(MalformedUpstream):
        tap.finish()


def test_an_event_too_long_to_be_held_passes_in_pieces() -> None:
    """Results of searches can be that long."""
    tap = ANTHROPIC_MESSAGES.tap(OUTLINE, stream=True)
    block = {"type": "web_search_tool_result", "tool_use_id": "s", "content": [{"encrypted_content": "x" * (3 << 20)}]}
    wire = stream((block, []), TEXT)
    passed = b"".join(tap.feed(wire[place : place + 65536]) for place in range(0, len(wire), 65536))
    assert passed + tap.finish() == wire
    assert tap.usage == Usage(input=3, output=2)


def test_a_plain_answer_tells_its_usage() -> None:
    """Hosted calls and thinking among it."""
    usage = {
        "input_tokens": 3,
        "output_tokens": 9,
        "output_tokens_details": {"thinking_tokens": 4},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
    }
    wire = json.dumps(message({"type": "text", "text": "Hi"}, usage=usage)).encode()
    tap = ANTHROPIC_MESSAGES.tap(RequestOutline(model=MODEL), stream=False)
    assert tap.feed(wire) + tap.finish() == wire
    assert tap.usage == Usage(input=3, output=5, reasoning=4, tools=(("web_search", 2), ("web_fetch", 1)))


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"input_tokens": 1, "output_tokens": 2, "output_tokens_details": {"thinking_tokens": 5}},
            Usage(input=1, reasoning=2, inconsistent=True),
        ),
        (
            {
                "input_tokens": 1,
                "cache_creation_input_tokens": 5,
                "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 4},
                "output_tokens": 1,
            },
            Usage(input=1, cache_write=1, cache_write_1h=4, output=1, inconsistent=True),
        ),
        ({"input_tokens": "x", "output_tokens": True}, Usage()),
        ({"cache_read_input_tokens": 4}, None),
        (None, None),
    ],
)
def test_usage_that_does_not_add_up_is_marked(usage: Any, expected: Usage | None) -> None:
    """And none is told from zero."""
    tap = ANTHROPIC_MESSAGES.tap(RequestOutline(model=MODEL), stream=False)
    tap.feed(json.dumps(message(usage=usage)).encode())
    tap.finish()
    assert tap.usage == expected


@pytest.mark.parametrize(
    ("status", "kind", "fault"),
    [
        (400, "invalid_request_error", Fault.CALLER),
        (401, "authentication_error", Fault.CHANNEL),
        (402, "billing_error", Fault.CHANNEL),
        (403, "permission_error", Fault.CHANNEL),
        (404, "not_found_error", Fault.CHANNEL),
        (413, "request_too_large", Fault.CALLER),
        (429, "rate_limit_error", Fault.UPSTREAM),
        (500, "api_error", Fault.UPSTREAM),
        (529, "overloaded_error", Fault.UPSTREAM),
    ],
)
def test_an_error_is_read_and_written_as_it_was(status: int, kind: str, fault: Fault) -> None:
    """Status, type and text; secrets are masked."""
    body = {"type": "error", "error": {"type": kind, "message": "no: sk-ant-api03-abcdef"}, "request_id": "req_1"}
    error = ANTHROPIC_MESSAGES.read_error(status, {b"retry-after": b"7"}, json.dumps(body).encode())
    assert (error.status, error.original_status, error.code, error.fault) == (status, status, kind, fault)
    assert error.retry_after == 7.0
    assert error.message == "no: ***"
    written = ANTHROPIC_MESSAGES.write_error(error)
    check_error("anthropic_messages", written)
    assert json.loads(written)["error"] == {"type": kind, "message": "no: ***"}


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":{}}'])
def test_an_error_without_words_gets_some(body: bytes) -> None:
    """The status says what there is to say."""
    error = ANTHROPIC_MESSAGES.read_error(502, {}, body)
    assert error.message == "The upstream answered with status 502."
    assert error.code == "api_error"


def test_an_error_that_is_a_text_is_read() -> None:
    """Servers that are only alike answer so."""
    assert ANTHROPIC_MESSAGES.read_error(400, {}, b'{"error":"bad"}').message == "bad"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (InvalidRequest("no", param="messages"), "invalid_request_error"),
        (PayloadTooLarge("no"), "request_too_large"),
        (ModelNotFound("no"), "not_found_error"),
        (Unauthenticated("no"), "authentication_error"),
        (PermissionDenied("no"), "permission_error"),
        (RateLimited("no", retry_after=1), "rate_limit_error"),
        (InsufficientQuota("no"), "rate_limit_error"),
        (NoChannelAvailable("no"), "api_error"),
        (UpstreamTimeout("no", phase="idle"), "timeout_error"),
        (MalformedUpstream("no"), "api_error"),
        (GatewayError("no", status=422), "invalid_request_error"),
        (GatewayError("no \ud800"), "api_error"),
    ],
)
def test_every_error_of_ours_has_a_type_of_anthropics(error: GatewayError, kind: str) -> None:
    """As a body, and as the last event of a stream; the field stands in the words."""
    body = ANTHROPIC_MESSAGES.write_error(error)
    check_error("anthropic_messages", body)
    told = json.loads(body)["error"]
    assert told["type"] == kind
    assert told["message"] == (f"{error.param}: {error.message}" if error.param else error.message)
    event = ANTHROPIC_MESSAGES.write_error_event(error)
    check_error_event("anthropic_messages", event)
    assert body in event


def test_betas_are_named_for_what_needs_them() -> None:
    """Stored files, other servers, and tools that are not open to all; nothing else."""
    own = "anthropic_messages"
    asked = ChatRequest(model=MODEL, turns=(Turn("user", (Text("Hi"),)),))
    assert ANTHROPIC_MESSAGES.request_headers(asked) == ()
    file = Media(kind="image", source=Stored("file_1", "anthropic"))
    upload = Native(own, "messages[].content[].container_upload", {"type": "container_upload", "file_id": "f"})
    for part in (file, upload, ToolResult(call_id="a", parts=(file,))):
        with_file = ChatRequest(model=MODEL, turns=(Turn("user", (part,)),))
        assert ANTHROPIC_MESSAGES.request_headers(with_file) == ((b"anthropic-beta", b"files-api-2025-04-14"),)
    tools = tuple(
        HostedTool(kind=kind, dialect=own, native={"type": kind}) for kind in ("mcp_toolset", "computer_20250124")
    )
    extras = tuple(Extra(own, name, []) for name in ("mcp_servers", "context_management", "speed"))
    ((name, value),) = ANTHROPIC_MESSAGES.request_headers(
        ChatRequest(model=MODEL, turns=(), tools=tools, extras=extras)
    )
    assert name == b"anthropic-beta"
    assert value.split(b",") == [
        b"mcp-client-2025-11-20",
        b"context-management-2025-06-27",
        b"fast-mode-2026-02-01",
        b"computer-use-2025-01-24",
    ]
    older = ChatRequest(model=MODEL, turns=(), extras=extras[:1])
    assert ANTHROPIC_MESSAGES.request_headers(older) == ((b"anthropic-beta", b"mcp-client-2025-04-04"),)
