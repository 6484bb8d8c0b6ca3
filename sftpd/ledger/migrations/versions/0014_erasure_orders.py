"""Deletion requests whose terms stand still or are extended, the orders that open them, and reminders."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add columns and tables; no request stood still or was extended before."""
    with op.batch_alter_table("erasure_request") as table:
        table.add_column(sa.Column("asked_at", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("paused", sa.BigInteger(), nullable=False, server_default="0"))
        table.add_column(sa.Column("extended_at", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("forwarded_at", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("instructed_at", sa.BigInteger(), nullable=True))
        table.add_column(sa.Column("duplicate_of", sa.Text(), nullable=True))
    op.create_table(
        "erasure_order",
        sa.Column("transfer", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("taken_at", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("digest", sa.Text()),
        sa.Column("request", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("text", sa.Text()),
        sa.Column("answer", sa.Text()),
        sa.Column("settled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("transfer", "signature", name=op.f("pk_erasure_order")),
    )
    op.create_index(op.f("ix_erasure_order_link_name"), "erasure_order", ["link", "name"], unique=False)
    op.create_index(op.f("ix_erasure_order_settled"), "erasure_order", ["settled"], unique=False)
    op.create_table(
        "erasure_reminder",
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("due", sa.BigInteger(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("request", "due", "about", name=op.f("pk_erasure_reminder")),
    )
