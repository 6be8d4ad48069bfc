"""Which request is spoken in which dialect."""

import pytest

from asgi_gateway.dialects import DIALECTS, classify
from asgi_gateway.dialects.contract import Operation


@pytest.mark.parametrize(
    ("method", "path", "operation", "name"),
    [
        ("POST", "/v1/chat/completions", Operation.CHAT, "openai_chat"),
        ("POST", "/v1/chat/completions/", Operation.CHAT, "openai_chat"),
        ("POST", "/v1/completions", Operation.COMPLETION, "openai_completions"),
        ("POST", "/v1/embeddings", Operation.EMBEDDING, "openai_embeddings"),
        ("POST", "/v1/moderations", Operation.MODERATION, "openai_moderations"),
        ("GET", "/v1/models", Operation.MODELS, "openai_chat"),
        ("GET", "/v1/models/", Operation.MODELS, "openai_chat"),
        ("GET", "/v1/models/gpt-4o-mini", Operation.MODELS, "openai_chat"),
        ("GET", "/v1/models/meta-llama/Llama-3", Operation.MODELS, "openai_chat"),
        ("WEBSOCKET", "/v1/realtime", Operation.REALTIME, "openai_chat"),
    ],
)
def test_a_request_is_classified_by_method_and_path(method: str, path: str, operation: Operation, name: str) -> None:
    """Exactly; one slash at the end is let pass."""
    assert classify(method, path) == (operation, DIALECTS[name])


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/chat/completions"),
        ("POST", "/chat/completions"),
        ("POST", "/v1/chat/completions//"),
        ("POST", "/V1/chat/completions"),
        ("POST", "/v1/models"),
        ("DELETE", "/v1/models/m"),
        ("GET", "/v1/realtime"),
        ("GET", "/v1/modelsx"),
        ("GET", "/"),
        ("GET", ""),
    ],
)
def test_what_is_not_ours_is_nothing(method: str, path: str) -> None:
    """It goes on to the host's own app."""
    assert classify(method, path) is None


def test_every_route_of_a_dialect_leads_to_it() -> None:
    """The table is made of what the dialects declare."""
    for dialect in DIALECTS.values():
        for route in dialect.routes:
            assert classify(route.method, route.path.format(model="m")) == (route.operation, dialect)


def test_dialects_are_found_by_their_own_names() -> None:
    """And say whether a stream can be asked for its usage."""
    assert {name: dialect.stream_usage for name, dialect in DIALECTS.items()} == {
        "anthropic_count_tokens": False,
        "anthropic_messages": False,
        "google_count_tokens": False,
        "openai_input_tokens": False,
        "openai_responses": False,
        "cohere_chat": False,
        "bedrock_converse": False,
        "google_generate": False,
        "openai_chat": True,
        "openai_completions": True,
        "openai_embeddings": False,
        "openai_moderations": False,
    }
    assert all(name == dialect.name for name, dialect in DIALECTS.items())
