"""OpenAI (https://platform.openai.com/docs/api-reference)."""

from asgi_gateway.providers.vendor import Vendor

__all__ = ["OPENAI"]

REST = ("openai_input_tokens", "openai_completions", "openai_embeddings", "openai_moderations")
CHAT_ONLY = ("openai_chat", *REST)
RESPONSES_ONLY = ("openai_responses", *REST)

OPENAI = Vendor(
    name="openai",
    base_url="https://api.openai.com",
    dialects=("openai_chat", "openai_responses", *REST),
    # As the page of each model says (https://platform.openai.com/docs/models).
    models=(
        ("*-audio-preview*", CHAT_ONLY),
        ("gpt-audio*", CHAT_ONLY),
        ("*-search-preview*", CHAT_ONLY),
        ("*codex*", RESPONSES_ONLY),
        ("*deep-research*", RESPONSES_ONLY),
        ("computer-use-preview*", RESPONSES_ONLY),
        ("o[0-9]-pro*", RESPONSES_ONLY),
        ("gpt-5*-pro*", RESPONSES_ONLY),
    ),
)
