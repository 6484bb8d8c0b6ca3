"""Whom a deletion request has to tell, and the notices by which that is done."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Add the tables; recipients of what was erased before are not told."""
    op.create_table(
        "erasure_content",
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("carried", sa.JSON()),
        sa.PrimaryKeyConstraint("request", "sha256", name=op.f("pk_erasure_content")),
    )
    op.create_table(
        "erasure_delivery",
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("transfer", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("remote", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("notice", sa.Text()),
        sa.PrimaryKeyConstraint("request", "transfer", name=op.f("pk_erasure_delivery")),
    )
    op.create_table(
        "erasure_notice",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("remote", sa.Text(), nullable=False),
        sa.Column("files", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("delivered_at", sa.BigInteger()),
        sa.Column("acknowledged_at", sa.BigInteger()),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("signature", sa.LargeBinary()),
        sa.Column("fault", sa.Text()),
        sa.Column("told_at", sa.BigInteger()),
        sa.Column("withdrawn_at", sa.BigInteger()),
        sa.Column("answer", sa.Text()),
        sa.Column("document", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure_notice")),
    )
    op.create_index(op.f("ix_erasure_notice_request"), "erasure_notice", ["request"], unique=False)
    op.create_index(op.f("ix_erasure_notice_state"), "erasure_notice", ["state"], unique=False)
