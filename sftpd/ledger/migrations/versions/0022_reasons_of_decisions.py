"""Why somebody decided on a possible match, or on a file that could not be searched."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    """Add the column; of decisions before, the audit log alone has the reasons."""
    op.add_column("erasure_decision", sa.Column("reason", sa.Text(), nullable=True))
