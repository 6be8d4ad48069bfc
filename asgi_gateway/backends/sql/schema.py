"""The tables. All names begin with `gateway_`, so that they can live in a host's database.

Money is in whole units, times of the ledger are seconds since the epoch, other times ISO 8601 texts in UTC,
lists and mappings JSON texts. Column names avoid words that some database reserves.

The ledger's tables are written twice an exchange, so they have no index but those that it asks itself: charges are
numbered in the order of their settlement, and looked up by ledger keys, which begin with their request's id.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, MetaData, String, Table, Text

__all__ = [
    "SCHEMA_VERSION",
    "accounts",
    "cache",
    "channels",
    "charge_columns",
    "charges",
    "leases",
    "metadata",
    "options",
    "reservations",
    "revision",
    "slots",
    "tokens",
    "users",
    "windows",
]

SCHEMA_VERSION = 2
"""The version of these tables, stored as the option `schema_version`."""

metadata = MetaData()


def _number(name: str) -> "Column[int]":
    return Column(name, BigInteger, nullable=False)


def _text(name: str, length: int = 255, *, primary_key: bool = False) -> "Column[str]":
    return Column(name, String(length), primary_key=primary_key, nullable=False)


def _seconds(name: str) -> "Column[float]":
    return Column(name, Double, nullable=False)


def _truth(name: str) -> "Column[bool]":
    return Column(name, Boolean, nullable=False)


users = Table(
    "gateway_users",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(191), nullable=False, unique=True),
    _text("group_name"),
    _text("role", 16),
    _truth("enabled"),
    _truth("unlimited"),
    _text("origin", 16),
    Column("created", String(40)),
    sqlite_autoincrement=True,  # the ledger knows accounts by these ids: none is given twice
)

tokens = Table(
    "gateway_tokens",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(191), nullable=False, unique=True),
    Column("user_id", Integer, nullable=False, index=True),
    Column("digest", String(64), nullable=False, unique=True),
    _text("hint", 64),
    _truth("enabled"),
    _truth("unlimited"),
    Column("expires", String(40)),
    Column("models", Text, nullable=False),
    Column("networks", Text, nullable=False),
    Column("group_name", String(255)),
    _truth("show_route"),
    _text("origin", 16),
    Column("created", String(40)),
    sqlite_autoincrement=True,
)

channels = Table(
    "gateway_channels",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(191), nullable=False, unique=True),
    _text("provider", 64),
    _truth("enabled"),
    _text("origin", 16),
    Column("secrets", Text, nullable=False),
    Column("settings", Text, nullable=False),
    sqlite_autoincrement=True,
)

options = Table(
    "gateway_options", metadata, _text("name", 191, primary_key=True), Column("value", Text, nullable=False)
)

revision = Table("gateway_revision", metadata, Column("id", Integer, primary_key=True), _number("number"))

accounts = Table(
    "gateway_accounts",
    metadata,
    _text("account", 40, primary_key=True),
    _number("granted"),
    _number("spent"),
    _number("reserved"),
    _truth("unlimited"),
    Column("declared", BigInteger),
    sqlite_with_rowid=False,
)

reservations = Table(
    "gateway_reservations",
    metadata,
    _text("ledger_key", 64, primary_key=True),
    _text("lease", 40),
    _number("amount"),
    _text("accounts"),
    _seconds("created"),
    Column("content", LargeBinary, nullable=False),  # what only a recovery reads: see `rows`
    sqlite_with_rowid=False,
)

charges = Table(
    "gateway_charges",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("ledger_key", String(64), nullable=False, unique=True),
    _number("amount"),
    _number("prompt_amount"),
    _text("accounts"),
    _text("request_id"),
    _text("client_id"),
    _text("user_name"),
    _text("token_name"),
    _text("group_name"),
    _text("model"),
    _text("operation", 64),
    _text("price_version"),
    _seconds("created"),
    _number("cost"),
    _text("outcome", 32),
    _text("channel"),
    _text("upstream_model"),
    _number("status"),
    _number("attempts"),
    _seconds("duration"),
    _seconds("first_byte"),
    _truth("stream"),
    _text("error"),
    _text("ratio", 40),
    _number("input_tokens"),
    _number("cache_read_tokens"),
    _number("cache_write_tokens"),
    _number("cache_write_1h_tokens"),
    _number("audio_input_tokens"),
    _number("image_input_tokens"),
    _number("output_tokens"),
    _number("reasoning_tokens"),
    _number("audio_output_tokens"),
    _number("image_output_tokens"),
    _number("tool_calls"),
    _truth("estimated"),
    _truth("inconsistent"),
    _number("charged"),
    _number("shortfall"),
    _seconds("time"),
)

charge_columns = [column for column in charges.columns if column is not charges.c.number]
"""A charge's row: everything but its number, which the database gives."""

leases = Table(
    "gateway_leases",
    metadata,
    _text("id", 40, primary_key=True),
    _text("host"),
    _text("boot", 64),
    _text("namespace", 64),
    _number("pid"),
    _number("started"),
    _seconds("renewed"),
)

windows = Table(
    "gateway_windows",
    metadata,
    _text("window_key", primary_key=True),
    Column("bucket", BigInteger, primary_key=True, autoincrement=False),
    _number("amount"),
    _seconds("expires"),
    sqlite_with_rowid=False,
)

slots = Table(
    "gateway_slots",
    metadata,
    _text("slot_key", primary_key=True),
    _text("holder", 64, primary_key=True),
    _text("lease", 40),
    _seconds("expires"),
    sqlite_with_rowid=False,
)

cache = Table(
    "gateway_cache",
    metadata,
    _text("cache_key", 191, primary_key=True),
    Column("value", LargeBinary, nullable=False),
    _seconds("expires"),
    Index("gateway_cache_expires", "expires"),
)
