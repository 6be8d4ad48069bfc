"""Insert or change in one statement, as each database says it: nobody gets between."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sqlalchemy import Executable, Table
from sqlalchemy.dialects import mysql, postgresql, sqlite

from asgi_gateway.backends.sql.address import Kind

__all__ = ["upsert"]

Change = Callable[[Any, Any], Any]
"""What a column becomes, by what it is and by what was to be inserted."""


def upsert(kind: Kind, table: Table, columns: Iterable[str], changes: Mapping[str, Change] | None = None) -> Executable:
    """An insert of rows that replaces `columns` where a row of the same primary key is there.

    `changes` says by column what stands there instead of the new value.
    """
    changes = changes or {}

    def changed(new: Any) -> dict[str, Any]:
        return {name: changes[name](table.c[name], new[name]) if name in changes else new[name] for name in columns}

    if kind == "mysql":
        doubled = mysql.insert(table)
        return doubled.on_duplicate_key_update(changed(doubled.inserted))
    statement = postgresql.insert(table) if kind == "postgresql" else sqlite.insert(table)
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed(statement.excluded))
