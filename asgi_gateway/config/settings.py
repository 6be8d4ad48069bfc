"""The settings of a gateway, as frozen records that mirror `gateway.toml` section by section.

They are plain data and can be made in code; `asgi_gateway.config.file` reads them from a file and the environment.
Channels, groups and prices are the records of `asgi_gateway.storage.records` themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from asgi_gateway.policies.suffixes import ReasoningSuffix
from asgi_gateway.storage.records import NO_BUDGET, Budget, Channel, Group, Price, Secret, Timeouts

__all__ = [
    "ROOT",
    "BillingSettings",
    "ConfigurationError",
    "IdentitySettings",
    "LimitSettings",
    "LogSettings",
    "ModelSettings",
    "PriceSettings",
    "RateLimit",
    "ResponsesSettings",
    "RetrySettings",
    "ServerSettings",
    "Settings",
    "StorageSettings",
    "TokenSettings",
    "UserSettings",
]

ROOT = "root"
"""The deployer's own user: unlimited, made when a token belongs to nobody else."""


class ConfigurationError(Exception):
    """The configuration cannot be used; `mistakes` holds one line for each reason: `where: key: reason`."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        super().__init__("\n".join(mistakes))
        self.mistakes = list(mistakes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """`[server]`: how the gateway is reached, and what it takes in."""

    host: str = "127.0.0.1"
    port: int = 3000
    trusted_proxies: tuple[str, ...] = ()
    """Networks whose `X-Forwarded-For` is believed."""
    cors_origins: tuple[str, ...] = ()
    max_body_mb: int = 32
    """Bodies other than multipart, after decompression."""
    max_upload_mb: int = 512
    """Multipart bodies."""
    ping: float = 0.0
    """Seconds between keep-alive comments in silent streams; 0: none."""
    metrics: Literal["local", "open", "off"] = "local"
    grace: float = 30.0
    """Seconds that open exchanges get to end once the process was told to stop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageSettings:
    """`[storage]`: where everything is remembered."""

    url: str = field(default="sqlite:///gateway.db", repr=False)  # both may hold a password
    redis: str = field(default="", repr=False)
    sync: float = 1.0
    """Seconds after which a change made by another process is seen at the latest."""
    crypto_secret: Secret | None = None
    """What secrets in the database are encrypted under; None: they are stored in clear."""
    crypto_secret_previous: Secret | None = None
    """Former secrets, separated by commas: what is still encrypted under them is read."""
    log_url: str = field(default="", repr=False)
    """Another database that gets a copy of every charge, from which the usage log is read; empty: there is none."""
    spool: str = ""
    """The folder for what waits for an absent database; empty: see `spool_folder`."""
    spool_mb: int = 64
    """How much may wait there."""

    @property
    def spool_folder(self) -> Path:
        """The folder for what waits: beside the file of SQLite, else `gateway-spool`, where none is named."""
        if self.spool:
            return Path(self.spool)
        if self.url.startswith("sqlite:///"):
            return Path(self.url.removeprefix("sqlite:///") + "-spool")
        return Path("gateway-spool")


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitSettings:
    """`[limits]`: what protects this process, whoever calls."""

    failed_authentications: str = "30/minute"
    """Per address; empty: no limit."""
    bodies_in_flight_mb: int = 512
    """Request bodies held at once by one process; above it new ones are refused with 503."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSettings:
    """`[[users]]`: who pays. `quota` is the sum of units ever granted."""

    name: str
    group: str = "default"
    role: Literal["user", "admin", "root"] = "user"
    quota: int | None = None
    unlimited: bool = False
    budget: Budget = NO_BUDGET
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """`[[tokens]]`: a caller's key. `quota` bounds it within what its user has left."""

    name: str
    key: Secret
    user: str = ROOT
    quota: int | None = None
    unlimited: bool = False
    budget: Budget = NO_BUDGET
    enabled: bool = True
    expires: datetime | None = None
    models: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    group: str | None = None
    """Another group than the user's that it may use, or "auto"."""
    show_route: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """`[models."NAME"]`: what is known of a model."""

    price: Price | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """`[[rate_limits]]`: what each of a kind may do. Rates are texts like `60/minute`; empty or 0: no limit."""

    per: Literal["token", "user", "group", "model", "address"]
    requests: str = ""
    successes: str = ""
    tokens: str = ""
    concurrency: int = 0
    models: tuple[str, ...] = ()
    """Only requests for these; empty: for all."""
    groups: tuple[str, ...] = ()
    """Only callers of these; empty: of all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrySettings:
    """`[retry]`: how many channels are tried in all."""

    attempts: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BillingSettings:
    """`[billing]`: what models without a price, and exchanges lost in a crash, cost; when budgets start anew."""

    unpriced: Literal["refuse", "free"] = "refuse"
    lost: Literal["prompt", "all", "none"] = "prompt"
    timezone: str = "UTC"
    """Where days, weeks and months of budgets begin: a name of the IANA database."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """`[log]`: what becomes of the usage log."""

    keep_days: int = 0
    """After how many days charges are removed, while their sums stay; 0: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceSettings:
    """`[prices]`: what models cost that no `[models]` entry says a price of."""

    library: bool = True
    """The prices that came with the installed `genai-prices`, or that `price refresh` stored."""
    file: str = field(default="", repr=False)  # it may hold a password
    """From where `price refresh` takes its data: a path or a URL; empty: where the library publishes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """`[identity]`: callers named by the host application."""

    quota: int = 0
    """Units granted to a user seen for the first time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsesSettings:
    """`[responses]`: OpenAI's Responses before upstreams that do not have them."""

    history: int = 0
    """Hours that a conversation can be continued by `previous_response_id`; 0: such requests are refused there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything a gateway can be told."""

    server: ServerSettings = field(default_factory=ServerSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    limits: LimitSettings = field(default_factory=LimitSettings)
    timeouts: Timeouts = field(default_factory=Timeouts)
    """What a channel does not say of its own deadlines."""
    api_versions: Mapping[str, str] = field(default_factory=dict)
    """By provider: what its channels do not say of theirs."""
    channels: tuple[Channel, ...] = ()
    users: tuple[UserSettings, ...] = ()
    tokens: tuple[TokenSettings, ...] = ()
    groups: Mapping[str, Group] = field(default_factory=dict)
    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    aliases: Mapping[str, str] = field(default_factory=dict)
    reasoning_suffixes: tuple[ReasoningSuffix, ...] = ()
    """Before those that are known anyway."""
    rate_limits: tuple[RateLimit, ...] = ()
    retry: RetrySettings = field(default_factory=RetrySettings)
    billing: BillingSettings = field(default_factory=BillingSettings)
    log: LogSettings = field(default_factory=LogSettings)
    prices: PriceSettings = field(default_factory=PriceSettings)
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    responses: ResponsesSettings = field(default_factory=ResponsesSettings)

    @property
    def model_prices(self) -> dict[str, Price]:
        """The price of each model that has one."""
        return {name: model.price for name, model in self.models.items() if model.price is not None}
