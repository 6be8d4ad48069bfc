"""What a database needs before the first request: its tables, what the file declares, and a way in.

Only the very first start makes a root token: the storage remembers that there was one, so that a second process, a
second start, or a root token that was deleted make no other.
"""

from secrets import token_hex

from asgi_gateway.config import ROOT, Settings, extended
from asgi_gateway.declaration import declare, ensure_root
from asgi_gateway.storage.keys import digest_of, generate_key, hint_of
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import Account, Token

__all__ = ["FIRST_START", "prepare", "with_root"]

FIRST_START = "standalone/first_start"
"""The option that names the process which made the root token."""


async def prepare(settings: Settings, storage: Storage) -> str | None:
    """Bring an open storage to what the settings need; the root token's key if this was the first start ever."""
    await declare(settings, storage)
    return await _root_token(storage)


def with_root(settings: Settings, key: str) -> Settings:
    """The settings with a declared root token, for a storage that forgets everything at the end."""
    if any(token.name == ROOT for token in settings.tokens):
        return settings
    return extended(settings, tokens=[{"name": ROOT, "key": key, "unlimited": True}])


async def _root_token(storage: Storage) -> str | None:
    mine = token_hex(16)
    if await storage.options.create(FIRST_START, mine) != mine:
        return None
    user = await ensure_root(storage)
    if await storage.tokens.named(ROOT) is not None:
        return None
    key = generate_key()
    token = Token(name=ROOT, user_id=user.id, digest=digest_of(key), hint=hint_of(key), unlimited=True)
    token = await storage.tokens.add(token)
    await storage.ledger.declare(Account("token", token.id), 0, unlimited=True)
    return key
