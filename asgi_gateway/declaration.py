"""Brings what the settings declare into the storage, so that the rest of the gateway looks in one place.

Declared channels, users and tokens are stored with the origin "file", which wins over what run time made of the same
name. What is declared no longer goes: channels are removed, users and tokens are disabled and become run-time records,
because they hold balances: an entry that comes back finds what it had spent, and a restart refills nothing.

Doing it again changes nothing, and several processes may do it at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from secrets import token_bytes

from asgi_gateway.config.settings import ROOT, Settings, TokenSettings, UserSettings
from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.storage.keys import digest_of, hint_of
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import Account, Channel, Token, User

__all__ = ["declare", "ensure_root"]

TRIES = 10
"""How often two processes may be in each other's way before one gives up."""


async def declare(settings: Settings, storage: Storage) -> None:
    """Make the storage hold what the settings declare.

    Raises `ServiceUnavailable` when the storage cannot be reached, or others keep changing the same entries.
    """
    cause: Exception | None = None
    for _ in range(TRIES):
        try:
            await _declare(settings, storage)
        except (ValueError, KeyError) as error:
            # Another process added or removed an entry between our look and our step: look again.
            cause = error
            continue
        return
    raise ServiceUnavailable("the declared channels, users and tokens could not be stored") from cause


async def ensure_root(storage: Storage) -> User:
    """The deployer's own user, made when there is none: unlimited, and free to be changed at run time."""
    root = await storage.ensure_user(User(name=ROOT, role="root", unlimited=True), 0)
    if root.unlimited:
        await _grant(Account("user", root.id), None, True, storage)
    return root


async def _declare(settings: Settings, storage: Storage) -> None:
    await _channels(settings.channels, storage)
    users = await _users(settings.users, storage)
    if ROOT not in users and any(token.user == ROOT for token in settings.tokens):
        users[ROOT] = await ensure_root(storage)
    await _tokens(settings.tokens, users, storage)


async def _channels(declared: Sequence[Channel], storage: Storage) -> None:
    stored = {channel.name: channel for channel in await storage.channels.list()}
    for channel in declared:
        found = stored.pop(channel.name, None)
        wanted = replace(channel, id=found.id if found else 0, origin="file")
        if found is None:
            await storage.channels.add(wanted)
        elif found != wanted:
            await storage.channels.update(wanted)
    for channel in stored.values():
        if channel.origin == "file":
            await storage.channels.delete(channel.id)


async def _users(declared: Sequence[UserSettings], storage: Storage) -> dict[str, User]:
    """Store the declared users; they come back by name."""
    stored = {user.name: user for user in await storage.users.list()}
    users = {}
    for entry in declared:
        found = stored.pop(entry.name, None)
        wanted = replace(
            found or User(name=entry.name),
            group=entry.group,
            role=entry.role,
            enabled=entry.enabled,
            unlimited=entry.unlimited,
            budget=entry.budget,
            origin="file",
        )
        if found is None:
            wanted = await storage.users.add(wanted)
        elif found != wanted:
            await storage.users.update(wanted)
        users[entry.name] = wanted
        await _grant(Account("user", wanted.id), entry.quota, entry.unlimited, storage)
    for user in stored.values():
        if user.origin == "file":
            await storage.users.update(replace(user, enabled=False, origin="runtime"))
    return users


async def _tokens(declared: Sequence[TokenSettings], users: Mapping[str, User], storage: Storage) -> None:
    stored = {token.name: token for token in await storage.tokens.list()}
    holders = {token.digest: token for token in stored.values()}
    names = {entry.name for entry in declared}
    for entry in declared:
        digest = digest_of(entry.key.reveal())
        found = stored.get(entry.name)
        holder = holders.get(digest)
        if holder is not None and holder.name not in names:
            # The same key under a name that is no longer declared: the entry was renamed, and keeps its balance.
            stored.pop(holder.name)
            if found is None:
                found = holder
            else:
                await storage.tokens.delete(holder.id)
        elif holder is not None and holder.name != entry.name:
            await _take_key(holder, storage)
        wanted = _token(entry, digest, users[entry.user], found)
        if found is None:
            wanted = await storage.tokens.add(wanted)
        elif found != wanted:
            await storage.tokens.update(wanted)
        await _grant(Account("token", wanted.id), entry.quota, entry.unlimited, storage)
    for token in stored.values():
        if token.origin == "file" and token.name not in names:
            await storage.tokens.update(replace(token, enabled=False, origin="runtime"))


def _token(entry: TokenSettings, digest: bytes, user: User, found: Token | None) -> Token:
    return replace(
        found or Token(name=entry.name, user_id=user.id, digest=digest),
        name=entry.name,
        user_id=user.id,
        digest=digest,
        hint=hint_of(entry.key.reveal()),
        enabled=entry.enabled,
        unlimited=entry.unlimited,
        budget=entry.budget,
        expires=entry.expires,
        models=entry.models,
        networks=entry.networks,
        group=entry.group,
        show_route=entry.show_route,
        origin="file",
    )


async def _take_key(holder: Token, storage: Storage) -> None:
    """Free a key that moves from one declared token to another; the holder gets its own new key in its turn."""
    current = await storage.tokens.named(holder.name)
    if current is not None and current.digest == holder.digest:
        await storage.tokens.update(replace(current, digest=token_bytes(32)))


async def _grant(account: Account, quota: int | None, unlimited: bool, storage: Storage) -> None:
    await storage.ledger.declare(account, quota or 0, unlimited=unlimited)
