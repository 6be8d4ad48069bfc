"""All providers by name: one line for a module, none for a row of `compatible.py`."""

from collections.abc import Mapping
from difflib import get_close_matches
from types import MappingProxyType

from asgi_gateway.providers.anthropic import ANTHROPIC
from asgi_gateway.providers.azure import AZURE
from asgi_gateway.providers.bedrock import BEDROCK
from asgi_gateway.providers.cohere import COHERE
from asgi_gateway.providers.compatible import COMPATIBLE
from asgi_gateway.providers.contract import Provider
from asgi_gateway.providers.gemini import GEMINI
from asgi_gateway.providers.openai import OPENAI
from asgi_gateway.providers.vertex import VERTEX

__all__ = ["PROVIDERS", "provider"]

_ALL: tuple[Provider, ...] = (OPENAI, ANTHROPIC, GEMINI, VERTEX, AZURE, BEDROCK, COHERE, *COMPATIBLE)

PROVIDERS: Mapping[str, Provider] = MappingProxyType({vendor.name: vendor for vendor in _ALL})


def provider(name: str) -> Provider:
    """The provider of this name. Raises `ValueError`, with the nearest name if there is one."""
    found = PROVIDERS.get(name)
    if found is not None:
        return found
    near = get_close_matches(name.lower(), PROVIDERS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(PROVIDERS))}"
    raise ValueError(f"there is no provider {name!r}; {hint}")
