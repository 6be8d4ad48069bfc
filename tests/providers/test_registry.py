"""The registry of providers, and what it says of each."""

import json
from pathlib import Path
from typing import Any

import pytest

from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import Fault, NoChannelAvailable, UpstreamError
from asgi_gateway.providers import PROVIDERS, Origin, parse_base_url, provider
from asgi_gateway.providers.services import SERVICES
from asgi_gateway.storage.records import Channel, Secret
from support.cloud_keys import service_account
from support.markdown import table

KEY = Secret("sk-canary")

DOCUMENTED = {
    ("openai", "openai_chat"): "https://api.openai.com/v1/chat/completions",
    ("openai", "openai_completions"): "https://api.openai.com/v1/completions",
    ("openai", "openai_embeddings"): "https://api.openai.com/v1/embeddings",
    ("openai", "openai_moderations"): "https://api.openai.com/v1/moderations",
    ("openai", "openai_responses"): "https://api.openai.com/v1/responses",
    ("openai", "openai_input_tokens"): "https://api.openai.com/v1/responses/input_tokens",
    ("anthropic", "anthropic_messages"): "https://api.anthropic.com/v1/messages",
    ("anthropic", "anthropic_count_tokens"): "https://api.anthropic.com/v1/messages/count_tokens",
    ("gemini", "google_generate"): "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent",
    ("gemini", "google_count_tokens"): "https://generativelanguage.googleapis.com/v1beta/models/m:countTokens",
    ("gemini", "openai_embeddings"): "https://generativelanguage.googleapis.com/v1beta/openai/embeddings",
    ("cohere", "cohere_chat"): "https://api.cohere.com/v2/chat",
    ("cohere", "openai_embeddings"): "https://api.cohere.com/compatibility/v1/embeddings",
    ("bedrock", "bedrock_converse"): "https://bedrock-runtime.eu-west-1.amazonaws.com/model/m/converse",
    ("alibaba", "openai_responses"): "https://dashscope.aliyuncs.com/compatible-mode/v1/responses",
    ("alibaba", "anthropic_messages"): "https://dashscope.aliyuncs.com/apps/anthropic/v1/messages",
    ("deepseek", "anthropic_messages"): "https://api.deepseek.com/anthropic/v1/messages",
    ("fireworks", "anthropic_messages"): "https://api.fireworks.ai/inference/v1/messages",
    ("fireworks", "openai_responses"): "https://api.fireworks.ai/inference/v1/responses",
    ("github_models", "openai_chat"): "https://models.github.ai/inference/chat/completions",
    ("groq", "openai_responses"): "https://api.groq.com/openai/v1/responses",
    ("lmstudio", "anthropic_messages"): "http://localhost:1234/v1/messages",
    ("minimax", "anthropic_messages"): "https://api.minimax.io/anthropic/v1/messages",
    ("moonshot", "anthropic_messages"): "https://api.moonshot.cn/anthropic/v1/messages",
    ("moonshot", "openai_responses"): "https://api.moonshot.cn/v1/responses",
    ("ollama", "anthropic_messages"): "http://localhost:11434/v1/messages",
    ("openrouter", "anthropic_messages"): "https://openrouter.ai/api/v1/messages",
    ("openrouter", "openai_responses"): "https://openrouter.ai/api/v1/responses",
    ("siliconflow", "anthropic_messages"): "https://api.siliconflow.cn/v1/messages",
    ("vllm", "anthropic_count_tokens"): "http://localhost:8000/v1/messages/count_tokens",
    ("volcengine", "openai_responses"): "https://ark.cn-beijing.volces.com/api/v3/responses",
    ("xai", "openai_responses"): "https://api.x.ai/v1/responses",
    ("zai", "anthropic_messages"): "https://api.z.ai/api/anthropic/v1/messages",
    ("zhipu", "anthropic_messages"): "https://open.bigmodel.cn/api/anthropic/v1/messages",
    ("alibaba", "openai_chat"): "https://dashscope.aliyuncs.com/compatible-mode/v1/chat/completions",
    ("alibaba", "openai_embeddings"): "https://dashscope.aliyuncs.com/compatible-mode/v1/embeddings",
    ("baidu", "openai_chat"): "https://qianfan.baidubce.com/v2/chat/completions",
    ("cerebras", "openai_chat"): "https://api.cerebras.ai/v1/chat/completions",
    ("deepinfra", "openai_chat"): "https://api.deepinfra.com/v1/openai/chat/completions",
    ("deepinfra", "openai_embeddings"): "https://api.deepinfra.com/v1/openai/embeddings",
    ("deepseek", "openai_chat"): "https://api.deepseek.com/v1/chat/completions",
    ("deepseek", "openai_completions"): "https://api.deepseek.com/beta/completions",
    ("fireworks", "openai_completions"): "https://api.fireworks.ai/inference/v1/completions",
    ("groq", "openai_chat"): "https://api.groq.com/openai/v1/chat/completions",
    ("huggingface", "openai_chat"): "https://router.huggingface.co/v1/chat/completions",
    ("mistral", "openai_embeddings"): "https://api.mistral.ai/v1/embeddings",
    ("ollama", "openai_chat"): "http://localhost:11434/v1/chat/completions",
    ("openrouter", "openai_chat"): "https://openrouter.ai/api/v1/chat/completions",
    ("perplexity", "openai_chat"): "https://api.perplexity.ai/chat/completions",
    ("perplexity", "openai_embeddings"): "https://api.perplexity.ai/v1/embeddings",
    ("together", "openai_completions"): "https://api.together.xyz/v1/completions",
    ("volcengine", "openai_chat"): "https://ark.cn-beijing.volces.com/api/v3/chat/completions",
    ("xai", "openai_chat"): "https://api.x.ai/v1/chat/completions",
    ("zai", "openai_chat"): "https://api.z.ai/api/paas/v4/chat/completions",
    ("zhipu", "openai_chat"): "https://open.bigmodel.cn/api/paas/v4/chat/completions",
}
"""Addresses as the vendors document them."""


