"""What was asked of remotes that give a file only once, and how expected files stand."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the tables, and the index by which a file that came lately is found."""
    op.create_table(
        "attempt",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("key", sa.LargeBinary(), nullable=False),
        sa.Column("transfer", sa.Text(), nullable=False),
        sa.Column("told", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("link", "route", "key", name=op.f("pk_attempt")),
    )
    op.create_table(
        "expectation",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("link", "name", name=op.f("pk_expectation")),
    )
    op.create_index(
        op.f("ix_kept_file_link_folder_received_at"),
        "kept_file",
        ["link", "folder", "received_at"],
        unique=False,
    )
