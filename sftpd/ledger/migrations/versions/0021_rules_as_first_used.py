"""What each version of a retention rule was when it was first used."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Add the table; the rules of before count as first used when a daemon next starts."""
    op.create_table(
        "retention_rule",
        sa.Column("link", sa.Text(), nullable=False),
        sa.Column("rule", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("since", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("link", "rule", "version", name=op.f("pk_retention_rule")),
    )
