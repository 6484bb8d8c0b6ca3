"""What an account has brought since a moment is found without looking at all transfers."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the index."""
    op.create_index(op.f("ix_transfer_peer_began_at"), "transfer", ["peer", "began_at"], unique=False)
