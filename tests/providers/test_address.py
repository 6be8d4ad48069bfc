"""Where an upstream is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.providers.address import parse_base_url
from asgi_gateway.providers.contract import Origin


@pytest.mark.parametrize(
    ("text", "origin", "path", "version"),
    [
        ("https://api.openai.com", Origin("https", "api.openai.com", 443), "", None),
        ("https://api.openai.com/", Origin("https", "api.openai.com", 443), "", None),
        ("https://api.openai.com/v1", Origin("https", "api.openai.com", 443), "", "/v1"),
        ("https://api.openai.com/v1/", Origin("https", "api.openai.com", 443), "", "/v1"),
        ("http://127.0.0.1:9100", Origin("http", "127.0.0.1", 9100), "", None),
        ("http://127.0.0.1:80/a/b//", Origin("http", "127.0.0.1", 80), "/a/b", None),
        ("HTTPS://API.Example.ORG/x", Origin("https", "api.example.org", 443), "/x", None),
        ("https://api.z.ai/api/paas/v4", Origin("https", "api.z.ai", 443), "/api/paas", "/v4"),
        ("https://host/v1beta", Origin("https", "host", 443), "", "/v1beta"),
        ("https://host/v1beta2", Origin("https", "host", 443), "", "/v1beta2"),
        ("https://host/v1/openai", Origin("https", "host", 443), "/v1/openai", None),
        ("https://host/dev1", Origin("https", "host", 443), "/dev1", None),
        ("http://[::1]:8000/v1", Origin("http", "::1", 8000), "", "/v1"),
        ("http://[2001:DB8::0001]", Origin("http", "2001:db8::1", 80), "", None),
        ("http://my_service:8080", Origin("http", "my_service", 8080), "", None),
    ],
)
def test_a_base_url_is_taken_apart(text: str, origin: Origin, path: str, version: str | None) -> None:
    """Scheme, host and port make the origin; a version segment at the end is told from the path before it."""
    address = parse_base_url(text)
    assert (address.origin, address.path, address.version) == (origin, path, version)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("https://exa mple.org", "visible ASCII"),
        ("https://example.org\r\nx: y", "visible ASCII"),
        ("https://exämple.org", "visible ASCII"),
        ("https://example.org?key=1", "query"),
        ("https://example.org/?", "query"),
        ("https://example.org/#", "fragment"),
        ("https://example.org\\@evil.org", "backslash"),
        ("example.org", "http://"),
        ("example.org:8080", "http://"),
        ("//example.org", "http://"),
        ("ftp://example.org", "http://"),
        ("file:///etc/passwd", "http://"),
        ("https://user:pass@example.org", "user name"),
        ("https://user@example.org", "user name"),
        ("https://", "host"),
        ("https:///v1", "host"),
        ("https://:443", "host"),
        ("https://-a.org", "host"),
        ("https://a,b.org", "host"),
        ("https://a%2eorg", "host"),
        ("https://example.org:", "port"),
        ("https://example.org:0", "port"),
        ("https://example.org:65536", "port"),
        ("https://example.org:https", "port"),
        ("http://[::1", "host or port"),
        ("http://[fe80::1%25eth0]", "zone"),
        ("http://[v1.x]", "IPv6"),
    ],
)
def test_a_wrong_base_url_is_refused_with_its_reason(text: str, reason: str) -> None:
    """Each mistake has its own words, none of which repeats the URL: it may hold a password."""
    with pytest.raises(ValueError, match=reason) as refused:
        parse_base_url(text)
    assert not text or text not in str(refused.value)


@given(
    st.text(max_size=40) | st.text(alphabet="htps:/[]@.?#%\\v1 -_a0", max_size=40).map(lambda rest: f"http://{rest}")
)
def test_any_text_is_taken_apart_or_refused(text: str) -> None:
    """Nothing but `ValueError` comes out, and what is taken can be written to a request line."""
    try:
        address = parse_base_url(text)
    except ValueError:
        return
    assert address.origin.scheme in ("http", "https")
    assert address.origin.host
    assert 0 < address.origin.port < 65536
    assert address.path.isascii()
    assert not address.path.endswith("/")
    assert not set(address.path) & set(" ?#\r\n")
