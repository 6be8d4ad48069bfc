"""Where an upstream is: a base URL taken apart, every mistake in it named."""

import re
from dataclasses import dataclass
from ipaddress import IPv6Address
from urllib.parse import urlsplit

from asgi_gateway.providers.contract import Origin

__all__ = ["Address", "parse_base_url"]

DEFAULT_PORTS = {"http": 80, "https": 443}

VISIBLE = re.compile(r"[\x21-\x7e]+")
HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?\.?")
VERSION = re.compile(r"/v\d+(?:(?:alpha|beta)\d*)?$")


@dataclass(frozen=True, slots=True)
class Address:
    """An upstream's origin, the path before the version segment, and the version segment if the URL ends in one."""

    origin: Origin
    path: str
    """Without a slash at its end; empty for none."""
    version: str | None
    """With its slash, as "/v1"."""


def parse_base_url(text: str) -> Address:
    """Take a base URL apart. Raises `ValueError` with a reason that shows nothing of the URL.

    The host of an IPv6 literal is given without its brackets.
    """
    if not VISIBLE.fullmatch(text):
        raise ValueError("it is empty or has characters that a URL cannot have (others than visible ASCII)")
    if "?" in text or "#" in text:
        raise ValueError("it has a query or a fragment")
    if "\\" in text:
        raise ValueError("it has a backslash")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("its host or port is malformed") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise ValueError("it does not begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("it has a user name or password; put the key under `keys`")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("its port is not between 1 and 65535")
    path = parts.path.rstrip("/")
    version = VERSION.search(path)
    return Address(
        Origin(parts.scheme, _host(parts.hostname or "", parts.netloc), port or DEFAULT_PORTS[parts.scheme]),
        path[: version.start()] if version else path,
        version.group() if version else None,
    )


def _host(host: str, netloc: str) -> str:
    if netloc.startswith("["):
        try:
            address = IPv6Address(host)
        except ValueError:
            raise ValueError("its host is no IPv6 address") from None
        if address.scope_id is not None:
            raise ValueError("its IPv6 address has a zone")
        return str(address)
    if not HOST.fullmatch(host):
        raise ValueError("its host is missing or malformed")
    return host
