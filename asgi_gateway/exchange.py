"""The one record that a request carries through the layers.

`Exchange` is the only thing layers share; each field has one writer, named beside it.
It lives under `scope["asgi_gateway"]`; `Exchange.of(scope)` finds it.
"""

from asyncio import to_thread
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from threading import Lock
from time import perf_counter
from typing import IO, Protocol, Self

from msgspec import Struct

from asgi_gateway.canonical.losses import Loss
from asgi_gateway.canonical.request import Reasoning
from asgi_gateway.dialects import classify, spoken_by
from asgi_gateway.dialects.contract import NOWHERE, Dialect, Operation, RequestOutline, Target
from asgi_gateway.providers.contract import Provider
from asgi_gateway.storage.records import Channel, Outcome, Reservation, Secret, Settlement, Token, Usage, User
from asgi_gateway.types import Scope

__all__ = [
    "SCOPE_KEY",
    "Attempt",
    "Body",
    "Caller",
    "Exchange",
    "Identity",
    "Loss",
    "Meter",
    "ModelChoice",
    "Reasoning",
    "Route",
    "path_of",
]

SCOPE_KEY = "asgi_gateway"

MEMORY_LIMIT = 1 << 20
"""Bytes of a body kept in memory; the rest goes to a spooled file."""

CHUNK = 1 << 16

_Octets = bytes  # the name `bytes` is a method inside Body


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller named by the host application: `models` empty means all that the group may use."""

    user: str
    group: str | None = None
    """Which group the user belongs to, as the host says; None: as it is stored. "auto": the stored one, and whichever
    groups that may use."""
    models: tuple[str, ...] = ()
    cookie: bool | None = None
    """Whether it rests on a cookie, which a browser also sends for foreign pages: such a request must show
    its origin. None: it does when the request has a cookie and no `Authorization` header."""


class Caller(Struct, frozen=True, kw_only=True):
    """Who is calling. `token` is None for a caller that the host application named."""

    user: User
    token: Token | None = None
    group: str
    """The group asked for: the token's, or else the user's own; perhaps "auto"."""
    models: tuple[str, ...] = ()
    """The only models allowed; empty: all that the group may use."""
    own_group: str = ""
    """The group that the caller belongs to, where `group` is another; empty: `group`."""
    groups: tuple[str, ...] = ()
    """For "auto": the groups whose channels may be used, in this order; empty: `group` alone."""

    @property
    def home(self) -> str:
        """The group that the caller belongs to: its budget holds, and the ratios that it sets."""
        return self.own_group or self.group


class ModelChoice(Struct, frozen=True):
    """The model asked for, and what aliases and suffixes made of it."""

    asked: str
    resolved: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where an attempt goes."""

    channel: Channel
    key: Secret
    upstream_model: str
    provider: Provider
    dialect: str
    """The name of a dialect that the channel speaks."""
    group: str = ""
    """The group whose channel it is; empty: nobody chose among groups."""


class Meter(Protocol):
    """What has come of an answer so far."""

    @property
    def usage(self) -> Usage | None:
        """The usage that the upstream reported so far, or None."""
        ...

    @property
    def output_estimate(self) -> int:
        """Output tokens counted by us in what passed."""
        ...


class Attempt(Struct, kw_only=True):
    """One try at one channel: how it ended and how long it took (seconds). An empty `error` means it answered."""

    channel: Channel
    started: float
    duration: float = 0.0
    error: str = ""
    status: int = 0


