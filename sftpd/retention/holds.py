"""Legal holds: placing, listing and releasing them, each with its event."""

import glob as globs
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from sftpd.errors import NotFoundError, RefusedError
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.statement import Statement
from sftpd.ledger.writer import Unit
from sftpd.names import new_id
from sftpd.retention.rule import Hold

_hold = tables.hold.c
_PLACED = Statement(
    sa.select(_hold.id).where(_hold.link == sa.bindparam("link"), _hold.released_at.is_(None)).limit(1)
)


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """What is to be held, until when (None: until released), why, and who says so."""

    link: str
    folder: str | None
    glob: str | None
    reason: str
    placed_by: str
    until: datetime | None = None


def exactly(path: str) -> str:
    """The glob that matches the file at `path`, relative to its folder, and no other in that directory."""
    return globs.escape(path)


def place(ledger: Ledger, request: HoldRequest) -> str:
    """Place a hold and return its id."""

    def work(unit: Unit) -> str:
        hold_id = new_id(unit.now)
        unit.conn.execute(
            tables.hold.insert().values(
                id=hold_id,
                link=request.link,
                folder=request.folder,
                glob=request.glob,
                reason=request.reason,
                placed_by=request.placed_by,
                placed_at=unit.now,
                until=request.until,
            )
        )
        private = {"glob": request.glob, "reason": request.reason, "operator": request.placed_by}
        unit.record(Event("hold.placed", request.link, {"hold": hold_id, "folder": request.folder}, private))
        return hold_id

    return ledger.write(work)


def release(ledger: Ledger, hold_id: str, by: str) -> None:
    """Release a hold.

    Raises NotFoundError when there is none of this id, RefusedError when it was released before.
    """

    def work(unit: Unit) -> None:
        hold = tables.hold
        row = unit.conn.execute(
            sa.select(hold.c.link, hold.c.released_at).where(hold.c.id == hold_id)
        ).one_or_none()
        if row is None:
            raise NotFoundError(f"no hold {hold_id}")
        if row.released_at is not None:
            raise RefusedError(f"hold {hold_id} was released before", reason="HOLD_RELEASED")
        unit.conn.execute(
            hold.update().where(hold.c.id == hold_id).values(released_by=by, released_at=unit.now)
        )
        unit.record(Event("hold.released", row.link, {"hold": hold_id}, {"operator": by}))

    ledger.write(work)


def any_placed(ledger: Ledger, link: str) -> bool:
    """Whether a link has a hold that was not released; one that has run out counts."""
    return bool(ledger.look_up(_PLACED, link=link))


def listed(conn: sa.Connection, link: str | None = None) -> list[Hold]:
    """Every hold, released ones too, of one link or of all, oldest first."""
    hold = tables.hold
    query = sa.select(*(hold.c[name] for name in Hold.__dataclass_fields__)).order_by(hold.c.id)
    if link is not None:
        query = query.where(hold.c.link == link)
    return [Hold(*row) for row in conn.execute(query)]
