"""The vendors' own SDKs behind the same few calls, each speaking its own dialect to a gateway."""

from collections.abc import Callable, Mapping

from support.vendors.amazon import Bedrock
from support.vendors.answers import Client
from support.vendors.anthropic_client import Anthropic
from support.vendors.cohere_client import Cohere
from support.vendors.google_client import Google
from support.vendors.openai_clients import OpenAIChat, OpenAIResponses

__all__ = ["CLIENTS"]

CLIENTS: Mapping[str, Callable[[str, str], Client]] = {
    "openai_chat": OpenAIChat,
    "openai_responses": OpenAIResponses,
    "anthropic_messages": Anthropic,
    "google_generate": Google,
    "cohere_chat": Cohere,
    "bedrock_converse": Bedrock,
}
"""By the dialect they speak; each is made from the gateway's address and a key."""
