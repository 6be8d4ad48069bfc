"""Nodes share look-ups of tokens, and none outlives a change."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from asgi_gateway.backends import SqlStorage
from asgi_gateway.backends.redis import RedisStorage
from asgi_gateway.storage.keys import digest_of
from asgi_gateway.storage.records import Budget, Secret, Token, User
from asgi_gateway.storage.vault import Vault
from support.databases import Redis

DIGEST = digest_of("sk-a-key")


async def with_token(storage: RedisStorage, **options: Any) -> Token:
    user = await storage.users.add(User(name="alice", budget=Budget(day=5)))
    token = Token(name="dev", user_id=user.id, digest=DIGEST, hint="sk-a…", **options)
    return await storage.tokens.add(token)


def blind(storage: RedisStorage) -> None:
    """Let a node's database know no token any more, so that what it finds was shared."""
    database = storage.database
    assert isinstance(database, SqlStorage)

    async def nothing(digest: bytes) -> None:
        return None

    database.tokens.find = nothing  # type: ignore[method-assign]  # a test's own


async def known(storage: RedisStorage) -> Token | None:
    """What a node finds once it has looked for changes."""
    await storage.version()
    found = await storage.tokens.find(DIGEST)
    return None if found is None else found[0]


async def test_what_one_node_found_another_need_not_look_for(nodes: list[RedisStorage]) -> None:
    """The whole record with its owner, as it is in the database."""
    first, second = nodes
    await with_token(
        first, expires=datetime(2030, 1, 1, tzinfo=UTC), models=("m",), networks=("10.0.0.0/8",), budget=Budget(month=9)
    )
    await first.version()
    found = await first.tokens.find(DIGEST)
    blind(second)
    await second.version()
    assert found is not None
    assert await second.tokens.find(DIGEST) == found


async def test_a_record_does_not_outlive_a_change(nodes: list[RedisStorage]) -> None:
    """Who knows of the change asks under another key, so an older record is never found."""
    first, second = nodes
    token = await with_token(first)
    assert await known(first) == token
    await second.tokens.update(Token(**{**_fields(token), "enabled": False}))
    blind(first)
    await first.version()
    assert await first.tokens.find(DIGEST) is None
    found = await known(second)
    assert found is not None
    assert not found.enabled


async def test_what_was_read_before_a_change_is_not_stored_as_after_it(nodes: list[RedisStorage]) -> None:
    """A node that was slow to read stores under the revision that it knew when it began."""
    first, second = nodes
    token = await with_token(first)
    database = first.database
    slow = database.tokens.find

    async def overtaken(digest: bytes) -> tuple[Token, User] | None:
        found = await slow(digest)
        await second.tokens.update(Token(**{**_fields(token), "enabled": False}))
        await first.version()
        return found

    await first.version()
    database.tokens.find = overtaken  # type: ignore[method-assign]  # a test's own
    stale = await first.tokens.find(DIGEST)
    assert stale is not None
    assert stale[0].enabled
    database.tokens.find = slow  # type: ignore[method-assign]  # a test's own
    for storage in nodes:
        found = await known(storage)
        assert found is not None
        assert not found.enabled


async def test_unknown_keys_are_not_kept(nodes: list[RedisStorage]) -> None:
    """A token that is made a moment later is found."""
    first, second = nodes
    assert await known(first) is None
    token = await with_token(second)
    assert await known(first) == token


async def test_without_a_revision_the_database_is_asked(nodes: list[RedisStorage]) -> None:
    """A command that never looks for changes."""
    first, _ = nodes
    token = await with_token(first)
    found = await first.tokens.find(DIGEST)
    assert found is not None
    assert found[0] == token


async def test_while_redis_is_away_the_database_is_asked(
    node: Callable[..., RedisStorage], fragile_redis: Redis
) -> None:
    """Both before it is noticed, and after."""
    storage = node(fragile_redis.url)
    await storage.open()
    token = await with_token(storage)
    assert await known(storage) == token
    fragile_redis.kill()
    for _ in range(5):
        assert await known(storage) == token
    assert storage.client.breaker.is_open
    await storage.close()


async def test_what_cannot_be_shared_is_found_all_the_same(
    node: Callable[..., RedisStorage], fragile_redis: Redis
) -> None:
    """Redis goes while the database is asked."""
    storage = node(fragile_redis.url)
    await storage.open()
    token = await with_token(storage)
    find = storage.database.tokens.find

    async def killing(digest: bytes) -> tuple[Token, User] | None:
        fragile_redis.kill()
        return await find(digest)

    storage.database.tokens.find = killing  # type: ignore[method-assign]  # a test's own
    assert await known(storage) == token
    await storage.close()


async def test_what_is_no_record_of_ours_is_not_taken(nodes: list[RedisStorage]) -> None:
    """Nonsense, and a record of another token in its place."""
    first, second = nodes
    token = await with_token(first)
    assert await known(first) == token
    (key,) = await _keys(first)
    data = await first.client.run(lambda redis: redis.get(key))
    blind(second)
    for wrong in (b"nonsense", b"\x92\x01\x02", data.replace(DIGEST, bytes(32))):
        await first.client.run(lambda redis, wrong=wrong: redis.set(key, wrong))
        assert await known(second) is None
    await first.client.run(lambda redis: redis.set(key, data))
    assert await known(second) == token


async def test_with_a_secret_nobody_makes_a_record_up(node: Callable[..., RedisStorage], steady_redis: Redis) -> None:
    """Records are encrypted, and one in clear is not taken."""
    pytest.importorskip("cryptography")
    open_one, sealed = node(steady_redis.url), node(steady_redis.url, vault=Vault(Secret("a secret")))
    for storage in (open_one, sealed):
        await storage.open()
    token = await with_token(open_one)
    assert await known(open_one) == token
    found = sealed.database.tokens.find
    blind(sealed)
    assert await known(sealed) is None
    sealed.database.tokens.find = found  # type: ignore[method-assign]  # a test's own
    assert await known(sealed) == token
    (key,) = await _keys(sealed)
    data = await sealed.client.run(lambda redis: redis.get(key))
    assert b"alice" not in data
    blind(sealed)
    assert await known(sealed) == token
    for storage in (open_one, sealed):
        await storage.close()


async def test_records_expire(nodes: list[RedisStorage]) -> None:
    """After half a minute at the latest, and hold no key."""
    first, _ = nodes
    await with_token(first)
    await known(first)
    (key,) = await _keys(first)
    assert 0 < await first.client.run(lambda redis: redis.ttl(key)) <= 30
    assert b"sk-a-key" not in await first.client.run(lambda redis: redis.get(key))


async def test_the_rest_of_the_store_is_the_database_itself(nodes: list[RedisStorage]) -> None:
    """Names, lists, changes and removals."""
    first, second = nodes
    token = await with_token(first)
    assert await second.tokens.named("dev") == token
    assert await second.tokens.list() == [token]
    assert await second.tokens.delete(token.id)
    assert await known(first) is None


async def _keys(storage: RedisStorage) -> Sequence[str]:
    prefix = storage._prefix
    return [key.decode() for key in await storage.client.run(lambda redis: redis.keys(f"{prefix}token:*"))]


def _fields(token: Token) -> dict[str, Any]:
    return {name: getattr(token, name) for name in token.__slots__}
