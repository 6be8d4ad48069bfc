"""What a request carries beside its body: the caller's headers of the format, a granted token, a signature."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from asgi_gateway.errors import Fault, UpstreamError
from asgi_gateway.exchange import Exchange, Route
from asgi_gateway.providers.contract import Endpoint, Grant, Origin, Pairs
from asgi_gateway.relay import Relay
from asgi_gateway.storage.records import Channel, Outcome
from support.asgi import Connection, http_scope, settled, socket_scope
from support.exchanges import a_route, begun, channel, chat
from support.upstream import HANG, Reply, ScriptedSocket, ScriptedSockets, ScriptedTransport, completion, stream

LOGIN = Origin("https", "login.test", 443)


class Vendor:
    """A provider with any endpoint; remembers what it was asked for."""

    name, base_url, dialects, needs_key = "vendor", "", ("openai_chat",), True

    def __init__(self, *headers: tuple[bytes, bytes], grant: Grant | None = None, signs: bool = False) -> None:
        self.headers = headers
        self.grant = grant
        self.signs = signs
        self.signed: list[tuple[bytes, datetime]] = []
        self.streams: list[bool] = []

    def endpoint(self, *_: Any, stream: bool = False) -> Endpoint:
        self.streams.append(stream)
        target = b"/stream" if stream else b"/plain"
        sign = self.sign if self.signs else None
        return Endpoint("POST", Origin("https", "vendor.test", 443), target, self.headers, self.grant, sign)

    def sign(self, endpoint: Endpoint, body: bytes, now: datetime) -> Pairs:
        self.signed.append((body, now))
        return ((b"x-date", b"now"), (b"authorization", b"signed " + endpoint.target))

    def read_error(self, dialect: str, status: int, *_: Any) -> UpstreamError:
        return UpstreamError("no", original_status=status)


def routed(vendor: Vendor, **fields: Any) -> Route:
    of: Channel = channel(id=1, **fields)
    return replace(a_route(of), provider=vendor)  # type: ignore[arg-type]  # as much of one as the relay uses


def a_grant() -> Grant:
    return Grant("vendor:1", "https://login.test/token", lambda now: {"grant_type": "x"})


def token(text: str = "token-1") -> Reply:
    return Reply.json({"access_token": text, "expires_in": 3600})


class Wire:
    """A relay to a vendor, and the exchange of its last call."""

    def __init__(self, vendor: Vendor, *replies: Reply, **fields: Any) -> None:
        self.transport = ScriptedTransport(*replies)
        self.relay = Relay(transport=self.transport, route=routed(vendor, **fields))
        self.exchange: Exchange | None = None

    def call(self, body: bytes = chat(), **fields: Any) -> Connection:
        scope, exchange = begun(http_scope(), **fields)
        exchange.outline = exchange.dialect.outline(body)
        self.exchange = exchange
        return Connection(self.relay, scope, body)


async def sent(wire: Wire, **fields: Any) -> dict[bytes, bytes]:
    async with wire.call(**fields) as caller:
        assert (await caller.answer()).status == 200
    return dict(wire.transport.requests[-1].headers)


async def test_a_stream_may_have_an_address_of_its_own() -> None:
    """Both are made once."""
    vendor = Vendor()
    answers = [Reply.json(completion()), Reply.stream(*stream("a"))] * 2
    wire = Wire(vendor, *answers)
    for body in [chat(), chat(stream=True)] * 2:
        async with wire.call(body) as caller:
            await caller.answer()
    assert [request.target for request in wire.transport.requests] == [b"/plain", b"/stream"] * 2
    assert vendor.streams == [False, True]


async def test_headers_of_the_format_take_the_place_of_the_usual_ones() -> None:
    """The caller's version goes before ours; names of betas are joined, each once."""
    vendor = Vendor((b"anthropic-version", b"1"), (b"anthropic-beta", b"login-1,both"), (b"x-api-key", b"k"))
    more = ((b"anthropic-version", b"2"), (b"anthropic-beta", b"both, tools-1"), (b"x-more", b"3"))
    seen = await sent(Wire(vendor, Reply.json(completion())), upstream_headers=more)
    assert seen == {
        b"anthropic-version": b"2",
        b"anthropic-beta": b"login-1,both,tools-1",
        b"x-api-key": b"k",
        b"x-more": b"3",
    }


