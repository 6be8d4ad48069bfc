"""Users, tokens, channels and options, and the version that changes with them."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import Account, Channel, Secret, Timeouts, Token, User
from support.ledger_records import Clock

DIGEST = bytes(range(32))

CHANNEL = Channel(
    name="main",
    provider="openai",
    keys=(Secret("sk-upstream-1"), Secret("sk-upstream-2")),
    base_url="http://127.0.0.1:9100",
    models=("gpt-4o-mini", "o3"),
    groups=("default", "vip"),
    priority=3,
    weight=7,
    dialects=("openai_chat",),
    model_mapping={"fast": "gpt-4o-mini"},
    conversion="strict",
    thinking_to_content=True,
    content_to_thinking=True,
    api_version="2024-10-21",
    param_override={"temperature": 0.5, "nested": {"list": [1, None, "ä"]}},
    header_override={"x-team": "a"},
    proxy="http://user:password@127.0.0.1:3128",
    timeouts=Timeouts(connect=1.5, total=30.0),
    enabled=False,
    origin="file",
)


async def test_users_come_back_as_they_were_stored(storage: Storage, clock: Clock) -> None:
    """Every field, by id and by name; the time of creation is filled in."""
    added = await storage.users.add(User(name="alice", group="vip", role="admin", enabled=False, origin="file"))
    assert added.id > 0
    assert added == User(
        id=added.id,
        name="alice",
        group="vip",
        role="admin",
        enabled=False,
        origin="file",
        created=datetime.fromtimestamp(clock(), UTC),
    )
    assert await storage.users.get(added.id) == added
    assert await storage.users.find("alice") == added
    assert await storage.users.get(added.id + 1) is None
    assert await storage.users.find("Alice") is None


async def test_user_names_are_unique(storage: Storage) -> None:
    """Adding or renaming to a name that is taken is an error and changes nothing."""
    alice = await storage.users.add(User(name="alice"))
    bob = await storage.users.add(User(name="bob"))
    with pytest.raises(ValueError, match="alice"):
        await storage.users.add(User(name="alice"))
    with pytest.raises(ValueError, match="alice"):
        await storage.users.update(replace(bob, name="alice"))
    assert list(await storage.users.list()) == [alice, bob]


async def test_users_are_replaced_and_listed_by_name(storage: Storage) -> None:
    """An update finds its record by id; an unknown id is an error."""
    zoe = await storage.users.add(User(name="zoe"))
    bob = await storage.users.add(User(name="bob"))
    renamed = replace(zoe, name="adam", group="vip", unlimited=True)
    await storage.users.update(renamed)
    assert list(await storage.users.list()) == [renamed, bob]
    assert await storage.users.find("zoe") is None
    with pytest.raises(KeyError):
        await storage.users.update(replace(bob, id=bob.id + 100))


async def test_a_deleted_user_takes_its_tokens_along(storage: Storage) -> None:
    """Tokens of others stay; ids are not given again, because the ledger knows accounts by them."""
    alice = await storage.users.add(User(name="alice"))
    bob = await storage.users.add(User(name="bob"))
    await storage.tokens.add(Token(name="hers", user_id=alice.id, digest=DIGEST))
    his = await storage.tokens.add(Token(name="his", user_id=bob.id, digest=DIGEST[::-1]))
    assert await storage.users.delete(alice.id)
    assert not await storage.users.delete(alice.id)
    assert list(await storage.tokens.list()) == [his]
    assert await storage.tokens.find(DIGEST) is None
    assert await storage.users.delete(bob.id)
    assert (await storage.users.add(User(name="carol"))).id > bob.id


async def test_tokens_come_back_as_they_were_stored(storage: Storage, clock: Clock) -> None:
    """Every field, with its owner, whatever their state."""
    owner = await storage.users.add(User(name="alice", enabled=False))
    token = await storage.tokens.add(
        Token(
            name="dev",
            user_id=owner.id,
            digest=DIGEST,
            hint="sk-abc…wxyz",
            enabled=False,
            unlimited=True,
            expires=datetime(2027, 1, 1, 1, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2))),
            models=("gpt-4o-mini",),
            networks=("10.0.0.0/8", "::1/128"),
            group="vip",
            show_route=True,
            origin="file",
        )
    )
    assert token.created == datetime.fromtimestamp(clock(), UTC)
    assert await storage.tokens.find(DIGEST) == (token, owner)
    assert await storage.tokens.named("dev") == token
    assert await storage.tokens.find(DIGEST[::-1]) is None
    assert await storage.tokens.named("other") is None
    assert token.group == "vip"


async def test_token_names_and_keys_are_unique(storage: Storage) -> None:
    """A taken name or digest is an error for new and for changed tokens."""
    first = await storage.tokens.add(Token(name="a", user_id=1, digest=DIGEST))
    second = await storage.tokens.add(Token(name="b", user_id=1, digest=DIGEST[::-1]))
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: storage.tokens.add(Token(name="a", user_id=1, digest=b"x" * 32)),
        lambda: storage.tokens.add(Token(name="c", user_id=1, digest=DIGEST)),
        lambda: storage.tokens.update(replace(second, name="a")),
        lambda: storage.tokens.update(replace(second, digest=DIGEST)),
    ]
    for attempt in attempts:
        with pytest.raises(ValueError, match="exists already"):
            await attempt()
    assert list(await storage.tokens.list()) == [first, second]


async def test_tokens_are_replaced_and_removed(storage: Storage) -> None:
    """A token with a new key is found by that one alone."""
    owner = await storage.users.add(User(name="alice"))
    token = await storage.tokens.add(Token(name="dev", user_id=owner.id, digest=DIGEST))
    changed = replace(token, name="prod", digest=DIGEST[::-1], group=None)
    await storage.tokens.update(changed)
    assert await storage.tokens.find(DIGEST) is None
    assert await storage.tokens.find(DIGEST[::-1]) == (changed, owner)
    with pytest.raises(KeyError):
        await storage.tokens.update(replace(changed, id=99, name="x", digest=b"y" * 32))
    assert await storage.tokens.delete(token.id)
    assert not await storage.tokens.delete(token.id)
    assert await storage.tokens.find(DIGEST[::-1]) is None


async def test_a_token_without_its_user_is_not_found(storage: Storage) -> None:
    """Nobody would pay for it."""
    await storage.tokens.add(Token(name="orphan", user_id=12345, digest=DIGEST))
    assert await storage.tokens.find(DIGEST) is None


async def test_channels_come_back_as_they_were_stored(storage: Storage) -> None:
    """Every field; keys show in no repr."""
    added = await storage.channels.add(CHANNEL)
    assert added == replace(CHANNEL, id=added.id)
    assert await storage.channels.named("main") == added
    assert await storage.channels.named("other") is None
    assert [key.reveal() for key in added.keys] == ["sk-upstream-1", "sk-upstream-2"]
    assert "sk-upstream" not in repr(await storage.channels.list())


async def test_channels_are_replaced_listed_and_removed(storage: Storage) -> None:
    """By name in lists, by id for the rest."""
    main = await storage.channels.add(CHANNEL)
    backup = await storage.channels.add(replace(CHANNEL, name="backup"))
    with pytest.raises(ValueError, match="main"):
        await storage.channels.add(CHANNEL)
    with pytest.raises(ValueError, match="main"):
        await storage.channels.update(replace(backup, name="main"))
    with pytest.raises(KeyError):
        await storage.channels.update(replace(main, id=99, name="x"))
    changed = replace(main, keys=(Secret("new"),), enabled=True, weight=1)
    await storage.channels.update(changed)
    assert list(await storage.channels.list()) == [backup, changed]
    assert await storage.channels.delete(backup.id)
    assert not await storage.channels.delete(backup.id)
    assert list(await storage.channels.list()) == [changed]


async def test_options_hold_json(storage: Storage) -> None:
    """What comes back is a copy."""
    value = {"a": [1, 2.5, None, "ä"], "b": True}
    await storage.options.set("one", value)
    value["b"] = False
    assert await storage.options.get("one") == {"a": [1, 2.5, None, "ä"], "b": True}
    await storage.options.set("one", 5)
    assert await storage.options.get("one") == 5
    assert await storage.options.get("two") is None
    await storage.options.set("two", "x")
    assert await storage.options.all() == {"one": 5, "two": "x"}


async def test_an_option_is_created_once(storage: Storage) -> None:
    """Who comes second gets what is there."""
    assert await storage.options.create("key", "first") == "first"
    assert await storage.options.create("key", "second") == "first"
    assert await storage.options.get("key") == "first"


async def test_a_user_is_ensured_once_with_its_quota(storage: Storage) -> None:
    """The second call grants nothing and changes nothing."""
    first = await storage.ensure_user(User(name="guest", group="hosts", origin="host"), 700)
    again = await storage.ensure_user(User(name="guest", group="others"), 900)
    assert again == first
    assert (first.group, first.origin) == ("hosts", "host")
    balance = await storage.ledger.balance(Account("user", first.id))
    assert (balance.granted, balance.unlimited) == (700, False)
    assert await storage.users.find("guest") == first


async def test_what_was_granted_before_a_user_came_stays(storage: Storage) -> None:
    """An account may be known before its user is; the quota is added."""
    last = await storage.users.add(User(name="alice"))
    await storage.ledger.grant(Account("user", last.id + 1), 50)
    user = await storage.ensure_user(User(name="guest"), 700)
    assert user.id == last.id + 1
    assert (await storage.ledger.balance(Account("user", user.id))).granted == 750


async def test_an_unlimited_user_is_ensured_with_an_unlimited_account(storage: Storage) -> None:
    """What the record says holds in the ledger."""
    user = await storage.ensure_user(User(name="root", unlimited=True), 0)
    assert (await storage.ledger.balance(Account("user", user.id))).unlimited


async def test_the_version_changes_with_every_change(storage: Storage) -> None:
    """Each change of a user, token, channel or option is seen; what changes nothing is not."""
    user = await storage.users.add(User(name="alice"))
    token = await storage.tokens.add(Token(name="dev", user_id=user.id, digest=DIGEST))
    channel = await storage.channels.add(CHANNEL)
    more = replace(token, name="more", digest=b"m" * 32)
    changes: list[Callable[[], Awaitable[object]]] = [
        lambda: storage.users.add(replace(user, name="bob")),
        lambda: storage.users.update(replace(user, group="vip")),
        lambda: storage.tokens.add(more),
        lambda: storage.tokens.update(replace(token, enabled=False)),
        lambda: storage.tokens.delete(token.id),
        lambda: storage.users.delete(user.id),
        lambda: storage.channels.add(replace(CHANNEL, name="more")),
        lambda: storage.channels.update(replace(channel, enabled=not channel.enabled)),
        lambda: storage.channels.delete(channel.id),
        lambda: storage.options.set("a", 1),
        lambda: storage.options.create("b", 1),
        lambda: storage.ensure_user(User(name="guest"), 5),
    ]
    seen = [await storage.version()]
    for change in changes:
        await change()
        seen.append(await storage.version())
    assert seen == sorted(set(seen))
    for idle in (
        lambda: storage.options.create("b", 2),
        lambda: storage.users.delete(user.id),
        lambda: storage.ensure_user(User(name="guest"), 5),
        lambda: storage.ledger.grant(Account("user", 1), 5),
    ):
        await idle()
        assert await storage.version() == seen[-1]


async def test_ping_answers_while_the_storage_is_open(storage: Storage) -> None:
    """And closing twice is safe."""
    await storage.ping()
    await storage.close()
    await storage.close()
