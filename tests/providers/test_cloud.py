"""Vendors whose requests are granted or signed: Vertex, Azure, Bedrock."""

import sys
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from asgi_gateway.errors import Fault, NoChannelAvailable
from asgi_gateway.providers import PROVIDERS, check_channel
from asgi_gateway.providers.contract import Endpoint
from asgi_gateway.providers.services import SERVICES
from asgi_gateway.storage.records import Channel, Secret
from support.cloud_keys import private_key, service_account

pytest.importorskip("joserfc")
pytest.importorskip("botocore")

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ENTRA = "11111111-2222-3333-4444-555555555555|client-canary|secret-canary"
BASES = {"azure": "https://acme.openai.azure.com"}


def a_channel(name: str, key: str | Secret, base_url: str = "", **fields: Any) -> Channel:
    secret = key if isinstance(key, Secret) else Secret(key)
    return Channel(name="c", provider=name, keys=(secret,), base_url=base_url or BASES.get(name, ""), **fields)


def endpoint(
    name: str,
    key: str | Secret,
    dialect: str,
    model: str = "m",
    base_url: str = "",
    stream: bool = False,
    **fields: Any,
) -> Endpoint:
    of = a_channel(name, key, base_url, **fields)
    return PROVIDERS[name].endpoint(of, of.keys[0], SERVICES[dialect].operation, dialect, model, stream=stream)


def address(of: Endpoint) -> str:
    return of.origin.host + of.target.decode()


PROJECT = "/v1/projects/acme-1/locations"


@pytest.mark.parametrize(
    ("base_url", "dialect", "model", "stream", "called"),
    [
        ("", "google_generate", "gemini-x", False,
         f"aiplatform.googleapis.com{PROJECT}/global/publishers/google/models/gemini-x:generateContent"),
        ("https://us-east5-aiplatform.googleapis.com", "google_generate", "gemini-x", True,
         f"us-east5-aiplatform.googleapis.com{PROJECT}/us-east5/publishers/google/models/gemini-x:streamGenerateContent"
         "?alt=sse"),
        ("https://aiplatform.eu.rep.googleapis.com/v1beta1", "google_count_tokens", "gemini-x", False,
         "aiplatform.eu.rep.googleapis.com/v1beta1/projects/acme-1/locations/eu/publishers/google/models/gemini-x"
         ":countTokens"),
        ("", "anthropic_messages", "claude-opus-4-1@20250805", False,
         f"aiplatform.googleapis.com{PROJECT}/global/publishers/anthropic/models/claude-opus-4-1@20250805:rawPredict"),
        ("", "anthropic_messages", "claude-x", True,
         f"aiplatform.googleapis.com{PROJECT}/global/publishers/anthropic/models/claude-x:streamRawPredict"),
        ("", "anthropic_count_tokens", "claude-x", False,
         f"aiplatform.googleapis.com{PROJECT}/global/publishers/anthropic/models/count-tokens:rawPredict"),
        ("", "openai_chat", "meta/llama", True,
         f"aiplatform.googleapis.com{PROJECT}/global/endpoints/openapi/chat/completions"),
        ("https://proxy.example/v1/projects/other/locations/europe-west4", "google_generate", "g", False,
         "proxy.example/v1/projects/other/locations/europe-west4/publishers/google/models/g:generateContent"),
    ],
)  # fmt: skip
def test_vertex_is_addressed_by_project_and_region(
    base_url: str, dialect: str, model: str, stream: bool, called: str
) -> None:
    """The project is the account's, the region the base URL's; or that names both."""
    assert address(endpoint("vertex", service_account(), dialect, model, base_url, stream)) == called


def test_an_account_of_vertex_signs_for_its_token() -> None:
    """By RFC 7523; nothing of the key stands in headers or in the grant's name."""
    from joserfc import jwt
    from joserfc.jwk import RSAKey

    of = endpoint("vertex", service_account(), "google_generate")
    assert dict(of.headers) == {b"content-type": b"application/json"}
    assert of.grant is not None
    assert of.grant.url == "https://oauth2.googleapis.com/token"
    assert of.grant.name.startswith("vertex:")
    form = of.grant.form(NOW.timestamp())
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    signed = jwt.decode(form["assertion"], RSAKey.import_key(private_key()), algorithms=["RS256"])
    assert signed.header == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
    assert signed.claims == {
        "iss": "robot@acme-1.iam.gserviceaccount.com",
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": "https://oauth2.googleapis.com/token",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 3600,
    }
    assert endpoint("vertex", service_account(private_key_id=None), "google_generate").grant is not None


