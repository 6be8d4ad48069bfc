"""Different dialects meet: the request is converted, the answer is converted back, and what was lost is told."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from asgi_gateway.backends.memory.cache import MemoryCache
from asgi_gateway.canonical import Loss, Reasoning, Seal, wrap
from asgi_gateway.errors import CallerLeft, MalformedUpstream, ServiceUnavailable
from asgi_gateway.exchange import Body, Caller, Exchange, Route
from asgi_gateway.middleware import ErrorMiddleware, FormatConversionMiddleware
from asgi_gateway.storage.records import Channel, Outcome, Usage, User
from asgi_gateway.types import Receive, Scope, Send
from support.asgi import Answer, ask, http_scope
from support.exchanges import a_route, begun, channel, chat
from support.upstream import DONE, chunk, completion, stream

JSON, SSE = b"application/json", b"text/event-stream"
ALICE = Caller(user=User(id=7, name="alice"), group="default")


class Upstream:
    """A relay that keeps what it is sent, and answers in these pieces."""

    def __init__(self, *pieces: bytes, content_type: bytes = JSON, fail: BaseException | None = None) -> None:
        self.pieces, self.content_type, self.fail = pieces, content_type, fail
        self.bodies: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append(json.loads((await receive())["body"]))
        exchange = Exchange.of(scope)
        exchange.outcome = Outcome.TRUNCATED
        headers = [(b"content-type", self.content_type), (b"openai-version", b"x"), (b"x-kept", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if self.fail is not None:
            raise self.fail
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        exchange.outcome = Outcome.COMPLETED


def to(dialect: str, of: Channel | None = None, model: str = "upstream-model") -> Route:
    return replace(a_route(of, model), dialect=dialect)


async def through(
    inner: Any, body: bytes, route: Route, *, path: str = "/v1/chat/completions", cache: Any = None, **fields: Any
) -> tuple[Answer, Exchange]:
    scope, exchange = begun(http_scope(path=path), body=Body(body), route=route, caller=ALICE, **fields)
    exchange.outline = exchange.dialect.outline(body, exchange.target)
    seen = await ask(ErrorMiddleware(FormatConversionMiddleware(inner, cache=cache)), scope, b"not what goes on")
    return seen, exchange


def messages(**fields: Any) -> bytes:
    said = [{"role": "user", "content": "Hi"}]
    return json.dumps({"model": "m-1", "max_tokens": 64, "messages": said, **fields}).encode()


def sse(body: bytes) -> list[Any]:
    lines = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) if line != "[DONE]" else line for line in lines]


async def test_a_plain_answer_is_converted_whole() -> None:
    """Anthropic's dialect outside, OpenAI's inside: body, usage, headers."""
    inner = Upstream(*[bytes([byte]) for byte in json.dumps(completion("Hello", usage=(11, 7))).encode()])
    seen, exchange = await through(inner, messages(), to("openai_chat"), path="/v1/messages")
    sent = inner.bodies[0]
    assert (sent["model"], sent["messages"]) == ("upstream-model", [{"role": "user", "content": "Hi"}])
    assert seen.status == 200
    answer = seen.json()
    assert (answer["type"], answer["content"]) == ("message", [{"type": "text", "text": "Hello"}])
    assert (seen.header("content-type"), seen.header("x-kept")) == ("application/json", "1")
    assert seen.header("openai-version") is None
    assert seen.header("content-length") == str(len(seen.body))
    assert seen.header("x-gateway-conversion") == "none"
    assert exchange.usage == Usage(input=11, output=7)


async def test_a_stream_is_converted_as_it_comes() -> None:
    """Each event of the upstream becomes one of the caller's, and the end comes once."""
    inner = Upstream(*stream("Hel", "lo", usage=(11, 7)), content_type=SSE)
    seen, exchange = await through(inner, messages(stream=True), to("openai_chat"), path="/v1/messages")
    assert inner.bodies[0]["stream_options"] == {"include_usage": True}
    events = sse(seen.body)
    texts = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    assert texts == ["Hel", "lo"]
    assert [event["type"] for event in events][-2:] == ["message_delta", "message_stop"]
    assert seen.header("content-type").startswith("text/event-stream")
    assert seen.header("x-gateway-conversion") == "request=none; response=see-record"
    assert exchange.usage == Usage(input=11, output=7)


