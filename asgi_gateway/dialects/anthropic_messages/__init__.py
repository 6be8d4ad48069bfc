"""Anthropic's Messages: https://docs.anthropic.com/en/api/messages and …/messages-streaming.

What the format cannot express, and the rule for it:

| what | rule |
|---|---|
| no `max_tokens` | invented: what the model's generation gives at least (`models.py`) |
| effort, budget outside of what a model takes | approximated: the next that it takes (`thinking.py`) |
| sampling that a thinking or a newer model refuses | dropped |
| a forced tool where a model does not take it while thinking | thinking is dropped |
| a forced tool that a model never takes | approximated: the model chooses |
| a budget in a turn of calls that began without thinking | dropped: Anthropic refuses it there |
| any JSON object as the answer; a schema, to a model without | approximated: an instruction |
| schemas of answers and strict tools, beyond what Anthropic knows | approximated: bounds in words (`schemas.py`) |
| free-text tools | approximated: a function with one string `input` |
| arguments that are no JSON object | approximated: `{"arguments": …}` |
| allowed tools | approximated: the others are left out |
| hosted tools but web search, web fetch and code execution; stored files of others | refused |
| sounds, films, pictures of other types, several answers, stored caches, output other than text | refused |
| thinking of another maker, or unsigned | dropped: Anthropic takes its own signatures alone |
| hosted calls and results of other dialects | dropped; citations of public addresses approximated |
| system text between turns, where model or place forbid it | approximated: a user's words (`message_writer.py`) |
| a picture or a sound in an assistant's turn | dropped; its transcript stays |
| a conversation with calls, but without tools | invented: tools of the names that were called, none of which may be |
| white space at the end of an answer to be continued, blank texts, blank stop sequences | left out; the first and \
the last are noted |
| an assistant's turn in front of all | invented: a user's message before it |
| ids of calls with other characters | a digest of them, always the same |
| seed, penalties, min_p, logit_bias, logprobs, verbosity, store, cache keys, metadata but the user | dropped |

Blocks that only Anthropic knows are essential, and refused by others, but for those that name tools which elsewhere are
there from the beginning (`tool_reference`, `tool_addition`, …). A caller's own search results become documents.

In answers a seal of another maker travels wrapped in `signature` or `data`; a call's own in an empty thinking block in
front of it. A picture becomes a picture in Markdown, a spoken answer its transcript, a refusal a text with the reason
`refusal`. Of several answers the first alone has a place. A message with calls has stopped for them, one without them
has not: the reason is changed where it does not fit, and that is noted. Usage that is not known is zero, and noted.

```python
from asgi_gateway.canonical import Losses
from asgi_gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES

body = b'{"model": "claude-sonnet-4-5", "max_tokens": 64, "messages": [{"role": "user", "content": "Hi"}]}'
outline = ANTHROPIC_MESSAGES.outline(body)
assert (outline.model, outline.max_output) == ("claude-sonnet-4-5", 64)
assert ANTHROPIC_MESSAGES.read_request(body, outline, Losses("request")).sampling.max_output == 64
```
"""

from collections.abc import Mapping, Sequence
from typing import Any

from asgi_gateway.canonical import ChatRequest, ChatResponse, Event, Losses, Reasoning
from asgi_gateway.dialects.anthropic_messages import errors, outline, tap
from asgi_gateway.dialects.anthropic_messages.answer_reader import read_response
from asgi_gateway.dialects.anthropic_messages.betas import request_headers
from asgi_gateway.dialects.anthropic_messages.names import MAKER, NAME
from asgi_gateway.dialects.anthropic_messages.request_reader import read_request
from asgi_gateway.dialects.anthropic_messages.request_writer import write_request
from asgi_gateway.dialects.anthropic_messages.response_writer import write_response
from asgi_gateway.dialects.anthropic_messages.stream_reader import StreamReader as MessageReader
from asgi_gateway.dialects.anthropic_messages.stream_writer import StreamWriter as MessageWriter
from asgi_gateway.dialects.anthropic_messages.usage import usage_of
from asgi_gateway.dialects.contract import (
    NOWHERE,
    AnswerContext,
    ChatDialect,
    Head,
    Operation,
    OwnedRoute,
    RequestOutline,
    ResponseTap,
    StreamReader,
    StreamWriter,
    Target,
)
from asgi_gateway.dialects.plain_tap import PlainTap
from asgi_gateway.errors import GatewayError, UpstreamError

__all__ = ["ANTHROPIC_MESSAGES"]


class _AnthropicMessages:
    name: str = NAME
    maker: str = MAKER
    keeps_seals: bool = True
    stream_type: bytes = b"text/event-stream; charset=utf-8"
    stream_usage: bool = False
    """Anthropic reports usage in every stream, asked or not."""
    forwarded: frozenset[bytes] = frozenset({b"anthropic-version", b"anthropic-beta"})
    routes: Sequence[OwnedRoute] = (OwnedRoute("POST", "/v1/messages", Operation.CHAT),)

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        """Read what the layers need."""
        return outline.outline(body)

    def prompt_bytes(self, body: bytes) -> int:
        """Bytes of the body without embedded media."""
        return outline.prompt_bytes(body)

    def rewrite(
        self,
        body: bytes,
        *,
        model: str | None = None,
        include_usage: bool = False,
        reasoning: Reasoning | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Splice in another model, thinking, or top-level fields."""
        return outline.rewrite(body, model=model, reasoning=reasoning, overrides=overrides)

    def head(self, data: bytes, *, stream: bool, complete: bool) -> Head:
        """Judge the first bytes of an answer."""
        judge = tap.judge_stream if stream else tap.judge_plain
        return judge(data, complete=complete)

    def tap(self, outline: RequestOutline, *, stream: bool, withhold_usage: bool = False) -> ResponseTap:
        """A reader for one answer."""
        return tap.StreamTap() if stream else PlainTap(usage_of, tap.TEXT)

    def read_error(self, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        """The upstream's error body as an error."""
        return errors.read_error(status, headers, body)

    def write_error(self, error: GatewayError) -> bytes:
        """An error as a JSON body."""
        return errors.write_error(error)

    def write_error_event(self, error: GatewayError) -> bytes:
        """An error as the last event of a stream."""
        return errors.write_error_event(error)

    def read_request(self, body: bytes, outline: RequestOutline, losses: Losses) -> ChatRequest:
        """A caller's body."""
        return read_request(body, losses)

    def write_request(self, request: ChatRequest, losses: Losses) -> bytes:
        """A body for an upstream."""
        return write_request(request, losses)

    def request_headers(self, request: ChatRequest) -> tuple[tuple[bytes, bytes], ...]:
        """The betas that a request needs."""
        return request_headers(request)

    def read_response(self, body: bytes, losses: Losses) -> list[Event]:
        """A plain answer."""
        return read_response(body, losses)

    def reader(self, losses: Losses) -> StreamReader:
        """A reader for one stream."""
        return MessageReader(losses)

    def write_response(self, response: ChatResponse, context: AnswerContext) -> bytes:
        """A plain answer."""
        return write_response(response, context)

    def writer(self, context: AnswerContext) -> StreamWriter:
        """A writer for one stream."""
        return MessageWriter(context)


ANTHROPIC_MESSAGES: ChatDialect = _AnthropicMessages()
"""Anthropic's Messages."""
