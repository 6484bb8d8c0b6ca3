"""Records that may be the person's of a deletion request, and the decisions on them."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the tables; plans that were made before know no such records."""
    op.create_table(
        "erasure_match",
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("draft", sa.Text()),
        sa.PrimaryKeyConstraint("request", "seq", name=op.f("pk_erasure_match")),
    )
    op.create_table(
        "erasure_decision",
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("match", sa.Text(), nullable=False),
        sa.Column("remove", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("request", "match", name=op.f("pk_erasure_decision")),
    )
