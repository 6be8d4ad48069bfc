"""Bodies are read once, within bounds, decoded, and given on as if nothing had happened."""

import asyncio
import gzip
import tracemalloc
from typing import Any

import pytest

from asgi_gateway.exchange import MEMORY_LIMIT, SCOPE_KEY, Body
from asgi_gateway.middleware import ErrorMiddleware, RequestBodyMiddleware
from asgi_gateway.middleware.body import behind, replay
from asgi_gateway.types import Message, Receive, Scope, Send
from support.asgi import Answer, Connection, ask, http_scope, settled, socket_scope
from support.exchanges import Inner, answer


def layer(inner: Inner, **options: Any) -> ErrorMiddleware:
    return ErrorMiddleware(RequestBodyMiddleware(inner, **options))


async def post(
    body: bytes | list[bytes], headers: dict[str, str] | None = None, **options: Any
) -> tuple[Answer, Inner]:
    inner = Inner()
    return await ask(layer(inner, **options), http_scope(headers=headers or {}), body), inner


@pytest.mark.parametrize("pieces", [[b"abc"], [b"a", b"b", b"c"], [b"", b"abc", b""], [b"abc", b""]])
async def test_a_body_in_pieces_is_one_body(pieces: list[bytes]) -> None:
    """The inside gets it whole; the exchange has its size."""
    seen, inner = await post(pieces)
    assert seen.status == 200
    assert inner.bodies == [b"abc"]
    body = inner.exchange.body
    assert body is not None
    assert body.size == 3
    assert await body.bytes() == b"abc"
    assert [piece async for piece in body.stream()] == [b"abc"]


async def test_an_empty_body_is_a_body() -> None:
    """No bytes are not no body."""
    for pieces in (b"", [b"", b""]):
        _, inner = await post(pieces)
        assert inner.exchange.body is not None
        assert await inner.exchange.body.bytes() == b""


async def test_a_message_without_its_optional_keys_is_the_whole_body() -> None:
    """ASGI lets `body` and `more_body` be left out."""
    inner = Inner()
    async with Connection(layer(inner), http_scope(), None) as caller:
        caller._incoming.put_nowait({"type": "http.request"})
        await caller.ended()
    assert inner.bodies == [b""]


async def test_a_body_above_its_announced_limit_is_refused_unread() -> None:
    """413 by `content-length` alone, before a byte is asked for; one of absurd length too."""
    for length in ("101", "9" * 18, "9" * 5000):
        async with Connection(layer(Inner(), max_bytes=100), http_scope(headers={"content-length": length})) as caller:
            seen = await caller.answer()
            assert seen.status == 413
            assert seen.json()["error"]["code"] == "request_too_large"
            assert caller.taken == []


@pytest.mark.parametrize("pieces", [[b"x" * 101], [b"x" * 50, b"x" * 51], [b"x" * 60] * 10])
async def test_a_body_above_its_limit_is_refused_by_count(pieces: list[bytes]) -> None:
    """Whatever was announced, reading stops with the byte that is too many."""
    inner = Inner()
    async with Connection(layer(inner, max_bytes=100), http_scope(headers={"content-length": "5"}), pieces) as caller:
        assert (await caller.answer()).status == 413
        assert len(caller.taken) <= 2
    assert inner.calls == 0


async def test_a_body_of_exactly_the_limit_passes() -> None:
    """The limit itself is allowed."""
    seen, _ = await post([b"x" * 50, b"x" * 50], {"content-length": "100"}, max_bytes=100)
    assert seen.status == 200


async def test_an_odd_content_length_is_left_to_the_count() -> None:
    """What is no number says nothing; servers refuse it before us."""
    seen, _ = await post(b"abc", {"content-length": "-1"}, max_bytes=3)
    assert seen.status == 200


async def test_multipart_has_a_limit_of_its_own() -> None:
    """An upload may be larger than JSON, and no larger than its limit; the type's case does not matter."""
    limits = {"max_bytes": 10, "max_upload_bytes": 100}
    for kind in ("multipart/form-data; boundary=x", "Multipart/Form-Data; boundary=x"):
        assert (await post(b"x" * 100, {"content-type": kind}, **limits))[0].status == 200
        assert (await post(b"x" * 101, {"content-type": kind}, **limits))[0].status == 413
    assert (await post(b"x" * 11, {"content-type": "application/json"}, **limits))[0].status == 413