def test_an_api_key_of_vertex_is_for_gemini_alone_unless_a_project_is_named() -> None:
    """Express mode has no projects."""
    of = endpoint("vertex", "AQ.canary", "google_generate", "gemini-x")
    assert address(of) == "aiplatform.googleapis.com/v1/publishers/google/models/gemini-x:generateContent"
    assert (b"x-goog-api-key", b"AQ.canary") in of.headers
    assert of.grant is None
    with pytest.raises(NoChannelAvailable, match="misconfigured"):
        endpoint("vertex", "AQ.canary", "anthropic_messages", "claude-x")
    named = "https://us-east5-aiplatform.googleapis.com/v1/projects/p/locations/us-east5"
    assert b"/projects/p/" in endpoint("vertex", "AQ.canary", "anthropic_messages", "claude-x", named).target
    with pytest.raises(NoChannelAvailable, match="misconfigured"):
        endpoint("vertex", service_account(project_id=None), "anthropic_messages", "claude-x")


def test_claude_at_vertex_wants_its_version_in_the_body() -> None:
    """And the model of a message in the path alone; a count keeps it."""
    overrides = PROVIDERS["vertex"].overrides
    assert dict(overrides("anthropic_messages", "claude-x")) == {
        "anthropic_version": "vertex-2023-10-16",
        "model": None,
    }
    assert dict(overrides("anthropic_count_tokens", "claude-x")) == {"anthropic_version": "vertex-2023-10-16"}
    assert overrides("google_generate", "g") == {}
    assert PROVIDERS["azure"].overrides("openai_chat", "m") == PROVIDERS["bedrock"].overrides("x", "m") == {}


@pytest.mark.parametrize(
    ("base_url", "version", "dialect", "model", "called"),
    [
        ("", "", "openai_chat", "my gpt", "/openai/deployments/my%20gpt/chat/completions?api-version=2024-10-21"),
        ("/openai", "2025-04-01-preview", "openai_embeddings", "e",
         "/openai/deployments/e/embeddings?api-version=2025-04-01-preview"),
        ("/openai/v1", "", "openai_chat", "m", "/openai/v1/chat/completions"),
        ("/openai/v1", "2024-10-21", "openai_chat", "m", "/openai/v1/chat/completions"),
        ("/v1", "preview", "openai_chat", "m", "/openai/v1/chat/completions?api-version=preview"),
        ("", "2024-10-21", "openai_responses", "m", "/openai/v1/responses"),
        ("", "", "anthropic_messages", "claude-x", "/anthropic/v1/messages"),
        ("/anthropic", "", "anthropic_messages", "claude-x", "/anthropic/v1/messages"),
    ],
)  # fmt: skip
def test_azure_is_addressed_by_deployment_or_by_its_v1_interface(
    base_url: str, version: str, dialect: str, model: str, called: str
) -> None:
    """The version of the interface is the channel's, else the usual one; the v1 interface needs none."""
    base = "https://acme.openai.azure.com" + base_url
    of = endpoint("azure", "key-canary", dialect, model, base, api_version=version)
    assert of.target.decode() == called
    name = b"x-api-key" if dialect == "anthropic_messages" else b"api-key"
    assert (name, b"key-canary") in of.headers
    assert of.grant is None


@pytest.mark.parametrize(
    ("host", "login", "scope"),
    [
        ("acme.openai.azure.com", "login.microsoftonline.com", "https://cognitiveservices.azure.com/.default"),
        ("acme.openai.azure.us", "login.microsoftonline.us", "https://cognitiveservices.azure.us/.default"),
        ("acme.openai.azure.cn", "login.partner.microsoftonline.cn", "https://cognitiveservices.azure.cn/.default"),
    ],
)
def test_a_client_of_azure_is_granted_a_token(host: str, login: str, scope: str) -> None:
    """By its cloud's own sign-in; no key is sent."""
    of = endpoint("azure", ENTRA, "openai_chat", base_url=f"https://{host}")
    assert dict(of.headers) == {b"content-type": b"application/json"}
    assert of.grant is not None
    assert of.grant.url == f"https://{login}/11111111-2222-3333-4444-555555555555/oauth2/v2.0/token"
    assert of.grant.form(0.0) == {
        "grant_type": "client_credentials",
        "client_id": "client-canary",
        "client_secret": "secret-canary",
        "scope": scope,
    }
    assert "canary" not in repr(of)


