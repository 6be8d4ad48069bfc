"""Google's Vertex AI: Gemini, Claude, and what it serves in OpenAI's format.

- Gemini: https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference
- Claude: https://docs.anthropic.com/en/api/claude-on-vertex-ai: the model stands in the path, the version in the body
- others (`publisher/model`): https://docs.cloud.google.com/vertex-ai/generative-ai/docs/maas/call-open-model-apis

A key is a service account's JSON, or an API key. A service account signs for a token by itself (RFC 7523; extra
`vertex`); the project is its own. Region: the base URL's, as `https://us-east5-aiplatform.googleapis.com`, else global.
A base URL that ends in `/projects/PROJECT/locations/REGION` names both. An API key without that is for Gemini alone
(express mode).
"""

import re
from collections.abc import Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import Any
from urllib.parse import quote

import msgspec
from msgspec import Struct

from asgi_gateway.dialects import DIALECTS
from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import NoChannelAvailable, UpstreamError
from asgi_gateway.providers.address import Address, parse_base_url
from asgi_gateway.providers.contract import Endpoint, Grant
from asgi_gateway.providers.faults import Quirks, judge
from asgi_gateway.providers.headers import google_key, key_mistake, request_headers
from asgi_gateway.providers.services import fill
from asgi_gateway.providers.vendor import NO_OVERRIDES, service
from asgi_gateway.storage.records import Channel, Secret

__all__ = ["VERTEX"]

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
TOKEN_URI = "https://oauth2.googleapis.com/token"

GOOGLE = ("google_generate", "google_count_tokens")
CLAUDE = ("anthropic_messages", "anthropic_count_tokens")
OPEN = ("openai_chat",)

PATHS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "google_generate": (
            "/publishers/google/models/{model}:generateContent",
            "/publishers/google/models/{model}:streamGenerateContent?alt=sse",
        ),
        "google_count_tokens": ("/publishers/google/models/{model}:countTokens", ""),
        "anthropic_messages": (
            "/publishers/anthropic/models/{model}:rawPredict",
            "/publishers/anthropic/models/{model}:streamRawPredict",
        ),
        "anthropic_count_tokens": ("/publishers/anthropic/models/count-tokens:rawPredict", ""),
        "openai_chat": ("/endpoints/openapi/chat/completions", ""),
    }
)
"""By dialect: the path below project and region, and that for a stream where it differs."""

OVERRIDES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "anthropic_messages": MappingProxyType({"anthropic_version": "vertex-2023-10-16", "model": None}),
        "anthropic_count_tokens": MappingProxyType({"anthropic_version": "vertex-2023-10-16"}),
    }
)

PLACE = re.compile(r"/projects/[^/]+/locations/[^/]+$")
REGIONAL = re.compile(r"([a-z0-9-]+)-aiplatform\.googleapis\.com")
MULTI_REGION = re.compile(r"aiplatform\.([a-z]+)\.rep\.googleapis\.com")

QUIRKS = Quirks(channel=("api key not valid", "api key expired"))

EXTRA = "needs the package joserfc: pip install 'asgi-gateway[vertex]'"


class _Account(Struct, frozen=True):
    """A service account's key file, as far as it is used."""

    client_email: str
    private_key: str
    private_key_id: str = ""
    project_id: str = ""
    token_uri: str = TOKEN_URI


