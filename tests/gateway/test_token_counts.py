"""Counting tokens through the whole stack: never a generation, never a charge."""

import json
from typing import Any

import pytest

from support.gateways import House, house
from support.upstream import Reply, ScriptedTransport

MESSAGES = {"model": "m-1", "messages": [{"role": "user", "content": "x" * 400}]}
CONTENTS = {"contents": [{"role": "user", "parts": [{"text": "x" * 400}]}]}
ITEMS = {"model": "m-1", "input": "x" * 400}

ASKED = {
    "anthropic": ("/v1/messages/count_tokens", MESSAGES, "input_tokens"),
    "gemini": ("/v1beta/models/m-1:countTokens", CONTENTS, "totalTokens"),
    "openai": ("/v1/responses/input_tokens", ITEMS, "input_tokens"),
}


def served(provider: str, answer: Any) -> tuple[House, ScriptedTransport]:
    transport = ScriptedTransport(answer=lambda request: Reply.json(answer))
    way = {"name": "first", "provider": provider, "keys": ["sk-up"], "models": ["m-1"]}
    if provider == "openai_compatible":
        way["base_url"] = "http://upstream.test"
    return house(transport=transport, channels=[way]), transport


@pytest.mark.parametrize("caller", ASKED)
@pytest.mark.parametrize("upstream", ASKED)
async def test_an_upstream_that_counts_is_asked_in_its_own_way(caller: str, upstream: str) -> None:
    """The number is its own; the path is that of counting."""
    path, body, field = ASKED[caller]
    at, transport = served(upstream, {ASKED[upstream][2]: 77})
    async with at.gateway:
        seen = await at.ask(path=path, body=json.dumps(body).encode())
        assert (seen.status, seen.json()[field]) == (200, 77)
        (request,) = transport.requests
        assert b"ount" in request.target or b"input_tokens" in request.target
        assert b"generateContent" not in request.target
        assert [charge.charged for charge in await at.charges()] == [0]


@pytest.mark.parametrize("caller", ASKED)
async def test_where_nobody_counts_the_number_is_an_estimate(caller: str) -> None:
    """The upstream is not asked at all, and the answer says so."""
    path, body, field = ASKED[caller]
    at, transport = served("openai_compatible", {})
    async with at.gateway:
        seen = await at.ask(path=path, body=json.dumps(body).encode())
        assert (seen.status, seen.json()[field]) == (200, 104)
        assert seen.header("x-gateway-conversion") == "request=approximated:token_count; response=none"
        assert transport.requests == []
        assert [charge.charged for charge in await at.charges()] == [0]


async def test_an_upstreams_refusal_comes_in_the_callers_dialect() -> None:
    """With its status."""
    transport = ScriptedTransport(
        answer=lambda request: Reply.json(
            {"error": {"code": 400, "message": "too long", "status": "INVALID_ARGUMENT"}}, 400
        )
    )
    at = house(
        transport=transport,
        channels=[{"name": "first", "provider": "gemini", "keys": ["k"], "models": ["m-1"]}],
    )
    async with at.gateway:
        seen = await at.ask(path="/v1/messages/count_tokens", body=json.dumps(MESSAGES).encode())
        assert (seen.status, seen.json()["error"]["type"]) == (400, "invalid_request_error")
        assert "too long" in seen.json()["error"]["message"]


@pytest.mark.parametrize("caller", ASKED)
@pytest.mark.parametrize("upstream", ASKED)
async def test_a_server_that_only_shares_the_format_is_estimated_for(caller: str, upstream: str) -> None:
    """It says that there is no such thing; nothing else is asked of it."""
    transport = ScriptedTransport(answer=lambda request: Reply.json({"error": {"message": "Not found"}}, 404))
    at = house(
        transport=transport,
        channels=[{"name": "first", "provider": upstream, "keys": ["k"], "models": ["m-1"]}],
    )
    path, body, field = ASKED[caller]
    async with at.gateway:
        seen = await at.ask(path=path, body=json.dumps(body).encode())
        assert (seen.status, seen.json()[field]) == (200, 104)
        assert "approximated:token_count" in (seen.header("x-gateway-conversion") or "")
        assert len(transport.requests) == 1
        assert [charge.charged for charge in await at.charges()] == [0]


async def test_what_an_upstream_says_beside_the_number_comes_along() -> None:
    """In the caller's own dialect the answer passes as it is."""
    answer = {"totalTokens": 7, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}]}
    at, _ = served("gemini", answer)
    path, body, _ = ASKED["gemini"]
    async with at.gateway:
        assert (await at.ask(path=path, body=json.dumps(body).encode())).json() == answer
