"""The migrations of the ledger, which Alembic runs in order."""
