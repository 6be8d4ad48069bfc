"""Cohere's chat, version 2: https://docs.cohere.com/v2/reference/chat and https://docs.cohere.com/v2/docs/streaming.

What the neutral model has and Cohere has not, in requests:

| what | rule |
|---|---|
| several answers, hosted tools, stored files, stored caches, audio, video, output other than text | refused by name |
| a document in a user's message | approximated: its text, when it is text; refused otherwise |
| an image in a tool's result | approximated: moved into a message of the user behind it |
| a named tool, or some of the tools | approximated: the others are left out, `tool_choice` is REQUIRED or absent |
| free-text tools | approximated: a function with one string, `input` |
| `strict` of single tools | `strict_tools` when all agree, else dropped |
| effort of reasoning | approximated by the budget of the written table |
| penalties outside 0 to 1, `top_p` outside 0.01 to 0.99, more than five stop sequences | approximated: the nearest |
| a refusal in the history | approximated: a text |
| a text behind a tool call of one turn | approximated: it comes to stand before the call |
| cache marks and keys, names of participants, user, metadata, verbosity, parallel_tools=False, min_p, logit_bias, \
top_logprobs, a failed tool result, a format's description | dropped |
| seals | dropped with nothing else; a thinking without a text is dropped and noted |

A name of an output format says nothing to Cohere and is left out.
`documents` are an essential extra: another dialect refuses them. `citation_options`, `safety_mode` and `priority`
are extras that others drop.

`tool_plan`, the text in which models without thinking plan their calls, is read as thinking. Thinking is written as
content; for models without thinking it is the `tool_plan` of a message that has calls.
A document that a tool gave is read as its text, or as JSON; one that others give is written as a document.
There is no opaque field: seals travel by the ids of tool calls.
Answers have one choice, and no place for hosted tools, media and the stop sequence met: dropped.

```python
from asgi_gateway.canonical import Losses
from asgi_gateway.dialects.cohere_chat import COHERE_CHAT

body = b'{"model": "command-a-03-2025", "messages": [{"role": "user", "content": "Hi"}], "p": 0.9}'
request = COHERE_CHAT.read_request(body, COHERE_CHAT.outline(body), Losses("request"))
assert request.sampling.top_p == 0.9
```
"""

from collections.abc import Mapping, Sequence
from typing import Any

from asgi_gateway.canonical import ChatRequest, ChatResponse, Event, Losses, Reasoning
from asgi_gateway.dialects.cohere_chat import errors
from asgi_gateway.dialects.cohere_chat import outline as requests
from asgi_gateway.dialects.cohere_chat.citations import NAME
from asgi_gateway.dialects.cohere_chat.request_reader import read_request
from asgi_gateway.dialects.cohere_chat.request_writer import write_request
from asgi_gateway.dialects.cohere_chat.response_reader import read_response
from asgi_gateway.dialects.cohere_chat.response_writer import write_response
from asgi_gateway.dialects.cohere_chat.stream_reader import StreamReader
from asgi_gateway.dialects.cohere_chat.stream_writer import StreamWriter
from asgi_gateway.dialects.cohere_chat.tap import TEXT, StreamTap, judge_plain, judge_stream
from asgi_gateway.dialects.cohere_chat.usage import usage_of
from asgi_gateway.dialects.contract import (
    NOWHERE,
    AnswerContext,
    ChatDialect,
    Head,
    Operation,
    OwnedRoute,
    RequestOutline,
    ResponseTap,
    Target,
)
from asgi_gateway.dialects.plain_tap import PlainTap
from asgi_gateway.errors import GatewayError, UpstreamError

__all__ = ["COHERE_CHAT"]


class _CohereChat:
    name: str = NAME
    maker: str = "cohere"
    keeps_seals: bool = False
    stream_type: bytes = b"text/event-stream"
    stream_usage: bool = False
    forwarded: frozenset[bytes] = frozenset({b"x-client-name"})
    routes: Sequence[OwnedRoute] = (OwnedRoute("POST", "/v2/chat", Operation.CHAT),)

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        return requests.outline(body)

    def prompt_bytes(self, body: bytes) -> int:
        return requests.prompt_bytes(body)

    def rewrite(
        self,
        body: bytes,
        *,
        model: str | None = None,
        include_usage: bool = False,
        reasoning: Reasoning | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> bytes:
        return requests.rewrite(body, model=model, reasoning=reasoning, overrides=overrides)

    def head(self, data: bytes, *, stream: bool, complete: bool) -> Head:
        return judge_stream(data, complete=complete) if stream else judge_plain(data, complete=complete)

    def tap(self, outline: RequestOutline, *, stream: bool, withhold_usage: bool = False) -> ResponseTap:
        return StreamTap() if stream else PlainTap(usage_of, TEXT)

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        return errors.read_error(status, headers, body)

    def write_error(self, error: GatewayError) -> bytes:
        return errors.write_error(error)

    def write_error_event(self, error: GatewayError) -> bytes:
        return errors.write_error_event(error)

    def read_request(self, body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
        return read_request(body, outline, losses)

    def write_request(self, request: ChatRequest, losses: Losses) -> bytes:
        return write_request(request, losses)

    def request_headers(self, request: ChatRequest) -> tuple[tuple[bytes, bytes], ...]:
        return ()

    def read_response(self, body: bytes, losses: Losses) -> list[Event]:
        return read_response(body, losses)

    def reader(self, losses: Losses) -> StreamReader:
        return StreamReader(losses)

    def write_response(self, response: ChatResponse, context: AnswerContext) -> bytes:
        return write_response(response, context)

    def writer(self, context: AnswerContext) -> StreamWriter:
        return StreamWriter(context)


COHERE_CHAT: ChatDialect = _CohereChat()
