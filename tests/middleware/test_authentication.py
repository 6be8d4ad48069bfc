"""Who is calling: every way to send a key, one answer for every bad one, limits on guessing, the host's own login."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Self

import pytest

from asgi_gateway.backends.memory import MemoryStorage
from asgi_gateway.directory import TokenDirectory
from asgi_gateway.exchange import Identity
from asgi_gateway.middleware import AuthenticationMiddleware, ErrorMiddleware
from asgi_gateway.middleware import authentication as module
from asgi_gateway.middleware.authentication import Identify, key_of
from asgi_gateway.storage.keys import digest_of
from asgi_gateway.storage.records import Account, Token, User
from asgi_gateway.types import Message, Scope
from support.asgi import Answer, Connection, ask, http_scope, socket_scope
from support.exchanges import KEY, Inner, make_world

BARE = KEY.removeprefix("sk-")
GUESS = "sk-" + "z" * 48


class Watched:
    """A store whose calls are written down."""

    def __init__(self, store: Any, calls: list[str], name: str) -> None:
        self._store, self._calls, self._name = store, calls, name

    def __getattr__(self, method: str) -> Callable[..., Any]:
        self._calls.append(f"{self._name}.{method}")
        found: Callable[..., Any] = getattr(self._store, method)
        return found


def watch(storage: MemoryStorage) -> list[str]:
    """The statements that a storage is asked from now on."""
    calls: list[str] = []
    for role in ("users", "tokens", "ledger", "windows", "options"):
        setattr(storage, role, Watched(getattr(storage, role), calls, role))
    return calls


class Door:
    """An authentication over a memory storage with one good key."""

    def __init__(self, storage: MemoryStorage, **options: Any) -> None:
        self.storage = storage
        self.inner = Inner()
        self.tokens = TokenDirectory(storage)
        self.app = ErrorMiddleware(AuthenticationMiddleware(self.inner, tokens=self.tokens, **options))

    async def ask(self, scope: Scope | None = None, **fields: Any) -> Answer:
        return await ask(self.app, scope if scope is not None else http_scope(**fields))


async def door(*, token: dict[str, Any] | None = None, user: dict[str, Any] | None = None, **options: Any) -> Door:
    world = await make_world(user=user, **(token or {}))
    return Door(world.storage, **options)


FORMS = {
    "bearer": {"authorization": "Bearer {}"},
    "bearer in lower case": {"authorization": "bearer {}"},
    "bearer with spaces": {"authorization": "Bearer   {}  "},
    "authorization without a scheme": {"authorization": "{}"},
    "x-api-key": {"x-api-key": "{}"},
    "x-api-key with a scheme": {"x-api-key": "Bearer {}"},
    "x-goog-api-key": {"x-goog-api-key": "{}"},
    "mj-api-secret": {"mj-api-secret": "{}"},
}


@pytest.mark.parametrize("key", [KEY, BARE], ids=["with sk-", "without"])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_a_key_is_found_in_every_header(form: dict[str, str], key: str) -> None:
    """Each known header names the caller, with and without `sk-`."""
    at = await door()
    seen = await at.ask(headers={name: value.format(key) for name, value in form.items()})
    assert seen.status == 200
    caller = at.inner.exchange.caller
    assert caller is not None
    assert caller.token is not None
    assert (caller.user.name, caller.token.name, caller.group) == ("alice", "dev", "default")


@pytest.mark.parametrize("key", [KEY, BARE], ids=["with sk-", "without"])
async def test_a_key_is_found_in_query_and_subprotocol(key: str) -> None:
    """`?key=` and the WebSocket subprotocol name the caller, too."""
    at = await door()
    assert (await at.ask(query=f"alt=sse&key={key}".encode())).status == 200
    scope = socket_scope(subprotocols=["realtime", f"openai-insecure-api-key.{key}"])
    async with Connection(at.app, scope) as caller:
        await caller.over()
    assert at.inner.calls == 2


def test_authorization_goes_before_other_places() -> None:
    """Several keys: `Authorization` wins, then the other headers in their order, then the query, then the socket."""
    everything = {"x-api-key": "b", "authorization": "Bearer a", "x-goog-api-key": "c"}
    assert key_of(http_scope(headers=everything, query=b"key=d")) == "a"
    assert key_of(http_scope(headers={"x-api-key": "b", "x-goog-api-key": "c"}, query=b"key=d")) == "b"
    assert key_of(http_scope(headers={"authorization": "Basic dTpw", "x-api-key": "b"})) == "b"
    assert key_of(http_scope(headers={"x-api-key": ""}, query=b"key=d&key=e")) == "d"
    assert key_of(http_scope(headers={"authorization": "Basic dTpw"})) == ""
    assert key_of(http_scope(headers={"authorization": "Bearer "}, query=b"monkey=1")) == ""
    assert key_of(socket_scope(subprotocols=["realtime"])) == ""


async def test_groups_and_models_of_a_token_go_before_its_users() -> None:
    """A token may belong to another group than its user, and may be bound to models."""
    at = await door(token={"group": "vip", "models": ("m-1",)})
    await at.ask(key=KEY)
    caller = at.inner.exchange.caller
    assert caller is not None
    assert (caller.group, caller.models) == ("vip", ("m-1",))


PAST = datetime.now(UTC) - timedelta(seconds=1)
BAD: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "unknown": ({}, {}, GUESS),
    "disabled": ({"enabled": False}, {}, KEY),
    "expired": ({"expires": PAST}, {}, KEY),
    "of a disabled user": ({}, {"enabled": False}, KEY),
}


async def test_all_bad_keys_look_the_same() -> None:
    """Unknown, disabled, expired, or of a disabled user: identical bytes, and the same statements run."""
    seen: dict[str, tuple[Answer, list[str]]] = {}
    for name, (token, user, key) in BAD.items():
        at = await door(token=token, user=user)
        calls = watch(at.storage)
        at = Door(at.storage, windows=at.storage.windows)
        seen[name] = (await at.ask(key=key), calls)
        assert at.inner.calls == 0
    first, statements = seen["unknown"]
    assert first.status == 401
    assert first.json()["error"]["code"] == "invalid_api_key"
    assert statements == ["tokens.find", "windows.acquire"]
    assert all(answer == first and calls == statements for answer, calls in seen.values())


async def test_a_token_expires_while_it_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of expiry is looked at on each request, not when the token was read."""
    at = await door(token={"expires": datetime(2100, 1, 1, tzinfo=UTC)})
    assert (await at.ask(key=KEY)).status == 200

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls(2100, 1, 1, tzinfo=tz)

    monkeypatch.setattr(module, "datetime", Later)
    assert (await at.ask(key=KEY)).status == 401


