"""Amazon's own client against the gateway, in front of an upstream that speaks OpenAI's format."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

pytest.importorskip("botocore", reason="the vendor's SDK is asked what is valid")

from botocore.config import Config
from botocore.exceptions import ClientError, EventStreamError
from botocore.session import get_session

from support.broken_upstream import stream_of
from support.gateway_process import GatewayProcess
from support.gateway_settings import DEV, settings
from support.openai_answers import chat, tool_call
from support.scripted_upstream import ScriptedServer, UpstreamEnd

MESSAGES = [{"role": "user", "content": [{"text": "Weather?"}]}]
TOOLS = {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {"type": "object"}}}}]}
HELLO = chat({"content": "Hello you"}, [{"role": "assistant", "content": "Hello"}, {"content": " you"}])


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedServer]:
    """An upstream that answers as each test says."""
    with ScriptedServer({}) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, upstream: ScriptedServer) -> Iterator[GatewayProcess]:
    """The gateway in front of it."""
    text = settings(upstream.port, ("m", "us.org.m-v1:0"))
    with GatewayProcess(tmp_path_factory.mktemp("boto3"), text) as process:
        asyncio.run(process.ready())
        yield process


def client_of(gateway: GatewayProcess, key: str) -> Any:
    """A client that signs with keys of Amazon's, and sends ours beside: its own bearer tokens want HTTPS."""
    client = get_session().create_client(
        "bedrock-runtime",
        region_name="us-east-1",
        endpoint_url=gateway.url,
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="none",
        config=Config(retries={"total_max_attempts": 1}, read_timeout=30),
    )

    def add_key(request: Any, **_: Any) -> None:
        request.headers["x-api-key"] = key

    client.meta.events.register("before-send.bedrock-runtime", add_key)
    return client


@pytest.fixture
def client(gateway: GatewayProcess) -> Iterator[Any]:
    """A client that does not try again by itself."""
    made = client_of(gateway, DEV.key)
    yield made
    made.close()


def streamed(client: Any, seen: list[Any], **fields: Any) -> list[Any]:
    """All events of a streamed answer, also put into `seen` as they come."""
    with closing(client.converse_stream(modelId="m", messages=MESSAGES, **fields)["stream"]) as events:
        seen.extend(events)
    return seen


def test_plain(client: Any, upstream: ScriptedServer) -> None:
    """A model's id may have a colon; the usage is told as Bedrock tells it."""
    upstream.scripts["us.org.m-v1:0"] = HELLO
    answer = client.converse(
        modelId="us.org.m-v1:0",
        system=[{"text": "Be brief."}],
        messages=MESSAGES,
        inferenceConfig={"maxTokens": 50, "temperature": 0.5},
    )
    assert answer["output"]["message"] == {"role": "assistant", "content": [{"text": "Hello you"}]}
    assert answer["stopReason"] == "end_turn"
    assert answer["usage"] == {
        "inputTokens": 5,
        "outputTokens": 4,
        "totalTokens": 13,
        "cacheReadInputTokens": 4,
        "cacheWriteInputTokens": 0,
    }


def test_streamed(client: Any, upstream: ScriptedServer) -> None:
    """Frame by frame, the usage last."""
    upstream.scripts["m"] = HELLO
    events = streamed(client, [])
    assert [next(iter(event)) for event in events] == [
        "messageStart",
        "contentBlockDelta",
        "contentBlockDelta",
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    texts = [event["contentBlockDelta"]["delta"]["text"] for event in events if "contentBlockDelta" in event]
    assert texts == ["Hello", " you"]
    assert events[-1]["metadata"]["usage"]["outputTokens"] == 4


def test_tools_in_two_rounds(client: Any, upstream: ScriptedServer) -> None:
    """The call comes as an object, its result goes up as a message of the tool."""
    upstream.scripts["m"] = tool_call("f", '{"city":"Oslo"}')
    call = client.converse(modelId="m", messages=MESSAGES, toolConfig=TOOLS)
    assert call["stopReason"] == "tool_use"
    (block,) = call["output"]["message"]["content"]
    assert block == {"toolUse": {"toolUseId": "call_1", "name": "f", "input": {"city": "Oslo"}}}
    events = streamed(client, [], toolConfig=TOOLS)
    pieces = [
        event["contentBlockDelta"]["delta"]["toolUse"]["input"] for event in events if "contentBlockDelta" in event
    ]
    assert "".join(pieces) == '{"city":"Oslo"}'
    upstream.scripts["m"] = HELLO
    upstream.visits.clear()
    result = {"toolResult": {"toolUseId": "call_1", "content": [{"json": {"sun": True}}]}}
    client.converse(
        modelId="m",
        messages=[*MESSAGES, call["output"]["message"], {"role": "user", "content": [result]}],
        toolConfig=TOOLS,
    )
    (visit,) = upstream.visits
    assert [message["role"] for message in visit.body["messages"]] == ["user", "assistant", "tool"]
    assert visit.body["messages"][2]["tool_call_id"] == "call_1"


def test_errors_have_the_clients_own_classes(client: Any) -> None:
    """By the exception's name."""
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.converse(modelId="unknown", messages=MESSAGES)
    with pytest.raises(client.exceptions.ValidationException):
        client.converse(modelId="m", messages=MESSAGES, guardrailConfig={"guardrailIdentifier": "g"})


def test_a_wrong_key_is_refused(gateway: GatewayProcess) -> None:
    """As Bedrock refuses one."""
    made = client_of(gateway, "sk-unknown-0123456789")
    with pytest.raises(ClientError) as refused:
        made.converse(modelId="m", messages=MESSAGES)
    made.close()
    assert refused.value.response["Error"]["Code"] == "UnrecognizedClientException"


def test_a_stream_that_breaks_ends_with_an_exception(client: Any, upstream: ScriptedServer) -> None:
    """Never with an end that looks good."""

    async def broken(end: UpstreamEnd) -> None:
        choice = {"index": 0, "delta": {"content": "Hel"}}
        chunk = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
        event = b"data: " + json.dumps(chunk).encode() + b"\n\n"
        await end.send(stream_of(event))

    upstream.scripts["m"] = broken
    seen: list[Any] = []
    with pytest.raises(EventStreamError):
        streamed(client, seen)
    assert "messageStop" not in [next(iter(event)) for event in seen]
