"""When each kept file was last read through us, from which retention may count."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column; what was read before is not known of the file."""
    with op.batch_alter_table("kept_file") as table:
        table.add_column(sa.Column("accessed_at", sa.BigInteger(), nullable=True))
