"""Return receipts as rows of the ledger: which deliveries await one, what came, and what is told of it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from sftpd.exchange import records
from sftpd.exchange.records import Transfer
from sftpd.exchange.return_receipt import Arrival, Filed, Match, Position, Refusal
from sftpd.ledger import tables
from sftpd.ledger.database import in_parts
from sftpd.ledger.ledger import Ledger
from sftpd.ledger.outbox import Event
from sftpd.ledger.statement import Statement, inserting
from sftpd.ledger.writer import Unit
from sftpd.names import TransferId

AWAITED, MISSED, MATCHED = "awaited", "missed", "matched"

_PENDING = (AWAITED, MISSED)
_LATEST = 1000
"""Deliveries without a receipt with which one that does not fit any is compared, to say why."""
_BATCH = 500
"""Deliveries of which one transaction tells."""

_r, _cursor, _t = tables.return_receipt, tables.return_cursor, tables.transfer
_TRANSFER: sa.BindParameter[str] = sa.bindparam("transfer_")
_EXPECT = inserting(_r)
_IS_THERE = Statement(sa.select(_r.c.transfer).where(_r.c.transfer == _TRANSFER))
_DELIVERED = Statement(_r.update().where(_r.c.transfer == _TRANSFER).values(delivered_at=sa.bindparam("now")))


@dataclass(frozen=True, slots=True)
class Candidate:
    """A delivery that a receipt may be of, and the one that it has."""

    transfer: Transfer
    theirs: str | None = None
    position: int | None = None
    rejected: bool = False


def expect(unit: Unit, transfer: Transfer) -> None:
    """Await the receipt of a file that was delivered just now, if it is not here already."""
    if _IS_THERE.fetch(unit.conn, transfer_=transfer.id):
        _DELIVERED.run(unit.conn, {"transfer_": transfer.id, "now": unit.now})
    else:
        _EXPECT.run(unit.conn, _row(transfer) | {"delivered_at": unit.now})


def _row(transfer: Transfer) -> dict[str, Any]:
    ours = {"transfer": transfer.id, "link": transfer.link, "remote": transfer.peer}
    return dict.fromkeys(_r.c.keys()) | ours | {"sha256": transfer.sha256, "state": AWAITED}


def candidates(
    conn: sa.Connection, link: str, remote: str, routes: Collection[str], sha256: str
) -> list[Candidate]:
    """The deliveries that a receipt may be of, oldest first: of its content, and else those without one.

    `routes`: the names of those that lead to the remote.
    """
    mine = (_r.c.link == link, _r.c.remote == remote)
    here = _joined(conn, *mine, _r.c.sha256 == sha256)
    if all(one.theirs is not None and not one.rejected for one in here):
        # Its receipt may come before we have recorded that a file is delivered.
        under_way = (_t.c.link == link, _t.c.route.in_(routes), _t.c.peer == remote)
        waiting = records.find(
            conn, *under_way, _t.c.not_before.is_not(None), _t.c.sha256 == sha256, limit=_LATEST
        )
        known = {one.transfer.id for one in here}
        here += (Candidate(transfer) for transfer in waiting if transfer.id not in known)
    return here or _joined(conn, *mine, _r.c.state.in_(_PENDING))


def _joined(conn: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Candidate]:
    query = sa.select(_r.c.transfer, _r.c.theirs, _r.c.position, _r.c.verdict).where(*where)
    rows = {
        row.transfer: row for row in conn.execute(query.order_by(_r.c.delivered_at.desc()).limit(_LATEST))
    }
    found = (one for some in in_parts([*rows]) for one in records.find(conn, _t.c.id.in_(some)))
    had = ((one, rows[one.id]) for one in found)
    whole = (Candidate(one, row.theirs, row.position, row.verdict == "reject") for one, row in had)
    return sorted(whole, key=lambda one: one.transfer.id)


def matched(unit: Unit, transfer: Transfer, match: Match, within: timedelta) -> None:
    """Note that a delivery has a receipt, and tell what it says."""
    claim = match.claim
    says = {
        "instance": claim.instance,
        "theirs": claim.transfer,
        "log": claim.audit.log,
        "leaf": claim.audit.leaf,
        "verdict": claim.verdict,
    }
    here = _r.c.transfer == transfer.id
    row = unit.conn.execute(sa.select(_r.c.delivered_at).where(here)).first()
    if row is None:
        _EXPECT.run(unit.conn, _row(transfer))
    delivered = None if row is None else row.delivered_at
    arrival: Arrival = "late" if delivered and unit.now > delivered + within else "in_time"
    times = {"received_at": match.received, "matched_at": unit.now}
    values = {"state": MATCHED, "position": claim.audit.index, **says, **times}
    unit.conn.execute(_r.update().where(here).values(values))
    public = transfer.public | says | {"index": claim.audit.index, "arrival": arrival}
    unit.record(Event("receipt.matched", transfer.link, public, transfer.private))


def refused(unit: Unit, link: str, remote: str, found: Filed, refusal: Refusal) -> None:
    """Tell of a receipt that shows nothing; its name stays untold, for nobody here could erase it."""
    public = {"reason": str(refusal.reason), "theirs": found.transfer, "index": found.index}
    if refusal.transfer is not None:
        public["transfer"] = refusal.transfer
    unit.record(Event("receipt.refused", link, public, {"peer": remote}))


def tell_missed(ledger: Ledger, link: str, remote: str, within: timedelta) -> None:
    """Tell once of each delivery that has had no receipt within a time."""
    while ledger.write(lambda unit: _tell_missed(unit, link, remote, within)) == _BATCH:
        pass


def _tell_missed(unit: Unit, link: str, remote: str, within: timedelta) -> int:
    overdue = (_r.c.state == AWAITED, _r.c.delivered_at <= unit.now - within)
    query = sa.select(_r.c.transfer).where(_r.c.link == link, _r.c.remote == remote, *overdue).limit(_BATCH)
    late = [*unit.conn.scalars(query)]
    unit.conn.execute(_r.update().where(_r.c.transfer.in_(late)).values(state=MISSED))
    for transfer in records.find(unit.conn, _t.c.id.in_(late)):
        unit.record(Event("receipt.missed", link, transfer.public, transfer.private))
    return len(late)


def enrol(ledger: Ledger, remotes: Collection[tuple[str, str]]) -> None:
    """Have the receipts of these remotes, by link and name, collected from now on, and no others."""

    def work(unit: Unit) -> None:
        known = {(row.link, row.remote) for row in unit.conn.execute(sa.select(_cursor))}
        for link, remote in known - {*remotes}:
            unit.conn.execute(_cursor.delete().where(*_at(link, remote)))
            gone = (_r.c.link == link, _r.c.remote == remote, _r.c.state.in_(_PENDING))
            unit.conn.execute(_r.delete().where(*gone))
        today = unit.now.astimezone(UTC).date().isoformat()
        for link, remote in {*remotes} - known:
            row = {"link": link, "remote": remote, "since": unit.now, "day": today, "next": 0}
            unit.conn.execute(_cursor.insert().values(row))

    ledger.write(work)


def position(conn: sa.Connection, link: str, remote: str) -> tuple[Position, datetime]:
    """How far the receipts of a remote have been gone over, and since when they count."""
    row = conn.execute(sa.select(_cursor).where(*_at(link, remote))).one()
    return Position(date.fromisoformat(row.day), row.next), row.since


def advance(unit: Unit, link: str, remote: str, to: Position) -> None:
    """Note how far they have been gone over."""
    values = {"day": to.day.isoformat(), "next": to.next}
    unit.conn.execute(_cursor.update().where(*_at(link, remote)).values(values))


def _at(link: str, remote: str) -> tuple[sa.ColumnElement[bool], ...]:
    return (_cursor.c.link == link, _cursor.c.remote == remote)


def forget(ledger: Ledger, transfers: Sequence[str]) -> None:
    """Forget the content of files that are to be erased, and await no receipt of them."""

    def work(unit: Unit) -> None:
        for some in in_parts(transfers):
            mine = _r.c.transfer.in_(some)
            unit.conn.execute(_r.delete().where(mine, _r.c.state.in_(_PENDING)))
            unit.conn.execute(_r.update().where(mine).values(sha256=""))

    ledger.write(work)


def of(conn: sa.Connection, transfer: TransferId) -> dict[str, Any] | None:
    """What is known of the receipt of a delivery, None where none is collected."""
    row = conn.execute(sa.select(_r).where(_r.c.transfer == transfer)).first()
    if row is None:
        return None
    times = {name: getattr(row, f"{name}_at") for name in ("delivered", "matched", "received")}
    says = {name: getattr(row, name) for name in ("verdict", "instance", "log", "leaf")}
    shown = {name: None if at is None else at.isoformat() for name, at in times.items()}
    return {"state": row.state, **shown, **says, "transfer": row.theirs, "index": row.position}


def missing_by_link(conn: sa.Connection) -> Mapping[str, int]:
    """How many deliveries of each link have had no receipt in time."""
    query = sa.select(_r.c.link, sa.func.count()).where(_r.c.state == MISSED).group_by(_r.c.link)
    return {row[0]: row[1] for row in conn.execute(query)}