class _Vertex:
    name = "vertex"
    base_url = "https://aiplatform.googleapis.com"
    version = "/v1"
    dialects = (*GOOGLE, *CLAUDE, *OPEN)
    needs_key = True

    def endpoint(
        self, channel: Channel, key: Secret, operation: Operation, dialect: str, model: str, *, stream: bool = False
    ) -> Endpoint:
        """Address an operation.

        Raises `NoChannelAvailable` for what is not offered, and for a channel that `check` would refuse.
        """
        service(self.dialects, operation, dialect)
        try:
            address = parse_base_url(channel.base_url or self.base_url)
            account = _account(key)
            grant = None if account is None else _grant(account, key)
            sent = key if account is None else Secret("")
            headers = request_headers(sent, channel.header_override, google_key)
        except ValueError as mistake:
            raise NoChannelAvailable("The channel for the model is misconfigured.") from mistake
        place = _place(address, account)
        if place is None:
            if dialect not in GOOGLE:
                raise NoChannelAvailable("The channel for the model is misconfigured.")
            place = address.path + (address.version or self.version)
        plain, streamed = PATHS[dialect]
        target = place + fill((stream and streamed) or plain, model)
        return Endpoint("POST", address.origin, target.encode("ascii"), headers, grant)

    def dialects_for(self, model: str) -> tuple[str, ...]:
        """By the model's name: each maker's models are served in its own format."""
        if model.lower().startswith("claude"):
            return CLAUDE
        return OPEN if "/" in model else GOOGLE

    def overrides(self, dialect: str, model: str) -> Mapping[str, Any]:
        """Anthropic's version; the model of a message stands in the path alone."""
        return OVERRIDES.get(dialect, NO_OVERRIDES)

    def key_mistake(self, key: Secret) -> str | None:
        """A service account's JSON must be whole, and its private key usable."""
        if not key.reveal().lstrip().startswith("{"):
            return key_mistake(key)
        try:
            account = _account(key)
            assert account is not None
            _signature(account, 0.0)
            parse_base_url(account.token_uri)
        except ValueError as mistake:
            return str(mistake)
        return None

    def read_error(self, dialect: str, status: int, headers: Mapping[bytes, bytes], body: bytes) -> UpstreamError:
        """An error answer, its fault judged."""
        return judge(DIALECTS[dialect].read_error(status, headers, body), status, QUIRKS)


def _account(key: Secret) -> _Account | None:
    """The service account, or None for an API key. Raises `ValueError` for JSON that is none."""
    text = key.reveal()
    if not text.lstrip().startswith("{"):
        return None
    try:
        return msgspec.json.decode(text, type=_Account)
    except (msgspec.DecodeError, UnicodeEncodeError):
        pass  # what the decoder says may quote the key
    raise ValueError("is no service account's JSON: it needs client_email and private_key")


def _grant(account: _Account, key: Secret) -> Grant:
    _signature(account, 0.0)  # a key that cannot sign is found here, not at the first request

    def form(now: float) -> Mapping[str, str]:
        return {
            "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
            "assertion": _signature(account, now),
        }

    return Grant("vertex:" + sha256(key.reveal().encode()).hexdigest()[:16], account.token_uri, form)


def _signature(account: _Account, now: float) -> str:
    """A signed claim of the account (RFC 7523, section 3). Raises `ValueError` where it cannot be made."""
    try:
        from joserfc import jwk, jwt
        from joserfc.errors import JoseError
    except ImportError:
        raise ValueError(EXTRA) from None
    header = {"alg": "RS256", "typ": "JWT"}
    if account.private_key_id:
        header["kid"] = account.private_key_id
    claims = {
        "iss": account.client_email,
        "scope": SCOPE,
        "aud": account.token_uri,
        "iat": int(now),
        "exp": int(now) + 3600,
    }
    try:
        return jwt.encode(header, claims, jwk.RSAKey.import_key(account.private_key))
    except (JoseError, ValueError, TypeError):
        pass  # what is said may quote the key
    raise ValueError("has no usable private key: it must be RSA, in PEM")


def _place(address: Address, account: _Account | None) -> str | None:
    """The path of project and region, or None where nothing tells the project."""
    if PLACE.search(address.path):
        return address.path
    if account is None or not account.project_id:
        return None
    host = address.origin.host
    found = REGIONAL.fullmatch(host) or MULTI_REGION.fullmatch(host)
    region = found.group(1) if found else "global"
    project = quote(account.project_id, safe="-._~:")
    return f"{address.path}{address.version or '/v1'}/projects/{project}/locations/{region}"


VERTEX = _Vertex()
