"""Files in our care are read in the order of their receipt, without being sorted."""

from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """Have the index end with what orders the files of one moment."""
    op.create_index(
        op.f("ix_kept_file_state_received_at_id"), "kept_file", ["state", "received_at", "id"], unique=False
    )
    op.drop_index(op.f("ix_kept_file_state_received_at"), "kept_file")
