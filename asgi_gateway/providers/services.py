"""Where each wire format is usually served: its operation, its path, and how it takes the key.

A provider names what it has otherwise; see `vendor.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from urllib.parse import quote

from asgi_gateway.dialects.contract import Operation
from asgi_gateway.providers.headers import (
    ANTHROPIC_VERSION,
    Authenticate,
    bearer,
    google_key,
    x_api_key,
)

__all__ = ["SERVICES", "Service", "fill"]


@dataclass(frozen=True, slots=True)
class Service:
    """One dialect at an upstream. Paths stand after the version segment, and may hold one `{model}`."""

    operation: Operation
    path: str
    stream: str = ""
    """The path for an answer that is a stream, where it differs."""
    authenticate: Authenticate = bearer
    headers: Mapping[str, str] = field(default_factory=dict)


SERVICES: Mapping[str, Service] = MappingProxyType(
    {
        "openai_chat": Service(Operation.CHAT, "/chat/completions"),
        "openai_responses": Service(Operation.CHAT, "/responses"),
        "openai_input_tokens": Service(Operation.TOKEN_COUNT, "/responses/input_tokens"),
        "openai_completions": Service(Operation.COMPLETION, "/completions"),
        "openai_embeddings": Service(Operation.EMBEDDING, "/embeddings"),
        "openai_moderations": Service(Operation.MODERATION, "/moderations"),
        "anthropic_messages": Service(Operation.CHAT, "/messages", "", x_api_key, ANTHROPIC_VERSION),
        "anthropic_count_tokens": Service(
            Operation.TOKEN_COUNT, "/messages/count_tokens", "", x_api_key, ANTHROPIC_VERSION
        ),
        "google_generate": Service(
            Operation.CHAT,
            "/models/{model}:generateContent",
            "/models/{model}:streamGenerateContent?alt=sse",
            google_key,
        ),
        "google_count_tokens": Service(Operation.TOKEN_COUNT, "/models/{model}:countTokens", "", google_key),
        "cohere_chat": Service(Operation.CHAT, "/chat"),
        "bedrock_converse": Service(Operation.CHAT, "/model/{model}/converse", "/model/{model}/converse-stream"),
    }
)
"""By dialect."""


def fill(path: str, model: str) -> str:
    """The path with the model's name in its place, as one segment."""
    if "{model}" not in path:
        return path
    name = model.removeprefix("models/") if "/models/{" in path else model
    return path.replace("{model}", quote(name, safe="-._~@:"))