@pytest.mark.parametrize(
    ("key", "base_url", "host", "target"),
    [
        ("AKID|secret-canary|us-east-1", "", "bedrock-runtime.us-east-1.amazonaws.com", b"/model/a.b%3A0/converse"),
        (
            "AKID|secret-canary|cn-north-1",
            "",
            "bedrock-runtime.cn-north-1.amazonaws.com.cn",
            b"/model/a.b%3A0/converse",
        ),
        ("AKID|secret-canary|us-east-1", "http://127.0.0.1:9/x", "127.0.0.1", b"/x/model/a.b%3A0/converse"),
    ],
)
def test_a_request_to_bedrock_is_signed_as_botocore_signs_it(key: str, base_url: str, host: str, target: bytes) -> None:
    """Signature Version 4 over method, path, date and body; the region tells the address."""
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    of = endpoint("bedrock", key, "bedrock_converse", "a.b:0", base_url)
    assert (of.origin.host, of.target) == (host, target)
    assert dict(of.headers) == {b"content-type": b"application/json"}
    assert of.sign is not None
    body = b'{"messages": []}'
    signed = dict(of.sign(of, body, NOW))
    assert signed[b"x-amz-date"] == b"20260102T030405Z"

    access, secret, region = key.split("|")
    auth = SigV4Auth(Credentials(access, secret), "bedrock", region)
    request = AWSRequest("POST", (base_url.removesuffix("/x") or f"https://{host}") + target.decode(), data=body)
    auth.add_auth(request)  # by its own clock
    then = datetime.strptime(request.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    assert dict(of.sign(of, body, then))[b"authorization"].decode() == request.headers["Authorization"]
    assert dict(of.sign(of, body + b" ", NOW))[b"authorization"] != signed[b"authorization"]
    assert "canary" not in repr(of)


def test_an_api_key_of_bedrock_is_a_bearer_token() -> None:
    """The part before the region."""
    of = endpoint("bedrock", "bedrock-api-key-canary|eu-west-1", "bedrock_converse")
    assert of.origin.host == "bedrock-runtime.eu-west-1.amazonaws.com"
    assert (b"authorization", b"Bearer bedrock-api-key-canary") in of.headers
    assert of.sign is None


@pytest.mark.parametrize(
    ("name", "key", "mistake"),
    [
        ("vertex", service_account(), None),
        ("vertex", "AQ.canary", None),
        ("vertex", "AQ canary", "has characters other than visible ASCII"),
        ("vertex", '{"canary', "is no service account's JSON"),
        ("vertex", '{"client_email": 1, "private_key": "canary"}', "is no service account's JSON"),
        ("vertex", service_account(private_key="canary"), "has no usable private key"),
        ("vertex", service_account(token_uri="ftp://canary"), "http"),
        ("azure", "canary", None),
        ("azure", ENTRA, None),
        ("azure", "a|canary", "is neither a key nor of the form TENANT|CLIENT|SECRET"),
        ("azure", "a||canary", "is neither a key nor of the form TENANT|CLIENT|SECRET"),
        ("azure", "a b", "has characters other than visible ASCII"),
        ("bedrock", "AKID|canary|us-east-1", None),
        ("bedrock", "canary|us-east-1", None),
        ("bedrock", "canary", "ACCESS_KEY|SECRET_KEY|REGION"),
        ("bedrock", "AKID|canary|", "ACCESS_KEY|SECRET_KEY|REGION"),
        ("bedrock", "AKID|canary|evil.org/", "region"),
        ("bedrock", "AKID|can ary|us-east-1", "has characters other than visible ASCII"),
    ],
)
def test_each_vendor_knows_the_forms_of_its_keys(name: str, key: str | Secret, mistake: str | None) -> None:
    """`check` names the field and the reason, and shows nothing of the key; such a channel is never called."""
    of = a_channel(name, key)
    found = check_channel(of)
    assert len(found) == (mistake is not None)
    if mistake is not None:
        assert found[0].startswith("keys: key 1 ")
        assert mistake in found[0]
        assert "canary" not in found[0]
        dialect = PROVIDERS[name].dialects[0]
        if "token_uri" not in of.keys[0].reveal() or "ftp" not in of.keys[0].reveal():
            with pytest.raises(NoChannelAvailable, match="misconfigured") as refused:
                endpoint(name, key, dialect)
            assert "canary" not in f"{refused.value!r} {refused.value.__cause__!r}"


@pytest.mark.parametrize(
    ("package", "name", "key"),
    [("joserfc", "vertex", service_account()), ("botocore.auth", "bedrock", "AKID|canary|us-east-1")],
)
def test_a_missing_package_names_its_extra(
    package: str, name: str, key: str | Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it is checked, and where it would be used."""
    monkeypatch.setitem(sys.modules, package, None)
    (mistake,) = check_channel(a_channel(name, key))
    assert f"asgi-gateway[{name}]" in mistake
    with pytest.raises(NoChannelAvailable, match="misconfigured"):
        endpoint(name, key, PROVIDERS[name].dialects[0])


def test_azure_needs_an_address_and_bedrock_none() -> None:
    """A resource's address is its own; a region tells Bedrock's."""
    of = replace(a_channel("azure", "k"), base_url="")
    assert check_channel(of) == ["base_url: is missing: 'azure' has no address of its own"]
    assert check_channel(a_channel("bedrock", "k|us-east-1")) == []


@pytest.mark.parametrize(
    ("status", "kind", "message", "seen"),
    [
        (
            403,
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            (Fault.CHANNEL, 502),
        ),
        (403, "AccessDeniedException", "You don't have access to the model", (Fault.CHANNEL, 502)),
        (400, "ValidationException", "The provided model identifier is invalid.", (Fault.CHANNEL, 503)),
        (400, "ValidationException", "Invocation with on-demand throughput isn't supported.", (Fault.CHANNEL, 503)),
        (400, "ValidationException", "messages: at least one is needed", (Fault.CALLER, 400)),
        (404, "ResourceNotFoundException", "no such model", (Fault.CHANNEL, 503)),
        (400, "ServiceQuotaExceededException", "too much", (Fault.UPSTREAM, 429)),
        (429, "ThrottlingException", "slow down", (Fault.UPSTREAM, 429)),
        (500, "InternalServerException", "oh", (Fault.UPSTREAM, 500)),
        (302, "", "elsewhere", (Fault.UPSTREAM, 502)),
    ],
)
def test_errors_of_bedrock_are_judged(status: int, kind: str, message: str, seen: tuple[Fault, int]) -> None:
    """By the exception, its text, and the status."""
    body = b'{"message": "%s"}' % message.encode()
    headers = {b"x-amzn-errortype": kind.encode()}
    error = PROVIDERS["bedrock"].read_error("bedrock_converse", status, headers, body)
    assert (error.fault, error.status) == seen
    assert error.original_status == status


@pytest.mark.parametrize(
    ("name", "dialect", "status", "body", "seen"),
    [
        ("vertex", "google_generate", 403, b'{"error": {"code": 403, "message": "no", "status": "PERMISSION_DENIED"}}',
         (Fault.CHANNEL, 502)),
        ("gemini", "google_generate", 400, b'{"error": {"code": 400, "message": "API key not valid."}}',
         (Fault.CHANNEL, 502)),
        ("gemini", "google_generate", 400, b'{"error": {"code": 400, "message": "x", "details": [{"@type": '
         b'"type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}}', (Fault.CHANNEL, 502)),
        ("gemini", "google_generate", 400, b'{"error": {"code": 400, "message": "bad contents"}}', (Fault.CALLER, 400)),
        ("azure", "openai_chat", 404, b'{"error": {"code": "DeploymentNotFound", "message": "no"}}',
         (Fault.CHANNEL, 503)),
        ("cohere", "cohere_chat", 401, b'{"message": "invalid api token"}', (Fault.CHANNEL, 502)),
    ],
)  # fmt: skip
def test_errors_of_others_are_judged(
    name: str, dialect: str, status: int, body: bytes, seen: tuple[Fault, int]
) -> None:
    """Each in the dialect it was asked in."""
    error = PROVIDERS[name].read_error(dialect, status, {}, body)
    assert (error.fault, error.status) == seen
