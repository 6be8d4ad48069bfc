"""Users, tokens, channels and options on SQL: seldom used, so SQLAlchemy writes the statements.

MySQL takes texts for equal that differ in blanks at their end: what is found by name must have that very name.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from asgi_gateway.backends.sql import schema
from asgi_gateway.backends.sql.database import Database, bump
from asgi_gateway.backends.sql.entries import (
    channel_of,
    channel_values,
    token_of,
    token_values,
    user_of,
    user_values,
)
from asgi_gateway.backends.sql.rows import account_name
from asgi_gateway.backends.sql.sealing import opened_row, sealed_values
from asgi_gateway.backends.sql.upsert import upsert
from asgi_gateway.storage.records import Account, Channel, Token, User
from asgi_gateway.storage.vault import Vault

__all__ = ["SqlChannels", "SqlOptions", "SqlTokens", "SqlUsers"]

T = TypeVar("T")
Values = Mapping[str, object]

ATTEMPTS = 3
"""How often a user is looked for that others make at the same time."""


class _Rows:
    """What the stores of named records have in common: adding, replacing and removing rows of one table."""

    def __init__(self, database: Database, table: Table, noun: str) -> None:
        self._database = database
        self._table = table
        self._noun = noun

    async def add(self, values: Values) -> int:
        def work(connection: Connection) -> int:
            id = _insert(connection, self._table, values)
            bump(connection)
            return id

        return await self._unique(work, values)

    async def update(self, id: int, values: Values) -> None:
        def work(connection: Connection) -> None:
            if not connection.execute(update(self._table).where(self._table.c.id == id).values(values)).rowcount:
                raise KeyError(id)
            bump(connection)

        await self._unique(work, values)

    async def delete(self, id: int, *others: Any) -> bool:
        def work(connection: Connection) -> bool:
            there = connection.execute(delete(self._table).where(self._table.c.id == id)).rowcount > 0
            if there:
                for statement in others:
                    connection.execute(statement)
                bump(connection)
            return there

        return await self._database.write(work)

    async def _unique(self, work: Callable[[Connection], T], values: Values) -> T:
        try:
            return await self._database.write(work)
        except IntegrityError:
            # Without its cause, whose text may hold what was to be stored.
            raise ValueError(f"a {self._noun} like {values['name']!r} exists already") from None


class SqlUsers:
    """`UserStore` on SQL. `wall` gives the time for records that come without one."""

    def __init__(self, database: Database, wall: Callable[[], float]) -> None:
        self._database = database
        self._rows = _Rows(database, schema.users, "user")
        self._wall = wall

    async def add(self, user: User) -> User:
        """See `UserStore.add`."""
        if user.created is None:
            user = replace(user, created=datetime.fromtimestamp(self._wall(), UTC))
        return replace(user, id=await self._rows.add(user_values(user)))

    async def ensure(self, user: User, quota: int) -> User:
        """See `Storage.ensure_user`: user and account appear in one transaction."""
        if user.created is None:
            user = replace(user, created=datetime.fromtimestamp(self._wall(), UTC))

        def work(connection: Connection) -> User:
            stored = replace(user, id=_insert(connection, schema.users, user_values(user)))
            self._begin_account(connection, account_name(Account("user", stored.id)), quota, unlimited=user.unlimited)
            bump(connection)
            return stored

        for _ in range(ATTEMPTS):
            known = await self.find(user.name)
            if known is not None:
                return known
            try:
                return await self._database.write(work)
            except IntegrityError:
                pass  # somebody else was faster
        raise ValueError(f"a user like {user.name!r} exists already")

    async def find(self, name: str) -> User | None:
        """The user of a name."""
        user = await self._one(schema.users.c.name == name)
        return user if user is not None and user.name == name else None

    async def get(self, id: int) -> User | None:
        """The user of an id."""
        return await self._one(schema.users.c.id == id)

    async def list(self) -> Sequence[User]:
        """See `UserStore.list`."""
        query = select(schema.users).order_by(schema.users.c.name)
        return await self._database.read(lambda connection: [user_of(row) for row in connection.execute(query)])

    async def update(self, user: User) -> None:
        """See `UserStore.update`."""
        await self._rows.update(user.id, user_values(user))

    async def delete(self, id: int) -> bool:
        """See `UserStore.delete`."""
        return await self._rows.delete(id, delete(schema.tokens).where(schema.tokens.c.user_id == id))

    async def _one(self, condition: Any) -> User | None:
        row = await self._database.read(
            lambda connection: connection.execute(select(schema.users).where(condition)).first()
        )
        return None if row is None else user_of(row)

    def _begin_account(self, connection: Connection, account: str, quota: int, *, unlimited: bool) -> None:
        """Give a new user's account what it starts with, added to what somebody granted to its id before."""
        changes = {"granted": lambda old, new: old + new}
        statement = upsert(self._database.kind, schema.accounts, ("granted", "unlimited"), changes)
        values = {"account": account, "granted": quota, "spent": 0, "reserved": 0, "unlimited": unlimited}
        connection.execute(statement, values)


