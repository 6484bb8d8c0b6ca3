"""How far the erasure ledger reaches, as the state knows it."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the table; a state that knows of no erasure ledger begins one."""
    op.create_table(
        "erasure_epoch",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("request", sa.Text()),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_erasure_epoch")),
    )
