"""Takes out of an error what only the deployer knows: a channel's keys, its address, its proxy's login.

The dialects mask what looks like a secret; an upstream may say one that does not, or in a form of its own.
Here it is known by heart, so it is found as it stands, in a URL's encoding, and the login also as a proxy is sent it.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from urllib.parse import quote, unquote, urlsplit

from asgi_gateway.errors import UpstreamError
from asgi_gateway.providers.headers import API_KEY
from asgi_gateway.storage.records import Channel

__all__ = ["conceal"]

SHORTEST = 6
"""Characters of a text that is hidden: a shorter one is no secret, and a word of many messages."""

LONG = 12
"""From here on a text is hidden inside words, too."""


def conceal(error: UpstreamError, channel: Channel) -> None:
    """Replace the channel's secrets in all texts of an error of its upstream by `***`."""
    known = sorted({text for text in _known(channel) if len(text) >= SHORTEST}, key=len, reverse=True)
    if not known:
        return
    # `re` remembers what it compiled; the longest come first, for one may hold another.
    pattern = re.compile("|".join(map(_finding, known)), re.IGNORECASE)

    error.message = pattern.sub("***", error.message)
    error.args = (error.message,)
    error.type = pattern.sub("***", error.type)
    error.code = pattern.sub("***", error.code) if error.code else error.code
    error.param = pattern.sub("***", error.param) if error.param else error.param


def _known(channel: Channel) -> Iterator[str]:
    for key in channel.keys:
        for part in _parts(key.reveal()):
            yield from _forms(part)
    for value in channel.header_override.values():
        if API_KEY not in value:
            yield from _forms(value)
    yield from _address(channel.base_url)
    yield from _login(channel.proxy)


def _address(base_url: str) -> Iterator[str]:
    """The host of a base URL, and its path, which may hold a token."""
    try:
        parts = urlsplit(base_url)
        yield parts.hostname or ""
    except ValueError:  # `check` refuses it, and nothing is sent there
        return
    yield parts.path.rstrip("/")
    yield from (segment for segment in parts.path.split("/") if len(segment) >= LONG)


def _login(proxy: str) -> Iterator[str]:
    try:
        parts = urlsplit(proxy)
        yield parts.hostname or ""
    except ValueError:
        return
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    yield from _forms(user)
    yield from _forms(password)
    yield b64encode(f"{user}:{password}".encode()).decode()


def _parts(key: str) -> Iterator[str]:
    """A key, and what it is made of: an account in JSON, or parts between bars. Short parts, as a region, are words."""
    yield key
    parts: Iterable[object] = key.split("|")
    if key.lstrip().startswith("{"):
        try:
            parts = json.loads(key).values()
        except ValueError:  # `check` refuses it
            return
    for part in parts:
        if isinstance(part, str) and len(part) >= LONG:
            yield part


def _forms(secret: str) -> Iterator[str]:
    yield secret
    yield quote(secret, safe="")


def _finding(text: str) -> str:
    escaped = re.escape(text)
    return escaped if len(text) >= LONG else rf"(?<![a-z0-9]){escaped}(?![a-z0-9])"
