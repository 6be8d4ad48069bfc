"""What the environment may say, under the names that New API uses.

`read_environment` turns the variables that are set into a tree like the file's, which goes over it.
An empty variable counts as one that is not set.
"""

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from urllib.parse import quote

from asgi_gateway.config.reader import Mistake

__all__ = ["NOT_YET", "READ", "read_environment", "storage_url"]

READ: Mapping[str, str] = {
    "PORT": "server.port",
    "MAX_REQUEST_BODY_MB": "server.max_body_mb",
    "SHUTDOWN_TIMEOUT_SECONDS": "server.grace",
    "STREAMING_TIMEOUT": "timeouts.idle",
    "RELAY_TIMEOUT": "timeouts.total",
    "AZURE_DEFAULT_API_VERSION": "api_versions.azure",
    "SYNC_FREQUENCY": "storage.sync",
    "SQL_DSN": "storage.url",
    "SQLITE_PATH": "storage.url",
    "LOG_SQL_DSN": "storage.log_url",
    "REDIS_CONN_STRING": "storage.redis",
    "CRYPTO_SECRET": "storage.crypto_secret",
    "CRYPTO_SECRET_PREVIOUS": "storage.crypto_secret_previous",
}
"""Variables that are read, and the key of the file whose value they replace."""

NOT_YET: Mapping[str, str] = {
    "SESSION_SECRET": "there are no sessions yet",
    "STREAM_SCANNER_MAX_BUFFER_MB": "the bound on an event is fixed",
    "ERROR_LOG_ENABLED": "errors always go to the log",
    "MEMORY_CACHE_ENABLED": "look-ups always come from memory",
    "PYROSCOPE_URL": "there is no profiler yet",
    "SQL_MAX_IDLE_CONNS": "the pool sizes itself",
    "SQL_MAX_OPEN_CONNS": "the pool sizes itself",
    "SQL_MAX_LIFETIME": "the pool sizes itself",
    "REDIS_POOL_SIZE": "the pool's size is fixed",
    "BATCH_UPDATE_ENABLED": "each charge is stored as it happens",
    "NODE_TYPE": "all nodes are equal",
    "RELAY_IDLE_CONN_TIMEOUT": "the pool's times are fixed",
    "RELAY_MAX_IDLE_CONNS": "the pool's size is fixed",
    "RELAY_MAX_IDLE_CONNS_PER_HOST": "the pool's size is fixed",
    "FORCE_STREAM_OPTION": "usage is always asked for in streams",
    "GLOBAL_API_RATE_LIMIT": "write [[rate_limits]]",
    "TLS_INSECURE_SKIP_VERIFY": "certificates are always verified",
}
"""Variables of New API that change nothing here, and what holds instead: `check` warns of those that are set."""

GO_ONLY = frozenset({"parsetime", "loc", "timeout", "readtimeout", "writetimeout", "collation", "multistatements"})
"""Parameters of the Go driver that mean nothing in a SQLAlchemy URL, in lower case."""

MYSQL_PORT = "3306"


def read_environment(environ: Mapping[str, str]) -> tuple[dict[str, dict[str, object]], dict[str, str], list[Mistake]]:
    """A tree of what the environment says, the variable that each key came from, and what cannot be read."""
    tree: dict[str, dict[str, object]] = {}
    sources: dict[str, str] = {}
    mistakes: list[Mistake] = []
    for name, key in READ.items():
        text = environ.get(name, "").strip()
        if not text or name == "SQLITE_PATH":
            continue
        section, _, entry = key.partition(".")
        try:
            value = READERS.get(name, _whole)(text)
        except ValueError as reason:
            mistakes.append(Mistake(name, str(reason)))
            continue
        if value is not None:
            tree.setdefault(section, {})[entry] = value
            sources[key] = name
    path = environ.get("SQLITE_PATH", "").strip()
    if path and "storage.url" not in sources:
        tree.setdefault("storage", {})["url"] = "sqlite:///" + path.partition("?")[0]
        sources["storage.url"] = "SQLITE_PATH"
    return tree, sources, mistakes


def storage_url(dsn: str) -> str | None:
    """The storage's URL for an `SQL_DSN`: a URL as it is, the Go form of MySQL translated, None for "local"."""
    if dsn.startswith("local"):
        return None
    if dsn.startswith("postgres://"):
        return "postgresql://" + dsn.removeprefix("postgres://")
    if "://" in dsn or dsn == "memory":
        return dsn
    return _mysql_url(dsn)


def _mysql_url(dsn: str) -> str:
    """`user:pass@tcp(host:3306)/db?parameters`, as https://github.com/go-sql-driver/mysql#dsn-data-source-name says."""
    address, slash, rest = dsn.rpartition("/")
    if not slash:
        raise ValueError("must be a URL, or user:pass@tcp(host:3306)/db")
    database, _, query = rest.partition("?")
    credentials, _, network = address.rpartition("@")
    user, colon, password = credentials.partition(":")
    protocol, bracket, inside = network.partition("(")
    if bracket and not inside.endswith(")"):
        raise ValueError("has an address without a closing bracket")
    where = inside.removesuffix(")")
    parameters = [_option(p) for p in query.split("&") if p and p.partition("=")[0].lower() not in GO_ONLY]
    parameters = [p for p in parameters if p]
    if protocol == "unix":
        parameters.insert(0, "unix_socket=" + quote(where, safe="/"))
        host = ""
    elif protocol in ("tcp", ""):
        host = where or "127.0.0.1"
        if ":" not in host.rpartition("]")[2]:
            host += ":" + MYSQL_PORT
    else:
        # What stands in its place is not shown: of a URL with a mistake in it, it may be the password.
        raise ValueError("has an unknown protocol: tcp and unix are known")
    login = quote(user, safe="") + (":" + quote(password, safe="") if colon else "") + "@" if user else ""
    return f"mysql://{login}{host}/{quote(database, safe='')}" + ("?" + "&".join(parameters) if parameters else "")


def _option(parameter: str) -> str:
    """An option of Go's driver as ours takes it; empty: it is what holds anyway."""
    name, _, value = parameter.partition("=")
    if name.lower() != "tls":
        return parameter
    match value.lower():
        case "false" | "0" | "":
            return ""
        case "skip-verify" | "preferred":
            return "ssl_check_hostname=false"
    raise ValueError("asks for tls: write a URL, mysql://user:pass@host/db?ssl_ca=FILE")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _seconds(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError("must be a number of seconds") from None


READERS: Mapping[str, Callable[[str], object]] = {
    "SHUTDOWN_TIMEOUT_SECONDS": _seconds,
    "STREAMING_TIMEOUT": _seconds,
    "RELAY_TIMEOUT": _seconds,
    "SYNC_FREQUENCY": _seconds,
    "AZURE_DEFAULT_API_VERSION": str,
    "SQL_DSN": storage_url,
    "LOG_SQL_DSN": storage_url,
    "REDIS_CONN_STRING": str,
    "CRYPTO_SECRET": str,
    "CRYPTO_SECRET_PREVIOUS": str,
}
"""How a variable is read where it is no whole number."""
