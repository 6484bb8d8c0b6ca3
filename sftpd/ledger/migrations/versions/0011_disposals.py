"""What goes with a file that is disposed of, and which files that were sent again are copies of another."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0009"


def upgrade() -> None:
    """Add the columns; of what was disposed of or sent again before, nothing more is known."""
    with op.batch_alter_table("disposal") as table:
        table.add_column(sa.Column("copies", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("transfer") as table:
        table.add_column(sa.Column("copy_of", sa.Text(), nullable=True))
