"""Equal dialects pass bytes through; what we add to a request is taken out of the answer again."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.exchange import Body, Exchange
from asgi_gateway.middleware import ErrorMiddleware, FormatConversionMiddleware
from asgi_gateway.storage.records import Channel, Usage
from asgi_gateway.types import Receive, Scope, Send
from support.asgi import Answer, Connection, ask, http_scope, socket_scope
from support.exchanges import Inner, a_route, begun, channel, chat
from support.upstream import DONE, chunk, completion, stream, usage_chunk

SSE = b"text/event-stream"


class Pieces:
    """A relay that answers in these pieces."""

    def __init__(self, *pieces: bytes, content_type: bytes | None = SSE, fail: Exception | None = None) -> None:
        self.pieces, self.fail = pieces, fail
        self.bodies: list[bytes] = []
        self.headers = [(b"content-type", content_type)] if content_type is not None else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append((await receive())["body"])
        start: dict[str, Any] = {"type": "http.response.start", "status": 200}
        await send(start if self.headers is None else {**start, "headers": self.headers})
        for piece in self.pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if self.fail is not None:
            raise self.fail
        await send({"type": "http.response.body"})


async def through(
    inner: Any, body: bytes, *, of: Channel | None = None, model: str = "m-1", path: str = "/v1/chat/completions"
) -> tuple[Answer, Exchange]:
    scope, exchange = begun(http_scope(path=path), body=Body(body), route=a_route(of, model))
    exchange.outline = exchange.dialect.outline(body)
    seen = await ask(ErrorMiddleware(FormatConversionMiddleware(inner)), scope, b"not what the layer sends on")
    return seen, exchange


async def test_a_plain_body_goes_on_byte_for_byte() -> None:
    """Order, spaces, unknown fields and escapes stay as they were."""
    body = b'{ "model" : "m-1",\n"x_unknown": [1, 2.50],  "messages":[{"role":"user","content":"\\u00fc"}] }'
    inner = Pieces(json.dumps(completion()).encode(), content_type=b"application/json")
    await through(inner, body)
    assert inner.bodies == [body]


async def test_only_the_model_is_another_where_the_channel_names_it_otherwise() -> None:
    """A splice: every other byte stays."""
    body = b'{"messages": [{"role": "user", "content": "\\"model\\": \\"m-1\\""}],  "model": "m-1" , "n":1}'
    inner = Pieces(json.dumps(completion()).encode(), content_type=b"application/json")
    await through(inner, body, model="real-name")
    assert inner.bodies == [body.replace(b'"model": "m-1" ,', b'"model": "real-name" ,')]


async def test_a_channels_overrides_are_spliced_in() -> None:
    """Fields of the channel's own, and fields that it removes."""
    inner = Pieces(json.dumps(completion()).encode(), content_type=b"application/json")
    await through(
        inner, chat(temperature=1, user="me"), of=channel(id=1, param_override={"temperature": 0, "user": None})
    )
    sent = json.loads(inner.bodies[0])
    assert sent["temperature"] == 0
    assert "user" not in sent


async def test_the_usage_is_asked_for_and_hidden() -> None:
    """The caller did not ask: it gets every other byte, and the exchange the usage."""
    events = stream("Hel", "lo", usage=(11, 7))
    inner = Pieces(*events)
    seen, exchange = await through(inner, chat(stream=True))
    assert json.loads(inner.bodies[0])["stream_options"] == {"include_usage": True}
    assert seen.body == b"".join(stream("Hel", "lo"))
    assert exchange.usage == Usage(input=11, output=7)


async def test_a_caller_who_asked_gets_the_usage() -> None:
    """Then the body goes on as it is, and nothing is withheld."""
    body = chat(stream=True, stream_options={"include_usage": True})
    events = stream("Hello", usage=(11, 7))
    inner = Pieces(*events)
    seen, exchange = await through(inner, body)
    assert inner.bodies == [body]
    assert seen.body == b"".join(events)
    assert exchange.usage == Usage(input=11, output=7)


async def test_usage_beside_choices_is_not_withheld() -> None:
    """Only an event that holds nothing else is ours."""
    usage = b'"usage": {"prompt_tokens": 3, "completion_tokens": 1}'
    both = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}], ' + usage + b"}\n\n"
    seen, exchange = await through(Pieces(both, chunk(finish="stop"), DONE), chat(stream=True))
    assert seen.body == both + chunk(finish="stop") + DONE
    assert exchange.usage == Usage(input=3, output=1)


@given(cuts=st.lists(st.integers(0, 2000), max_size=8))
def test_however_the_upstream_cuts_its_stream_the_same_bytes_come_out(cuts: list[int]) -> None:
    """Boundaries of chunks are no boundaries of events."""
    import asyncio

    wire = b"".join(stream("Hel", "lo", "ü\\u00fc", usage=(11, 7)))
    places = sorted(place % len(wire) for place in cuts)
    pieces = [wire[a:b] for a, b in zip([0, *places], [*places, len(wire)], strict=True)]
    seen, exchange = asyncio.run(through(Pieces(*pieces), chat(stream=True)))
    assert seen.body == b"".join(stream("Hel", "lo", "ü\\u00fc"))
    assert exchange.usage == Usage(input=11, output=7)


