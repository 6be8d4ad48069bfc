"""The stores on every database, by several processes at once."""

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from sqlalchemy import select, text

from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.cache import SqlCache
from asgi_gateway.backends.sql.database import Database, revision_of
from asgi_gateway.backends.sql.migration import prepare
from asgi_gateway.backends.sql.prices import SqlPrices
from asgi_gateway.backends.sql.stores import SqlChannels, SqlOptions, SqlTokens, SqlUsers
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.records import Budget, Channel, Price, Secret, Token, User
from asgi_gateway.storage.vault import Vault

Connect = Callable[[str], Database]

NODES = 4


@pytest.fixture
async def nodes(connect: Connect, url: str) -> list[Database]:
    """Several processes' connections to one database with all tables."""
    databases = [connect(url) for _ in range(NODES)]
    await prepare(databases[0], allowed=True)
    return databases


def user(name: str = "alice", **changes: object) -> User:
    return User(name=name, budget=Budget(day=5), **changes)  # type: ignore[arg-type]


async def test_records_come_back_as_they_were_stored(nodes: list[Database]) -> None:
    """On every database, with texts that not every character set holds."""
    users, tokens = SqlUsers(nodes[0], time.time), SqlTokens(nodes[0], time.time)
    stored = await users.add(user("älice 😀", group="ÄÖ"))
    assert await users.find("älice 😀") == await users.get(stored.id) == stored
    token = await tokens.add(
        Token(
            name="dev",
            user_id=stored.id,
            digest=b"\x00\xff" * 16,
            expires=datetime(2027, 1, 1, tzinfo=UTC),
            models=("gpt-😀", "*"),
            group="vip",
        )
    )
    assert await tokens.find(b"\x00\xff" * 16) == (token, stored)
    assert await tokens.named("dev") == token
    channels = SqlChannels(nodes[0], Vault())
    channel = await channels.add(
        Channel(name="main", provider="openai", keys=(Secret("k" * 5000),), models=tuple(f"m{n}" for n in range(9000)))
    )
    assert await channels.list() == [channel]
    assert await channels.named("main") == channel
    await users.update(user("älice 😀", id=stored.id, enabled=False))
    assert [each.enabled for each in await users.list()] == [False]
    assert await users.delete(stored.id)
    assert (await tokens.list(), await users.list()) == ([], [])
    assert not await users.delete(stored.id)
    assert await channels.delete(channel.id)


async def test_an_update_that_changes_nothing_is_no_error(nodes: list[Database]) -> None:
    """Some databases count only rows that became others; who is not there is a `KeyError` everywhere."""
    users = SqlUsers(nodes[0], time.time)
    stored = await users.add(user())
    await users.update(stored)
    with pytest.raises(KeyError):
        await users.update(user("bob", id=stored.id + 100))


async def test_names_differ_where_a_byte_does(nodes: list[Database]) -> None:
    """In case and accents. A blank at the end may be taken for none, but never finds another's record."""
    users = SqlUsers(nodes[0], time.time)
    names = ["alice", "Alice", "álice"]
    ids = [(await users.add(user(name))).id for name in names]
    found = [await users.find(name) for name in names]
    assert [each and each.id for each in found] == ids
    assert await users.find("alice ") is None
    with pytest.raises(ValueError, match="'alice' exists already"):
        await users.add(user())
    if nodes[0].kind == "mysql":
        with pytest.raises(ValueError, match="'alice ' exists already"):
            await users.ensure(user("alice "), 0)
    else:
        assert (await users.ensure(user("alice "), 0)).id not in ids


async def test_a_user_is_made_once_by_many_nodes(nodes: list[Database]) -> None:
    """All get the same, and the quota is granted once."""
    users = [SqlUsers(node, time.time) for node in nodes]
    for round in range(5):
        made = await asyncio.gather(*(each.ensure(user(f"user-{round}"), 700) for each in users * 3))
        assert len({each.id for each in made}) == 1
        query = select(schema.accounts.c.granted).where(schema.accounts.c.account == f"user:{made[0].id}")
        assert await nodes[0].read(lambda connection, query=query: connection.execute(query).scalar()) == 700
    assert len(await users[0].list()) == 5