@pytest.mark.parametrize("wanted", [True, False])
async def test_the_caller_gets_what_it_asked_for_whatever_the_upstream_sends(wanted: bool) -> None:
    """A stream for a plain answer, and a plain answer for a stream."""
    pieces = [json.dumps(completion("Hello")).encode()] if wanted else stream("Hel", "lo")
    inner = Upstream(*pieces, content_type=JSON if wanted else SSE)
    seen, _ = await through(inner, messages(stream=wanted), to("openai_chat"), path="/v1/messages")
    if wanted:
        assert sse(seen.body)[-1] == {"type": "message_stop"}
    else:
        assert seen.json()["content"] == [{"type": "text", "text": "Hello"}]


async def test_what_was_lost_stands_in_the_header_and_on_the_exchange() -> None:
    """By the name of the caller's field."""
    inner = Upstream(json.dumps(completion()).encode())
    seen, exchange = await through(inner, messages(top_k=5), to("openai_chat", model="gpt-4o"), path="/v1/messages")
    assert seen.header("x-gateway-conversion") == "request=dropped:top_k; response=none"
    assert exchange.losses == (Loss("dropped", "request", "top_k"),)


async def test_a_strict_channel_refuses_instead() -> None:
    """Nothing is sent; the error names the field in the caller's dialect."""
    strict = channel(id=1, conversion="strict")
    inner = Upstream()
    route = to("openai_chat", strict, model="gpt-4o")
    seen, exchange = await through(inner, messages(top_k=5), route, path="/v1/messages")
    assert (seen.status, inner.bodies) == (400, [])
    assert "'top_k'" in seen.json()["error"]["message"]
    assert exchange.losses == ()
    seen, _ = await through(Upstream(json.dumps(completion()).encode()), messages(), route, path="/v1/messages")
    assert seen.status == 200


async def test_reasoning_asked_for_by_the_models_name_is_written() -> None:
    """Unless the body itself says something about it."""
    for body, effort in [(messages(), "high"), (messages(thinking={"type": "disabled"}), "none")]:
        inner = Upstream(json.dumps(completion()).encode())
        route = to("openai_chat", model="gpt-5.1")
        await through(inner, body, route, path="/v1/messages", reasoning=Reasoning(effort="high"))
        assert inner.bodies[0]["reasoning_effort"] == effort


async def test_a_channels_overrides_hold_across_dialects() -> None:
    """They are fields of the upstream's dialect."""
    inner = Upstream(json.dumps(completion()).encode())
    overriding = channel(id=1, param_override={"seed": 7, "max_tokens": None, "max_completion_tokens": None})
    await through(inner, messages(), to("openai_chat", overriding), path="/v1/messages")
    assert inner.bodies[0]["seed"] == 7
    assert "max_tokens" not in inner.bodies[0]


async def test_a_failure_inside_a_stream_becomes_the_callers_error_event() -> None:
    """What came before it is there."""
    broken = b'data: {"error": {"message": "overloaded", "type": "server_error", "code": 503}}\n\n'
    inner = Upstream(chunk("Hel"), broken, content_type=SSE)
    seen, exchange = await through(inner, messages(stream=True), to("openai_chat"), path="/v1/messages")
    events = sse(seen.body)
    assert [event["type"] for event in events][-1] == "error"
    assert events[-1]["error"]["message"] == "overloaded"
    assert "message_stop" not in [event["type"] for event in events]
    assert exchange.outcome is Outcome.TRUNCATED
    assert exchange.output_estimate == 1


async def test_a_plain_answer_that_cannot_be_read_was_not_released() -> None:
    """The caller has seen nothing: it is the upstream's failure, and can be tried elsewhere."""
    inner = Upstream(b'{"choices": [{"message"')
    seen, exchange = await through(inner, messages(), to("openai_chat"), path="/v1/messages")
    assert (seen.status, seen.json()["type"]) == (502, "error")
    assert exchange.outcome is Outcome.UPSTREAM_FAILED


async def test_a_stream_for_a_plain_answer_that_fails_was_not_released() -> None:
    """Also when its beginning was good."""
    inner = Upstream(chunk("Hel"), content_type=SSE, fail=MalformedUpstream("cut"))
    seen, exchange = await through(inner, messages(), to("openai_chat"), path="/v1/messages")
    assert (seen.status, exchange.outcome) == (502, Outcome.UPSTREAM_FAILED)