async def test_what_a_channel_overrides_stays() -> None:
    """The deployer has the last word over the caller, a token, and a signature."""
    vendor = Vendor((b"authorization", b"mine"), (b"anthropic-version", b"0"), grant=a_grant(), signs=True)
    overrides = {"Authorization": "mine", "Anthropic-Version": "0"}
    wire = Wire(vendor, token(), Reply.json(completion()), header_override=overrides)
    seen = await sent(wire, upstream_headers=((b"anthropic-version", b"2"),))
    assert seen == {b"authorization": b"mine", b"anthropic-version": b"0", b"x-date": b"now"}


async def test_a_granted_token_is_sent_in_the_place_of_a_key() -> None:
    """It is fetched once for many requests, through the channel's proxy."""
    wire = Wire(Vendor(grant=a_grant()), token(), *[Reply.json(completion()) for _ in range(3)], proxy="http://p.test")
    for _ in range(3):
        assert (await sent(wire))[b"authorization"] == b"Bearer token-1"
    assert [request.origin.host for request in wire.transport.requests] == ["login.test", *["vendor.test"] * 3]
    assert wire.transport.requests[0].origin == LOGIN
    assert {request.proxy for request in wire.transport.requests} == {"http://p.test"}


async def test_a_token_that_the_upstream_refuses_is_fetched_anew() -> None:
    """For the next request; this one is told."""
    wire = Wire(Vendor(grant=a_grant()), token(), Reply.error(401), token("token-2"), Reply.json(completion()))
    async with wire.call() as caller:
        with pytest.raises(UpstreamError):
            await caller.ended()
    assert (await sent(wire))[b"authorization"] == b"Bearer token-2"


async def test_a_sign_in_that_fails_reaches_no_upstream() -> None:
    """The channel is at fault, and nothing is charged for it."""
    wire = Wire(Vendor(grant=a_grant()), Reply.json({"error": "invalid_client"}, 401))
    async with wire.call() as caller:
        with pytest.raises(UpstreamError, match="invalid_client") as failed:
            await caller.ended()
    assert failed.value.fault is Fault.CHANNEL
    assert wire.exchange is not None
    assert (wire.exchange.outcome, wire.exchange.reached_upstream) == (Outcome.UPSTREAM_FAILED, False)
    assert len(wire.transport.requests) == 1


async def test_a_caller_may_leave_while_a_token_is_fetched() -> None:
    """The fetch goes on for whoever comes next."""
    gate = asyncio.Event()
    slow = token()
    slow.before.append(gate)
    wire = Wire(Vendor(grant=a_grant()), slow, Reply.json(completion()))
    async with wire.call() as caller:
        await settled()
        caller.leave()
        await settled()
    assert wire.exchange is not None
    assert wire.exchange.outcome is Outcome.CALLER_LEFT
    gate.set()
    assert (await sent(wire))[b"authorization"] == b"Bearer token-1"
    assert len(wire.transport.requests) == 2


async def test_a_request_is_signed_last_over_the_body_that_is_sent() -> None:
    """With the time in UTC; the signature's headers come last."""
    vendor = Vendor((b"content-type", b"application/json"), signs=True)
    wire = Wire(vendor, Reply.json(completion()), Reply.stream(*stream("a")))
    seen = await sent(wire, upstream_headers=((b"x-more", b"1"),))
    assert list(seen) == [b"content-type", b"x-more", b"x-date", b"authorization"]
    async with wire.call(chat(stream=True)) as caller:
        await caller.answer()
    assert dict(wire.transport.requests[1].headers)[b"authorization"] == b"signed /stream"
    assert [body for body, _ in vendor.signed] == [chat(), chat(stream=True)]
    assert all(abs((datetime.now(UTC) - now).total_seconds()) < 60 for _, now in vendor.signed)


async def test_a_socket_is_authorised_too() -> None:
    """Before it is opened."""
    sockets = ScriptedSockets(ScriptedSocket())
    transport = ScriptedTransport(token())
    relay = Relay(transport=transport, socket_transport=sockets, route=routed(Vendor(grant=a_grant())))
    async with Connection(relay, begun(socket_scope())[0]) as caller:
        await caller.ended()
    assert (b"authorization", b"Bearer token-1") in sockets.requests[0].headers


async def test_a_sign_in_under_way_ends_with_the_relay() -> None:
    """Closing waits for nothing that never comes."""
    slow = token()
    slow.before.append(HANG)
    wire = Wire(Vendor(grant=a_grant()), slow)
    async with wire.call() as caller:
        await settled()
        await wire.relay.close()
        with pytest.raises(asyncio.CancelledError):
            await caller.ended()
    assert wire.transport.cancelled == 1
