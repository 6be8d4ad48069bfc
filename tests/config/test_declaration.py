"""Bringing what the settings declare into a storage."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asgi_gateway.backends import open_storage
from asgi_gateway.config import Settings, TokenSettings, UserSettings, extended
from asgi_gateway.declaration import declare, ensure_root
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.keys import digest_of
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import (
    NO_BUDGET,
    Account,
    Budget,
    Channel,
    Outcome,
    Reservation,
    Secret,
    Settlement,
    Token,
    User,
)


@pytest.fixture(params=["memory", "sqlite"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Storage]:
    """An open storage of each kind."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path / 'gateway.db'}"
    storage = open_storage(url)
    await storage.open()
    yield storage
    await storage.close()


def channel(name: str = "main", **changes: Any) -> Channel:
    return replace(Channel(name=name, provider="openai", keys=(Secret("sk-up"),), models=("m",)), **changes)


def token(name: str = "dev", key: str = "sk-dev", **changes: Any) -> TokenSettings:
    return replace(TokenSettings(name=name, key=Secret(key), user="alice", quota=100), **changes)


def settings(*tokens: TokenSettings, quota: int = 1000, channels: tuple[Channel, ...] = ()) -> Settings:
    return extended(Settings(), channels=channels, users=[UserSettings(name="alice", quota=quota)], tokens=tokens)


async def found(storage: Storage, key: str) -> tuple[Token, User]:
    pair = await storage.tokens.find(digest_of(key))
    assert pair is not None
    return pair


async def spend(storage: Storage, units: int, *accounts: Account) -> None:
    reservation = Reservation(key="spent", amount=units, prompt_amount=0, accounts=accounts, request_id="r")
    await storage.ledger.reserve(reservation)
    await storage.ledger.settle(reservation, Settlement(charge=units, outcome=Outcome.COMPLETED))


async def test_what_is_declared_can_be_found(storage: Storage) -> None:
    """Channels, users and tokens stand in the storage with the origin file, and with their quotas."""
    await declare(settings(token(show_route=True), channels=(channel(),)), storage)

    stored, user = await found(storage, "dev")
    assert (stored.name, stored.show_route, stored.origin, user.name, user.origin) == (
        "dev",
        True,
        "file",
        "alice",
        "file",
    )
    (way,) = await storage.channels.list()
    assert (way.name, way.keys, way.origin) == ("main", (Secret("sk-up"),), "file")
    assert (await storage.ledger.balance(Account("user", user.id))).granted == 1000
    assert (await storage.ledger.balance(Account("token", stored.id))).granted == 100


async def test_doing_it_again_changes_nothing(storage: Storage) -> None:
    """A second start finds everything as it left it: not even the version moves."""
    wanted = settings(token(), channels=(channel(),))
    await declare(wanted, storage)
    before = (await storage.version(), await storage.channels.list(), await storage.tokens.list())

    await declare(wanted, storage)

    assert (await storage.version(), await storage.channels.list(), await storage.tokens.list()) == before


async def test_a_restart_refills_nothing_and_a_change_grants_the_difference_once(storage: Storage) -> None:
    """Spent stays spent; what the file grants is the sum ever granted."""
    await declare(settings(token()), storage)
    stored, user = await found(storage, "dev")
    account = Account("user", user.id)
    await spend(storage, 60, account, Account("token", stored.id))

    await declare(settings(token()), storage)
    assert (await storage.ledger.balance(account)).available == 940

    for _ in range(2):
        await declare(settings(token(), quota=1500), storage)
        assert (await storage.ledger.balance(account)).available == 1440
    await declare(settings(token(), quota=500), storage)
    balance = await storage.ledger.balance(account)
    assert (balance.granted, balance.spent, balance.available) == (500, 60, 440)


async def test_units_granted_at_run_time_stay_beside_the_declared_ones(storage: Storage) -> None:
    """What an operator adds is not taken back by a restart."""
    await declare(settings(), storage)
    user = await storage.users.find("alice")
    assert user is not None
    await storage.ledger.grant(Account("user", user.id), 5)

    await declare(settings(), storage)

    assert (await storage.ledger.balance(Account("user", user.id))).granted == 1005


async def test_a_declared_entry_wins_over_run_time(storage: Storage) -> None:
    """A record of the same name is taken over, with its id and so its balance."""
    made = await storage.users.add(User(name="alice", group="vip"))
    way = await storage.channels.add(channel(models=("old",)))

    await declare(settings(channels=(channel(),)), storage)

    assert await storage.users.find("alice") == replace(made, group="default", origin="file")
    assert await storage.channels.list() == [replace(channel(), id=way.id, origin="file")]


async def test_a_channel_that_left_the_file_is_removed(storage: Storage) -> None:
    """Channels made at run time stay."""
    await storage.channels.add(channel("own"))
    await declare(settings(channels=(channel("a"), channel("b"))), storage)

    await declare(settings(channels=(channel("b"),)), storage)

    assert [way.name for way in await storage.channels.list()] == ["b", "own"]