async def test_a_large_body_is_kept_in_a_file() -> None:
    """Above what is kept in memory it is spooled, can be read again in pieces, and the file goes with the request."""
    pieces = [bytes([number]) * 100_000 for number in range(12)]
    whole = b"".join(pieces)
    assert len(whole) > MEMORY_LIMIT
    seen: list[bytes] = []
    body: Body | None = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal body
        body = scope[SCOPE_KEY].body
        assert body is not None
        seen.append(await body.bytes())
        seen.append(b"".join([piece async for piece in body.stream()]))
        seen.append((await receive())["body"])
        for message in answer():
            await send(message)

    await ask(RequestBodyMiddleware(app), http_scope(), pieces)
    assert seen == [whole] * 3
    assert body is not None
    assert body.size == len(whole)
    with pytest.raises(ValueError, match="closed file"):
        await body.bytes()


async def test_a_body_is_decoded_and_its_headers_say_so() -> None:
    """The inside sees the decoded body, its length, and no encoding; several header lines are one list."""
    text = b'{"model": "m-1"}' * 10
    once, twice = gzip.compress(text), gzip.compress(gzip.compress(text))
    sent: list[tuple[bytes, list[tuple[bytes, bytes]]]] = [
        (once, [(b"content-encoding", b"gzip")]),
        (twice, [(b"content-encoding", b"gzip"), (b"content-encoding", b"gzip")]),
    ]
    for body, headers in sent:
        inner = Inner()
        scope = http_scope(headers=[*headers, (b"content-length", b"%d" % len(body)), (b"x-other", b"1")])
        before = list(scope["headers"])
        await ask(layer(inner), scope, body)
        assert inner.bodies == [text]
        assert sorted(inner.scopes[0]["headers"]) == [
            (b"content-length", b"160"),
            (b"host", b"gateway.test"),
            (b"x-other", b"1"),
        ]
        assert scope["headers"] == before


async def test_the_limit_counts_after_decompression() -> None:
    """A small body that becomes a large one is 413."""
    seen, _ = await post(gzip.compress(bytes(10_000)), {"content-encoding": "gzip"}, max_bytes=9_999)
    assert seen.status == 413
    seen, _ = await post(gzip.compress(bytes(10_000)), {"content-encoding": "gzip"}, max_bytes=10_000)
    assert seen.status == 200


async def test_bytes_that_decode_to_nothing_have_an_end() -> None:
    """An endless chain of empty gzip members is stopped by what came, not by what came out."""
    empty = gzip.compress(b"")
    seen, _ = await post([empty * 10] * 50, {"content-encoding": "gzip"}, max_bytes=1000)
    assert seen.status == 413


async def test_a_bomb_costs_little_memory() -> None:
    """64 MiB out of 64 KiB: refused, with little more in memory than the limit."""
    packed = gzip.compress(bytes(1 << 26))
    tracemalloc.start()
    try:
        seen, _ = await post(packed, {"content-encoding": "gzip"}, max_bytes=1 << 16)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen.status == 413
    assert peak < 2 << 20


@pytest.mark.parametrize("body", [b"no gzip at all", gzip.compress(b"text")[:-3], gzip.compress(b"text") + b"more"])
async def test_what_is_not_of_its_encoding_is_refused(body: bytes) -> None:
    """400 that names the encoding; unknown ones are 415."""
    seen, inner = await post(body, {"content-encoding": "gzip"})
    assert seen.status == 400
    assert "not valid gzip" in seen.json()["error"]["message"]
    assert inner.calls == 0
    assert (await post(body, {"content-encoding": "rot13"}))[0].status == 415


