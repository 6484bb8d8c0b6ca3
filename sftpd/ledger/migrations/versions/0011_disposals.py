"""What goes with a file that is disposed of, copies that were sent again, the review queue, and returns."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add columns and tables; of what was disposed of or sent again before, nothing more is known."""
    with op.batch_alter_table("disposal") as table:
        table.add_column(sa.Column("copies", sa.JSON(), nullable=False, server_default="[]"))
        table.add_column(sa.Column("action", sa.Text(), nullable=False, server_default="dispose"))
    with op.batch_alter_table("transfer") as table:
        table.add_column(sa.Column("copy_of", sa.Text(), nullable=True))
    op.create_table(
        "retention_review",
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("answer", sa.Text()),
        sa.Column("until", sa.BigInteger()),
        sa.Column("reason", sa.Text()),
        sa.Column("answered_by", sa.Text()),
        sa.Column("answered_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("file", name=op.f("pk_retention_review")),
    )
    op.create_index(op.f("ix_retention_review_link"), "retention_review", ["link"], unique=False)
    op.create_table(
        "returned",
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("offered_at", sa.BigInteger(), nullable=False),
        sa.Column("fetched_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("file", name=op.f("pk_returned")),
    )
