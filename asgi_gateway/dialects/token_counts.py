"""How many tokens a chat request has, without answering it: three vendors' requests for that.

- Anthropic: https://docs.anthropic.com/en/api/messages-count-tokens
- Google: https://ai.google.dev/api/tokens
- OpenAI: https://platform.openai.com/docs/api-reference/responses/input-tokens

Each takes what its chat dialect takes, or a part of it, and answers with a number. So one can be asked in the place of
another: the request is read and written by the chat dialects, and the number is carried over.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from asgi_gateway.canonical import ChatRequest, Losses, Reasoning, Usage
from asgi_gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from asgi_gateway.dialects.contract import (
    NOWHERE,
    ChatDialect,
    Head,
    Operation,
    OwnedRoute,
    RequestOutline,
    ResponseTap,
    Target,
)
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE
from asgi_gateway.dialects.node import Node, decode_object
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES
from asgi_gateway.errors import GatewayError, InvalidRequest, MalformedUpstream, UpstreamError

__all__ = ["ANTHROPIC_COUNT_TOKENS", "GOOGLE_COUNT_TOKENS", "OPENAI_INPUT_TOKENS", "TokenCountDialect"]


class TokenCountDialect(ABC):
    """One vendor's way. `chat` is the dialect whose requests it counts; `answer` the member that has the number."""

    name: str
    chat: ChatDialect
    routes: Sequence[OwnedRoute]
    answer: str
    stream_usage: bool = False
    forwarded: frozenset[bytes] = frozenset()

    @abstractmethod
    def read_request(self, body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
        """A caller's body as the chat request that it asks about."""

    @abstractmethod
    def write_request(self, request: ChatRequest, losses: Losses) -> bytes:
        """A body that asks about a chat request."""

    def read_count(self, body: bytes) -> int:
        """The number in an upstream's answer. Raises `MalformedUpstream` where there is none."""
        try:
            value = msgspec.json.decode(body)
        except (ValueError, RecursionError):
            value = None
        number = value.get(self.answer) if isinstance(value, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise MalformedUpstream("The upstream's answer holds no number of tokens.")
        return number

    def write_count(self, number: int) -> bytes:
        """An answer with a number."""
        return msgspec.json.encode({self.answer: number})

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        """The model; the body must be an object."""
        model = Node(decode_object(body)).text("model")
        if not model:
            raise InvalidRequest("you must provide a model parameter", param="model")
        return RequestOutline(model=model)

    def prompt_bytes(self, body: bytes) -> int:
        """As of the chat dialect."""
        return self.chat.prompt_bytes(body)

    def rewrite(
        self,
        body: bytes,
        *,
        model: str | None = None,
        include_usage: bool = False,
        reasoning: Reasoning | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> bytes:
        """The model is spliced in. Reasoning asked for by its name changes no count."""
        return self.chat.rewrite(body, model=model, overrides=overrides)

    def head(self, data: bytes, *, stream: bool, complete: bool) -> Head:
        """Wait for the whole answer, which is short; it must hold the number."""
        if not complete:
            return Head.WAIT
        self.read_count(data)
        return Head.RELEASE

    def tap(self, outline: RequestOutline, *, stream: bool, withhold_usage: bool = False) -> ResponseTap:
        """Nothing is used."""
        return _NoUsage()

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        """As of the chat dialect."""
        return self.chat.read_error(status, headers, body)

    def write_error(self, error: GatewayError) -> bytes:
        """As of the chat dialect."""
        return self.chat.write_error(error)

    def write_error_event(self, error: GatewayError) -> bytes:
        """There are no streams."""
        return self.chat.write_error_event(error)


class _NoUsage:
    """A tap that lets everything through: counting is free."""

    usage: Usage | None = Usage()
    output_estimate = 0

    def feed(self, chunk: bytes) -> bytes:
        return chunk

    def finish(self) -> bytes:
        return b""


class _AnthropicCountTokens(TokenCountDialect):
    name = "anthropic_count_tokens"
    chat = ANTHROPIC_MESSAGES
    forwarded = ANTHROPIC_MESSAGES.forwarded
    routes = (OwnedRoute("POST", "/v1/messages/count_tokens", Operation.TOKEN_COUNT),)
    answer = "input_tokens"

    def read_request(self, body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
        return self.chat.read_request(body, outline, losses)

    def write_request(self, request: ChatRequest, losses: Losses) -> bytes:
        return _only(self.chat.write_request(request, losses), ANTHROPIC_FIELDS)


class _GoogleCountTokens(TokenCountDialect):
    name = "google_count_tokens"
    chat = GOOGLE_GENERATE
    routes = tuple(
        OwnedRoute("POST", f"/{version}/models/{{model}}:countTokens", Operation.TOKEN_COUNT)
        for version in ("v1beta", "v1")
    )
    answer = "totalTokens"

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        """The model stands in the path."""
        decode_object(body)
        return RequestOutline(model=target.path.partition("/models/")[2].rpartition(":")[0])

    def read_request(self, body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
        whole = decode_object(body)
        inner = whole.get("generateContentRequest") or whole.get("generate_content_request")
        if isinstance(inner, dict):
            body = msgspec.json.encode({name: value for name, value in inner.items() if name != "model"})
        return self.chat.read_request(body, outline, losses)

    def write_request(self, request: ChatRequest, losses: Losses) -> bytes:
        body = msgspec.json.decode(self.chat.write_request(request, losses))
        return msgspec.json.encode({"generateContentRequest": {"model": f"models/{request.model}", **body}})


class _OpenAIInputTokens(TokenCountDialect):
    name = "openai_input_tokens"
    chat = OPENAI_RESPONSES
    routes = (OwnedRoute("POST", "/v1/responses/input_tokens", Operation.TOKEN_COUNT),)
    answer = "input_tokens"

    def read_request(self, body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
        return self.chat.read_request(body, outline, losses)

    def write_request(self, request: ChatRequest, losses: Losses) -> bytes:
        return _only(self.chat.write_request(request, losses), OPENAI_FIELDS)

    def write_count(self, number: int) -> bytes:
        return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": number})


ANTHROPIC_FIELDS = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "output_config", "mcp_servers", "cache_control"}
)
OPENAI_FIELDS = frozenset(
    {
        "model",
        "input",
        "instructions",
        "tools",
        "tool_choice",
        "text",
        "reasoning",
        "truncation",
        "parallel_tool_calls",
        "previous_response_id",
        "conversation",
    }
)
"""What may stand in a request to count; the rest of a chat request is refused there."""


def _only(body: bytes, fields: frozenset[str]) -> bytes:
    value = msgspec.json.decode(body)
    return msgspec.json.encode({name: part for name, part in value.items() if name in fields})


ANTHROPIC_COUNT_TOKENS: TokenCountDialect = _AnthropicCountTokens()
GOOGLE_COUNT_TOKENS: TokenCountDialect = _GoogleCountTokens()
OPENAI_INPUT_TOKENS: TokenCountDialect = _OpenAIInputTokens()