class SqlTokens:
    """`TokenStore` on SQL."""

    def __init__(self, database: Database, wall: Callable[[], float]) -> None:
        self._database = database
        self._rows = _Rows(database, schema.tokens, "token")
        self._wall = wall
        self._width = len(schema.tokens.columns)

    async def add(self, token: Token) -> Token:
        """See `TokenStore.add`."""
        if token.created is None:
            token = replace(token, created=datetime.fromtimestamp(self._wall(), UTC))
        return replace(token, id=await self._rows.add(token_values(token)))

    async def find(self, digest: bytes) -> tuple[Token, User] | None:
        """See `TokenStore.find`."""
        query = (
            select(schema.tokens, schema.users)
            .join(schema.users, schema.users.c.id == schema.tokens.c.user_id)
            .where(schema.tokens.c.digest == digest.hex())
        )
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None else (token_of(row[: self._width]), user_of(row[self._width :]))

    async def named(self, name: str) -> Token | None:
        """See `TokenStore.named`."""
        query = select(schema.tokens).where(schema.tokens.c.name == name)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None or row.name != name else token_of(row)

    async def list(self) -> Sequence[Token]:
        """See `TokenStore.list`."""
        query = select(schema.tokens).order_by(schema.tokens.c.name)
        return await self._database.read(lambda connection: [token_of(row) for row in connection.execute(query)])

    async def update(self, token: Token) -> None:
        """See `TokenStore.update`."""
        await self._rows.update(token.id, token_values(token))

    async def delete(self, id: int) -> bool:
        """See `TokenStore.delete`."""
        return await self._rows.delete(id)


class SqlChannels:
    """`ChannelStore` on SQL. What a row holds of secrets is sealed by the vault."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._database = database
        self._vault = vault
        self._rows = _Rows(database, schema.channels, "channel")

    async def add(self, channel: Channel) -> Channel:
        """See `ChannelStore.add`."""
        return replace(channel, id=await self._rows.add(sealed_values(channel_values(channel), self._vault)))

    async def named(self, name: str) -> Channel | None:
        """See `ChannelStore.named`."""
        query = select(schema.channels).where(schema.channels.c.name == name)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return None if row is None or row.name != name else channel_of(opened_row(row, self._vault))

    async def list(self) -> Sequence[Channel]:
        """See `ChannelStore.list`."""
        query = select(schema.channels).order_by(schema.channels.c.name)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [channel_of(opened_row(row, self._vault)) for row in rows]

    async def update(self, channel: Channel) -> None:
        """See `ChannelStore.update`."""
        await self._rows.update(channel.id, sealed_values(channel_values(channel), self._vault))

    async def delete(self, id: int) -> bool:
        """See `ChannelStore.delete`."""
        return await self._rows.delete(id)


class SqlOptions:
    """`OptionStore` on SQL."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, name: str) -> Any | None:
        """The value of a name, None when there is none."""
        text = await self._database.read(lambda connection: _option(connection, name))
        return None if text is None else json.loads(text)

    async def set(self, name: str, value: Any) -> None:
        """Store a value."""
        values = {"name": name, "value": json.dumps(value)}
        statement = upsert(self._database.kind, schema.options, ["value"])

        def work(connection: Connection) -> None:
            connection.execute(statement, values)
            bump(connection)

        await self._database.write(work)

    async def create(self, name: str, value: Any) -> Any:
        """See `OptionStore.create`."""
        values = {"name": name, "value": json.dumps(value)}

        def work(connection: Connection) -> None:
            connection.execute(insert(schema.options).values(values))
            bump(connection)

        text = await self._database.read(lambda connection: _option(connection, name))
        if text is None:
            try:
                await self._database.write(work)
            except IntegrityError:
                pass  # somebody else was faster
            text = await self._database.read(lambda connection: _option(connection, name))
        return value if text is None else json.loads(text)

    async def all(self) -> Mapping[str, Any]:
        """All values by name."""
        query = select(schema.options.c.name, schema.options.c.value).order_by(schema.options.c.name)
        rows = await self._database.read(lambda connection: list(connection.execute(query)))
        return {name: json.loads(text) for name, text in rows}


def _insert(connection: Connection, table: Table, values: Values) -> int:
    """Insert a row, return the new id."""
    key = connection.execute(insert(table).values(values)).inserted_primary_key
    assert key is not None  # one row was inserted
    return int(key[0])


def _option(connection: Connection, name: str) -> str | None:
    return connection.execute(select(schema.options.c.value).where(schema.options.c.name == name)).scalar()
