"""What a process knows without asking each time, and how it learns of changes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from asgi_gateway import directory as module
from asgi_gateway.directory import Catalogue, Directory, TokenDirectory, resolved_aliases
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.keys import digest_of
from asgi_gateway.storage.records import Group
from support.asgi import settled
from support.exchanges import KEY, channel, make_world

DIGEST = digest_of(KEY)


class Slow:
    """A store one of whose verbs waits, having read already."""

    def __init__(self, store: Any, verb: str, gate: asyncio.Event) -> None:
        self._store, self._verb, self._gate = store, verb, gate
        self.calls = 0

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        found: Callable[..., Awaitable[Any]] = getattr(self._store, name)
        if name != self._verb:
            return found

        async def slow(*arguments: Any) -> Any:
            self.calls += 1
            result = await found(*arguments)
            await self._gate.wait()
            return result

        return slow


async def test_a_token_is_asked_for_once() -> None:
    """Then it comes from memory, until it is forgotten or too old."""
    world = await make_world()
    gate = asyncio.Event()
    gate.set()
    slow = Slow(world.storage.tokens, "find", gate)
    world.storage.tokens = slow
    tokens = TokenDirectory(world.storage)
    for _ in range(3):
        found = await tokens.token(DIGEST)
        assert found is not None
        assert found[0].name == "dev"
    assert slow.calls == 1
    tokens.forget()
    await tokens.token(DIGEST)
    assert slow.calls == 2


async def test_an_unknown_token_is_not_remembered() -> None:
    """A flood of them displaces nobody, and one that is added is found at once."""
    world = await make_world()
    other = digest_of("sk-new")
    assert await world.directory.tokens.token(other) is None
    token = replace(world.token, id=0, name="new", digest=other)
    await world.storage.tokens.add(token)
    assert await world.directory.tokens.token(other) is not None


async def test_a_token_gets_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the polling misses is seen after `max_age`."""
    now = 0.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    world = await make_world()
    tokens = TokenDirectory(world.storage, max_age=60)
    await tokens.token(DIGEST)
    await world.storage.tokens.delete(world.token.id)
    now = 59.0
    assert await tokens.token(DIGEST) is not None
    now = 61.0
    assert await tokens.token(DIGEST) is None


class Away:
    """A store that can be reached or not."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.away = False
        self.calls = 0

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        found: Callable[..., Awaitable[Any]] = getattr(self._store, name)

        async def asked(*arguments: Any) -> Any:
            self.calls += 1
            if self.away:
                raise ServiceUnavailable("The gateway's database cannot be reached.")
            return await found(*arguments)

        return asked


@pytest.mark.parametrize("what", ["token", "user"])
async def test_what_is_known_stays_known_while_the_storage_is_away(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past its age, up to an hour, and without asking each time; nothing unknown is called so for an outage."""
    now = 0.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    world = await make_world()
    store = Away(world.storage.tokens if what == "token" else world.storage.users)
    if what == "token":
        world.storage.tokens = store
    else:
        world.storage.users = store
    tokens = TokenDirectory(world.storage, max_age=60)

    async def known(name: str = KEY) -> bool:
        if what == "user":
            return (await tokens.user("alice" if name == KEY else name)).name == "alice"
        return await tokens.token(digest_of(name)) is not None

    assert await known()
    store.away = True
    with pytest.raises(ServiceUnavailable):
        await known("other")
    asked = store.calls
    for later in (61.0, 62.0, 65.9):
        now = later
        assert await known()
    assert store.calls == asked + 1
    for later in (70.0, 3000.0, 3599.0):
        now = later
        assert await known()
    now = 3605.0
    with pytest.raises(ServiceUnavailable):
        await known()
    store.away = False
    assert await known()
    store.away = True
    tokens.forget()
    with pytest.raises(ServiceUnavailable):
        await known()


@pytest.mark.parametrize("what", ["token", "user"])
async def test_what_was_read_before_a_change_is_not_kept(what: str) -> None:
    """A look-up that was under way when everything was forgotten does not bring back what has changed meanwhile."""
    world = await make_world()
    gate = asyncio.Event()
    if what == "token":
        world.storage.tokens = Slow(world.storage.tokens, "find", gate)
    else:
        world.storage.users = Slow(world.storage.users, "find", gate)
    tokens = TokenDirectory(world.storage)

    async def enabled() -> bool:
        if what == "user":
            return (await tokens.user("alice")).enabled
        found = await tokens.token(DIGEST)
        return found is not None and found[0].enabled

    reading = asyncio.ensure_future(enabled())
    await settled()
    if what == "token":
        await world.storage.tokens.update(replace(world.token, enabled=False))
    else:
        await world.storage.users.update(replace(world.user, enabled=False))
    tokens.forget()
    gate.set()
    assert await reading
    assert not await enabled()


async def test_a_user_is_created_once_and_then_remembered() -> None:
    """With the group and the quota of its first sight."""
    world = await make_world()
    tokens = world.directory.tokens
    users = await asyncio.gather(*(tokens.user("bob", "staff", 100) for _ in range(5)))
    assert {(user.name, user.group, user.origin) for user in users} == {("bob", "staff", "host")}
    assert (await tokens.user("bob", "other", 900)).group == "staff"
    assert (await tokens.user("carol")).group == "default"


async def test_a_user_gets_old_and_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """As tokens do: asked for once, again after `max_age`, again when everything is forgotten."""
    now = 0.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    world = await make_world()
    tokens = TokenDirectory(world.storage, max_age=60)

    async def enabled() -> bool:
        return (await tokens.user("alice")).enabled

    assert await enabled()
    await world.storage.users.update(replace(world.user, enabled=False))
    now = 59.9
    assert await enabled()
    now = 60.0
    assert not await enabled()
    await world.storage.users.update(replace(world.user, enabled=True))
    assert not await enabled()
    tokens.forget()
    assert await enabled()


async def test_a_directory_loads_what_changed() -> None:
    """One small question when nothing did; channels, and forgotten tokens, when something did."""
    world = await make_world(channel())
    directory: Directory = world.directory
    assert await directory.refresh()
    assert not await directory.refresh()
    await directory.tokens.token(DIGEST)
    await world.storage.channels.add(channel("other", models=("m-7",)))
    await world.storage.tokens.delete(world.token.id)
    assert await directory.refresh()
    assert directory.catalogue.channels.knows("m-7")
    assert await directory.tokens.token(DIGEST) is None
    assert "m-1" in directory.catalogue.prices


def test_a_group_that_nobody_described() -> None:
    """Ratio 1 and all models."""
    catalogue = Catalogue(groups={"vip": Group(name="vip", ratio=Decimal("0.5"))})
    assert (catalogue.ratio("vip"), catalogue.ratio("other")) == (Decimal("0.5"), Decimal(1))
    assert catalogue.group("other").models == ()


def test_aliases_are_followed_to_their_end() -> None:
    """A chain leads to its last name; a circle, which `check` finds, ends."""
    assert resolved_aliases({"a": "b", "b": "c", "x": "m"}) == {"a": "c", "b": "c", "x": "m"}
    assert set(resolved_aliases({"a": "b", "b": "a"})) == {"a", "b"}
