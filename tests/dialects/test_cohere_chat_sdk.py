"""Cohere's own client against the gateway, in front of an upstream that speaks OpenAI's format."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("cohere", reason="the vendor's SDK is asked what is valid")

from cohere import ClientV2
from cohere.errors import BadRequestError, NotFoundError, UnauthorizedError

from support.gateway_process import GatewayProcess
from support.gateway_settings import DEV, settings
from support.openai_answers import chat, tool_call
from support.scripted_upstream import ScriptedServer

MESSAGES: list[Any] = [{"role": "user", "content": "Weather?"}]
TOOLS: list[Any] = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}]
HELLO = chat({"content": "Hello you"}, [{"role": "assistant", "content": "Hello"}, {"content": " you"}])


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedServer]:
    """An upstream that answers as each test says."""
    with ScriptedServer({}) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedServer) -> Iterator[GatewayProcess]:
    """The gateway in front of it."""
    with GatewayProcess(tmp_path_factory.mktemp("cohere"), settings(upstream.port, ("m",))) as process:
        asyncio.run(process.ready())
        yield process


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[ClientV2]:
    """A client, changed by nothing but its address and its key."""
    with ClientV2(api_key=DEV.key, base_url=gateway.url, timeout=30) as made:
        yield made


def test_plain(client: ClientV2, upstream: ScriptedServer) -> None:
    """Knobs go up under the upstream's names, the answer comes back under Cohere's."""
    upstream.scripts["m"] = HELLO
    upstream.visits.clear()
    answer = client.chat(model="m", messages=MESSAGES, p=0.5, max_tokens=50, stop_sequences=["END"])
    assert answer.message.content is not None
    assert [part.text for part in answer.message.content if part.type == "text"] == ["Hello you"]
    assert answer.finish_reason == "COMPLETE"
    assert answer.usage is not None
    assert answer.usage.tokens is not None
    assert (answer.usage.tokens.input_tokens, answer.usage.cached_tokens) == (9, 4)
    (visit,) = upstream.visits
    assert (visit.body["top_p"], visit.body["stop"]) == (0.5, ["END"])


def test_streamed(client: ClientV2, upstream: ScriptedServer) -> None:
    """Event by event, each of a type that the client knows."""
    upstream.scripts["m"] = HELLO
    events = list(client.chat_stream(model="m", messages=MESSAGES))
    assert [event.type for event in events] == [
        "message-start",
        "content-start",
        "content-delta",
        "content-delta",
        "content-end",
        "message-end",
    ]
    texts = [event.delta.message.content.text for event in events if event.type == "content-delta"]  # type: ignore[union-attr]
    assert texts == ["Hello", " you"]


def test_tools_in_two_rounds(client: ClientV2, upstream: ScriptedServer) -> None:
    """The client's own message goes back as it came."""
    upstream.scripts["m"] = tool_call("f", '{"city":"Oslo"}')
    answer = client.chat(model="m", messages=MESSAGES, tools=TOOLS, tool_choice="REQUIRED")
    assert answer.finish_reason == "TOOL_CALL"
    assert answer.message.tool_calls is not None
    (call,) = answer.message.tool_calls
    assert call.function is not None
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "f", '{"city":"Oslo"}')
    upstream.scripts["m"] = HELLO
    upstream.visits.clear()
    result = {
        "role": "tool",
        "tool_call_id": call.id,
        "content": [{"type": "document", "document": {"data": {"sun": 1}}}],
    }
    client.chat(model="m", messages=[*MESSAGES, answer.message, result], tools=TOOLS)
    (visit,) = upstream.visits
    assert [message["role"] for message in visit.body["messages"]] == ["user", "assistant", "tool"]
    assert '"sun":1' in str(visit.body["messages"][2]["content"])


def test_errors_have_the_clients_own_classes(client: ClientV2, gateway: GatewayProcess) -> None:
    """By status, with our words."""
    with pytest.raises(NotFoundError) as unknown:
        client.chat(model="unknown", messages=MESSAGES)
    assert unknown.value.body["message"]
    with pytest.raises(BadRequestError) as refused:
        client.chat(model="m", messages=MESSAGES, documents=["a"])
    assert "'documents'" in refused.value.body["message"]
    with ClientV2(api_key="sk-unknown-0123456789", base_url=gateway.url) as stranger, pytest.raises(UnauthorizedError):
        stranger.chat(model="m", messages=MESSAGES)
