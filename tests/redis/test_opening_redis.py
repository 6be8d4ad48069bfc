"""A storage with Redis beside it opens and closes, and needs no Redis for it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from asgi_gateway import backends
from asgi_gateway.backends import MemoryStorage, SqlStorage, configured_storage, open_storage
from asgi_gateway.backends.redis import RedisStorage
from asgi_gateway.config import StorageSettings
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.records import User
from support.databases import free_port
from support.storage_suite import suite

globals().update(suite("test_entries"))


async def test_it_opens_while_redis_is_away(node: Callable[..., RedisStorage]) -> None:
    """Twice is as once; everything works."""
    pytest.importorskip("redis.asyncio")
    storage = node(f"redis://user:canary@127.0.0.1:{free_port()}/0")
    await storage.open()
    await storage.open()
    await storage.ping()
    user = await storage.ensure_user(User(name="a"), 5)
    assert await storage.users.find("a") == user
    await storage.close()
    await storage.close()
    assert "canary" not in repr(storage)


async def test_what_cannot_be_opened_is_left_closed(
    node: Callable[..., RedisStorage], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra."""
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    storage = node("redis://127.0.0.1/0")
    with pytest.raises(ValueError, match="extra"):
        await storage.open()
    with pytest.raises(ServiceUnavailable):
        await storage.version()


def test_settings_say_whether_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory has no use for it."""
    monkeypatch.setattr(backends, "find_spec", lambda name: object())
    url = f"sqlite:///{tmp_path}/gateway.db"
    beside = configured_storage(StorageSettings(url=url, redis="redis://127.0.0.1/0"))
    assert isinstance(beside, RedisStorage)
    assert isinstance(beside.database, SqlStorage)
    assert isinstance(open_storage(url), SqlStorage)
    assert isinstance(open_storage("memory://", redis="redis://127.0.0.1/0"), MemoryStorage)
    monkeypatch.setattr(backends, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"asgi-gateway\[redis\]"):
        open_storage(url, redis="redis://127.0.0.1/0")
