"""OpenAI's Responses: https://platform.openai.com/docs/api-reference/responses and …/responses-streaming.

What the neutral model has and Responses has not, in requests:

| what | rule |
|---|---|
| several answers, spoken answers, videos, files and caches of other makers | refused by name |
| hosted tools but web search, code execution and image generation | refused by name |
| pictures among the wanted kinds of output | approximated: the tool that makes them |
| stop sequences, seed, top_k, min_p, penalties, logit_bias | dropped |
| sampling that OpenAI's reasoning models refuse | dropped, by the model's name |
| effort of reasoning | approximated: the nearest that the model has (`reasoning.py`) |
| fewer than 16 tokens of output | approximated: 16, the fewest that OpenAI takes |
| names of participants, a failed tool result, a search's blocked domains and limit, titles of documents | dropped |
| wishes to cache | a breakpoint for GPT-5.6 and later, else dropped |
| thinking of another maker | its text goes along to servers that are not OpenAI's; else dropped |
| results of hosted tools of other dialects | dropped; calls of a web search stay |

`store` is false unless it was asked for: reasoning comes back encrypted instead, and nothing is kept upstream.
The first instruction is written as `instructions`, others as system messages in front of the input.
Ids and states of messages and calls are bookkeeping of the format and are not carried; a message's `phase`, a call's
`namespace` and `caller` are dropped and noted. Parts of a summary become one text, a blank line between them.

`previous_response_id`, `conversation`, `prompt`, `moderation` and `background` are essential extras: another dialect
refuses them. `truncation`, `max_tool_calls`, `context_management` and others are extras that others drop.

In answers a seal of another maker travels wrapped in `encrypted_content`: that of a thinking text in its own reasoning
item, that of a call in one in front of it, that of a text or an image in one behind it.
Hosted tools: see `hosted.py`; reasons to stop: see `reasons.py`. Sounds, further choices and the stop sequence met have
no place in an answer: dropped. Images that are no data are dropped, too.

```python
from asgi_gateway.canonical import Losses
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES

body = b'{"model": "gpt-5-mini", "input": "Hi", "max_output_tokens": 99}'
request = OPENAI_RESPONSES.read_request(body, OPENAI_RESPONSES.outline(body), Losses("request"))
assert request.sampling.max_output == 99
```
"""

from collections.abc import Mapping, Sequence
from typing import Any

from asgi_gateway.canonical import ChatRequest, ChatResponse, Event, Losses, Reasoning
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
from asgi_gateway.dialects.openai_responses import outline as requests
from asgi_gateway.dialects.openai_responses.errors import write_error_event
from asgi_gateway.dialects.openai_responses.names import MAKER, NAME
from asgi_gateway.dialects.openai_responses.request_reader import read_request
from asgi_gateway.dialects.openai_responses.request_writer import write_request
from asgi_gateway.dialects.openai_responses.response_reader import read_response
from asgi_gateway.dialects.openai_responses.response_writer import write_response
from asgi_gateway.dialects.openai_responses.stream_reader import StreamReader
from asgi_gateway.dialects.openai_responses.stream_writer import StreamWriter
from asgi_gateway.dialects.openai_responses.tap import AnswerTap, StreamTap, judge_plain, judge_stream
from asgi_gateway.dialects.openai_wire import errors
from asgi_gateway.dialects.openai_wire.requests import prompt_bytes
from asgi_gateway.errors import GatewayError, UpstreamError

__all__ = ["OPENAI_RESPONSES"]


class _OpenAIResponses:
    name: str = NAME
    maker: str = MAKER
    keeps_seals: bool = True
    stream_type: bytes = b"text/event-stream; charset=utf-8"
    stream_usage: bool = False
    forwarded: frozenset[bytes] = frozenset()
    routes: Sequence[OwnedRoute] = (OwnedRoute("POST", "/v1/responses", Operation.CHAT),)

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        return requests.outline(body)

    def prompt_bytes(self, body: bytes) -> int:
        return prompt_bytes(body)

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
        return StreamTap() if stream else AnswerTap()

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        return errors.read_error(status, headers, body)

    def write_error(self, error: GatewayError) -> bytes:
        return errors.write_error(error)

    def write_error_event(self, error: GatewayError) -> bytes:
        return write_error_event(error)

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


OPENAI_RESPONSES: ChatDialect = _OpenAIResponses()