def channel(name: str, base_url: str = "", **headers: str) -> Channel:
    return Channel(name="c", provider=name, keys=(KEY,), base_url=base_url, header_override=headers)


def key_of(name: str) -> Secret:
    if name == "vertex":
        pytest.importorskip("joserfc")
        return service_account()
    return Secret("sk-canary|eu-west-1") if name == "bedrock" else KEY


def url(name: str, dialect: str, base_url: str = "", model: str = "m", *, stream: bool = False) -> str:
    key = key_of(name)
    of = channel(name, base_url)
    endpoint = PROVIDERS[name].endpoint(of, key, SERVICES[dialect].operation, dialect, model, stream=stream)
    origin = endpoint.origin
    port = "" if origin.port == {"http": 80, "https": 443}[origin.scheme] else f":{origin.port}"
    return f"{origin.scheme}://{origin.host}{port}{endpoint.target.decode()}"


def test_the_registry_equals_its_documentation(root: Path) -> None:
    """Each provider stands in the reference with its address, version, dialects and whether it needs a key."""
    documented = table(root / "docs" / "reference" / "providers.md", "provider")
    assert [line["provider"].strip("`") for line in documented] == sorted(PROVIDERS)
    for line in documented:
        known: Any = PROVIDERS[line["provider"].strip("`")]
        assert line["base URL"].strip("`") == known.base_url
        assert line["version"].strip("`") == known.version
        assert line["dialects"] == ", ".join(f"`{dialect}`" for dialect in known.dialects)
        assert line["key"] == ("needed" if known.needs_key else "optional")


@pytest.mark.parametrize("name", PROVIDERS)
def test_each_provider_addresses_all_it_speaks(name: str) -> None:
    """Its default address can be parsed, and every dialect it names leads somewhere."""
    known = PROVIDERS[name]
    assert known.name == name
    assert known.dialects
    assert len(set(known.dialects)) == len(known.dialects)
    address = known.base_url.replace("{region}", "eu-west-1") or "https://example.org"
    assert not known.base_url or parse_base_url(address).version is None
    for dialect in known.dialects:
        assert url(name, dialect, "" if known.base_url else address).startswith(
            address.removesuffix(parse_base_url(address).path)
        )


