"""The headers an upstream is sent: authentication, content type, and what a channel overrides."""

import re
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

from asgi_gateway.storage.records import Secret

__all__ = [
    "ANTHROPIC_VERSION",
    "NO_HEADERS",
    "Authenticate",
    "anthropic_key",
    "api_key",
    "bearer",
    "google_key",
    "header_mistakes",
    "key_mistake",
    "request_headers",
    "x_api_key",
]

Pairs = tuple[tuple[bytes, bytes], ...]

TOKEN = re.compile(r"[A-Za-z0-9!#$%&'^_`|~.+-]+")
VALUE = re.compile(r"[\x20-\x7e\t]*")
KEY = re.compile(r"[\x21-\x7e]+")

RESERVED = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""They describe the connection or the body's length, and are the transport's affair."""

API_KEY = "{api_key}"
"""Stands for the channel's key in the value of an overriding header."""

NO_HEADERS: Mapping[str, str] = MappingProxyType({})

ANTHROPIC_VERSION: Mapping[str, str] = MappingProxyType({"anthropic-version": "2023-06-01"})
"""What Anthropic's format is sent, unless the caller or the channel names another version."""

Authenticate = Callable[[str], Mapping[str, str]]
"""From a key to the headers that carry it."""


def bearer(key: str) -> Mapping[str, str]:
    """A bearer token (RFC 6750)."""
    return {"authorization": f"Bearer {key}"}


def x_api_key(key: str) -> Mapping[str, str]:
    """As Anthropic's API takes a key."""
    return {"x-api-key": key}


def anthropic_key(key: str) -> Mapping[str, str]:
    """Anthropic's own: a key, or the token of a login, which is told by its beginning.

    https://docs.anthropic.com/en/api/overview; the beta's name is the one that Anthropic's clients send with a token.
    """
    if key.startswith("sk-ant-oat"):
        return {"authorization": f"Bearer {key}", "anthropic-beta": "oauth-2025-04-20"}
    return {"x-api-key": key}


def google_key(key: str) -> Mapping[str, str]:
    """As Google's APIs take a key."""
    return {"x-goog-api-key": key}


def api_key(key: str) -> Mapping[str, str]:
    """As Azure takes a key."""
    return {"api-key": key}


def request_headers(
    key: Secret,
    overrides: Mapping[str, str],
    authenticate: Authenticate = bearer,
    more: Mapping[str, str] = NO_HEADERS,
) -> Pairs:
    """The JSON content type, `more`, and the key; then the overrides: each takes the place of a header of its name.

    An empty key sends none. `{api_key}` in an override stands for the key.
    Raises `ValueError` for what cannot be sent; its text shows neither key nor value.
    """
    text = key.reveal()
    headers = {"content-type": "application/json", **more}
    if text:
        if mistake := key_mistake(key):
            raise ValueError(f"the key {mistake}")
        headers.update(authenticate(text))
    for mistake in header_mistakes(overrides):
        raise ValueError(mistake)
    for name, value in overrides.items():
        headers[name.lower()] = value.replace(API_KEY, text)
    return tuple((name.encode("ascii"), value.strip().encode("ascii")) for name, value in headers.items())


def key_mistake(key: Secret) -> str | None:
    """Why a key cannot be sent in a header, without showing it; None when it can."""
    text = key.reveal()
    if not text:
        return "is empty"
    if not KEY.fullmatch(text):
        return "has characters other than visible ASCII (a space, a line break, a foreign letter)"
    return None


def header_mistakes(overrides: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with overriding headers, without showing their values."""
    seen: set[str] = set()
    for name, value in overrides.items():
        lower = name.lower()
        if not TOKEN.fullmatch(name):
            yield f"{name!r} is no header's name"
        elif lower in RESERVED:
            yield f"{name!r} may not be overridden: the transport sets it"
        elif lower in seen:
            yield f"{name!r} stands there twice"
        elif not VALUE.fullmatch(value):
            yield f"the value of {name!r} has a line break, or characters other than ASCII"
        elif "{client_header:" in value:
            yield f"the value of {name!r} copies a header of the caller, which is not supported"
        seen.add(lower)
