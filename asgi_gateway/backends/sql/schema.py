"""The tables. All names begin with `gateway_`, so that they can live in a host's database.

Money is in whole units, times of the ledger are seconds since the epoch, other times ISO 8601 texts in UTC,
lists and mappings JSON texts. Column names avoid words that some database reserves.

Who changes a table here writes a migration for it: see `migration`.

The ledger's tables are written twice an exchange, so they have no index but those that it asks itself: charges are
numbered in the order of their settlement, and looked up by ledger keys, which begin with their request's id.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects.mysql import MEDIUMBLOB, MEDIUMTEXT

__all__ = [
    "accounts",
    "cache",
    "channels",
    "charge_columns",
    "charges",
    "hours",
    "leases",
    "log_state",
    "metadata",
    "options",
    "outbox",
    "prices",
    "reservations",
    "revision",
    "slots",
    "tokens",
    "users",
    "windows",
]

metadata = MetaData(
    naming_convention={"uq": "uq_%(table_name)s_%(column_0_name)s", "ix": "ix_%(table_name)s_%(column_0_name)s"}
)

LongText = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")
LongBinary = LargeBinary().with_variant(MEDIUMBLOB(), "mysql", "mariadb")
Counted = BigInteger().with_variant(Integer(), "sqlite")
"""A number that the database gives: SQLite does so only for what it calls an integer."""


def _table(name: str, *parts: Any, **options: Any) -> Table:
    """A table of ours. Texts differ where a byte of them does, in every database."""
    return Table(
        name,
        metadata,
        *parts,
        mysql_engine="InnoDB",
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mariadb_engine="InnoDB",
        mariadb_charset="utf8mb4",
        mariadb_collate="utf8mb4_bin",
        **options,
    )


def _number(name: str) -> "Column[int]":
    return Column(name, BigInteger, nullable=False)


def _text(name: str, length: int = 255, *, primary_key: bool = False) -> "Column[str]":
    return Column(name, String(length), primary_key=primary_key, nullable=False)


def _seconds(name: str) -> "Column[float]":
    return Column(name, Double, nullable=False)


def _truth(name: str) -> "Column[bool]":
    return Column(name, Boolean, nullable=False)


users = _table(
    "gateway_users",
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(191), nullable=False, unique=True),
    _text("group_name"),
    _text("role", 16),
    _truth("enabled"),
    _truth("unlimited"),
    Column("budget", Text, nullable=False),
    _text("origin", 16),
    Column("created", String(40)),
    sqlite_autoincrement=True,  # the ledger knows accounts by these ids: none is given twice
)

tokens = _table(
    "gateway_tokens",
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
    Column("budget", Text, nullable=False),
    _truth("show_route"),
    _text("origin", 16),
    Column("created", String(40)),
    sqlite_autoincrement=True,
)

channels = _table(
    "gateway_channels",
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("name", String(191), nullable=False, unique=True),
    _text("provider", 64),
    _truth("enabled"),
    _text("origin", 16),
    Column("secrets", LongText, nullable=False),
    Column("settings", LongText, nullable=False),
    sqlite_autoincrement=True,
)

options = _table("gateway_options", _text("name", 191, primary_key=True), Column("value", LongText, nullable=False))

prices = _table("gateway_prices", _text("version", 64, primary_key=True), Column("content", LongText, nullable=False))

revision = _table("gateway_revision", Column("id", Integer, primary_key=True, autoincrement=False), _number("number"))

accounts = _table(
    "gateway_accounts",
    _text("account", 191, primary_key=True),
    _number("granted"),
    _number("spent"),
    _number("reserved"),
    _truth("unlimited"),
    Column("declared", BigInteger),
    sqlite_with_rowid=False,
)

reservations = _table(
    "gateway_reservations",
    _text("ledger_key", 64, primary_key=True),
    _text("lease", 40),
    _number("amount"),
    _text("accounts", 2000),
    _seconds("created"),
    Column("content", LargeBinary, nullable=False),  # what only a recovery reads: see `rows`
    sqlite_with_rowid=False,
)

charges = _table(
    "gateway_charges",
    Column("number", Counted, primary_key=True, autoincrement=True),
    Column("ledger_key", String(64), nullable=False, unique=True),
    _number("amount"),
    _number("prompt_amount"),
    _text("accounts", 2000),
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
    Column("status", SmallInteger, nullable=False),
    Column("attempts", SmallInteger, nullable=False),
    _seconds("duration"),
    _seconds("first_byte"),
    _truth("stream"),
    _text("error"),
    _text("ratio", 40),
    _text("charged_group"),
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
    Column("other_usage", Text, nullable=False),  # what is no token, as JSON; nearly always empty
    _truth("estimated"),
    _truth("inconsistent"),
    _number("charged"),
    _number("shortfall"),
    _seconds("time"),
)

charge_columns = [column for column in charges.columns if column is not charges.c.number]
"""A charge's row: everything but its number, which the database gives."""

leases = _table(
    "gateway_leases",
    _text("id", 40, primary_key=True),
    _text("host"),
    _text("boot", 64),
    _text("namespace", 64),
    _number("pid"),
    _number("started"),
    _seconds("renewed"),
)

windows = _table(
    "gateway_windows",
    _text("window_key", primary_key=True),
    Column("bucket", BigInteger, primary_key=True, autoincrement=False),
    _number("amount"),
    _seconds("expires"),
    sqlite_with_rowid=False,
)

slots = _table(
    "gateway_slots",
    _text("slot_key", primary_key=True),
    _text("holder", 64, primary_key=True),
    _text("lease", 40),
    _seconds("expires"),
    sqlite_with_rowid=False,
)

cache = _table(
    "gateway_cache",
    _text("cache_key", 191, primary_key=True),
    Column("value", LongBinary, nullable=False),
    _seconds("expires"),
    Index("gateway_cache_expires", "expires"),
)

hours = _table(
    "gateway_hours",
    Column("span", Integer, primary_key=True, autoincrement=False),  # in seconds: of an hour or of a day, in UTC
    _text("kind", 16, primary_key=True),
    Column("start", BigInteger, primary_key=True, autoincrement=False),
    _text("digest", 32, primary_key=True),  # of the name, which is too long for the indexes of some databases
    _text("name"),
    _number("requests"),
    _number("input_tokens"),
    _number("output_tokens"),
    _number("charged"),
    Index("gateway_hours_of_name", "span", "kind", "digest", "start"),
    sqlite_with_rowid=False,
)

log_state = _table(
    "gateway_log_state",
    Column("id", Integer, primary_key=True, autoincrement=False),
    _text("owner", 32),  # names the gateway's database, in its log database too
    _number("rolled"),  # charges up to this number are in `hours`
    _number("pruned"),  # hours before this time may miss charges
    _number("copied"),  # in a log database: charges up to this number are there
    _truth("copying"),  # whether there ever was a log database
    _number("turn"),  # changes whenever the sums do, and whenever a charge is corrected
)

outbox = _table(
    "gateway_outbox",
    Column("number", Counted, primary_key=True, autoincrement=True),
    _text("ledger_key", 64),
)
