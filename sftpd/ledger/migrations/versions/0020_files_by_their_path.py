"""Files are found by their path without reading all of their route or folder, whatever a planner knows."""

from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    """Have the indexes of paths begin with them."""
    op.drop_index(op.f("ix_transfer_link_route_path"), "transfer")
    op.create_index(op.f("ix_transfer_path_route_link"), "transfer", ["path", "route", "link"], unique=False)
    op.drop_index(op.f("ix_kept_file_link_folder_path"), "kept_file")
    op.create_index(
        op.f("ix_kept_file_path_link_state"), "kept_file", ["path", "link", "state"], unique=False
    )
