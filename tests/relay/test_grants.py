"""Tokens in the place of keys: one fetch at a time, kept until shortly before they expire, failures the channel's."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import pytest

from asgi_gateway.errors import Fault, MalformedUpstream, UpstreamError, UpstreamTimeout, UpstreamUnreachable
from asgi_gateway.providers.contract import Grant
from asgi_gateway.relay.grants import Grants
from support.asgi import settled
from support.upstream import Reply, ScriptedTransport

START = 1_700_000_000.0


class Clock:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


def a_grant(name: str = "vendor:1", url: str = "https://login.test/v1/token") -> Grant:
    return Grant(name, url, lambda now: {"grant_type": "x", "assertion": f"signed at {now:.0f}"})


def token(text: str = "token-1", **fields: Any) -> Reply:
    return Reply.json({"access_token": text, "token_type": "Bearer", "expires_in": 3600, **fields})


def made(*replies: Reply) -> tuple[Grants, ScriptedTransport, Clock]:
    transport, clock = ScriptedTransport(*replies), Clock()
    return Grants(transport, clock=clock), transport, clock


async def test_a_token_is_asked_for_as_the_grant_says_and_kept() -> None:
    """A form is posted, through the channel's proxy; the answer serves until it is about to expire."""
    grants, transport, clock = made(token())
    assert await grants.token(a_grant(), "http://proxy.test") == b"token-1"
    clock.now += 3539
    assert await grants.token(a_grant(), "http://proxy.test") == b"token-1"
    (request,) = transport.requests
    assert (request.method, request.origin.host, request.target) == ("POST", "login.test", b"/v1/token")
    assert dict(request.headers)[b"content-type"] == b"application/x-www-form-urlencoded"
    assert parse_qs(request.body.decode()) == {"grant_type": ["x"], "assertion": ["signed at 1700000000"]}
    assert request.proxy == "http://proxy.test"
    assert not request.stream
    assert 0 < request.timeouts.plain <= 15
    assert transport.open == 0


async def test_a_token_is_renewed_while_it_still_serves() -> None:
    """A minute before its end; nobody waits for that, and it happens once."""
    gate = asyncio.Event()
    late = token("token-2")
    late.before.append(gate)
    grants, transport, clock = made(token(), late)
    assert await grants.token(a_grant()) == b"token-1"
    clock.now += 3541
    assert [await grants.token(a_grant()) for _ in range(3)] == [b"token-1"] * 3
    await settled()
    assert len(transport.requests) == 2
    gate.set()
    await settled()
    assert await grants.token(a_grant()) == b"token-2"
    assert len(transport.requests) == 2


async def test_an_expired_token_is_waited_for() -> None:
    """It is of no use any more."""
    grants, transport, clock = made(token(), token("token-2"))
    await grants.token(a_grant())
    clock.now += 3600
    assert await grants.token(a_grant()) == b"token-2"
    assert len(transport.requests) == 2


async def test_a_crowd_shares_one_fetch() -> None:
    """And one who leaves does not spoil it for the others."""
    gate = asyncio.Event()
    reply = token()
    reply.before.append(gate)
    grants, transport, _ = made(reply)
    crowd = [asyncio.ensure_future(grants.token(a_grant())) for _ in range(20)]
    await settled()
    crowd[0].cancel()
    await settled()
    gate.set()
    assert await asyncio.gather(*crowd[1:]) == [b"token-1"] * 19
    assert crowd[0].cancelled()
    assert len(transport.requests) == 1


async def test_grants_are_told_apart_by_name() -> None:
    """Two channels with the same account share a token; others do not."""
    grants, transport, _ = made(token("a"), token("b"))
    assert await grants.token(a_grant("vendor:1")) == b"a"
    assert await grants.token(a_grant("vendor:2")) == b"b"
    assert await grants.token(a_grant("vendor:1")) == b"a"
    assert len(transport.requests) == 2


async def test_a_refused_token_is_forgotten() -> None:
    """The next request asks for another one."""
    grants, _, _ = made(token(), token("token-2"))
    await grants.token(a_grant())
    grants.forget(a_grant())
    grants.forget(a_grant("never seen"))
    assert await grants.token(a_grant()) == b"token-2"


