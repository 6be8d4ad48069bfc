"""A storage that tells of changes is looked at when it does."""

from dataclasses import replace
from pathlib import Path
from time import monotonic

import pytest

from asgi_gateway.backends import SqlStorage
from asgi_gateway.config import StorageSettings
from asgi_gateway.directory import Catalogue, Directory
from asgi_gateway.storage.keys import digest_of
from asgi_gateway.storage.records import Channel, Secret, Token, User
from asgi_gateway.storage.vault import Unreadable, Vault
from support.gateways import house

DIGEST = digest_of("sk-a-key")


async def test_a_change_by_the_process_itself_is_seen_at_once(tmp_path: Path) -> None:
    """Long before it would look by itself; again after it was closed and opened."""
    storage = SqlStorage(f"sqlite:///{tmp_path / 'gateway.db'}")
    at = house(storage=storage, settings={"storage": StorageSettings(sync=30.0)})
    for _ in range(2):
        async with at.gateway:
            token = await storage.tokens.named("dev")
            assert token is not None
            assert (await at.get("/v1/models")).status == 200
            await storage.tokens.update(replace(token, enabled=False))
            deadline = monotonic() + 10
            while (await at.get("/v1/models")).status != 401:
                assert monotonic() < deadline
            await storage.tokens.update(replace(token, enabled=True))


async def test_a_channel_that_cannot_be_read_keeps_no_disabled_token_alive(tmp_path: Path) -> None:
    """Another node has a secret that this one lacks: it goes on with the channels that it knows."""
    pytest.importorskip("cryptography")
    url = f"sqlite:///{tmp_path / 'gateway.db'}"
    here, there = (SqlStorage(url, True, vault=Vault(Secret(secret))) for secret in ("old", "new"))
    await here.open()
    await there.open()
    user = await here.users.add(User(name="alice"))
    token = await here.tokens.add(Token(name="dev", user_id=user.id, digest=DIGEST))
    await here.channels.add(Channel(name="known", provider="openai", keys=(Secret("k"),), models=("m",)))
    directory = Directory(here, Catalogue())
    await directory.refresh()
    catalogue = directory.catalogue
    assert await directory.tokens.token(DIGEST) == (token, user)

    await there.channels.add(Channel(name="foreign", provider="openai", keys=(Secret("k"),), models=("m",)))
    await there.tokens.update(replace(token, enabled=False))
    for _ in range(2):
        with pytest.raises(Unreadable, match='channel "foreign"'):
            await directory.refresh()
    assert directory.catalogue is catalogue
    found = await directory.tokens.token(DIGEST)
    assert found is not None
    assert not found[0].enabled
    await here.close()
    await there.close()
