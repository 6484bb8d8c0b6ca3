"""A delivery that was cut off goes on under the names it began with, whatever is configured since."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add what is known of a delivery before it is done."""
    with op.batch_alter_table("transfer") as table:
        table.add_column(sa.Column("temporary", sa.LargeBinary(), nullable=True))
        table.add_column(sa.Column("delivered_as", sa.LargeBinary(), nullable=True))
        table.add_column(sa.Column("proof", sa.Text(), nullable=True))
