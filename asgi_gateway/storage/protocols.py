"""The interfaces behind which everything is remembered, one small Protocol per role.

Each verb is atomic: it decides and acts in one step, so that no caller ever reads, decides and then writes.
`backends/` implements them; `tests/storage/` holds one conformance suite that runs over every implementation.

Errors: a storage that cannot be reached raises `ServiceUnavailable` from every verb.
"""

from asyncio import Future
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, Protocol

from msgspec import Struct

from asgi_gateway.storage.records import (
    Account,
    Balance,
    Channel,
    Charge,
    Price,
    Reservation,
    Settlement,
    Token,
    User,
)
from asgi_gateway.storage.usage_log import ChargeFilter, ChargePage, HourSum, SumKey, UsageLog, UsageSum

__all__ = [
    "NO_BUDGETS",
    "Admission",
    "Cache",
    "ChannelStore",
    "ChargeFilter",
    "ChargePage",
    "Cooldowns",
    "Hit",
    "HourSum",
    "Ledger",
    "OptionStore",
    "PriceStore",
    "Refusal",
    "Slot",
    "Storage",
    "SumKey",
    "TokenStore",
    "UsageLog",
    "UsageSum",
    "UserStore",
    "Windows",
]

NO_BUDGETS: Mapping[Account, int] = MappingProxyType({})


class UserStore(Protocol):
    """Who pays."""

    async def add(self, user: User) -> User:
        """Store a new user and return it with its id. Raises `ValueError` when the name is taken."""
        ...

    async def find(self, name: str) -> User | None: ...

    async def get(self, id: int) -> User | None: ...

    async def list(self) -> Sequence[User]:
        """All users, by name."""
        ...

    async def update(self, user: User) -> None:
        """Replace the stored user of the same id. Raises `KeyError` when there is none."""
        ...

    async def delete(self, id: int) -> bool:
        """Remove a user and its tokens; charges stay. True when it was there."""
        ...


class TokenStore(Protocol):
    """The callers' keys, found by the SHA-256 digest of the key without `sk-`."""

    async def add(self, token: Token) -> Token:
        """Store a new token and return it with its id. Raises `ValueError` when name or digest is taken."""
        ...

    async def find(self, digest: bytes) -> tuple[Token, User] | None:
        """Token and owner, in one look-up, whatever their state: disabled and expired ones too."""
        ...

    async def named(self, name: str) -> Token | None: ...

    async def list(self) -> Sequence[Token]:
        """All tokens, by name."""
        ...

    async def update(self, token: Token) -> None:
        """Replace the stored token of the same id. Raises `KeyError` when there is none."""
        ...

    async def delete(self, id: int) -> bool: ...


class ChannelStore(Protocol):
    """The ways to upstreams."""

    async def add(self, channel: Channel) -> Channel:
        """Store a new channel and return it with its id. Raises `ValueError` when the name is taken."""
        ...

    async def named(self, name: str) -> Channel | None: ...

    async def list(self) -> Sequence[Channel]:
        """All channels, enabled or not, by name."""
        ...

    async def update(self, channel: Channel) -> None:
        """Replace the stored channel of the same id. Raises `KeyError` when there is none."""
        ...

    async def delete(self, id: int) -> bool: ...


class OptionStore(Protocol):
    """Named JSON values: options edited at run time, and facts generated once (a signing key)."""

    async def get(self, name: str) -> Any | None: ...

    async def set(self, name: str, value: Any) -> None: ...

    async def create(self, name: str, value: Any) -> Any:
        """Store `value` unless the name is there; return what is stored now. Atomic between processes."""
        ...

    async def all(self) -> Mapping[str, Any]: ...


