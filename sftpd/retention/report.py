"""The report on disposals: a row a file, with the rule, its trigger, when it was due and what came of it."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sftpd.ledger import tables
from sftpd.retention.rule import Copy


@dataclass(frozen=True, slots=True)
class ReportRow:
    """What was intended for one file and what came of it; unfinished, it has no `result`."""

    plan: str
    file: str
    link: str
    folder: str
    path: bytes
    action: str
    return_by: str | None
    rule: str
    rule_version: int
    received_at: datetime
    due: datetime
    reason: str
    copies: list[dict[str, Any]]
    """What went with it: folder, path in hexadecimal, and the result."""
    intended_at: datetime
    done_at: datetime | None
    result: str | None
    transfer: str | None
    """That by which the file goes back over `return_by`, and where it stands."""
    transfer_state: str | None

    def as_json(self) -> dict[str, Any]:
        """The row as `sftpd retention report --json` prints it; instants in ISO 8601, UTC."""
        copies = [{"path": Copy.of_row(row).place, "result": row.get("result")} for row in self.copies]
        row = asdict(self) | {"path": self.path.decode("utf-8", "backslashreplace"), "copies": copies}
        return {
            key: value.isoformat() if isinstance(value, datetime) else value for key, value in row.items()
        }


def report(conn: sa.Connection, link: str | None = None, plan: str | None = None) -> list[ReportRow]:
    """The disposals of one link or plan, or of all, oldest first."""
    disposal, received, back, way = tables.disposal, tables.kept_file, tables.returned, tables.transfer
    columns = {**received.c, **disposal.c, "transfer": way.c.id, "transfer_state": way.c.state}
    goes_back = sa.and_(back.c.file == disposal.c.file, disposal.c.return_by.is_not(None))
    query = (
        sa.select(*(columns[name] for name in ReportRow.__dataclass_fields__))
        .join_from(disposal, received, disposal.c.file == received.c.id)
        .outerjoin(back, goes_back)
        .outerjoin(way, way.c.id == back.c.transfer)
        .order_by(disposal.c.intended_at, disposal.c.file)
    )
    if link is not None:
        query = query.where(disposal.c.link == link)
    if plan is not None:
        query = query.where(disposal.c.plan == plan)
    return [ReportRow(*row) for row in conn.execute(query)]