async def test_a_missing_key_says_how_to_send_one() -> None:
    """Without a key the answer is 401 as well, and costs no statement."""
    at = await door()
    calls = watch(at.storage)
    seen = await at.ask()
    assert seen.status == 401
    assert "Authorization: Bearer" in seen.json()["error"]["message"]
    assert calls == []


async def test_no_byte_of_a_body_is_read_without_a_good_key() -> None:
    """A refused request leaves its body where it is: nothing calls `receive`."""
    at = await door()
    for key in (None, GUESS):
        async with Connection(at.app, http_scope(key=key), b"x" * 100) as caller:
            assert (await caller.answer()).status == 401
            assert caller.taken == []


@pytest.mark.parametrize(
    ("networks", "address", "allowed"),
    [
        (("192.0.2.0/24",), "192.0.2.1", True),
        (("198.51.100.0/24", "192.0.2.1/32"), "192.0.2.1", True),
        (("192.0.2.9/24",), "192.0.2.1", True),
        (("198.51.100.0/24",), "192.0.2.1", False),
        (("2001:db8::/32",), "2001:db8::1", True),
        (("2001:db8::/32",), "192.0.2.1", False),
        (("192.0.2.0/24",), "::ffff:192.0.2.1", True),
        (("192.0.2.0/24",), "::ffff:198.51.100.1", False),
        (("192.0.2.0/24",), "unix:socket", False),
    ],
)
async def test_a_token_bound_to_networks_works_only_from_there(
    networks: tuple[str, ...], address: str, *, allowed: bool
) -> None:
    """Elsewhere a good key is 403; an IPv4 address is recognised behind its IPv6 form; twice, for what is kept."""
    at = await door(token={"networks": networks})
    for _ in range(2):
        seen = await at.ask(key=KEY, client=(address, 1))
        assert seen.status == (200 if allowed else 403)
    if not allowed:
        assert seen.json()["error"]["code"] == "network_not_allowed"


