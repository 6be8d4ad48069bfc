"""OpenAI's own client reads what is written: plain, streamed through its accumulator, and in a second round."""

import json
from typing import Any

import httpx
import pytest
from pydantic import BaseModel

from asgi_gateway.canonical import (
    ChatResponse,
    Choice,
    Citation,
    HostedCall,
    Losses,
    Seal,
    Started,
    Stopped,
    Text,
    Thinking,
    ToolCall,
    Usage,
    unfold,
)
from asgi_gateway.dialects.contract import AnswerContext
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES
from asgi_gateway.errors import RateLimited
from support.openai_responses import read

openai = pytest.importorskip("openai")

CLAUDE = Seal(maker="anthropic", kind="signature", data="c2ln")
GOOGLE = Seal(maker="google", kind="signature", data="QQ==")

ANSWER = ChatResponse(
    started=Started("", "m", 7),
    choices=(
        Choice(
            parts=(
                Thinking("hm", CLAUDE),
                HostedCall(id="s", tool="web_search", arguments='{"query":"q"}'),
                Text('{"name":"Berlin"}', (Citation(kind="url", url="https://x.test"),)),
                ToolCall(id="c1", name="f", arguments='{"a":1}', seal=GOOGLE),
            ),
            stopped=Stopped("tool_calls"),
        ),
    ),
    usage=Usage(input=1, output=2),
)

TOOLS: list[Any] = [
    {
        "type": "function",
        "name": "f",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "number"}},
            "required": ["a"],
            "additionalProperties": False,
        },
    }
]


class City(BaseModel):
    """A form of output."""

    name: str


def _answer(request: httpx.Request) -> httpx.Response:
    body = request.content
    outline = OPENAI_RESPONSES.outline(body)
    asked = OPENAI_RESPONSES.read_request(body, outline, Losses("request"))
    context = AnswerContext(request=asked, losses=Losses("response"), id="0123456789abcdef", created=1700000000)
    if not outline.stream:
        return httpx.Response(200, json=json.loads(OPENAI_RESPONSES.write_response(ANSWER, context)))
    writer = OPENAI_RESPONSES.writer(context)
    data = b"".join([writer.write([event]) for event in unfold(ANSWER)]) + writer.finish()
    return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=data)


def _client(handler: Any = _answer) -> Any:
    transport = httpx.MockTransport(handler)
    return openai.OpenAI(
        api_key="x", base_url="http://test/v1", http_client=httpx.Client(transport=transport), max_retries=0
    )


def test_a_plain_answer_is_parsed() -> None:
    """Structured output and arguments, as the client's types have them."""
    with _client() as client:
        response = client.responses.parse(model="m", input="Hi", text_format=City, tools=TOOLS)
    assert response.output_parsed == City(name="Berlin")
    assert [item.type for item in response.output] == [
        "reasoning",
        "web_search_call",
        "message",
        "reasoning",
        "function_call",
    ]
    assert response.usage is not None
    assert response.usage.total_tokens == 3


def test_a_stream_is_accumulated() -> None:
    """To the same response."""
    with _client() as client, client.responses.stream(model="m", input="Hi", text_format=City, tools=TOOLS) as stream:
        kinds = [event.type for event in stream]
        response = stream.get_final_response()
    assert response.output_parsed == City(name="Berlin")
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"


def test_what_the_client_sends_back_is_what_was_said() -> None:
    """Seals of other makers find their parts again."""
    with _client() as client:
        items = [item.model_dump(exclude_none=True) for item in client.responses.create(model="m", input="Hi").output]
    thinking, _, _, text, call = read(input=items).turns[0].parts
    assert isinstance(thinking, Thinking)
    assert (thinking.text, thinking.seal) == ("hm", CLAUDE)
    assert isinstance(text, Text)
    assert text.text == '{"name":"Berlin"}'
    assert call == ToolCall(id="c1", name="f", arguments='{"a":1}', seal=GOOGLE)


def test_errors_are_the_clients_own() -> None:
    """Before a stream an exception, inside it an event."""
    error = RateLimited("slow down", retry_after=1)

    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(error.status, content=OPENAI_RESPONSES.write_error(error))

    def fail(request: httpx.Request) -> httpx.Response:
        headers = {"content-type": "text/event-stream"}
        return httpx.Response(200, headers=headers, content=OPENAI_RESPONSES.write_error_event(error))

    with _client(refuse) as client, pytest.raises(openai.RateLimitError):
        client.responses.create(model="m", input="Hi")
    with _client(fail) as client:
        (event,) = client.responses.create(model="m", input="Hi", stream=True)
    assert event.type == "error"
    assert event.message == "slow down"
