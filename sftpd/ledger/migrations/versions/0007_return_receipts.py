"""Which deliveries have a receipt of the counterparty's, and how far those have been gone over."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "return_receipt",
        sa.Column("transfer", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("remote", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("delivered_at", sa.BigInteger()),
        sa.Column("matched_at", sa.BigInteger()),
        sa.Column("received_at", sa.BigInteger()),
        sa.Column("verdict", sa.Text()),
        sa.Column("instance", sa.Text()),
        sa.Column("theirs", sa.Text()),
        sa.Column("log", sa.Text()),
        sa.Column("position", sa.BigInteger()),
        sa.Column("leaf", sa.Text()),
        sa.PrimaryKeyConstraint("transfer", name=op.f("pk_return_receipt")),
    )
    op.create_index(
        op.f("ix_return_receipt_link_remote_sha256"),
        "return_receipt",
        ["link", "remote", "sha256"],
        unique=False,
    )
    op.create_index(
        op.f("ix_return_receipt_link_remote_state_delivered_at"),
        "return_receipt",
        ["link", "remote", "state", "delivered_at"],
        unique=False,
    )
    op.create_table(
        "return_cursor",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("remote", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("link", "remote", name=op.f("pk_return_cursor")),
    )
