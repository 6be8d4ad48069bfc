"""Google's Gemini API, of AI Studio (https://ai.google.dev/api). Vertex is a provider of its own.

Embeddings are those of its interface in OpenAI's format (https://ai.google.dev/gemini-api/docs/openai).
Chat is not asked in that: Google's own format says more.
"""

from asgi_gateway.providers.faults import Quirks
from asgi_gateway.providers.vendor import Vendor

__all__ = ["GEMINI"]

GEMINI = Vendor(
    name="gemini",
    base_url="https://generativelanguage.googleapis.com",
    version="/v1beta",
    dialects=("google_generate", "google_count_tokens", "openai_embeddings"),
    paths={"openai_embeddings": "/v1beta/openai/embeddings"},
    # A wrong or expired key, and a place that is not served, are a 400.
    quirks=Quirks(channel=("api key not valid", "api key expired", "location is not supported")),
)
