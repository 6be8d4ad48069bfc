"""The headers that an upstream is sent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_gateway.providers.headers import header_mistakes, request_headers
from asgi_gateway.storage.records import Secret

KEY = Secret("sk-canary")


def test_a_key_is_sent_as_a_bearer_token() -> None:
    """With the content type of a JSON body."""
    assert dict(request_headers(KEY, {})) == {
        b"authorization": b"Bearer sk-canary",
        b"content-type": b"application/json",
    }


def test_an_empty_key_sends_no_token() -> None:
    """Upstreams of one's own may need none."""
    assert request_headers(Secret(""), {}) == ((b"content-type", b"application/json"),)


def test_an_override_takes_the_place_of_a_header_whatever_its_case() -> None:
    """It comes last, once, and in lower case."""
    headers = request_headers(KEY, {"Authorization": "Basic abc", "OpenAI-Organization": " org-1 "})
    assert headers == (
        (b"content-type", b"application/json"),
        (b"authorization", b"Basic abc"),
        (b"openai-organization", b"org-1"),
    )


def test_an_override_may_name_the_key() -> None:
    """For upstreams that want it in a header of their own."""
    assert (b"x-api-key", b"sk-canary") in request_headers(KEY, {"X-Api-Key": "{api_key}"})


@pytest.mark.parametrize("key", ["sk-cänary", "sk canary", " sk-canary", "sk-canary\n", "sk-\x00canary", "密钥-canary"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    """Not with an encoding error, which would quote it."""
    with pytest.raises(ValueError, match="visible ASCII") as refused:
        request_headers(Secret(key), {})
    assert "canary" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ({"Host": "evil.org"}, "transport sets it"),
        ({"CONTENT-LENGTH": "1"}, "transport sets it"),
        ({"transfer-encoding": "chunked"}, "transport sets it"),
        ({"Connection": "close"}, "transport sets it"),
        ({"accept-encoding": "gzip"}, "transport sets it"),
        ({"x-a": "1\r\nx-b: 2"}, "line break"),
        ({"x-a": "1\n"}, "line break"),
        ({"x-a": "1\x00"}, "line break"),
        ({"x-a": "ä"}, "other than ASCII"),
        ({"x a": "1"}, "no header's name"),
        ({"x-a:": "1"}, "no header's name"),
        ({"": "1"}, "no header's name"),
        ({"*": ""}, "no header's name"),
        ({"re:^x-": ""}, "no header's name"),
        ({"x-a\r\n": "1"}, "no header's name"),
        ({"X-A": "1", "x-a": "2"}, "twice"),
        ({"x-a": "{client_header:x-b}"}, "not supported"),
    ],
)
def test_an_override_that_would_break_the_request_is_refused(overrides: dict[str, str], reason: str) -> None:
    """By name: framing and connection are the transport's, and no value may end its line."""
    assert [reason in mistake for mistake in header_mistakes(overrides)] == [True]
    with pytest.raises(ValueError, match=reason):
        request_headers(KEY, overrides)


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=12), max_size=4), st.text(max_size=12))
def test_what_is_accepted_can_be_sent(overrides: dict[str, str], key: str) -> None:
    """Whatever is configured: lower-case names, each once, and never a line break."""
    try:
        headers = request_headers(Secret(key), overrides)
    except ValueError:
        return
    names = [name for name, _ in headers]
    assert len(set(names)) == len(names)
    assert not set(names) & {b"host", b"content-length", b"transfer-encoding", b"connection"}
    for name, value in headers:
        assert name == name.lower()
        assert not set(name) & set(b"\r\n: ")
        assert not set(value) & set(b"\r\n\x00")