async def test_a_plain_answer_that_broke_off_is_counted_by_what_came() -> None:
    """The caller left, for instance: what the upstream wrote until then is charged."""
    half = json.dumps(completion("x" * 400)).encode()[:-150]
    inner = Upstream(half, fail=CallerLeft())
    scope, exchange = begun(
        http_scope(path="/v1/messages"), body=Body(messages()), route=to("openai_chat"), caller=ALICE
    )
    exchange.outline = exchange.dialect.outline(messages())
    with pytest.raises(CallerLeft):
        await FormatConversionMiddleware(inner)(scope, nothing, nothing)
    assert exchange.usage is None
    assert exchange.output_estimate > 50


async def nothing(*_: Any) -> Any:
    """Neither a message nor anybody to send one to."""
    raise AssertionError


async def test_pings_pass() -> None:
    """A comment of the relay's keeps the caller's connection open, too."""
    first, *rest = stream("Hel", "lo")
    inner = Upstream(b": ping\n\n", first, b": ping\n\n", *rest, content_type=SSE)
    seen, _ = await through(inner, messages(stream=True), to("openai_chat"), path="/v1/messages")
    assert seen.body.startswith(b": ping\n\n")
    assert seen.body.count(b": ping\n\n") == 2
    inner = Upstream(b": ping\n\n", *stream("Hello"), content_type=SSE)
    seen, _ = await through(inner, messages(), to("openai_chat"), path="/v1/messages")
    assert seen.json()["content"][0]["text"] == "Hello"


THOUGHT = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [
        {"type": "thinking", "thinking": "why", "signature": "c2ln"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}},
    ],
    "stop_reason": "tool_use",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 5},
}


def turn(call: str) -> Sequence[Any]:
    """What a client that keeps nothing but the protocol's own fields sends back."""
    function = {"name": "f", "arguments": '{"a":1}'}
    return [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": call, "type": "function", "function": function}]},
        {"role": "tool", "tool_call_id": call, "content": "2"},
    ]


@pytest.mark.parametrize("streamed", [False, True])
async def test_signed_thinking_survives_a_client_that_drops_it(streamed: bool) -> None:
    """Claude behind an OpenAI client: the second turn has the thinking, its signature and the call's own id."""
    cache = MemoryCache(lambda: 0.0)
    inner = Upstream(json.dumps(THOUGHT).encode())
    route = to("anthropic_messages", model="claude-sonnet-4-5")
    seen, _ = await through(inner, chat(stream=streamed), route, cache=cache)
    if streamed:
        calls = [event["choices"][0]["delta"].get("tool_calls") for event in sse(seen.body)[:-1] if event["choices"]]
        (call,) = [call[0]["id"] for call in calls if call and call[0].get("id")]
    else:
        call = seen.json()["choices"][0]["message"]["tool_calls"][0]["id"]
    assert call.startswith("agw_")
    inner = Upstream(json.dumps(THOUGHT).encode())
    seen, exchange = await through(inner, chat(messages=turn(call)), route, cache=cache)
    assert seen.status == 200
    assistant, results = inner.bodies[0]["messages"][1:3]
    assert assistant["content"] == THOUGHT["content"]
    assert results["content"][0]["tool_use_id"] == "toolu_1"
    # Another user's conversation does not find it.
    inner = Upstream(json.dumps(THOUGHT).encode())
    scope, exchange = begun(
        http_scope(),
        body=Body(chat(messages=turn(call))),
        route=route,
        caller=Caller(user=User(id=8, name="b"), group="g"),
    )
    exchange.outline = exchange.dialect.outline(chat(messages=turn(call)))
    await ask(ErrorMiddleware(FormatConversionMiddleware(inner, cache=cache)), scope, b"")
    assert "thinking" not in json.dumps(inner.bodies[0]["messages"])
    assert Loss("dropped", "request", "thinking") in exchange.losses


async def test_ids_of_ours_are_turned_back_when_bytes_pass_through() -> None:
    """The conversation goes on at an upstream of the caller's own dialect."""
    cache = MemoryCache(lambda: 0.0)
    route = to("anthropic_messages", model="claude-sonnet-4-5")
    seen, _ = await through(Upstream(json.dumps(THOUGHT).encode()), chat(), route, cache=cache)
    call = seen.json()["choices"][0]["message"]["tool_calls"][0]["id"]
    inner = Upstream(json.dumps(completion()).encode())
    await through(inner, chat(messages=turn(call)), to("openai_chat"), cache=cache)
    assert inner.bodies[0]["messages"] == turn("toolu_1")


