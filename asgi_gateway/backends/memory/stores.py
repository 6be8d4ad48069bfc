"""Users, tokens, channels and options of one process."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any, Generic, TypeVar

from asgi_gateway.storage.records import Channel, Price, Token, User

__all__ = ["MemoryChannels", "MemoryOptions", "MemoryPrices", "MemoryTokens", "MemoryUsers", "Revision", "Table"]

R = TypeVar("R", User, Token, Channel)


class Revision:
    """Counts the changes to users, tokens, channels and options."""

    __slots__ = ("number",)

    def __init__(self) -> None:
        self.number = 1

    def bump(self) -> None:
        """Something changed."""
        self.number += 1


class Table(Generic[R]):
    """Records by id and by unique name. Ids are never given twice."""

    def __init__(self, noun: str, revision: Revision) -> None:
        self._noun = noun
        self._revision = revision
        self._ids = count(1)
        self._rows: dict[int, R] = {}
        self._names: dict[str, int] = {}

    def add(self, record: R) -> R:
        """Store a new record under a new id. Raises `ValueError` when the name is taken."""
        if record.name in self._names:
            raise ValueError(f"a {self._noun} named {record.name!r} exists already")
        record = replace(record, id=next(self._ids))
        self._rows[record.id] = record
        self._names[record.name] = record.id
        self._revision.bump()
        return record

    def get(self, id: int) -> R | None:
        """The record of an id."""
        return self._rows.get(id)

    def named(self, name: str) -> R | None:
        """The record of a name."""
        return self._rows.get(self._names.get(name, 0))

    def all(self) -> list[R]:
        """All records, by name."""
        return sorted(self._rows.values(), key=lambda record: record.name)

    def update(self, record: R) -> None:
        """Replace a record. Raises `KeyError` when it is not there, `ValueError` when its name is another's."""
        old = self._rows[record.id]
        if self._names.get(record.name, record.id) != record.id:
            raise ValueError(f"a {self._noun} named {record.name!r} exists already")
        del self._names[old.name]
        self._names[record.name] = record.id
        self._rows[record.id] = record
        self._revision.bump()

    def delete(self, id: int) -> R | None:
        """Remove a record and return it."""
        record = self._rows.pop(id, None)
        if record is not None:
            del self._names[record.name]
            self._revision.bump()
        return record


class MemoryTokens:
    """`TokenStore` in memory. `wall` gives the time for records that come without one."""

    def __init__(self, users: Table[User], revision: Revision, wall: Callable[[], float]) -> None:
        self._users = users
        self._tokens: Table[Token] = Table("token", revision)
        self._digests: dict[bytes, int] = {}
        self._wall = wall

    async def add(self, token: Token) -> Token:
        """See `TokenStore.add`."""
        if token.digest in self._digests:
            raise ValueError("a token with this key exists already")
        if token.created is None:
            token = replace(token, created=datetime.fromtimestamp(self._wall(), UTC))
        token = self._tokens.add(token)
        self._digests[token.digest] = token.id
        return token

    async def find(self, digest: bytes) -> tuple[Token, User] | None:
        """See `TokenStore.find`."""
        token = self._tokens.get(self._digests.get(digest, 0))
        user = self._users.get(token.user_id) if token is not None else None
        return (token, user) if token is not None and user is not None else None

    async def named(self, name: str) -> Token | None:
        """See `TokenStore.named`."""
        return self._tokens.named(name)

    async def list(self) -> Sequence[Token]:
        """See `TokenStore.list`."""
        return self._tokens.all()

    async def update(self, token: Token) -> None:
        """See `TokenStore.update`."""
        if self._digests.get(token.digest, token.id) != token.id:
            raise ValueError("a token with this key exists already")
        old = self._tokens.get(token.id)
        self._tokens.update(token)
        if old is not None:
            del self._digests[old.digest]
        self._digests[token.digest] = token.id

    async def delete(self, id: int) -> bool:
        """See `TokenStore.delete`."""
        token = self._tokens.delete(id)
        if token is not None:
            del self._digests[token.digest]
        return token is not None

    async def forget(self, user_id: int) -> None:
        """Remove all tokens of a user."""
        for token in self._tokens.all():
            if token.user_id == user_id:
                await self.delete(token.id)


class MemoryUsers:
    """`UserStore` in memory."""

    def __init__(self, users: Table[User], tokens: MemoryTokens, wall: Callable[[], float]) -> None:
        self._users = users
        self._tokens = tokens
        self._wall = wall

    async def add(self, user: User) -> User:
        """See `UserStore.add`."""
        if user.created is None:
            user = replace(user, created=datetime.fromtimestamp(self._wall(), UTC))
        return self._users.add(user)

    async def find(self, name: str) -> User | None:
        """The user of a name."""
        return self._users.named(name)

    async def get(self, id: int) -> User | None:
        """The user of an id."""
        return self._users.get(id)

    async def list(self) -> Sequence[User]:
        """See `UserStore.list`."""
        return self._users.all()

    async def update(self, user: User) -> None:
        """See `UserStore.update`."""
        self._users.update(user)

    async def delete(self, id: int) -> bool:
        """See `UserStore.delete`."""
        user = self._users.delete(id)
        if user is not None:
            await self._tokens.forget(id)
        return user is not None


class MemoryChannels:
    """`ChannelStore` in memory."""

    def __init__(self, revision: Revision) -> None:
        self._channels: Table[Channel] = Table("channel", revision)

    async def add(self, channel: Channel) -> Channel:
        """See `ChannelStore.add`."""
        return self._channels.add(channel)

    async def named(self, name: str) -> Channel | None:
        """See `ChannelStore.named`."""
        return self._channels.named(name)

    async def list(self) -> Sequence[Channel]:
        """See `ChannelStore.list`."""
        return self._channels.all()

    async def update(self, channel: Channel) -> None:
        """See `ChannelStore.update`."""
        self._channels.update(channel)

    async def delete(self, id: int) -> bool:
        """See `ChannelStore.delete`."""
        return self._channels.delete(id) is not None


class MemoryOptions:
    """`OptionStore` in memory; values are kept as JSON, so that nobody changes them from outside."""

    def __init__(self, revision: Revision) -> None:
        self._values: dict[str, str] = {}
        self._revision = revision

    async def get(self, name: str) -> Any | None:
        """The value of a name, None when there is none."""
        text = self._values.get(name)
        return None if text is None else json.loads(text)

    async def set(self, name: str, value: Any) -> None:
        """Store a value."""
        self._values[name] = json.dumps(value)
        self._revision.bump()

    async def create(self, name: str, value: Any) -> Any:
        """See `OptionStore.create`."""
        if name not in self._values:
            await self.set(name, value)
        return json.loads(self._values[name])

    async def all(self) -> Mapping[str, Any]:
        """All values by name."""
        return {name: json.loads(text) for name, text in self._values.items()}


class MemoryPrices:
    """`PriceStore` in memory."""

    def __init__(self) -> None:
        self._prices: dict[str, Price] = {}

    async def keep(self, price: Price) -> None:
        """See `PriceStore.keep`."""
        self._prices.setdefault(price.version, price)

    async def find(self, version: str) -> Price | None:
        """See `PriceStore.find`."""
        return self._prices.get(version)
