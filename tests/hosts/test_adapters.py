"""The ready adapters that name callers, each by itself."""

import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
from fastapi import Depends, Header, HTTPException
from joserfc import jwt
from joserfc.jwk import RSAKey

from asgi_gateway import Identity
from asgi_gateway_contrib.django import under_prefix
from asgi_gateway_contrib.hosts.fastapi import dependency_identity
from asgi_gateway_contrib.hosts.jwt import jwt_identity
from asgi_gateway_contrib.hosts.starlette import starlette_user


def scope_with(*headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    """A chat request's scope, as a server makes it."""
    return {
        "type": "http",
        "method": "POST",
        "path": "/ai/v1/chat/completions",
        "raw_path": b"/ai/v1/chat/completions",
        "root_path": "/ai",
        "query_string": b"",
        "headers": list(headers),
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "client": ("127.0.0.1", 1),
        **more,
    }


class Named:
    """A host's user with an identity."""

    is_authenticated = True
    display_name = "Dora D."
    identity = "dora"
    plan = "gold"


def test_starlettes_user_is_named_by_identity_and_group() -> None:
    """The identity names the user, `group` its group; one without an identity goes by its display name."""
    identify = starlette_user(group=lambda user: user.plan)
    assert identify(scope_with(user=Named())) == Identity("dora", "gold")
    plain = SimpleNamespace(is_authenticated=True, display_name="erna")
    assert starlette_user()(scope_with(user=plain)) == Identity("erna")


def test_starlettes_anonymous_user_is_nobody() -> None:
    """Neither a user who is not authenticated nor a missing one is named."""
    assert starlette_user()(scope_with(user=SimpleNamespace(is_authenticated=False))) is None
    assert starlette_user()(scope_with()) is None


def tenant(x_tenant: Annotated[str, Header()]) -> str:
    """A dependency that needs a header."""
    return x_tenant


def member(name: Annotated[str, Depends(tenant)]) -> str:
    """A dependency that needs another."""
    if name == "banned":
        raise HTTPException(403)
    return name.upper()


async def test_a_fastapi_dependency_is_resolved_with_all_that_it_needs() -> None:
    """Its own dependencies are resolved too, from the headers of the request."""
    identify = dependency_identity(member, lambda name: name)
    assert await identify(scope_with((b"x-tenant", b"acme"))) == Identity("ACME")


@pytest.mark.parametrize("headers", [[], [(b"x-tenant", b"banned")]])
async def test_a_fastapi_dependency_that_refuses_names_nobody(headers: list[tuple[bytes, bytes]]) -> None:
    """A missing parameter and an HTTPException are no errors of ours: there is no identity."""
    assert await dependency_identity(member, lambda name: name)(scope_with(*headers)) is None


async def test_a_fastapi_dependency_sees_the_scope_of_the_host_and_changes_nothing_in_it() -> None:
    """What the host's middlewares left, such as a session, is there; the scope itself stays as it was."""
    from fastapi import Request

    def user(request: Request) -> str:
        return str(request.session["user"])

    scope = scope_with(session={"user": "fred"}, app=object(), path_params={"x": 1})
    before = dict(scope)
    named = await dependency_identity(user, lambda name: Identity(name, "gold"))(scope)
    assert named == Identity("fred", "gold")
    assert scope == before


KEY = RSAKey.generate_key(2048)
OTHER = RSAKey.generate_key(2048)
GOOD = {"iss": "https://issuer.example", "aud": "gateway", "sub": "gina", "plan": "gold", "exp": 4_000_000_000}


def bearer(claims: dict[str, Any], key: RSAKey = KEY, algorithm: str = "RS256") -> dict[str, Any]:
    """A request with a signed token."""
    text = jwt.encode({"alg": algorithm}, claims, key, algorithms=[algorithm])
    return scope_with((b"authorization", f"Bearer {text}".encode()))


@pytest.fixture
def identify() -> Callable[[dict[str, Any]], Identity | None]:
    """The adapter for the key above."""
    return jwt_identity(KEY, issuer="https://issuer.example", audience="gateway", group="plan")


def test_a_signed_token_names_its_subject_and_group(identify: Callable[[dict[str, Any]], Identity | None]) -> None:
    """Subject and group come from the claims; such an identity rests on no cookie."""
    assert identify(bearer(GOOD)) == Identity("gina", "gold", cookie=False)


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://other.example"},
        {"aud": "another"},
        {"exp": int(time.time()) - 3600},
        {"sub": ""},
        {"sub": 7},
    ],
    ids=str,
)
def test_a_token_that_is_not_for_us_names_nobody(
    identify: Callable[[dict[str, Any]], Identity | None], changed: dict[str, Any]
) -> None:
    """Another issuer or audience, one that is over, and one without a usable subject are refused alike."""
    assert identify(bearer(GOOD | changed)) is None


@pytest.mark.parametrize("missing", ["iss", "aud", "exp", "sub"])
def test_a_token_must_have_every_claim_that_is_checked(
    identify: Callable[[dict[str, Any]], Identity | None], missing: str
) -> None:
    """A claim that is not there proves nothing."""
    assert identify(bearer({name: value for name, value in GOOD.items() if name != missing})) is None


def test_a_token_of_another_key_or_algorithm_names_nobody(
    identify: Callable[[dict[str, Any]], Identity | None],
) -> None:
    """The signature must be of our key, by one of the algorithms that we accept, whatever the token says."""
    assert identify(bearer(GOOD, OTHER)) is None
    assert identify(bearer(GOOD, KEY, "RS512")) is None


@pytest.mark.parametrize("value", [b"Bearer sk-something", b"Basic YTpi", b"Bearer a.b.c"])
def test_what_is_no_token_names_nobody(identify: Callable[[dict[str, Any]], Identity | None], value: bytes) -> None:
    """A key of ours or another scheme is no error: it is simply no such token."""
    assert identify(scope_with((b"authorization", value))) is None
    assert identify(scope_with()) is None


@pytest.mark.parametrize("prefix", ["ai", "/ai/", "", "/"])
def test_a_prefix_that_cannot_match_is_refused_at_once(prefix: str) -> None:
    """It must begin with a slash and end without one."""
    with pytest.raises(ValueError, match="prefix"):
        under_prefix(prefix, None, None)  # type: ignore[arg-type]  # refused before they are used
