"""Google's generateContent, of the Gemini API and of Vertex.

Follows https://ai.google.dev/api/generate-content and
https://docs.cloud.google.com/vertex-ai/generative-ai/docs/reference/rest/v1/projects.locations.publishers.models/generateContent.

The model, and whether to stream, stand in the path; `alt=sse` in the query asks for events, else a stream is one array.
Fields may be written in camelCase or snake_case. Function calls need no id: one is made of position and name.

What the format cannot express, and the rule for it:

| what | rule |
|---|---|
| system text between turns, or alone | approximated: a user's words |
| thinking that another maker sealed | dropped; to callers it travels wrapped in `thoughtSignature` |
| no signature on a call (Gemini 3, current turn) | invented: the placeholder that Google documents |
| effort, budget outside of what a model takes | approximated: the next that it takes (`models.py`) |
| reasoning on a model without | dropped |
| free-text tools | approximated: a function with one string `input` |
| arguments that are no JSON object | approximated: `{"arguments": text}` |
| media in results before Gemini 3; sounds, films | approximated: behind the results |
| hosted tools without a like; stored files of others | refused |
| calls of hosted tools in a conversation | code execution approximated, others dropped |
| strict tools | the mode VALIDATED, for all functions |
| more than 5 stop sequences; min_p, logit_bias, verbosity, parallel calls off | dropped |
| user, metadata, store, cache keys and marks | dropped (Google caches by itself) |
| domains, places and limits of searches | dropped |
| refusals | approximated: a text; the reason to stop is SAFETY |
| pause, context_length as reasons | approximated: OTHER, MAX_TOKENS |

Schemas are written as JSON schemas (`schemas.py` says why).

```python
from asgi_gateway.dialects.contract import Target
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE

body = b'{"contents": [{"parts": [{"text": "Hi"}]}]}'
outline = GOOGLE_GENERATE.outline(body, Target("/v1beta/models/gemini-2.5-flash:streamGenerateContent", b"alt=sse"))
assert (outline.model, outline.stream, outline.framing) == ("gemini-2.5-flash", True, "sse")
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
    StreamReader,
    StreamWriter,
    Target,
)
from asgi_gateway.dialects.google_generate import errors, outline, tap
from asgi_gateway.dialects.google_generate.answer_reader import StreamOfAnswers, read_answer
from asgi_gateway.dialects.google_generate.names import MAKER, NAME
from asgi_gateway.dialects.google_generate.request_reader import read_request
from asgi_gateway.dialects.google_generate.request_writer import write_request
from asgi_gateway.dialects.google_generate.response_writer import write_response
from asgi_gateway.dialects.google_generate.stream_writer import AnswerStream
from asgi_gateway.errors import GatewayError, UpstreamError

__all__ = ["GOOGLE_GENERATE"]

_PLACES = (
    *(f"/{version}/models/" for version in ("v1", "v1beta", "v1beta1")),
    *(f"/{version}/publishers/google/models/" for version in ("v1", "v1beta1")),
    # The model of these is found behind "/models/": project and location belong to the caller's own address.
    *(f"/{version}/projects/" for version in ("v1", "v1beta1")),
)


class _GoogleGenerate:
    name: str = NAME
    maker: str = MAKER
    keeps_seals: bool = True
    stream_type: bytes = b"text/event-stream"
    stream_usage: bool = False
    """Google reports usage in every stream, asked or not."""
    forwarded: frozenset[bytes] = frozenset()
    routes: Sequence[OwnedRoute] = (
        *(
            OwnedRoute("POST", f"{place}{{model}}:{method}", Operation.CHAT)
            for place in _PLACES
            for method in ("generateContent", "streamGenerateContent")
        ),
        OwnedRoute("GET", "/v1beta/models", Operation.MODELS),
        OwnedRoute("GET", "/v1beta/models/{model}", Operation.MODELS),
    )

    def outline(self, body: bytes, target: Target = NOWHERE) -> RequestOutline:
        """Read path, query and body."""
        return outline.outline(body, target)

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
        """Splice in a thinking configuration, or top-level fields. The model stands in the path."""
        return outline.rewrite(body, model=model, reasoning=reasoning, overrides=overrides)

    def head(self, data: bytes, *, stream: bool, complete: bool) -> Head:
        """Judge the first bytes of an answer."""
        judge = tap.judge_stream if stream else tap.judge_plain
        return judge(data, complete=complete)

    def tap(self, outline: RequestOutline, *, stream: bool, withhold_usage: bool = False) -> ResponseTap:
        """A reader for one answer."""
        return tap.StreamTap(array=outline.framing == "json-array") if stream else tap.PlainTap()

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
        return read_request(body, outline, losses)

    def write_request(self, request: ChatRequest, losses: Losses) -> bytes:
        """A body for an upstream."""
        return write_request(request, losses)

    def request_headers(self, request: ChatRequest) -> tuple[tuple[bytes, bytes], ...]:
        """None."""
        return ()

    def read_response(self, body: bytes, losses: Losses) -> list[Event]:
        """A plain answer."""
        return read_answer(body, losses)

    def reader(self, losses: Losses) -> StreamReader:
        """A reader for one stream."""
        return StreamOfAnswers(losses)

    def write_response(self, response: ChatResponse, context: AnswerContext) -> bytes:
        """A plain answer to a caller."""
        return write_response(response, context)

    def writer(self, context: AnswerContext) -> StreamWriter:
        """A writer for one stream."""
        return AnswerStream(context)


GOOGLE_GENERATE: ChatDialect = _GoogleGenerate()
