"""How Alembic runs the migrations: over the connection that it was given. Alembic executes this file."""

from alembic import context

__all__: list[str] = []

context.configure(connection=context.config.attributes["connection"], version_table="gateway_schema")
with context.begin_transaction():
    context.run_migrations()
