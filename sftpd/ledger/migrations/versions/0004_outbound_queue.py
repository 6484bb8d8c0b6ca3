"""What is to be sent next is found without looking at all that waits, and what was halted stays so."""

import sqlalchemy as sa
from alembic import op

from sftpd.ledger.tables import Instant

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Give unfinished outbound transfers a turn, and add the table of halts."""
    op.add_column("transfer", sa.Column("rank", sa.Integer(), nullable=False, server_default="2"))
    op.execute("UPDATE transfer SET not_before = NULL")
    op.execute(
        "UPDATE transfer SET not_before = began_at WHERE direction = 'outbound'"
        " AND state NOT IN ('done', 'quarantined', 'failed', 'vanished')"
    )
    op.execute("UPDATE transfer SET rank = 0 WHERE state IN ('placed', 'quarantining', 'failing')")
    op.create_index(
        "ix_transfer_turn",
        "transfer",
        ["link", "route", "rank", "not_before", "id"],
        unique=False,
        sqlite_where=sa.text("not_before IS NOT NULL"),
        postgresql_where=sa.text("not_before IS NOT NULL"),
    )
    op.create_table(
        "halt",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.PrimaryKeyConstraint("link", "kind", "name", name=op.f("pk_halt")),
    )
