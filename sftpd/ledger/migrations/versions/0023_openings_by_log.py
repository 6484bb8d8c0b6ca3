"""Of which log the openings are, and of which contents that were erased whole files went."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """Add the columns; of openings from before, the audit logs alone tell."""
    op.add_column("opening", sa.Column("log", sa.Text(), nullable=True))
    op.add_column(
        "erasure_content",
        sa.Column("whole", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
