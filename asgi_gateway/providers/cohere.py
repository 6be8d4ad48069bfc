"""Cohere (https://docs.cohere.com/reference/chat), its second version.

Embeddings are those of its interface in OpenAI's format (https://docs.cohere.com/docs/compatibility-api).
Chat is not asked in that: Cohere's own format says more.
"""

from asgi_gateway.providers.vendor import Vendor

__all__ = ["COHERE"]

COHERE = Vendor(
    name="cohere",
    base_url="https://api.cohere.com",
    version="/v2",
    dialects=("cohere_chat", "openai_embeddings"),
    paths={"openai_embeddings": "/compatibility/v1/embeddings"},
)