async def test_a_token_bound_to_networks_is_of_no_use_without_an_address() -> None:
    """A server that does not say where a request comes from cannot vouch for it."""
    at = await door(token={"networks": ("0.0.0.0/0",)})
    assert (await at.ask(key=KEY, client=None)).status == 403


# Guessing.


async def guarded(rate: str = "3/hour", **options: Any) -> Door:
    at = await door()
    return Door(at.storage, windows=at.storage.windows, failures=rate, **options)


async def test_failed_attempts_of_an_address_are_limited() -> None:
    """After the limit the answer is 429 with a time, for that address alone."""
    at = await guarded()
    statuses = [(await at.ask(key=f"{GUESS}{number}")).status for number in range(5)]
    assert statuses == [401, 401, 401, 429, 429]
    seen = await at.ask(key=GUESS)
    assert 3000 < int(seen.header("retry-after") or 0) <= 3600
    assert (await at.ask(key=GUESS, client=("192.0.2.2", 1))).status == 401


async def test_a_blocked_address_costs_no_statement() -> None:
    """Once an address used its attempts up, keys from there are not looked up, and nothing is counted."""
    at = await guarded()
    for number in range(4):
        await at.ask(key=f"{GUESS}{number}")
    calls = watch(at.storage)
    at.tokens.storage = at.storage
    for number in range(20):
        assert (await at.ask(key=f"sk-another-{number}")).status == 429
    assert calls == []


async def test_a_key_that_worked_goes_on_working_from_a_blocked_address() -> None:
    """Also when everything else that was remembered of it has been forgotten."""
    at = await guarded()
    assert (await at.ask(key=KEY)).status == 200
    for number in range(5):
        await at.ask(key=f"{GUESS}{number}")
    assert (await at.ask(key=KEY)).status == 200
    at.tokens.forget()
    assert (await at.ask(key=KEY)).status == 200
    assert (await at.ask(key=GUESS)).status == 429


async def test_a_good_key_that_nobody_knows_yet_waits_with_a_blocked_address() -> None:
    """It cannot be told from a guess without looking it up; from elsewhere it works at once."""
    at = await guarded()
    for number in range(4):
        await at.ask(key=f"{GUESS}{number}")
    assert (await at.ask(key=KEY)).status == 429
    assert (await at.ask(key=KEY, client=("192.0.2.2", 1))).status == 200


async def test_a_key_that_was_withdrawn_no_longer_worked() -> None:
    """From then on it is one more unknown key."""
    at = await guarded()
    assert (await at.ask(key=KEY)).status == 200
    token = await at.storage.tokens.named("dev")
    assert token is not None
    await at.storage.tokens.update(replace(token, enabled=False))
    at.tokens.forget()
    statuses = [(await at.ask(key=KEY)).status for _ in range(5)]
    assert statuses == [401, 401, 401, 429, 429]


