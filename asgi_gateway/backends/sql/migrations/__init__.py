"""The migrations, in the form of Alembic (https://alembic.sqlalchemy.org): `env` says how they run."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

if TYPE_CHECKING:
    from alembic.config import Config

__all__ = ["configuration", "upgrade"]


def configuration(connection: Connection) -> "Config":
    """What Alembic is told to migrate over a connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> None:
    """Run every migration that a database lacks, in the transaction of its connection where the database can."""
    from alembic import command

    command.upgrade(configuration(connection), "head")
