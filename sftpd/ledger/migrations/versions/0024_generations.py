"""Files of one path have an order that no clock decides, and those on their way an index of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"

_NUMBER = """
UPDATE transfer SET generation = (
    SELECT count(*) FROM transfer AS earlier
    WHERE earlier.path = transfer.path AND earlier.link = transfer.link
    AND earlier.direction = 'inbound' AND earlier.began_at <= transfer.began_at
)
WHERE direction = 'inbound' AND EXISTS (
    SELECT 1 FROM transfer AS waiting
    WHERE waiting.path = transfer.path AND waiting.link = transfer.link
    AND waiting.direction = 'inbound' AND waiting.state IN ('screening', 'placing')
)
"""


def upgrade() -> None:
    """Number the files of the paths where one waits, and have an index for each question."""
    op.add_column("transfer", sa.Column("generation", sa.BigInteger(), nullable=True))
    op.execute(_NUMBER)
    op.drop_index(op.f("ix_transfer_path_route_link"), "transfer")
    op.create_index(
        op.f("ix_transfer_path_link_generation"), "transfer", ["path", "link", "generation"], unique=False
    )
    op.create_index(
        "ix_transfer_way",
        "transfer",
        ["path", "route"],
        unique=False,
        sqlite_where=sa.text("not_before IS NOT NULL"),
        postgresql_where=sa.text("not_before IS NOT NULL"),
    )