def path_of(scope: Scope) -> str:
    """The path below the place where the application is mounted, as `root_path` names it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    if root and path.startswith(root) and (len(path) == len(root) or path[len(root)] == "/"):
        return path[len(root) :]
    return path


class Body:
    """A request body that was read once and can be replayed; above 1 MB it lies in a spooled file."""

    __slots__ = ("_data", "_file", "_lock", "size")

    def __init__(self, data: _Octets | None = None, file: IO[_Octets] | None = None, size: int = 0) -> None:
        self._data = data
        self._file = file
        # Threads read it, and a file has one position.
        self._lock = Lock() if file is not None else None
        self.size = len(data) if data is not None else size

    @classmethod
    def spool(cls) -> IO[_Octets]:
        """A file to collect a body in, on disk once it exceeds what is kept in memory."""
        return SpooledTemporaryFile(MEMORY_LIMIT)

    async def bytes(self) -> _Octets:
        """The whole body."""
        if self._data is not None:
            return self._data
        if self._file is None:
            return b""
        return await to_thread(self._read, 0, self.size)

    async def stream(self) -> AsyncIterator[_Octets]:
        """The body in pieces, from its beginning."""
        if self._data is not None:
            yield self._data
            return
        for offset in range(0, self.size, CHUNK):
            yield await to_thread(self._read, offset, CHUNK)

    def close(self) -> None:
        """Remove the spooled file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _read(self, offset: int, size: int) -> _Octets:
        assert self._file is not None and self._lock is not None
        with self._lock:
            self._file.seek(offset)
            return self._file.read(size)


@dataclass(slots=True, kw_only=True, eq=False)
class Exchange:
    """One request and what was learnt of it on its way."""

    operation: Operation  # Gateway
    dialect: Dialect  # Gateway
    target: Target = NOWHERE  # Gateway: path below the mount, and query
    address: str = ""  # Gateway: the caller's IP address, "" when the server does not say
    started: float = 0.0  # Gateway: `time.perf_counter()` when the request came
    request_id: str = ""  # Telemetry
    client_id: str = ""  # Telemetry: the caller's own request id
    status: int = 0  # Telemetry: of the answer, once it began
    first_byte: float = 0.0  # Telemetry: seconds from the request to the first byte of the answer
    caller: Caller | None = None  # Authentication
    body: Body | None = None  # RequestBody
    outline: RequestOutline | None = None  # ModelMapping
    model: ModelChoice | None = None  # ModelMapping
    reasoning: Reasoning | None = None  # ModelMapping
    reservation: Reservation | None = None  # Quota
    settlement: Settlement | None = None  # Quota, once settled
    attempts: list[Attempt] = field(default_factory=list)  # Retry
    route: Route | None = None  # ChannelRouting, or Relay(route=...)
    usage: Usage | None = None  # FormatConversion
    meter: Meter | None = None  # FormatConversion: of the answer that is under way
    output_estimate: int = 0  # FormatConversion: output tokens counted by us, where the upstream reported none
    losses: tuple[Loss, ...] = ()  # FormatConversion
    upstream_headers: tuple[tuple[bytes, bytes], ...] = ()  # FormatConversion: beside the route's own
    outcome: Outcome | None = None  # Relay: how the upstream exchange ended
    reached_upstream: bool = False  # Relay: an upstream has been sent the request

    @classmethod
    def begin(cls, scope: Scope) -> tuple[Scope, Self] | None:
        """A copy of the scope with a new exchange in it, or None when the path is none of ours."""
        kind = scope["type"]
        if kind not in ("http", "websocket"):
            return None
        path = path_of(scope)
        match = classify(scope["method"] if kind == "http" else "WEBSOCKET", path)
        if match is None:
            return None
        operation, dialect = match
        if operation is Operation.MODELS:
            dialect = spoken_by(path, scope["headers"], scope.get("query_string", b""))
        return cls.enter(scope, operation, dialect)

    @classmethod
    def enter(cls, scope: Scope, operation: Operation, dialect: Dialect) -> tuple[Scope, Self]:
        """A copy of the scope with a new exchange of this operation and dialect in it."""
        client = scope.get("client")
        exchange = cls(
            operation=operation,
            dialect=dialect,
            target=Target(path_of(scope), scope.get("query_string", b"")),
            address=client[0] if client else "",
            started=perf_counter(),
        )
        inner = dict(scope)
        inner[SCOPE_KEY] = exchange
        return inner, exchange

    @classmethod
    def of(cls, scope: Scope) -> Self:
        """The exchange of a request. Raises `KeyError` outside the layers of this package."""
        exchange: Self = scope[SCOPE_KEY]
        return exchange