async def test_a_block_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the window has room again the next key is looked up."""
    now = 1000.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    storage = MemoryStorage(clock=lambda: now)
    user = await storage.users.add(User(name="alice"))
    await storage.tokens.add(Token(name="dev", user_id=user.id, digest=digest_of(KEY)))
    at = Door(storage, windows=storage.windows, failures="2/minute")
    assert [(await at.ask(key=GUESS)).status for _ in range(4)] == [401, 401, 429, 429]
    now += 62.0
    assert [(await at.ask(key=GUESS)).status for _ in range(3)] == [401, 401, 429]
    now += 62.0
    assert (await at.ask(key=KEY)).status == 200


async def test_a_missing_key_is_no_failed_attempt() -> None:
    """A monitor or a browser that calls without a key locks nobody out."""
    at = await guarded()
    for _ in range(10):
        assert (await at.ask()).status == 401
    assert (await at.ask(key=KEY)).status == 200


async def test_an_ipv6_subscriber_is_one_address() -> None:
    """All of a /64 counts together, another one for itself; an IPv4 address is itself in either form."""
    at = await guarded()
    statuses = [(await at.ask(key=GUESS, client=(f"2001:db8:0:1::{number:x}", 1))).status for number in range(1, 6)]
    assert statuses == [401, 401, 401, 429, 429]
    assert (await at.ask(key=GUESS, client=("2001:db8:0:2::1", 1))).status == 401
    both = [
        (await at.ask(key=GUESS, client=(address, 1))).status for address in ("::ffff:203.0.113.5", "203.0.113.5") * 2
    ]
    assert both == [401, 401, 401, 429]
    odd = [(await at.ask(key=GUESS, client=(address, 1))).status for address in ("unix:1", "fe80::1%eth0", "::1")]
    assert odd == [401, 401, 401]


async def test_what_is_remembered_of_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither many addresses nor many keys grow the process; the oldest are forgotten, and counted on all the same."""
    monkeypatch.setattr(module, "REMEMBERED", 5)
    at = await guarded("1/hour")
    layer = at.app.app
    assert isinstance(layer, AuthenticationMiddleware)
    for number in range(20):
        for _ in range(2):
            await at.ask(key=GUESS, client=(f"198.51.100.{number}", 1))
    assert len(layer._blocked) == 5
    assert (await at.ask(key=GUESS, client=("198.51.100.0", 1))).status == 429
    user = await at.storage.users.find("alice")
    assert user is not None
    for number in range(20):
        key = f"sk-good-{number}"
        await at.storage.tokens.add(
            Token(name=key, user_id=user.id, digest=digest_of(key), networks=(f"192.0.2.{number}/24",))
        )
        assert (await at.ask(key=key)).status == 200
    assert len(layer._worked) == 5
    assert len(layer._networks) == 5


async def test_an_address_that_nobody_knows_is_not_counted() -> None:
    """Behind a Unix socket all callers would share one."""
    at = await guarded("1/hour")
    assert [(await at.ask(key=GUESS, client=None)).status for _ in range(3)] == [401, 401, 401]


def test_options_are_checked_when_the_layer_is_made() -> None:
    """A rate that cannot be read fails at once."""
    with pytest.raises(ValueError, match="rate"):
        AuthenticationMiddleware(Inner(), tokens=TokenDirectory(MemoryStorage()), failures="often")


# Identities.

JSON = {"content-type": "application/json"}
SESSION = {"cookie": "session=1", **JSON}


async def host(identify: Identify, **options: Any) -> Door:
    return await door(identify=identify, **options)


def named(name: str = "bob", **fields: Any) -> Identify:
    return lambda scope: Identity(name, **fields)


async def test_the_host_names_the_caller() -> None:
    """Sync or async; without a token, in its own group, bound to the models it says."""

    async def identify(scope: Scope) -> Identity | None:
        return Identity("bob", group="staff", models=("m-1",))

    for way in (identify, named("bob", group="staff", models=("m-1",))):
        at = await host(way)
        assert (await at.ask(headers=JSON)).status == 200
        caller = at.inner.exchange.caller
        assert caller is not None
        assert caller.token is None
        assert (caller.user.name, caller.user.origin, caller.group, caller.models) == ("bob", "host", "staff", ("m-1",))
        assert caller.user.group == "staff"


async def test_whom_the_host_does_not_name_is_refused() -> None:
    """No key and no identity: 401."""
    at = await host(lambda scope: None)
    assert (await at.ask()).status == 401


async def test_a_token_in_the_request_wins() -> None:
    """The host is not even asked."""

    def identify(scope: Scope) -> Identity:
        raise AssertionError("asked")

    at = await host(identify)
    assert (await at.ask(key=KEY)).status == 200
    assert at.inner.exchange.caller is not None
    assert at.inner.exchange.caller.token is not None


async def test_a_bearer_of_the_hosts_own_falls_back_to_the_identity() -> None:
    """A JWT is no key of ours: the host that made it says whose it is, and no attempt has failed."""

    def identify(scope: Scope) -> Identity | None:
        return Identity("bob") if dict(scope["headers"])[b"authorization"] == b"Bearer jwt" else None

    at = await host(identify)
    at = Door(at.storage, windows=at.storage.windows, failures="1/hour", identify=identify)
    assert [(await at.ask(key="jwt", headers=SESSION)).status for _ in range(4)] == [200] * 4
    assert [(await at.ask(key="forged", headers=SESSION)).status for _ in range(3)] == [401, 429, 429]
    assert (await at.ask(key="jwt", headers=SESSION)).status == 200