@pytest.mark.parametrize(("name", "dialect"), DOCUMENTED)
def test_a_vendor_is_called_where_it_documents_itself(name: str, dialect: str) -> None:
    """Path quirks included."""
    assert url(name, dialect) == DOCUMENTED[name, dialect]


@pytest.mark.parametrize(
    ("name", "base_url", "called"),
    [
        ("openai", "http://127.0.0.1:9100", "http://127.0.0.1:9100/v1/chat/completions"),
        ("openai", "http://127.0.0.1:9100/v1", "http://127.0.0.1:9100/v1/chat/completions"),
        ("openai", "http://127.0.0.1:9100/v1/", "http://127.0.0.1:9100/v1/chat/completions"),
        ("openai", "https://proxy.example/team/v1", "https://proxy.example/team/v1/chat/completions"),
        ("openai", "https://open.bigmodel.cn/api/paas/v4", "https://open.bigmodel.cn/api/paas/v4/chat/completions"),
        ("zhipu", "https://proxy.example", "https://proxy.example/v4/chat/completions"),
        ("zhipu", "https://proxy.example/v1", "https://proxy.example/v1/chat/completions"),
        ("perplexity", "https://api.perplexity.ai/v1", "https://api.perplexity.ai/chat/completions"),
        ("ollama", "https://ollama.com/v1", "https://ollama.com/v1/chat/completions"),
        ("openai_compatible", "http://[::1]:8080", "http://::1:8080/v1/chat/completions"),
    ],
)
def test_a_channels_base_url_replaces_the_vendors(name: str, base_url: str, called: str) -> None:
    """With or without a version segment, which takes the place of the provider's."""
    assert url(name, "openai_chat", base_url) == called


@pytest.mark.parametrize(
    ("name", "dialect", "base_url", "called"),
    [
        (
            "alibaba",
            "anthropic_messages",
            "https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
            "/apps/anthropic/v1/messages",
        ),
        ("alibaba", "anthropic_messages", "https://dashscope-intl.aliyuncs.com", "/apps/anthropic/v1/messages"),
        ("deepseek", "anthropic_messages", "https://api.deepseek.com/v1", "/anthropic/v1/messages"),
        ("zhipu", "anthropic_messages", "https://proxy.example/team/api/paas/v4", "/team/api/anthropic/v1/messages"),
        ("new_api", "google_generate", "https://proxy.example/v1", "/v1beta/models/m:generateContent"),
        ("new_api", "anthropic_messages", "https://proxy.example", "/v1/messages"),
        (
            "cloudflare",
            "openai_chat",
            "https://api.cloudflare.com/client/v4/accounts/a1/ai",
            "/client/v4/accounts/a1/ai/v1/chat/completions",
        ),
        ("gemini", "google_generate", "https://proxy.example/v1", "/v1/models/m:generateContent"),
    ],
)
def test_a_path_of_its_own_stands_beside_the_vendors_usual_one(
    name: str, dialect: str, base_url: str, called: str
) -> None:
    """A channel's base URL may have the vendor's own path or not."""
    assert "/" + url(name, dialect, base_url).split("/", 3)[3] == called


@pytest.mark.parametrize(
    ("name", "dialect", "model", "called"),
    [
        ("gemini", "google_generate", "models/gemini-x", "/v1beta/models/gemini-x:streamGenerateContent?alt=sse"),
        ("gemini", "google_generate", "a b/c?d#e", "/v1beta/models/a%20b%2Fc%3Fd%23e:streamGenerateContent?alt=sse"),
        ("bedrock", "bedrock_converse", "a.b-v1:0", "/model/a.b-v1%3A0/converse-stream"),
        ("new_api", "google_generate", "m", "/v1beta/models/m:streamGenerateContent?alt=sse"),
        ("openai", "openai_chat", "m", "/v1/chat/completions"),
    ],
)
def test_a_model_in_the_path_is_one_segment_and_a_stream_may_be_another_path(
    name: str, dialect: str, model: str, called: str
) -> None:
    """No name of a model leads elsewhere."""
    base_url = "" if PROVIDERS[name].base_url else "https://example.org"
    assert "/" + url(name, dialect, base_url, model, stream=True).split("/", 3)[3] == called