async def test_an_answer_passes_byte_for_byte_and_its_usage_is_read() -> None:
    """A plain answer, in one piece or several."""
    whole = json.dumps(completion(usage=(20, 3)), indent=2).encode()
    for pieces in ([whole], [whole[:50], whole[50:51], whole[51:]]):
        seen, exchange = await through(Pieces(*pieces, content_type=b"application/json"), chat())
        assert seen.body == whole
        assert exchange.usage == Usage(input=20, output=3)


async def test_an_answer_without_usage_is_counted() -> None:
    """Then the exchange has an estimate instead, for what passed."""
    seen, exchange = await through(
        Pieces(json.dumps(completion("word " * 40, usage=None)).encode(), content_type=b"application/json"), chat()
    )
    assert seen.status == 200
    assert exchange.usage is None
    assert exchange.output_estimate == 50
    _, exchange = await through(Pieces(*stream("word " * 20, "word " * 20)), chat(stream=True))
    assert exchange.output_estimate == 50


async def test_what_was_seen_is_told_however_the_answer_ends() -> None:
    """A stream that breaks has produced what passed before."""
    inner = Pieces(chunk("word " * 40), usage_chunk(9, 50), fail=ZeroDivisionError())
    scope, exchange = begun(http_scope(), body=Body(chat(stream=True)), route=a_route())
    exchange.outline = exchange.dialect.outline(chat(stream=True))
    async with Connection(FormatConversionMiddleware(inner), scope) as caller:
        with pytest.raises(ZeroDivisionError):
            await caller.ended()
    assert exchange.usage == Usage(input=9, output=50)


async def test_a_stream_without_its_end_is_no_whole_answer() -> None:
    """It ends with an error event, never with a made-up normal end."""
    seen, _ = await through(Pieces(chunk("Hel")), chat(stream=True))
    assert seen.body.startswith(chunk("Hel"))
    assert b'"error"' in seen.body
    assert b"[DONE]" not in seen.body


async def test_an_attempt_starts_with_nothing_known() -> None:
    """What an attempt before it saw is not this one's."""
    scope, exchange = begun(http_scope(), body=Body(chat()), route=a_route(), usage=Usage(input=99), output_estimate=99)
    exchange.outline = exchange.dialect.outline(chat())
    async with Connection(FormatConversionMiddleware(Inner(ZeroDivisionError())), scope) as caller:
        await caller.over()
    assert (exchange.usage, exchange.output_estimate) == (None, 0)


async def test_nothing_lost_is_said_so() -> None:
    """`x-gateway-conversion: none` on every answer that was not converted, with or without other headers."""
    inner = Pieces(json.dumps(completion()).encode(), content_type=b"application/json")
    assert (await through(inner, chat()))[0].header("x-gateway-conversion") == "none"
    inner = Pieces(json.dumps(completion()).encode(), content_type=None)
    assert (await through(inner, chat()))[0].header("x-gateway-conversion") == "none"


async def test_a_stream_that_was_asked_for_and_not_given_is_a_plain_answer() -> None:
    """What the upstream sends decides how it is read."""
    whole = json.dumps(completion(usage=(20, 3))).encode()
    seen, exchange = await through(Pieces(whole, content_type=b"application/json"), chat(stream=True))
    assert seen.body == whole
    assert exchange.usage == Usage(input=20, output=3)


async def test_other_operations_are_read_too() -> None:
    """Embeddings have a usage and no stream."""
    whole = b'{"object": "list", "data": [{"embedding": [0.1]}], "usage": {"prompt_tokens": 8, "total_tokens": 8}}'
    inner = Pieces(whole, content_type=b"application/json")
    seen, exchange = await through(inner, b'{"model": "m-1", "input": "text"}', path="/v1/embeddings")
    assert seen.body == whole
    assert exchange.usage == Usage(input=8)


async def test_a_socket_passes() -> None:
    """Its frames are read where they are pumped."""
    inner = Inner([{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1000}])
    scope, _ = begun(socket_scope(), route=a_route())
    async with Connection(FormatConversionMiddleware(inner), scope) as caller:
        assert (await caller.next())["type"] == "websocket.accept"
        await caller.over()


async def test_a_media_type_has_no_case() -> None:
    """An upstream that writes it otherwise still streams: usage is read, and the end is known."""
    pieces = stream("a", usage=(7, 3))
    seen, exchange = await through(Pieces(*pieces, content_type=b"Text/Event-Stream"), chat(stream=True))
    assert seen.status == 200
    assert b'"error"' not in seen.body
    assert seen.body.endswith(DONE)
    assert exchange.usage == Usage(input=7, output=3)
