"""The report on disposals: a row a file, with the rule, its trigger, when it was due and what came of it."""

from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sftpd.ledger import tables
from sftpd.retention import left
from sftpd.retention.disposal import hash_of, of_plan
from sftpd.retention.rule import Copy

_disposal = tables.disposal.c
_AT_ONCE = 1000
"""Rows that are read at once."""


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


def report(
    conn: sa.Connection, link: str | None = None, plan: str | None = None, newest: int | None = None
) -> Iterator[ReportRow]:
    """The disposals of one link or plan, or of all, oldest first; a file has a row for each run.

    With `newest` so many at most, the newest.
    """
    query, order = _query(link, plan), (_disposal.intended_at, _disposal.file)
    if newest is None:
        found = conn.execute(query.order_by(*order).execution_options(yield_per=_AT_ONCE))
        yield from map(_row, found)
    else:
        latest = conn.execute(query.order_by(*(column.desc() for column in order)).limit(newest)).all()
        yield from map(_row, reversed(latest))


def report_left(
    conn: sa.Connection, link: str | None = None, plan: str | None = None, newest: int | None = None
) -> Iterator[ReportRow]:
    """The same of those after which a file is still in its place and due, the last of each file."""
    tried = {file: one.tried for file, one in left.left(conn).items()}
    query = _query(link, plan).where(_disposal.result.in_([result.value for result in left.LEFT]))
    rows = map(_row, conn.execute(query.order_by(_disposal.intended_at, _disposal.file)))
    yield from deque((row for row in rows if tried.get(row.file) == row.done_at), newest)


def _query(link: str | None, plan: str | None) -> sa.Select[Any]:
    disposal, received, back, way = tables.disposal, tables.kept_file, tables.returned, tables.transfer
    columns = {**received.c, **disposal.c, "transfer": way.c.id, "transfer_state": way.c.state}
    goes_back = sa.and_(back.c.file == disposal.c.file, disposal.c.return_by.is_not(None))
    query = (
        sa.select(*(columns[name] for name in ReportRow.__dataclass_fields__))
        .join_from(disposal, received, disposal.c.file == received.c.id)
        .outerjoin(back, goes_back)
        .outerjoin(way, way.c.id == back.c.transfer)
    )
    if link is not None:
        query = query.where(disposal.c.link == link)
    return query if plan is None else query.where(of_plan(plan))


def _row(row: sa.Row[Any]) -> ReportRow:
    of, *others = tuple(row)
    return ReportRow(hash_of(of), *others)
