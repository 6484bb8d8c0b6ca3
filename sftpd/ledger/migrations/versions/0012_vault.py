"""Copies in the vault: files in our care that have ids of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the transfer that a copy is of."""
    with op.batch_alter_table("kept_file") as table:
        table.add_column(sa.Column("transfer", sa.Text(), nullable=True))
    given = sa.text("transfer IS NOT NULL")
    op.create_index(
        op.f("ix_kept_file_transfer"),
        "kept_file",
        ["transfer"],
        unique=False,
        sqlite_where=given,
        postgresql_where=given,
    )
