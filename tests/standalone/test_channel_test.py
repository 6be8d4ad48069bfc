"""A channel is tried in the dialect it speaks, with the token or the signature that its vendor wants."""

import json

import pytest

from asgi_gateway.storage.records import Channel, Secret
from asgi_gateway_contrib.cli.channel_test import ask
from asgi_gateway_contrib.cli.output import Refused
from support.upstream import Reply, ScriptedTransport

ENTRA = "tenant|client-canary|secret-canary"


def channel(provider: str, key: str, **fields: object) -> Channel:
    given: dict[str, object] = {"models": ("asked",), "model_mapping": {"asked": "m"}, **fields}
    return Channel(name="c", provider=provider, keys=(Secret(key),), **given)  # type: ignore[arg-type]  # any of them


async def test_a_channel_is_asked_in_its_own_format() -> None:
    """Google's has the model in the path; overrides of the channel are in the body."""
    transport = ScriptedTransport(Reply.json({"candidates": []}))
    answer = await ask(channel("gemini", "AIza", param_override={"labels": {"a": "b"}}), None, transport)
    assert (answer.ok, answer.status, answer.model) == (True, 200, "m")
    (request,) = transport.requests
    assert request.target == b"/v1beta/models/m:generateContent"
    body = json.loads(request.body)
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Hi"}]}]
    assert (body["generationConfig"]["maxOutputTokens"], body["labels"]) == (16, {"a": "b"})
    assert (transport.open, transport.closed) == (0, 1)


async def test_a_channel_is_signed_in_before_it_is_asked() -> None:
    """A sign-in that fails is told as the upstream's refusal is."""
    of = channel("azure", ENTRA, base_url="https://acme.openai.azure.com")
    transport = ScriptedTransport(Reply.json({"access_token": "t", "expires_in": 60}), Reply.json({"choices": []}))
    assert (await ask(of, None, transport)).ok
    assert dict(transport.requests[1].headers)[b"authorization"] == b"Bearer t"
    answer = await ask(of, None, ScriptedTransport(Reply.json({"error": "invalid_client"}, 401)))
    assert (answer.status, answer.ok) == (0, False)
    assert "invalid_client" in answer.error


async def test_a_refusal_is_read_as_its_vendor_writes_it() -> None:
    """And shows no part of the key."""
    reply = Reply.json({"message": "slow down, client-canary"}, 429, x_amzn_errortype="ThrottlingException")
    answer = await ask(channel("bedrock", "client-canary|us-east-1"), "other", ScriptedTransport(reply))
    assert (answer.status, answer.model, answer.error) == (429, "other", "slow down, ***")


async def test_a_channel_that_does_not_chat_is_not_asked() -> None:
    """There would be nothing to say to it."""
    for of in (channel("jina", "k"), channel("openai", "k", dialects=("openai_embeddings",))):
        with pytest.raises(Refused, match="does not chat"):
            await ask(of, None, ScriptedTransport())
