"""OpenAI's chat completions: https://platform.openai.com/docs/api-reference/chat, passed through or converted.

What look-alikes add is read and written, too: thinking as `reasoning_content` (https://api-docs.deepseek.com),
`reasoning` and `reasoning_details` (https://openrouter.ai/docs/use-cases/reasoning-tokens), signatures in
`extra_content` (https://ai.google.dev/gemini-api/docs/openai), Mistral's parts (https://docs.mistral.ai/api),
Perplexity's sources (https://docs.perplexity.ai/api-reference/chat-completions-post), Groq's and vLLM's fields.
The model list and realtime sockets are classified here, as well: what they share with chat is the error object.

What the format cannot express, and the rule for it:

| what | towards an upstream | towards a caller |
|---|---|---|
| thinking | by the model's name (`message_writer`): `reasoning_content`, or dropped | `reasoning_content` |
| seals of thinking and calls | to models of their maker; else dropped | `reasoning_details`, `extra_content` |
| order of texts and calls | calls stand last | calls stand last: approximated |
| several texts | a list of parts | joined |
| media in a tool's result | in a user's message behind it: approximated | - |
| a tool's failure | dropped | - |
| hosted tools, results of hosted tools | web search alone; others refused; results dropped | dropped |
| citations without an address | dropped | dropped |
| wishes to cache | by the model's name (`marks`), or dropped | - |
| media with an address (sound, document), stored files of others, films to OpenAI | refused | - |
| sampling that OpenAI's reasoning models lack, `top_k`, `min_p` | dropped (`request_writer`) | - |
| budgets of reasoning | efforts, by a table (`efforts`): approximated | - |
| reasons to stop that it has no word for | - | "stop": approximated (`finish`) |

```python
from asgi_gateway.dialects.openai_chat import OPENAI_CHAT

body = b'{"model": "fast", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'
assert OPENAI_CHAT.outline(body).model == "fast"
assert OPENAI_CHAT.rewrite(body, model="gpt-4o-mini").startswith(b'{"model": "gpt-4o-mini", "stream": true')
```
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from asgi_gateway.canonical import ChatRequest, ChatResponse, Event, Losses, Reasoning
from asgi_gateway.dialects.contract import (
    NOWHERE,
    AnswerContext,
    ChatDialect,
    Operation,
    OwnedRoute,
    RequestOutline,
    StreamReader,
    StreamWriter,
    Target,
)
from asgi_gateway.dialects.openai_chat import request
from asgi_gateway.dialects.openai_chat.answer_reader import read_response
from asgi_gateway.dialects.openai_chat.request_reader import read_request
from asgi_gateway.dialects.openai_chat.request_writer import write_request
from asgi_gateway.dialects.openai_chat.response_writer import write_response
from asgi_gateway.dialects.openai_chat.rewriting import reasoning_fields
from asgi_gateway.dialects.openai_chat.stream_reader import ChatStreamReader
from asgi_gateway.dialects.openai_chat.stream_writer import ChatStreamWriter
from asgi_gateway.dialects.openai_wire.dialect import OpenAIDialect
from asgi_gateway.dialects.openai_wire.text import CHAT_TEXT

__all__ = ["OPENAI_CHAT"]


class _OpenAIChat(OpenAIDialect):
    name: str = "openai_chat"
    routes: Sequence[OwnedRoute] = (
        OwnedRoute("POST", "/v1/chat/completions", Operation.CHAT),
        OwnedRoute("GET", "/v1/models", Operation.MODELS),
        OwnedRoute("GET", "/v1/models/{model}", Operation.MODELS),
        OwnedRoute("WEBSOCKET", "/v1/realtime", Operation.REALTIME),
    )
    stream_usage = True
    answer = "choices"
    text: re.Pattern[bytes] | None = CHAT_TEXT
    maker: str = "openai"
    keeps_seals: bool = False
    stream_type: bytes = b"text/event-stream"

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        return request.outline(body)

    def rewrite(
        self,
        body: bytes,
        *,
        model: str | None = None,
        include_usage: bool = False,
        reasoning: Reasoning | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> bytes:
        if reasoning is not None:
            overrides = {**reasoning_fields(body, model, reasoning), **(overrides or {})}
        return super().rewrite(body, model=model, include_usage=include_usage, overrides=overrides)

    def read_request(self, body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
        return read_request(body, outline, losses)

    def write_request(self, request: ChatRequest, losses: Losses) -> bytes:
        return write_request(request, losses)

    def request_headers(self, request: ChatRequest) -> tuple[tuple[bytes, bytes], ...]:
        return ()

    def read_response(self, body: bytes, losses: Losses) -> list[Event]:
        return read_response(body, losses)

    def reader(self, losses: Losses) -> StreamReader:
        return ChatStreamReader(losses)

    def write_response(self, response: ChatResponse, context: AnswerContext) -> bytes:
        return write_response(response, context)

    def writer(self, context: AnswerContext) -> StreamWriter:
        return ChatStreamWriter(context)


OPENAI_CHAT: ChatDialect = _OpenAIChat()
