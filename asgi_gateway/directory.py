"""What a process knows of users, tokens, channels and prices without asking the storage each time.

Look-ups come from memory with a bounded age; `refresh()` is called when the storage's version changes,
so that a change made anywhere is seen here soon, and no request pays for it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from time import monotonic
from typing import Protocol, TypeAlias, TypeVar

from cachetools import LRUCache

from asgi_gateway.errors import ServiceUnavailable
from asgi_gateway.policies.pricing import PriceTable, Tariff
from asgi_gateway.policies.selection import ChannelTable
from asgi_gateway.price_book import PriceBook, TariffHolder
from asgi_gateway.storage.protocols import Storage
from asgi_gateway.storage.records import Channel, Group, Token, User

__all__ = ["Catalogue", "CatalogueHolder", "Directory", "PricedCatalogueHolder", "TokenDirectory", "resolved_aliases"]

Key = TypeVar("Key")
Found = TypeVar("Found")

Kept: TypeAlias = tuple[float, float, Found]
"""Until when it needs no other look-up, when it was looked up, and what was found."""

OUTAGE_AGE = 3600.0
"""Seconds after its look-up that a record is known at the longest, while the storage is away."""

OUTAGE_PAUSE = 5.0
"""Seconds until an absent storage is asked again for a record that is known."""

DEFAULT_GROUP = Group(name="default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """What can be had and at what price: replaced as a whole, never changed."""

    channels: ChannelTable = field(default_factory=lambda: ChannelTable(()))
    prices: PriceTable = field(default_factory=lambda: PriceTable({}))
    groups: Mapping[str, Group] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)

    def group(self, name: str) -> Group:
        """The group of this name; one that nobody described has the ratio 1 and all models."""
        return self.groups.get(name, DEFAULT_GROUP)

    def ratio(self, group: str) -> Decimal:
        """By what a charge of this group is multiplied."""
        return self.group(group).ratio


def resolved_aliases(aliases: Mapping[str, str]) -> dict[str, str]:
    """Each alias with the model at the end of its chain. One that leads back to itself, which `check` finds, stays."""
    resolved: dict[str, str] = {}
    for alias in aliases:
        name, seen = alias, set[str]()
        while name in aliases and name not in seen:
            seen.add(name)
            name = aliases[name]
        resolved[alias] = name
    return resolved


class CatalogueHolder(Protocol):
    """Whoever has the catalogue of now: a `Directory`, or a test's own."""

    @property
    def catalogue(self) -> Catalogue: ...


class PricedCatalogueHolder(CatalogueHolder, TariffHolder, Protocol):
    """Whoever has the catalogue of now and knows what models cost."""


class TokenDirectory:
    """Tokens and their owners by digest, and users by name, from memory while they are young enough.

    `max_age` in seconds; at most `size` of each are kept.
    Unknown digests are not kept: a flood of them displaces nobody.
    While the storage is away, what is known goes on to be, up to an hour: a valid key is not refused for an outage.
    """

    def __init__(self, storage: Storage, *, size: int = 10_000, max_age: float = 60.0) -> None:
        self.storage = storage
        self.max_age = max_age
        # Each with its times: to ask for the time once is cheaper than a cache that keeps times itself.
        self._tokens: LRUCache[bytes, Kept[tuple[Token, User]]] = LRUCache(size)
        self._users: LRUCache[str, Kept[User]] = LRUCache(size)
        self._generation = 0

    async def token(self, digest: bytes) -> tuple[Token, User] | None:
        """Token and owner, whatever their state; None when there is no such token."""
        now = monotonic()
        kept = None
        try:
            kept = self._tokens[digest]
        except KeyError:
            pass
        else:
            if now < kept[0]:
                return kept[2]
        generation = self._generation
        try:
            found = await self.storage.tokens.find(digest)
        except ServiceUnavailable:
            if kept is None or generation != self._generation or not self._keep(self._tokens, digest, kept):
                raise
            return kept[2]
        if found is None:
            self._tokens.pop(digest, None)
        elif generation == self._generation:  # what was read before a change is not kept
            self._tokens[digest] = (now + self.max_age, now, found)
        return found

    async def user(self, name: str, group: str | None = None, quota: int = 0) -> User:
        """The user of this name, created when nobody has seen it yet: with `group` and `quota` units granted."""
        now = monotonic()
        kept = self._users.get(name)
        if kept is not None and now < kept[0]:
            return kept[2]
        generation = self._generation
        try:
            user = await self.storage.users.find(name) or await self._create(name, group, quota)
        except ServiceUnavailable:
            if kept is None or generation != self._generation or not self._keep(self._users, name, kept):
                raise
            return kept[2]
        if generation == self._generation:
            self._users[name] = (now + self.max_age, now, user)
        return user

    def _keep(self, cache: "LRUCache[Key, Kept[Found]]", key: Key, kept: Kept[Found]) -> bool:
        """Let an entry be known a while longer, since the storage is away; False when it is too old."""
        now = monotonic()
        if now - kept[1] >= OUTAGE_AGE:
            return False
        cache[key] = (now + OUTAGE_PAUSE, *kept[1:])
        return True

    def forget(self) -> None:
        """Look everything up anew."""
        self._generation += 1
        self._tokens.clear()
        self._users.clear()

    async def _create(self, name: str, group: str | None, quota: int) -> User:
        return await self.storage.ensure_user(User(name=name, group=group or "default", origin="host"), quota)


class Directory:
    """The catalogue, the prices and the tokens of one process, kept up to date with a storage.

    `library` says whether models that nobody set a price for have the one of the default library.
    """

    def __init__(self, storage: Storage, catalogue: Catalogue, *, max_age: float = 60.0, library: bool = False) -> None:
        self.storage = storage
        self.catalogue = catalogue
        self.prices = PriceBook(storage.prices, catalogue.prices, library=library)
        self.tokens = TokenDirectory(storage, max_age=max_age)
        self._version: int | None = None

    async def refresh(self) -> bool:
        """Load what changed; True when something did. Costs one small query when nothing did."""
        self.prices.review()
        version = await self.storage.version()
        if version == self._version:
            return False
        self.tokens.forget()  # first: a channel that cannot be read must not keep a disabled token alive
        self.prices.take(await self.storage.options.all())
        channels: Sequence[Channel] = await self.storage.channels.list()
        self.catalogue = replace(self.catalogue, channels=ChannelTable(channels))
        self._version = version
        return True

    async def prepare(self) -> None:
        """Load the default prices, if a model that channels serve needs them."""
        channels = await self.storage.channels.list()
        await self.prices.prepare(model for channel in channels if channel.enabled for model in channel.models)

    def priced(self, model: str, ratio: Decimal) -> Tariff | None:
        """See `PriceBook.priced`."""
        return self.prices.priced(model, ratio)

    async def tariff(self, model: str, ratio: Decimal) -> Tariff | None:
        """See `PriceBook.tariff`."""
        return await self.prices.tariff(model, ratio)
