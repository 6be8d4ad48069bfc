"""What is taken out of an upstream's error text."""

import pytest

from asgi_gateway.dialects.masking import LIMIT, mask


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("Incorrect API key provided: sk-proj-Abc123def456. Try again.", "sk-proj-Abc123def456"),
        ("Invalid api_key=topsecret, sorry", "topsecret"),
        ("x-api-key: letmein", "letmein"),
        ("header was Bearer abc.def-ghi", "abc.def-ghi"),
        ("key AIzaSyD-1234567890abcdefg failed", "AIzaSyD"),
        ("token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc", "eyJ"),
        ("subscription 0123456789abcdef0123456789ABCDEF", "0123456789"),
        ("in organization org-AbCdEf123 on tokens", "AbCdEf123"),
        ("see https://example.com/path?key=1.", "example.com"),
        ("wss://10.0.0.1/x is away", "10.0.0.1"),
        ("dial tcp 192.168.3.17:8443: refused", "192.168.3.17"),
        ("dial tcp [2001:db8:0:0:0:0:0:1]:443", "2001"),
        ("dial tcp [fe80::1]:443", "fe80"),
        ("no route to ::1", "::1"),
        ("localhost:11434 is away", "11434"),
        ("lookup api.vendor.internal: no such host", "vendor"),
        ("vllm-worker:8000 did not answer", "vllm-worker"),
        ("mail admin@corp.example.com", "admin"),
    ],
)
def test_secrets_and_addresses_do_not_stay(text: str, secret: str) -> None:
    """The text stays readable, the secret does not."""
    masked = mask(text)
    assert secret not in masked
    assert "***" in masked


@pytest.mark.parametrize(
    "text",
    [
        "The model `gpt-3.5-turbo-0613` does not exist or you do not have access to it.",
        "Unsupported value: 'messages[0].role' does not support 'developer' with this model.",
        "parameters for tool get_something_by_name did not match schema: errors: [missing properties: 'name']",
        "meta-llama/Llama-3.1-8B-Instruct, qwen2.5:7b and std::vector at 12:34:56, e.g. v1.2.3",
        "ref: 96164522-08b2-4cbf-886e-e5a38961a688",
        "This model's maximum context length is 1048565 tokens. However, you requested 1250025 tokens.",
    ],
)
def test_what_a_caller_needs_to_know_stays(text: str) -> None:
    """Names of models, fields and numbers are no secrets."""
    assert mask(text) == text


def test_a_long_text_is_cut() -> None:
    """And a secret on the edge is not cut in two."""
    text = "a " * (LIMIT // 2 - 2) + "sk-abcdefghijklmnop" + " b" * LIMIT
    masked = mask(text)
    assert len(masked) == LIMIT
    assert "sk-" not in masked
