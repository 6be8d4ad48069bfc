"""Conversations of Responses that go on by an id, in front of an upstream that keeps none."""

import json
from typing import Any

import pytest

from asgi_gateway.config import ResponsesSettings
from support.asgi import Answer
from support.gateways import House, house
from support.upstream import Reply, ScriptedTransport, completion, stream

ON = {"responses": ResponsesSettings(history=1)}


def served(*, on: bool = True, streamed: bool = False) -> tuple[House, ScriptedTransport]:
    def answer(request: Any) -> Reply:
        return Reply.stream(*stream("Hel", "lo")) if streamed else Reply.json(completion("Hello"))

    transport = ScriptedTransport(answer=answer)
    way = {
        "name": "first",
        "provider": "openai_compatible",
        "base_url": "http://up.test",
        "keys": [],
        "models": ["m-1"],
    }
    return house(transport=transport, channels=[way], settings=ON if on else {}), transport


async def said(at: House, text: str, **fields: Any) -> Answer:
    body = {"model": "m-1", "input": text, **fields}
    return await at.ask(path="/v1/responses", body=json.dumps(body).encode())


def id_of(answer: Answer) -> str:
    if answer.header("content-type") == "application/json":
        return str(answer.json()["id"])
    last = [line for line in answer.body.decode().splitlines() if line.startswith("data: ")][-1]
    return str(json.loads(last[6:])["response"]["id"])


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_upstream_gets_the_whole_conversation(streamed: bool) -> None:
    """Three turns, each named by the id of the answer before."""
    at, transport = served(streamed=streamed)
    async with at.gateway:
        first = await said(at, "one", stream=streamed)
        second = await said(at, "two", stream=streamed, previous_response_id=id_of(first))
        third = await said(at, "three", stream=streamed, previous_response_id=id_of(second))
        assert third.status == 200
        messages = json.loads(transport.requests[-1].body)["messages"]
        texts = [(message["role"], message["content"]) for message in messages]
        assert texts == [
            ("user", "one"),
            ("assistant", "Hello"),
            ("user", "two"),
            ("assistant", "Hello"),
            ("user", "three"),
        ]


async def test_what_shall_not_be_stored_is_not() -> None:
    """`store: false`; and an id that nobody remembers is named in the error."""
    at, transport = served()
    async with at.gateway:
        first = await said(at, "one", store=False)
        seen = await said(at, "two", previous_response_id=id_of(first))
        assert (seen.status, seen.json()["error"]["code"]) == (400, "previous_response_not_found")
        assert seen.json()["error"]["param"] == "previous_response_id"
        assert len(transport.requests) == 1


async def test_without_the_deployers_wish_it_is_refused_by_name() -> None:
    """Nothing is kept unless it is turned on."""
    at, transport = served(on=False)
    async with at.gateway:
        seen = await said(at, "two", previous_response_id="resp_1")
        assert (seen.status, seen.json()["error"]["param"]) == (400, "previous_response_id")
        assert transport.requests == []


async def test_a_conversation_that_is_too_long_cannot_be_continued(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is good; who goes on from it is told."""
    monkeypatch.setattr("asgi_gateway.dialects.openai_responses.history.RECORD_LIMIT", 10)
    at, _ = served()
    async with at.gateway:
        first = await said(at, "one")
        assert first.status == 200
        assert (await said(at, "two", previous_response_id=id_of(first))).status == 400
