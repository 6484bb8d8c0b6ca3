"""Received files that go back to a remote, by a transfer each."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    """Add the columns; until now all that was given back was offered in `/download`."""
    op.add_column("returned", sa.Column("transfer", sa.Text()))
    op.create_index(op.f("ix_returned_transfer"), "returned", ["transfer"], unique=False)
    op.add_column("disposal", sa.Column("return_by", sa.Text()))