async def test_a_caller_who_leaves_while_its_body_is_read_ends_it() -> None:
    """Before the first piece and between two, nothing is answered, and nothing is held any more."""
    for pieces in ([], [b"x" * 2000, b"y" * 2000]):
        inner = Inner()
        bodies = RequestBodyMiddleware(inner)
        async with Connection(ErrorMiddleware(bodies), http_scope(), None) as caller:
            for piece in pieces:
                caller.feed(piece, more=True)
            await settled()
            caller.leave()
            await caller.ended()
            assert caller.messages == []
        assert inner.calls == 0
        assert bodies._held == 0


async def test_after_the_body_come_the_servers_own_messages() -> None:
    """A disconnect is passed on when it happens, and never invented."""
    inner = Inner(wait := asyncio.Event())
    async with Connection(layer(inner), http_scope(), b"abc") as caller:
        await settled()
        assert inner.receive is not None
        waiting = asyncio.ensure_future(inner.receive())
        await settled()
        assert not waiting.done()
        caller.leave()
        message: Message = await waiting
        assert message == {"type": "http.disconnect"}
        wait.set()


async def test_a_replay_takes_the_place_of_another() -> None:
    """The body inside is given once, not the one outside it after that."""

    async def server() -> Message:
        return {"type": "http.disconnect"}

    outer = replay(b"outer", server)
    inner = replay(b"inner", outer)
    assert await inner() == {"type": "http.request", "body": b"inner", "more_body": False}
    assert await inner() == {"type": "http.disconnect"}
    assert behind(outer) is server
    assert behind(server) is server


async def test_bodies_under_way_are_bounded() -> None:
    """Above the bound of all requests together new bodies are refused with 503, and taken again when there is room."""
    gates = [asyncio.Event(), asyncio.Event()]
    inner = Inner(*gates, answer())
    app = layer(inner, max_bytes=1000, max_held_bytes=1000)
    async with Connection(app, http_scope(), b"x" * 600) as first, Connection(app, http_scope(), b"x" * 400) as second:
        await settled()
        seen = await ask(app, http_scope(), b"x")
        assert seen.status == 503
        assert seen.json()["error"]["code"] == "overloaded"
        assert seen.header("retry-after") == "1"
        gates[0].set()
        assert (await first.answer()).status == 200
        assert (await ask(app, http_scope(headers={"content-length": "601"}), b"x" * 601)).status == 503
        assert (await ask(app, http_scope(headers={"content-length": "600"}), b"x" * 600)).status == 200
        gates[1].set()
        assert (await second.answer()).status == 200


async def test_bodies_count_while_they_are_read() -> None:
    """Half a body holds its half already: many slow uploads cannot pass the bound together."""
    inner = Inner()
    bodies = RequestBodyMiddleware(inner, max_bytes=1000, max_held_bytes=1000)
    app = ErrorMiddleware(bodies)
    async with Connection(app, http_scope(), None) as first:
        first.feed(b"x" * 900, more=True)
        await settled()
        assert bodies._held == 900
        async with Connection(app, http_scope(), [b"x" * 90, b"x" * 20]) as second:
            assert (await second.answer()).status == 503
        assert bodies._held == 900
        first.feed(b"")
        assert (await first.answer()).status == 200
    assert bodies._held == 0


async def test_whatever_happens_inside_nothing_stays_held() -> None:
    """Errors and cancellations give the bytes back."""
    for step in (ZeroDivisionError(), asyncio.Event()):
        bodies = RequestBodyMiddleware(Inner(step))
        async with Connection(ErrorMiddleware(bodies), http_scope(), b"x" * 100) as caller:
            await settled()
            caller.cancel()
            await caller.over()
        assert bodies._held == 0


async def test_a_socket_has_no_body() -> None:
    """Its messages are left alone."""
    inner = Inner()
    async with Connection(layer(inner), socket_scope()) as caller:
        await caller.over()
        assert caller.taken == []
    assert inner.exchange.body is None


@pytest.mark.parametrize("option", ["max_bytes", "max_upload_bytes", "max_held_bytes"])
def test_a_limit_of_nothing_is_refused_when_the_layer_is_made(option: str) -> None:
    """A body limit must be above 0."""
    with pytest.raises(ValueError, match="above 0"):
        RequestBodyMiddleware(Inner(), **{option: 0})
