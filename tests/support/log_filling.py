"""Fills a usage log with as many charges as one likes, made by the database itself.

2 000 an hour up to the present hour, by 200 users, 400 tokens, 20 models, 5 channels and 3 groups; the user `rare` has
one in 50 000 of them.
"""

from sqlalchemy import Connection, text

from asgi_gateway.backends.sql.schema import charges

__all__ = ["PER_HOUR", "RARE", "fill"]

PER_HOUR = 2_000
RARE = 50_000

NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers (n) AS (SELECT :low UNION ALL SELECT n + 1 FROM numbers WHERE n < :high) ",
    "postgresql": "WITH numbers (n) AS (SELECT generate_series(CAST(:low AS bigint), CAST(:high AS bigint))) ",
}

KEYS = {
    "sqlite": "printf('%012x%020d', CAST({time} * 1000 AS INTEGER), n)",
    "postgresql": "lpad(to_hex(CAST({time} * 1000 AS bigint)), 12, '0') || lpad(CAST(n AS text), 20, '0')",
}
"""Ledger keys as `ids.new_id` makes them: milliseconds, then other digits."""

BATCH = 100_000


def fill(connection: Connection, low: int, high: int, end: float) -> None:
    """Add the charges numbered from `low` to `high`. The one of number `high` would be settled at `end`.

    `end` is in seconds since the epoch; the later part of a log is filled with a later `end`.
    """
    kind = connection.dialect.name
    time = f"({end!r} - ({high} - n) * {3600 / PER_HOUR!r})"
    key = KEYS[kind].format(time=time)
    texts = {
        "ledger_key": key,
        "request_id": f"'req_' || {key}",
        "accounts": "'user:1 token:1'",
        "user_name": f"CASE WHEN n % {RARE} = 7 THEN 'rare' ELSE 'user' || (n * 7919 % 200) END",
        "token_name": "'token' || (n * 7919 % 400)",
        "group_name": "'group' || (n % 3)",
        "model": "'model-' || (n * 31 % 20)",
        "operation": "'chat'",
        "price_version": "'0123456789abcdef'",
        "outcome": "'completed'",
        "channel": "'channel' || (n % 5)",
        "upstream_model": "'model-of-the-upstream'",
        "ratio": "'1'",
        "created": time,
        "time": time,
        "duration": "1.5",
        "first_byte": "0.5",
        "status": "200",
        "attempts": "1",
        "input_tokens": "n % 1000",
        "output_tokens": "n % 300",
        "cost": "n % 100",
        "charged": "n % 100",
        "stream": "(n % 2 = 0)",
        "estimated": "(n < 0)",
        "inconsistent": "(n < 0)",
        "number": "n",
    }
    columns = charges.columns.keys()
    empty = {"client_id", "error", "charged_group", "other_usage"}
    values = [texts.get(name, "''" if name in empty else "0") for name in columns]
    into = f"INSERT INTO gateway_charges ({', '.join(columns)}) "
    rows = f"SELECT {', '.join(values)} FROM numbers"
    query = NUMBERS[kind] + into + rows if kind == "sqlite" else into + NUMBERS[kind] + rows
    statement = text(query)
    for start in range(low, high + 1, BATCH):
        connection.execute(statement, {"low": start, "high": min(start + BATCH - 1, high)})
        connection.commit()
    if kind == "postgresql":
        connection.execute(
            text("SELECT setval(pg_get_serial_sequence('gateway_charges', 'number'), :high)"), {"high": high}
        )
        connection.commit()
