"""Legal holds: placing, listing and releasing them, each with its event."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from sftpd.errors import NotFoundError, RefusedError
from sftpd.ledger import tables
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.writer import Unit
from sftpd.names import is_same_person, new_id
from sftpd.retention.hold import Hold
from sftpd.retention.scope import Scope, decode, encode

_hold = tables.hold


@dataclass(frozen=True, slots=True)
class HoldRequest:
    """What is to be held, until when (None: until released), why, and who says so."""

    link: str
    scope: Scope
    reason: str
    placed_by: str
    until: datetime | None = None


def place(ledger: Ledger, request: HoldRequest) -> str:
    """Place a hold and return its id."""

    def work(unit: Unit) -> str:
        hold_id = new_id(unit.now)
        unit.conn.execute(
            _hold.insert().values(
                id=hold_id,
                link=request.link,
                scope=encode(request.scope),
                file=request.scope.names,
                reason=request.reason,
                placed_by=request.placed_by,
                placed_at=unit.now,
                until=request.until,
            )
        )
        until = None if request.until is None else request.until.isoformat()
        public = {"hold": hold_id, "scope": request.scope.kind, "until": until}
        private = {"covers": str(request.scope), "reason": request.reason, "by": request.placed_by}
        unit.record(Event("hold.placed", request.link, public, private))
        return hold_id

    return ledger.write(work)


def release(ledger: Ledger, hold_id: str, by: str, needs_second_person: Callable[[str], bool]) -> None:
    """Release a hold; who tries where that may not be is recorded too.

    `needs_second_person` says of a link whether another person than who placed a hold must release it. Raises
    NotFoundError when there is none of this id, RefusedError `HOLD_RELEASED` or `SECOND_PERSON`.
    """

    def work(unit: Unit) -> RefusedError | None:
        hold = get(unit.conn, hold_id)
        refusal = _refusal(hold, by, needs_second_person(hold.link))
        public: dict[str, Any] = {"hold": hold_id}
        if refusal is None:
            row = _hold.update().where(_hold.c.id == hold_id)
            unit.conn.execute(row.values(released_by=by, released_at=unit.now))
            unit.record(Event("hold.released", hold.link, public, {"by": by}))
        else:
            public["refused"] = refusal.reason
            unit.record(Event("hold.release_refused", hold.link, public, {"by": by}))
        return refusal

    if (refusal := ledger.write(work)) is not None:
        raise refusal


def search_again(ledger: Ledger, hold_id: str, scope: Scope, by: str) -> None:
    """Enter what another search for the person of a hold came to."""

    def work(unit: Unit) -> None:
        hold = get(unit.conn, hold_id)
        unit.conn.execute(_hold.update().where(_hold.c.id == hold_id).values(scope=encode(scope)))
        unit.record(Event("hold.searched", hold.link, {"hold": hold_id}, {"covers": str(scope), "by": by}))

    ledger.write(work)


def get(conn: sa.Connection, hold_id: str) -> Hold:
    """One hold, released or not. Raises NotFoundError."""
    found = _select(conn, _hold.c.id == hold_id)
    if not found:
        raise NotFoundError(f"no hold {hold_id}", remedy="see which there are with sftpd hold list")
    return found[0]


def listed(conn: sa.Connection, link: str | None = None) -> list[Hold]:
    """Every hold, released ones too, of one link or of all, oldest first."""
    return _select(conn, *_of(link))


def standing(conn: sa.Connection, now: datetime, link: str | None = None, *files: str) -> list[Hold]:
    """The holds that stand, of one link or of all, oldest first; with `files` none on one file but these."""
    where = _of(link)
    if files:
        where.append(_hold.c.file.is_(None) | _hold.c.file.in_(files))
    found = _select(conn, _hold.c.released_at.is_(None), *where)
    return [hold for hold in found if hold.stands(now)]


def _of(link: str | None) -> list[sa.ColumnElement[bool]]:
    return [] if link is None else [_hold.c.link == link]


def _select(conn: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Hold]:
    query = (
        sa.select(*(_hold.c[name] for name in Hold.__dataclass_fields__)).where(*where).order_by(_hold.c.id)
    )
    rows = (Hold(*row) for row in conn.execute(query))
    return [replace(hold, scope=decode(hold.scope)) for hold in rows]


def _refusal(hold: Hold, by: str, second_person: bool) -> RefusedError | None:
    if hold.released_at is not None:
        return RefusedError(f"hold {hold.id} was released before", reason="HOLD_RELEASED")
    if second_person and is_same_person(by, hold.placed_by):
        return RefusedError(
            f"{by!r} placed the hold and cannot release it",
            reason="SECOND_PERSON",
            where=f"hold {hold.id}",
            remedy="have another person release it",
        )
    return None
