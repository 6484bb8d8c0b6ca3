"""Files that a deletion request leaves as they are, on a ground in law."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the table; nothing was excepted before."""
    op.create_table(
        "erasure_exception",
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("folder", sa.Text(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("ground", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("request", "folder", "path", name=op.f("pk_erasure_exception")),
    )
