"""Storage in a SQL database: SQLite, the embedded default."""

from asgi_gateway.backends.sql.storage import SqlStorage

__all__ = ["SqlStorage"]