@pytest.mark.parametrize(
    ("name", "dialect", "key", "sent"),
    [
        ("anthropic", "anthropic_messages", "sk-ant-api03-x", {b"x-api-key": b"sk-ant-api03-x"}),
        (
            "anthropic",
            "anthropic_count_tokens",
            "sk-ant-oat01-x",
            {b"authorization": b"Bearer sk-ant-oat01-x", b"anthropic-beta": b"oauth-2025-04-20"},
        ),
        ("gemini", "google_generate", "AIza-x", {b"x-goog-api-key": b"AIza-x"}),
        ("gemini", "openai_embeddings", "AIza-x", {b"authorization": b"Bearer AIza-x"}),
        ("cohere", "cohere_chat", "co-x", {b"authorization": b"Bearer co-x"}),
        ("openai", "openai_responses", "sk-x", {b"authorization": b"Bearer sk-x"}),
        ("openrouter", "anthropic_messages", "sk-or-x", {b"authorization": b"Bearer sk-or-x"}),
        ("deepseek", "anthropic_messages", "sk-x", {b"x-api-key": b"sk-x"}),
    ],
)
def test_a_key_is_sent_as_the_dialect_and_the_vendor_want_it(
    name: str, dialect: str, key: str, sent: dict[bytes, bytes]
) -> None:
    """In one header, and with the version that Anthropic's format asks for."""
    endpoint = PROVIDERS[name].endpoint(channel(name), Secret(key), SERVICES[dialect].operation, dialect, "m")
    version = {b"anthropic-version": b"2023-06-01"} if dialect.startswith("anthropic") else {}
    assert dict(endpoint.headers) == {b"content-type": b"application/json", **version, **sent}


@pytest.mark.parametrize(
    ("name", "model", "chat"),
    [
        ("openai", "gpt-4o", {"openai_chat", "openai_responses"}),
        ("openai", "gpt-4o-audio-preview", {"openai_chat"}),
        ("openai", "gpt-5-codex", {"openai_responses"}),
        ("openai", "O3-Pro", {"openai_responses"}),
        ("azure", "gpt-5-pro", {"openai_responses"}),
        ("azure", "my-deployment", {"openai_chat", "openai_responses"}),
        ("azure", "claude-sonnet-4-5", {"anthropic_messages"}),
        ("vertex", "claude-opus-4-1@20250805", {"anthropic_messages"}),
        ("vertex", "gemini-2.5-pro", {"google_generate"}),
        ("vertex", "meta/llama-4-maas", {"openai_chat"}),
        ("bedrock", "any", {"bedrock_converse"}),
    ],
)
def test_some_models_are_served_in_some_dialects_only(name: str, model: str, chat: set[str]) -> None:
    """As their makers document."""
    spoken = PROVIDERS[name].dialects_for(model)
    assert {dialect for dialect in spoken if SERVICES[dialect].operation is Operation.CHAT} == chat
    assert set(spoken) <= set(PROVIDERS[name].dialects)


def test_an_endpoint_is_authenticated() -> None:
    """By the channel's key, and with the channel's own headers last."""
    endpoint = PROVIDERS["openai"].endpoint(channel("openai", **{"X-A": "1"}), KEY, Operation.CHAT, "openai_chat", "m")
    assert endpoint.method == "POST"
    assert endpoint.origin == Origin("https", "api.openai.com", 443)
    assert dict(endpoint.headers) == {
        b"authorization": b"Bearer sk-canary",
        b"content-type": b"application/json",
        b"x-a": b"1",
    }


