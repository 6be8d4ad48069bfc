"""What channels have of secrets lies encrypted in the database, and is encrypted anew by a rotation."""

import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asgi_gateway.backends import SqlStorage
from asgi_gateway.backends.sql import sealing as module
from asgi_gateway.storage.records import Channel, Secret
from asgi_gateway.storage.vault import Sealing, Unreadable, Vault

pytest.importorskip("cryptography")

OLD, NEW = Secret("an old secret"), Secret("a new secret")
KEY = "canary-channel-key"
CANARIES = [KEY, "canary-base-url", "canary-header", "canary-param", "canary-proxy"]

CHANNEL = Channel(
    name="main",
    provider="openai",
    keys=(Secret(KEY), Secret(KEY + "-2")),
    base_url="https://host/canary-base-url",
    header_override={"x-key": "canary-header"},
    param_override={"token": "canary-param"},
    proxy="http://user:canary-proxy@proxy",
    models=("m",),
)

Open = Callable[..., Any]


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[Open]:
    """Opens the database with a vault; all of them are closed at the end."""
    async with AsyncExitStack() as stack:

        async def open_with(*secrets: Secret | None) -> SqlStorage:
            current, *previous = secrets or (None,)
            vault = Vault(current, [secret for secret in previous if secret is not None])
            storage = SqlStorage(f"sqlite:///{tmp_path / 'gateway.db'}", vault=vault)
            await storage.open()
            stack.push_async_callback(storage.close)
            return storage

        yield open_with


def visible(folder: Path) -> list[str]:
    """The canaries that stand in the bytes of any file: database, log, shared memory."""
    data = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
    assert data
    return [canary for canary in CANARIES if canary.encode() in data]


def rows(path: Path) -> Sequence[tuple[str, str]]:
    with closing(sqlite3.connect(path / "gateway.db")) as connection:
        return connection.execute("SELECT secrets, settings FROM gateway_channels ORDER BY id").fetchall()


async def test_nothing_of_a_channel_is_in_the_file(opened: Open, tmp_path: Path) -> None:
    """Not while it is open, and not afterwards; the channel is as it was."""
    storage = await opened(OLD)
    stored = await storage.channels.add(CHANNEL)
    await storage.channels.update(replace(stored, weight=5))
    assert await storage.channels.list() == [replace(stored, weight=5)]
    assert await storage.channels.named("main") == replace(stored, weight=5)
    assert visible(tmp_path) == []
    await storage.close()
    assert visible(tmp_path) == []


async def test_what_is_no_secret_can_be_read_by_everybody(opened: Open, tmp_path: Path) -> None:
    """Models, groups and the like."""
    storage = await opened(OLD)
    await storage.channels.add(CHANNEL)
    ((secrets, settings),) = rows(tmp_path)
    assert secrets.startswith("v1:")
    assert json.loads(settings)["models"] == ["m"]


async def test_rows_in_clear_are_read_and_sealed_by_the_next_write(opened: Open, tmp_path: Path) -> None:
    """So a secret can be introduced at any time."""
    clear = await opened()
    stored = await clear.channels.add(CHANNEL)
    assert visible(tmp_path) == CANARIES
    storage = await opened(OLD)
    assert await storage.channels.list() == [stored]
    assert await storage.sealed.count() == ({Sealing.CLEAR: 1}, [])
    await storage.channels.update(stored)
    assert await storage.sealed.count() == ({Sealing.CURRENT: 1}, [])


async def test_a_wrong_secret_names_the_channel(opened: Open) -> None:
    """And gives nothing half decrypted."""
    await (await opened(OLD)).channels.add(CHANNEL)
    for secret in (NEW, None):
        storage = await opened(secret)
        with pytest.raises(Unreadable, match='channel "main"'):
            await storage.channels.list()
        with pytest.raises(Unreadable, match='channel "main"'):
            await storage.channels.named("main")


