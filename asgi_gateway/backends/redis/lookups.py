"""Look-ups of tokens that nodes share: what one has read from the database, the next finds in Redis.

A record outlives no change. Its key holds the revision that the node knew before it read the database, so the record
is at least as new as that revision; whoever has seen a later one asks under another key. A node that has not seen it
yet could take an older record from its own memory just as well: it learns of the change by the message, or at its
next look. Records go after `AGE` seconds by themselves.

No key of a caller is in a record: digests, names, limits, and the few letters of a key that may be shown.
Whoever can write to Redis could make up a record; where there is a `CRYPTO_SECRET`, records are encrypted and bound
to their place, and none but our own is taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from hashlib import sha256

from msgspec import DecodeError, ValidationError
from msgspec.msgpack import Decoder, Encoder

from asgi_gateway.backends.redis.client import Away, RedisClient
from asgi_gateway.storage.protocols import TokenStore
from asgi_gateway.storage.records import Budget, Token, User
from asgi_gateway.storage.vault import LOOKUPS, Unreadable, Vault

__all__ = ["RedisTokens"]

AGE = 30
"""Seconds."""

FORM = sha256(
    repr([[field.name for field in fields(kind)] for kind in (Token, User, Budget)]).encode()
).hexdigest()[:8]  # fmt: skip
"""Of the records: programs whose records have other fields do not read each other's."""


class RedisTokens:
    """A `TokenStore` before which Redis is asked. `place` gives the beginning of keys, the revision in it, or None."""

    def __init__(self, tokens: TokenStore, client: RedisClient, vault: Vault, place: Callable[[], str | None]) -> None:
        self._tokens = tokens
        self._client = client
        self._vault = vault
        self._place = place
        self._encoder = Encoder()
        self._decoder = Decoder(tuple[Token, User])

    async def find(self, digest: bytes) -> tuple[Token, User] | None:
        """See `TokenStore.find`."""
        place = self._place()  # before the database is read: what is stored is then no older
        if place is None:
            return await self._tokens.find(digest)
        key = f"{place}:{FORM}:{digest.hex()}"
        try:
            data = await self._client.run(lambda redis: redis.get(key))
        except Away:
            return await self._tokens.find(digest)
        known = self._read(key, data) if isinstance(data, bytes) else None
        if known is not None and known[0].digest == digest:
            return known
        found = await self._tokens.find(digest)
        if found is not None:
            sealed = self._vault.seal_bytes(LOOKUPS, key, self._encoder.encode(found))
            try:
                await self._client.run(lambda redis: redis.set(key, sealed, ex=AGE))
            except Away:
                pass  # it was only for the others
        return found

    def _read(self, key: str, data: bytes) -> tuple[Token, User] | None:
        try:
            return self._decoder.decode(self._vault.open_bytes(LOOKUPS, key, data))
        except (Unreadable, ValidationError, DecodeError):
            return None  # of another secret, or not ours: the database knows

    async def add(self, token: Token) -> Token:
        """See `TokenStore.add`."""
        return await self._tokens.add(token)

    async def named(self, name: str) -> Token | None:
        """The token of a name."""
        return await self._tokens.named(name)

    async def list(self) -> Sequence[Token]:
        """See `TokenStore.list`."""
        return await self._tokens.list()

    async def update(self, token: Token) -> None:
        """See `TokenStore.update`."""
        await self._tokens.update(token)

    async def delete(self, id: int) -> bool:
        """See `TokenStore.delete`."""
        return await self._tokens.delete(id)
