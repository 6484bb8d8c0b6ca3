"""Files in our care are read in the order of their receipt, and SQLite knows what tells few from many."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"

_STATISTICS = {
    "ix_kept_file_state_received_at_id": "1000000 200000 1 1",
    "ix_kept_file_link_folder_received_at": "1000000 100000 5000 1",
    "ix_kept_file_path_link_state": "1000000 1 1 1",
    "ix_kept_file_transfer": "1000000 1",
}
"""How many files there are, and how many agree in the first columns of an index, in the first two and so on.

They are set and not counted, so that the same query is always answered in the same way. Without them SQLite
takes ten files to be in a state, and looks for a few by their ids among all that are present.
"""


def upgrade() -> None:
    """Have the index end with what orders the files of one moment, and tell what each index is good for."""
    op.create_index(
        op.f("ix_kept_file_state_received_at_id"), "kept_file", ["state", "received_at", "id"], unique=False
    )
    op.drop_index(op.f("ix_kept_file_state_received_at"), "kept_file")
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute("ANALYZE sqlite_master")  # makes the table of statistics where there is none
    op.execute("DELETE FROM sqlite_stat1 WHERE tbl = 'kept_file'")
    add = sa.text("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('kept_file', :index, :numbers)")
    for index, numbers in _STATISTICS.items():
        op.execute(add.bindparams(index=index, numbers=numbers))
    op.execute("ANALYZE sqlite_master")  # reads it
