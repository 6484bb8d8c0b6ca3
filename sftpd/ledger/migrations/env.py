"""Alembic's entry point: runs the migrations on the connection that database.migrate hands over."""

from alembic import context

from sftpd.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
