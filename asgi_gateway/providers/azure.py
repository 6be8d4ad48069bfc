"""Azure's OpenAI, and Claude in Microsoft Foundry.

- Deployments: https://learn.microsoft.com/azure/ai-services/openai/reference: the deployment stands in the path, the
  version of the interface in the query: the channel's `api_version`, else the latest that is no preview
- the v1 interface: https://learn.microsoft.com/azure/ai-services/openai/api-version-lifecycle, when the base URL ends
  in `/openai/v1`; Responses always
- Claude: https://learn.microsoft.com/azure/ai-foundry/foundry-models/how-to/use-foundry-models-claude, for deployments
  whose name begins with "claude"

A key is a key of the resource, or `TENANT|CLIENT|SECRET`: a client that Entra gives tokens
(https://learn.microsoft.com/entra/identity-platform/v2-oauth2-client-creds-grant-flow).
"""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from hashlib import sha256
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import NoChannelAvailable, UpstreamError
from asgi_gateway.providers.address import Address, parse_base_url
from asgi_gateway.providers.contract import Endpoint, Grant
from asgi_gateway.providers.faults import judge
from asgi_gateway.providers.headers import NO_HEADERS, api_key, key_mistake, request_headers
from asgi_gateway.providers.openai import OPENAI
from asgi_gateway.providers.services import fill
from asgi_gateway.providers.vendor import NO_OVERRIDES, service
from asgi_gateway.storage.records import Channel, Secret

__all__ = ["AZURE"]

USUAL_VERSION = "2024-10-21"
V1_VERSIONS = frozenset({"v1", "preview", "latest"})

CLAUDE = ("anthropic_messages",)
OURS = ("openai_chat", "openai_responses", "openai_completions", "openai_embeddings")

CLOUDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        ".us": ("https://login.microsoftonline.us", "https://cognitiveservices.azure.us/.default"),
        ".cn": ("https://login.partner.microsoftonline.cn", "https://cognitiveservices.azure.cn/.default"),
    }
)
"""By the end of the host: who signs in, and for what."""

PUBLIC_CLOUD = ("https://login.microsoftonline.com", "https://cognitiveservices.azure.com/.default")

PARTS = 3


class _Azure:
    name = "azure"
    base_url = ""
    version = ""
    dialects = (*OURS, *CLAUDE)
    needs_key = True

    def endpoint(
        self, channel: Channel, key: Secret, operation: Operation, dialect: str, model: str, *, stream: bool = False
    ) -> Endpoint:
        """Address an operation; `model` is the deployment's name.

        Raises `NoChannelAvailable` for what is not offered, and for a channel that `check` would refuse.
        """
        offered = service(self.dialects, operation, dialect)
        try:
            address = parse_base_url(channel.base_url)
            client = _client(key)
            sent = key if client is None else Secret("")
            authenticate = offered.authenticate if dialect in CLAUDE else api_key
            headers = request_headers(sent, channel.header_override, authenticate, offered.headers or NO_HEADERS)
        except ValueError as mistake:
            raise NoChannelAvailable("The channel for the model is misconfigured.") from mistake
        target = fill(_path(address, dialect, offered.path, channel.api_version), model)
        grant = None if client is None else _grant(client, address.origin.host)
        return Endpoint("POST", address.origin, target.encode("ascii"), headers, grant)

    def dialects_for(self, model: str) -> tuple[str, ...]:
        """Of a deployment that is named as its model, those of the model."""
        lower = model.lower()
        if lower.startswith("claude"):
            return CLAUDE
        for pattern, dialects in OPENAI.models:
            if fnmatchcase(lower, pattern):
                return tuple(dialect for dialect in OURS if dialect in dialects)
        return OURS

    def overrides(self, dialect: str, model: str) -> Mapping[str, Any]:
        """None."""
        return NO_OVERRIDES

    def key_mistake(self, key: Secret) -> str | None:
        """A key, or a client of three parts."""
        if mistake := key_mistake(key):
            return mistake
        parts = key.reveal().split("|")
        if len(parts) == 1 or (len(parts) == PARTS and all(parts)):
            return None
        return "is neither a key nor of the form TENANT|CLIENT|SECRET"

    def read_error(self, dialect: str, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        """An error answer, its fault judged."""
        return judge(DIALECTS[dialect].read_error(status, headers, body), status)


def _path(address: Address, dialect: str, path: str, version: str) -> str:
    root = address.path.removesuffix("/openai")
    if dialect in CLAUDE:
        return root.removesuffix("/anthropic") + "/anthropic/v1" + path
    if dialect == "openai_responses" or address.version:
        query = f"?api-version={version}" if version in V1_VERSIONS else ""
        return f"{root}/openai/v1{path}{query}"
    return f"{root}/openai/deployments/{{model}}{path}?api-version={quote(version or USUAL_VERSION, safe='')}"


def _client(key: Secret) -> tuple[str, ...] | None:
    """Tenant, client and secret; None for a key. Raises `ValueError` for a text that is neither."""
    text = key.reveal()
    if "|" not in text:
        return None
    parts = tuple(text.split("|"))
    if len(parts) != PARTS or not all(parts):
        raise ValueError("the key has not three parts")
    return parts


def _grant(client: tuple[str, ...], host: str) -> Grant:
    tenant, id, secret = client
    login, scope = CLOUDS.get(host[-3:], PUBLIC_CLOUD)
    form = {"grant_type": "client_credentials", "client_id": id, "client_secret": secret, "scope": scope}
    digest = sha256("|".join((*client, scope)).encode()).hexdigest()[:16]
    return Grant(f"azure:{digest}", f"{login}/{quote(tenant, safe='-._~')}/oauth2/v2.0/token", lambda now: form)


AZURE = _Azure()
