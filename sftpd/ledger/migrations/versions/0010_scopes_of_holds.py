"""What a hold is on as a scope of one of several kinds."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Put the scope in the place of the folder and the glob, and say in it what they said."""
    with op.batch_alter_table("hold") as table:
        table.add_column(sa.Column("scope", sa.JSON(), nullable=False, server_default="{}"))
        table.add_column(sa.Column("file", sa.Text(), nullable=True))
    bind = op.get_bind()
    hold = sa.table("hold", *map(sa.column, ("id", "folder", "glob")), sa.column("scope", sa.JSON()))
    for row in bind.execute(sa.select(hold.c.id, hold.c.folder, hold.c.glob)).all():
        scope = _scope(row.folder, row.glob)
        bind.execute(hold.update().where(hold.c.id == row.id).values(scope=scope))
    with op.batch_alter_table("hold") as table:
        table.alter_column("scope", server_default=None)
        table.drop_column("folder")
        table.drop_column("glob")


def _scope(folder: str | None, glob: str | None) -> dict[str, str]:
    if glob is not None:
        return {"kind": "query", "glob": glob} | ({} if folder is None else {"folder": folder})
    return {"kind": "link"} if folder is None else {"kind": "folder", "folder": folder}