@pytest.mark.parametrize(
    ("name", "operation", "dialect"),
    [
        ("groq", Operation.EMBEDDING, "openai_embeddings"),
        ("openai", Operation.EMBEDDING, "openai_chat"),
        ("openai", Operation.REALTIME, "openai_chat"),
        ("openai", Operation.CHAT, "anthropic_messages"),
        ("openai", Operation.CHAT, "no_dialect"),
    ],
)
def test_what_a_vendor_does_not_offer_is_refused(name: str, operation: Operation, dialect: str) -> None:
    """So that routing can look for another channel."""
    with pytest.raises(NoChannelAvailable, match="operation"):
        PROVIDERS[name].endpoint(channel(name), KEY, operation, dialect, "m")


@pytest.mark.parametrize(
    ("broken", "key"),
    [
        (channel("openai", "https://user:canary@example.org"), KEY),
        (channel("openai_compatible"), KEY),
        (channel("openai", host="canary"), KEY),
        (channel("openai"), Secret("canary\n")),
    ],
)
def test_a_misconfigured_channel_is_refused_without_showing_it(broken: Channel, key: Secret) -> None:
    """What `check` would have told, for channels that came another way."""
    with pytest.raises(NoChannelAvailable, match="misconfigured") as refused:
        PROVIDERS[broken.provider].endpoint(broken, key, Operation.CHAT, "openai_chat", "m")
    assert "canary" not in f"{refused.value!r} {refused.value.__cause__!r}"


def test_a_provider_is_found_by_name_or_suggested() -> None:
    """A slip of the pen gets its nearest name, anything else the list."""
    assert provider("groq").name == "groq"
    with pytest.raises(ValueError, match="did you mean 'openai'"):
        provider("OpenAl")
    with pytest.raises(ValueError, match="there are ai360, aigc2d"):
        provider("zzz")


def read(name: str, status: int, **error: str) -> UpstreamError:
    body = json.dumps({"error": error}).encode()
    return PROVIDERS[name].read_error("openai_chat", status, {b"content-type": b"application/json"}, body)


@pytest.mark.parametrize(
    ("name", "status", "error", "seen"),
    [
        ("openai", 400, {"message": "Incorrect API key provided"}, (Fault.CALLER, 400)),
        ("xai", 400, {"message": "Incorrect API key provided. See the console."}, (Fault.CHANNEL, 502)),
        ("openai", 403, {"message": "Your input was flagged"}, (Fault.CHANNEL, 502)),
        ("openrouter", 403, {"message": "Your input was flagged for it"}, (Fault.CALLER, 403)),
        ("openai", 400, {"code": "model_not_found", "message": "no"}, (Fault.CHANNEL, 503)),
        ("openai", 429, {"type": "insufficient_quota", "message": "no"}, (Fault.CHANNEL, 429)),
        ("openai", 503, {"message": "overloaded"}, (Fault.UPSTREAM, 503)),
        ("openai", 302, {"message": "elsewhere"}, (Fault.UPSTREAM, 502)),
    ],
)
def test_an_error_is_read_by_the_dialect_and_judged_by_the_provider(
    name: str, status: int, error: dict[str, str], seen: tuple[Fault, int]
) -> None:
    """Each with the quirks of its vendor."""
    found = read(name, status, **error)
    assert (found.fault, found.status) == seen
    assert found.original_status == status


def test_a_wish_to_be_left_alone_reaches_caller_and_record() -> None:
    """With the upstream's own text, which keeps no key."""
    body = b'{"error": {"message": "slow down, sk-canary1234567", "type": "tokens", "code": "rate_limit_exceeded"}}'
    error = PROVIDERS["openai"].read_error("openai_chat", 429, {b"retry-after": b"20"}, body)
    assert (error.status, error.type, error.code, error.retry_after) == (429, "tokens", "rate_limit_exceeded", 20.0)
    assert error.headers == ((b"retry-after", b"20"),)
    assert error.message.startswith("slow down")
    assert "canary" not in error.message