async def test_an_answer_is_good_though_its_seals_were_not_kept(caplog: pytest.LogCaptureFixture) -> None:
    """The storage is away: that is told, and the next turn misses its thinking."""

    class Away(MemoryCache):
        async def put(self, values: Any, seconds: float) -> None:
            raise ServiceUnavailable("the database is away")

    route = to("anthropic_messages", model="claude-sonnet-4-5")
    inner = Upstream(json.dumps(THOUGHT).encode())
    seen, _ = await through(inner, chat(), route, cache=Away(lambda: 0.0))
    assert seen.status == 200
    assert "were not kept" in caplog.text


async def test_a_conversation_goes_on_though_its_seals_cannot_be_looked_up(caplog: pytest.LogCaptureFixture) -> None:
    """The thinking is left out, and the loss told."""

    class Away(MemoryCache):
        async def get(self, keys: Sequence[str]) -> Any:
            raise ServiceUnavailable("the database is away")

    route = to("anthropic_messages", model="claude-sonnet-4-5")
    inner = Upstream(json.dumps(THOUGHT).encode())
    body = chat(messages=turn("agw_0123456789abcdef0123"))
    seen, exchange = await through(inner, body, route, cache=Away(lambda: 0.0))
    assert seen.status == 200
    assert Loss("dropped", "request", "thinking") in exchange.losses
    assert "could not be looked up" in caplog.text


async def test_thinking_is_shown_in_the_content_where_the_channel_says_so() -> None:
    """In the same dialect and across dialects; and tags become thinking again."""
    shown = channel(id=1, thinking_to_content=True)
    inner = Upstream(json.dumps(THOUGHT).encode())
    seen, _ = await through(inner, chat(), to("anthropic_messages", shown, model="claude-sonnet-4-5"))
    message = seen.json()["choices"][0]["message"]
    assert message["content"] == "<think>\nwhy\n</think>\n"
    assert "reasoning_content" not in message
    thinking = completion("because")
    thinking["choices"][0]["message"]["reasoning_content"] = "why"
    seen, _ = await through(Upstream(json.dumps(thinking).encode()), chat(), to("openai_chat", shown))
    assert seen.json()["choices"][0]["message"]["content"] == "<think>\nwhy\n</think>\nbecause"
    split = channel(id=1, content_to_thinking=True)
    tagged = Upstream(json.dumps(completion("<think>why</think>because")).encode())
    seen, _ = await through(tagged, chat(), to("openai_chat", split))
    message = seen.json()["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == ("because", "why")


async def test_an_answer_that_is_too_long_to_be_held_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded."""
    monkeypatch.setattr("asgi_gateway.middleware.crossing.PLAIN_LIMIT", 10)
    inner = Upstream(json.dumps(completion("Hello")).encode())
    seen, _ = await through(inner, messages(), to("openai_chat"), path="/v1/messages")
    assert seen.status == 502


async def test_an_empty_done_is_no_answer() -> None:
    """A stream that says nothing is malformed in every dialect."""
    seen, _ = await through(Upstream(DONE, content_type=SSE), messages(), to("openai_chat"), path="/v1/messages")
    assert seen.status == 502


async def test_seals_of_another_maker_are_left_out_of_a_body_that_passes_through() -> None:
    """Its upstream would take them for its own; the model's name and the channel's overrides hold all the same."""
    seal = wrap(Seal(maker="google", kind="signature", data="c2ln"))
    said = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "why", "signature": seal}, *_text("So.")]},
        {"role": "user", "content": "And?"},
    ]
    inner = Upstream(json.dumps(THOUGHT).encode())
    way = channel(id=1, param_override={"top_k": 3})
    route = to("anthropic_messages", way, model="claude-sonnet-4-5")
    seen, exchange = await through(inner, messages(messages=said), route, path="/v1/messages")
    assert seen.status == 200
    (sent,) = inner.bodies
    assert (sent["model"], sent["top_k"]) == ("claude-sonnet-4-5", 3)
    assert "why" not in json.dumps(sent)
    assert Loss("dropped", "request", "messages[].content[].thinking") in exchange.losses
    assert "dropped" in (seen.header("x-gateway-conversion") or "")
    strict = to("anthropic_messages", channel(id=1, conversion="strict"), model="claude-sonnet-4-5")
    seen, _ = await through(Upstream(), messages(messages=said), strict, path="/v1/messages")
    assert seen.status == 400


def _text(text: str) -> list[Any]:
    return [{"type": "text", "text": text}]