async def test_users_and_tokens_that_left_the_file_stop_working_and_keep_their_balance(storage: Storage) -> None:
    """Who comes back finds what it had spent."""
    await declare(settings(token()), storage)
    stored, user = await found(storage, "dev")
    await spend(storage, 60, Account("user", user.id), Account("token", stored.id))

    await declare(Settings(), storage)
    gone, owner = await found(storage, "dev")
    assert (gone.enabled, gone.origin, owner.enabled, owner.origin) == (False, "runtime", False, "runtime")

    await declare(settings(token()), storage)
    assert await found(storage, "dev") == (stored, user)
    assert (await storage.ledger.balance(Account("token", stored.id))).available == 40


async def test_a_token_keeps_its_balance_when_its_key_changes(storage: Storage) -> None:
    """The old key stops working, the account stays."""
    await declare(settings(token()), storage)
    before, _ = await found(storage, "dev")

    await declare(settings(token(key="sk-new")), storage)

    after, _ = await found(storage, "new")
    assert after.id == before.id
    assert await storage.tokens.find(digest_of("dev")) is None


async def test_a_token_keeps_its_balance_when_its_name_changes(storage: Storage) -> None:
    """The same key under another name is the same token."""
    await declare(settings(token()), storage)
    before, _ = await found(storage, "dev")

    await declare(settings(token(name="laptop")), storage)

    after, _ = await found(storage, "dev")
    assert (after.id, after.name) == (before.id, "laptop")
    assert [each.name for each in await storage.tokens.list()] == ["laptop"]


async def test_a_key_may_move_to_another_declared_token(storage: Storage) -> None:
    """Two tokens swap their keys in one change of the file."""
    await declare(settings(token("a", "sk-1"), token("b", "sk-2")), storage)

    await declare(settings(token("a", "sk-2"), token("b", "sk-1")), storage)

    assert (await found(storage, "2"))[0].name == "a"
    assert (await found(storage, "1"))[0].name == "b"


async def test_a_declared_token_takes_its_key_from_one_that_is_declared_no_longer(storage: Storage) -> None:
    """The file wins: a key belongs to whom it says."""
    await declare(settings(token("a", "sk-1"), token("b", "sk-2")), storage)

    await declare(settings(token("a", "sk-2")), storage)

    assert (await found(storage, "2"))[0].name == "a"
    assert [each.name for each in await storage.tokens.list()] == ["a"]


async def test_a_token_of_nobody_belongs_to_the_deployer(storage: Storage) -> None:
    """The unlimited user root is made for it, and is no affair of the file."""
    await declare(extended(Settings(), tokens=[{"name": "t", "key": "sk-t", "unlimited": True}]), storage)

    stored, user = await found(storage, "t")
    assert (user.name, user.role, user.unlimited, user.origin) == ("root", "root", True, "runtime")
    assert (await storage.ledger.balance(Account("user", user.id))).unlimited
    assert (await storage.ledger.balance(Account("token", stored.id))).unlimited
    assert await ensure_root(storage) == user


async def test_a_root_user_that_was_limited_at_run_time_stays_so(storage: Storage) -> None:
    """Making sure of root grants it nothing once it is there."""
    root = await storage.users.add(User(name="root", role="root"))

    assert await ensure_root(storage) == root
    assert not (await storage.ledger.balance(Account("user", root.id))).unlimited


async def test_several_processes_may_declare_at_once(tmp_path: Path) -> None:
    """Each of eight storages on one file ends with the same records, each there once."""
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    storages = [open_storage(url, shared=True) for _ in range(8)]
    wanted = settings(token("a", "sk-1"), token("b", "sk-2"), channels=(channel("x"), channel("y")))
    for each in storages:
        await each.open()
    try:
        await asyncio.gather(*(declare(wanted, each) for each in storages))

        assert [way.name for way in await storages[0].channels.list()] == ["x", "y"]
        assert [each.name for each in await storages[1].tokens.list()] == ["a", "b"]
        stored, user = await found(storages[2], "1")
        assert (await storages[3].ledger.balance(Account("user", user.id))).granted == 1000
        assert (await storages[4].ledger.balance(Account("token", stored.id))).granted == 100
    finally:
        for each in storages:
            await each.close()


async def test_entries_that_others_keep_changing_are_given_up_in_the_end(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A conflict that never ends is told as what it is, with its cause."""
    tries = 0

    async def taken(user: User) -> User:
        nonlocal tries
        tries += 1
        raise ValueError("the name is taken")

    step: Callable[[User], Awaitable[User]] = taken
    monkeypatch.setattr(storage.users, "add", step)

    with pytest.raises(ServiceUnavailable) as refusal:
        await declare(settings(), storage)

    assert tries > 1
    assert isinstance(refusal.value.__cause__, ValueError)


async def test_budgets_are_stored_and_lifted_with_the_file(storage: Storage) -> None:
    """Of users and tokens; one that the file no longer has bounds nothing."""
    for budget in (Budget(day=10, month=300), Budget(week=5), NO_BUDGET):
        declared = extended(
            Settings(),
            users=[UserSettings(name="alice", unlimited=True, budget=budget)],
            tokens=[token(budget=budget)],
        )
        await declare(declared, storage)
        stored, owner = await found(storage, "sk-dev")
        assert (stored.budget, owner.budget) == (budget, budget)
    assert stored.budget is NO_BUDGET
    assert owner.budget is NO_BUDGET
