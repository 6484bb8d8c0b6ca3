"""Which outbound transfers the ledger has that wait for their turn."""

from datetime import datetime

import sqlalchemy as sa

from sftpd.exchange.due import FIRST, HERE, USUAL, Due
from sftpd.exchange.transfer import TransferState
from sftpd.ledger import tables
from sftpd.ledger.statement import Statement
from sftpd.ledger.writer import Unit
from sftpd.names import TransferId

RANKS = (HERE, FIRST, USUAL)

_t = tables.transfer
_NEXT = Statement(
    sa.select(_t.c.rank, _t.c.not_before, _t.c.id, _t.c.path, _t.c.size)
    .where(
        _t.c.link == sa.bindparam("link"),
        _t.c.route == sa.bindparam("route"),
        _t.c.rank == sa.bindparam("rank"),
        _t.c.not_before <= sa.bindparam("now"),
    )
    .order_by(_t.c.not_before, _t.c.id)
    .limit(sa.bindparam("limit"))
)
_LATER = Statement(
    sa.select(_t.c.not_before)
    .where(
        _t.c.link == sa.bindparam("link"),
        _t.c.route == sa.bindparam("route"),
        _t.c.rank == sa.bindparam("rank"),
        _t.c.not_before > sa.bindparam("now"),
    )
    .order_by(_t.c.not_before)
    .limit(1)
)


def due(conn: sa.Connection, link: str, route: str, now: datetime, limit: int) -> list[Due]:
    """The outbound transfers of a route whose turn has come by `now`, in their order, at most `limit`."""
    found: list[Due] = []
    for rank in RANKS:
        wanted = {"link": link, "route": route, "rank": rank, "now": now, "limit": limit - len(found)}
        rows = _NEXT.fetch(conn, **wanted)
        found += (Due(rank, tables.instant(at), TransferId(name), *rest) for rank, at, name, *rest in rows)
    return found


def next_turn(conn: sa.Connection, link: str, route: str, now: datetime) -> datetime | None:
    """When, after `now`, the turn of another outbound transfer of a route comes."""
    rows = [_LATER.fetch(conn, link=link, route=route, rank=rank, now=now) for rank in RANKS]
    return min((tables.instant(at) for found in rows for (at,) in found), default=None)


def returning(conn: sa.Connection, link: str) -> list[TransferId]:
    """The transfers of a link whose file is on its way back to its watched folder."""
    t = tables.transfer.c
    query = sa.select(t.id).where(t.state == TransferState.RETURNING, t.link == link)
    return [TransferId(name) for name in conn.scalars(query)]


def hasten(unit: Unit, link: str) -> None:
    """Give the transfers of a link that were delivered before a crash their turn at once."""
    t = tables.transfer.c
    delivered = (t.state == TransferState.PLACED, t.link == link, t.direction == "outbound")
    unit.conn.execute(tables.transfer.update().where(*delivered).values(not_before=unit.now))


def count_waiting(conn: sa.Connection) -> dict[tuple[str, str], int]:
    """How many outbound transfers are not at their end, by link and route."""
    t = tables.transfer.c
    query = sa.select(t.link, t.route, sa.func.count()).where(t.not_before.is_not(None))
    return {(row[0], row[1]): row[2] for row in conn.execute(query.group_by(t.link, t.route))}