async def test_a_user_is_created_once_with_its_quota() -> None:
    """First seen by ten requests at once: one user, one grant; later ones grant nothing more."""
    at = await host(named(), identity_quota=500)
    answers = await asyncio.gather(*(at.ask(headers=JSON) for _ in range(10)))
    assert [answer.status for answer in answers] == [200] * 10
    at.tokens.forget()
    await at.ask(headers=JSON)
    users = [user for user in await at.storage.users.list() if user.name == "bob"]
    assert len(users) == 1
    assert (await at.storage.ledger.balance(Account("user", users[0].id))).granted == 500


async def test_a_disabled_user_is_refused_whoever_names_it() -> None:
    """The gateway's own record decides."""
    at = await host(named("alice"), user={"enabled": False})
    assert (await at.ask(headers=JSON)).status == 401


async def test_the_host_cannot_name_the_deployer() -> None:
    """A host's user who happens to be called like the unlimited root is not the root."""
    at = await host(named("alice"), user={"role": "root", "unlimited": True})
    seen = await at.ask(headers=JSON)
    assert seen.status == 403
    assert seen.json()["error"]["code"] == "user_not_allowed"


OWN = {"origin": "https://gateway.test"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({**SESSION, **OWN}, 200),
        ({**SESSION, "origin": "HTTPS://Gateway.Test"}, 200),
        ({**SESSION, "origin": "https://app.example"}, 200),
        (SESSION, 403),
        ({**SESSION, "origin": "https://evil.example"}, 403),
        ({**SESSION, "origin": "https://gateway.test.evil.example"}, 403),
        ({**SESSION, "origin": "https://gateway.test:444"}, 403),
        ({**SESSION, "origin": "null"}, 403),
        ({**SESSION, "origin": "https://[broken"}, 403),
        ({"cookie": "session=1", **OWN, "content-type": "multipart/form-data; boundary=x"}, 200),
        ({"cookie": "session=1", **OWN, "content-type": "text/plain"}, 403),
        ({"cookie": "session=1", **OWN, "content-type": "application/x-www-form-urlencoded"}, 403),
        ({"cookie": "session=1", **OWN}, 403),
        ({"authorization": "Negotiate abc", "cookie": "session=1"}, 200),
        ({"x-forwarded-user": "bob"}, 200),
    ],
)
async def test_an_identity_by_cookie_needs_its_own_origin_and_a_body_that_no_form_sends(
    headers: dict[str, str], status: int
) -> None:
    """What a browser sends for a foreign page is refused; what no page can make it send needs no origin."""
    at = await host(named(), origins=("https://app.example",))
    assert (await at.ask(headers=headers)).status == status


async def test_an_origin_is_not_the_same_as_no_host() -> None:
    """A request without a `host` has no origin of its own that "null" could equal."""
    at = await host(named())
    scope = http_scope(headers={**SESSION, "origin": "null"})
    scope["headers"] = [pair for pair in scope["headers"] if pair[0] != b"host"]
    assert (await at.ask(scope)).status == 403


async def test_the_host_may_say_whether_an_identity_rests_on_a_cookie() -> None:
    """`Identity.cookie` decides where it is set."""
    at = await host(named(cookie=False))
    assert (await at.ask(headers=SESSION)).status == 200
    at = await host(named(cookie=True))
    assert (await at.ask(headers=JSON)).status == 403


async def test_reading_needs_no_origin_and_a_socket_always_does() -> None:
    """GET and HEAD change nothing; a WebSocket is no fetch, and browsers let any page open one."""
    at = await host(named())
    assert (await at.ask(http_scope("GET", "/v1/models", headers={"cookie": "session=1"}))).status == 200
    seen = await at.ask(socket_scope(headers={"cookie": "session=1"}))
    assert seen.status == 403
    async with Connection(at.app, socket_scope(headers={"cookie": "session=1", **OWN})) as caller:
        await caller.over()
        messages: list[Message] = caller.messages
    assert at.inner.calls == 2
    assert messages[0]["type"] != "websocket.http.response.start" or messages[0]["status"] == 200


async def test_what_the_host_raises_passes() -> None:
    """A fault of the host's own code is seen by the host's own handler."""

    def identify(scope: Scope) -> Identity:
        raise ZeroDivisionError

    at = await host(identify)
    async with Connection(at.app, http_scope()) as caller:
        with pytest.raises(ZeroDivisionError):
            await caller.ended()
