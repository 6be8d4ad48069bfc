"""The caller's address behind proxies."""

from typing import Any

import pytest

from asgi_gateway.types import Receive, Scope, Send
from asgi_gateway_contrib.standalone.forwarded import ForwardedMiddleware


async def client_seen(peer: str | None, *headers: str, trusted: tuple[str, ...], kind: str = "http") -> Any:
    """The `client` that the app inside sees."""
    seen: list[Scope] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)

    async def nothing(*_: object) -> Any:
        raise AssertionError("nobody receives or sends here")

    given: Scope = {
        "type": kind,
        "client": (peer, 4711) if peer else None,
        "headers": [(b"host", b"h"), *((b"x-forwarded-for", header.encode("latin-1")) for header in headers)],
    }
    before = dict(given)
    await ForwardedMiddleware(app, trusted=trusted)(given, nothing, nothing)
    assert given == before, "the server's scope was changed"
    return seen[0].get("client")


@pytest.mark.parametrize(
    ("peer", "headers", "address"),
    [
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.7, 10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.7", "10.0.0.2"], "203.0.113.7"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.7:5555"], "203.0.113.7"),
        ("10.0.0.1", ["[2001:db8::7]:5555"], "2001:db8::7"),
        ("10.0.0.1", ["2001:DB8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["::ffff:203.0.113.7"], "203.0.113.7"),
        ("fd00::1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["1.1.1.1, unknown, 10.0.0.2"], "10.0.0.2"),
    ],
)
async def test_the_list_is_read_from_the_right_through_trusted_addresses(
    peer: str, headers: list[str], address: str
) -> None:
    """The first address that is not trusted is the caller's; what the caller wrote left of it proves nothing."""
    assert await client_seen(peer, *headers, trusted=("10.0.0.0/8", "fd00::/8")) == (address, 0)


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("203.0.113.7", ["1.1.1.1"]),
        ("10.0.0.1", []),
        ("10.0.0.1", [""]),
        ("10.0.0.1", ["nonsense"]),
        ("not an address", ["1.1.1.1"]),
    ],
)
async def test_the_peer_stays_where_nothing_better_is_known(peer: str, headers: list[str]) -> None:
    """A stranger's header is not looked at; an unreadable one names nobody."""
    assert await client_seen(peer, *headers, trusted=("10.0.0.0/8",)) == (peer, 4711)


async def test_a_websocket_counts_and_a_unix_socket_has_no_address() -> None:
    """Where the server knows no client there is none to replace."""
    trusted = ("10.0.0.0/8",)
    assert await client_seen("10.0.0.1", "203.0.113.7", trusted=trusted, kind="websocket") == ("203.0.113.7", 0)
    assert await client_seen("10.0.0.1", "203.0.113.7", trusted=trusted, kind="lifespan") == ("10.0.0.1", 4711)
    assert await client_seen(None, "203.0.113.7", trusted=trusted) is None
