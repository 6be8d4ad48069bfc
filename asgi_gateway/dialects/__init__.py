"""The wire formats that callers and upstreams speak, and which request is spoken in which.

```python
from asgi_gateway.dialects import classify

operation, dialect = classify("POST", "/v1/chat/completions")
assert dialect.name == "openai_chat"
```
"""

from collections.abc import Mapping
from types import MappingProxyType

from asgi_gateway.dialects.anthropic_messages import ANTHROPIC_MESSAGES
from asgi_gateway.dialects.bedrock_converse import BEDROCK_CONVERSE
from asgi_gateway.dialects.cohere_chat import COHERE_CHAT
from asgi_gateway.dialects.contract import ChatDialect, Dialect, Operation
from asgi_gateway.dialects.google_generate import GOOGLE_GENERATE
from asgi_gateway.dialects.openai_chat import OPENAI_CHAT
from asgi_gateway.dialects.openai_completions import OPENAI_COMPLETIONS
from asgi_gateway.dialects.openai_embeddings import OPENAI_EMBEDDINGS
from asgi_gateway.dialects.openai_moderations import OPENAI_MODERATIONS
from asgi_gateway.dialects.openai_responses import OPENAI_RESPONSES
from asgi_gateway.dialects.token_counts import (
    ANTHROPIC_COUNT_TOKENS,
    GOOGLE_COUNT_TOKENS,
    OPENAI_INPUT_TOKENS,
    TokenCountDialect,
)
from asgi_gateway.types import Headers

__all__ = ["CHAT_DIALECTS", "DIALECTS", "TOKEN_COUNTS", "classify", "spoken_by"]

_CHAT: tuple[ChatDialect, ...] = (
    OPENAI_CHAT,
    OPENAI_RESPONSES,
    ANTHROPIC_MESSAGES,
    GOOGLE_GENERATE,
    COHERE_CHAT,
    BEDROCK_CONVERSE,
)

_COUNTS: tuple[TokenCountDialect, ...] = (ANTHROPIC_COUNT_TOKENS, GOOGLE_COUNT_TOKENS, OPENAI_INPUT_TOKENS)

_OTHERS: tuple[Dialect, ...] = (OPENAI_COMPLETIONS, OPENAI_EMBEDDINGS, OPENAI_MODERATIONS)

CHAT_DIALECTS: Mapping[str, ChatDialect] = MappingProxyType({dialect.name: dialect for dialect in _CHAT})
"""The dialects for chat, each of which can be converted to each other."""

TOKEN_COUNTS: Mapping[str, TokenCountDialect] = MappingProxyType({dialect.name: dialect for dialect in _COUNTS})
"""The dialects that ask how many tokens a chat request has."""

_ALL: tuple[Dialect, ...] = (*_CHAT, *_COUNTS, *_OTHERS)

DIALECTS: Mapping[str, Dialect] = MappingProxyType({dialect.name: dialect for dialect in _ALL})
"""Every dialect by its name."""

_ROUTES: Mapping[tuple[str, str], tuple[Operation, Dialect]] = MappingProxyType(
    {
        (route.method, route.path): (route.operation, dialect)
        for dialect in DIALECTS.values()
        for route in dialect.routes
    }
)

_MODEL = "{model}"

_PATTERNS: tuple[tuple[str, str, str, Operation, Dialect], ...] = tuple(
    sorted(
        (
            (method, path.partition(_MODEL)[0], path.partition(_MODEL)[2], operation, dialect)
            for (method, path), (operation, dialect) in _ROUTES.items()
            if _MODEL in path
        ),
        key=lambda pattern: len(pattern[1]) + len(pattern[2]),
        reverse=True,
    )
)
"""Routes with a model in the path: method, what stands before and behind it; the longest first."""


def classify(method: str, path: str) -> tuple[Operation, Dialect] | None:
    """What a request asks for, and in which dialect; None when it is none of ours.

    `method` is "WEBSOCKET" for sockets; `path` is relative to the gateway's root. One trailing slash is let pass.
    A model's name in a path may hold slashes of its own.
    """
    found = _ROUTES.get((method, path))
    if found is not None:
        return found
    if len(path) > 1 and path.endswith("/"):
        return _ROUTES.get((method, path[:-1]))
    for verb, before, behind, operation, dialect in _PATTERNS:
        if (
            verb == method
            and path.startswith(before)
            and path.endswith(behind)
            and len(path) > len(before) + len(behind)
        ):
            return operation, dialect
    return None


def spoken_by(path: str, headers: Headers, query: bytes) -> Dialect:
    """The dialect of a caller whose method and path do not tell it: of a list of models, or of what is not offered.

    Google's clients use paths of their own, or their own way to send the key; Anthropic's name a version; all others
    are taken for OpenAI's.
    """
    if path.startswith("/v1beta"):
        return GOOGLE_GENERATE
    for name, _ in headers:
        if name == b"anthropic-version":
            return ANTHROPIC_MESSAGES
        if name == b"x-goog-api-key":
            return GOOGLE_GENERATE
    if query.startswith(b"key=") or b"&key=" in query:
        return GOOGLE_GENERATE
    return OPENAI_CHAT