FAILURES: Mapping[str, tuple[Reply, type[UpstreamError], str]] = {
    "refused": (
        Reply.json({"error": "invalid_grant", "error_description": "Invalid JWT of canary"}, 400),
        UpstreamError,
        "invalid_grant",
    ),
    "refused in words": (Reply.json({"error": "canary, and more"}, 401), UpstreamError, "refused."),
    "broken": (Reply.json(b"<html>canary", 503), UpstreamError, "refused."),
    "a list": (Reply.json(["canary"], 200), MalformedUpstream, "without a token"),
    "no token": (Reply.json({"id_token": "canary"}, 200), MalformedUpstream, "without a token"),
    "an odd token": (Reply.json({"access_token": "canary\r\nx: y"}, 200), MalformedUpstream, "without a token"),
    "unreachable": (Reply(before=[UpstreamUnreachable("no connection")]), UpstreamUnreachable, "connection"),
    "too slow": (Reply(before=[UpstreamTimeout("too slow", phase="plain")]), UpstreamTimeout, "slow"),
}


@pytest.mark.parametrize("name", FAILURES)
async def test_a_failure_is_the_channels_and_the_next_request_tries_again(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """So that another channel is tried; what the sign-in said is shown by its code alone."""
    reply, kind, said = FAILURES[name]
    grants, transport, _ = made(reply, token())
    with pytest.raises(kind, match=said) as failed:
        await grants.token(a_grant())
    assert failed.value.fault is Fault.CHANNEL
    assert failed.value.status in (502, 504)
    assert "canary" not in failed.value.message + caplog.text
    assert "vendor:1" in caplog.text
    assert transport.open == 0
    assert await grants.token(a_grant()) == b"token-1"


async def test_a_renewal_that_fails_leaves_the_old_token_until_it_expires(caplog: pytest.LogCaptureFixture) -> None:
    """It is tried again by each request, one at a time."""
    grants, transport, clock = made(token(), Reply.error(503), token("token-2"))
    await grants.token(a_grant())
    clock.now += 3550
    assert await grants.token(a_grant()) == b"token-1"
    await settled()
    assert "no token for the grant vendor:1" in caplog.text
    assert await grants.token(a_grant()) == b"token-1"
    await settled()
    assert await grants.token(a_grant()) == b"token-2"
    assert len(transport.requests) == 3


@pytest.mark.parametrize("broken", ["url", "form"])
async def test_a_grant_that_cannot_be_asked_for_is_the_channels_failure(broken: str) -> None:
    """Nothing is sent."""

    def form(now: float) -> Mapping[str, str]:
        raise ValueError("canary")

    grant = a_grant(url="ftp://login.test") if broken == "url" else Grant("n", "https://login.test", form)
    grants, transport, _ = made()
    with pytest.raises(UpstreamError, match="sign-in") as failed:
        await grants.token(grant)
    assert failed.value.fault is Fault.CHANNEL
    assert "canary" not in failed.value.message
    assert transport.requests == []


@pytest.mark.parametrize(
    ("stated", "life"),
    [(None, 300), ("1200", 1200), (True, 300), (-5, 300), ("soon", 300), (10**9, 86_400), (40, 40), (1800.5, 1800)],
)
async def test_how_long_a_token_lives_is_read_with_caution(stated: object, life: int) -> None:
    """Absent or odd: five minutes; never longer than a day. A short one is renewed half way."""
    grants, transport, clock = made(token(expires_in=stated), token("token-2"))
    await grants.token(a_grant())
    clock.now += life - min(60, life / 2) - 1
    await grants.token(a_grant())
    assert len(transport.requests) == 1
    clock.now = START + life + 1
    assert await grants.token(a_grant()) == b"token-2"


async def test_tokens_are_bounded() -> None:
    """The oldest goes first."""
    grants, transport, _ = made(*[token(f"t{number}") for number in range(1026)])
    for number in range(1025):
        await grants.token(a_grant(f"g{number}"))
    assert await grants.token(a_grant("g1")) == b"t1"
    assert len(transport.requests) == 1025
    assert await grants.token(a_grant("g0")) == b"t1025"


async def test_what_is_being_fetched_ends_with_the_relay() -> None:
    """Nobody waits for a sign-in that never answers."""
    reply = token()
    reply.before.append(asyncio.Event())
    grants, transport, _ = made(reply)
    waiting = asyncio.ensure_future(grants.token(a_grant()))
    await settled()
    await grants.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert transport.open == 0
