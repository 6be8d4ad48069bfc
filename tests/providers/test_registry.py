"""The registry of providers, and what it says of each."""

import json
from pathlib import Path

import pytest

from asgi_gateway.dialects.contract import Operation
from asgi_gateway.errors import Fault, NoChannelAvailable, UpstreamError
from asgi_gateway.providers import PROVIDERS, Origin, Vendor, parse_base_url, provider
from asgi_gateway.providers.services import SERVICES
from asgi_gateway.storage.records import Channel, Secret
from support.markdown import table

KEY = Secret("sk-canary")

DOCUMENTED = {
    ("openai", "openai_chat"): "https://api.openai.com/v1/chat/completions",
    ("openai", "openai_completions"): "https://api.openai.com/v1/completions",
    ("openai", "openai_embeddings"): "https://api.openai.com/v1/embeddings",
    ("openai", "openai_moderations"): "https://api.openai.com/v1/moderations",
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


def url(name: str, dialect: str, base_url: str = "") -> str:
    endpoint = PROVIDERS[name].endpoint(channel(name, base_url), KEY, SERVICES[dialect].operation, dialect, "m")
    origin = endpoint.origin
    port = "" if origin.port == {"http": 80, "https": 443}[origin.scheme] else f":{origin.port}"
    return f"{origin.scheme}://{origin.host}{port}{endpoint.target.decode()}"


def row(name: str) -> Vendor:
    found = PROVIDERS[name]
    assert isinstance(found, Vendor)
    return found


def test_the_registry_equals_its_documentation(root: Path) -> None:
    """Each provider stands in the reference with its address, version, dialects and whether it needs a key."""
    documented = table(root / "docs" / "reference" / "providers.md", "provider")
    assert [line["provider"].strip("`") for line in documented] == sorted(PROVIDERS)
    for line in documented:
        known = row(line["provider"].strip("`"))
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
    assert not known.base_url or parse_base_url(known.base_url).version is None
    for dialect in known.dialects:
        assert url(name, dialect, "" if known.base_url else "https://example.org").startswith(
            known.base_url or "https://example.org"
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
    with pytest.raises(ValueError, match="there are alibaba, anthropic"):
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
