"""Writes the first migration from the tables of now: `PYTHONPATH=tests python -m support.frozen_schema`.

Only until the first release: from then on a migration is never changed, and a new one is written by hand.
"""

import re
from pathlib import Path

from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from asgi_gateway.backends.sql import migrations, schema

__all__ = ["PLACE", "frozen_schema"]

PLACE = Path(migrations.__file__).parent / "versions" / "v0001.py"

HEAD = '''"""The tables of the first release."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

__all__ = ["down_revision", "revision", "upgrade"]

revision = "0001"
down_revision = None

LONG_TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")
LONG_BINARY = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    """Make what is missing: on MySQL a part may be there from a run that ended half-way."""
'''

TAIL = '''
    _begin_counting()


def _table(name: str, *parts: sa.schema.SchemaItem, **options: Any) -> None:
    if name not in sa.inspect(op.get_bind()).get_table_names():
        kinds = {"engine": "InnoDB", "charset": "utf8mb4", "collate": "utf8mb4_bin"}
        both = ("mysql", "mariadb")
        mysql: dict[str, Any] = {f"{kind}_{key}": value for kind in both for key, value in kinds.items()}
        op.create_table(name, *parts, **mysql, **options)


def _index(name: str, table: str, columns: list[str], *, unique: bool = False) -> None:
    if name not in {index["name"] for index in sa.inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, columns, unique=unique)


def _begin_counting() -> None:
    """The number of changes to what is stored begins with 1."""
    table = sa.table("gateway_revision", sa.column("id", sa.Integer), sa.column("number", sa.BigInteger))
    if op.get_bind().execute(sa.select(table.c.number)).first() is None:
        op.bulk_insert(table, [{"id": 1, "number": 1}])
'''

CHANGES = (
    (r"^ *#.*\n", ""),
    (r"^ *(mysql|mariadb)_(engine|charset|collate)='\w+',?\n", ""),
    (r"op\.create_table\(", "_table("),
    (r"op\.create_index\(", "_index("),
    (r"op\.f\(('\w+')\)", r"\1"),
    (r"sa\.Text\(\)(\.with_variant\(mysql\.MEDIUMTEXT\(\), '\w+'\))+", "LONG_TEXT"),
    (r"sa\.LargeBinary\(\)(\.with_variant\(mysql\.MEDIUMBLOB\(\), '\w+'\))+", "LONG_BINARY"),
    (r", unique=False", ""),
    ("'", '"'),
)


def frozen_schema() -> str:
    """The text of the migration, not formatted."""
    with create_engine("sqlite://").connect() as connection:
        context = MigrationContext.configure(connection)
        operations = produce_migrations(context, schema.metadata).upgrade_ops
        assert operations is not None
        text = render_python_code(operations, migration_context=context)
    for pattern, replacement in CHANGES:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    return HEAD + "    " + text.strip() + TAIL


if __name__ == "__main__":
    PLACE.write_text(frozen_schema())