async def test_what_was_granted_to_an_id_before_its_user_was_made_stays(nodes: list[Database]) -> None:
    """The quota is added to it."""
    row = {"account": "user:1", "granted": 5, "spent": 2, "reserved": 0, "unlimited": False}
    await nodes[0].write(lambda connection: connection.execute(schema.accounts.insert().values(row)))
    made = await SqlUsers(nodes[0], time.time).ensure(user(), 700)
    rows = await nodes[0].read(lambda connection: connection.execute(select(schema.accounts)).all())
    assert made.id == 1
    assert [tuple(each)[:4] for each in rows] == [("user:1", 705, 2, 0)]


async def test_an_option_is_created_once_by_many_nodes(nodes: list[Database]) -> None:
    """Whoever is first decides; all get the same value."""
    options = [SqlOptions(node) for node in nodes]
    for round in range(5):
        values = await asyncio.gather(*(each.create(f"key-{round}", n) for n, each in enumerate(options * 3)))
        assert len(set(values)) == 1
        assert await options[0].get(f"key-{round}") == values[0]
    await asyncio.gather(*(each.set("key-0", "same") for each in options * 3))
    assert len(await options[0].all()) == 5
    assert await options[0].get("key-0") == "same"
    assert await options[0].get("none") is None


async def test_every_change_is_counted_once(nodes: list[Database]) -> None:
    """However many nodes change at the same time; nobody is refused because of another."""
    users, options = [SqlUsers(node, time.time) for node in nodes], [SqlOptions(node) for node in nodes]
    before = await nodes[0].read(revision_of)
    await asyncio.gather(
        *(each.add(user(f"user-{n}")) for n, each in enumerate(users * 5)),
        *(each.set(f"option-{n % 3}", n) for n, each in enumerate(options * 5)),
    )
    assert await nodes[0].read(revision_of) == before + 10 * NODES


async def test_nodes_write_the_same_small_records_at_once(nodes: list[Database]) -> None:
    """In whatever order each names them, and while old ones expire: nobody waits for one who waits for him."""
    clock = [1000.0]
    caches = [SqlCache(node, lambda: clock[0]) for node in nodes]
    keys = [f"key-{n}" for n in range(20)]
    for round in range(4):
        values = {key: f"{key} {round}".encode() for key in keys}
        backwards = dict(reversed(values.items()))
        await asyncio.gather(*(each.put(values if n % 2 else backwards, 5.0) for n, each in enumerate(caches * 3)))
        assert await caches[0].get(keys) == values
        clock[0] += 4.0
    clock[0] += 60.0
    assert await caches[0].get(keys) == {}
    await asyncio.gather(*(each.put({"new": b"\x00" * 300_000}, 5.0) for each in caches))
    rows = await nodes[0].read(lambda connection: connection.execute(select(schema.cache.c.cache_key)).scalars().all())
    assert rows == ["new"]


async def test_a_price_is_kept_once_by_many_nodes(nodes: list[Database]) -> None:
    """With its numbers as they were."""
    price = Price(input=Decimal("0.150"), output=Decimal("0.6"), version="v1")
    stores = [SqlPrices(node) for node in nodes]
    await asyncio.gather(*(each.keep(price) for each in stores * 3))
    assert await stores[0].find("v1") == price
    assert await stores[0].find("v2") is None


async def test_a_value_that_a_database_does_not_take_is_an_error_of_its_own(nodes: list[Database]) -> None:
    """It is no outage, and what was to be stored is not repeated. SQLite takes everything."""
    users = SqlUsers(nodes[0], time.time)
    for name in ("a\x00canary" if nodes[0].kind == "postgresql" else "canary" * 50, "canary" * 50):
        if nodes[0].kind == "sqlite":
            assert (await users.add(user(name + name[:1]))).id
            break
        with pytest.raises(ValueError, match="does not take") as caught:
            await users.add(user(name))
        assert "canary" not in repr(caught.value)
        assert caught.value.__cause__ is None


async def test_a_report_reads_one_state_and_changes_nothing(nodes: list[Database]) -> None:
    """While others write."""
    users = SqlUsers(nodes[1], time.time)
    await users.add(user("first"))
    loop = asyncio.get_running_loop()
    query = select(schema.users.c.name)

    def twice(connection: object) -> tuple[list[str], list[str]]:
        before = list(connection.execute(query).scalars())  # type: ignore[attr-defined]
        asyncio.run_coroutine_threadsafe(users.add(user("second")), loop).result(30)
        return before, list(connection.execute(query).scalars())  # type: ignore[attr-defined]

    assert await nodes[0].report(twice) == (["first"], ["first"])
    with pytest.raises(ServiceUnavailable):
        await nodes[0].report(lambda connection: connection.execute(text("DELETE FROM gateway_users")))
    assert len(await users.list()) == 2