class Ledger(Protocol):
    """Balances, reservations and charges: nothing is charged twice, nobody overspends, nothing served is forgotten.

    An unknown account counts as one with nothing granted.
    """

    async def reserve(self, reservation: Reservation, budgets: Mapping[Account, int] = NO_BUDGETS) -> None:
        """Set the amount aside on every account, all or none, durably before this returns.

        `budgets` says what those of its accounts that have a period may use in it, in units: what is granted there is
        set to that number, before anything is decided.
        Raises `InsufficientQuota`. A key that is already known (reserved or settled) raises `ValueError`.
        """
        ...

    async def extend(self, reservation: Reservation, amount: int) -> Reservation:
        """Set `amount` more aside for an open reservation, all or none.

        Raises like `reserve`, and `KeyError` if it is not open.
        """
        ...

    def settle(self, reservation: Reservation, settlement: Settlement) -> "Future[Charge]":
        """Close the reservation: take the charge, give the rest back, write the record; in one transaction.

        Returns at once: the work is queued in the order of the calls, and done even if nobody awaits the future.
        A settlement that fails is logged by the ledger itself.
        Idempotent: settling a settled key changes nothing and gives the stored charge. One that was closed as `LOST`
        is the exception: the settlement takes its place, and the accounts are corrected by the difference.
        `KeyError` in the future when the key was never reserved.
        A release is a settlement whose charge is 0.
        """
        ...

    async def grant(self, account: Account, units: int) -> Balance:
        """Add units (negative: withdraw) to what was ever granted."""
        ...

    async def declare(self, account: Account, granted: int, *, unlimited: bool = False) -> Balance:
        """Say what a file grants to an account; spent and reserved stay.

        The first time this replaces what was granted before; later it grants or withdraws the difference to what was
        declared last. So declaring the same again changes nothing, and what run time granted meanwhile stays.
        """
        ...

    async def balance(self, account: Account) -> Balance: ...

    async def open_reservations(self) -> int:
        """How many reservations are open now, of all processes."""
        ...

    async def renew(self) -> None:
        """Renew this process's lease; its reservations are not orphans while it is younger than 30 s."""
        ...

    async def recover(self, lost: Literal["prompt", "all", "none"] = "prompt") -> Sequence[Charge]:
        """Close the reservations of processes that died, each once, with the outcome `LOST`."""
        ...

    async def drain(self) -> None:
        """Return when everything queued so far is durable."""
        ...


class PriceStore(Protocol):
    """Every set of numbers that ever charged anything, by its version. None is changed or removed."""

    async def keep(self, price: Price) -> None:
        """Store a price under its version, unless it is there."""
        ...

    async def find(self, version: str) -> Price | None: ...


class Hit(Struct, frozen=True):
    """`cost` counted against at most `limit` in any `seconds`, under `key`."""

    key: str
    limit: int
    seconds: float
    cost: int = 1


class Slot(Struct, frozen=True):
    """One of at most `limit` requests open at once under `key`."""

    key: str
    limit: int


class Admission(Struct, frozen=True):
    """A request that was let in: what it took, so that it can be corrected and given back."""

    id: str
    time: float
    hits: tuple[Hit, ...]
    slots: tuple[Slot, ...]


class Refusal(Struct, frozen=True):
    """Why a request was not let in; nothing was counted. `retry_after` in seconds."""

    key: str
    limit: int
    retry_after: float


class Windows(Protocol):
    """Limits over time and on open requests. A window never admits more than its limit."""

    async def acquire(self, hits: Sequence[Hit], slots: Sequence[Slot] = ()) -> Admission | Refusal:
        """Count every hit and take every slot, all or none."""
        ...

    async def correct(self, admission: Admission, costs: Mapping[str, int]) -> None:
        """Set the real cost of hits, by key, where the estimate was wrong; below 0 is an error.

        A real cost above the estimate is counted even past the limit.
        """
        ...

    async def release(self, admission: Admission) -> None:
        """Give the slots back. Slots whose process died expire by themselves."""
        ...


class Cache(Protocol):
    """Small records under unguessable keys (at most 191 characters) that may be forgotten, and are when they expire.

    Shared by the processes that share the storage. Nothing exact may rest on it.
    """

    async def get(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """The values that are there, by key."""
        ...

    async def put(self, values: Mapping[str, bytes], seconds: float) -> None:
        """Keep these values for so many seconds. A key that is there is replaced."""
        ...


class Cooldowns(Protocol):
    """What rests for a while under a key, such as a channel that asked for it. Nothing exact may rest on it.

    Shared by the nodes that share a Redis; without one, or while it is away, each process knows its own alone.
    """

    async def rest(self, key: str, seconds: float) -> None:
        """Let it rest from now on for so many seconds. A rest that lasts longer stays."""
        ...

    async def resting(self, keys: Sequence[str]) -> Mapping[str, float]:
        """Those of the keys that rest now, with the seconds that are left."""
        ...


class Storage(Protocol):
    """All roles of one backend."""

    users: UserStore
    tokens: TokenStore
    channels: ChannelStore
    options: OptionStore
    prices: PriceStore
    ledger: Ledger
    usage_log: UsageLog
    windows: Windows
    cache: Cache
    cooldowns: Cooldowns

    async def open(self) -> None:
        """Connect, bring an embedded database to this version, start what runs in the background."""
        ...

    async def close(self) -> None:
        """Finish what is queued, then disconnect. Safe to call twice."""
        ...

    async def ping(self) -> None:
        """Return when the storage answers; raise `ServiceUnavailable` when it does not."""
        ...

    async def ensure_user(self, user: User, quota: int) -> User:
        """The stored user of this name; when there is none, `user` stored with `quota` units granted, exactly once."""
        ...

    async def version(self) -> int:
        """A number that changes whenever a user, token, channel or option does, whichever process changed it."""
        ...
