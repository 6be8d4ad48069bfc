"""Amazon Bedrock's Converse and ConverseStream.

Documents: https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html,
https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ConverseStream.html, and for streams
https://smithy.io/2.0/aws/amazon-eventstream.html. The model stands in the path; so does whether a stream is wanted.

What the neutral model has and Converse has not, in requests:

| what | rule |
|---|---|
| several answers, hosted tools but Nova's own, stored caches, output other than text, data at an address (other than \
S3), files stored by others, formats that Bedrock does not take | refused by name |
| a system text between turns | approximated: a text of the user |
| turns of one role in a row | joined: roles must alternate |
| a conversation that begins with the assistant, a document without a text beside it | invented: "." of the user |
| a conversation with tool calls but without tools | invented: tools of the names that were called |
| `tool_choice` none | approximated: no tools; dropped when the conversation called some |
| `tool_choice` of some tools | approximated: the others are left out |
| free-text tools | approximated: a function with one string, `input` |
| arguments that are no object | approximated: put into one, under `arguments` |
| ids of calls of other characters, or longer than 64 | a digest of them, always the same |
| names of documents | approximated: other characters become spaces; invented when absent |
| effort and budget of reasoning | as the model's family wants them (`models`): approximated by the written table |
| thinking without Anthropic's seal, to a Claude; any thinking, to DeepSeek | dropped |
| cache marks, to a model without a cache | dropped |
| temperature, top_p and top_k, where a thinking or a newer Claude refuses them | dropped |
| a JSON object as output without a schema | dropped |
| seed, penalties, logprobs, logit_bias, min_p, user, verbosity, store, cache keys, parallel_tools=False, names of \
participants, an image's detail | dropped |

Blank texts are left out: Bedrock refuses them.
`guardrailConfig`, `promptVariables` and guarded system texts are essential extras: another dialect refuses them.
Other blocks that only Bedrock knows (`guardContent`, `searchResult`, `toolAddition`, …) are refused by others, too.

Signatures on Bedrock are Claude's, and Anthropic's seals stand unwrapped; all others are wrapped, and a tool call's own
seal stands in an empty reasoning block in front of the call.
Answers must have `usage` and `metrics`: what is not known is zero, and noted as invented. They have one choice, and no
place for logprobs and hosted tools of others: dropped.

```python
from asgi_gateway.canonical import Losses
from asgi_gateway.dialects.bedrock_converse import BEDROCK_CONVERSE
from asgi_gateway.dialects.contract import Target

body = b'{"messages": [{"role": "user", "content": [{"text": "Hi"}]}], "inferenceConfig": {"topP": 0.9}}'
outline = BEDROCK_CONVERSE.outline(body, Target("/model/amazon.nova-lite-v1:0/converse"))
assert outline.model == "amazon.nova-lite-v1:0"
assert BEDROCK_CONVERSE.read_request(body, outline, Losses("request")).sampling.top_p == 0.9
```
"""

from collections.abc import Mapping, Sequence
from typing import Any

from asgi_gateway.canonical import ChatRequest, ChatResponse, Event, Losses, Reasoning
from asgi_gateway.dialects.bedrock_converse import errors
from asgi_gateway.dialects.bedrock_converse import outline as requests
from asgi_gateway.dialects.bedrock_converse.names import NAME
from asgi_gateway.dialects.bedrock_converse.request_reader import read_request
from asgi_gateway.dialects.bedrock_converse.request_writer import write_request
from asgi_gateway.dialects.bedrock_converse.response_reader import read_response
from asgi_gateway.dialects.bedrock_converse.response_writer import write_response
from asgi_gateway.dialects.bedrock_converse.stream_reader import StreamReader
from asgi_gateway.dialects.bedrock_converse.stream_writer import StreamWriter
from asgi_gateway.dialects.bedrock_converse.tap import TEXT, StreamTap, judge_plain, judge_stream, usage_in
from asgi_gateway.dialects.bedrock_converse.usage import usage_of
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

__all__ = ["BEDROCK_CONVERSE"]


class _BedrockConverse:
    name: str = NAME
    maker: str = "amazon"
    keeps_seals: bool = True
    stream_type: bytes = b"application/vnd.amazon.eventstream"
    stream_usage: bool = False
    forwarded: frozenset[bytes] = frozenset()
    routes: Sequence[OwnedRoute] = (
        OwnedRoute("POST", "/model/{model}/converse", Operation.CHAT),
        OwnedRoute("POST", "/model/{model}/converse-stream", Operation.CHAT),
    )

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        return requests.outline(body, target)

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
        return StreamTap() if stream else PlainTap(usage_of, TEXT, usage_in)

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


BEDROCK_CONVERSE: ChatDialect = _BedrockConverse()