async def test_texts_cannot_be_swapped_between_channels(opened: Open, tmp_path: Path) -> None:
    """Whoever can write to the database cannot send one channel's key to another's address."""
    storage = await opened(OLD)
    await storage.channels.add(CHANNEL)
    await storage.channels.add(replace(CHANNEL, name="other", base_url="https://elsewhere"))
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as connection:
        connection.execute(
            "UPDATE gateway_channels SET secrets = (SELECT secrets FROM gateway_channels WHERE name = 'main')"
        )
        connection.commit()
    with pytest.raises(Unreadable, match='channel "other"'):
        await storage.channels.list()


async def test_a_rotation_seals_everything_anew(opened: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In several transactions; what is up to date is left alone."""
    monkeypatch.setattr(module, "BATCH", 2)
    channels = [replace(CHANNEL, name=f"c{number}") for number in range(7)]
    for place, secrets in enumerate([(), (OLD,), (NEW, OLD)]):
        storage = await opened(*secrets)
        for channel in channels[2 * place : 2 * place + 2]:
            await storage.channels.add(channel)
    before = {Sealing.CLEAR: 2, Sealing.PREVIOUS: 2, Sealing.CURRENT: 2}
    kept = rows(tmp_path)[4:]
    assert await storage.sealed.rotate(dry_run=True) == (before, [])
    assert await storage.sealed.count() == (before, [])
    assert await storage.sealed.rotate() == (before, [])
    assert await storage.sealed.rotate() == ({Sealing.CURRENT: 6}, [])
    assert rows(tmp_path)[4:] == kept
    alone = await opened(NEW)
    assert [channel.keys for channel in await alone.channels.list()] == [CHANNEL.keys] * 6
    await alone.close()


async def test_an_interrupted_rotation_goes_on_where_it_was(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed is not done again."""
    monkeypatch.setattr(module, "BATCH", 2)
    clear = await opened()
    for number in range(6):
        await clear.channels.add(replace(CHANNEL, name=f"c{number}"))
    storage = await opened(NEW)
    seal, calls = module.sealed_values, []

    def failing(values: Any, vault: Vault) -> dict[str, object]:
        calls.append(values["name"])
        if len(calls) == 4:
            raise RuntimeError("the machine stops here")
        return seal(values, vault)

    monkeypatch.setattr(module, "sealed_values", failing)
    with pytest.raises(RuntimeError):
        await storage.sealed.rotate()
    assert await storage.sealed.count() == ({Sealing.CURRENT: 2, Sealing.CLEAR: 4}, [])
    calls.clear()
    monkeypatch.setattr(module, "sealed_values", seal)
    await storage.sealed.rotate()
    assert await storage.sealed.count() == ({Sealing.CURRENT: 6}, [])


async def test_channels_whose_secret_is_lost_can_be_removed(opened: Open) -> None:
    """They are named otherwise, and left as they are."""
    await (await opened(OLD)).channels.add(CHANNEL)
    storage = await opened(NEW)
    other = await storage.channels.add(replace(CHANNEL, name="other"))
    before = {Sealing.UNREADABLE: 1, Sealing.CURRENT: 1}
    assert await storage.sealed.rotate() == (before, ["main"])
    version = await storage.version()
    assert await storage.sealed.rotate(drop_unreadable=True) == (before, ["main"])
    assert await storage.channels.list() == [other]
    assert await storage.version() > version


async def test_half_sealed_rows_count_as_clear(opened: Open, tmp_path: Path) -> None:
    """A channel counts by whichever of its texts is worse off."""
    storage = await opened(OLD)
    await storage.channels.add(CHANNEL)
    await (await opened()).channels.add(replace(CHANNEL, name="clear"))
    with closing(sqlite3.connect(tmp_path / "gateway.db")) as connection:
        connection.execute(
            "UPDATE gateway_channels SET settings = (SELECT settings FROM gateway_channels WHERE name = 'clear')"
        )
        connection.commit()
    assert await storage.sealed.count() == ({Sealing.CLEAR: 2}, [])
    assert (await storage.channels.list())[1].keys == CHANNEL.keys
